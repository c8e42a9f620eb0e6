"""Studies beside each other in one plane: each one's Pareto front, and the one that they have in common."""

import math
from collections.abc import Mapping
from html import escape
from typing import NamedTuple

import plotly.graph_objects as go

from search.dashboard.parts.blocks import RIGHT, link, note, plain_table
from search.dashboard.parts.progress import data_note
from search.format import HOVER, compact, digits
from search.results.figures.base import base, brief, empty, heading
from search.results.figures.base import escape as shown
from search.results.leaderboard import unbeaten
from search.results.style import ACCENT, SERIES
from search.results.view import View

LINES = 40
"""Trials of the common front that are listed, at most."""


class Place(NamedTuple):
    """A finished trial in the plane of several studies."""

    x: float  # ln(price)
    y: float  # error
    study: str  # its key
    number: int


def places(key: str, view: View) -> list[Place]:
    """The finished trials of a study that have a price and an error."""
    found = [
        Place(view.price(entry), entry.error, key, entry.number)
        for entry in view.by_state["finished"]
        if entry.error is not None and math.isfinite(entry.error)
    ]
    return [place for place in found if not math.isnan(place.x)]


def front(found: list[Place]) -> list[Place]:
    """Those that no other one beats, by price."""
    best = unbeaten([(place.x, place.y) for place in found])
    return sorted(place for place, optimal in zip(found, best, strict=True) if optimal)


def figure(views: Mapping[str, View]) -> go.Figure:
    """The fronts of studies that are judged by the same number, with the common one above them."""
    by_study = {key: places(key, view) for key, view in views.items()}
    every = [place for found in by_study.values() for place in found]
    if not every:
        return empty("No trial of these studies has finished yet.")
    drawn, common = go.Figure(), front(every)
    for (key, found), colour in zip(by_study.items(), SERIES * len(views), strict=False):
        own, name = front(found), brief(views[key].name)
        count = sum(place.study == key for place in common)
        drawn.add_scatter(
            x=[place.x for place in found],
            y=[place.y for place in found],
            customdata=[[place.study, place.number] for place in found],
            mode="markers",
            name=f"{name} ({len(found):,}; {count} on the common front)",
            legendgroup=key,
            marker={"color": colour, "size": 7, "opacity": 0.6},
            hovertemplate=f"{name}, trial %{{customdata[1]}}: %{{y:{HOVER}}} {shown(views[key].unit)}<extra></extra>",
        )
        drawn.add_scatter(
            x=[place.x for place in own],
            y=[place.y for place in own],
            mode="lines",
            line={"color": colour, "width": 1.2, "shape": "hv", "dash": "dot"},
            legendgroup=key,
            showlegend=False,
            hoverinfo="skip",
        )
    drawn.add_scatter(
        x=[place.x for place in common],
        y=[place.y for place in common],
        mode="lines+markers",
        line={"color": ACCENT, "width": 2, "shape": "hv"},
        marker={"symbol": "circle-open", "size": 12, "color": ACCENT, "line": {"width": 1.6}},
        name=f"common front ({len(common)})",
        hoverinfo="skip",
    )
    some = next(iter(views.values()))
    base(drawn, x=shown(f"ln({some.cost_title})"), y=shown(some.error_title))
    beaten = [view.name for key, view in views.items() if not any(place.study == key for place in common)]
    words = "; ".join(
        [*(f"nothing of {name} is on it" for name in beaten), "finished trials, dotted: each one's own front"]
    )
    heading(drawn, "One common front", words + data_note(list(views.values())))
    return drawn


def listed(views: Mapping[str, View]) -> str:
    """The trials of the common front as an HTML table, the cheapest first."""
    common = front([place for key, view in views.items() for place in places(key, view)])
    if not common:
        return ""
    some = next(iter(views.values()))
    heads = ["study", "trial", *(["score"] if some.scored else []), some.error_title, *(r.label for r in some.readings)]
    top = "".join(f'<th scope="col"{RIGHT if place else ""}>{escape(head)}</th>' for place, head in enumerate(heads))
    rows = []
    for place in common[:LINES]:
        view = views[place.study]
        entry = view.by_number[place.number]
        cells = [link(place.study, place.number)]
        cells += ["" if entry.score is None else compact(entry.score)] if some.scored else []
        cells.append(digits(entry.error))
        cells += ["" if (value := entry.readings.get(r.name)) is None else compact(value) for r in some.readings]
        numbers = "".join(f"<td{RIGHT}>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{escape(view.name)}</th>{numbers}</tr>')
    more = note(f"{len(common) - LINES:,} more are in the figure.") if len(common) > LINES else ""
    return plain_table("trials of the common front", top, "".join(rows)) + more
