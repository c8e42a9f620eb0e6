"""Two drivers on one storage: the second is turned away, a dead one's study is taken over, and who lost it says so."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage

from search.paths import LEASE
from search.run.state import lease as leases
from search.run.state.lease import Lease, LeaseError, leased
from search.run.state.ledger import Ledger
from search.run.state.storage import PatientStorage, open_storage
from tests.postgresql import Server
from tests.search.test_cli import TINY, mistake
from tests.search.test_kills import STUDY, fail, row


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BEAT", 0.05), ("STALE", 0.6)):
        monkeypatch.setattr(leases, name, seconds)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/s.db"
    server: Server = request.getfixturevalue("postgresql")
    return server.url()


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
from search.run.state import lease
from search.run.state.storage import open_storage
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


def test_of_many_that_begin_at_once_one_has_the_study(storage: BaseStorage, url: str, name: str) -> None:
    """Threads of other machines, each with connections of its own; all look before the first one writes."""
    optuna.create_study(study_name=name, storage=storage)
    barrier, lost = threading.Barrier(8), []

    class Late(Lease):
        waited = False

        def _held(self) -> Any:
            found = super()._held()
            if not self.waited:
                self.waited = True
                barrier.wait(60)
            return found

    opened: list[Any] = [open_storage(url) for _ in range(8)]
    several = [Late(optuna.load_study(study_name=name, storage=each)) for each in opened]

    def begin(lease: Lease) -> None:
        try:
            lease.acquire()
        except LeaseError:
            lost.append(lease)

    threads = [threading.Thread(target=begin, args=(lease,)) for lease in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 7
    (won,) = set(several) - set(lost)
    won.renew()
    won.release()
    assert held(storage, name) is None
    for each in opened:
        each._backend.engine.dispose()


def test_a_driver_that_stood_still_and_lost_its_study_writes_nothing_more(
    storage: BaseStorage, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lease, "_beat", lambda _: None)  # SIGSTOP
    with leased(storage, name) as lost:
        slow = Ledger(STUDY, name, storage)
        slow.check = lost.check
        asked = slow.ask()
        assert asked is not None
        time.sleep(leases.STALE)
        monkeypatch.setattr(leases, "machine", lambda: "another one")
        with leased(storage, name) as lease:
            quick = Ledger(STUDY, name, storage)
            quick.check = lease.check
            assert quick.adopt() == 1
            again = quick.ask()
            assert again is not None
            assert again.number == asked.number
            before = quick.optuna_study.get_trials()
            for write in (slow.ask, slow.release):
                with pytest.raises(LeaseError, match="runs already"):
                    write()
            assert quick.optuna_study.get_trials() == before
            quick.report(again.number, row(1, 3.0))
            quick.check()
        assert held(storage, name) is None


def test_who_waited_for_the_server_while_another_took_over_does_not_make_its_write_again(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lease, "_beat", lambda _: None)
    first: Any = open_storage(url)
    second: Any = open_storage(url)
    with leased(first, name) as lost:
        study = lost._study

        def cut_off(*words: Any) -> None:
            """The network is gone until another machine has the study."""
            if "second" not in taken:
                with monkeypatch.context() as elsewhere:
                    elsewhere.setattr(leases, "machine", lambda: "another one")
                    taken["second"] = Lease(optuna.load_study(study_name=name, storage=second))
                    taken["second"].acquire()
                fail("server closed the connection unexpectedly")
            first.inner.set_study_user_attr(*words)

        taken: dict[str, Lease] = {}
        with pytest.raises(LeaseError, match="runs already"):
            PatientStorage.call(first, cut_off, study._study_id, "curve", "old")
        assert "curve" not in optuna.load_study(study_name=name, storage=second).user_attrs
        taken["second"].renew()
        taken["second"].release()
    for opened in (first, second):
        opened._backend.engine.dispose()


def test_a_server_that_is_away_silences_nobody(
    storage: BaseStorage, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine's driver is looked at while the server restarts, for longer than a heart may stand still."""
    monkeypatch.setattr(Lease, "_beat", lambda _: None)
    with leased(storage, name) as lease:
        monkeypatch.setattr(leases, "machine", lambda: "another one")
        other = Lease(optuna.load_study(study_name=name, storage=storage))
        look, looks = other._held, []

        def slowly() -> Any:
            looks.append(None)
            if len(looks) == 3:
                time.sleep(2 * leases.STALE)
            if len(looks) == 5:
                lease.renew()
            return look()

        monkeypatch.setattr(other, "_held", slowly)
        with pytest.raises(LeaseError):
            other.acquire()


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
