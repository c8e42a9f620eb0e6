"""What a page is put together from: plain data that the page's script places.

A block has a `kind` ('figure', 'table', 'html', or 'later' for what takes long), an `id`, and what belongs to the kind;
its `width` is 'half', 'third', 'two-thirds', else the whole row.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from search.format import compact, digits
from search.results.leaderboard import Entry
from search.results.view import View

Block = dict[str, Any]

ROWS = 500
"""Lines of a table that are sent; a selection shows the others."""


def figure(key: str, drawn: go.Figure, height: int, *, width: str = "", selects: bool = False) -> Block:
    """A figure; `selects` where choosing points in it filters everything else."""
    return {
        "kind": "figure",
        "id": key,
        "figure": drawn,
        "height": drawn.layout.height or height,
        "width": width,
        "selects": selects,
    }


def html(key: str, title: str, source: str, *, width: str = "") -> Block:
    """A text with what belongs to a study escaped."""
    return {"kind": "html", "id": key, "title": title, "html": source, "width": width}


def note(text: str) -> str:
    """A sentence as HTML, where there is nothing else to show or what there is needs a word; escaped."""
    return f'<p class="note">{escape(text)}</p>'


def later(key: str, title: str, path: str, *, height: int = 0) -> Block:
    """What is asked for by itself, under `path`."""
    return {"kind": "later", "id": key, "title": title, "path": path, "height": height}


def table(key: str, title: str, columns: Sequence[Block], rows: Sequence[Sequence[Any]], none: str, more: str) -> Block:
    """A table whose first column is the trial's number.

    Args:
        key: of the block.
        title: above it.
        columns: from `column`.
        rows: a cell each column: a text, a whole number, None, or from `cell`.
        none: what stands where there are no rows.
        more: what is said of rows that are not sent, if there are any.
    """
    return {
        "kind": "table",
        "id": key,
        "title": title,
        "columns": list(columns),
        "rows": rows,
        "trial": 0,
        "none": none,
        "more": more,
    }


def column(title: str, *, text: bool = False, progress: bool = False) -> Block:
    """A table's column: numbers stand right, a text left, a share of 1 is a bar."""
    return {"title": title, "right": not (text or progress), "progress": progress}


def cell(value: float | None, spell: Callable[[float], str] = compact) -> list[Any] | None:
    """A number to sort by and how it is spelt, with at most four significant digits unless told."""
    return None if value is None else [value, spell(value)]


def rounded(value: float | None) -> list[Any] | None:
    """A number without decimals."""
    return cell(value, "{:,.0f}".format)


def error_cell(value: float | None) -> list[Any] | None:
    """An error, with the digits that it has everywhere."""
    return cell(value, digits)


def board(view: View, key: str, title: str = "Trials", entries: Sequence[Entry] | None = None) -> Block:
    """The leaderboard as a table, parameters included."""
    lines = list(view.entries if entries is None else entries)
    params = list(dict.fromkeys(name for entry in lines for name in entry.params))
    columns = [
        column("trial"),
        column("name", text=True),
        column("state", text=True),
        *_value_columns(view),
        column(view.error_title),
        *(column(reading.label) for reading in view.readings),
        column("front", text=True),
        column("epochs"),
        column("trained [s]"),
        column("images/s"),
        *map(column, params),
        column("reason", text=True),
    ]
    more = f"the first {ROWS} of {len(lines):,}; select points to see others" if len(lines) > ROWS else ""
    return table(key, title, columns, [_line(view, entry, params) for entry in lines[:ROWS]], "No trials.", more)


def _value_columns(view: View) -> list[Block]:
    """What the study minimises, unless that is the error itself."""
    if view.scored:
        return [column("score"), column("band", text=True)]
    return [] if view.alone else [column("value")]


def _line(view: View, entry: Entry, params: Sequence[str]) -> list[Any]:
    """A trial's row of the leaderboard."""
    value = [cell(entry.score), entry.band] if view.scored else [] if view.alone else [cell(entry.value)]
    return [
        entry.number,
        entry.name,
        entry.state,
        *value,
        error_cell(entry.error),
        *(cell(entry.readings.get(reading.name)) for reading in view.readings),
        "front" if entry.pareto else "",
        entry.epochs,
        rounded(entry.seconds),
        rounded(entry.images_per_s),
        *(_parameter(entry.params.get(name)) for name in params),
        entry.reason.splitlines()[0][:200] if entry.reason else "",
    ]


def _parameter(value: Any) -> Any:
    """A parameter's value as a cell."""
    if isinstance(value, float):
        return cell(value)
    return value if value is None or (isinstance(value, int) and not isinstance(value, bool)) else str(value)
