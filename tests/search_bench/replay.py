"""A search in virtual time: the real samplers, ledger and schedulers, with simulated workers that read a table.

What a real search does on each result (search.run.cluster.hooks) is done here in the same order. Workers are
asynchronous: each takes its next trial when its last one is over, at its own time. Nothing is trained and Ray itself is
not started.
"""

import heapq
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import optuna
from optuna.samplers import BaseSampler
from ray.tune.schedulers import TrialScheduler

from models.readings import Reading
from search.gate import Gate
from search.run.cluster.scheduler import ResumableScheduler
from search.run.state.ledger import ROW, Ledger
from search.samplers import KnownCost
from search.schedulers import Scheduler
from search.study import Config, Study, Training
from tests.search_bench.tables import Entry, Table

READINGS = (
    Reading("params_m", "Params", "M", lambda entry: entry.params_m),  # type: ignore[attr-defined]
    Reading("gflops", "FLOPs", "G", lambda entry: entry.gflops),  # type: ignore[attr-defined]
)


class TableTask:
    """What a ledger asks of a task."""

    metric, unit = "pixel_diff", "px"


@dataclass(frozen=True)
class SimulatedTrial:
    """What Ray's schedulers read of a trial."""

    trial_id: str
    config: dict[str, Any] = field(compare=False)
    status: str = "RUNNING"


@dataclass(frozen=True)
class Method:
    """A way to search.

    Attributes:
        name: for people.
        sampler: as a study has it.
        scheduler: makes a scheduler for a table.
        goal: a trial counts if its last error is below this part of that of the table's best; None where all count.
        aims: whether the search is told of the goal.
        gate: as a study has it.
    """

    name: str
    sampler: Callable[[int], BaseSampler] | KnownCost
    scheduler: Callable[[Table], Scheduler]
    gate: Gate | None = None
    goal: float | None = None
    aims: bool = True

    def under(self, table: Table) -> float:
        """What a trial's last error must be below to count."""
        return math.inf if self.goal is None else self.goal * table.error_of_best()


@dataclass
class Replay:
    """How a replayed search went.

    Attributes:
        trace: training-seconds spent by all workers, and the smallest final value known then; a point a finished trial.
        trials: how many were begun.
        suggesting_s: real seconds spent in sampling.
    """

    trace: list[tuple[float, float]]
    trials: int
    suggesting_s: float

    def reached(self, goal: float) -> float:
        """Training-seconds until the value was at most `goal`; infinity if it never was."""
        return next((spent for spent, value in self.trace if value <= goal), math.inf)

    def best(self, spent: float = math.inf) -> float:
        """The smallest final value known after so many training-seconds; infinity before the first."""
        return next((value for at, value in reversed(self.trace) if at <= spent), math.inf)


@dataclass(order=True)
class Worker:
    """One that trains, ordered by when its epoch ends."""

    ends: float
    index: int
    epoch: int = field(default=1, compare=False)
    trial: Any = field(default=None, compare=False)
    errors: Any = field(default=(), compare=False)
    seconds: Any = field(default=(), compare=False)

    @property
    def number(self) -> int:
        """Of the trial in the study."""
        return int(self.trial.config["trial"]["number"])


class Search(Protocol):
    """What simulated workers ask of a search."""

    table: Table
    spent: float
    """Training-seconds of all workers."""
    best: float
    """The smallest value of a trial that had all its epochs."""
    suggesting_s: float

    @property
    def trials(self) -> int:
        """How many were begun."""

    def begin(self, worker: Worker) -> bool:
        """Give a worker its next trial; False where there is none."""

    def end_epoch(self, worker: Worker) -> bool:
        """Enter a worker's epoch; whether its trial goes on."""


class Replayed:
    """A search that is being replayed."""

    def __init__(self, table: Table, method: Method, seed: int) -> None:
        self.table, self._seed, self.under = table, seed, method.under(table)
        study = Study(
            TableTask(),  # type: ignore[arg-type]
            lambda trial, _: Config(table.entry(trial), Training(lr=1.0), None),  # type: ignore[arg-type]
            trials=10**9,
            epochs=table.epochs,
            readings=READINGS,
            sampler=method.sampler,
            scheduler=method.scheduler(table),
            seed=seed,
            final_epochs=table.epochs,
            under=self.under if self.under < math.inf and method.aims else None,
            gate=method.gate,
        )
        self.ledger = Ledger(study, "replay", optuna.storages.InMemoryStorage())
        self.scheduler = ResumableScheduler(self.ledger)
        self.entries: dict[int, Entry] = {}
        self.ledger.on_admission = lambda number, arch: self.entries.__setitem__(number, arch)  # type: ignore[arg-type]
        self.spent = self.suggesting_s = 0.0
        self.best = math.inf

    @property
    def trials(self) -> int:
        """How many were begun."""
        return len(self.entries)

    def begin(self, worker: Worker) -> bool:
        """Give a worker its next trial."""
        began = time.perf_counter()
        assignment = self.ledger.ask()
        self.suggesting_s += time.perf_counter() - began
        assert assignment is not None
        worker.trial = SimulatedTrial(f"trial-{assignment.number}", {"trial": asdict(assignment)})
        self.scheduler.on_trial_add(None, worker.trial)  # type: ignore[arg-type]
        entry = self.entries[assignment.number]
        worker.errors, worker.seconds = self.table.curve(entry, self._seed + assignment.number)
        worker.epoch = 1
        worker.ends += worker.seconds[0]
        return True

    def end_epoch(self, worker: Worker) -> bool:
        """Enter a worker's epoch; whether its trial goes on."""
        number, epoch, trial = worker.number, worker.epoch, worker.trial
        seconds = worker.seconds[epoch - 1]
        self.spent += seconds
        row = {**dict.fromkeys(ROW, 0.0), "epoch": epoch, "error": worker.errors[epoch - 1], "seconds": seconds}
        decision = self.scheduler.on_trial_result(None, trial, dict(row))  # type: ignore[arg-type]
        self.ledger.report(number, row)
        if epoch >= self.table.epochs:
            if row["error"] < self.under:
                self.best = min(self.best, self.ledger.value(number, row))
            self.scheduler.on_trial_complete(None, trial, dict(row))  # type: ignore[arg-type]
            self.ledger.finish(number)
        elif epoch == len(worker.errors):
            self.scheduler.on_trial_remove(None, trial)  # type: ignore[arg-type]
            self.ledger.fail(number, "diverged")
        elif decision == TrialScheduler.STOP:
            self.scheduler.on_trial_complete(None, trial, dict(row))  # type: ignore[arg-type]
            self.ledger.stop(number)
        else:
            worker.epoch += 1
            worker.ends += worker.seconds[epoch]
            return True
        return False


def replay(table: Table, method: Method, seed: int, budget: float, workers: int = 4) -> Replay:
    """Search until the workers have trained for `budget` seconds in all.

    Only trials that had all their epochs, and are below the method's goal, count as results, with their last value.
    """
    return in_virtual_time(Replayed(table, method, seed), budget, workers)


def in_virtual_time(search: Search, budget: float, workers: int = 4) -> Replay:
    """Train with simulated workers until they have spent `budget` seconds in all, or nothing is left to train."""
    trace: list[tuple[float, float]] = []
    busy = [worker for index in range(workers) if search.begin(worker := Worker(0.0, index))]
    heapq.heapify(busy)
    while busy and search.spent < budget:
        worker = heapq.heappop(busy)
        goes_on = search.end_epoch(worker)
        if not goes_on and worker.epoch == search.table.epochs:
            trace.append((search.spent, search.best))
        if goes_on or search.begin(worker):
            heapq.heappush(busy, worker)
    return Replay(trace, search.trials, search.suggesting_s)
