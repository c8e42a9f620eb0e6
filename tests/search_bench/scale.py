"""What a long search costs its driver: a study of many trials in SQLite, gone on with by simulated workers.

    python -m tests.search_bench.scale [--trials 100 1000 10000] [--workers 256] [--samplers "known cost" TPE random]

A study of `studies/freihand.py` with so many trials is made (`tests.big_study`), as many more of them in training as
there are workers. It is then resumed, as after a kill, by all that a driver has but Ray: storage, ledger, sampler,
rungs, hooks, attachments, the view without a terminal. Workers train nothing; their epochs last in virtual time, and
each takes a trial when its last one is over. Printed are medians of the driver's CPU-seconds (with OMP_NUM_THREADS=1
those of a free core) and, in brackets, of seconds by the clock, which have the disk's and what else runs here in them:

- resume: until the first interrupted trial is handed out; rungs: the part of it in which these are filled again;
- again: an interrupted trial handed out; first: a new one, the kernels fitted; ask: one more, sampled, priced, its
  network recorded;
- report: an epoch that does not end its trial; stop, finish: one that does, its files attached and deleted;
- trial: an ask, its reports and its end, as often as ASHA has them. W workers wait for the driver where their trials
  last less than W times that, and an epoch less than W times that by the mean number of epochs.
"""

import argparse
import heapq
import io
import logging
import math
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
import psutil
from optuna.samplers import RandomSampler
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler
from rich.console import Console
from rich.table import Table

from search.config_record import rebuild
from search.results import answers, network
from search.run.attachments import Attachments
from search.run.cluster.hooks import LedgerSearcher, SearchRun
from search.run.cluster.scheduler import ResumableScheduler
from search.run.cluster.start import Devices
from search.run.live import View
from search.run.state.ledger import Ledger, open_storage
from search.run.state.ranges import adapt
from search.run.training import checkpoint
from search.samplers import KnownCost
from search.study import Study, replay, tpe
from studies import freihand
from tests.big_study import make
from tests.search_bench.replay import SimulatedTrial, Worker
from tests.search_bench.suggestions import EPOCHS, SHARES

SAMPLERS: dict[str, Any] = {"known cost": KnownCost(), "TPE": tpe, "random": lambda seed: RandomSampler(seed=seed)}

LONG = EPOCHS[-1]
"""Epochs of a whole trial."""

MEAN = sum(epochs * share for epochs, share in zip(EPOCHS, SHARES, strict=True))
"""Epochs of a trial, as ASHA stops them."""

A_TRIAL = {"ask": 1.0, "report": MEAN - 1, "stop": 1 - SHARES[-1], "finish": SHARES[-1]}
"""How often each comes in one."""

PHASES = ("resume", "rungs", "again", "first", "ask", "report", "stop", "finish")


class Driver:
    """A driver without Ray, its search resumed.

    Args:
        folder: of the study.
        study: what is searched.
        workers: trials side by side.
        made: trials that are there; later ones are new.

    Attributes:
        spent: CPU-seconds and seconds by the clock of each call, by phase.
    """

    def __init__(self, folder: Path, study: Study, workers: int, made: int) -> None:
        self.spent: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._folder, self._made, self._rng = folder, made, np.random.default_rng(0)
        with self._timed() as resume:
            storage = open_storage(f"sqlite:///{folder}/study.db")
            begun = optuna.load_study(study_name="big", storage=storage)
            study, _ = adapt(study, begun)
            self.ledger = Ledger(study, "big", storage, begun.user_attrs["data"])
            self.ledger.adopt()
            view = View(Console(file=io.StringIO()), self.ledger)
            self._attachments = Attachments(self.ledger, Path(freihand.__file__), folder)
            self.ledger.on_admission = self._attachments.network
            shared = (folder / "weights", Devices(workers, 1, 0), lambda: "", time.monotonic(), None, view)
            self._run = SearchRun(self.ledger, self._attachments, *shared)
            with self._timed() as rungs:
                self._scheduler: Any = ResumableScheduler(self.ledger)
            self._searcher = LedgerSearcher(self._run)
            self._first = self._searcher.suggest("")
        self._enter("resume", resume)
        self._enter("rungs", rungs)

    @contextmanager
    def _timed(self) -> Iterator[list[float]]:
        """CPU-seconds and seconds by the clock, once it is over."""
        taken: list[float] = []
        cpu, wall = time.process_time(), time.perf_counter()
        yield taken
        taken += [time.process_time() - cpu, time.perf_counter() - wall]

    def _enter(self, phase: str, taken: list[float]) -> None:
        if self._run.trouble is not None:
            raise self._run.trouble
        if self._attachments._warned:
            raise RuntimeError("something could not be attached")
        self.spent[phase].append((taken[0], taken[1]))

    def begin(self, worker: Worker) -> bool:
        """Give a worker its next trial."""
        asked, self._first = self._first, None
        with self._timed() as taken:
            asked = asked or self._searcher.suggest("")
            assert isinstance(asked, dict)
            given = asked["trial"]
            worker.trial = SimulatedTrial(f"trial-{given['number']}", asked)
            self._scheduler.on_trial_add(None, worker.trial)
        is_new = given["number"] >= self._made
        self._enter("again" if not is_new else "ask" if self.spent["first"] else "first", taken)
        readings, lr = self.ledger.readings[worker.number], given["config"]["training"]["lr"]
        floor = 5 + 2.4 * (readings["gflops"] * readings["params_m"]) ** -0.22 + 1.5 * abs(math.log(lr / 2e-3))
        floor += self._rng.gamma(2, 0.8)
        worker.errors = [floor + 32 * math.exp(-epoch / 6) for epoch in range(1, LONG + 1)]
        worker.seconds = 60 * (1 + 10 * readings["gflops"])
        worker.epoch = int(given["last"]["epoch"]) + 1 if given["last"] else 1
        worker.ends += worker.seconds
        self._write(worker, 0)
        return True

    def _write(self, worker: Worker, epoch: int) -> None:
        """What a worker leaves on the disk after its last epoch, and before its first."""
        state = {"epoch": epoch, "net": {}, "ema": {}}
        checkpoint.save(state, checkpoint.path(self._folder / "weights", worker.number))
        if not epoch:
            return
        task = freihand.task
        point = [[0.5, 0.5]] * len(task.labels)
        examples = [answers.Example("best", 0, 5.0, point, list(point))] * 12
        errors: list[float | None] = [5.0] * len(task.labels)
        edges = [list(edge) for edge in task.edges]
        quantiles = [5.0] * answers.QUANTILES
        found = answers.Answers(epoch, list(task.labels), edges, errors, quantiles, examples, "px")
        answers.save(found, self._folder, worker.number)

    def end_epoch(self, worker: Worker) -> bool:
        """Enter a worker's epoch; whether its trial goes on."""
        epoch, trial, seconds = worker.epoch, worker.trial, worker.seconds
        is_whole = epoch == LONG
        if is_whole:
            self._write(worker, epoch)
        row = {"epoch": epoch, "error": worker.errors[epoch - 1], "train_loss": 0.1, "valid_loss": 0.1, "lr": 0.001}
        row |= {"seconds": seconds, "train_seconds": seconds, "images": 2560, "memory_mb": 900.0}
        result = {**row, "hostname": "host", "pid": worker.index, "length": LONG, "done": is_whole}
        with self._timed() as taken:
            decision = self._scheduler.on_trial_result(None, trial, result)
            ends = result["done"] = is_whole or decision == TrialScheduler.STOP
            with self._run.guarded():
                self._run.record(worker.number, result)
            if ends:
                self._scheduler.on_trial_complete(None, trial, result)
            self._run.watch()
        self._enter("finish" if is_whole else "stop" if ends else "report", taken)
        worker.epoch, worker.ends = epoch + 1, worker.ends + seconds
        return not ends


def made(folder: Path, trials: int, workers: int) -> int:
    """Make a study and what a driver has recorded of the networks in training; how many trials it has."""
    make(folder / "study.db", trials + workers, workers=workers, configs=True)
    some = network.record(0, replay(freihand.study, freihand.published)[0].arch)
    network.file_of(folder, 0).parent.mkdir()
    begun = optuna.load_study(study_name="big", storage=f"sqlite:///{folder}/study.db")
    for trial in begun.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        own = some.model_copy(update={"trial": trial.number, "arch": repr(rebuild(trial.user_attrs["config"]).arch)})
        network.file_of(folder, trial.number).write_text(own.model_dump_json(), encoding="utf-8")
    return trials + workers


def measure(folder: Path, trials: int, workers: int, sampler: str, asks: int) -> dict[str, str]:
    """Resume a study, and go on until `asks` trials were sampled; a line of the table."""
    study = replace(freihand.study, trials=10**9, sampler=SAMPLERS[sampler])
    driver = Driver(folder, study, workers, made(folder, trials, workers))
    busy = [Worker(0.0, index) for index in range(workers)]
    for worker in busy:
        driver.begin(worker)
    heapq.heapify(busy)
    while len(driver.spent["ask"]) < asks:
        worker = heapq.heappop(busy)
        if driver.end_epoch(worker) or driver.begin(worker):
            heapq.heappush(busy, worker)
    medians = {
        phase: [median(taken) for taken in zip(*driver.spent[phase], strict=True)] or [math.nan, math.nan]
        for phase in PHASES
    }
    trial = sum(often * medians[phase][0] for phase, often in A_TRIAL.items())
    return {
        "sampler": sampler,
        "trials": str(trials),
        "workers": str(workers),
        **{phase: f"{cpu:.3g} ({wall:.3g})" for phase, (cpu, wall) in medians.items()},
        "trial": f"{trial:.3g}",
        "W x trial": f"{workers * trial:.3g}",
        "an epoch": f"{workers * trial / MEAN:.3g}",
        "memory [MB]": f"{psutil.Process().memory_info().rss / 1e6:.0f}",
        "study.db [MB]": f"{(folder / 'study.db').stat().st_size / 1e6:.0f}",
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trials", type=int, nargs="*", default=[100, 300, 1000, 3000, 10_000], help="ended ones")
    options.add_argument("--workers", type=int, nargs="*", default=[256])
    options.add_argument("--samplers", nargs="*", choices=SAMPLERS, default=["known cost"])
    options.add_argument("--asks", type=int, default=20, help="trials to sample")
    given = options.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for sampler in given.samplers:
        for trials in given.trials:
            for workers in given.workers:
                with tempfile.TemporaryDirectory() as folder:
                    row = measure(Path(folder), trials, workers, sampler, given.asks)
                table = Table(*row)
                table.add_row(*row.values())
                Console(width=230).print(table)


if __name__ == "__main__":
    main()
