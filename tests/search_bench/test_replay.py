"""The replay against schedules worked out by hand, and against itself."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import BaseTrial, FrozenTrial

from search.schedulers import Asha, NoStopping, Scheduler
from tests.search_bench import compare, runs
from tests.search_bench.ask_tell import AskTell, Job, OneEpoch
from tests.search_bench.others import entry, ranges
from tests.search_bench.picture import draw
from tests.search_bench.replay import Method, in_virtual_time, replay
from tests.search_bench.summary import groups, medians, over_tables, summaries
from tests.search_bench.tables import Entry, Recorded

DRAWN = Recorded(Path(__file__).parent / "drawn_hands.csv.gz")


@dataclass(frozen=True)
class Curves:
    """A table of one million parameters and a thousand million multiply-adds: values are errors."""

    errors: Sequence[Sequence[float]]
    seconds: Sequence[Sequence[float]]
    epochs: int
    name = "curves"
    grace = 1

    def entry(self, trial: BaseTrial) -> Entry:
        return Entry((trial.suggest_int("row", 0, len(self.errors) - 1),), 1.0, 1.0)

    def curve(self, entry: Entry, seed: int) -> tuple[Sequence[float], Sequence[float]]:
        del seed
        return self.errors[entry.key[0]], self.seconds[entry.key[0]]

    def best(self) -> float:
        return min(errors[-1] for errors in self.errors)


class InOrder(RandomSampler):
    """Trial i has row i."""

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        del study, param_name
        return min(trial.number, param_distribution.high)  # type: ignore[attr-defined]


def in_order(scheduler: Scheduler) -> Method:
    def make(seed: int) -> BaseSampler:
        return InOrder(seed)

    return Method("in order", make, lambda _: scheduler)


def test_two_workers_by_hand() -> None:
    errors = [[9.0, 5.0], [9.0, 3.0], [9.0, 4.0], [9.0, 9.0]]
    table = Curves(errors, [[1, 1], [3, 3], [1, 2], [2, 2]], 2)
    # Worker 0: trial 0 from 0 to 2, trial 2 to 5, trial 3 from then on. Worker 1: trial 1 from 0 to 6, then trial 4.
    # Spent at second 2: 2; at 5: 2 + 3 + 3 of worker 1's first epoch; at 6: 5 + 6. Worker 0's epoch ends at 7.
    ended = replay(table, in_order(NoStopping()), seed=0, budget=11, workers=2)
    assert ended.trace == [(2, 5.0), (8, 4.0), (11, 3.0)]
    assert ended.trials == 5
    assert ended.reached(4.0) == 8
    assert ended.best(7.9) == 5.0


def test_asha_stops_what_is_worse_at_the_first_rung() -> None:
    errors = [[5.0] * 9, [6.0] * 9, [4.0] * 9]
    ended = replay(Curves(errors, [[1] * 9] * 3, 9), in_order(Asha(1)), seed=0, budget=19, workers=1)
    assert ended.trace == [(9, 5.0), (19, 4.0)]
    assert ended.trials == 4


def test_what_diverges_is_no_result() -> None:
    errors = [[1.0], [6.0, 6.0]]
    search = replay(Curves(errors, [[1], [1, 1]], 2), in_order(NoStopping()), seed=0, budget=3, workers=1)
    assert search.trace == [(3, 6.0)]


@pytest.mark.parametrize("name", ["TPE + ASHA", "TPE + look-ahead + gate"])
def test_a_replay_depends_on_its_seed_alone(name: str) -> None:
    first, second, other = (replay(DRAWN, compare.METHODS[name], seed, 200.0) for seed in (0, 0, 1))
    assert first.trace == second.trace != other.trace
    assert first.trials == second.trials


class Paused(AskTell):
    """Pauses trial 0 after an epoch, trains trial 1, and goes on with trial 0."""

    jobs = ((0, 1), (1, 1), (0, 2))

    def suggest(self, number: int) -> Job | None:
        del number
        if not self.jobs:
            return None
        (row, epoch), self.jobs = self.jobs[0], self.jobs[1:]
        return Job(row, Entry((row,), 1.0, 1.0), epoch)

    def judge(self, job: Job, epoch: int, now: float) -> bool:
        del now
        return (job.number, epoch) != (0, 1)


def test_what_was_paused_goes_on_where_it_was() -> None:
    search = Paused(Curves([[9.0, 5.0], [9.0, 6.0]], [[1, 2], [4, 8]], 2), 0, 99.0)
    ended = in_virtual_time(search, 99.0, workers=1)
    assert ended.trace == [(13, 6.0), (15, 5.0)]
    assert ended.trials == 2


def test_one_epoch_then_the_best_by_hand() -> None:
    # Of four rows with 1 second an epoch, all are tried by second 4; the best after an epoch, 2.0, ends at 7.0 only.
    errors = [[5.0, 5.0, 5.0], [2.0, 6.0, 7.0], [3.0, 1.0, 1.0], [4.0, 4.0, 4.0]]
    table = Curves(errors, [[1] * 3] * 4, 3)
    ended = in_virtual_time(OneEpoch(table, 0, 11.0), 11.0, workers=1)
    assert ended.trace == [(7, 7.0), (10, 1.0), (13, 1.0)][: len(ended.trace)]
    assert len(ended.trace) == 2
    assert ended.trials == 7
    assert OneEpoch(table, 0, 11.0).suggest(0) == OneEpoch(table, 0, 11.0).suggest(0)
    whole = in_virtual_time(OneEpoch(table, 0, 99.0), 99.0, workers=2)
    assert whole.trace[-1] == (16, 1.0)  # ends where nothing is left: 4 epochs, and 4 trainings in full
    assert whole.trials == 8


def test_a_librarys_parameters_name_the_same_networks() -> None:
    assert set(ranges(DRAWN)) == {"head", "lr", "size", "stride", "width"}
    params = {"head": "simcc", "lr": 1, "size": 2, "stride": 0, "width": 3}
    assert entry(DRAWN, params) == DRAWN.entry(optuna.trial.FixedTrial(params))


def line(method: str, seed: int, trace: str, table: str = "t") -> dict[str, str]:
    return dict(zip(runs.FIELDS, (table, method, str(seed), "8", "10", "1.0", trace), strict=True))


STOCK = [line("TPE + ASHA", seed, f"4:{5 + seed} 8:{1 + seed}") for seed in range(3)]
OTHER = [line("random", 0, "2:2"), line("random", 1, "6:3"), line("random", 2, "6:2.5")]


def test_medians_and_quartiles_by_hand() -> None:
    ours, theirs = summaries(groups(STOCK + OTHER, {"t": 0.5}, ["random", "TPE + ASHA"]))
    assert (ours["method"], theirs["method"]) == ("random", "TPE + ASHA")
    assert theirs["regret at 0.25"] == "inf (inf to inf)"
    assert theirs["regret at 0.5"] == "5.50 (4.50 to 6.50)"
    assert theirs["regret at 1"] == "1.50 (0.50 to 2.50)"
    assert theirs["as TPE + ASHA"] == "1.00 (1.00 to inf)"  # its median end, 2, is reached by seeds 0 and 1
    assert ours["as TPE + ASHA"] == "inf (0.25 to inf)"
    assert theirs["best + 0.1"] == "inf (inf to inf)"
    # Of ours, seeds 0 and 1 end at 2 and 3 where theirs end at 1 and 2; seed 2, at 2.5, has theirs, 3, at second 6 of 8
    assert ours["time, TPE + ASHA = 1"] == "inf of 3"
    assert ours["end, TPE + ASHA = 0"] == "1.00 of 3"
    _, paired = summaries(groups(STOCK + OTHER, {"t": 0.5}, ["random", "TPE + ASHA"]), "random")
    assert paired["end, random = 0"] == "-1.00 of 3"
    assert paired["as TPE + ASHA"] == theirs["as TPE + ASHA"]


def test_intervals_hold_the_median_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = np.quantile(medians(rng.normal(size=30)), (0.025, 0.975))
        hits += low <= 0 <= high
    assert 180 <= hits <= 199


def test_over_tables_by_hand() -> None:
    stock = [line("TPE + ASHA", seed, f"4:{5 + seed} 8:{1 + seed}", table) for seed in range(8) for table in "tu"]
    faster = [line("random", seed, f"2:{0.9 + seed}") for seed in range(8)]
    slower = [line("random", seed, f"8:{1.5 + seed}", "u") for seed in range(8)]
    (row,) = over_tables(groups([*stock, *faster, *slower], {"t": 0.0, "u": 0.0}, []))
    assert (row["tables"], row["fewest seeds"]) == ("2", "8")
    assert row["time, median over tables"] == "inf [inf, inf]"  # of 0.25 and infinity the larger
    assert row["at the most"] == "inf (u)"
    assert (row["end better on"], row["end worse on"]) == ("t", "u")
    few = [each for each in [*stock, *faster, *slower] if int(each["seed"]) < 5]
    (row,) = over_tables(groups(few, {"t": 0.0, "u": 0.0}, []))
    assert row["time, median over tables"] == "inf"
    assert (row["end better on"], row["end worse on"]) == ("none", "none")


def test_the_picture_has_every_table_and_method(tmp_path: Path) -> None:
    stock = [{**row, "table": "u"} for row in STOCK]
    file = tmp_path / "regret.svg"
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw(groups([*STOCK, *stock, *OTHER], {"t": 0.5, "u": 0.5}, []), ["random", "TPE + ASHA", "absent"], file)
    text = file.read_text()
    assert all(f">{word}</text>" in text for word in ("t", "u", "random", "TPE + ASHA"))
    assert "absent" not in text


def test_what_was_replayed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, summary = tmp_path / "runs.csv", tmp_path / "summary.csv"
    row = dict(compare.run(None, ("drawn hands", "random", 0)), trace="1:20")
    out.write_text(",".join(runs.FIELDS) + "\n" + ",".join(row.values()) + "\n")
    words = [
        "compare",
        "--seeds",
        "1",
        "--methods",
        "random",
        "--tables",
        "drawn hands",
        "--out",
        str(out),
        "--summary",
        str(summary),
    ]
    monkeypatch.setattr(sys, "argv", words)
    compare.main()
    assert len(out.read_text().splitlines()) == 2
    regret = f"{20 - DRAWN.best():.2f}"
    assert f"{regret} ({regret} to {regret})" in summary.read_text()
