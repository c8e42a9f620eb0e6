"""Regret against training-seconds as a picture: a panel a table, medians as lines with quartiles as bands."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.search_bench.summary import Group

SHOWN = ("random", "1 epoch, then the best", "TPE", "TPE + ASHA", "known cost + ASHA")
"""Where no methods are named."""

COLOURS = ("#777777", "#b07aa1", "#f28e2b", "#4e79a7", "#d62728", "#59a14f", "#8c564b", "#17a2b8")
"""Of the methods in their order."""

FIRST = 0.06
"""Part of the budget where the picture begins; a full training of a mean network is 1/25."""


def draw(found: Sequence[Group], methods: Sequence[str], file: Path) -> None:
    """Write the picture; its form is the file's ending.

    Args:
        found: replays.
        methods: which are drawn, in the order of the legend.
        file: PNG, SVG or PDF.
    """
    from matplotlib.figure import Figure

    tables = list(dict.fromkeys(group.table for group in found))
    columns = min(4, len(tables))
    rows = math.ceil(len(tables) / columns)
    figure = Figure((3.3 * columns, 2.7 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    parts = np.geomspace(FIRST, 1, 121)
    colours = {method: COLOURS[place % len(COLOURS)] for place, method in enumerate(methods)}
    handles = {}
    for panel, table in zip(panels, tables, strict=False):
        drawn = [group for group in found if group.table == table and group.method in colours]
        top = []
        for group in sorted(drawn, key=lambda group: methods.index(group.method)):
            regrets = np.array([group.regret(part) for part in parts])
            low, middle, high = np.quantile(regrets, (0.25, 0.5, 0.75), axis=1, method="nearest")
            colour = colours[group.method]
            handles[group.method] = panel.plot(parts, np.where(np.isfinite(middle), middle, np.nan), color=colour)[0]
            ends = np.isfinite(high)
            panel.fill_between(parts[ends], low[ends], high[ends], color=colour, alpha=0.15, linewidth=0)
            top += [*middle[np.isfinite(middle)][:1]]
        _dress(panel, table, max(top, default=1.0))
    for panel in panels[len(tables) :]:
        panel.set_axis_off()
    figure.supxlabel("training-seconds of all workers, as a part of the budget", fontsize=10)
    figure.supylabel("regret [nats above the table's best]", fontsize=10)
    names = [method for method in methods if method in handles]
    shown = [handles[name] for name in names]
    figure.legend(shown, names, loc="outside upper center", ncols=min(5, len(names)), frameon=False, fontsize=10)
    figure.savefig(file, dpi=110)


def _dress(panel: Any, table: str, top: float) -> None:
    """Title, axes and grid of a panel."""
    panel.set_title(table, fontsize=10)
    panel.set_xscale("log")
    panel.set_xlim(FIRST, 1)
    panel.set_xticks([0.1, 0.25, 0.5, 1], ["1/10", "1/4", "1/2", "1"])
    panel.minorticks_off()
    panel.set_ylim(top=top * 1.05)
    panel.grid(alpha=0.25)
    panel.axhline(0, color="black", linewidth=0.6)
