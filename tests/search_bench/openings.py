"""What each choice of the wide space is worth: networks sampled at random, and the same ones without that choice.

    python -m tests.search_bench.openings [--pairs 20] [--device cuda --processes 14] [--out runs/openings.csv]

A network of wide_hands is sampled and trained; then, for each choice (an opening), it is trained with that choice as
it was before there was one, all else equal, the seed too. A line a training goes to the csv as soon as it has ended,
and what is in it is not trained again. Printed, and written with --summary, are for each opening the pairs in which it
differs, the tenth and the half of the values ln(Params x FLOPs) + error with it and without, how many are better with
it, and the median of what it gains, in nats, with an interval of 90 % by bootstrap; then the same median among the half
of the pairs whose better network is best, which is where a search ends.
"""

import argparse
import csv
import json
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as Printed

from models.readings import read
from search.run.state.sampler import derived
from search.run.training.fit import DivergedError, fit
from search.samplers.candidates import DrawnTrial
from search.study import Config, Training
from search.variant import vary
from tests.search_bench.wide_hands import study

OPENINGS: dict[str, Callable[[Any, Training], dict[str, Any]]] = {
    # from 0.08 on few channels differ, or none
    "width below 0.08": lambda arch, _: {"arch.width": 0.1 if arch.width < 0.08 else arch.width},
    "size 32": lambda arch, _: {"arch.size": max(arch.size, 48)},
    "stride 8": lambda arch, _: {"arch.stride": max(arch.stride, 16)},
    "lr above 0.01": lambda _, training: {"training.lr": min(training.lr, 0.01)},
    "stages": lambda *_: {"arch.stages": 7},
    "stem": lambda *_: {"arch.stem": 16, "arch.stem_kernel": 3, "arch.stem_stride": 2},
    "expansion": lambda *_: {"arch.expansion": 1.0},
    "depth": lambda *_: {"arch.depth": 1.0},
    "squeeze": lambda *_: {"arch.squeeze": 0.25},
    "kernel": lambda *_: {"arch.kernel": 5},
    "early_kernel": lambda *_: {"arch.early_kernel": 3},
    "act": lambda *_: {"arch.act": "mixed"},
    "branches": lambda *_: {"arch.branches": 0},
    "grey": lambda *_: {"arch.grey": False},
    "upsample": lambda *_: {"arch.upsample": 1},
    "split": lambda *_: {"arch.split": 1.0},
    "pooled": lambda *_: {"arch.pooled": True},
}
"""What changes back to as it was before, of a network and its training."""

FIELDS = ("sample", "opening", "params_m", "gflops", "error", "value", "seconds", "params")
Lines = list[dict[str, str]]


def sampled(sample: int) -> tuple[Config, dict[str, Any]]:
    """A point of the space."""
    trial = DrawnTrial(np.random.default_rng(sample), {})
    return study.space(trial, study.task), dict(trial.params)


def without(config: Config, opening: str) -> Config:
    """The configuration with an opening as it was before; the same one where it has no part in it."""
    return vary(config, OPENINGS[opening](config.arch, config.training)) if opening else config


def jobs(pairs: int) -> Iterator[tuple[int, str]]:
    """Samples, each followed by those of its changes that some opening still wants."""
    left = dict.fromkeys(OPENINGS, pairs)
    for sample in count():
        config, _ = sampled(sample)
        wanted = [name for name in OPENINGS if left[name] and without(config, name) != config]
        for name in ["", *wanted] if wanted else []:
            yield sample, name
        left |= {name: left[name] - 1 for name in wanted}
        if not any(left.values()):
            return


def train(sample: int, opening: str, device: str) -> dict[str, str]:
    """A line of the csv; the error of a training that diverged is inf."""
    torch.set_num_threads(1)
    config, params = sampled(sample)
    config = without(config, opening)
    readings = read(study.readings, config.arch)
    began, error = time.perf_counter(), math.inf
    try:
        for reached in fit(
            study.task, config, epochs=study.epochs, seed=derived(0, sample), device=torch.device(device)
        ):
            error = reached.epoch.error
    except DivergedError:
        error = math.inf
    value = math.log(math.prod(readings.values())) + error
    numbers = (*readings.values(), error, value, time.perf_counter() - began)
    line = (str(sample), opening, *(f"{number:.6g}" for number in numbers), json.dumps(params))
    return dict(zip(FIELDS, line, strict=True))


def paired(lines: Lines) -> dict[str, list[tuple[float, float]]]:
    """The values with and without each opening."""
    values = {(line["sample"], line["opening"]): float(line["value"]) for line in lines}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in OPENINGS}
    for (sample, opening), value in values.items():
        if opening and (sample, "") in values:
            found[opening].append((values[sample, ""], value))
    return {name: pairs for name, pairs in found.items() if pairs}


def summary(name: str, pairs: Sequence[tuple[float, float]]) -> dict[str, str]:
    """A row of the table; a training that diverged is worse than any other."""
    values = np.nan_to_num(np.array(pairs), posinf=1e3)
    order = np.argsort(values.min(1))
    gains = values[:, 1] - values[:, 0]
    random = np.random.default_rng(0)
    medians = np.median(gains[random.integers(0, len(gains), (2000, len(gains)))], axis=1)
    low, high = np.quantile(medians, [0.05, 0.95])
    return {
        "opening": name,
        "pairs": str(len(pairs)),
        **{
            f"{title} {place:g}": f"{np.quantile(values[:, column], place):.2f}"
            for place in (0.1, 0.5)
            for column, title in enumerate(("with", "without"))
        },
        "better": f"{np.mean(gains > 0):.0%}",
        "gain": f"{np.median(gains):+.2f} ({low:+.2f} to {high:+.2f})",
        "among the best half": f"{np.median(gains[order[: max(1, len(order) // 2)]]):+.2f}",
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=20, help="of each opening")
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options.add_argument("--out", type=Path, default=Path("runs/openings.csv"))
    options.add_argument("--summary", type=Path, help="a csv of what is printed")
    given = options.parse_args()
    study.task.prepare()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    lines: Lines = list(csv.DictReader(given.out.open(newline=""))) if given.out.exists() else []
    done = {(int(line["sample"]), line["opening"]) for line in lines}
    left = [job for job in jobs(given.pairs) if job not in done]
    print(f"{len(left)} trainings to go", flush=True)
    context = multiprocessing.get_context("spawn")
    with given.out.open("a", newline="") as file, ProcessPoolExecutor(given.processes, context) as pool:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if not lines:
            writer.writeheader()
        for future in as_completed([pool.submit(train, *job, given.device) for job in left]):
            lines.append(future.result())
            writer.writerow(lines[-1])
            file.flush()
    rows = [summary(name, pairs) for name, pairs in paired(lines).items()]
    printed = Printed(*rows[0]) if rows else Printed()
    for row in rows:
        printed.add_row(*row.values())
    Console(width=160).print(printed)
    if given.summary and rows:
        with given.summary.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


if __name__ == "__main__":
    main()
