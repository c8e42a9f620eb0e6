"""The whole problem as one picture: ln(Params x FLOPs) against the error, where equal scores are diagonals."""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

import optuna
import plotly.graph_objects as go

from data.errors import Mistake
from search.leaderboard import Entry
from search.score import BANDS, CourseScore

MARKS = {
    "finished": ("#1b6ca8", "circle", 10),
    "stopped": ("#e0a030", "circle-open", 7),
    "running": ("#3a9d5d", "diamond", 9),
    "waiting": ("#7a7a7a", "diamond-open", 8),
    "failed": ("#c0392b", "x", 8),
    "refused": ("#9a9a9a", "line-ns-open", 9),
}
"""Colour, symbol and size of the trials in each state."""

BAND_COLOURS = ("#2e8b57", "#7fb069", "#e6c229", "#d98032")


def write(book: optuna.Study, entries: Sequence[Entry], file: Path) -> None:
    """Write the page: one file that opens offline.

    Raises:
        Mistake: the file cannot be written.
    """
    page = figure(book, entries).to_html(
        include_plotlyjs=True,
        full_html=True,
        default_height="92vh",
        config={"displaylogo": False, "responsive": True, "scrollZoom": True},
    )
    titled = page.replace("<head>", f"<head><title>{escape(book.study_name)} - Pareto</title>", 1)
    half = file.with_suffix(".half")
    try:
        half.write_text(titled, encoding="utf-8")
        half.replace(file)
    except OSError as error:
        raise Mistake(f"cannot write {file} ({error.strerror}); give --out a folder of yours.") from error


def figure(book: optuna.Study, entries: Sequence[Entry]) -> go.Figure:
    """The figure; trials that never had an error measured stand on a rail above the others."""
    unit = book.user_attrs.get("unit", "")
    scored = book.metric_names == [CourseScore.name]
    placed = [entry for entry in entries if entry.params_m and entry.gflops]
    errors = [entry.error for entry in placed if entry.error is not None]
    top = max([*errors, BANDS[-1] if scored else 0.0]) * 1.06 or 1.0
    low = 0.0 if scored or not errors else min(errors) * 0.9
    prices = [price(entry) for entry in placed] or [math.log(0.01), math.log(1.0)]
    left, right = min(prices) - 0.4, max(prices) + 0.4
    drawn = go.Figure()
    if scored:
        bands(drawn)
        diagonals(drawn, left, right, low, top, placed)
    front = sorted((price(entry), entry.error) for entry in placed if entry.pareto and entry.error is not None)
    if front:
        drawn.add_scatter(
            x=[x for x, _ in front],
            y=[y for _, y in front],
            mode="lines",
            line={"color": MARKS["finished"][0], "width": 1.5, "shape": "hv"},
            name="Pareto front",
            hoverinfo="skip",
        )
    for state, (colour, symbol, size) in MARKS.items():
        chosen = [entry for entry in placed if entry.state == state]
        if not chosen:
            continue
        drawn.add_scatter(
            x=[price(entry) for entry in chosen],
            y=[top if entry.error is None else entry.error for entry in chosen],
            mode="markers",
            name=f"{state} ({len(chosen)})",
            marker={"color": colour, "symbol": symbol, "size": size, "line": {"width": 1.5, "color": colour}},
            text=[hover(entry, unit) for entry in chosen],
            hovertemplate="%{text}<extra></extra>",
        )
    best = next((entry for entry in placed if entry.state == "finished" and entry.error is not None), None)
    if best is not None and best.error is not None:
        drawn.add_scatter(
            x=[price(best)],
            y=[best.error],
            mode="markers",
            name=f"best: trial {best.number}",
            marker={"color": "rgba(0,0,0,0)", "size": 18, "line": {"width": 2, "color": "#111"}},
            hoverinfo="skip",
        )
    named = "PixelDiff" if scored else "error"
    drawn.update_layout(
        title=f"{escape(book.study_name)}: price against {named}, {len(entries)} trials",
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 14},
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "y": -0.12},
        margin={"l": 70, "r": 90, "t": 60, "b": 70},
    )
    drawn.update_xaxes(title="ln(Params [M] \u00d7 FLOPs [G])", range=[left, right], zeroline=False)
    drawn.update_yaxes(title=f"{named} [{unit}]", range=[low, top * 1.04], zeroline=False)
    return drawn


def price(entry: Entry) -> float:
    """The abscissa of a trial."""
    return math.log((entry.params_m or math.nan) * (entry.gflops or math.nan))


def bands(drawn: go.Figure) -> None:
    """The grade bands, named at the right edge."""
    for low, high, colour in zip((0.0, *BANDS), BANDS, BAND_COLOURS, strict=False):
        drawn.add_hrect(y0=low, y1=high, fillcolor=colour, opacity=0.09, line_width=0, layer="below")
        drawn.add_annotation(
            x=1.005,
            xref="paper",
            y=(low + high) / 2,
            text=f"< {high:g} px" if low == 0 else f"{low:g} to {high:g} px",
            showarrow=False,
            xanchor="left",
            font={"size": 12, "color": colour},
        )


def diagonals(drawn: go.Figure, left: float, right: float, low: float, top: float, placed: Sequence[Entry]) -> None:
    """Lines of equal score through the picture, labelled with it where they enter; and the best score's own."""
    best = min((entry.score for entry in placed if entry.state == "finished" and entry.score), default=None)
    first, last = math.ceil((left + low) / math.log(10)), math.floor((right + top) / math.log(10))
    step = max(1, math.ceil((last - first) / 9))
    # A label needs a twenty-fifth of the picture's height; where the best score's own stands there is room for one.
    apart = (top - low) / 25
    decades = [10.0**power for power in range(first, last + 1, step)]
    round_scores = [score for score in decades if best is None or abs(math.log(score / best)) > apart]
    for score, dash, width in [*((score, "dot", 1.0) for score in round_scores), (best, "dash", 1.5)]:
        if score is None:
            continue
        log = math.log(score)
        x0, x1 = max(left, log - top), min(right, log - low)
        if x0 >= x1:
            continue
        colour = "#555" if score == best else "#b5b5b5"
        drawn.add_scatter(
            x=[x0, x1],
            y=[log - x0, log - x1],
            mode="lines",
            line={"color": colour, "width": width, "dash": dash},
            showlegend=False,
            hoverinfo="skip",
        )
        drawn.add_annotation(
            x=x0,
            y=log - x0,
            text=f"best score {readable(score)}" if score == best else f"score {readable(score)}",
            showarrow=False,
            xanchor="left",
            yanchor="bottom",
            xshift=4,
            font={"size": 11, "color": "#555" if score == best else "#8a8a8a"},
            bgcolor="rgba(255,255,255,0.7)",
        )


def readable(value: float) -> str:
    """A score in few characters: 285.6, 12,300 or 1e9."""
    return f"{value:,.4g}" if value < 1e4 else f"{value:.0e}".replace("e+0", "e").replace("e+", "e")


def hover(entry: Entry, unit: str) -> str:
    """What a trial says of itself."""
    lines = [f"<b>trial {entry.number}</b> {escape(entry.name)} {entry.state}"]
    if entry.score is not None:
        lines.append(f"score {entry.score:.5g} ({escape(entry.band)})")
    if entry.error is not None:
        lines.append(f"error {entry.error:.3f} {escape(unit)} after {entry.epochs} epochs, {entry.seconds:.0f} s")
    lines.append(f"{entry.params_m:.4g} M params, {entry.gflops:.4g} G FLOPs")
    if entry.reason:
        lines.append(escape(entry.reason.splitlines()[0][:120]))
    lines += [
        f"{escape(name)} = {value:.4g}" if isinstance(value, float) else f"{escape(name)} = {escape(str(value))}"
        for name, value in entry.params.items()
    ]
    return "<br>".join(lines)
