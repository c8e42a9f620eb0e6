"""What KnownCost expected of the trials that it chose, and what they were worth in the end.

    python -m tests.search_bench.expected_gain [FOLDER] [--seeds 10] [--trials 60]

A trial's worth is by how much its value after all epochs, which a table knows of stopped trials, too, is below the
best of the trials that had finished when it was chosen, or else 0. Printed are means over trials, by how many had
finished, in nats, with the interval of two standard errors over searches.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from search.paths import EXPECTED_GAIN
from search.samplers import KnownCost
from search.schedulers import Asha
from tests.search_bench.replay import Method, Replayed, Worker, in_virtual_time
from tests.search_bench.runs import tables
from tests.search_bench.tables import Table, value

FINISHED = (1, 2, 3, 5, 8, 12, 20, 1000)
"""Numbers of finished trials at which groups begin."""


class Watched(Replayed):
    """A replayed search of so many trials, and what became of each."""

    def __init__(self, table: Table, seed: int, trials: int) -> None:
        super().__init__(table, Method("known cost", KnownCost(), lambda table: Asha(table.grace)), seed)
        self._most = trials
        self.chosen: list[tuple[int, float, float]] = []  # finished before, expected, worth

    def begin(self, worker: Worker) -> bool:
        """Give a worker its next trial."""
        if self.trials == self._most:
            return False
        over = [
            trial for trial in self.ledger.optuna_study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"
        ]
        super().begin(worker)
        trial = self.ledger.optuna_study.get_trials(deepcopy=False)[worker.number]
        expected = trial.user_attrs.get(EXPECTED_GAIN)
        if expected is not None and over and len(worker.errors) == self.table.epochs:
            ends = value(self.entries[worker.number], worker.errors[-1])
            self.chosen.append((len(over), expected, max(0.0, min(other.value for other in over) - ends)))
        return True


def groups(chosen: list[tuple[int, float, float]]) -> Iterator[tuple[int, list[tuple[float, float]]]]:
    """Trials by how many had finished."""
    found = defaultdict(list)
    for finished, expected, worth in chosen:
        found[max(least for least in FINISHED if least <= finished)].append((expected, worth))
    yield from sorted(found.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=60)
    asked = parser.parse_args()
    for name, table in tables(asked.folder).items():
        of_searches: dict[int, list[list[tuple[float, float]]]] = defaultdict(list)
        for seed in range(asked.seeds):
            search = Watched(table, seed, asked.trials)
            in_virtual_time(search, math.inf)
            for least, pairs in groups(search.chosen):
                of_searches[least].append(pairs)
        print(name)
        for least, searches in sorted(of_searches.items()):
            means = np.array([np.mean(pairs, axis=0) for pairs in searches])
            error = 2 * means[:, 1].std() / math.sqrt(len(means))
            count = sum(map(len, searches))
            expected, worth = means.mean(0)
            print(
                f"  {least:>3} finished or more: expected {expected:.3f}, worth {worth:.3f} +- {error:.3f} ({count})",
                flush=True,
            )


if __name__ == "__main__":
    main()
