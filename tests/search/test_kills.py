"""A search killed between every two calls of its storage, and one whose database fails at each of them, in one process.

Everything is the search's own but Ray and the training: ledger, hooks, early stopping. What a worker would have on disk
is a dictionary that outlives the kill.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from models.readings import Reading
from search.objective import ErrorAlone
from search.run.cluster.hooks import SearchRun
from search.run.cluster.scheduler import Past, ResumableScheduler
from search.run.cluster.start import Devices
from search.run.settings import TrialAssignment
from search.run.state import storage as storages
from search.run.state.ledger import ROW, Ledger
from search.run.state.storage import PatientStorage, StorageError
from search.schedulers import Asha
from search.study import Config, Study, Training

EPOCHS = 4

Disk = dict[int, dict[str, float]]


@dataclass(frozen=True)
class Width:
    """All of an architecture that the ledger asks for here."""

    width: float


def space(trial: BaseTrial, _: Any) -> Config:
    width = trial.suggest_float("width", 0.1, 1.0)
    trial.suggest_categorical("head", ["direct", "heatmap"])
    return Config(Width(width), Training(lr=trial.suggest_float("lr", 1e-3, 1e-1, log=True)))  # type: ignore[arg-type]


STUDY = Study(
    SimpleNamespace(metric="pixel_diff", unit="px"),  # type: ignore[arg-type]
    space,
    trials=5,
    epochs=EPOCHS,
    starts={
        "first": {"width": 0.5, "head": "direct", "lr": 1e-2},
        "dear": {"width": 1.0, "head": "direct", "lr": 1e-2},
    },
    objective=ErrorAlone(),
    readings=(Reading("params_m", "Params", "M", lambda arch: arch.width),),  # type: ignore[attr-defined]
    bounds={"params_m": 0.9},
    scheduler=Asha(reduction=2),
)


class Memory(InMemoryStorage):
    """Optuna's own remembers up to where no trial waits, and overlooks one that waits again."""

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        trials = super().get_all_trials(study_id, deepcopy)
        return [trial for trial in trials if states is None or trial.state in states]


class Killed(BaseException):
    """As final as SIGKILL: nothing in the search catches it."""


class Faulty:
    """A storage that counts the calls that write, and does something else instead of the `at`-th, or after it."""

    def __init__(self, inner: BaseStorage, at: int, fault: Callable[[], None], after: bool = False) -> None:
        self.inner, self.calls, self.made_twice = inner, 0, False
        self._at, self._fault, self._after = at, fault, after

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.inner, name)
        if not name.startswith(("set_", "create_")):
            return attribute

        def call(*args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self._at and not self._after:
                self._fault()
            result = attribute(*args, **options)
            if self.calls == self._at and self._after:
                self.made_twice = name == "create_new_trial"
                self._fault()
            return result

        return call


BaseStorage.register(Faulty)


def kill() -> None:
    raise Killed


def fail(text: str, code: type[Exception] = sqlalchemy.exc.OperationalError) -> None:
    try:
        raise code("UPDATE", {}, OSError(text))
    except code as error:
        raise StorageInternalError("invalid data in the commit, e.g. exceeding max length") from error


def row(epoch: int, error: float) -> dict[str, float]:
    return {**dict.fromkeys(ROW, 1.0), "epoch": epoch, "error": error}


def training(trial: TrialAssignment, disk: Disk) -> Iterator[dict[str, float]]:
    """What search.run.training.worker.train hands over; the error follows from the parameters."""
    if trial.last is not None:
        yield trial.last
    reached = trial.last["epoch"] if trial.last else 0
    state = disk.get(trial.number)
    if state is not None and state["epoch"] > reached:
        yield state
    for epoch in range(int((state or {"epoch": 0})["epoch"]) + 1, trial.epochs + 1):
        disk[trial.number] = row(epoch, 10 * trial.params["width"] + (trial.seed % 7) / epoch)
        yield disk[trial.number]


def search(storage: Any, disk: Disk, workers: int = 1) -> None:
    """What engine.search and Ray do with a ledger, without Ray: one epoch of each running trial in turn."""
    ledger = Ledger(STUDY, "book", storage)
    ledger.adopt()
    attachments: Any = SimpleNamespace(finish=lambda _: None, keep_up=lambda: None)
    run = SearchRun(
        ledger, attachments, Path("/nowhere"), Devices(workers, 1, 0), lambda: "", 0.0, None, lambda _: None
    )
    rungs = ResumableScheduler(ledger)
    try:
        active: dict[int, tuple[Any, Iterator[dict[str, float]]]] = {}
        while True:
            while len(active) < workers and (asked := ledger.ask()) is not None:
                active[asked.number] = Past(f"ray-{asked.number}", {"trial": asdict(asked)}), training(asked, disk)
                rungs.on_trial_add(None, active[asked.number][0])
            if not active:
                break
            for number, (trial, rows) in list(active.items()):
                row = next(rows)
                result = {**row, "hostname": "here", "pid": 1, "length": EPOCHS, "done": row["epoch"] == EPOCHS}
                if not result["done"]:
                    result["done"] = rungs.on_trial_result(None, trial, result) == "STOP"
                with run.guarded():
                    run.record(number, result)
                if run.trouble is not None:
                    raise run.trouble
                if result["done"]:
                    rungs.on_trial_complete(None, trial, result)
                    del active[number]
    except StorageError:
        with suppress(StorageError):
            ledger.release()
        raise
    else:
        ledger.release()


def told(storage: Any) -> list[Any]:
    """All that a study knows of its trials, but for the time of day."""
    trials = storage.get_all_trials(storage.get_study_id_from_name("book"))
    if getattr(storage, "made_twice", False):  # the last one, perhaps, and then no trial is wanted any more
        trials = [trial for trial in trials if trial.state is not TrialState.WAITING or trial.params]
    kept = [
        (t.number, t.state, t.params, t.values, t.intermediate_values, dict(sorted(t.user_attrs.items())))
        for t in trials
    ]
    for _, state, _, _, steps, attrs in kept:
        assert state.is_finished()
        assert list(steps) == [row["epoch"] for row in attrs.get("curve", [])] == list(range(1, len(steps) + 1))
        assert (state is TrialState.COMPLETE) == (len(steps) == EPOCHS)
    return kept


def counted(trials: list[Any]) -> int:
    """How many were not refused."""
    return sum("refused" not in attrs for *_, attrs in trials)


def whole(workers: int = 1) -> tuple[list[Any], int]:
    """The search that nothing happens to, and how often it writes."""
    storage = Faulty(Memory(), 0, kill)
    search(storage, {}, workers)
    return told(storage), storage.calls


def test_what_is_killed_is_worth_killing() -> None:
    trials, calls = whole()
    states = [state for _, state, *_ in trials]
    assert states.count(TrialState.COMPLETE) >= 2
    assert any(state is TrialState.PRUNED and "refused" in attrs for _, state, *_, attrs in trials)
    assert any(state is TrialState.PRUNED and "refused" not in attrs for _, state, *_, attrs in trials)
    assert counted(trials) == STUDY.trials
    assert calls > 100


def test_killed_between_any_two_writes_it_is_the_search_that_was_never_killed() -> None:
    expected, calls = whole()
    for at in range(1, calls + 1):
        storage, disk = Memory(), {}
        with pytest.raises(Killed):
            search(Faulty(storage, at, kill), disk)
        search(storage, disk)
        assert told(storage) == expected, at


def test_killed_twice_near_any_write_with_two_workers_nothing_is_lost_or_doubled() -> None:
    expected, calls = whole(2)
    for at, again in itertools.product(range(1, calls + 1, 3), (1, 4, 9)):
        storage, disk = Memory(), {}
        with pytest.raises(Killed):
            search(Faulty(storage, at, kill), disk, 2)
        with suppress(Killed):
            search(Faulty(storage, again, kill), disk, 2)
        search(storage, disk, 2)
        trials = told(storage)
        assert counted(trials) == STUDY.trials
        assert [params for _, _, params, *_ in trials][:2] == [params for _, _, params, *_ in expected][:2]


@pytest.mark.parametrize("after", [False, True])
def test_a_server_that_restarts_at_any_write_is_waited_for(monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    """`after`: the commit came through, and its answer did not."""
    monkeypatch.setattr(storages.time, "sleep", lambda _: None)
    expected, calls = whole()
    for at in range(1, calls + 1):
        faulty = Faulty(Memory(), at, lambda: fail("server closed the connection unexpectedly"), after)
        search(PatientStorage(faulty, "postgresql://u:secret@h/d"), {})  # type: ignore[arg-type]
        trials = told(faulty)
        # A trial that is made twice has another number, and with it other parameters.
        assert trials == expected or (after and faulty.made_twice), at
        assert counted(trials) == STUDY.trials


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (lambda: fail("No space left on device"), "its disk is full \\(No space left on device\\)"),
        (lambda: fail("server closed the connection"), "its server does not answer \\(server closed the connection\\)"),
        (lambda: fail("value too long", sqlalchemy.exc.DataError), "h/d failed: value too long;"),
    ],
)
def test_a_storage_that_fails_at_any_write_is_one_sentence_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[], None], expected: str
) -> None:
    monkeypatch.setattr(storages, "PATIENCE", 0.0)
    uninterrupted, calls = whole()
    for at in range(1, calls + 1):
        storage, disk = Memory(), {}
        faulty: Any = Faulty(storage, at, fault)
        with pytest.raises(StorageError, match=expected) as caught:
            search(PatientStorage(faulty, "postgresql://u:secret@h/d"), disk)
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)
        search(storage, disk)
        assert told(storage) == uninterrupted, at
