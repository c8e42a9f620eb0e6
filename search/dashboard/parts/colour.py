"""The Pareto plane's points in the colours of a parameter, instead of their states'."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from search.dashboard.parts.why import even_ticks, log_ticks
from search.results.figures.base import brief
from search.results.figures.pareto import TRIALS
from search.results.importance import Numbers, distributions, scale
from search.results.style import MUTED, SERIES
from search.results.view import View

SHADES = ((0.0, "#4263eb"), (0.5, "#2f9e6b"), (1.0, "#e8820c"))
"""Colours of numbers, none of which is grey."""

STATE, AGE = "state", "trial"
"""Colours by the trial's state, and by its number."""


def options(view: View) -> list[tuple[str, str]]:
    """What points can be coloured by: name and what it is called."""
    return [
        (STATE, "state"),
        (AGE, "age (number of the trial)"),
        *((name, name) for name in distributions(view.trials)),
    ]


def coloured(drawn: go.Figure, view: View, name: str) -> go.Figure:
    """The same figure of `search.results.figures.pareto`, its trials in the colours of a parameter or their age.

    A state keeps its symbol. A trial that was not asked for the parameter is grey.

    Args:
        drawn: the figure.
        view: of the trials in it, or of more.
        name: one of the `options`; the state's colours stay as they are.
    """
    traces = [trace for trace in drawn.data if trace.meta == TRIALS]
    if name == STATE or not traces:
        return drawn
    spread = distributions(view.trials).get(name)
    if spread is None and name != AGE:
        return drawn
    numbers = [np.asarray(trace.customdata)[:, 0].astype(int) for trace in traces]
    shown = np.concatenate(numbers)
    values = [view.by_number[number].params.get(name) if spread is not None else number for number in shown.tolist()]
    known = np.array([value is not None for value in values])
    places, choices, log = np.full(len(values), math.nan), list[str](), False
    if spread is None:
        places = shown.astype(float)
    elif known.any():
        places[known], choices, log = scale(spread, [value for value in values if value is not None])
    title = brief(name, 30) if spread is not None else "trial"
    if choices:
        colours = [MUTED if math.isnan(place) else SERIES[int(place) % len(SERIES)] for place in places]
        _name_choices(drawn, title, choices, places)
    else:
        colours = _graded(drawn, title, np.log10(places) if log else places, log)
    if not known.all():
        _key(drawn, f"no {title}", MUTED, "square")
    start = 0
    for trace, count in zip(traces, map(len, numbers), strict=True):
        _in_grey(drawn, trace)
        own = colours[start : start + count]
        trace.marker.color, trace.marker.line.color = own, own
        start += count
    return drawn


def _graded(drawn: go.Figure, title: str, values: Numbers, log: bool) -> list[str]:
    """A colour for each number; some of them are named in the legend.

    plotly's own bar has no place: beside the figure names of bands stand, and one that lies above it moves the title
    out of the picture (plotly.js 4.1.1).
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return [MUTED] * len(values)
    low, high = float(finite.min()), float(finite.max())
    ticks = (log_ticks if log else even_ticks)(low, high)
    for tick, text in zip(*ticks, strict=True):
        _key(drawn, f"{title} {text}", _shade(np.array([tick]), low, high)[0], "square")
    return _shade(values, low, high)


def _shade(values: Numbers, low: float, high: float) -> list[str]:
    """The colours of numbers between two; grey of what is none."""
    share = np.clip((values - low) / (high - low or 1.0), 0, 1)
    stops = np.array([place for place, _ in SHADES])
    channels = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for _, colour in SHADES])
    parts = [np.interp(np.nan_to_num(share), stops, channel).round().astype(int).tolist() for channel in channels.T]
    known = np.isfinite(share).tolist()
    return [
        f"#{red:02x}{green:02x}{blue:02x}" if there else MUTED
        for red, green, blue, there in zip(*parts, known, strict=True)
    ]


def _name_choices(drawn: go.Figure, title: str, choices: Sequence[str], places: Numbers) -> None:
    """Choices that a shown trial has, in the legend."""
    for place in sorted({int(place) for place in places[~np.isnan(places)]}):
        _key(drawn, f"{title} = {brief(choices[place], 24)}", SERIES[place % len(SERIES)], "square")


def _in_grey(drawn: go.Figure, trace: Any) -> None:
    """A state in the legend by its symbol alone; a click there hides its trials as before."""
    _key(drawn, trace.name, MUTED, trace.marker.symbol, group=trace.name)
    trace.update(showlegend=False, legendgroup=trace.name)


def _key(drawn: go.Figure, name: str, colour: str, symbol: str, group: str | None = None) -> None:
    """A line of the legend."""
    marker = {"color": colour, "symbol": symbol, "size": 9, "line": {"color": colour, "width": 1.5}}
    drawn.add_scatter(x=[None], y=[None], mode="markers", name=name, marker=marker, legendgroup=group)
