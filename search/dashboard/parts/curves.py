"""Learning curves: of all trials, with the scheduler's rungs, and of one trial."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.results.figures.base import SVG_POINTS, base, empty, escape, heading, scatter
from search.results.importance import Numbers
from search.results.style import ACCENT, MUTED, SERIES, STATES
from search.results.view import View
from search.schedulers import recorded

if TYPE_CHECKING:
    from search.run.state.ledger import Row

CAP = 200_000
"""Epochs that one figure draws; with them its JSON is about 2 MB."""
SCHEDULERS = {"asha": "ASHA", "hyperband": "Hyperband", "look-ahead": "look-ahead"}

LOSSES = (("valid_loss", "validation loss", "solid"), ("train_loss", "training loss", "dot"))

BEHIND = 100
"""Curves of other trials behind one trial's own."""

HOVER = "trial %{customdata}, epoch %{x}: %{y:.4g}<extra></extra>"


def learning(view: View) -> go.Figure:
    """The errors of all trials by epoch, a trace a state, with the rungs and the stops marked; the best stands out."""
    if not view.curves:
        return empty(
            "No trial has ended its first epoch yet." if view.trials else "No trial yet, so there are no curves."
        )
    chosen = within_cap(view)
    count = sum(len(view.curves[number]) for number in chosen)
    drawn, trace = go.Figure(), scatter(count)
    for state in STATES:
        numbers = [number for number in chosen if view.by_number[number].state == state]
        if numbers:
            drawn.add_traces(_of_a_state(view, numbers, state, trace, markers=count <= SVG_POINTS))
    stops = [number for number in chosen if view.by_number[number].state == "stopped"]
    if stops:
        drawn.add_trace(_stops(view, stops, trace))
    if finished := _trained(view, "finished"):
        drawn.add_trace(_best(view, finished[0], trace))
    search = view.attrs.get("search", {})
    rungs = recorded(search).rungs(int(search.get("epochs", 0)))
    for epoch in rungs:
        drawn.add_vline(x=epoch, line={"color": MUTED, "width": 1, "dash": "dot"}, layer="below")
    base(drawn, x="epoch", y=escape(view.error_title))
    heading(
        drawn, f"Learning curves: {view.error_name}", _subtitle(view, search, rungs, len(view.curves) - len(chosen))
    )
    return _zoomed(drawn, view)


def _zoomed(drawn: go.Figure, view: View) -> go.Figure:
    """The figure with axes for what most curves reach; a sentence instead where no number can be drawn."""
    values = np.concatenate([np.asarray(trace.y, dtype=float) for trace in drawn.data])
    values = values[~np.isnan(values)]
    if not len(values):
        return empty("No epoch has a number that can be drawn.")
    low, high = float(values.min()), float(np.quantile(values, 0.995))
    pad = 0.05 * (high - low) or 0.5
    drawn.update_yaxes(range=[low - pad, high + pad])
    # To the last epoch of any trial, so far or as it is planned.
    planned = max((entry.budget for entry in view.entries), default=0)
    last = max(planned, max(int(rows[-1]["epoch"]) for rows in view.curves.values()))
    return drawn.update_xaxes(range=[0.5, last + 0.5])


def _of_a_state(view: View, numbers: Sequence[int], state: str, trace: Any, markers: bool) -> list[Any]:
    """The curves of one state, and a line for the legend alone, whose colour does not fade with their number."""
    colour = STATES[state][0]
    x, y, of = _end_to_end(view, numbers)
    legend = trace(
        x=[None], y=[None], mode="lines", name=f"{state} ({len(numbers):,})", line={"color": colour}, legendgroup=state
    )
    lines = trace(
        x=x,
        y=y,
        customdata=of,
        mode="lines+markers" if markers else "lines",
        marker={"size": 3},
        name=state,
        legendgroup=state,
        showlegend=False,
        line={"color": colour, "width": 1},
        opacity=_faded(len(numbers)),
        connectgaps=False,
        hovertemplate=HOVER,
    )
    return [legend, lines]


def _stops(view: View, numbers: Sequence[int], trace: Any) -> Any:
    """Where the scheduler stopped trials."""
    colour = STATES["stopped"][0]
    return trace(
        x=np.array([view.curves[number][-1]["epoch"] for number in numbers], dtype=np.int32),
        y=np.array([_value(view.curves[number][-1], "error") for number in numbers], dtype=np.float32),
        customdata=np.array(numbers, dtype=np.int32),
        mode="markers",
        name="stopped",
        legendgroup="stopped",
        showlegend=False,
        marker={"color": colour, "symbol": "line-ew-open", "size": 9, "line": {"color": colour, "width": 1.5}},
        opacity=min(1.0, 2 * _faded(len(numbers))),
        hovertemplate="trial %{customdata} stopped after epoch %{x}: %{y:.4g}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.15}},
    )


def _best(view: View, number: int, trace: Any) -> Any:
    """The best trial's curve, above all others."""
    x, y, of = _end_to_end(view, [number])
    return trace(
        x=x[:-1],
        y=y[:-1],
        customdata=of[:-1],
        mode="lines",
        name=f"best: trial {number}",
        line={"color": ACCENT, "width": 2.5},
        hovertemplate=HOVER,
    )


def _subtitle(view: View, search: Mapping[str, Any], rungs: Sequence[int], left_out: int) -> str:
    """What the lines mean and what is not shown."""
    scheduler = str(search.get("scheduler", ""))
    parts = [f"{len(view.curves) - left_out:,} trials"]
    if rungs and scheduler == "median":
        parts.append("the median rule stops from the dotted line on")
    elif rungs:
        parts.append(f"dotted: {SCHEDULERS[scheduler]}'s rungs, after epochs {', '.join(map(str, rungs))}")
    if left_out:
        parts.append(
            f"{left_out:,} not shown: those kept are running ones, the best finished and the latest of the others"
        )
    return "; ".join(parts)


def _faded(count: int) -> float:
    """How opaque each of so many curves is."""
    return float(min(0.8, 1.3 * count**-0.33))


def within_cap(view: View) -> list[int]:
    """The trials that are drawn, by number: running ones, the best finished, then the latest, up to `CAP` epochs."""
    finished, running = _trained(view, "finished"), _trained(view, "running")
    others = sorted(set(view.curves) - set(finished) - set(running), reverse=True)
    left, chosen = CAP, []
    for number in [*running, *finished, *others]:
        left -= len(view.curves[number]) + 1
        if left < 0:
            break
        chosen.append(number)
    return sorted(chosen)


def _trained(view: View, state: str) -> list[int]:
    """The trials in a state that have a curve, best first."""
    return [entry.number for entry in view.by_state[state] if entry.number in view.curves]


def _end_to_end(view: View, numbers: Sequence[int]) -> tuple[Any, Any, Any]:
    """The errors of some trials as one line with gaps.

    Returns:
        epochs, errors (NaN between two curves) and trial numbers, each of shape (points,), with a gap at the end.
    """
    epochs: list[float] = []
    values: list[float] = []
    lengths = []
    for rows in (view.curves[number] for number in numbers):
        epochs += [*(row["epoch"] for row in rows), rows[-1]["epoch"]]
        values += [*(_value(row, "error") for row in rows), math.nan]
        lengths.append(len(rows) + 1)
    return (
        np.array(epochs, dtype=np.int16 if max(epochs) < 2**15 else np.int32),
        np.array(values, dtype=np.float32),
        np.repeat(np.array(numbers, dtype=np.int32), lengths),
    )


def _value(row: "Row", what: str) -> float:
    """A number of one epoch; NaN where there is none that can be drawn."""
    value = row.get(what)
    return value if value is not None and math.isfinite(value) else math.nan


def of_trial(view: View, number: int) -> go.Figure:
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
    drawn.add_trace(_line(x, rows, "train_loss", "training loss", SERIES[0]), row=2, col=1)
    drawn.add_trace(_line(x, rows, "valid_loss", "validation loss", SERIES[1]), row=2, col=1)
    behind = [e.number for e in view.entries if e.number in view.curves and e.number != number][:BEHIND]
    if behind:
        drawn.add_trace(_others(view, behind), row=1, col=1)
    drawn.add_trace(_line(x, rows, "error", f"{escape(view.error_name)} of trial {number}", ACCENT), row=1, col=1)
    drawn.add_trace(_line(x, rows, "lr", "learning rate", SERIES[2]), row=2, col=2)
    base(drawn, x="epoch", y="", height=560)
    for row, column, title in ((1, 1, escape(view.error_title)), (2, 1, "loss"), (2, 2, "learning rate")):
        drawn.update_yaxes(title={"text": title, "standoff": 6}, row=row, col=column)
    drawn.update_yaxes(type="log", exponentformat="power", row=2, col=2)
    drawn.update_xaxes(range=[0.5, max(entry.budget, int(x[-1])) + 0.5])
    return drawn.update_layout(margin={"t": 24})


def _others(view: View, numbers: Sequence[int]) -> go.Scatter:
    """The errors of other trials, pale."""
    x, y, of = _end_to_end(view, numbers)
    return go.Scatter(
        x=x,
        y=y,
        customdata=of,
        mode="lines",
        name=f"{len(numbers):,} other trials" if len(numbers) < BEHIND else f"the {BEHIND} best others",
        line={"color": MUTED, "width": 1},
        opacity=0.55,
        connectgaps=False,
        hovertemplate=HOVER,
    )


def _line(x: Any, rows: "Sequence[Row]", what: str, name: str, colour: str) -> go.Scatter:
    """One number of one trial against its epochs."""
    y: Numbers = np.array([_value(row, what) for row in rows])
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers" if len(rows) <= 60 else "lines",
        name=name,
        line={"color": colour, "width": 2},
        marker={"size": 5},
        hovertemplate=name + ", epoch %{x}: %{y:.4g}<extra></extra>",
    )


def together(view: View, runs: Mapping[str, "Sequence[Row]"], colours: Sequence[str] = SERIES) -> list[go.Figure]:
    """Curves of some trainings over each other: a figure of their errors, and one of their losses.

    Args:
        view: the study.
        runs: rows an epoch by what each training is called; empty for no figure.
        colours: of the trainings in their order.
    """
    if not runs:
        return []
    errors, losses = go.Figure(), go.Figure()
    for (name, rows), colour in zip(runs.items(), [*colours] * len(runs), strict=False):
        x = np.array([row["epoch"] for row in rows], dtype=np.int32)
        errors.add_trace(_line(x, rows, "error", escape(name), colour))
        for what, words, dash in LOSSES:
            loss = _line(x, rows, what, escape(f"{name}, {words}"), colour)
            losses.add_trace(loss.update(mode="lines", line={"dash": dash, "width": 1.5}, showlegend=dash == "solid"))
    base(errors, x="epoch", y=escape(view.error_title))
    base(losses, x="epoch", y="loss")
    heading(errors, f"{view.error_name} by epoch", "of the validation part")
    heading(losses, "Loss by epoch", "dotted: training loss")
    last = max(int(rows[-1]["epoch"]) for rows in runs.values())
    return [drawn.update_xaxes(range=[0.5, last + 0.5]) for drawn in (errors, losses)]
