"""Train every configuration of a study with a finite space, and keep the curves: a table to replay searches on.

    python -m tests.search_bench.record STUDY.py TABLE.csv [--seeds 2] [--part 0.3]

The table beside this file was recorded on 2026-11-25 in 1.5 CPU-hours of a shared x86 core, by

    python -m tests.search_bench.record tests/search_bench/drawn_hands.py drawn_hands.csv
    gzip -9 -n drawn_hands.csv

One row an epoch. Seconds are of CPU time, of one thread, so that what else the machine does is not in them. Given
again, the command goes on after the last whole trial. The order is random, so that a part of the table is a fair one.
"""

import argparse
import csv
import dataclasses
import random
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import torch
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BruteForceSampler

from models.readings import read
from search.load import load_study
from search.run.fit import DivergedError, fit
from search.run.sampler import derived
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


def curve(study: Study, params: dict[str, Any], seed: int) -> Iterator[dict[str, float]]:
    """One training, an epoch at a time; it ends where it diverges."""
    config, _ = replay(study, params)
    readings = read(study.readings, config.arch)
    began = time.process_time()
    try:
        for reached in fit(study.task, config, epochs=study.epochs, seed=seed, device=torch.device("cpu")):
            now = time.process_time()
            row = {**dataclasses.asdict(reached.epoch), **readings, "seconds": now - began}
            yield {name: row[name] for name in MEASURED}
            began = now
    except DivergedError as error:
        print(f"{params}: {error}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("study")
    options.add_argument("table", type=Path)
    options.add_argument("--data", help="replaces the task's folder")
    options.add_argument("--seeds", type=int, default=2, help="trainings of each configuration of the part")
    options.add_argument("--part", type=float, default=0.3, help="of the configurations that have more than one seed")
    given = options.parse_args()
    torch.set_num_threads(1)
    study = load_study(given.study, data=given.data)
    study.task.prepare()
    every = configurations(study)
    names = sorted({name for params in every for name in params})
    jobs = [(index, 0) for index in range(len(every))]
    jobs += [(index, seed) for seed in range(1, given.seeds) for index in range(round(given.part * len(every)))]
    columns = ["configuration", "seed", *names, *MEASURED]
    trained = set()
    if given.table.exists():
        with given.table.open(newline="") as file:
            trained = {(int(row["configuration"]), int(row["seed"])) for row in csv.DictReader(file)}
    else:
        given.table.write_text(",".join(columns) + "\n")
    for done, (index, seed) in enumerate(jobs):
        if (index, seed) in trained:
            continue
        shared = {"configuration": index, "seed": seed, **every[index]}
        rows = [{**shared, **row} for row in curve(study, every[index], derived(seed, index))]
        with given.table.open("a", newline="") as file:  # a whole trial at a time
            csv.DictWriter(file, columns, lineterminator="\n").writerows(
                {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows
            )
        print(
            f"{done + 1} of {len(jobs)}", every[index], f"{rows[-1]['error']:.2f}" if rows else "diverged", flush=True
        )


if __name__ == "__main__":
    main()
