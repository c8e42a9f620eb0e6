"""Why trials are good: which parameters matter for the score, the error and the price, and how."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from search.dashboard.progress import Numbers, judged, judged_title
from search.dashboard.style import ACCENT, MUTED, SERIES, base, brief, empty, heading, log_axis, scatter
from search.results.importance import Target, distributions, scale, shares
from search.results.leaderboard import Entry
from search.results.view import View

PANELS = 12
"""Parameters that one figure of slices shows."""
POINTS = 1000
"""Trials in a panel of slices."""
LINES = 1500
"""Trials in the parallel coordinates."""

AGES = [[0.0, "#3b82c4"], [0.5, "#8d9a7b"], [1.0, "#e08a1e"]]
RANKS = [[0.0, ACCENT], [0.25, "#8d6bb8"], [1.0, "#8296ad"]]
NONE = "\u2014"
"""What stands where a trial was not asked for a parameter."""


def importance_figure(view: View) -> go.Figure:
    """Importance of every parameter for the score, the error and the price, side by side.

    Takes 0.3 to 0.8 s a target from 500 trials on: not to be drawn anew at every epoch.
    """
    targets: list[tuple[Target, str]] = [
        ("error", escape(view.error_name)),
        ("cost", "ln(Params \u00d7 FLOPs)"),
    ]
    if view.scored:
        targets.insert(0, ("value", "ln(score)"))
    found = [shares(view, target) for target, _ in targets]
    largest: dict[str, float] = {}
    for one in found:
        for share in () if isinstance(one, str) else one.shares:
            largest[share.name] = max(largest.get(share.name, 0.0), share.share)
    if not largest:
        return empty(next((one for one in found if isinstance(one, str)), "No parameter differs between the trials."))
    # The same order in every panel, most important at the top.
    names = sorted(largest, key=lambda name: largest[name])[-2 * PANELS :]
    titles = [
        title + ("" if isinstance(one, str) else f", {one.trials:,} trials")
        for (_, title), one in zip(targets, found, strict=True)
    ]
    drawn = make_subplots(1, len(targets), shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=titles)
    drawn.update_annotations(font_size=13)
    for column, (one, colour) in enumerate(zip(found, SERIES, strict=False), 1):
        if isinstance(one, str):
            drawn.add_annotation(
                text=escape(one).replace("; ", ";<br>").replace(", so", ",<br>so"),
                x=0.5,
                y=0.5,
                xref=f"x{column if column > 1 else ''} domain",
                yref=f"y{column if column > 1 else ''} domain",
                showarrow=False,
                font={"color": MUTED},
            )
            drawn.add_bar(x=[0] * len(names), y=list(range(len(names))), orientation="h", row=1, col=column)
            continue
        by_name = {share.name: share for share in one.shares}
        bars = [by_name.get(name) for name in names]
        drawn.add_bar(
            x=[bar.share if bar else 0 for bar in bars],
            y=list(range(len(names))),
            orientation="h",
            marker={"color": [MUTED if bar and bar.share <= bar.chance else colour for bar in bars]},
            text=[
                ""
                if bar is None
                else f" {bar.share:.0%}" + ("" if bar.trials == one.trials else f" on {bar.trials:,} trials")
                for bar in bars
            ],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{x:.1%}<extra></extra>",
            row=1,
            col=column,
        )
        chance = max((share.chance for share in one.shares if share.trials == one.trials), default=0.0)
        if chance > 0:
            drawn.add_vline(x=chance, line={"color": MUTED, "width": 1, "dash": "dot"}, row=1, col=column)
    base(drawn, x="share of variance", y="", height=max(260, 150 + 26 * len(names)))
    drawn.update_layout(showlegend=False, bargap=0.3, margin={"t": 92, "b": 56})
    drawn.update_xaxes(range=[0, 1.18], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%")
    drawn.update_yaxes(tickvals=list(range(len(names))), ticktext=[brief(name, 28) for name in names])
    return heading(
        drawn,
        "What each parameter explains alone",
        "share of variance among trials (fANOVA); dotted: what a shuffled parameter reaches; grey: no more than that",
    )


def slices(view: View, target: Target, names: Sequence[str] | None = None) -> go.Figure:
    """One panel a parameter: a target against its values; finished trials by age, those stopped early faint behind.

    Args:
        view: the study.
        target: 'value' (the score where there is one), 'error', or 'cost', which every priced trial has.
        names: parameters to show, at most 12; the first that were asked for where None.
    """
    spread = distributions(view.trials)
    wanted = [name for name in (spread if names is None else names) if name in spread]
    shown = [entry for entry in view.entries if not math.isnan(ordinate(entry, target, view.scored))]
    if not wanted or not shown:
        return empty("No trial has been priced yet." if target == "cost" else "No trial has been judged yet.")
    left_out = len(wanted) - PANELS
    wanted = wanted[:PANELS]
    # Entries are best first, finished ones before all others.
    beyond = len(shown) - POINTS
    shown = shown[:POINTS]
    # A price is exact without any training.
    whole = [entry for entry in shown if entry.state == "finished" or target == "cost"]
    rest = [entry for entry in shown if entry.state != "finished" and target != "cost"]
    columns = min(4, len(wanted)) if len(wanted) != 6 else 3
    rows = math.ceil(len(wanted) / columns)
    drawn = make_subplots(
        rows, columns, shared_yaxes=True, horizontal_spacing=0.025, vertical_spacing=min(0.16, 0.32 / rows)
    )
    for place, name in enumerate(wanted):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        for entries, faint in ((rest, True), (whole, False)):
            having = [entry for entry in entries if name in entry.params]
            if not having:
                continue
            x, choices, log = scale(spread[name], [entry.params[name] for entry in having])
            numbers = np.array([entry.number for entry in having], dtype=np.int32)
            if choices:
                x = x + ((numbers * 0.618034) % 1 - 0.5) * 0.5
            drawn.add_trace(
                scatter(len(shown) * len(wanted) // 4)(
                    x=x.astype(np.float32),
                    y=np.array([ordinate(entry, target, view.scored) for entry in having]),
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
                ),
                **where,
            )
        values, choices, log = scale(spread[name], [e.params[name] for e in shown if name in e.params])
        drawn.update_xaxes(title={"text": brief(name, 30), "standoff": 4}, **where)
        if choices:
            drawn.update_xaxes(
                tickvals=list(range(len(choices))),
                ticktext=[brief(choice, 14) for choice in choices],
                range=[-0.6, len(choices) - 0.4],
                **where,
            )
        elif log:
            ticks, texts = log_ticks(math.log10(values.min()), math.log10(values.max()))
            drawn.update_xaxes(type="log", tickvals=[10**tick for tick in ticks], ticktext=texts, **where)
        else:
            drawn.update_xaxes(nticks=6, **where)
    title = {"cost": "Params [M] \u00d7 FLOPs [G]", "error": escape(view.error_title)}.get(target) or judged_title(view)
    drawn.update_layout(
        uirevision="keep",
        height=110 + 230 * rows,
        margin={"l": 64, "r": 24, "t": 68, "b": 48},
        hovermode="closest",
        coloraxis={"colorscale": AGES, "colorbar": {"title": {"text": "trial", "side": "right"}, "thickness": 10}},
    )
    drawn.update_xaxes(zeroline=False, automargin=True)
    drawn.update_yaxes(zeroline=False, automargin=True)
    if target == "cost" or (target == "value" and view.scored):
        drawn.update_yaxes(log_axis([ordinate(entry, target, view.scored) for entry in shown]))
    for row in range(rows):
        drawn.update_yaxes(
            title={"text": "score" if rows > 1 and target == "value" and view.scored else title, "standoff": 6},
            row=row + 1,
            col=1,
        )
    said = ["coloured by age" if whole else "none finished", "grey: not trained in full" if rest else ""]
    said.append(f"the best {POINTS:,} and {beyond:,} not shown" if beyond > 0 else "")
    said.append(f"the first {PANELS} parameters, {left_out} not shown" if left_out > 0 else "")
    what = "Price" if target == "cost" else "Score" if target == "value" and view.scored else view.error_name
    return heading(drawn, f"{what} against each parameter", "; ".join(part for part in said if part))


def ordinate(entry: Entry, target: Target, scored: bool) -> float:
    """A trial's target as a figure shows it, also of a trial that was not trained in full; NaN where it has none."""
    if target == "cost":
        return (entry.params_m or math.nan) * (entry.gflops or math.nan)
    return judged(entry, scored and target == "value")


def parallel(view: View) -> go.Figure:
    """Parallel coordinates: parameters, price, error and score of finished trials, the best 1,500 of them."""
    finished = [
        entry for entry in view.entries if entry.state == "finished" and not math.isnan(judged(entry, view.scored))
    ]
    finished = [entry for entry in finished if entry.params_m and entry.gflops and entry.error is not None]
    if not finished:
        return empty("Parallel coordinates show finished trials; there are none yet.")
    beyond = len(finished) - LINES
    # The best are drawn last, above the others.
    finished = finished[:LINES][::-1]
    spread = distributions(view.trials)
    axes = []
    for name, distribution in spread.items():
        having = [entry.params.get(name) for entry in finished]
        known = [value for value in having if value is not None]
        if not known:
            continue
        numbers, choices, log = scale(distribution, known)
        filled = np.full(len(finished), math.nan)
        filled[[value is not None for value in having]] = numbers
        axes.append(axis(name, filled, choices, log))
    axes.append(axis("P [M] \u00d7 F [G]", np.array([ordinate(e, "cost", False) for e in finished]), [], True))
    axes.append(axis(view.error_title, np.array([entry.error for entry in finished]), [], False))
    if view.scored:
        axes.append(axis("score", np.array([judged(entry, True) for entry in finished]), [], True))
    values = np.array([entry.value if view.scored else entry.error for entry in finished], dtype=float)
    # One wild trial must not take all of the colours.
    low, high = float(values.min()), float(np.quantile(values, 0.9))
    drawn = go.Figure(
        go.Parcoords(
            line={"color": values, "colorscale": RANKS, "cmin": low, "cmax": max(high, low + 1e-9)},
            dimensions=axes,
            unselected={"line": {"color": MUTED, "opacity": 0.08}},
            labelangle=-18 if len(axes) > 9 else 0,
        )
    )
    drawn.update_layout(uirevision="keep", height=480, margin={"l": 72, "r": 72, "t": 112, "b": 36})
    note = (
        f"the best {LINES:,} finished trials, {beyond:,} not shown"
        if beyond > 0
        else f"{len(finished):,} finished trials"
    )
    return heading(drawn, "Parallel coordinates", note + "; the best in red; drag along an axis to choose")


def axis(name: str, values: Numbers, choices: Sequence[str], log: bool) -> dict[str, Any]:
    """One axis of the parallel coordinates; a trial without a value stands below the others, at a dash."""
    missing = np.isnan(values)
    values = np.log10(values) if log else values
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if choices:
        low, high = 0.0, max(len(choices) - 1.0, 0.5)
        ticks, texts = [float(place) for place in range(len(choices))], [brief(choice, 14) for choice in choices]
    else:
        ticks, texts = (log_ticks if log else even_ticks)(low, high)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    if missing.any():
        below = low - 0.12 * (high - low)
        values = np.where(missing, below, values)
        low, ticks, texts = below, [below, *ticks], [NONE, *texts]
    return {
        "label": brief(name, 16),
        "values": values.astype(np.float32),
        "range": [low, high],
        "tickvals": ticks,
        "ticktext": texts,
    }


def even_ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """Round numbers between two, about six."""
    if high - low < 1e-12:
        return [low], [f"{low:.4g}"]
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
    return ticks, [readable(10**tick) for tick in ticks]


def readable(value: float) -> str:
    """A number above 0 in few characters: 0.003, 28,100 or 3e9."""
    if 1e3 <= value < 1e6:
        return f"{value:,.0f}"
    return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
