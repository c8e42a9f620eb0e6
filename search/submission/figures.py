"""Figures as SVG for paper: axes with round ticks, lines, dots. A unit of a drawing is a point on the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Literal

FONT = "Libertinus Serif"
"""Of those that typst brings along."""
INK, PALE, GRID = "#1d2127", "#666d78", "#e3e6ea"
LETTER = 7.5
"""Height of the letters."""
WIDE = 0.47
"""Mean width of a letter by its height: 0.43 was measured for words of `FONT`, and digits have 0.465."""

LEFT, RIGHT, TOP, BELOW = 38.0, 8.0, 8.0, 29.0
"""Room around a frame; the legend has a row of its own above it."""
ROW = 11.0
"""Height of a row of the legend."""

RAISED = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        title: with the unit.
        low: its start, above 0 on a logarithmic axis.
        high: its end, above `low`.
        log: whether it is logarithmic.
        whole: whether it counts something, so that only whole numbers are named.
    """

    title: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf or (self.log and self.low <= 0):
            raise ValueError(f"the axis {self.title!r} cannot reach from {self.low} to {self.high}")

    def place(self, value: float) -> float:
        """Where a value stands: 0 at the axis' start, 1 at its end.

        Raises:
            ValueError: the value is not finite, or has no logarithm.
        """
        if not math.isfinite(value) or (self.log and value <= 0):
            raise ValueError(f"{value} has no place on the axis {self.title!r}")
        scale = math.log if self.log else float
        return (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))


@dataclass(frozen=True)
class Line:
    """A line through points; `stairs` makes it go across before it goes up or down. Cut off at the frame."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    name: str = ""
    width: float = 1.3
    dash: str = ""
    opacity: float = 1.0
    stairs: bool = False


Shape = Literal["dot", "ring", "cross", "diamond", "star"]


@dataclass(frozen=True)
class Dots:
    """Points in one shape; each must be inside the frame."""

    x: Sequence[float]
    y: Sequence[float]
    colour: str
    name: str = ""
    shape: Shape = "dot"
    size: float = 2.4


@dataclass(frozen=True)
class Band:
    """A coloured range of y from side to side."""

    low: float
    high: float
    colour: str


@dataclass(frozen=True)
class Words:
    """A word at a place, moved by (dx, dy) points; it is below all lines and dots, and may be beside the frame."""

    x: float
    y: float
    text: str
    colour: str = PALE
    dx: float = 0.0
    dy: float = 0.0
    anchor: Literal["start", "middle", "end"] = "start"


Mark = Line | Dots | Band | Words


def plot(x: Axis, y: Axis, marks: Sequence[Mark], width: float, height: float, beside: float = RIGHT) -> str:
    """Marks in a frame with two axes; those with a name stand in the legend above it.

    Args:
        x: the axis below.
        y: the axis on the left.
        marks: drawn in this order, words below and dots above all lines.
        width: of the whole, points.
        height: of the whole without the legend's rows, which come on top of it.
        beside: room on the right of the frame.

    Raises:
        ValueError: a number is not finite or a dot is outside the frame.
    """
    named = [mark for mark in marks if isinstance(mark, Line | Dots) and mark.name]
    legend, rows = _legend(named, width)
    left, right, top, bottom = LEFT, width - beside, TOP + rows * ROW, height + rows * ROW - BELOW

    def at(a: float, b: float) -> tuple[float, float]:
        return left + x.place(a) * (right - left), bottom - y.place(b) * (bottom - top)

    grid, inner, dots, words = [], [], [], [legend]
    for value, said in ticks(x, most=int((right - left) / 34)):
        across, _ = at(value, y.low)
        grid.append(path(f"M{across:.2f} {top:.2f}V{bottom:.2f}", GRID, 0.5))
        words.append(text(across, bottom + 10, said, anchor="middle"))
    for value, said in ticks(y, most=int((bottom - top) / 15)):
        _, down = at(x.low, value)
        grid.append(path(f"M{left:.2f} {down:.2f}H{right:.2f}", GRID, 0.5))
        words.append(text(left - 4, down + 2.5, said, anchor="end"))
    for mark in marks:
        match mark:
            case Band():
                high, low = (bottom - min(max(y.place(v), 0.0), 1.0) * (bottom - top) for v in (mark.high, mark.low))
                inner.append(
                    f'<rect x="{left:.2f}" y="{high:.2f}" width="{right - left:.2f}" height="{low - high:.2f}" '
                    f'fill="{mark.colour}" fill-opacity="0.1"/>'
                )
            case Line():
                places = [at(a, b) for a, b in zip(mark.x, mark.y, strict=True)]
                if mark.stairs:
                    places = [*(p for a, b in pairwise(places) for p in (a, (b[0], a[1]))), *places[-1:]]
                data = "L".join(f"{a:.2f} {b:.2f}" for a, b in places)
                inner.append(path(f"M{data}", mark.colour, mark.width, mark.dash, mark.opacity) if data else "")
            case Dots():
                for a, b in zip(mark.x, mark.y, strict=True):
                    if not (-1e-6 <= x.place(a) <= 1 + 1e-6 and -1e-6 <= y.place(b) <= 1 + 1e-6):
                        raise ValueError(f"({a}, {b}) is outside the frame of {x.title!r} and {y.title!r}")
                    dots.append(_dot(*at(a, b), mark))
            case Words():
                across, down = at(mark.x, mark.y)
                words.append(text(across + mark.dx, down + mark.dy, mark.text, mark.colour, mark.anchor))
    clip = f'<defs><clipPath id="f"><path d="M{left} {top}H{right}V{bottom}H{left}Z"/></clipPath></defs>'
    frame = path(f"M{left} {top:.2f}V{bottom:.2f}H{right:.2f}", PALE, 0.7)
    titles = text((left + right) / 2, bottom + 22, x.title, INK, "middle") + (
        f'<g transform="translate(9 {(top + bottom) / 2:.2f}) rotate(-90)">{text(0, 0, y.title, INK, "middle")}</g>'
    )
    body = [clip, *grid, *words, f'<g clip-path="url(#f)">{"".join(inner)}</g>', frame, *dots, titles]
    return drawing(width, height + rows * ROW, "".join(body))


def drawing(width: float, height: float, body: str) -> str:
    """A whole SVG."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.2f}pt" height="{height:.2f}pt" '
        f'viewBox="0 0 {width:.2f} {height:.2f}" font-family="{FONT}" font-size="{LETTER}">{body}</svg>'
    )


def ticks(axis: Axis, most: int) -> list[tuple[float, str]]:
    """Round numbers on an axis, at most `most` (at least 2), and how they are written."""
    most = max(most, 2)
    if axis.log:
        powers = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
        for factors in ((1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,)):
            found = [f * 10.0**p for p in powers for f in factors if axis.low <= f * 10.0**p * (1 + 1e-12) <= axis.high]
            if len(found) <= most:
                break
        if len(found) >= 2:
            return [(value, written(value)) for value in found[:: math.ceil(len(found) / most)]]
    rough = (axis.high - axis.low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * (1 - 1e-9))
    step = max(step, 1.0) if axis.whole else step
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    most_digits = math.floor(math.log10(max(abs(axis.low), abs(axis.high)))) - math.floor(math.log10(step) + 1e-9) + 1
    return [(i * step, written(i * step, max(1, most_digits))) for i in range(first, last + 1)]


def written(value: float, digits: int = 6) -> str:
    """A number as an axis has it: a true minus sign, thousands apart, powers of ten for the very small and large.

    Args:
        value: finite.
        digits: significant ones, at least 1; zeros at the end of a fraction are left out.
    """
    if not value or 1e-4 <= abs(value) < 1e6:
        places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
        said, raised = f"{value:,.{places}f}", ""
    else:
        said, _, power = f"{value:.{digits - 1}e}".partition("e")
        raised = f"10{str(int(power)).translate(RAISED)}"
    said = (said.rstrip("0").rstrip(".") if "." in said else said).replace("-", "\u2212")
    return f"{said} \u00b7 {raised}".removeprefix("1 \u00b7 ") if raised else said


def percent(share: float, signed: bool = False) -> str:
    """A share of 1 in whole per cent."""
    return f"{100 * share:{'+' if signed else ''}.0f}\u00a0%".replace("-", "\u2212")


def text(x: float, y: float, said: str, colour: str = PALE, anchor: str = "start") -> str:
    """A line of words; control characters, which XML cannot hold, become spaces."""
    said = "".join(letter if letter.isprintable() else " " for letter in said)
    aligned = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.2f}" y="{y:.2f}" fill="{colour}"{aligned}>{escape(said)}</text>'


def measured(said: str) -> float:
    """About how wide words are; a letter beyond Latin, Greek and Cyrillic is as wide as high."""
    return LETTER * sum(WIDE if ord(letter) < 0x2000 else 1.0 for letter in said)


def _legend(named: Sequence[Line | Dots], width: float) -> tuple[str, int]:
    """Names in rows above the frame, and how many rows."""
    parts, left, rows = [], LEFT, 1 if named else 0
    for mark in named:
        wide = 15 + measured(mark.name) + 12
        if left > LEFT and left + wide - 10 > width:
            left, rows = LEFT, rows + 1
        y = rows * ROW - 3
        if isinstance(mark, Line):
            parts.append(path(f"M{left:.2f} {y}h11", mark.colour, mark.width, mark.dash, mark.opacity))
        else:
            parts.append(_dot(left + 6, y, mark))
        parts.append(text(left + 15, y + 2.5, mark.name))
        left += wide
    return "".join(f"<g>{part}</g>" for part in parts), rows


def path(data: str, colour: str, width: float, dash: str = "", opacity: float = 1.0) -> str:
    """A line by SVG's path data."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    faint = f' stroke-opacity="{opacity:g}"' if opacity < 1 else ""
    look = f'stroke="{colour}" stroke-width="{width:g}" stroke-linejoin="round"{dashed}{faint}'
    return f'<path d="{data}" fill="none" {look}/>'


def _dot(x: float, y: float, mark: Dots) -> str:
    """One point in its shape."""
    r = mark.size
    if mark.shape in ("dot", "ring"):
        look = (
            f'fill="{mark.colour}"' if mark.shape == "dot" else f'fill="none" stroke="{mark.colour}" stroke-width="0.8"'
        )
        return f'<circle cx="{x:.2f}" cy="{y:.2f}" r="{r:g}" {look}/>'
    if mark.shape == "cross":
        return path(f"M{x - r:.2f} {y - r:.2f}l{2 * r:g} {2 * r:g}m0 {-2 * r:g}l{-2 * r:g} {2 * r:g}", mark.colour, 1)
    corners = 4 if mark.shape == "diamond" else 10
    radii = [r if corners == 4 or i % 2 == 0 else 0.42 * r for i in range(corners)]
    turns = [2 * math.pi * i / corners for i in range(corners)]
    data = "L".join(
        f"{x + a * math.sin(turn):.2f} {y - a * math.cos(turn):.2f}" for a, turn in zip(radii, turns, strict=True)
    )
    return f'<path d="M{data}Z" fill="{mark.colour}"/>'
