"""The engine without Ray: the real ledger, scheduler and training, trials in turns, all in this process.

A search by Ray takes some 50 CPU-seconds beside its training, most of them imports. So what comes before and after a
training is tested by this one, and what Ray does is compared with it; searches and last trainings by Ray itself are in
tests/search/test_search.py, test_nodes.py and test_leak.py. As a program it is the command with this engine.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from search.cli import main
from search.run import engine as by_ray
from search.run.cluster.scheduler import Past, ResumableScheduler
from search.run.cluster.start import Devices
from search.run.engine import Outcome
from search.run.settings import WorkerSettings
from search.run.state.ledger import ROW, Ledger
from search.run.training.worker import work


class Killed(BaseException):
    """As a process is that goes away between two epochs."""


def engine(most: float = math.inf) -> Callable[..., Outcome]:
    """What takes the place of `search.run.engine.search`; it is killed after `most` epochs.

    With `workers` 1 trials are trained one after another, else two in turns.
    """

    def search(ledger: Ledger, file: Path, folder: Path, **options: Any) -> Outcome:
        data = options.get("data")
        rule, workers = ResumableScheduler(ledger), options.get("workers") or 2
        settings = WorkerSettings(str(file), data and str(data), str(folder), 1, options.get("final"))
        active: list[Any] = []
        done = 0
        while True:
            while len(active) < workers and (asked := ledger.ask()) is not None:
                trial = Past(f"trial-{asked.number}", {"trial": asdict(asked)})
                rule.on_trial_add(None, trial)  # type: ignore[arg-type]
                active.append((asked, trial, work(settings, asked, torch.device("cpu"))))
            if not active:
                return Outcome(0, "", 0.0, 0.0, 0.0, Devices(workers, 1, 0))
            if done >= most:
                raise Killed
            asked, trial, epochs = active.pop(0)
            row, done = next(epochs), done + 1
            assert "failed" not in row, row
            decision = rule.on_trial_result(None, trial, row)  # type: ignore[arg-type]
            ledger.report(asked.number, {key: row[key] for key in ROW})
            if row["epoch"] < asked.epochs and decision != "STOP":
                active.append((asked, trial, epochs))
                continue
            rule.on_trial_complete(None, trial, row)  # type: ignore[arg-type]
            (ledger.finish if row["epoch"] == asked.epochs else ledger.stop)(asked.number)

    return search


if __name__ == "__main__":
    by_ray.search = engine()
    sys.argv[0] = "posefront"
    main()
