"""Learning curves: of all trials, with the scheduler's rungs, and of one trial."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.dashboard.progress import Numbers
from search.dashboard.style import ACCENT, MUTED, SERIES, STATES, SVG_POINTS, base, empty, heading, scatter
from search.results.view import View
from search.schedulers import recorded

if TYPE_CHECKING:
    from search.run.ledger import Row

What = Literal["error", "train_loss", "valid_loss"]

CAP = 200_000
"""Epochs that one figure draws; with them its JSON is about 2 MB."""
SCHEDULERS = {"asha": "ASHA", "hyperband": "Hyperband"}

BEHIND = 100
"""Curves of other trials behind one trial's own."""


def learning(view: View, what: What = "error") -> go.Figure:
    """Learning curves of all trials, one trace a state, with the rungs and the stops marked; the best stands out.

    Args:
        view: the study.
        what: 'error', 'train_loss' or 'valid_loss', as judged or summed up after every epoch.
    """
    if not view.curves:
        return empty(
            "No trial has ended its first epoch yet." if view.trials else "No trial yet, so there are no curves."
        )
    chosen = within_cap(view)
    drawn = go.Figure()
    count = sum(len(view.curves[number]) for number in chosen)
    kind, many = scatter(count), count > SVG_POINTS
    for state, (colour, _, _) in STATES.items():
        numbers = [number for number in chosen if view.by_number[number].state == state]
        if not numbers:
            continue
        x, y, of = joined({number: view.curves[number] for number in numbers}, what)
        # A line for the legend alone, whose colour does not fade with the number of curves.
        drawn.add_trace(
            kind(
                x=[None],
                y=[None],
                mode="lines",
                name=f"{state} ({len(numbers):,})",
                line={"color": colour},
                legendgroup=state,
            )
        )
        drawn.add_trace(
            kind(
                x=x,
                y=y,
                customdata=of,
                mode="lines" if many else "lines+markers",
                marker={"size": 3},
                name=state,
                legendgroup=state,
                showlegend=False,
                line={"color": colour, "width": 1},
                opacity=faded(len(numbers)),
                connectgaps=False,
                hovertemplate="trial %{customdata}, epoch %{x}: %{y:.4g}<extra></extra>",
            )
        )
    stops = [number for number in chosen if view.by_number[number].state == "stopped"]
    if stops:
        colour = STATES["stopped"][0]
        drawn.add_trace(
            kind(
                x=np.array([view.curves[number][-1]["epoch"] for number in stops], dtype=np.int32),
                y=np.array([reading(view.curves[number][-1], what) for number in stops], dtype=np.float32),
                customdata=np.array(stops, dtype=np.int32),
                mode="markers",
                name="stopped",
                legendgroup="stopped",
                showlegend=False,
                marker={"color": colour, "symbol": "line-ew-open", "size": 9, "line": {"color": colour, "width": 1.5}},
                opacity=min(1.0, 2 * faded(len(stops))),
                hovertemplate="trial %{customdata} stopped after epoch %{x}: %{y:.4g}<extra></extra>",
                selected={"marker": {"opacity": 1}},
                unselected={"marker": {"opacity": 0.15}},
            )
        )
    best = next(
        (entry.number for entry in view.entries if entry.state == "finished" and entry.number in view.curves), None
    )
    if best is not None:
        x, y, of = joined({best: view.curves[best]}, what)
        drawn.add_trace(
            kind(
                x=x[:-1],
                y=y[:-1],
                customdata=of[:-1],
                mode="lines",
                name=f"best: trial {best}",
                line={"color": ACCENT, "width": 2.5},
                hovertemplate="trial %{customdata}, epoch %{x}: %{y:.4g}<extra></extra>",
            )
        )
    search = view.attrs.get("search", {})
    lines = recorded(search).rungs(int(search.get("epochs", 0)))
    for epoch in lines:
        drawn.add_vline(x=epoch, line={"color": MUTED, "width": 1, "dash": "dot"}, layer="below")
    base(drawn, x="epoch", y=titles(view)[what])
    name = {"error": view.error_name, "train_loss": "training loss"}.get(what, "validation loss")
    heading(drawn, f"Learning curves: {name}", subtitle(view, search, lines, len(view.curves) - len(chosen)))
    seen = np.concatenate([np.asarray(trace.y, dtype=float) for trace in drawn.data])
    seen = seen[~np.isnan(seen)]
    if not len(seen):
        return empty("No epoch has a number that can be drawn.")
    low, high = float(seen.min()), float(np.quantile(seen, 0.995))
    pad = 0.05 * (high - low) or 0.5
    drawn.update_yaxes(range=[low - pad, high + pad])
    drawn.update_xaxes(range=[0.5, longest(view) + 0.5])
    return drawn


def subtitle(view: View, search: Mapping[str, Any], lines: Sequence[int], left_out: int) -> str:
    """What the lines mean and what is not shown."""
    scheduler = str(search.get("scheduler", ""))
    said = [f"{len(view.curves) - left_out:,} trials"]
    if lines and scheduler == "median":
        said.append("the median rule stops from the dotted line on")
    elif lines:
        said.append(f"dotted: {SCHEDULERS[scheduler]}'s rungs, after epochs {', '.join(map(str, lines))}")
    if left_out:
        said.append(
            f"{left_out:,} not shown: those kept are running ones, the best finished and the latest of the others"
        )
    return "; ".join(said)


def faded(count: int) -> float:
    """How opaque each of so many curves is."""
    return float(min(0.8, 1.3 * count**-0.33))


def within_cap(view: View) -> list[int]:
    """The trials that are drawn, by number: running ones, the best finished, then the latest, up to `CAP` epochs."""
    finished = [entry.number for entry in view.entries if entry.state == "finished" and entry.number in view.curves]
    running = [entry.number for entry in view.entries if entry.state == "running" and entry.number in view.curves]
    others = sorted(set(view.curves) - set(finished) - set(running), reverse=True)
    room, chosen = CAP, []
    for number in [*running, *finished, *others]:
        room -= len(view.curves[number]) + 1
        if room < 0:
            break
        chosen.append(number)
    return sorted(chosen)


def joined(curves: Mapping[int, "Sequence[Row]"], what: str) -> tuple[Any, Any, Any]:
    """Many curves as one line with gaps.

    Returns:
        epochs, readings (NaN between two curves) and trial numbers, each of shape (points,), with a gap at the end.
    """
    epochs: list[float] = []
    readings: list[float] = []
    lengths = []
    for rows in curves.values():
        epochs += [row["epoch"] for row in rows]
        epochs.append(rows[-1]["epoch"])
        readings += [reading(row, what) for row in rows]
        readings.append(math.nan)
        lengths.append(len(rows) + 1)
    return (
        np.array(epochs, dtype=np.int16 if max(epochs) < 2**15 else np.int32),
        np.array(readings, dtype=np.float32),
        np.repeat(np.array(list(curves), dtype=np.int32), lengths),
    )


def reading(row: "Row", what: str) -> float:
    """One epoch's number; NaN where there is none that can be drawn."""
    value = row.get(what)
    return value if value is not None and math.isfinite(value) else math.nan


def titles(view: View) -> dict[str, str]:
    """Axis titles of what an epoch measures, escaped."""
    return {"error": escape(view.error_title), "train_loss": "training loss", "valid_loss": "validation loss"}


def longest(view: View) -> int:
    """The last epoch of any trial, so far or as it is planned."""
    planned = max((entry.budget for entry in view.entries), default=0)
    return max(planned, max(int(rows[-1]["epoch"]) for rows in view.curves.values()))


def one(view: View, number: int) -> go.Figure:
    """One trial's own curves: losses, the error before the study's best other curves, and the learning rate.

    Raises:
        KeyError: the study has no such trial.
    """
    entry = view.by_number[number]
    rows = view.curves.get(number)
    if not rows:
        return empty(f"Trial {number} has no curve: it is {entry.state} and has not ended an epoch.")
    x = np.array([row["epoch"] for row in rows], dtype=np.int32)
    drawn = make_subplots(
        2,
        2,
        specs=[[{"colspan": 2}, None], [{}, {}]],
        row_heights=[0.56, 0.44],
        horizontal_spacing=0.13,
        vertical_spacing=0.15,
    )
    drawn.update_xaxes(matches="x")
    for what, name, colour in (
        ("train_loss", "training loss", SERIES[0]),
        ("valid_loss", "validation loss", SERIES[1]),
    ):
        drawn.add_trace(line(x, rows, what, name, colour), row=2, col=1)
    behind = [e.number for e in view.entries if e.number in view.curves and e.number != number][:BEHIND]
    if behind:
        others, errors, of = joined({other: view.curves[other] for other in behind}, "error")
        drawn.add_scatter(
            x=others,
            y=errors,
            customdata=of,
            mode="lines",
            name=f"{len(behind):,} other trials" if len(behind) < BEHIND else f"the {BEHIND} best others",
            line={"color": MUTED, "width": 1},
            opacity=0.55,
            connectgaps=False,
            hovertemplate="trial %{customdata}, epoch %{x}: %{y:.4g}<extra></extra>",
            row=1,
            col=1,
        )
    drawn.add_trace(line(x, rows, "error", f"{escape(view.error_name)} of trial {number}", ACCENT), row=1, col=1)
    drawn.add_trace(line(x, rows, "lr", "learning rate", SERIES[2]), row=2, col=2)
    base(drawn, x="epoch", y="", height=560)
    for row, column, title in ((1, 1, escape(view.error_title)), (2, 1, "loss"), (2, 2, "learning rate")):
        drawn.update_yaxes(title={"text": title, "standoff": 6}, row=row, col=column)
    drawn.update_yaxes(type="log", exponentformat="power", row=2, col=2)
    drawn.update_xaxes(range=[0.5, max(entry.budget, int(x[-1])) + 0.5])
    drawn.update_layout(margin={"t": 24})
    return drawn


def line(x: Any, rows: "Sequence[Row]", what: str, name: str, colour: str) -> go.Scatter:
    """One number of one trial against its epochs."""
    y: Numbers = np.array([reading(row, what) for row in rows])
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers" if len(rows) <= 60 else "lines",
        name=name,
        line={"color": colour, "width": 2},
        marker={"size": 5},
        hovertemplate=name + ", epoch %{x}: %{y:.4g}<extra></extra>",
    )
