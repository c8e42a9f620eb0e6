"""The Pareto plane drawn by plotly: every trial a point, equal scores as diagonals."""

import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from search.format import HOVER, between, digits, measured
from search.results.figures.base import base, brief, empty, escape, heading, scatter, write_page
from search.results.leaderboard import Entry
from search.results.noise import CHANCE, Retrained
from search.results.pareto import Mark, Plane, Point, plane
from search.results.style import ACCENT, MUTED, REFERENCE_COLOUR, RETRAINED_COLOUR, STATES
from search.results.view import View

TRIALS = "trials"
"""What the traces have as `meta` whose points are the trials of one state."""


def write(view: View, file: Path, retrained: Sequence[Retrained] = ()) -> None:
    """Write the picture alone: one page that opens offline. For the arguments see `figure`.

    Raises:
        UserError: the file cannot be written.
    """
    write_page(figure(view, retrained), f"{view.name} - Pareto", file, default_height="92vh", scroll_zoom=True)


def figure(view: View, retrained: Sequence[Retrained] = (), near: Collection[int] = ()) -> go.Figure:
    """The figure; trials whose error is not known, or far above all others', stand on a rail above them.

    Every trial that has a price is one point, in the trace of its state; `customdata` holds its number, error, score,
    epochs, seconds and readings.

    Args:
        view: the study.
        retrained: full trainings, drawn below their trials as means with their intervals.
        near: trials that seed noise does not tell apart from the best one, which are marked.
    """
    trained = [each for each in retrained if not math.isnan(_price(view, each.trial))]
    shown = plane(view, [(_price(view, each.trial), end) for each in trained for end in each.mean])
    if not shown.points:
        return empty(
            "No trial has been priced yet." if view.trials else "No trial yet: the first appears when it is sampled."
        )
    count = sum(map(len, shown.points.values()))
    drawn, trace = go.Figure(), scatter(count)
    if shown.reference is not None:
        _draw_reference(drawn, shown, shown.reference, trace)
    _draw_bands(drawn, shown)
    _draw_diagonals(drawn, shown)
    if shown.front:
        _draw_front(drawn, shown, trace)
    for state, points in shown.points.items():
        drawn.add_trace(_points(trace, points, state, shown, view))
    _draw_rail(drawn, shown)
    if shown.goal is not None:
        _draw_goal(drawn, shown.goal, view)
    for band, point in shown.of_bands:
        if point != shown.best:
            _draw_ring(drawn, shown, point, trace, f"{band.label}: trial {point.entry.number}", band.colour)
    if near:
        _draw_near(drawn, shown, near, trace)
    if trained:
        _draw_retrained(drawn, trained, view, trace)
    if shown.best is not None:
        _draw_ring(drawn, shown, shown.best, trace, f"best: trial {shown.best.entry.number}", ACCENT)
    base(drawn, x=escape(shown.x_title), y=escape(shown.y_title))
    heading(drawn, f"{view.name}: price against {view.error_name}", _subtitle(view, count))
    drawn.update_layout(margin={"r": 104})
    drawn.update_xaxes(range=list(shown.x))
    drawn.update_yaxes(range=[shown.y[0], shown.top])
    return drawn


def _subtitle(view: View, count: int) -> str:
    """What is counted and how to read it."""
    parts = [f"{len(view.trials):,} trial{'' if len(view.trials) == 1 else 's'}"]
    if count < len(view.trials):
        parts.append(f"{len(view.trials) - count:,} without a price not shown")
    if view.scored:
        parts.append("dotted lines join equal scores, down and left is better")
    return "; ".join(parts)


def _points(trace: Any, points: Sequence[Point], state: str, shown: Plane, view: View) -> Any:
    """The trials of one state, at least one; a trace in SVG says all of each of them, parameters included."""
    colour, symbol, size = STATES[state]
    whole = trace is go.Scatter
    errors = np.array([point.y for point in points], dtype=float)
    drawn = trace(
        x=np.array([point.x for point in points]),
        y=np.where(errors <= shown.ceiling, errors, shown.rail),
        customdata=_numbers(points, view),
        meta=TRIALS,
        mode="markers",
        name=f"{state} ({len(points):,})",
        marker={
            "color": colour,
            "symbol": symbol,
            "size": size if whole else max(4, size - 3),
            "opacity": 1 if whole else 0.7,
            "line": {"width": 1.5 if whole else 1, "color": colour},
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.15}},
    )
    if whole:
        drawn.update(text=[_hover(point.entry, view) for point in points], hovertemplate="%{text}<extra></extra>")
    else:
        drawn.update(hovertemplate=_template(state, view))
    return drawn


def _numbers(points: Sequence[Point], view: View) -> Any:
    """The rows of `customdata`; NaN where a trial has no such number."""
    rows = [
        (e.number, y, e.score, e.epochs, e.seconds, *(e.readings.get(reading.name) for reading in view.readings))
        for e, _, y in points
    ]
    return np.array(rows, dtype=float)


def _template(state: str, view: View) -> str:
    """What any trial says of itself, for plotly to fill in from `customdata`."""
    score = "score %{customdata[2]:.5g}<br>" if view.scored else ""
    readings = ", ".join(
        f"%{{customdata[{place}]:.4g}} {escape(f'{reading.unit} {reading.title}'.strip())}"
        for place, reading in enumerate(view.readings, 5)
    )
    return (
        f"<b>trial %{{customdata[0]}}</b> {state}<br>{score}"
        f"{escape(view.error_name)} %{{customdata[1]:{HOVER}}} {escape(view.unit)} "
        f"after %{{customdata[3]}} epochs, %{{customdata[4]:.0f}} s<br>{readings}<extra></extra>"
    )


def _hover(entry: Entry, view: View) -> str:
    """What a trial says of itself; the view names its error and readings."""
    lines = [f"<b>trial {entry.number}</b> {brief(entry.name, 40)} {entry.state}"]
    if entry.score is not None:
        lines.append(f"score {entry.score:.5g} ({escape(entry.band)})")
    if entry.error is not None and math.isfinite(entry.error):
        error = escape(f"{view.error_name} {measured(entry.error, view.unit)}")
        epochs = "1 epoch" if entry.epochs == 1 else f"{entry.epochs} epochs"
        lines.append(f"{error} after {epochs}, {entry.seconds:.0f} s")
    readings = [(reading, entry.readings[reading.name]) for reading in view.readings if reading.name in entry.readings]
    lines.append(", ".join(escape(f"{value:.4g} {reading.unit} {reading.title}") for reading, value in readings))
    if entry.reason:
        lines.append(brief(entry.reason.splitlines()[0], 100))
    lines += [
        f"{brief(name, 40)} = {value:.4g}" if isinstance(value, float) else f"{brief(name, 40)} = {brief(value, 60)}"
        for name, value in entry.params.items()
    ]
    return "<br>".join(lines)


def _draw_front(drawn: go.Figure, shown: Plane, trace: Any) -> None:
    """The Pareto front as stairs."""
    drawn.add_trace(
        trace(
            x=[x for x, _ in shown.front],
            y=[y for _, y in shown.front],
            mode="lines",
            line={"color": STATES["finished"][0], "width": 1.5, "shape": "hv"},
            name="Pareto front",
            hoverinfo="skip",
        )
    )


def _draw_rail(drawn: go.Figure, shown: Plane) -> None:
    """The line on which trials stand whose error has no place in the picture."""
    above = shown.above
    if not above:
        return
    unmeasured = all(point.y is None for point in above)
    drawn.add_hline(y=shown.rail, line={"color": MUTED, "width": 1, "dash": "dot"}, opacity=0.5, layer="below")
    _beside(drawn, shown.rail, "not measured" if unmeasured else f"none, or > {digits(shown.ceiling)}", MUTED)


def _draw_goal(drawn: go.Figure, goal: tuple[float, str], view: View) -> None:
    """The line that a trial must be below for its full training to reach the goal."""
    limit, words = goal
    drawn.add_hline(y=limit, line={"color": ACCENT, "width": 1.2}, opacity=0.8)
    epochs = view.attrs["search"]["epochs"]
    drawn.add_annotation(
        x=0.995,
        xref="paper",
        y=limit,
        text=escape(f"goal: {words}, predicted of {digits(limit)} after {epochs}"),
        showarrow=False,
        xanchor="right",
        yanchor="bottom",
        font={"size": 11, "color": ACCENT},
    )


def _draw_ring(drawn: go.Figure, shown: Plane, point: Point, trace: Any, name: str, colour: str) -> None:
    """A ring around a trial that is the best of something."""
    drawn.add_trace(
        trace(
            x=[point.x],
            y=[point.y if point.y is not None and point.y <= shown.ceiling else shown.rail],
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": "circle-open", "size": 17, "line": {"width": 2.5, "color": colour}},
            hoverinfo="skip",
        )
    )


def _draw_near(drawn: go.Figure, shown: Plane, near: Collection[int], trace: Any) -> None:
    """Small rings around the trials that may be as good as the best one."""
    points = [point for point in shown.points.get("finished", ()) if point.entry.number in near]
    drawn.add_trace(
        trace(
            x=[point.x for point in points],
            y=[shown.rail if point.y is None or point.y > shown.ceiling else point.y for point in points],
            mode="markers",
            name=f"within seed noise of the best ({len(points)})",
            marker={"color": ACCENT, "symbol": "circle-open", "size": 13, "line": {"width": 1.2, "color": ACCENT}},
            hoverinfo="skip",
        )
    )


def _price(view: View, number: int) -> float:
    """The logarithm of a trial's price; NaN of one that is not shown, or has none."""
    return view.price(view.by_number[number]) if number in view.by_number else math.nan


def _seeds(each: Retrained, unit: str) -> str:
    """What a full training says of itself; the unit is escaped."""
    teacher = f", learnt from {brief(each.teacher, 60)}" if each.teacher else ""
    errors = ", ".join(digits(error) for _, error, _ in each.seeds)
    return (
        f"<b>trial {each.trial}</b> retrained, {each.epochs:,} epochs{teacher}<br>mean {between(each.mean)} {unit}<br>"
        f"seeds: {errors} {unit}"
    )


def _draw_retrained(drawn: go.Figure, trained: Sequence[Retrained], view: View, trace: Any) -> None:
    """Full trainings: the seeds' mean with its interval, and each seed as a small mark."""
    texts = [_seeds(each, escape(view.unit)) for each in trained]
    means = [each.mean for each in trained]
    drawn.add_trace(
        trace(
            x=[_price(view, each.trial) for each in trained],
            y=[mean.error for mean in means],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [mean.high - mean.error for mean in means],
                "arrayminus": [mean.error - mean.low for mean in means],
                "color": RETRAINED_COLOUR,
                "thickness": 1.6,
                "width": 5,
            },
            customdata=[[each.trial] for each in trained],
            mode="markers",
            name=f"retrained: mean of seeds, {1 - CHANCE:.0%} ({len(trained)})",
            marker={"color": RETRAINED_COLOUR, "symbol": "square", "size": 8},
            text=texts,
            hovertemplate="%{text}<extra></extra>",
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 0.15}},
        )
    )


def _draw_bands(drawn: go.Figure, shown: Plane) -> None:
    """The grade bands, named at the right edge where there is room for the name."""
    low, top = shown.y
    for band in shown.bands:
        drawn.add_hrect(y0=band.low, y1=band.high, fillcolor=band.colour, opacity=0.11, line_width=0, layer="below")
        if band.high - band.low >= (top - low) / 30:
            _beside(drawn, (band.low + band.high) / 2, band.label, band.colour)


def _draw_diagonals(drawn: go.Figure, shown: Plane) -> None:
    """Lines of equal score, labelled where they enter."""
    for line in shown.diagonals:
        colour, width, dash, opacity = (ACCENT, 1.2, "dash", 0.9) if line.best else (MUTED, 1, "dot", 0.55)
        drawn.add_shape(
            type="line",
            x0=line.x0,
            y0=line.y0,
            x1=line.x1,
            y1=line.y1,
            layer="below",
            line={"color": colour, "width": width, "dash": dash},
            opacity=opacity,
        )
        if line.labelled:
            drawn.add_annotation(
                x=line.x0,
                y=line.y0,
                text=raised(line.label),
                showarrow=False,
                xanchor="left",
                yanchor="bottom",
                xshift=3,
                yshift=-2 if line.x0 == shown.x[0] else -16,
                font={"size": 11, "color": colour},
            )


def raised(text: str) -> str:
    """A text whose powers of ten, '10^9', are as plotly has them."""
    return re.sub(r"10\^(-?\d+)", r"10<sup>\1</sup>", text)


def _draw_reference(drawn: go.Figure, shown: Plane, design: Mark, trace: Any) -> None:
    """The design that the study is measured against; one outside the picture is an arrow at its edge."""
    name = brief(design.name, 40)
    named, figures = f"{name} ({design.figures.rpartition('score ')[2]})", f"<b>{name}</b><br>{design.figures}"
    if design.inside:
        drawn.add_trace(
            trace(
                x=[design.x],
                y=[design.y],
                mode="markers",
                name=named,
                marker={"color": REFERENCE_COLOUR, "symbol": "star", "size": 14},
                hovertemplate=f"{figures}<extra></extra>",
            )
        )
        return
    rightward = design.x > shown.x[1]
    drawn.add_annotation(
        x=shown.x[rightward],
        y=design.y,
        text=named,  # all of it is as wide as a phone
        hovertext=figures,
        showarrow=True,
        arrowhead=2,
        arrowwidth=1.5,
        arrowcolor=REFERENCE_COLOUR,
        ax=-36 if rightward else 36,
        ay=0,
        xanchor="right" if rightward else "left",
        font={"size": 12, "color": REFERENCE_COLOUR},
    )


def _beside(drawn: go.Figure, y: float, text: str, colour: str) -> None:
    """A small text to the right of the axes."""
    drawn.add_annotation(
        x=1.005, xref="paper", y=y, text=text, showarrow=False, xanchor="left", font={"size": 11, "color": colour}
    )
