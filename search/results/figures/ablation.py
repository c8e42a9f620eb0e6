"""What each choice of a trial is worth: differences from the trial as it is, with their intervals."""

from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from search.format import HOVER, digits, measured, named, titled
from search.results.ablation import Ablation, Row
from search.results.figures.base import base, brief, empty, escape, heading, line_at, write_page
from search.results.style import MUTED, SERIES

KINDS = (("worse", SERIES[3]), ("better", SERIES[2]), ("within chance", MUTED), ("one pair", MUTED))
"""What a change does to the error, by whether its interval leaves out 0, and in which colour."""


def figure(ablation: Ablation | None) -> go.Figure:
    """A row a change: a dot where the mean difference of the error is, its interval, and a line at no difference.

    The most harmful change is on top. Hollow dots are single pairs of trainings, which have no interval.
    """
    if ablation is None:
        return empty("No ablation of this trial yet; `posefront ablate STUDY --trial N` makes one.")
    rows = ablation.ranked
    if not rows:
        return empty("No change of this ablation came to an end.")
    drawn = go.Figure()
    for kind, colour in KINDS:
        places = [place for place, row in enumerate(rows) if _kind(row) == kind]
        if places:
            drawn.add_trace(_differences(rows, places, kind, colour, ablation.unit))
    base_error = measured(ablation.base.error.mean, ablation.unit) if ablation.base.error else ""
    line_at(drawn, 0, f"as it is: {base_error}")
    error = titled(named(ablation.metric), ablation.unit)
    base(drawn, x=f"difference of {escape(error)}, above 0 is worse", y="", height=190 + 28 * len(rows))
    heading(drawn, f"What each choice of trial {ablation.trial} is worth", ablation.caution.partition(". ")[0])
    drawn.update_yaxes(
        autorange="reversed",
        tickmode="array",
        tickvals=list(range(len(rows))),
        ticktext=[brief(f"{row.part}: {row.said.removeprefix(f'{row.part} ')}", 40) for row in rows],
        title=None,
    )
    drawn.update_xaxes(hoverformat=HOVER)
    drawn.update_layout(margin={"t": 96})
    return drawn


def _differences(rows: Sequence[Row], places: Sequence[int], kind: str, colour: str, unit: str) -> go.Scatter:
    """The changes of one kind, with their intervals."""
    means = [mean for place in places if (mean := rows[place].difference)]
    return go.Scatter(
        x=[mean.mean for mean in means],
        y=places,
        error_x={
            "type": "data",
            "array": [mean.half for mean in means],
            "thickness": 2,
            "width": 5,
            "color": colour,
            "visible": kind != "one pair",
        },
        mode="markers",
        name=kind,
        marker={"color": colour, "size": 10, "symbol": "circle-open" if kind == "one pair" else "circle"},
        customdata=[_hover(rows[place], unit) for place in places],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _kind(row: Row) -> str:
    """'worse', 'better', 'within chance' where the interval holds 0, or 'one pair' where there is none."""
    if row.difference is None or row.difference.half is None:
        return "one pair"
    if not row.difference.sure:
        return "within chance"
    return "worse" if row.difference.mean > 0 else "better"


def _hover(row: Row, unit: str) -> str:
    """A row in words, as HTML."""
    lines = [f"<b>{escape(row.name)}</b>", escape(row.said)]
    if row.error:
        half = "" if row.error.half is None else f" \u00b1 {digits(row.error.half)}"
        lines.append(f"error {digits(row.error.mean)}{half} {escape(unit)}".strip())
    if row.difference:
        span = "no interval of one pair"
        if row.difference.low is not None and row.difference.high is not None:
            span = f"{digits(row.difference.low)} to {digits(row.difference.high)}"
        lines.append(f"difference {digits(row.difference.mean)} ({span}), {row.difference.n} pairs")
    if row.factor is not None:
        lines.append(f"score \u00d7 {row.factor:.3g}")
    lines.append(f"{row.params / 1e6:.4g} M Params, {row.flops / 1e9:.4g} G FLOPs")
    if row.failed:
        lines.append(f"{len(row.failed)} failed")
    return "<br>".join(lines)


def write(ablation: Ablation, file: Path) -> None:
    """Write the picture alone: one page that opens offline.

    Raises:
        UserError: the file cannot be written.
    """
    write_page(figure(ablation), f"{ablation.study} trial {ablation.trial} - ablation", file)
