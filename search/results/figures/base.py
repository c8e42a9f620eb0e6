"""What all plotly figures share: axes, legend, titles, the look of an empty one, and a page of its own."""

import html
import textwrap
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from data.storage.files import writing
from search.format import line
from search.results.style import ACCENT, MUTED

SVG_POINTS = 2000
"""Above so many points a figure is drawn by WebGL, from typed arrays and without a text for each point."""


MADE = (
    '<p style="position: fixed; right: 8px; bottom: 4px; margin: 0; font: 12px system-ui, sans-serif; color: #596070">'
    "made {:%Y-%m-%d %H:%M}</p></body>"
)
"""Ends a figure's own page."""

SUBTITLE = 96
"""Letters of a subtitle's line: what half a page of 1,280 pixels holds."""


def escape(text: str) -> str:
    """Text that a figure shows as it is; plotly prints `&quot;` as these six letters."""
    return html.escape(text, quote=False)


def base(figure: go.Figure, *, x: str, y: str, height: int | None = None) -> go.Figure:
    """The same figure with axis titles, margins, a legend below it, and a zoom that survives an update.

    Titles have their unit, e.g. 'time [s]'; the height is in pixels, the page's own where None. The page gives the
    figure a light or a dark template, so that nothing here has a background or a font's colour.
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
    lines = textwrap.wrap(subtitle, SUBTITLE)
    if lines[1:]:
        top = 64 if figure.layout.margin.t is None else figure.layout.margin.t
        figure.update_layout(margin={"t": top + 15 * (len(lines) - 1)})
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
            "subtitle": {"text": "<br>".join(map(escape, lines)), "font": {"size": 12, "color": MUTED}},
        },
    )
    return figure


def empty(sentence: str) -> go.Figure:
    """A low figure with nothing in it but one sentence that says why; the sentence is escaped."""
    figure = go.Figure()
    figure.update_layout(template=None, uirevision="keep", height=160, margin={"l": 24, "r": 24, "t": 24, "b": 24})
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


def write_page(
    figure: go.Figure, title: str, file: Path, *, default_height: str = "100%", scroll_zoom: bool = False
) -> None:
    """Write a figure as one page that opens offline and says when it was made; the title is escaped.

    The figure gets a white ground, for no page dresses it. The height, as CSS has it, is that of a figure without its
    own.

    Raises:
        UserError: the file cannot be written.
    """
    figure.update_layout(template="plotly_white", font={"family": "system-ui, sans-serif", "size": 14})
    page = figure.to_html(
        include_plotlyjs=True,
        full_html=True,
        default_height=default_height,
        config={"displaylogo": False, "responsive": True, "scrollZoom": scroll_zoom, "showSendToCloud": False},
    )
    with writing(file, "give --out a folder of yours") as half:
        titled = page.replace("<head>", f"<head><title>{escape(title)}</title>", 1)
        half.write_text(MADE.format(datetime.now()).join(titled.rsplit("</body>", 1)), encoding="utf-8")


def line_at(figure: go.Figure, x: float, text: str) -> go.Figure:
    """The same figure with a dashed line up at `x` and a text, which is escaped, above it."""
    return figure.add_vline(
        x=x,
        line={"color": ACCENT, "width": 1.5, "dash": "dash"},
        annotation={"text": escape(text), "font": {"color": ACCENT, "size": 12}, "yanchor": "bottom", "y": 1},
        annotation_position="top",
    )


def scatter(points: int) -> Any:
    """The class of the traces of a figure with so many points: go.Scatter or go.Scattergl.

    One figure's traces are to be of one class, for what WebGL draws covers what SVG draws.
    """
    return go.Scatter if points <= SVG_POINTS else go.Scattergl


def brief(text: object, length: int = 24) -> str:
    """A name or value on one line of at most `length` characters, escaped."""
    return escape(line(text, length))


def log_axis(values: Iterable[float]) -> dict[str, object]:
    """A logarithmic axis for these values, all above 0: powers of ten where they span more than two, else numbers."""
    known = list(values)
    if known and max(known) > 100 * min(known):
        return {"type": "log", "exponentformat": "power"}
    # With more than three asked for, plotly names 1, 2, 3, ... 9 in each decade, one number over the other.
    return {"type": "log", "exponentformat": "none", "tickformat": ",.3~r", "nticks": 3}
