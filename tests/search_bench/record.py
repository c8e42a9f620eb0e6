"""Train every configuration of a study with a finite space, and keep the curves: a table to replay searches on.

    python -m tests.search_bench.record STUDY.py TABLE.csv [--seeds 2] [--part 0.3]

The table beside this file was recorded on 2026-11-25 in 1.5 CPU-hours of a shared x86 core, by

    python -m tests.search_bench.record tests/search_bench/drawn_hands.py drawn_hands.csv
    gzip -9 -n drawn_hands.csv

and the one of faces on 2026-11-26, about half of it on the CPU of another machine, whose seconds were divided by 1.232,

    python -m tests.search_bench.record tests/search_bench/faces68.py faces68.csv --data FOLDER --part 0

One row an epoch. Seconds are of CPU time, of one thread, so that what else the machine does is not in them. Given
again, the command goes on with what is missing. The order is random, so that a part of the table is a fair one. With
--processes several trainings run side by side, each with one thread; on a GPU seconds are by the clock.
"""

import argparse
import csv
import dataclasses
import multiprocessing
import random
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BruteForceSampler

from models.readings import read
from search.load import load_study
from search.run.state.sampler import derived
from search.run.training.fit import DivergedError, fit
from search.study import Study, replay

MEASURED = ("params_m", "gflops", "epoch", "error", "train_loss", "valid_loss", "seconds")


def configurations(study: Study) -> list[dict[str, Any]]:
    """All parameters of a finite space, in a random order that is always the same."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        every = optuna.create_study(sampler=BruteForceSampler(seed=0))

    def visit(trial: optuna.Trial) -> float:
        study.space(trial, study.task)
        return 0.0

    every.optimize(visit)
    found = sorted((trial.params for trial in every.trials), key=str)
    random.Random(0).shuffle(found)
    return found


def curve(study: Study, params: dict[str, Any], seed: int, device: str = "cpu") -> Iterator[dict[str, float]]:
    """One training, an epoch at a time; it ends where it diverges."""
    config, _ = replay(study, params)
    readings = read(study.readings, config.arch)
    clock = time.perf_counter if device == "cuda" else time.process_time
    began = clock()
    try:
        for reached in fit(study.task, config, epochs=study.epochs, seed=seed, device=torch.device(device)):
            now = clock()
            row = {**dataclasses.asdict(reached.epoch), **readings, "seconds": now - began}
            yield {name: row[name] for name in MEASURED}
            began = now
    except DivergedError as error:
        print(f"{params}: {error}")


@cache
def loaded(file: str, data: str | None) -> Study:
    """The study of a file, once a process."""
    torch.set_num_threads(1)
    return load_study(file, data=data)


def train(file: str, data: str | None, job: tuple[int, int, dict[str, Any]], device: str) -> list[dict[str, Any]]:
    """The rows of one training."""
    index, seed, params = job
    shared = {"configuration": index, "seed": seed, **params}
    return [{**shared, **row} for row in curve(loaded(file, data), params, derived(seed, index), device)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("study")
    options.add_argument("table", type=Path)
    options.add_argument("--data", help="replaces the task's folder")
    options.add_argument("--seeds", type=int, default=2, help="trainings of each configuration of the part")
    options.add_argument("--part", type=float, default=0.3, help="of the configurations that have more than one seed")
    options.add_argument("--processes", type=int, default=1, help="trainings side by side")
    options.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = options.parse_args()
    study = loaded(given.study, given.data)
    study.task.prepare()
    every = configurations(study)
    columns = ["configuration", "seed", *sorted({name for params in every for name in params}), *MEASURED]
    jobs = [(index, 0, params) for index, params in enumerate(every)]
    jobs += [(*job, every[job[0]]) for job in product(range(round(given.part * len(every))), range(1, given.seeds))]
    trained = set()
    if given.table.exists():
        with given.table.open(newline="") as file:
            trained = {(int(row["configuration"]), int(row["seed"])) for row in csv.DictReader(file)}
    else:
        given.table.write_text(",".join(columns) + "\n")
    left = [job for job in jobs if job[:2] not in trained]
    with ProcessPoolExecutor(given.processes, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(train, given.study, given.data, job, given.device): job for job in left}
        for done, future in enumerate(as_completed(running), len(jobs) - len(left) + 1):
            rows = future.result()
            with given.table.open("a", newline="") as file:  # a whole trial at a time
                csv.DictWriter(file, columns, lineterminator="\n").writerows(
                    {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows
                )
            ended = f"{rows[-1]['error']:.2f}" if rows else "diverged"
            print(f"{done} of {len(jobs)}", running[future][2], ended, flush=True)


if __name__ == "__main__":
    main()
