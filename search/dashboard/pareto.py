"""The whole problem as one picture: ln(Params x FLOPs) against the error, where equal scores are diagonals."""

import math
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from data.errors import UserError
from search.dashboard.style import ACCENT, MUTED, STATES, base, brief, empty, heading, scatter
from search.format import HOVER, digits, measured
from search.objective import BANDS, Reference
from search.results.leaderboard import Entry, unbeaten
from search.results.view import View

MARKS = STATES
"""Colour, symbol and size of the trials in each state."""

BAND_COLOURS = ("#2e8b57", "#7fb069", "#b59a12", "#d98032")
REFERENCE_COLOUR = "#8d6bb8"
COST = "ln(Params [M] \u00d7 FLOPs [G])"
"""Title of the axis of prices."""


def write(view: View, file: Path) -> None:
    """Write the picture alone: one page that opens offline.

    Raises:
        UserError: the file cannot be written.
    """
    drawn = figure(view)
    drawn.update_layout(template="plotly_white", font={"family": "system-ui, sans-serif", "size": 14})
    page = drawn.to_html(
        include_plotlyjs=True,
        full_html=True,
        default_height="92vh",
        config={"displaylogo": False, "responsive": True, "scrollZoom": True},
    )
    titled = page.replace("<head>", f"<head><title>{escape(view.name)} - Pareto</title>", 1)
    half = file.with_suffix(".half")
    try:
        half.write_text(titled, encoding="utf-8")
        half.replace(file)
    except OSError as error:
        raise UserError(f"cannot write {file} ({error.strerror}); give --out a folder of yours.") from error


def figure(view: View) -> go.Figure:
    """The figure; trials whose error is not known, or far above all others', stand on a rail above them.

    Every trial that has a price is one point, in the trace of its state; `customdata` holds its number, error, Params,
    FLOPs, score, epochs and seconds.
    """
    placed = [
        entry if entry.error is None or math.isfinite(entry.error) else replace(entry, error=None)
        for entry in view.entries
        if entry.params_m and entry.gflops
    ]
    if not placed:
        return empty(
            "No trial has been priced yet." if view.trials else "No trial yet: the first appears when it is sampled."
        )
    errors = [entry.error for entry in placed if entry.error is not None]
    top = ceiling(errors, view.scored)
    low = 0.0 if view.scored or not errors else max(0.0, min(errors) - 0.1 * (top - min(errors)))
    rail = top + 0.045 * (top - low)
    above = [entry for entry in placed if entry.error is None or entry.error > top]
    prices = [price(entry) for entry in placed]
    wide = max(max(prices) - min(prices), 1.0)
    # Wider on the left, where the diagonals' labels stand.
    left, right = min(prices) - 0.1 * wide, max(prices) + 0.05 * wide
    drawn = go.Figure()
    kind = scatter(len(placed))
    if view.scored:
        if view.reference is not None:
            right = reference(drawn, view.reference, kind, left, right)
        bands(drawn, low, top)
        diagonals(drawn, left, right, low, top, placed)
    # Of the trials shown: those of a selection have a front of their own.
    plane = [(price(entry), entry.error) for entry in placed if entry.state == "finished" and entry.error is not None]
    front = sorted({point for point, optimal in zip(plane, unbeaten(plane), strict=True) if optimal})
    if front:
        drawn.add_trace(
            kind(
                x=[x for x, _ in front],
                y=[y for _, y in front],
                mode="lines",
                line={"color": MARKS["finished"][0], "width": 1.5, "shape": "hv"},
                name="Pareto front",
                hoverinfo="skip",
            )
        )
    for state in MARKS:
        chosen = [entry for entry in placed if entry.state == state]
        if chosen:
            drawn.add_trace(points(kind, chosen, state, top, rail, view))
    if above:
        drawn.add_hline(y=rail, line={"color": MUTED, "width": 1, "dash": "dot"}, opacity=0.5, layer="below")
        drawn.add_annotation(
            x=1.005,
            xref="paper",
            y=rail,
            text="not measured" if all(entry.error is None for entry in above) else f"none, or > {digits(top)}",
            showarrow=False,
            xanchor="left",
            font={"size": 11, "color": MUTED},
        )
    best = next((entry for entry in placed if entry.state == "finished" and entry.error is not None), None)
    if best is not None and best.error is not None:
        drawn.add_trace(
            kind(
                x=[price(best)],
                y=[best.error if best.error <= top else rail],
                mode="markers",
                name=f"best: trial {best.number}",
                marker={"color": ACCENT, "symbol": "circle-open", "size": 17, "line": {"width": 2.5, "color": ACCENT}},
                hoverinfo="skip",
            )
        )
    base(drawn, x=COST, y=escape(view.error_title))
    heading(drawn, f"{view.name}: price against {view.error_name}", subtitle(view, placed))
    drawn.update_layout(margin={"r": 104})
    drawn.update_xaxes(range=[left, right])
    drawn.update_yaxes(range=[low, rail + 0.04 * (top - low)])
    return drawn


def subtitle(view: View, placed: Sequence[Entry]) -> str:
    """What is counted and how to read it."""
    said = [f"{len(view.trials):,} trial{'' if len(view.trials) == 1 else 's'}"]
    if len(placed) < len(view.trials):
        said.append(f"{len(view.trials) - len(placed):,} without a price not shown")
    if view.scored:
        said.append("dotted lines join equal scores, down and left is better")
    return "; ".join(said)


def ceiling(errors: Sequence[float], scored: bool) -> float:
    """The largest error that the picture shows in its place: one wild trial must not squash the others."""
    if not errors:
        return BANDS[-1] if scored else 1.0
    most = float(np.quantile(errors, 0.95)) * 1.5
    return max(min(max(errors), most), BANDS[-1] if scored else 0.0) * 1.03 or 1.0


def points(kind: Any, chosen: Sequence[Entry], state: str, top: float, rail: float, view: View) -> Any:
    """The trials of one state.

    Args:
        kind: of trace; one in SVG says all of each of its trials, parameters included.
        chosen: at least one trial, all with a price.
        state: of all of them.
        top: errors above it, and those not known, are drawn at `rail`.
        rail: the y of those.
        view: names the error and its unit.
    """
    colour, symbol, size = MARKS[state]
    columns = np.array([[math.nan if v is None else v for v in numbers(entry)] for entry in chosen])
    errors = columns[:, 1]
    told = kind is go.Scatter
    drawn = kind(
        x=np.log(columns[:, 2] * columns[:, 3]),
        y=np.where(errors <= top, errors, rail),
        customdata=columns,
        mode="markers",
        name=f"{state} ({len(chosen):,})",
        marker={
            "color": colour,
            "symbol": symbol,
            "size": size if told else max(4, size - 3),
            "opacity": 1 if told else 0.7,
            "line": {"width": 1.5 if told else 1, "color": colour},
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.15}},
    )
    if told:
        drawn.update(text=[hover(entry, view) for entry in chosen], hovertemplate="%{text}<extra></extra>")
    else:
        score = "score %{customdata[4]:.5g}<br>" if view.scored else ""
        drawn.update(
            hovertemplate=f"<b>trial %{{customdata[0]}}</b> {state}<br>{score}"
            f"{escape(view.error_name)} %{{customdata[1]:{HOVER}}} {escape(view.unit)} "
            "after %{customdata[5]} epochs, %{customdata[6]:.0f} s<br>"
            "%{customdata[2]:.4g} M params, %{customdata[3]:.4g} G FLOPs<extra></extra>"
        )
    return drawn


def numbers(entry: Entry) -> tuple[float | None, ...]:
    """A trial's row of `customdata`."""
    return entry.number, entry.error, entry.params_m, entry.gflops, entry.score, entry.epochs, entry.seconds


def price(entry: Entry) -> float:
    """The abscissa of a trial."""
    return math.log((entry.params_m or math.nan) * (entry.gflops or math.nan))


def bands(drawn: go.Figure, low: float, top: float) -> None:
    """The grade bands, named at the right edge where there is room for the name."""
    for start, end, colour in zip((0.0, *BANDS), BANDS, BAND_COLOURS, strict=False):
        drawn.add_hrect(y0=start, y1=end, fillcolor=colour, opacity=0.11, line_width=0, layer="below")
        if end - start >= (top - low) / 30:
            drawn.add_annotation(
                x=1.005,
                xref="paper",
                y=(start + end) / 2,
                text=f"< {end:g} px" if start == 0 else f"{start:g} to {end:g} px",
                showarrow=False,
                xanchor="left",
                font={"size": 11, "color": colour},
            )


def diagonals(drawn: go.Figure, left: float, right: float, low: float, top: float, placed: Sequence[Entry]) -> None:
    """Lines of equal score through the picture, labelled with it where they enter; and the best score's own."""
    finished = [entry.value for entry in placed if entry.state == "finished" and entry.error is not None]
    best = min((value for value in finished if value is not None), default=None)
    first, last = math.ceil((left + low) / math.log(10)), math.floor((right + top) / math.log(10))
    step = max(1, math.ceil((last - first) / 12))
    # A label needs a thirtieth of the picture's height; where the best score's own stands there is room for one.
    apart = (top - low) / 26
    logs = [power * math.log(10) for power in range(first, last + 1) if power % step == 0]
    for log in [log for log in logs if best is None or abs(log - best) > apart] + [best]:
        if log is None:
            continue
        x0, x1 = max(left, log - top), min(right, log - low)
        if x0 >= x1:
            continue
        drawn.add_shape(
            type="line",
            x0=x0,
            y0=log - x0,
            x1=x1,
            y1=log - x1,
            layer="below",
            line={"color": ACCENT, "width": 1.2, "dash": "dash"}
            if log == best
            else {"color": MUTED, "width": 1, "dash": "dot"},
            opacity=0.9 if log == best else 0.55,
        )
        # Where a line enters at the top it stands among those of the left edge only at the very corner.
        if log - left > top and x0 - left < 0.1 * (right - left):
            continue
        drawn.add_annotation(
            x=x0,
            y=log - x0,
            text=f"best score {score_text(log)}" if log == best else f"score {score_text(log)}",
            showarrow=False,
            xanchor="left",
            yanchor="bottom",
            xshift=3,
            yshift=-2 if x0 == left else -16,
            font={"size": 11, "color": ACCENT if log == best else MUTED},
        )


def score_text(log: float) -> str:
    """A score, given by its logarithm, in few characters: 285.6, 28,100 or 10<sup>9</sup>."""
    tens = log / math.log(10)
    if tens < -2 or tens >= 6:
        mantissa, power = 10 ** (tens % 1), math.floor(tens)
        if mantissa > 9.95:
            mantissa, power = 1.0, power + 1
        return f"10<sup>{power}</sup>" if mantissa < 1.05 else f"{mantissa:.1f}\u00d710<sup>{power}</sup>"
    return f"{math.exp(log):,.4g}" if tens < 4 else f"{math.exp(log):,.0f}"


def reference(drawn: go.Figure, design: Reference, kind: Any, left: float, right: float) -> float:
    """Mark the design that the study is measured against; how far the picture then reaches to the right.

    Where the price axis would grow by half or more for it, it is an arrow at the edge, with its figures.
    """
    x, y, name = math.log(design.params_m * design.gflops), design.pixel_diff, brief(design.name, 40)
    figures = f"{design.pixel_diff:g} px, {design.params_m:g} M, {design.gflops:g} G: score {design.score:g}"
    grown = max(right, x + 0.05 * (right - left))
    near = left <= x and grown - left < 1.5 * (right - left)
    if near:
        drawn.add_trace(
            kind(
                x=[x],
                y=[y],
                mode="markers",
                name=f"{name} ({design.score:g})",
                marker={"color": REFERENCE_COLOUR, "symbol": "star", "size": 14},
                hovertemplate=f"<b>{name}</b><br>{figures}<extra></extra>",
            )
        )
        return grown
    outward = 1 if x > right else -1
    drawn.add_annotation(
        x=right if outward > 0 else left,
        y=y,
        text=f"{name}: {figures}",
        showarrow=True,
        arrowhead=2,
        arrowwidth=1.5,
        arrowcolor=REFERENCE_COLOUR,
        ax=-36 * outward,
        ay=0,
        xanchor="right" if outward > 0 else "left",
        font={"size": 12, "color": REFERENCE_COLOUR},
    )
    return right


def hover(entry: Entry, view: View) -> str:
    """What a trial says of itself; the view names its error."""
    lines = [f"<b>trial {entry.number}</b> {brief(entry.name, 40)} {entry.state}"]
    if entry.score is not None:
        lines.append(f"score {entry.score:.5g} ({escape(entry.band)})")
    if entry.error is not None:
        told = escape(f"{view.error_name} {measured(entry.error, view.unit)}")
        epochs = "1 epoch" if entry.epochs == 1 else f"{entry.epochs} epochs"
        lines.append(f"{told} after {epochs}, {entry.seconds:.0f} s")
    lines.append(f"{entry.params_m:.4g} M params, {entry.gflops:.4g} G FLOPs")
    if entry.reason:
        lines.append(brief(entry.reason.splitlines()[0], 100))
    lines += [
        f"{brief(name, 40)} = {value:.4g}" if isinstance(value, float) else f"{brief(name, 40)} = {brief(value, 60)}"
        for name, value in entry.params.items()
    ]
    return "<br>".join(lines)
