"""Skeletons over pictures: points and edges as lines and marks, and these as SVG or with Pillow."""

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from search.results.answers import Example

SIDE = 240
"""Units of a picture's longer side in the SVG; a card is about as many pixels wide."""

EDGE = 4
"""Points outside the picture are drawn as arrowheads, so many units inside its edge."""

MANY = 30
"""From so many points on they are drawn smaller."""

HALO, TRUE, ANSWERED = "#101418", "#35d07f", "#ff4d8d"
"""Of what Pillow draws; the SVG's colours are its page's."""

Point = tuple[float, float]
Edges = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Mark:
    """A point to draw."""

    kind: str  # 'answered', 'unjudged' (answered, but the truth is not known) or 'true'
    at: Point  # its place
    # for a point outside the picture the corners of an arrowhead at the edge towards it, its tip first
    arrow: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """Both skeletons of an example, in the units of the picture's frame."""

    # 'answered' and 'true' bones, and the 'miss' from each true point to its answer
    lines: Mapping[str, Sequence[tuple[Point, Point]]]
    marks: Sequence[Mark]  # the points, those of the truth last
    many: bool  # whether there are so many points that they are to be smaller


def drawing(example: Example, edges: Edges, frame: Point) -> Drawing:
    """What is to be drawn over a picture, whose frame is its width and height in any unit.

    Nothing joins an answer whose truth is not known.
    """
    scaled = {
        kind: [None if point is None else (point[0] * frame[0], point[1] * frame[1]) for point in points]
        for kind, points in (("answered", example.answered), ("true", example.true))
    }
    unknown = {place for place, point in enumerate(example.true) if point is None}
    lines = {"miss": [(a, b) for a, b in zip(scaled["true"], scaled["answered"], strict=False) if a and b]}
    for kind, points in scaled.items():
        joined = [(a, b) for a, b in edges if max(a, b) < len(points) and not {a, b} & unknown]
        lines[kind] = [(start, end) for a, b in joined if (start := points[a]) and (end := points[b])]
    marks = [
        Mark("unjudged" if kind == "answered" and place in unknown else kind, point, arrowhead(point, frame))
        for kind, points in scaled.items()
        for place, point in enumerate(points)
        if point
    ]
    return Drawing(lines, marks, max(map(len, scaled.values())) >= MANY)


def arrowhead(point: Point, frame: Point) -> tuple[Point, ...]:
    """The corners of an arrowhead at the edge of the frame towards a point, the tip first; empty for one inside."""
    x, y = point
    if 0 <= x <= frame[0] and 0 <= y <= frame[1]:
        return ()
    size = EDGE * max(frame) / SIDE
    at_x, at_y = (min(max(value, size), side - size) for value, side in zip(point, frame, strict=True))
    length = ((x - at_x) ** 2 + (y - at_y) ** 2) ** 0.5
    u, v = size * (x - at_x) / length, size * (y - at_y) / length
    return (at_x + u, at_y + v), (at_x - u - v, at_y - v + u), (at_x - u + v, at_y - v - u)


def svg(example: Example, edges: Edges, sides: tuple[int, int] = (1, 1)) -> str:
    """Both skeletons as an SVG that covers the picture; the thin truth lies over the thick answer, so both are seen."""
    wide, high = (SIDE * side / max(sides) for side in sides)
    shapes = drawing(example, edges, (wide, high))
    paths = {
        kind: "".join(f"M{_place(a)}L{_place(b)}" for a, b in shapes.lines[kind])
        for kind in ("miss", "answered", "true")
    }
    paths = {"halo": "".join(paths.values()), **paths}
    parts = [f'<path class="{kind}" d="{path}"/>' for kind, path in paths.items() if path]
    radius = 1.6 if shapes.many else 2.6
    for mark in shapes.marks:
        if mark.arrow:
            corners = "L".join(map(_place, mark.arrow))
            parts.append(f'<path class="{mark.kind}-point outside" d="M{corners}Z"/>')
        else:
            x, y = mark.at
            r = 0.75 * radius if mark.kind == "true" else radius
            parts.append(f'<circle class="{mark.kind}-point" cx="{x:.1f}" cy="{y:.1f}" r="{r:g}"/>')
    return (
        f'<svg class="over" viewBox="0 0 {wide:g} {high:g}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def _place(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def paint(image: Image.Image, example: Example, edges: Edges) -> None:
    """Draw both skeletons on an RGB picture, the thin answer over the thick truth, each with a dark rim.

    Answers whose truth is not known are left out.
    """
    pen = ImageDraw.Draw(image)
    shapes = drawing(example, edges, image.size)
    unit = (0.6 if shapes.many else 1.0) * max(image.size) / 512
    for kind, colour, width in (("true", TRUE, 7 * unit), ("answered", ANSWERED, 4 * unit)):
        for ink, rim in ((HALO, 3 * unit), (colour, 0.0)):
            for a, b in shapes.lines[kind]:
                pen.line((*a, *b), ink, round(width + rim))
            for mark in shapes.marks:
                if mark.kind == kind and mark.arrow:
                    pen.polygon(mark.arrow, colour, HALO)
                elif mark.kind == kind:
                    pen.circle(mark.at, width + rim / 2, ink)


def limbs(points: int, edges: Sequence[Sequence[int]]) -> list[int]:
    """Which limb each point belongs to: the parts into which a skeleton falls when its branching points are taken out.

    Args:
        points: how many there are.
        edges: pairs of points that are joined.

    Returns:
        A number from 0 for each point in order of first appearance, -1 for a branching point (three edges or more)
        and where no edges are given.
    """
    near: dict[int, set[int]] = {point: set() for point in range(points)}
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
    limb = [-1] * points
    count = 0
    for point in range(points):
        if limb[point] >= 0 or not 0 < len(near[point]) < 3:
            continue
        rest = [point]
        while rest:
            place = rest.pop()
            if limb[place] < 0 and len(near[place]) < 3:
                limb[place] = count
                rest.extend(near[place])
        count += 1
    return limb


def skeleton(
    image: Image.Image, points: np.ndarray[Any, Any], edges: Sequence[tuple[int, int]], colour: str | None = None
) -> Image.Image:
    """A picture with joints and bones drawn over it.

    Args:
        image: RGB; a copy is drawn on.
        points: (P, 2), pixels of the picture, pixel centres at whole numbers.
        edges: which points are joined.
        colour: of all of it; None gives each chain of bones its own.
    """
    finer = 3 if max(image.size) <= 1024 else 1  # lines are drawn larger and made smaller: Pillow's own are jagged
    canvas = image.resize((image.width * finer, image.height * finer))
    pen = ImageDraw.Draw(canvas)
    places = [((x + 0.5) * finer, (y + 0.5) * finer) for x, y in points.tolist()]
    unit = max(finer, max(canvas.size) / 224)
    limb = limbs(len(places), edges)
    count = max(1, max(limb, default=0) + 1)

    def ink(*ends: int) -> Any:
        number = max(limb[end] for end in ends)
        if colour or number < 0:
            return colour or "white"
        return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(number / count, 0.75, 1))

    for a, b in edges:
        pen.line([places[a], places[b]], fill=ink(a, b), width=round(2 * unit))
    for joint, (x, y) in enumerate(places):
        reach = 2.2 * unit
        box = (x - reach, y - reach, x + reach, y + reach)
        pen.ellipse(box, fill=ink(joint), outline="black", width=max(1, round(unit / 3)))
    return canvas.resize(image.size, Image.Resampling.BOX)
