"""Means with their intervals as SVG for paper, a row for each name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.submission.bars import shortened
from search.submission.figures import GRID, INK, PALE, Axis, drawing, measured, path, text, ticks


@dataclass(frozen=True)
class Interval:
    """One row.

    Attributes:
        name: beside it.
        said: at its other end.
        mean: where the dot is.
        low: where its line begins; None for a hollow dot without a line.
        high: where it ends.
        colour: of both.
    """

    name: str
    said: str
    mean: float
    low: float | None
    high: float | None
    colour: str


def intervals(rows: Sequence[Interval], title: str, width: float, row: float = 12.0) -> str:
    """Rows of dots with intervals over one axis that holds 0, where a dotted line is.

    Raises:
        ValueError: a number is not finite.
    """
    known = [value for one in rows for value in (one.mean, one.low, one.high) if value is not None]
    if not all(map(math.isfinite, known)):
        raise ValueError(f"intervals of {title!r} must be finite")
    low, high = min([0.0, *known]), max([0.0, *known])
    margin = 0.05 * (high - low) or 1.0
    axis = Axis(title, low - margin, high + margin)
    left = min(max((measured(one.name) for one in rows), default=0) + 10, width / 3)
    right = width - min(max((measured(one.said) for one in rows), default=0) + 8, width / 3)
    bottom = row * max(len(rows), 1) + 4

    def at(value: float) -> float:
        return left + axis.place(value) * (right - left)

    parts = []
    for value, written in ticks(axis, most=int((right - left) / 34)):
        parts.append(path(f"M{at(value):.2f} 2V{bottom:.2f}", GRID, 0.5))
        parts.append(text(at(value), bottom + 10, written, anchor="middle"))
    parts.append(path(f"M{at(0):.2f} 2V{bottom:.2f}", PALE, 0.9, "2 2"))
    for place, one in enumerate(rows):
        middle = row * (place + 0.5) + 2
        parts.append(text(left - 5, middle + 2.5, shortened(one.name, left - 8), INK, "end"))
        parts.append(text(right + 6, middle + 2.5, shortened(one.said, width - right - 6)))
        if one.low is not None and one.high is not None:
            ends = f"M{at(one.low):.2f} {middle:.2f}H{at(one.high):.2f}"
            parts.append(path(f"{ends}m0 -2v4M{at(one.low):.2f} {middle - 2:.2f}v4", one.colour, 1.1))
        fill = f'fill="{one.colour}"' if one.low is not None else f'fill="white" stroke="{one.colour}"'
        parts.append(f'<circle cx="{at(one.mean):.2f}" cy="{middle:.2f}" r="2.4" {fill}/>')
    parts.append(path(f"M{left:.2f} {bottom:.2f}H{right:.2f}", PALE, 0.7))
    parts.append(text((left + right) / 2, bottom + 22, title, INK, "middle"))
    return drawing(width, bottom + 27, "".join(parts))
