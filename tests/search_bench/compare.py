"""`make bench-search`: ways to search, replayed on tables of trained networks.

    python -m tests.search_bench.compare BENCH_FOLDER [--seeds 30] [--methods known ...] [--out runs.csv]

BENCH_FOLDER holds naap440/ and lcbench/. One line a replay goes to the csv as soon as it has ended, and what is in it is
not replayed again. Printed are medians over seeds: regret (nats above the table's best) after parts of the budget, and
training-seconds, as a part of the budget, until a search had what TPE under ASHA has after its whole budget.
"""

import argparse
import csv
import math
import multiprocessing
import os
import warnings
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import numpy as np
import optuna
from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler, TPESampler
from rich.console import Console
from rich.table import Table as Printed

from search.samplers import KnownCostSampler
from search.schedulers import Asha, NoStopping
from tests.search_bench.replay import Method, Replay, replay
from tests.search_bench.tables import LCBench, Naap, Recorded, Table

TASKS = ("3945", "126026", "167168", "189866", "7593")
"""Of LCBench's data sets."""

BUDGET = 25
"""Full trainings of a mean network."""

PARTS = (0.25, 0.5, 1.0)
FIELDS = ("table", "method", "seed", "budget", "trials", "suggesting_s", "trace")


def methods() -> list[Method]:
    def none(_: Table) -> NoStopping:
        return NoStopping()

    def asha(table: Table) -> Asha:
        return Asha(table.grace)

    return [
        Method("random", lambda _, seed: RandomSampler(seed=seed), none),
        Method("TPE", lambda _, seed: TPESampler(seed=seed), none),
        Method("NSGA-II", lambda _, seed: NSGAIISampler(seed=seed), none),
        Method("GP of Optuna", lambda _, seed: GPSampler(seed=seed), none),
        Method("random + ASHA", lambda _, seed: RandomSampler(seed=seed), asha),
        Method("TPE + ASHA", lambda _, seed: TPESampler(seed=seed), asha),
        Method("known cost", KnownCostSampler, none),
        Method("known cost + ASHA", KnownCostSampler, asha),
    ]


STOCK = "TPE + ASHA"


@cache
def tables(folder: Path) -> dict[str, Table]:
    found: list[Table] = [Naap(folder / "naap440"), *(LCBench(folder / "lcbench", task) for task in TASKS)]
    found += [Recorded(file) for file in sorted((Path(__file__).parent / "tables").glob("*.csv"))]
    return {table.name: table for table in found}


@cache
def full_training(table: Table) -> float:
    """Seconds of a full training, the mean of twenty networks at random."""
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    return sum(sum(table.curve(table.entry(study.ask()), 0)[1]) for _ in range(20)) / 20


def run(job: tuple[Path, str, str, int]) -> dict[str, object]:
    folder, name, chosen, seed = job
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = tables(folder)[name]
    method = next(method for method in methods() if method.name == chosen)
    budget = BUDGET * full_training(table)
    ended = replay(table, method, seed, budget)
    steps = [
        (spent, value) for i, (spent, value) in enumerate(ended.trace) if not i or value < ended.trace[i - 1][1]
    ]
    trace = " ".join(f"{spent:.5g}:{value:.5g}" for spent, value in steps)
    return dict(
        zip(FIELDS, (name, chosen, seed, budget, ended.trials, round(ended.suggesting_s, 2), trace), strict=True)
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--seeds", type=int, default=30)
    options.add_argument("--methods", nargs="*")
    options.add_argument("--tables", nargs="*")
    options.add_argument("--processes", type=int, default=os.cpu_count())
    options.add_argument("--out", type=Path, default=Path("runs/search_bench.csv"))
    given = options.parse_args()
    names = given.methods or [method.name for method in methods()]
    chosen = [name for name in tables(given.folder) if not given.tables or name in given.tables]
    rows = list(csv.DictReader(given.out.open(newline=""))) if given.out.exists() else []
    done = {(row["table"], row["method"], int(row["seed"])) for row in rows}
    jobs = [
        (given.folder, table, method, seed)
        for seed in range(given.seeds)
        for table in chosen
        for method in names
        if (table, method, seed) not in done
    ]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with given.out.open("a", newline="") as file, ProcessPoolExecutor(given.processes, context) as pool:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if not rows:
            writer.writeheader()
        for future in as_completed([pool.submit(run, job) for job in jobs]):
            row = future.result()
            writer.writerow(row)
            file.flush()
            rows.append({key: str(value) for key, value in row.items()})
    show(rows, tables(given.folder))


def show(rows: list[dict[str, str]], known: dict[str, Table]) -> None:
    runs: dict[str, dict[str, list[tuple[float, Replay]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        steps = [step.split(":") for step in row["trace"].split()]
        trace = [(float(spent), float(value)) for spent, value in steps]
        ended = Replay(trace, int(row["trials"]), float(row["suggesting_s"]))
        runs[row["table"]][row["method"]].append((float(row["budget"]), ended))
    for table, by_method in runs.items():
        best = known[table].best()
        printed = Printed(
            "method", "seeds", "trials", "s a suggestion", *(f"regret at {part:g}" for part in PARTS), "as TPE + ASHA at its end",
            title=table,
        )
        goal = np.median([run.best() for _, run in by_method[STOCK]]) if STOCK in by_method else math.nan
        for method, ended in by_method.items():
            regrets = [np.array([run.best(part * budget) - best for budget, run in ended]) for part in PARTS]
            reached = np.array([run.reached(goal + 1e-9) / budget for budget, run in ended])
            printed.add_row(
                method,
                str(len(ended)),
                f"{np.mean([run.trials for _, run in ended]):.0f}",
                f"{sum(run.suggesting_s for _, run in ended) / sum(run.trials for _, run in ended):.3f}",
                *(_median(regret) for regret in regrets),
                _median(reached),
            )
        Console(width=160).print(printed)


def _median(values: np.ndarray) -> str:  # type: ignore[type-arg]
    """Median and quartiles."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), method="nearest")
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
