"""Searches in virtual time that are not a study's: what a library suggests, and a control."""

import math
import time
from dataclasses import dataclass

import optuna
from optuna.samplers import RandomSampler

from tests.search_bench.replay import Worker
from tests.search_bench.tables import Entry, Table, value


@dataclass(frozen=True)
class Job:
    """What a worker is to train.

    Attributes:
        number: of the trial; one that goes on where it was paused keeps its own.
        entry: what it trains.
        epoch: the first to be trained, from 1 on.
    """

    number: int
    entry: Entry
    epoch: int = 1


class AskTell:
    """A search that says what to train next and, after each epoch, whether to go on.

    Args:
        table: what is searched.
        seed: of everything random.
        budget: training-seconds of all workers.
    """

    def __init__(self, table: Table, seed: int, budget: float) -> None:
        self.table, self.seed, self.budget = table, seed, budget
        self.trials = 0
        self.spent = self.suggesting_s = 0.0
        self.best = math.inf

    def suggest(self, number: int) -> Job | None:
        """What to train, a new trial's number given; None where there is nothing."""
        raise NotImplementedError

    def judge(self, job: Job, epoch: int, now: float) -> bool:
        """Whether a trial goes on whose objective is `now` after an epoch; told of the last one, too."""
        raise NotImplementedError

    def fail(self, job: Job) -> None:
        """A trial diverged; its last epoch was judged."""

    def begin(self, worker: Worker) -> bool:
        """Give a worker its next trial; False where there is none."""
        began = time.perf_counter()
        job = self.suggest(self.trials)
        self.suggesting_s += time.perf_counter() - began
        if job is None:
            return False
        self.trials = max(self.trials, job.number + 1)
        worker.trial, worker.epoch = job, job.epoch
        worker.errors, worker.seconds = self.table.curve(job.entry, self.seed + job.number)
        if job.epoch > len(worker.errors):
            raise ValueError(f"Trial {job.number} diverged and cannot go on")
        worker.ends += worker.seconds[job.epoch - 1]
        return True

    def end_epoch(self, worker: Worker) -> bool:
        """Enter a worker's epoch; whether its trial goes on."""
        job, epoch = worker.trial, worker.epoch
        self.spent += worker.seconds[epoch - 1]
        now = value(job.entry, worker.errors[epoch - 1])
        began = time.perf_counter()
        goes_on = self.judge(job, epoch, now)
        self.suggesting_s += time.perf_counter() - began
        if epoch == self.table.epochs:
            self.best = min(self.best, now)
        elif epoch == len(worker.errors):
            self.fail(job)
        elif goes_on:
            worker.epoch += 1
            worker.ends += worker.seconds[epoch]
            return True
        return False


class OneEpoch(AskTell):
    """Random configurations for an epoch each until half of the budget is spent, then the best of them in full.

    Those are trained anew, in the order of what they had after an epoch.
    """

    def __init__(self, table: Table, seed: int, budget: float) -> None:
        super().__init__(table, seed, budget)
        self._study = optuna.create_study(sampler=RandomSampler(seed=seed))
        self._seen: set[Entry] = set()
        self._after_one: list[tuple[float, int, Entry]] = []
        self._in_full: set[int] = set()

    def suggest(self, number: int) -> Job | None:
        entry = self._new() if self.spent < self.budget / 2 else None
        if entry is None:
            if not self._after_one:
                return None
            best = min(self._after_one)
            self._after_one.remove(best)
            entry = best[2]
            self._in_full.add(number)
        return Job(number, entry)

    def _new(self) -> Entry | None:
        """A random configuration that was not tried; None after 1,000 that were."""
        for _ in range(1000):
            entry = self.table.entry(self._study.ask())
            if entry not in self._seen:
                self._seen.add(entry)
                return entry
        return None

    def judge(self, job: Job, epoch: int, now: float) -> bool:  # noqa: ARG002
        if job.number in self._in_full:
            return True
        self._after_one.append((now, job.number, job.entry))
        return False
