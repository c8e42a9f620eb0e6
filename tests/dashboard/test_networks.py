"""What the dashboard leaves to another process, and what it does not offer on Optuna's pages."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from data.errors import UserError
from search.dashboard import networks
from search.dashboard.source import sources
from search.load import load_study
from search.results import network
from tests.dashboard.seen import TINY, Seen, recorded, served, trained


def test_a_network_is_built_in_a_process_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "IDLE", 0.3)
    trained(recorded(tmp_path), 12.0)
    source = sources([str(TINY)], tmp_path, None)[0]
    view = source.view()
    try:
        found = source.network(view, 0)
        # As it is built here, by the study itself.
        study = load_study(str(TINY))
        config = networks.config_of(study, view.trial(0).params, view.trial(0).user_attrs["config"])
        assert found == network.record(0, config.arch)
        with pytest.raises(UserError, match="makes no network from the parameters of trial 3"):
            networks.built((str(TINY), 3, {}, None))
        begun = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
        assert begun
        end = time.monotonic() + 10
        while any(child.is_running() for child in begun) and time.monotonic() < end:
            time.sleep(0.05)
        assert not any(child.is_running() for child in begun)
    finally:
        networks.built.end()


def test_optunas_pages_offer_nothing_that_is_refused(tmp_path: Path, see: Callable[..., Seen]) -> None:
    trained(recorded(tmp_path), 12.0)
    with served(sources([str(TINY)], tmp_path, None)) as url:
        seen = see(f"{url}dashboard")
        for path, icons in (("", ("AddBox", "DriveFileRenameOutline", "Delete")), ("/studies/1/note", ("Edit",))):
            seen.page.goto(f"{url}dashboard{path}")
            for icon in icons:
                button = seen.page.locator(f"button:has([data-testid={icon}Icon])").first
                button.wait_for(state="attached", timeout=20_000)
                assert not button.is_visible()
