"""A search in virtual time: the real samplers, ledger and schedulers, with simulated workers that read a table.

What a real search does on each result (search.run.hooks) is done here in the same order. Workers are asynchronous: each
takes its next trial when its last one is over, at its own time. Nothing is trained and Ray itself is not started.
"""

import heapq
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from ray.tune.schedulers import TrialScheduler

from models.readings import Reading
from search.objective import CourseScore
from search.run.ledger import ROW, Ledger
from search.run.scheduler import ResumableScheduler
from search.schedulers import Scheduler
from search.study import Config, Study, Training

from tests.search_bench.tables import Table

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
        sampler: makes a sampler from the study and a seed.
        scheduler: makes a scheduler from the table.
    """

    name: str
    sampler: Callable[[Study, int], BaseSampler]
    scheduler: Callable[[Table], Scheduler]


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


def replay(table: Table, method: Method, seed: int, budget: float, workers: int = 4) -> Replay:
    """Search until the workers have trained for `budget` seconds in all.

    Only trials that had all their epochs count as results, with their last value.
    """
    study = Study(
        TableTask(),  # type: ignore[arg-type]
        lambda trial, _: Config(table.entry(trial), Training(lr=1.0), None),  # type: ignore[arg-type]
        trials=10**9,
        epochs=table.epochs,
        objective=CourseScore(),
        readings=READINGS,
        scheduler=method.scheduler(table),
        seed=seed,
    )
    object.__setattr__(study, "sampler", lambda own: method.sampler(study, own))
    ledger = Ledger(study, "replay", optuna.storages.InMemoryStorage())
    scheduler = ResumableScheduler(ledger)
    entries: dict[int, Any] = {}
    ledger.on_admission = lambda number, arch: entries.__setitem__(number, arch)
    spent, best, suggesting, order = 0.0, math.inf, 0.0, itertools.count()
    trace: list[tuple[float, float]] = []
    events: list[tuple[float, int, SimulatedTrial, list[float], list[float], int]] = []

    def begin(now: float) -> None:
        nonlocal suggesting
        began = time.perf_counter()
        assignment = ledger.ask()
        suggesting += time.perf_counter() - began
        assert assignment is not None
        trial = SimulatedTrial(f"trial-{assignment.number}", {"trial": asdict(assignment)})
        scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
        errors, seconds = table.curve(entries[assignment.number], seed + assignment.number)
        heapq.heappush(events, (now + seconds[0], next(order), trial, list(errors), list(seconds), 1))

    for _ in range(workers):
        begin(0.0)
    while spent < budget:
        now, _, trial, errors, seconds, epoch = heapq.heappop(events)
        number = trial.config["trial"]["number"]
        spent += seconds[epoch - 1]
        row = {**dict.fromkeys(ROW, 0.0), "epoch": epoch, "error": errors[epoch - 1], "seconds": seconds[epoch - 1]}
        result = dict(row)
        last = epoch >= table.epochs
        diverged = not last and epoch == len(errors)
        decision = scheduler.on_trial_result(None, trial, result)  # type: ignore[arg-type]
        ledger.report(number, row)
        if last:
            best = min(best, ledger.value(number, row))
            trace.append((spent, best))
            scheduler.on_trial_complete(None, trial, result)  # type: ignore[arg-type]
            ledger.finish(number)
        elif diverged:
            scheduler.on_trial_remove(None, trial)  # type: ignore[arg-type]
            ledger.fail(number, "diverged")
        elif decision == TrialScheduler.STOP:
            scheduler.on_trial_complete(None, trial, result)  # type: ignore[arg-type]
            ledger.stop(number)
        else:
            heapq.heappush(events, (now + seconds[epoch], next(order), trial, errors, seconds, epoch + 1))
            continue
        begin(now)
    return Replay(trace, len(entries), suggesting)
