"""Two parameters against a target: the mean of the finished trials nearby, as a contour.

Optuna's own panel pairs wrong points once trials were stopped or failed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.distributions import BaseDistribution

from search.dashboard.parts.why import RANKS, ordinate, parameter_axis
from search.format import compact
from search.results.figures.base import base, empty, escape, heading
from search.results.importance import Numbers, Target, distributions, scale
from search.results.leaderboard import Entry
from search.results.style import ACCENT
from search.results.view import View

NEARBY = 0.08
"""Standard deviation of a neighbour's weight, as a share of an axis; along choices a trial weighs in its own alone."""

FARTHEST = 2.5
"""Standard deviations from the nearest trial beyond which nothing is said."""

GRID = 48
"""Places along an axis of numbers."""

MOST = 2000
"""Trials, best first."""


def figure(view: View, target: Target, across: str, up: str) -> go.Figure:
    """The contour of a target over the parameters `across` and `up`, and the trials that it is made from."""
    asked = distributions(view.trials)
    if across == up or not {across, up} <= set(asked):
        return empty("A contour needs two different parameters.")
    judged = [entry for entry in view.entries if not math.isnan(ordinate(view, entry, target))]
    whole = [entry for entry in judged if entry.state == "finished" or target == "cost"]
    both = [entry for entry in whole if across in entry.params and up in entry.params]
    having, lacking = both[:MOST], len(whole) - len(both)
    if len(having) < 3:
        return empty(f"A contour of {across} and {up} is shown from three finished trials on that have both.")
    x, y = (Axis.of(asked[name], [entry.params[name] for entry in having]) for name in (across, up))
    log = target == "cost" or (target == "value" and view.scored)
    values = np.array([ordinate(view, entry, target) for entry in having])
    heights = np.log10(values) if log else values
    drawn = go.Figure()
    ceiling = max(float(np.quantile(heights, 0.9)), float(heights.min()) + 1e-9)  # one wild trial takes not all colours
    title = escape(view.cost_title) if target == "cost" else "score" if log else escape(view.error_title)
    drawn.add_trace(_surface(x, y, nearby(x, y, heights), (float(heights.min()), ceiling), log, title))
    _draw_trials(drawn, having, x, y, values)
    base(drawn, x="", y="")
    drawn.update_xaxes(parameter_axis(across, asked[across], [entry.params[across] for entry in having]))
    drawn.update_yaxes(parameter_axis(up, asked[up], [entry.params[up] for entry in having]))
    parts = [f"mean of {'trials' if target == 'cost' else 'finished trials'} nearby; blank where there is none"]
    parts += [f"{lacking:,} trials lack one of the two"] if lacking else []
    drawn.update_layout(showlegend=False, margin={"b": 56})
    what = "Price" if target == "cost" else "Score" if log else view.error_name
    return heading(drawn, f"{what} over {across} and {up}", "; ".join(parts))


@dataclass(frozen=True)
class Axis:
    """A parameter along an axis."""

    values: Numbers  # of the trials, as the axis has them: numbers, or places in the choices
    places: (
        Numbers  # of the trials, by which distances are measured: from 0 to 1 for numbers, else places in the choices
    )
    grid: Numbers  # where the mean is taken, likewise
    shown: Numbers  # the grid as the axis has it
    choices: bool

    @classmethod
    def of(cls, spread: BaseDistribution, sampled: Sequence[Any]) -> "Axis":
        """Of the values that trials sampled."""
        values, names, log = scale(spread, sampled)
        if names:
            cells = np.arange(float(len(names)))
            return cls(values, values, cells, cells, True)
        numbers = np.log10(values) if log else values
        low, high = float(numbers.min()), float(numbers.max())
        span, grid = high - low or 1.0, np.linspace(0, 1, GRID)
        at = low + span * grid
        return cls(values, (numbers - low) / span, grid, 10**at if log else at, False)


def nearby(x: Axis, y: Axis, heights: Numbers) -> Numbers:
    """The weighted mean of the trials' heights at each place of the grid, shape (up, across); NaN where none is near.

    Weights are Gaussian in each direction (Nadaraya 1964, Watson 1964), and the product of both.
    """
    across, up = _weights(x), _weights(y)
    near = (up[:, None, :] * across[None, :, :]).max(2) >= math.exp(-(FARTHEST**2) / 2)
    weights = np.where(near, up @ across.T, 1.0)
    return np.where(near, (up * heights) @ across.T / weights, math.nan)


def _weights(axis: Axis) -> Numbers:
    """How much each trial weighs at each place of an axis; shape (grid, trials)."""
    apart = axis.grid[:, None] - axis.places[None, :]
    return (apart == 0).astype(float) if axis.choices else np.exp(-0.5 * (apart / NEARBY) ** 2)


def _surface(x: Axis, y: Axis, z: Numbers, range_: tuple[float, float], log: bool, title: str) -> Any:
    """The contour, or cells where an axis has choices."""
    low, high = range_
    ticks = np.linspace(low, high, 6)
    common = {
        "x": x.shown,
        "y": y.shown,
        "z": np.round(z, 5).astype(np.float32),
        "zmin": low,
        "zmax": high,
        "colorscale": RANKS,
        "colorbar": {
            "title": {"text": title, "side": "right"},
            "thickness": 10,
            "tickvals": ticks,
            "ticktext": [compact(10**tick if log else tick) for tick in ticks],
        },
        "hoverinfo": "skip",
        "opacity": 0.75,
    }
    if x.choices or y.choices:
        return go.Heatmap(**common, xgap=2 * x.choices, ygap=2 * y.choices)
    contours = {"start": low, "end": high, "size": (high - low) / 12}
    return go.Contour(**common, contours=contours, autocontour=False, line={"width": 0.5}, connectgaps=False)


def _draw_trials(drawn: go.Figure, entries: Sequence[Entry], x: Axis, y: Axis, values: Numbers) -> None:
    """The trials themselves; those of one choice stand beside each other, and the best has a ring."""
    numbers = np.array([entry.number for entry in entries], dtype=np.int32)
    at = [
        axis.values + ((numbers * turn) % 1 - 0.5) * 0.5 if axis.choices else axis.values
        for axis, turn in ((x, 0.618034), (y, 0.754878))
    ]
    best = int(np.argmin(values))
    common = {"mode": "markers", "showlegend": False}
    drawn.add_scatter(
        x=at[0],
        y=at[1],
        customdata=numbers,
        text=[compact(float(value)) for value in values],
        marker={"color": "#20242b", "size": 5, "line": {"color": "#ffffff", "width": 0.8}},
        hovertemplate="trial %{customdata}: %{text}<extra></extra>",
        **common,
    )
    ring = {"color": ACCENT, "symbol": "circle-open", "size": 15, "line": {"width": 2.5, "color": ACCENT}}
    drawn.add_scatter(x=at[0][[best]], y=at[1][[best]], hoverinfo="skip", marker=ring, **common)
