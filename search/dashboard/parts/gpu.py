"""Memory and use of a GPU while trials train, of what their workers measured an epoch."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from search.dashboard.parts.blocks import Block, figure
from search.results.figures.base import base, heading
from search.results.leaderboard import Entry
from search.results.style import SERIES
from search.results.view import View
from search.run.settings import ON_GPU

MEMORY, USE = ON_GPU
"""Where a row of a curve has them."""

MOST = 16
"""Trials in one figure."""


def measured(view: View, entries: Sequence[Entry]) -> list[int]:
    """The numbers of the trials that were trained on a GPU and measured there."""
    return [e.number for e in entries if any(MEMORY in row for row in view.curves.get(e.number, ()))]


def blocks(view: View, numbers: Sequence[int]) -> list[Block]:
    """Memory that each trial holds, and how busy its card was, against its own trained time; none for no trials."""
    if not numbers:
        return []
    held = _figure(view, numbers, MEMORY, 1000.0, "memory held [GB]", "%{y:,.3f} GB")
    heading(held, "GPU memory of each trial", _left_out(numbers) or "at the end of each epoch")
    busy = _figure(view, numbers, USE, 1.0, "the card is busy [%]", "%{y:.0f} %")
    busy.update_yaxes(range=[-3, 103])
    heading(busy, "Use of each trial's GPU", "mean of each epoch, all programs on that card together")
    return [figure("gpu-memory", held, 330, width="half"), figure("gpu-use", busy, 330, width="half")]


def _left_out(numbers: Sequence[int]) -> str:
    return f"the first {MOST} of {len(numbers)} trials, at the end of each epoch" if len(numbers) > MOST else ""


def _figure(view: View, numbers: Sequence[int], what: str, per: float, title: str, spelt: str) -> go.Figure:
    """One number of the epochs of some trials, divided by `per`."""
    longest = max(sum(row["seconds"] for row in view.curves[number]) for number in numbers)
    scale, unit = (3600, "h") if longest > 7200 else (60, "min") if longest > 180 else (1, "s")
    drawn = go.Figure()
    for place, number in enumerate(numbers[:MOST]):
        rows = view.curves[number]
        drawn.add_scatter(
            x=np.cumsum([row["seconds"] for row in rows]) / scale,
            y=np.array([row.get(what, np.nan) for row in rows], dtype=float) / per,
            mode="lines+markers" if len(rows) < 40 else "lines",
            line={"color": SERIES[place % len(SERIES)], "width": 2},
            marker={"size": 4},
            name=f"trial {number}",
            showlegend=True,
            connectgaps=False,
            hovertemplate=f"trial {number}: {spelt}<extra></extra>",
        )
    base(drawn, x=f"trained time of the trial [{unit}]", y=title)
    drawn.update_yaxes(rangemode="tozero")
    return drawn.update_xaxes(rangemode="tozero")
