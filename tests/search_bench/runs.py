"""Runs of a comparison: a line of a csv each, as it has ended."""

import csv
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import optuna
from optuna.samplers import RandomSampler

from tests.search_bench.replay import Replay
from tests.search_bench.tables import LCBench, Naap, Recorded, Table

TASKS = ("3945", "126026", "167168", "189866", "7593")
"""Of LCBench's data sets."""

BUDGET = 25
"""Full trainings of a mean network."""

FIELDS = ("table", "method", "seed", "budget", "trials", "suggesting_s", "trace")

Line = dict[str, str]
Job = tuple[str, str, int]
"""Table, method and seed."""


@cache
def tables(folder: Path | None) -> dict[str, Table]:
    """All tables that are at hand, by name.

    Args:
        folder: holds naap440/ and lcbench/.
    """
    found: list[Table] = [Recorded(file) for file in sorted(Path(__file__).parent.glob("*.csv.gz"))]
    if folder is not None:
        found += [Naap(folder / "naap440"), *(LCBench(folder / "lcbench", task) for task in TASKS)]
    return {table.name: table for table in found}


@cache
def budget(table: Table) -> float:
    """Training-seconds of a search: `BUDGET` times the mean of twenty networks at random."""
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    return BUDGET * (sum(sum(table.curve(table.entry(study.ask()), 0)[1]) for _ in range(20)) / 20)


def line(job: Job, spend: float, ended: Replay) -> Line:
    """Of the csv; of the trace, only the steps."""
    steps = [step for i, step in enumerate(ended.trace) if not i or step[1] < ended.trace[i - 1][1]]
    trace = " ".join(f"{spent:.5g}:{value:.5g}" for spent, value in steps)
    cells = (*job, f"{spend:.5g}", ended.trials, f"{ended.suggesting_s:.2f}", trace)
    return dict(zip(FIELDS, map(str, cells), strict=True))


def read(row: Line) -> Replay:
    """The replay of a line."""
    steps = [step.split(":") for step in row["trace"].split()]
    trace = [(float(spent), float(value)) for spent, value in steps]
    return Replay(trace, int(row["trials"]), float(row["suggesting_s"]))


def stored(file: Path) -> list[Line]:
    """Lines of a csv, which may not be there yet."""
    if not file.exists():
        return []
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def fill(
    file: Path, jobs: Iterable[Job], run: Callable[[Path | None, Job], Line], folder: Path | None, many: int
) -> None:
    """Run what the csv lacks, in `many` processes."""
    lines = stored(file)
    done = {(row["table"], row["method"], int(row["seed"])) for row in lines}
    file.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with file.open("a", newline="") as opened, ProcessPoolExecutor(many, context) as pool:
        writer = csv.DictWriter(opened, FIELDS, lineterminator="\n")
        if not lines:
            writer.writeheader()
        for future in as_completed([pool.submit(run, folder, job) for job in jobs if job not in done]):
            writer.writerow(future.result())
            opened.flush()
