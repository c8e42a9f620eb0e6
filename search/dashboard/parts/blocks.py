"""What a page is put together from: plain data that the page's script places.

A block has a `kind` ('figure', 'table', 'html', or 'later' for what takes long), an `id`, and what belongs to the kind;
its `width` is 'half', 'third', 'two-thirds', else the whole row.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from html import escape
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import plotly.graph_objects as go

from search.dashboard.request import LINES, WHOLE, Order
from search.format import between, compact, digits, line
from search.full_length import Interval
from search.results.bands import LABELS
from search.results.leaderboard import Entry
from search.results.view import View

Block = dict[str, Any]
EMPTY: Mapping[int, Interval] = MappingProxyType({})
Column = tuple[Block, Callable[[Entry], Any]]
"""A table's column, from `column`, and a trial's cell in it."""


def figure(
    key: str, drawn: go.Figure, height: int, *, width: str = "", selects: bool = False, brushes: bool = False
) -> Block:
    """A figure; where choosing points in it filters everything else it `selects`, and `brushes` where lines do."""
    return {
        "kind": "figure",
        "id": key,
        "figure": drawn,
        "height": drawn.layout.height or height,
        "width": width,
        "selects": selects,
        "brushes": brushes,
    }


def together(key: str, drawn: Sequence[go.Figure], height: int = 380) -> list[Block]:
    """Figures side by side, two in a row."""
    return [figure(f"{key}-{place}" if place else key, each, height, width="half") for place, each in enumerate(drawn)]


def html(key: str, title: str, source: str, *, width: str = "") -> Block:
    """A text with what belongs to a study escaped."""
    return {"kind": "html", "id": key, "title": title, "html": source, "width": width}


def note(text: str) -> str:
    """A sentence as HTML, where there is nothing else to show or what there is needs a word; escaped."""
    return f'<p class="note">{escape(text)}</p>'


RIGHT = ' class="right"'
"""Of a cell of `plain_table` that holds a number."""


def plain_table(name: str, head: str, rows: str, kind: str = "") -> str:
    """A table that neither sorts nor turns its pages, as HTML; it scrolls where it is too wide.

    Args:
        name: what is in it, for those who do not see it.
        head: cells of its head.
        rows: all others.
        kind: a class of its own.
    """
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table class="{f"plain {kind}".strip()}">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def link(study: str, number: int, text: str = "") -> str:
    """A link to a trial's page as HTML; the text, which is escaped, is its number where there is none."""
    return f'<a href="#/{quote(study, safe="")}/trial/{number}">{escape(text or str(number))}</a>'


def selection(study: str, numbers: Collection[int], text: str) -> str:
    """A link to the plane on which these trials are selected, as HTML; the text is escaped."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    told = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)
    return f'<a href="#/{quote(study, safe="")}/pareto?trials={told}">{escape(text)}</a>'


def later(key: str, title: str, path: str, *, height: int = 0) -> Block:
    """What is asked for by itself, under `path`."""
    return {"kind": "later", "id": key, "title": title, "path": path, "height": height}


def table(
    key: str,
    title: str,
    columns: Sequence[Column],
    entries: Sequence[Entry],
    none: str,
    order: Order = WHOLE,
    note: str = "",
) -> Block:
    """A table of trials; its first column is their number.

    Args:
        key: of the block.
        title: above it.
        columns: each with its cell of a trial: a text, a whole number, None, or from `cell`.
        entries: a row each, in the table's own order.
        none: what stands where there are no rows.
        order: which rows are wanted, and sorted by what.
        note: what is said below.
    """
    ordered = list(entries)
    by_title = {head["title"]: value for head, value in columns}
    if order.column in by_title:
        keys = {entry.number: sort_key(by_title[order.column](entry)) for entry in ordered}
        having = [entry for entry in ordered if keys[entry.number] is not None]
        lacking = [entry for entry in ordered if keys[entry.number] is None]
        ordered = [*sorted(having, key=lambda entry: keys[entry.number] or (0, 0.0, ""), reverse=order.down), *lacking]
    start = min(order.start, max(0, (len(ordered) - 1) // LINES * LINES))
    rows = ordered[start : start + order.lines] if order.lines else ordered
    return {
        "kind": "table",
        "id": key,
        "title": title,
        "columns": [head for head, _ in columns],
        "rows": [[value(entry) for _, value in columns] for entry in rows],
        "total": len(ordered),
        "start": start if order.lines else 0,
        "sorted": {"column": order.column, "down": order.down} if order.column in by_title else None,
        "none": none,
        "note": note,
    }


def sort_key(value: Any) -> tuple[int, float, str] | None:
    """What a cell is sorted by: numbers before texts; None of what is not there, which comes last either way."""
    plain = value[0] if isinstance(value, list) else value
    if plain is None or plain == "" or plain != plain:
        return None
    if isinstance(plain, (int, float)):
        return (0, float(plain), "")
    return (1, 0.0, str(plain).casefold())


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


def full_cell(view: View, entry: Entry) -> list[Any] | None:
    """The error that a trial is predicted to have after a full training."""
    full = view.full(entry)
    return None if full is None else [full.error, between(full)]


def mean_cell(mean: Interval | None) -> list[Any] | None:
    """What the seeds of a full training came to."""
    return None if mean is None else [mean.error, between(mean)]


def band_cell(band: str) -> list[Any] | None:
    """A grade band, to be sorted by the errors in it."""
    return [LABELS.index(band), band] if band in LABELS else None


def board(
    view: View,
    key: str,
    title: str = "Trials",
    entries: Sequence[Entry] | None = None,
    order: Order = WHOLE,
    near: Collection[int] = (),
    means: Mapping[int, Interval] = EMPTY,
    ticks: bool = False,
) -> Block:
    """The leaderboard as a table, parameters included.

    Args:
        view: the study.
        key: of the block.
        title: above it.
        entries: a row each; None for all of the view's.
        order: see `table`.
        near: trials that seed noise does not tell apart from the best one.
        means: what full trainings came to, by the trial's number.
        ticks: whether trials are ticked in it, to be compared.
    """
    lines = list(view.entries if entries is None else entries)
    # What the study minimises, unless that is the error itself.
    value: list[Column] = [] if view.alone else [(column("value"), lambda e: cell(e.value))]
    if view.scored:
        value = [(column("score"), lambda e: cell(e.score)), (column("band", text=True), lambda e: band_cell(e.band))]
    columns: list[Column] = [
        (column("trial"), lambda e: e.number),
        (column("name", text=True), lambda e: e.name),
        (column("state", text=True), lambda e: e.state),
        *([(column("note", text=True), note_cell)] if any(e.star or e.note for e in lines) else []),
        *value,
        (column(view.error_title), lambda e: error_cell(e.error)),
        (column("in full, predicted"), lambda e: full_cell(view, e)),
        *([(column("retrained"), lambda e: mean_cell(means.get(e.number)))] if means else []),
        *((column(r.label), lambda e, name=r.name: cell(e.readings.get(name))) for r in view.readings),
        (column("front", text=True), lambda e: "front" if e.pareto else ""),
        *([(column("seed noise", text=True), lambda e: "ties the best" if e.number in near else "")] if near else []),
        (column("epochs"), lambda e: e.epochs),
        (column("trained [s]"), lambda e: rounded(e.seconds)),
        (column("images/s"), lambda e: rounded(e.images_per_s)),
        *parameter_columns(lines),
        (column("reason", text=True), lambda e: e.reason.splitlines()[0][:200] if e.reason else ""),
    ]
    return table(key, title, columns, lines, "No trials.", order) | {"ticks": ticks}


def note_cell(entry: Entry) -> str:
    """A trial's star and the beginning of its note."""
    return " ".join([*["\u2605"] * entry.star, *([line(entry.note, 80)] if entry.note else [])])


def parameter_columns(entries: Sequence[Entry]) -> list[Column]:
    """A column for each parameter that any of these trials has."""
    names = dict.fromkeys(name for entry in entries for name in entry.params)
    return [(column(name), partial(_parameter_of, name)) for name in names]


def _parameter_of(name: str, entry: Entry) -> Any:
    value = entry.params.get(name)
    if isinstance(value, float):
        return cell(value)
    return value if value is None or (isinstance(value, int) and not isinstance(value, bool)) else str(value)
