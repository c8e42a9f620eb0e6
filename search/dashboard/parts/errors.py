"""How well a trial answers: the error of each label, and the share of points within a distance."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from search.format import HOVER, compact, measured, titled
from search.results.accuracy import area_under, fraction_within, levels, within95
from search.results.answers import Answers
from search.results.figures.base import base, empty, escape, heading, line_at
from search.results.skeleton import limbs
from search.results.style import ACCENT, MUTED, SERIES

LIMIT_PX = 30.0
"""The area under a PCK curve in pixels ends here (Zimmermann and Brox 2017, table 1: hands, 0 to 30 px)."""
MARKS_PX = (5.0, 10.0, 15.0, 20.0)
COLOURS = (ACCENT, *SERIES)
"""Of trials that are compared, the one in question first."""
MANY, MOST = 80, 40
"""Of more than MANY labels the MOST that are worst have bars."""
UNANSWERED = "This trial kept no answers to its validation images."


def joints(answers: Answers | None) -> go.Figure:
    """Mean error of each label as bars in the labels' own order, a colour a limb, and the mean of all as a line.

    In that order a finger's joints stand side by side, base to tip, and that the error grows along them is seen at
    once; sorted by error it isn't. Of more than `MANY` labels the `MOST` of the largest errors are shown, largest
    first.
    """
    if answers is None or not answers.errors:
        return empty(UNANSWERED)
    unit, what = answers.unit, "point" if answers.pointed else "label"
    places = list(range(len(answers.errors)))
    left_out = len(places) > MANY
    if left_out:
        places = sorted(places, key=lambda place: -(answers.errors[place] or 0.0))[:MOST]
    names = [answers.labels[place] or f"{what} {place}" for place in places]
    drawn = go.Figure(_bars(answers, places, names))
    known_errors = [error for error in answers.errors if error is not None]
    mean = sum(known_errors) / len(known_errors) if known_errors else 0.0
    line_at(drawn, mean, f"mean {measured(mean, unit)}")
    row = 21 if len(places) <= 40 else 13
    base(drawn, x=escape(titled("mean error", unit)), y=what, height=max(280, 150 + row * len(places)))
    parts = [f"the {MOST} largest of {len(answers.errors)}" if left_out else "mean of the validation images"]
    absent = [answers.labels[place] for place in places if answers.errors[place] is None]
    parts += [f"in no image: {', '.join(map(_short, absent[:2]))}{'...' if absent[2:] else ''}"] if absent else []
    heading(drawn, f"Error of each {what}", "; ".join(parts))
    drawn.update_yaxes(_named_rows(names) | {"tickfont": {"size": 12 if row > 13 else 10}})
    drawn.update_xaxes(rangemode="tozero")
    return drawn.update_layout(margin={"t": 88, "b": 56})


def _bars(answers: Answers, places: Sequence[int], names: Sequence[str]) -> go.Bar:
    limb = limbs(len(answers.errors), answers.edges)
    colours = [MUTED if limb[place] < 0 else SERIES[limb[place] % len(SERIES)] for place in places]
    return go.Bar(
        x=[answers.errors[place] for place in places],
        y=list(range(len(places))),
        width=min(0.8, 1.3 * len(places) / 12),  # three bars need not be as thick as a thumb
        orientation="h",
        marker={"color": colours if answers.edges else SERIES[0]},
        text=[escape(name) for name in names],
        textposition="none",
        hovertemplate=f"%{{text}}: %{{x:{HOVER}}} {escape(answers.unit)}<extra></extra>",
        showlegend=False,
    )


def joints_together(answers_by_name: Mapping[str, Answers], colours: Sequence[str] = COLOURS) -> go.Figure:
    """Mean error of each label, a bar for each of some trials.

    The labels are the first trial's; of more than `MOST` those of its largest errors are shown, in their own order.
    """
    if not answers_by_name:
        return empty(UNANSWERED)
    first = next(iter(answers_by_name.values()))
    places = list(range(len(first.errors)))
    left_out = len(places) > MOST
    if left_out:
        places = sorted(sorted(places, key=lambda place: -(first.errors[place] or 0.0))[:MOST])
    names = [first.labels[place] or f"{place}" for place in places]
    drawn = go.Figure()
    for (name, answers), colour in zip(answers_by_name.items(), colours, strict=False):
        by_label = dict(zip(answers.labels, answers.errors, strict=True))
        drawn.add_bar(
            x=[by_label.get(first.labels[place]) for place in places],
            y=list(range(len(places))),
            orientation="h",
            name=escape(name),
            marker={"color": colour},
            text=[escape(label) for label in names],
            textposition="none",
            hovertemplate=f"%{{text}}: %{{x:{HOVER}}} {escape(first.unit)}<extra>{escape(name)}</extra>",
        )
    row = 8 + 7 * len(answers_by_name)
    base(drawn, x=escape(titled("mean error", first.unit)), y="", height=max(280, 170 + row * len(places)))
    what = "point" if first.pointed else "label"
    heading(drawn, f"Error of each {what}", f"the {MOST} largest of {len(first.errors)}" if left_out else "")
    drawn.update_yaxes(_named_rows(names))
    return drawn.update_layout(barmode="group", bargap=0.25, margin={"t": 56, "b": 96})


def _named_rows(names: Sequence[str]) -> dict[str, Any]:
    """An upright axis with a row for each label, the first on top."""
    return {
        "range": [len(names) - 0.4, -0.6],
        "ticklabelstandoff": 6,
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [escape(_short(name)) for name in names],
        "title": None,
    }


def _short(name: str) -> str:
    """A label that leaves room for its bar; what it ends with tells it from its neighbours."""
    return name if len(name) <= 26 else f"{name[:12]}\u2026{name[-13:]}"


def pck(answers_by_name: Mapping[str, Answers], colours: Sequence[str] = COLOURS) -> go.Figure:
    """The share of points within a distance against the distance, a curve a trial (PCK: Yang and Ramanan 2013).

    The area under a curve, up to the limit that its legend states, is the mean of the share over the distances. Pixels
    are counted to LIMIT_PX and marked at MARKS_PX, other units to the largest 95th percentile. Errors that are no
    distances of points in a picture have the same curve and their median in the legend. The first trial is the one in
    question.
    """
    if not answers_by_name:
        return empty(UNANSWERED)
    first = next(iter(answers_by_name.values()))
    unit, pointed = first.unit, first.pointed
    pixels = pointed and unit == "px"
    limit = LIMIT_PX if pixels else max(within95(answers.quantiles) for answers in answers_by_name.values()) or 1.0
    drawn = go.Figure()
    for place, (name, answers) in enumerate(answers_by_name.items()):
        colour = colours[place % len(colours)]
        area = f"area to {f'{compact(limit)} {unit}'.strip()} {area_under(answers.quantiles, limit):.3f}"
        median = f"half within {measured(answers.quantiles[len(answers.quantiles) // 2], unit)}"
        # From nothing at distance 0; beyond the largest error every point is found.
        drawn.add_scatter(
            x=[0.0, *answers.quantiles, max(limit, answers.quantiles[-1])],
            y=[0.0, *levels(answers.quantiles), 1.0],
            mode="lines",
            line={"color": colour, "width": 2.5 if place == 0 else 1.8},
            name=escape(f"{name}: {area if pointed else median}"),
            hovertemplate=f"%{{y:.1%}} within %{{x:{HOVER}}} {escape(unit)}<extra>{escape(name)}</extra>",
        )
        if pixels:
            drawn.add_scatter(
                x=list(MARKS_PX),
                y=[fraction_within(answers.quantiles, mark) for mark in MARKS_PX],
                mode="markers",
                marker={"color": colour, "size": 8, "line": {"width": 1, "color": "#ffffff"}},
                showlegend=False,
                hovertemplate=f"%{{y:.1%}} within %{{x:g}} px<extra>{escape(name)}</extra>",
            )
    if pointed:
        base(drawn, x=escape(titled("distance", unit)), y="points within the distance [%]")
        heading(drawn, "Points within a distance", "of all validation images (PCK)")
    else:
        base(drawn, x=escape(titled("error", unit)), y="answers within the error [%]")
        heading(drawn, "Answers within an error", "of all validation images")
    drawn.update_xaxes(range=[0, limit * 1.02])
    drawn.update_yaxes(range=[0, 1.03], tickformat=".0%")
    return drawn
