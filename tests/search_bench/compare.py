"""`make bench-search`: ways to search, replayed on tables of trained networks.

    python -m tests.search_bench.compare [FOLDER] [--seeds 30] [--methods random TPE ...] [--out runs.csv]

FOLDER holds naap440/ and lcbench/; without it the only tables are those beside this file. One line a replay goes to the
csv as soon as it has ended, and what is in it is not replayed again: delete it when a method has changed. Lines of
other methods are summed up with the rest; `tests.search_bench.others` writes those of other libraries. --seeds 0 only
reads. Printed, and written with --summary, are

- regret: nats above the table's best after 1/4, 1/2 and all of the budget (inf: no trial had all its epochs yet);
- "as TPE + ASHA": training-seconds, as a part of the budget, until a search had what the median TPE + ASHA, as Ray
  ships it, has after all of it; "best + 0.1": until it was at most 0.1 nat above the table's best;
- "time, TPE + ASHA = 1": for each seed of both, seconds until a search had what TPE + ASHA ends with, by the seconds
  that TPE + ASHA took for it; "end, TPE + ASHA = 0": the value after the whole budget, less that of TPE + ASHA.

Of the first two, median and quartiles over seeds; of the last, the median with its 95 % bootstrap interval, below 1 and
below 0 where a method is the better one; --against names another method to pair with. Compare parts of a method that
way: with few seeds the quartiles of two methods say little. "known cost + ASHA without price" is a black-box
multi-fidelity Gaussian process: it models the objective itself.
"""

import argparse
import csv
import warnings
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler

from search.gate import Gate
from search.samplers import KnownCost
from search.schedulers import Asha, LookAhead, NoStopping
from search.study import tpe
from tests.search_bench.ask_tell import AskTell, OneEpoch
from tests.search_bench.picture import SHOWN, draw
from tests.search_bench.replay import Method, in_virtual_time, replay
from tests.search_bench.runs import Job, Line, budget, fill, line, stored, tables
from tests.search_bench.suggestions import print_seconds
from tests.search_bench.summary import STOCK, groups, over_tables, show, summaries
from tests.search_bench.tables import Table

CONTROLS: dict[str, Callable[[Table, int, float], AskTell]] = {"1 epoch, then the best": OneEpoch}
"""Searches that are no study's."""

DEFAULT = ("random", *CONTROLS, "TPE", STOCK, "known cost + ASHA")


def _whole(_: Table) -> NoStopping:
    return NoStopping()


def _asha(table: Table) -> Asha:
    return Asha(table.grace)


def _look_ahead(table: Table) -> LookAhead:
    return LookAhead(table.grace)


def _look_ahead_alone(table: Table) -> LookAhead:
    return LookAhead(table.grace, asha=False)


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
        Method("TPE + look-ahead alone", tpe, _look_ahead_alone),
        Method("TPE + ASHA + gate", tpe, _asha, Gate()),
        Method("TPE + look-ahead + gate", tpe, _look_ahead, Gate()),
        Method("known cost + look-ahead", KnownCost(), _look_ahead),
        Method("known cost + look-ahead alone", KnownCost(), _look_ahead_alone),
        Method("known cost + ASHA + gate", KnownCost(), _asha, Gate()),
        Method("known cost + look-ahead + gate", KnownCost(), _look_ahead, Gate()),
    )
}


def run(folder: Path | None, job: Job) -> Line:
    """One replay."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    name, chosen, seed = job
    table = tables(folder)[name]
    spend = budget(table)
    if chosen in CONTROLS:
        return line(job, spend, in_virtual_time(CONTROLS[chosen](table, seed, spend), spend))
    return line(job, spend, replay(table, METHODS[chosen], seed, spend))


def options() -> argparse.ArgumentParser:
    """Words of the command."""
    names = [*CONTROLS, *METHODS]
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("folder", type=Path, nargs="?")
    found.add_argument("--seeds", type=int, default=3)
    found.add_argument("--methods", nargs="*", choices=names, default=DEFAULT, metavar="METHOD")
    found.add_argument("--tables", nargs="*", help="names; all without it")
    found.add_argument("--processes", type=int, default=1)
    found.add_argument("--out", type=Path, default=Path("runs/search_bench.csv"))
    found.add_argument("--summary", type=Path, help="a csv of what is printed")
    found.add_argument("--against", default=STOCK, metavar="METHOD", help="what the others are paired with")
    found.add_argument("--plot", type=Path, help="a picture of regret against training-seconds (PNG, SVG, PDF)")
    found.add_argument("--plotted", nargs="*", default=SHOWN, metavar="METHOD", help="what is in the picture")
    found.add_argument("--suggestions", action="store_true", help="only: seconds a suggestion after many trials")
    return found


def main() -> None:
    words = options()
    given = words.parse_args()
    if given.suggestions:
        print_seconds()
        return
    folder = given.folder if given.folder and given.folder.is_dir() else None
    if folder is None:
        print("Without a folder with naap440/ and lcbench/ the only tables are those recorded with this project.")
    known = tables(folder)
    if strange := set(given.tables or ()) - set(known):
        words.error(f"no table {', '.join(sorted(strange))}; there are {', '.join(known)}")
    names = given.tables or list(known)
    jobs = [(name, method, seed) for seed in range(given.seeds) for name in names for method in given.methods]
    fill(given.out, jobs, run, folder, given.processes)
    lines = [row for row in stored(given.out) if row["table"] in names]
    best = {name: known[name].best() for name in {row["table"] for row in lines}}
    found = groups(lines, best, [*METHODS, *CONTROLS])
    rows = summaries(found, given.against)
    show(rows)
    show(over_tables(found, given.against))
    if given.summary:
        with given.summary.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if given.plot:
        draw(found, given.plotted, given.plot)


if __name__ == "__main__":
    main()
