"""Two drivers on one storage: the second is turned away, a dead one's study is taken over, and who lost it says so."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage

from search.paths import LEASE
from search.run import lease as leases
from search.run.lease import Lease, LeaseError, leased
from search.run.ledger import Ledger
from search.run.storage import open_storage
from tests.search.test_cli import TINY, mistake
from tests.search.test_kills import STUDY, Memory, row


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BEAT", 0.05), ("STALE", 0.6), ("SETTLE", 0.05)):
        monkeypatch.setattr(leases, name, seconds)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/s.db"
    given = os.environ.get("POSEFRONT_TEST_POSTGRESQL")
    if given is None:
        pytest.skip("POSEFRONT_TEST_POSTGRESQL names no server")
    return given


@pytest.fixture
def storage(url: str) -> Iterator[BaseStorage]:
    opened: Any = open_storage(url)
    yield opened
    opened._backend.engine.dispose()  # psycopg complains of connections that nobody closes


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name} {time.time_ns()}"


def held(storage: BaseStorage, name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = optuna.load_study(study_name=name, storage=storage).user_attrs[LEASE]
    return found


HOLD = """
import sys, time
from search.run import lease
from search.run.storage import open_storage
lease.BEAT = 0.05
with lease.leased(open_storage(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(url: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """Another driver, in a process of its own, that has the study."""
    command = [sys.executable, "-c", HOLD, url, name]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_driver_is_turned_away_in_a_sentence_until_the_first_is_killed(
    storage: BaseStorage, name: str, other: Any
) -> None:
    with (
        pytest.raises(LeaseError, match=rf"runs already \(process {other.pid}\); wait for it, stop it"),
        leased(storage, name),
    ):
        pass
    other.kill()
    other.wait()
    began = time.monotonic()
    with leased(storage, name) as lease:
        lease.check()
        assert held(storage, name)["process"] == os.getpid()  # type: ignore[index]
    assert held(storage, name) is None
    assert time.monotonic() - began < 10  # nothing is waited for


def test_a_driver_of_another_machine_is_dead_once_its_heart_stands_still(
    storage: BaseStorage, name: str, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "machine", lambda: "another one")
    monkeypatch.setattr(leases, "STALE", 5.0)
    said: list[str] = []
    with pytest.raises(LeaseError, match=f"process {other.pid} on "), leased(storage, name, said.append):
        pass
    other.kill()
    monkeypatch.setattr(leases, "STALE", 0.6)
    with leased(storage, name, said.append):
        pass
    assert len(said) == 2
    assert said[1].endswith("had this study; waiting 0.6 s for a sign of life")


def test_two_that_begin_at_once_do_not_both_go_on() -> None:
    storage = Memory()
    first, second = (Lease(optuna.create_study(study_name="s", storage=storage, load_if_exists=True)) for _ in range(2))
    free, first._held = first._held, lambda: None  # type: ignore[method-assign]
    second.acquire()  # between the first one's look and its own writing
    first._study.set_user_attr(LEASE, first._own)
    first._held = free  # type: ignore[method-assign]
    first.renew()
    with pytest.raises(LeaseError):
        second.renew()
    second.release()
    assert held(storage, "s")["id"] == first._own["id"]  # type: ignore[index]


def test_a_driver_that_stood_still_and_lost_its_study_writes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "_beat", lambda _: None)  # SIGSTOP
    storage = Memory()
    with leased(storage, "book") as lost:
        slow = Ledger(STUDY, "book", storage)
        slow.check = lost.check
        asked = slow.ask()
        assert asked is not None
        time.sleep(leases.STALE)
        monkeypatch.setattr(leases, "machine", lambda: "another one")
        with leased(storage, "book") as lease:
            quick = Ledger(STUDY, "book", storage)
            quick.check = lease.check
            assert quick.adopt() == 1
            again = quick.ask()
            assert again is not None
            assert again.number == asked.number
            before = storage.get_all_trials(0)
            for write in (slow.ask, slow.release):
                with pytest.raises(LeaseError, match="runs already"):
                    write()
            assert storage.get_all_trials(0) == before
            quick.report(again.number, row(1, 3.0))
            quick.check()
        assert held(storage, "book") is None


def test_a_heartbeat_is_no_news_to_the_dashboard(tmp_path: Path) -> None:
    from search.dashboard.reader import Reader

    url = f"sqlite:///{tmp_path}/s.db"
    with leased(open_storage(url), "book") as lease:
        reader = Reader(url, "book")
        before, revision = reader.read(), reader.revision
        lease.renew()
        assert reader.read() is before
        assert reader.revision == revision


def test_the_command_says_it(tmp_path: Path) -> None:
    """Two folders, one storage."""
    url = f"sqlite:///{tmp_path}/s.db"
    with leased(open_storage(url), "tiny_study"):
        for folder in ("a", "b"):
            said = mistake("search", TINY, "--out", tmp_path / folder, "--storage", url)
            assert said.startswith(f"a search of tiny_study in this storage runs already (process {os.getpid()}); wait")
    assert optuna.load_study(study_name="tiny_study", storage=url).trials == []
