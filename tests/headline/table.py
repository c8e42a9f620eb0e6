"""The table of the comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.headline.published import METHOD as PUBLISHED
from tests.headline.results import Run

TITLES = (
    "data", "method", "score, median", "each seed", "published / this", "PixelDiff [px]", "Params [M]", "FLOPs [G]",
    "search [s]", "full training [s]", "trials",
)  # fmt: skip


def rows(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """A row for each data set and method, as texts, in the order of `TITLES`; medians are over seeds."""
    made = []
    for data in dict.fromkeys(run.data for run in runs):
        of_data = [run for run in runs if run.data == data]
        design = [run.log_score for run in of_data if run.method == PUBLISHED]
        for method in dict.fromkeys(run.method for run in of_data):
            own = sorted((run for run in of_data if run.method == method), key=lambda run: run.seed)
            middle = median(run.log_score for run in own)
            numbers = [
                median(getattr(run, name) for run in own)
                for name in ("error", "params_m", "gflops", "search_s", "train_s", "trials")
            ]
            error, params, flops, search, train, trials = numbers
            made.append(
                (
                    data,
                    method,
                    score(middle),
                    ", ".join(score(run.log_score) for run in own),
                    f"{math.exp(median(design) - middle):.3g}" if design else "",
                    f"{error:.2f}",
                    f"{params:.3g}",
                    f"{flops:.3g}",
                    f"{search:.0f}",
                    f"{train:.0f}",
                    f"{trials:g}",
                )
            )
    return made


def score(log: float) -> str:
    """Of its logarithm."""
    return f"{math.exp(log):.4g}"


def show(runs: Sequence[Run], console: Console) -> None:
    """Print the table, and where and when it was measured."""
    table = Table(*TITLES)
    for row in rows(runs):
        table.add_row(*row)
    console.print(table)
    for where in dict.fromkeys((run.machine, run.day, run.method) for run in runs):
        console.print(f"{where[2]}: {where[1]}, {where[0]}")


def markdown(runs: Sequence[Run]) -> str:
    """The same for a document."""
    lines = [TITLES, tuple("---" for _ in TITLES), *rows(runs)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
