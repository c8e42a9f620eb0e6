"""The pictures that a drawing of an architecture is put together from, as SVG text.

A shape has its middle at (0, 0). Its colours are classes, which `search.results.architecture` defines.
"""

import math
from dataclasses import dataclass

LEAN = (0.28, 0.16)
"""How far a box goes back, as fractions of its height: to the right and up."""
SEAMS = 8
"""So many repeats are drawn as slabs; more are only written."""


@dataclass(frozen=True)
class Shape:
    """A picture and the room it takes: its width and height about its middle."""

    width: float
    height: float
    source: str


def box(thick: float, high: float, kind: str, slabs: int = 1) -> Shape:
    """A feature map as a solid: thickness for channels, height for resolution, a slab for each repeat."""
    back, up = LEAN[0] * high, LEAN[1] * high
    width, height = thick + back, high + up
    x, y = -width / 2, -height / 2 + up
    right, bottom = x + thick, y + high
    lid = f"{x:.1f},{y:.1f} {x + back:.1f},{y - up:.1f} {right + back:.1f},{y - up:.1f} {right:.1f},{y:.1f}"
    side = (
        f"{right:.1f},{y:.1f} {right + back:.1f},{y - up:.1f} {right + back:.1f},{bottom - up:.1f} "
        f"{right:.1f},{bottom:.1f}"
    )
    parts = [
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{thick:.1f}" height="{high:.1f}"/>',
        f'<polygon class="{kind}" points="{lid}"/><polygon class="arch-lit" points="{lid}"/>',
        f'<polygon class="{kind}" points="{side}"/><polygon class="arch-shade" points="{side}"/>',
    ]
    for cut in range(1, slabs if slabs <= SEAMS and thick / slabs > 2 else 1):
        at = x + thick * cut / slabs
        over = f"{at:.1f},{bottom:.1f} {at:.1f},{y:.1f} {at + back:.1f},{y - up:.1f}"
        parts.append(f'<polyline class="arch-seam" points="{over}"/>')
    return Shape(width, height, "".join(parts))


def image(high: float) -> Shape:
    """A picture in its frame."""
    wide = max(16.0, 0.62 * high)
    x, y = -wide / 2, -high / 2
    hills = [(0, 1), (0, 0.78), (0.3, 0.5), (0.52, 0.72), (0.74, 0.58), (1, 0.82), (1, 1)]
    outline = " ".join(f"{x + a * wide:.1f},{y + b * high:.1f}" for a, b in hills)
    return Shape(
        wide,
        high,
        f'<rect class="arch-plain" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="2"/>'
        f'<circle class="arch-pale" cx="{x + 0.72 * wide:.1f}" cy="{y + 0.22 * high:.1f}" r="{0.11 * wide:.1f}"/>'
        f'<polygon class="arch-shade" points="{outline}"/>',
    )


def heatmaps(high: float) -> Shape:
    """A stack of maps, the first with a bright spot."""
    side, step = max(24.0, high), 5.0
    whole = side + 2 * step
    cards = [
        f'<rect class="arch-head" x="{-whole / 2 + i * step:.1f}" y="{-whole / 2 + (2 - i) * step:.1f}" '
        f'width="{side:.1f}" height="{side:.1f}"/>'
        for i in (2, 1, 0)
    ]
    x, y = -whole / 2 + 0.6 * side, -whole / 2 + 2 * step + 0.42 * side
    spot = [f'<circle class="arch-pale" cx="{x:.1f}" cy="{y:.1f}" r="{0.3 * side:.1f}" fill-opacity="0.3"/>']
    spot += [f'<circle class="arch-hot" cx="{x:.1f}" cy="{y:.1f}" r="{r * side:.1f}"/>' for r in (0.26, 0.17, 0.09)]
    return Shape(whole, whole, "".join(cards + spot))


def bars() -> Shape:
    """Two distributions over bins, one along each axis."""
    side, bins, reach = 38.0, 9, 20.0
    whole = side + reach
    x, y = -whole / 2, -whole / 2
    step = side / bins
    parts = [f'<rect class="arch-line" x="{x:.1f}" y="{y + reach:.1f}" width="{side:.1f}" height="{side:.1f}"/>']
    for i in range(bins):
        across, down = (reach - 3) * math.exp(-(((i - 5) / 1.7) ** 2)), (reach - 3) * math.exp(-(((i - 3) / 1.7) ** 2))
        parts.append(
            f'<rect class="arch-head" stroke-width="0.5" x="{x + i * step:.1f}" y="{y + reach - 1 - across:.1f}" '
            f'width="{step - 0.8:.1f}" height="{across:.1f}"/>'
            f'<rect class="arch-head" stroke-width="0.5" x="{x + side + 1:.1f}" y="{y + reach + i * step:.1f}" '
            f'width="{down:.1f}" height="{step - 0.8:.1f}"/>'
        )
    parts.append(f'<circle class="arch-point" cx="{x + 5.5 * step:.1f}" cy="{y + reach + 3.5 * step:.1f}" r="3"/>')
    return Shape(whole, whole, "".join(parts))


def vector(kind: str) -> Shape:
    """A column of numbers."""
    cells, cell, wide = 8, 9.0, 13.0
    top = -cells * cell / 2
    rows = [
        f'<rect class="{kind}" x="{-wide / 2:.1f}" y="{top + i * cell:.1f}" width="{wide:.1f}" height="{cell:.1f}"/>'
        for i in range(cells)
    ]
    return Shape(wide, cells * cell, "".join(rows))


def points() -> Shape:
    """Points, some of them joined."""
    spots = [(0, 26), (-17, 2), (-9, -20), (3, -25), (14, -17), (20, -3)]
    limbs = "".join(f'<polyline class="arch-limb" points="0,26 {x},{y}"/>' for x, y in spots[1:])
    return Shape(48, 58, limbs + "".join(f'<circle class="arch-point" cx="{x}" cy="{y}" r="3.4"/>' for x, y in spots))
