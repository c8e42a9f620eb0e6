"""Why trials are good: which parameters matter for the score, the error and the price, and how."""

import math
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from plotly.subplots import make_subplots

from search.dashboard.parts.progress import ranked, ranked_title
from search.format import compact, titled
from search.results.figures.base import base, brief, empty, escape, heading, log_axis, scatter
from search.results.importance import Numbers, Shares, Target, distributions, largest_shares, scale, shares, tenths
from search.results.leaderboard import Entry
from search.results.style import ACCENT, MUTED, SERIES
from search.results.view import View

PANELS = 12
"""Parameters that one figure of slices shows."""
POINTS = 1000
"""Trials in a panel of slices."""
KEPT = 32
"""Shares that are remembered."""
FEW = 3
"""Finished trials from which on those that were stopped do not say how high the panels are."""
LINES = 1500
"""Trials in the parallel coordinates."""
STEPS = 40
"""Ends that a brush along an axis of numbers may have."""

_SHARES: dict[tuple[Any, ...], tuple[FrozenTrial | None, Shares | str]] = {}
_COUNTING = Lock()

AGES = ((0.0, "#3b82c4"), (0.5, "#8d9a7b"), (1.0, "#e08a1e"))
RANKS = [[0.0, ACCENT], [0.25, "#8d6bb8"], [1.0, "#8296ad"]]
NONE = "\u2014"
"""What stands where a trial was not asked for a parameter."""


def importance_figure(view: View) -> go.Figure:
    """Importance of every parameter for the score, the error and the price, side by side.

    Not to be drawn anew at every epoch, see `remembered`.
    """
    price = " \u00d7 ".join(escape(reading.title) for reading in view.cost)
    targets: list[tuple[Target, str]] = [("error", escape(view.error_name)), ("cost", f"ln({price})")]
    if view.scored:
        targets.insert(0, ("value", "ln(score)"))
    by_target = [remembered(view, target) for target, _ in targets]
    largest = largest_shares(by_target)
    if not largest:
        reasons = (result for result in by_target if isinstance(result, str))
        return empty(next(reasons, "No parameter differs between the trials."))
    # The same order in every panel, most important at the top.
    names = sorted(largest, key=lambda name: largest[name])[-2 * PANELS :]
    titles = [
        title + ("" if isinstance(result, str) else f", {result.trials:,} trials")
        for (_, title), result in zip(targets, by_target, strict=True)
    ]
    drawn = make_subplots(1, len(targets), shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=titles)
    drawn.update_annotations(font_size=13)
    for column, (result, colour) in enumerate(zip(by_target, SERIES, strict=False), 1):
        if isinstance(result, str):
            _reason(drawn, result, names, column)
        else:
            _bars(drawn, result, names, column, colour)
    base(drawn, x="share of variance", y="", height=max(260, 150 + 26 * len(names)))
    drawn.update_layout(showlegend=False, bargap=0.3, margin={"t": 92, "b": 56})
    drawn.update_xaxes(range=[0, 1.18], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%")
    drawn.update_yaxes(tickvals=list(range(len(names))), ticktext=[brief(name, 28) for name in names])
    return heading(
        drawn,
        "What each parameter explains alone",
        "share of variance among trials (fANOVA); dotted: what a shuffled parameter reaches; grey: no more than that",
    )


def _reason(drawn: go.Figure, reason: str, names: Sequence[str], column: int) -> None:
    """A panel that says why the shares are not known."""
    number = column if column > 1 else ""
    drawn.add_annotation(
        text=escape(reason).replace("; ", ";<br>").replace(", so", ",<br>so"),
        x=0.5,
        y=0.5,
        xref=f"x{number} domain",
        yref=f"y{number} domain",
        showarrow=False,
        font={"color": MUTED},
    )
    drawn.add_bar(x=[0] * len(names), y=list(range(len(names))), orientation="h", row=1, col=column)


def _bars(drawn: go.Figure, result: Shares, names: Sequence[str], column: int, colour: str) -> None:
    """A panel with a bar for each parameter."""
    by_name = {share.name: share for share in result.shares}
    bars = [by_name.get(name) for name in names]
    texts = [
        f" {bar.share:.0%}" + ("" if bar.trials == result.trials else f" on {bar.trials:,} trials") if bar else ""
        for bar in bars
    ]
    drawn.add_bar(
        x=[bar.share if bar else 0 for bar in bars],
        y=list(range(len(names))),
        orientation="h",
        marker={"color": [MUTED if bar and bar.share <= bar.chance else colour for bar in bars]},
        text=texts,
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x:.1%}<extra></extra>",
        row=1,
        col=column,
    )
    if result.chance > 0:
        drawn.add_vline(x=result.chance, line={"color": MUTED, "width": 1, "dash": "dot"}, row=1, col=column)


def slices(view: View, target: Target) -> go.Figure:
    """One panel a parameter: a target against its values; finished trials by age, those stopped early faint behind."""
    asked = distributions(view.trials)
    measured = [entry for entry in view.entries if not math.isnan(ordinate(view, entry, target))]
    if not asked or not measured:
        return empty("No trial has been priced yet." if target == "cost" else "No trial has been judged yet.")
    # Entries are best first, finished ones before all others.
    panels, shown = by_importance(view, target, list(asked))[:PANELS], measured[:POINTS]
    # A price is exact without any training.
    whole = [entry for entry in shown if entry.state == "finished" or target == "cost"]
    rest = [entry for entry in shown if entry.state != "finished" and target != "cost"]
    columns = min(4, len(panels)) if len(panels) != 6 else 3
    rows = math.ceil(len(panels) / columns)
    drawn = make_subplots(
        rows, columns, shared_yaxes=True, horizontal_spacing=0.025, vertical_spacing=min(0.16, 0.32 / rows)
    )
    trace = scatter(len(shown) * len(panels) // 4)
    for place, name in enumerate(panels):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        for entries, faint in ((rest, True), (whole, False)):
            having = [entry for entry in entries if name in entry.params]
            if having:
                drawn.add_trace(_slice(trace, view, having, target, name, asked[name], faint), **where)
        sampled = [entry.params[name] for entry in shown if name in entry.params]
        drawn.update_xaxes(parameter_axis(name, asked[name], sampled), **where)
    ceiling = _ceiling([ordinate(view, entry, target) for entry in whole], target == "value" and view.scored)
    _frame_slices(drawn, view, target, rows, [min(ordinate(view, entry, target), ceiling) for entry in shown])
    above = sum(ordinate(view, entry, target) > ceiling for entry in rest)
    parts = ["coloured by age" if whole else "none finished", "grey: not trained in full" if rest else ""]
    parts.append(f"{above:,} of those far above" if above else "")
    if len(measured) > POINTS:
        parts.append(f"the best {POINTS:,} and {len(measured) - POINTS:,} not shown")
    if len(asked) > PANELS:
        parts.append(f"{PANELS} parameters, {len(asked) - PANELS} of less importance not shown")
    what = "Price" if target == "cost" else "Score" if target == "value" and view.scored else view.error_name
    return heading(drawn, f"{what} against each parameter", "; ".join(part for part in parts if part))


def targets(view: View) -> list[tuple[Target, str]]:
    """What slices can be of, with names; first what the study is ranked by."""
    found: list[tuple[Target, str]] = [("error", view.error_name), ("cost", "cost")]
    return found if view.alone else [("value", "score" if view.scored else "value"), *found]


def by_importance(view: View, target: Target, names: Sequence[str]) -> list[str]:
    """Parameters, the most important first; in their own order before that is known."""
    found = remembered(view, target)
    known = {} if isinstance(found, str) else {share.name: share.share for share in found.shares}
    return sorted(names, key=lambda name: -known.get(name, -1.0))


def remembered(view: View, target: Target) -> Shares | str:
    """The shares of a target, counted anew whenever a tenth more trials have finished.

    They take 1.6 s for a space of 29 parameters, some of which few trials have, and the import of scikit-learn as long.
    """
    key = (view.name, target, tenths(view), view.selected)
    first = view.trials[0] if view.trials else None  # tells studies of one name apart; unchanged it is the same object
    with _COUNTING:  # who asks meanwhile waits, and does not count the same once more
        kept = _SHARES.get(key)
        if kept is None or kept[0] is not first:
            while len(_SHARES) >= KEPT:
                _SHARES.pop(next(iter(_SHARES)))
            kept = _SHARES[key] = (first, shares(view, target))
        return kept[1]


def _ceiling(finished: Sequence[float], log: bool) -> float:
    """Above what trials that were stopped early are not shown: they would press the finished ones to the floor."""
    if len(finished) < FEW:
        return math.inf
    low, high = min(finished), max(finished)
    return float(high * (high / low) ** 0.5 * 3) if log else float(high + 0.6 * (high - low) + 1e-9)


def _slice(
    trace: Any,
    view: View,
    entries: Sequence[Entry],
    target: Target,
    name: str,
    distribution: BaseDistribution,
    faint: bool,
) -> Any:
    """Trials in the panel of one parameter; those of one choice stand beside each other."""
    x, choices, _ = scale(distribution, [entry.params[name] for entry in entries])
    numbers = np.array([entry.number for entry in entries], dtype=np.int32)
    if choices:
        x = x + ((numbers * 0.618034) % 1 - 0.5) * 0.5
    return trace(
        x=x.astype(np.float32),
        y=np.array([ordinate(view, entry, target) for entry in entries]),
        customdata=numbers,
        mode="markers",
        name="not trained in full" if faint else "finished",
        showlegend=False,
        marker={"color": MUTED, "size": 4, "opacity": 0.35, "symbol": "circle-open"}
        if faint
        else {"color": numbers, "coloraxis": "coloraxis", "size": 6, "opacity": 0.85},
        hovertemplate="trial %{customdata}: %{y:.5g}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 0.1}},
    )


def parameter_axis(name: str, distribution: BaseDistribution, values: Sequence[Any]) -> dict[str, Any]:
    """A parameter's axis: choices by their names, a number on the scale that it was sampled on."""
    numbers, choices, log = scale(distribution, values)
    axis: dict[str, Any] = {"title": {"text": brief(name, 30), "standoff": 4}}
    if choices:
        texts = [brief(choice, 14) for choice in choices]
        return axis | {"tickvals": list(range(len(choices))), "ticktext": texts, "range": [-0.6, len(choices) - 0.4]}
    if log:
        ticks, texts = log_ticks(math.log10(numbers.min()), math.log10(numbers.max()))
        return axis | {"type": "log", "tickvals": [10**tick for tick in ticks], "ticktext": texts}
    return axis | {"nticks": 6}


def _frame_slices(drawn: go.Figure, view: View, target: Target, rows: int, values: Sequence[float]) -> None:
    """Size, colours and y axes of the slices."""
    drawn.update_layout(
        uirevision="keep",
        height=110 + 230 * rows,
        margin={"l": 64, "r": 24, "t": 68, "b": 48},
        hovermode="closest",
        coloraxis={"colorscale": AGES, "colorbar": {"title": {"text": "trial", "side": "right"}, "thickness": 10}},
    )
    drawn.update_xaxes(zeroline=False, automargin=True)
    drawn.update_yaxes(zeroline=False, automargin=True)
    score = target == "value" and view.scored
    log = target == "cost" or score
    if log:
        drawn.update_yaxes(log_axis(values))
    low, high = (math.log10(min(values)), math.log10(max(values))) if log else (min(values), max(values))
    pad = 0.06 * (high - low) or 0.5
    drawn.update_yaxes(range=[low - pad, high + pad])
    if target == "cost":
        title = escape(view.cost_title)
    elif target == "error":
        title = escape(view.error_title)
    else:
        title = "score" if rows > 1 and score else ranked_title(view)
    for row in range(rows):
        drawn.update_yaxes(title={"text": title, "standoff": 6}, row=row + 1, col=1)


def ordinate(view: View, entry: Entry, target: Target) -> float:
    """A trial's target as a figure shows it, also of a trial that was not trained in full; NaN where it has none."""
    if target == "cost":
        return entry.cost(view.described.cost)
    return ranked(entry, view.scored and target == "value")


def parallel(view: View) -> go.Figure:
    """Parallel coordinates: parameters, price, error and score of finished trials, the best 1,500 of them."""
    finished = [
        entry
        for entry in view.by_state["finished"]
        if entry.error is not None and not math.isnan(ranked(entry, view.scored)) and not math.isnan(view.price(entry))
    ]
    if not finished:
        return empty("Parallel coordinates show finished trials; there are none yet.")
    beyond = len(finished) - LINES
    # The best are drawn last, above the others.
    finished = finished[:LINES][::-1]
    axes = _parallel_axes(view, finished)
    values = np.array([entry.value if view.scored else entry.error for entry in finished], dtype=float)
    # One wild trial must not take all of the colours.
    low, high = float(values.min()), float(np.quantile(values, 0.9))
    drawn = go.Figure(
        go.Parcoords(
            line={"color": values, "colorscale": RANKS, "cmin": low, "cmax": max(high, low + 1e-9)},
            dimensions=axes,
            customdata=np.array([entry.number for entry in finished], dtype=np.int32),
            unselected={"line": {"color": MUTED, "opacity": 0.08}},
            labelangle=-18 if len(axes) > 9 else 0,
        )
    )
    drawn.update_layout(uirevision="keep", height=480, margin={"l": 72, "r": 72, "t": 112, "b": 36})
    counted = f"{len(finished):,} finished trials"
    note = f"the best {counted}, {beyond:,} not shown" if beyond > 0 else counted
    return heading(drawn, "Parallel coordinates", note + "; the best in red; drag along an axis to choose")


def _parallel_axes(view: View, finished: Sequence[Entry]) -> list[dict[str, Any]]:
    """One axis for each parameter that these trials have, then price, error and score."""
    axes = []
    for name, distribution in distributions(view.trials).items():
        sampled = [entry.params.get(name) for entry in finished]
        values = [value for value in sampled if value is not None]
        if not values:
            continue
        numbers, choices, log = scale(distribution, values)
        filled = np.full(len(finished), math.nan)
        filled[[value is not None for value in sampled]] = numbers
        axes.append(_axis(name, filled, choices, log))
    # The initials of several readings, for the axis has little room.
    labels = [titled(reading.title[:1], reading.unit) if view.cost[1:] else reading.label for reading in view.cost]
    prices = np.array([ordinate(view, entry, "cost") for entry in finished])
    axes.append(_axis(" \u00d7 ".join(labels), prices, [], True))
    axes.append(_axis(view.error_title, np.array([entry.error for entry in finished]), [], False))
    if view.scored:
        axes.append(_axis("score", np.array([ranked(entry, True) for entry in finished]), [], True))
    return axes


def _axis(name: str, values: Numbers, choices: Sequence[str], log: bool) -> dict[str, Any]:
    """One axis of the parallel coordinates; a trial without a value stands below the others, at a dash."""
    missing = np.isnan(values)
    values = np.log10(values) if log else values
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if choices:
        low, high = 0.0, max(len(choices) - 1.0, 0.5)
        ticks, texts = [float(place) for place in range(len(choices))], [brief(choice, 14) for choice in choices]
    else:
        ticks, texts = (log_ticks if log else even_ticks)(low, high)
        if high - low >= 1e-12:
            # A brush ends between two ticks: those without a name let it end nearly anywhere.
            step = (high - low) / STEPS
            between = [low + step * place for place in range(STEPS + 1)]
            between = [tick for tick in between if min(abs(tick - other) for other in ticks) > step / 2]
            # Nothing is to be read there, but plotly takes equal texts for one tick: spaces of no width.
            unnamed = {tick: "\u200b" * place for place, tick in enumerate(between, 1)}
            named = dict(zip(ticks, texts, strict=True)) | unnamed
            ticks = sorted(named)
            texts = [named[tick] for tick in ticks]
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    if missing.any():
        below = low - 0.12 * (high - low)
        values = np.where(missing, below, values)
        low, ticks, texts = below, [below, *ticks], [NONE, *texts]
    return {
        "name": escape(name),  # two labels may be alike
        "label": brief(name, 16),
        "values": values.astype(np.float32),
        "range": [low, high],
        "tickvals": ticks,
        "ticktext": texts,
    }


def even_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Round numbers between two, about six."""
    if high - low < 1e-12:
        return [low], [compact(low)]
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    ticks = [step * place for place in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    return ticks, [f"{tick:.6g}" for tick in ticks]


def log_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Round numbers between 10^low and 10^high; positions are log10."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        ticks = [p + math.log10(f) for p in powers for f in factors if low - 1e-9 <= p + math.log10(f) <= high + 1e-9]
        if len(ticks) >= 3:
            break
    ticks = (ticks or [low])[:: max(1, len(ticks) // 8)]
    return ticks, [compact(10**tick) for tick in ticks]
