"""The Pareto plane of a study: ln(price) against the error, as data that any library can draw.

Where a study is ranked by a score, equal scores are straight diagonals in this plane: ln(score) = x + y.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from search.objective import BANDS, band
from search.results.bands import best_of_bands
from search.results.leaderboard import Entry, unbeaten
from search.results.style import BAND_COLOURS, STATES
from search.results.view import View

LINES = 12
"""Diagonals in one plane, at most: equal scores a power of ten, or several, apart."""


class Point(NamedTuple):
    """A trial in the plane."""

    entry: Entry
    x: float  # ln of its price
    y: float | None  # its error; None where it is not known or not finite


@dataclass(frozen=True)
class Band:
    """A grade band: errors from `low` to `high`."""

    low: float
    high: float
    colour: str
    label: str

    @property
    def name(self) -> str:
        """As trials are told which they are in."""
        return band(self.low)


@dataclass(frozen=True)
class Diagonal:
    """A line of equal score from its upper left end to its lower right one."""

    x0: float
    y0: float
    x1: float
    y1: float
    label: str  # the score in few characters; plain text, powers as 10^9
    best: bool  # whether it is the best trial's own
    labelled: bool  # whether there is room for the label where the line enters


@dataclass(frozen=True)
class Mark:
    """The design that a study is measured against."""

    x: float  # ln of its price
    y: float  # its error
    name: str  # of the design; not escaped
    figures: str  # its error, readings and score in words
    inside: bool  # whether it stands in the picture; else the axis would grow by half or more to show it


@dataclass(frozen=True)
class Plane:
    """What a picture of the plane shows."""

    # the priced trials by their state, states in the order of STATES; those without a trial are left out
    points: dict[str, tuple[Point, ...]]
    front: tuple[tuple[float, float], ...]  # (x, y) of the Pareto front of the finished trials, by x
    bands: tuple[Band, ...]  # grade bands within the picture; none unless the study is ranked by a score
    diagonals: tuple[Diagonal, ...]  # lines of equal score; none unless the study is ranked by a score
    goal: tuple[float, str] | None  # the error that trials of the study's length are to be below, and the goal in words
    reference: Mark | None  # the design that the study is measured against
    best: Point | None  # the best finished trial
    of_bands: tuple[tuple[Band, Point], ...]  # of each grade band within the picture the best finished trial, if any
    x: tuple[float, float]  # range of the axis of ln(price)
    y: tuple[float, float]  # range of the axis of errors, up to `ceiling`
    rail: float  # the y, above `ceiling`, at which trials without an error, or with one above the ceiling, are drawn
    top: float  # end of the axis of errors where the rail is drawn
    x_title: str  # 'ln(Params [M] \u00d7 FLOPs [G])'
    y_title: str  # the error with its unit

    @property
    def ceiling(self) -> float:
        """The largest error that is drawn in its place."""
        return self.y[1]

    @property
    def above(self) -> list[Point]:
        """The points on the rail."""
        return [p for points in self.points.values() for p in points if p.y is None or p.y > self.ceiling]


def plane(view: View, extra: Sequence[tuple[float, float]] = ()) -> Plane:
    """The plane of a study's trials that have a price.

    Args:
        view: the study, or a selection of it, which then has a front of its own.
        extra: further (ln price, error) that must be inside the picture, such as a network trained in full.
    """
    points = [Point(e, x, _finite(e.error)) for e in view.entries if not math.isnan(x := view.price(e))]
    xs = [x for x, _ in extra] + [point.x for point in points] or [0.0]
    errors = [point.y for point in points if point.y is not None]
    ceiling = max([_ceiling(errors, view.scored), *(1.05 * y for _, y in extra)])
    least = min([*errors, *(y for _, y in extra)], default=0.0)
    low = 0.0 if view.scored else max(0.0, least - 0.1 * (ceiling - least))
    wide = max(max(xs) - min(xs), 1.0)
    left, right = min(xs) - 0.1 * wide, max(xs) + 0.05 * wide  # wider on the left, where the diagonals' labels stand
    reference = _reference(view, left, right)
    if reference is not None and reference.inside:
        right = max(right, reference.x + 0.05 * (right - left))
    finished = [point for point in points if point.entry.state == "finished" and point.y is not None]
    spots = [(point.x, point.y or 0.0) for point in finished]
    front = sorted({spot for spot, optimal in zip(spots, unbeaten(spots), strict=True) if optimal})
    best = finished[0].entry.value if finished else None
    box = (left, right, low, ceiling)
    rail = ceiling + 0.045 * (ceiling - low)
    by_state: dict[str, list[Point]] = {state: [] for state in STATES}
    for point in points:
        by_state[point.entry.state].append(point)
    bands = _bands(ceiling) if view.scored else ()
    leaders = [(grade, best_of_bands(view).get(grade.name)) for grade in bands]
    by_number = {point.entry.number: point for point in finished}
    return Plane(
        points={state: tuple(chosen) for state, chosen in by_state.items() if chosen},
        front=tuple(front),
        bands=bands,
        diagonals=_diagonals(box, best) if view.scored else (),
        goal=_goal(view),
        reference=reference,
        best=finished[0] if finished else None,
        of_bands=tuple((grade, by_number[e.number]) for grade, e in leaders if e is not None and e.number in by_number),
        x=(left, right),
        y=(low, ceiling),
        rail=rail,
        top=rail + 0.04 * (ceiling - low),
        x_title=f"ln({view.cost_title})",
        y_title=view.error_title,
    )


def score_text(log: float) -> str:
    """A score, given by its logarithm, in few characters: 285.6, 28,104 or 3.2\u00d710^12."""
    tens = log / math.log(10)
    if -2 <= tens < 6:
        return f"{math.exp(log):,.4g}" if tens < 4 else f"{math.exp(log):,.0f}"
    mantissa, power = 10 ** (tens % 1), math.floor(tens)
    if mantissa > 9.95:
        mantissa, power = 1.0, power + 1
    return f"10^{power}" if mantissa < 1.05 else f"{mantissa:.1f}\u00d710^{power}"


def _finite(error: float | None) -> float | None:
    return error if error is not None and math.isfinite(error) else None


def _ceiling(errors: Sequence[float], scored: bool) -> float:
    """The largest error that is shown in its place: one wild trial must not squash the others."""
    if not errors:
        return BANDS[-1] if scored else 1.0
    most = float(np.quantile(errors, 0.95)) * 1.5
    return max(min(max(errors), most), BANDS[-1] if scored else 0.0) * 1.03 or 1.0


def _bands(ceiling: float) -> tuple[Band, ...]:
    """The grade bands that begin below the ceiling."""
    edges = zip(pairwise((0.0, *BANDS)), BAND_COLOURS, strict=True)
    return tuple(
        Band(low, high, colour, f"< {high:g} px" if low == 0 else f"{low:g} to {high:g} px")
        for (low, high), colour in edges
        if low < ceiling
    )


def _diagonals(box: tuple[float, float, float, float], best: float | None) -> tuple[Diagonal, ...]:
    """Lines of equal score through the picture, powers of ten, and the best score's own."""
    left, right, low, top = box
    first, last = math.ceil((left + low) / math.log(10)), math.floor((right + top) / math.log(10))
    step = max(1, math.ceil((last - first) / LINES))
    logs = [power * math.log(10) for power in range(first, last + 1) if power % step == 0]
    if best is not None:
        # A label needs a thirtieth of the picture's height; where the best score's own stands there is room for it.
        logs = [*(log for log in logs if abs(log - best) > (top - low) / 26), best]
    lines = []
    for log in logs:
        x0, x1 = max(left, log - top), min(right, log - low)
        if x0 >= x1:
            continue
        # Where a line enters at the top it stands among those of the left edge only at the very corner.
        labelled = log - left <= top or x0 - left >= 0.1 * (right - left)
        own = log == best
        label = f"{'best score' if own else 'score'} {score_text(log)}"
        lines.append(Diagonal(x0, log - x0, x1, log - x1, label, own, labelled))
    return tuple(lines)


def _goal(view: View) -> tuple[float, str] | None:
    """The study's goal as a line."""
    epochs = view.attrs.get("search", {}).get("epochs")
    return (view.goal.limit(epochs), view.goal_title) if view.goal is not None and epochs else None


def _reference(view: View, left: float, right: float) -> Mark | None:
    """The design that the study is measured against, unless the price counts what is not known of it."""
    design = view.reference
    readings = {} if design is None else {"params_m": design.params_m, "gflops": design.gflops}
    cost = view.described.cost
    if design is None or not view.scored or not set(cost) <= readings.keys():
        return None
    x = math.log(math.prod(readings[name] for name in cost))
    figures = f"{design.pixel_diff:g} px, {design.params_m:g} M, {design.gflops:g} G: score {design.score:g}"
    grown = max(right, x + 0.05 * (right - left))
    inside = left <= x and grown - left < 1.5 * (right - left)
    return Mark(x, design.pixel_diff, design.name, figures, inside)
