"""Is the search getting anywhere: the best so far, the dominated hypervolume, and how the trials are distributed."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from search.format import digits, measured
from search.results.figures.base import base, brief, empty, escape, heading, log_axis, scatter
from search.results.importance import Numbers
from search.results.leaderboard import Entry
from search.results.style import ACCENT, SERIES
from search.results.view import View

Against = Literal["trials", "seconds"]
"""Trials that ended, or seconds of training, summed over the workers."""

LARGEST = math.log(1e300)
"""A score above e^this is left out: a logarithmic axis ends at what a float holds."""


def ranked(entry: Entry, scored: bool) -> float:
    """What a study is ranked by, as a figure shows it: the score, or the error; NaN where there is none."""
    value = entry.value if scored else entry.error
    if value is None or not math.isfinite(value) or (scored and value > LARGEST):
        return math.nan
    return math.exp(value) if scored else value


def ranked_title(view: View) -> str:
    """The title of an axis of `ranked`, escaped."""
    error = escape(view.error_title)
    return f"score: {escape(view.cost_title)} \u00d7 e<sup>{error}</sup>" if view.scored else error


def unlike(views: Sequence[View]) -> str:
    """Why these studies cannot stand in one figure, or an empty string."""
    if len({(view.described.name, view.metric, view.unit) for view in views}) > 1:
        return "These studies are not judged by the same number, so that one figure cannot compare them."
    return ""


def data_note(views: Sequence[View]) -> str:
    """A warning for the subtitle where studies were judged on different data."""
    kinds = {view.attrs.get("data") for view in views}
    return "; these studies were judged on different data" if len(kinds) > 1 else ""


def _finished_values(view: View) -> Numbers:
    """What the finished trials are ranked by, in the order in which they ended; shape (trials,)."""
    values = [ranked(entry, view.scored) for entry in view.ended if entry.state == "finished"]
    return np.array([value for value in values if not math.isnan(value)])


def _places(views: Sequence[View], against: Against) -> tuple[list[Numbers], str]:
    """Where each ended trial stands on the x axis, for each study, and the axis title.

    'trials': its place among the ended ones, from 1. 'seconds': training and judging time of all trials that had ended
    by then, whatever worker had them, so that studies with different numbers of workers compare.
    """
    if against == "trials":
        return [np.arange(1.0, len(view.ended) + 1) for view in views], "trials ended"
    spent = [np.cumsum([entry.seconds for entry in view.ended], dtype=float) for view in views]
    hours = max((x[-1] for x in spent if len(x)), default=0.0) > 7200
    scale, unit = (3600, "h") if hours else (1, "s")
    return [x / scale for x in spent], f"trained time, summed over workers [{unit}]"


def best_so_far(views: Sequence[View], against: Against) -> go.Figure:
    """The best finished trial so far, as steps, and every ended trial as a faint point."""
    if why := unlike(views) or _nothing(views):
        return empty(why)
    drawn, highs, lows, beyond = go.Figure(), [], [], 0
    places, title = _places(views, against)
    trace, alone = scatter(sum(map(len, places))), len(views) == 1
    for view, x, colour in zip(views, places, SERIES * len(views), strict=False):
        values = np.array([ranked(entry, view.scored) for entry in view.ended], dtype=float)
        complete = np.array([entry.state == "finished" for entry in view.ended], dtype=bool)
        reached = np.array([view.reached(entry) for entry in view.ended], dtype=bool)
        best = np.fmin.accumulate(np.where(reached, values, np.nan)) if len(values) else values
        for name, among, symbol in (("finished", complete, "circle"), ("stopped early", ~complete, "circle-open")):
            shown = among & ~np.isnan(values)
            if shown.any():
                numbers = np.array([entry.number for entry in view.ended], dtype=np.int32)[shown]
                points = _points(trace, x[shown], values[shown], numbers, f"{name} ({shown.sum():,})", alone)
                points.update(legendgroup=None if alone else brief(view.name))
                faint = 0.6 if symbol == "circle" else 0.3
                points.update(marker={"color": colour, "size": 6, "symbol": symbol, "opacity": faint})
                drawn.add_trace(points)
        if np.isnan(best).all():
            continue
        drawn.add_trace(_steps(trace, x, best, view, ACCENT if alone else colour, alone))
        # What came first and what is worse than most is often worse by decades and would hide all later steps.
        steps = np.flatnonzero(~np.isnan(best))
        early = steps[steps >= min(len(best) // 20, steps[-1])][0]
        highs.append(max(best[early], float(np.nanquantile(values[complete], 0.75))))
        lows.append(best[-1])
        beyond += int((values > highs[-1]).sum())
    base(drawn, x=title, y=ranked_title(views[0]))
    note = f"; {beyond:,} points above the picture, double-click to see them" if beyond else ""
    aims = "".join(f"; {escape(brief(v.name))}: those with {escape(v.goal_title)}" for v in views if v.goal is not None)
    subtitle = "over trials that finished, in the order in which they ended" + aims + note + data_note(views)
    heading(drawn, "Best so far", subtitle)
    if lows:
        _show_from(drawn, min(lows), max(highs), views[0].scored)
    return drawn.update_xaxes(rangemode="tozero")


def _points(trace: Any, x: Numbers, y: Numbers, numbers: Any, name: str, alone: bool) -> Any:
    """Ended trials as faint points; a number alone does not name a trial of several studies."""
    return trace(
        x=x,
        y=y,
        customdata=numbers if alone else None,
        mode="markers",
        name=name,
        showlegend=alone,
        hovertemplate=("trial %{customdata}: " if alone else "") + "%{y:.5g}<extra></extra>",
        selected={"marker": {"opacity": 0.9}},
        unselected={"marker": {"opacity": 0.08}},
    )


def _steps(trace: Any, x: Numbers, best: Numbers, view: View, colour: str, alone: bool) -> Any:
    """The best so far as stairs: where it falls, and where the last trial ended."""
    numbers = np.flatnonzero(~np.isnan(best))
    falls = [i for i in numbers if i == numbers[0] or best[i] < best[i - 1]]
    shown = np.array([*falls, len(best) - 1])
    return trace(
        x=x[shown],
        y=best[shown],
        mode="lines",
        name=f"{brief(view.name)}: best so far, {digits(best[-1])}",
        legendgroup=None if alone else brief(view.name),
        line={"color": colour, "width": 2.5, "shape": "hv"},
        hovertemplate="best so far %{y:.5g}<extra></extra>",
    )


def _show_from(drawn: go.Figure, low: float, high: float, log: bool) -> None:
    """Set the y axis to show from `low` to `high` and a little more."""
    if log:
        low, high = math.log10(low), math.log10(high)
        drawn.update_yaxes(log_axis([10**low, 10**high]))
    pad = 0.06 * (high - low) or 0.05
    drawn.update_yaxes(range=[low - pad, high + 2 * pad])


def _nothing(views: Sequence[View]) -> str:
    """Why there is nothing to draw, or an empty string."""
    if not views:
        return "No study is chosen."
    if any(len(_finished_values(view)) for view in views):
        return ""
    trials = sum(len(view.trials) for view in views)
    return f"No trial has finished yet ({trials:,} begun)." if trials else "No trial yet."


def hypervolume(views: Sequence[View], against: Against) -> go.Figure:
    """The dominated hypervolume in the plane of ln(price) against the error.

    All studies are measured from one reference point, the worst price and the worst error of any finished trial, so
    that curves compare and never fall. A curve is comparable within one figure alone: more trials can move the point.
    """
    if why := unlike(views) or _nothing(views):
        return empty(why)
    planes = [[_place(view, entry) for entry in view.ended] for view in views]
    points = [point for plane in planes for point in plane if point is not None]
    if not points:
        return empty("No finished trial has both a price and an error.")
    worst = (max(x for x, _ in points), max(y for _, y in points))
    drawn = go.Figure()
    places, title = _places(views, against)
    for view, plane, x, colour in zip(views, planes, places, SERIES * len(views), strict=False):
        if not len(x):
            continue
        volumes = hypervolumes(plane, worst)
        # The steps alone, and where the last trial ended.
        steps = np.flatnonzero(np.diff(volumes, prepend=-1.0, append=np.inf)[:-1] > 0)
        shown = np.unique([*steps, len(volumes) - 1])
        drawn.add_scatter(
            x=x[shown],
            y=volumes[shown],
            mode="lines+markers" if len(shown) < 40 else "lines",
            name=f"{brief(view.name)}: {volumes[-1]:.4g}",
            line={"color": colour, "width": 2, "shape": "hv"},
            marker={"size": 4},
            hovertemplate="%{y:.4g}<extra></extra>",
        )
    price = " \u00d7 ".join(reading.unit or reading.title for reading in views[0].cost)
    unit = f"ln({price}) \u00b7 {views[0].unit}" if views[0].unit else f"ln({price})"
    base(drawn, x=title, y=f"dominated hypervolume [{escape(unit)}]")
    start = f"ln(price) {worst[0]:.2f} and {views[0].error_name} {measured(worst[1], views[0].unit)}"
    heading(
        drawn, "Dominated hypervolume", f"of finished trials, from the worst of all shown: {start}{data_note(views)}"
    )
    drawn.update_xaxes(rangemode="tozero")
    return drawn.update_yaxes(rangemode="tozero")


def _place(view: View, entry: Entry) -> tuple[float, float] | None:
    """A finished trial's place, (ln(price), error); None for any other."""
    x, y = view.price(entry), entry.error
    if entry.state != "finished" or math.isnan(x) or y is None or not math.isfinite(y):
        return None
    return x, y


def hypervolumes(points: Sequence[tuple[float, float] | None], reference: tuple[float, float]) -> Numbers:
    """The area dominated by the first k points, both coordinates to be small, for every k; shape (points,).

    It is measured from the corner `reference`. A staircase of unbeaten points is kept in order, and a new point adds
    the area between it and the stairs it removes: O(n log n) in all. None, and points beyond the reference, add
    nothing.
    """
    xs: list[float] = []
    ys: list[float] = []
    total, totals = 0.0, []
    for point in points:
        if point is not None and point[0] < reference[0] and point[1] < reference[1]:
            x, y = point
            before = bisect_right(xs, x)
            if before == 0 or ys[before - 1] > y:
                first = last = bisect_left(xs, x)
                left, ceiling = x, ys[first - 1] if first else reference[1]
                while last < len(xs) and ys[last] >= y:
                    total += (xs[last] - left) * (ceiling - y)
                    left, ceiling, last = xs[last], ys[last], last + 1
                total += ((xs[last] if last < len(xs) else reference[0]) - left) * (ceiling - y)
                xs[first:last], ys[first:last] = [x], [y]
        totals.append(total)
    return np.array(totals)


def edf(views: Sequence[View]) -> go.Figure:
    """The empirical distribution of what finished trials are ranked by, one line a study.

    How design spaces are compared in Radosavovic et al. 2019, https://arxiv.org/abs/1905.13214, and 2020,
    https://arxiv.org/abs/2003.13678: the share F(e) of trials that are at least as good as e.
    """
    if why := unlike(views) or _nothing(views):
        return empty(why)
    drawn = go.Figure()
    for view, colour in zip(views, SERIES * len(views), strict=False):
        values = np.sort(_finished_values(view))
        if not len(values):
            continue
        early = len(view.by_state["stopped"])
        drawn.add_trace(
            scatter(len(values))(
                x=np.concatenate([values[:1], values]),
                y=np.arange(len(values) + 1) / len(values),
                mode="lines",
                name=f"{brief(view.name)} (n = {len(values):,}" + (f", {early:,} stopped early)" if early else ")"),
                line={"color": colour, "width": 2, "shape": "hv"},
                hovertemplate="%{y:.1%} of trials at or below %{x:.5g}<extra></extra>",
            )
        )
    base(drawn, x=ranked_title(views[0]), y="share of finished trials at or below")
    heading(
        drawn,
        "Distribution of the " + ("score" if views[0].scored else views[0].error_name),
        "finished trials only (trained in full); those stopped early or failed do not enter" + data_note(views),
    )
    if views[0].scored:
        drawn.update_xaxes(log_axis(value for view in views for value in _finished_values(view)))
    return drawn.update_yaxes(range=[-0.02, 1.02])
