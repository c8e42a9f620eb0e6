"""The cost of a recorded trial: as it was recorded, else counted; the same table."""

from pathlib import Path
from typing import Any

import pytest

from search.cli import price
from search.load import load_study
from search.results import network
from search.study import replay
from tests.search.test_cli import mistake, said
from tests.search.test_retrain import TINY, searched


def test_a_recorded_network_is_not_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optuna_study = searched(tmp_path).optuna_study
    command = ("cost", TINY, "--trial", 1, "--out", tmp_path)
    counted = said(*command)  # nothing was recorded
    assert "total" in counted
    study = load_study(str(TINY))
    arch = replay(study, optuna_study.trials[1].params)[0].arch
    network.save(tmp_path / "tiny_study", 1, arch)

    def parameters(*_: Any) -> None:
        pytest.fail("the study was asked for its parameters")

    changed = said(*command, "--set", "size=48")
    monkeypatch.setattr(price, "parameters", parameters)
    assert said(*command) == counted != changed


def test_a_trial_that_is_not_there(tmp_path: Path) -> None:
    searched(tmp_path)
    assert "trials 0 to 2" in mistake("cost", TINY, "--trial", 9, "--out", tmp_path)
