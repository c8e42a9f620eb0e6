"""`make bench-search`: ways to search, replayed on tables of trained networks.

    python -m tests.search_bench.compare [FOLDER] [--seeds 30] [--methods random TPE ...] [--out runs.csv]

FOLDER holds naap440/ and lcbench/; without it drawn hands are the only table. One line a replay goes to the csv as soon
as it has ended, and what is in it is not replayed again: delete it when a method has changed. Printed, and written with
--summary, are medians and quartiles over seeds of

- regret: nats above the table's best after 1/4, 1/2 and all of the budget (inf: no trial had all its epochs yet);
- training-seconds, as a part of the budget, until a search had what the median TPE + ASHA has after all of it.

The table results.csv beside this file was written on 2026-11-26, on one of two shared x86 cores, by this command with
--seeds 30 --methods random TPE "random + ASHA" "TPE + ASHA" "known cost + ASHA" (on LCBench 189866 the last with
--seeds 4) and with --seeds 5 --tables "drawn hands" NAAP-440 "LCBench 7593" for the last method without its parts.
"""

import argparse
import csv
import math
import multiprocessing
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np
import optuna
from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler
from rich.console import Console
from rich.table import Table as Printed

from search.gate import Gate
from search.samplers import KnownCost
from search.schedulers import Asha, LookAhead, NoStopping
from search.study import tpe
from tests.search_bench.replay import Method, Replay, replay
from tests.search_bench.tables import LCBench, Naap, Recorded, Table

TASKS = ("3945", "126026", "167168", "189866", "7593")
"""Of LCBench's data sets."""

BUDGET = 25
"""Full trainings of a mean network."""

PARTS = (0.25, 0.5, 1.0)
FIELDS = ("table", "method", "seed", "budget", "trials", "suggesting_s", "trace")
STOCK = "TPE + ASHA"
DEFAULT = ("random", "TPE", STOCK, "known cost + ASHA")


def _whole(_: Table) -> NoStopping:
    return NoStopping()


def _asha(table: Table) -> Asha:
    return Asha(table.grace)


def _look_ahead(table: Table) -> LookAhead:
    return LookAhead(table.grace)


METHODS = {
    method.name: method
    for method in (
        Method("random", lambda seed: RandomSampler(seed=seed), _whole),
        Method("TPE", tpe, _whole),
        Method("NSGA-II", lambda seed: NSGAIISampler(seed=seed), _whole),
        Method("GP", lambda seed: GPSampler(seed=seed), _whole),
        Method("random + ASHA", lambda seed: RandomSampler(seed=seed), _asha),
        Method(STOCK, tpe, _asha),
        Method("known cost", KnownCost(), _whole),
        Method("known cost + ASHA", KnownCost(), _asha),
        Method("known cost + ASHA without log", KnownCost(log_error=False), _asha),
        Method("known cost + ASHA without price", KnownCost(known_cost=False), _asha),
        Method("known cost + ASHA without curves", KnownCost(every_epoch=False), _asha),
        Method("TPE + look-ahead", tpe, _look_ahead),
        Method("TPE + ASHA + gate", tpe, _asha, Gate()),
        Method("TPE + look-ahead + gate", tpe, _look_ahead, Gate()),
        Method("known cost + look-ahead", KnownCost(), _look_ahead),
        Method("known cost + ASHA + gate", KnownCost(), _asha, Gate()),
        Method("known cost + look-ahead + gate", KnownCost(), _look_ahead, Gate()),
    )
}


@cache
def tables(folder: Path | None) -> dict[str, Table]:
    """All tables that are at hand, by name."""
    found: list[Table] = [Recorded(file) for file in sorted(Path(__file__).parent.glob("*.csv.gz"))]
    if folder is not None:
        found += [Naap(folder / "naap440"), *(LCBench(folder / "lcbench", task) for task in TASKS)]
    return {table.name: table for table in found}


@cache
def full_training(table: Table) -> float:
    """Seconds of a full training, the mean of twenty networks at random."""
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    return sum(sum(table.curve(table.entry(study.ask()), 0)[1]) for _ in range(20)) / 20


def run(folder: Path | None, name: str, chosen: str, seed: int) -> dict[str, str]:
    """One replay, as a line of the csv."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = tables(folder)[name]
    budget = BUDGET * full_training(table)
    ended = replay(table, METHODS[chosen], seed, budget)
    steps = [step for i, step in enumerate(ended.trace) if not i or step[1] < ended.trace[i - 1][1]]
    trace = " ".join(f"{spent:.5g}:{value:.5g}" for spent, value in steps)
    line = (name, chosen, seed, f"{budget:.5g}", ended.trials, f"{ended.suggesting_s:.2f}", trace)
    return dict(zip(FIELDS, map(str, line), strict=True))


def read(line: dict[str, str]) -> Replay:
    """The replay of a line."""
    steps = [step.split(":") for step in line["trace"].split()]
    trace = [(float(spent), float(value)) for spent, value in steps]
    return Replay(trace, int(line["trials"]), float(line["suggesting_s"]))


def summaries(lines: list[dict[str, str]], best: dict[str, float]) -> list[dict[str, str]]:
    """A row for each table and method.

    Args:
        lines: of the csv.
        best: the smallest final value of each table.
    """
    places = {name: place for place, name in enumerate(METHODS)}
    order = sorted(lines, key=lambda line: (line["table"], places[line["method"]]))
    runs = {key: list(group) for key, group in groupby(order, lambda line: (line["table"], line["method"]))}
    rows = []
    for (table, method), group in runs.items():
        ended = [(float(line["budget"]), read(line)) for line in group]
        stock = [read(line).best() for line in runs.get((table, STOCK), [])]
        goal = _quantile(stock, 0.5) + 1e-9 if stock else -math.inf
        trials = sum(run.trials for _, run in ended)
        rows.append(
            {
                "table": table,
                "method": method,
                "seeds": str(len(ended)),
                "trials": f"{trials / len(ended):.0f}",
                "s a suggestion": f"{sum(run.suggesting_s for _, run in ended) / trials:.3f}",
                **{
                    f"regret at {part:g}": _quartiles([run.best(part * budget) - best[table] for budget, run in ended])
                    for part in PARTS
                },
                f"as {STOCK}": _quartiles([run.reached(goal) / budget for budget, run in ended]),
            }
        )
    return rows


def _quantile(values: Sequence[float], place: float) -> float:
    """One of the values, as some may be infinite."""
    return float(np.quantile(values, place, method="nearest"))


def _quartiles(values: Sequence[float]) -> str:
    """'median (lower to upper quartile)'."""
    low, middle, high = (_quantile(values, place) for place in (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def show(rows: list[dict[str, str]]) -> None:
    """Print a table of the terminal for each table of networks."""
    for name, group in groupby(rows, lambda row: row["table"]):
        printed: Printed | None = None
        for row in group:
            cells = {title: cell for title, cell in row.items() if title != "table"}
            printed = printed or Printed(*cells, title=name)
            printed.add_row(*cells.values())
        Console(width=160).print(printed)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, nargs="?")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--methods", nargs="*", choices=list(METHODS), default=DEFAULT, metavar="METHOD")
    options.add_argument("--tables", nargs="*", help="names; all without it")
    options.add_argument("--processes", type=int, default=1)
    options.add_argument("--out", type=Path, default=Path("runs/search_bench.csv"))
    options.add_argument("--summary", type=Path, help="a csv of what is printed")
    given = options.parse_args()
    folder = given.folder if given.folder and given.folder.is_dir() else None
    if folder is None:
        print("Without a folder with naap440/ and lcbench/ the only table is the one recorded on drawn hands.")
    known = tables(folder)
    if strange := set(given.tables or ()) - set(known):
        options.error(f"no table {', '.join(sorted(strange))}; there are {', '.join(known)}")
    lines = list(csv.DictReader(given.out.open(newline=""))) if given.out.exists() else []
    done = {(line["table"], line["method"], int(line["seed"])) for line in lines}
    names = given.tables or list(known)
    jobs = [(t, m, s) for s in range(given.seeds) for t in names for m in given.methods if (t, m, s) not in done]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with given.out.open("a", newline="") as file, ProcessPoolExecutor(given.processes, context) as pool:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if not lines:
            writer.writeheader()
        for future in as_completed([pool.submit(run, folder, *job) for job in jobs]):
            lines.append(future.result())
            writer.writerow(lines[-1])
            file.flush()
    lines = [line for line in lines if line["table"] in known and line["method"] in METHODS]
    rows = summaries(lines, {name: known[name].best() for name in {line["table"] for line in lines}})
    show(rows)
    if given.summary:
        with given.summary.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
