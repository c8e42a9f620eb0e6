"""What all figures share: colours that read on white and on black, axes, legend, and the look of an empty one."""

import textwrap
from collections.abc import Iterable
from html import escape
from typing import Any

import plotly.graph_objects as go

STATES = {
    "finished": ("#3b82c4", "circle", 9),
    "stopped": ("#e0a030", "circle-open", 7),
    "running": ("#3a9d5d", "diamond", 9),
    "waiting": ("#8a8f98", "diamond-open", 8),
    "failed": ("#d0493a", "x", 8),
    "refused": ("#9a9a9a", "line-ns-open", 9),
}
"""Colour, symbol and size of the trials in each state."""

SERIES = ("#3b82c4", "#e08a1e", "#3f9e6b", "#c8504f", "#8d6bb8", "#7f7f7f", "#c46fa0", "#8c8c2f")
"""Colours of studies, parameters or whatever a figure has several of."""

MUTED = "#8a8f98"
ACCENT = "#d6336c"
"""The best or the chosen trial."""

SCORE = "score: Params [M] \u00d7 FLOPs [G] \u00d7 e<sup>PixelDiff [px]</sup>"
"""Title of an axis of scores."""

SVG_POINTS = 2000
"""Above so many points a figure is drawn by WebGL, from typed arrays and without a text for each point."""


def base(figure: go.Figure, *, x: str, y: str, height: int | None = None) -> go.Figure:
    """The same figure with axis titles, margins, a legend below it, and a zoom that survives an update.

    The page gives it a light or a dark template, so that nothing here has a background or a font's colour.

    Args:
        figure: changed in place.
        x: title of the x axis with its unit, e.g. 'epoch' or 'time [s]'.
        y: title of the y axis with its unit.
        height: of the figure, pixels; the page's own where None.
    """
    figure.update_layout(
        template=None,
        uirevision="keep",
        height=height,
        margin={"l": 64, "r": 24, "t": 64, "b": 84},
        showlegend=True,
        hovermode="closest",
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yref": "container", "yanchor": "bottom"},
    )
    figure.update_xaxes(title={"text": x, "standoff": 8}, zeroline=False, automargin=True)
    figure.update_yaxes(title=y, zeroline=False, automargin=True)
    return figure


def heading(figure: go.Figure, title: str, subtitle: str = "") -> go.Figure:
    """The same figure with a title and a small line below it that says what is counted; both are escaped."""
    figure.update_layout(
        template=None,
        title={
            "text": escape(title),
            "x": 0,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 12},
            "font": {"size": 15},
            "subtitle": {"text": escape(subtitle), "font": {"size": 12, "color": MUTED}},
        },
    )
    return figure


def empty(sentence: str) -> go.Figure:
    """A figure with nothing in it but one sentence that says why; the sentence is escaped."""
    figure = go.Figure()
    figure.update_layout(template=None, uirevision="keep", margin={"l": 24, "r": 24, "t": 24, "b": 24})
    figure.update_xaxes(visible=False, range=[0, 1])
    figure.update_yaxes(visible=False, range=[0, 1])
    figure.add_annotation(
        text="<br>".join(escape(line) for line in textwrap.wrap(sentence, 64)),  # half a page holds 70 letters
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        showarrow=False,
        font={"size": 14, "color": MUTED},
    )
    return figure


def scatter(points: int) -> Any:
    """The class of the traces of a figure with so many points: go.Scatter or go.Scattergl.

    One figure's traces are to be of one class, for what WebGL draws covers what SVG draws.
    """
    return go.Scatter if points <= SVG_POINTS else go.Scattergl


def brief(text: object, length: int = 24) -> str:
    """A name or value on one line of at most `length` characters, escaped."""
    line = " ".join(str(text).split())
    return escape(line if len(line) <= length else line[: length - 1] + "\u2026")


def log_axis(values: Iterable[float]) -> dict[str, object]:
    """A logarithmic axis for these values, all above 0: powers of ten where they span more than two, else numbers."""
    known = list(values)
    if known and max(known) > 100 * min(known):
        return {"type": "log", "exponentformat": "power"}
    return {"type": "log", "exponentformat": "none", "tickformat": ",.3~r", "nticks": 6}
