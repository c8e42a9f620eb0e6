"""Searches that are told of a goal against the same ones that are not, whose best trial below it is picked afterwards.

    python -m tests.search_bench.goals [FOLDER] [--seeds 5] [--goal 0.9] [--tables NAME ...] [--methods NAME ...]

FOLDER as for `compare`. The goal: an error below GOAL times that of the table's best trial, so that the best of all
misses it. Printed are median and quartiles of the regret, in nats above the best of those in the table that are below
the goal, after 1/4, 1/2 and all of the budget; inf: no trial below it had all its epochs yet.
"""

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import optuna

from tests.search_bench.compare import METHODS
from tests.search_bench.replay import replay
from tests.search_bench.runs import budget, tables
from tests.search_bench.summary import PARTS, quartiles

SHOWN = ("TPE + ASHA", "known cost + ASHA", "known cost + look-ahead")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", type=Path, nargs="?")
    words.add_argument("--seeds", type=int, default=5)
    words.add_argument("--goal", type=float, default=0.9)
    words.add_argument("--tables", nargs="*", help="names; all without it")
    words.add_argument("--methods", nargs="*", choices=list(METHODS), default=SHOWN, metavar="METHOD")
    given = words.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known = tables(given.folder)
    for name in given.tables or list(known):
        table, spend = known[name], budget(known[name])
        under = given.goal * table.error_of_best()
        least = table.best(under)
        print(f"{name}: error below {under:.4g}; best below it {least:.2f}, best of all {table.best():.2f}", flush=True)
        for method in given.methods:
            for aims in (False, True):
                chosen = replace(METHODS[method], goal=given.goal, aims=aims)
                ended = [replay(table, chosen, seed, spend) for seed in range(given.seeds)]
                regret = [quartiles([run.best(part * spend) - least for run in ended]) for part in PARTS]
                print(f"  {method}, {'told' if aims else 'picked afterwards'}: {', '.join(regret)}", flush=True)


if __name__ == "__main__":
    main()
