"""What a comparison came to: medians and quartiles over seeds, and paired differences with their intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as Printed

from tests.search_bench.replay import Replay
from tests.search_bench.runs import Line, read

Array = np.ndarray[Any, np.dtype[np.float64]]

STOCK = "TPE + ASHA"
PARTS = (0.25, 0.5, 1.0)
"""Of the budget."""

NEAR = 0.1
"""Nats above the table's best, or below it."""

RESAMPLES = 2000


@dataclass(frozen=True)
class Group:
    """Replays of a method on a table, by seed.

    Attributes:
        budgets: training-seconds.
        best: the smallest final value of the table.
    """

    table: str
    method: str
    budgets: Mapping[int, float]
    replays: Mapping[int, Replay]
    best: float

    def regret(self, part: float) -> list[float]:
        """Nats above the table's best after a part of the budget."""
        return [replay.best(part * self.budgets[seed]) - self.best for seed, replay in self.replays.items()]

    def reached(self, goal: float) -> list[float]:
        """Parts of the budget until the value was at most `goal`."""
        return [replay.reached(goal) / self.budgets[seed] for seed, replay in self.replays.items()]

    def time_ratios(self, stock: "Group") -> list[float]:
        """For each seed of both: seconds until this had what that one ends with, by the seconds that it took."""
        ratios = []
        for seed in self.replays.keys() & stock.replays.keys():
            goal = stock.replays[seed].best()
            ratios.append(self.replays[seed].reached(goal) / stock.replays[seed].reached(goal))
        return ratios

    def differences(self, stock: "Group") -> list[float]:
        """For each seed of both: this one's value after the whole budget less that one's."""
        shared = self.replays.keys() & stock.replays.keys()
        return [self.replays[seed].best() - stock.replays[seed].best() for seed in shared]


def groups(lines: Sequence[Line], best: Mapping[str, float], order: Sequence[str]) -> list[Group]:
    """Lines of a csv by table and method.

    Args:
        lines: of the csv.
        best: the smallest final value of each table.
        order: of the methods; others come after them.
    """
    places = {name: place for place, name in enumerate(order)}
    keyed: dict[tuple[str, int, str], list[Line]] = {}
    for row in lines:
        keyed.setdefault((row["table"], places.get(row["method"], len(places)), row["method"]), []).append(row)
    found = []
    for (table, _, method), rows in sorted(keyed.items()):
        budgets = {int(row["seed"]): float(row["budget"]) for row in rows}
        found.append(Group(table, method, budgets, {int(row["seed"]): read(row) for row in rows}, best[table]))
    return found


def summaries(found: Sequence[Group], against: str = STOCK) -> list[Line]:
    """A row for each table and method; the paired columns are against a method."""
    stocks = {group.table: group for group in found if group.method == STOCK}
    others = {group.table: group for group in found if group.method == against}
    return [_row(group, stocks.get(group.table), others.get(group.table), against) for group in found]


def _row(group: Group, stock: Group | None, other: Group | None, against: str) -> Line:
    goal = _quantile([replay.best() for replay in stock.replays.values()], 0.5) + 1e-9 if stock else -math.inf
    trials = sum(replay.trials for replay in group.replays.values())
    seconds = sum(replay.suggesting_s for replay in group.replays.values())
    return {
        "table": group.table,
        "method": group.method,
        "seeds": str(len(group.replays)),
        "trials": f"{trials / len(group.replays):.0f}",
        "s a suggestion": f"{seconds / trials:.3f}",
        **{f"regret at {part:g}": _quartiles(group.regret(part)) for part in PARTS},
        f"as {STOCK}": _quartiles(group.reached(goal)),
        f"best + {NEAR}": _quartiles(group.reached(group.best + NEAR)),
        f"time, {against} = 1": _interval(group.time_ratios(other)) if other else "",
        f"end, {against} = 0": _interval(group.differences(other)) if other else "",
    }


def over_tables(found: Sequence[Group], against: str = STOCK) -> list[Line]:
    """A row for each method that was replayed on at least two tables beside the one that it is paired with."""
    stocks = {group.table: group for group in found if group.method == against}
    methods = dict.fromkeys(group.method for group in found if group.table in stocks and group.method != against)
    rows = []
    for method in methods:
        own = [group for group in found if group.method == method and group.table in stocks]
        own = [group for group in own if group.replays.keys() & stocks[group.table].replays.keys()]
        if len(own) > 1:
            rows.append(_over_tables(method, [(group, stocks[group.table]) for group in own]))
    return rows


def _over_tables(method: str, pairs: Sequence[tuple[Group, Group]]) -> Line:
    ratios = {own.table: own.time_ratios(stock) for own, stock in pairs}
    ends = {own.table: medians(own.differences(stock)) for own, stock in pairs}
    centres = [_quantile(each, 0.5) for each in ratios.values()]
    resampled = np.quantile([medians(each) for each in ratios.values()], 0.5, axis=0, method="nearest")
    low, high = _ends(resampled)
    return {
        "method": method,
        "tables": str(len(pairs)),
        "time, median over tables": f"{_quantile(centres, 0.5):.2f} [{low:.2f}, {high:.2f}]",
        "at the most": f"{max(centres):.2f} ({max(zip(centres, ratios, strict=True))[1]})",
        "end better on": ", ".join(table for table, each in ends.items() if _ends(each)[1] < 0) or "none",
        "end worse on": ", ".join(table for table, each in ends.items() if _ends(each)[0] > 0) or "none",
    }


def medians(values: Sequence[float]) -> Array:
    """Of resamples of the values, (`RESAMPLES`,): the bootstrap of their median."""
    drawn = np.random.default_rng(0).choice(np.array(values), (RESAMPLES, len(values)))
    found: Array = np.quantile(drawn, 0.5, axis=1, method="nearest")
    return found


def _ends(resampled: Array) -> tuple[float, float]:
    """Between which 95 % of them lie."""
    return _quantile(resampled, 0.025), _quantile(resampled, 0.975)


def _interval(values: Sequence[float]) -> str:
    """'median [95 % interval of it]'; nothing where there are no values."""
    if not values:
        return ""
    low, high = _ends(medians(values))
    return f"{_quantile(values, 0.5):.2f} [{low:.2f}, {high:.2f}]"


def _quantile(values: Sequence[float] | Array, place: float) -> float:
    """One of the values, as some may be infinite."""
    return float(np.quantile(values, place, method="nearest"))


def _quartiles(values: Sequence[float]) -> str:
    """'median (lower to upper quartile)'."""
    low, middle, high = (_quantile(values, place) for place in (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def show(rows: list[Line], width: int = 230) -> None:
    """Print a table of the terminal for each table of networks, or one for all."""
    for name, group in groupby(rows, lambda row: row.get("table", "over tables")):
        printed: Printed | None = None
        for row in group:
            cells = {title: cell for title, cell in row.items() if title != "table"}
            printed = printed or Printed(*cells, title=name)
            printed.add_row(*cells.values())
        Console(width=width).print(printed)
