"""Predicted and true skeletons as an SVG that lies over a picture."""

from collections.abc import Sequence

from search.results.answers import Example

SIDE = 240
"""Units of a picture's longer side in the drawing over it; a card is about as many pixels wide."""
EDGE = 4
"""Points outside the picture are drawn as marks at its edge, this far inside."""
MANY = 30
"""From so many points on they are drawn smaller."""


def skeletons(example: Example, edges: Sequence[Sequence[int]], sides: tuple[int, int] = (1, 1)) -> str:
    """Both skeletons as an SVG that covers the picture; the thin truth lies over the thick answer, so both are seen.

    An answer to a point that is not known is pale, and nothing joins it with the truth.
    """
    wide, high = (SIDE * side / max(sides) for side in sides)
    true, answered = (
        [None if point is None else (point[0] * wide, point[1] * high) for point in points]
        for points in (example.true, example.answered)
    )
    radius = 1.6 if max(len(true), len(answered)) >= MANY else 2.6
    unknown = {index for index, point in enumerate(true) if point is None}
    pairs = [(a, b) for a, b in zip(true, answered, strict=False) if a and b]
    misses = _lines(pairs)
    bones = {
        name: [(points[a], points[b]) for a, b in edges if max(a, b) < len(points) and not {a, b} & unknown]
        for name, points in (("answered", answered), ("true", true))
    }
    limbs = {name: _lines([(a, b) for a, b in ends if a and b]) for name, ends in bones.items()}
    lines = {"halo": misses + limbs["answered"] + limbs["true"], "miss": misses, **limbs}
    drawn = [f'<path class="{name}" d="{data}"/>' for name, data in lines.items() if data]
    frame = (wide, high)
    drawn += [
        _dot(point, radius, "unjudged" if index in unknown else "answered", frame)
        for index, point in enumerate(answered)
        if point
    ]
    drawn += [_dot(point, 0.75 * radius, "true", frame) for point in true if point]
    return (
        f'<svg class="over" viewBox="0 0 {wide:g} {high:g}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(drawn)}</svg>"
    )


def _lines(pairs: Sequence[tuple[tuple[float, float], tuple[float, float]]]) -> str:
    """Lines between pairs of points, as a path has them."""
    return "".join(f"M{_place(a)}L{_place(b)}" for a, b in pairs)


def _dot(point: tuple[float, float], radius: float, name: str, frame: tuple[float, float]) -> str:
    """A point; one outside the picture, whose width and height are `frame`, is an arrowhead at the edge towards it."""
    x, y = point
    if 0 <= x <= frame[0] and 0 <= y <= frame[1]:
        return f'<circle class="{name}-point" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'
    at_x, at_y = (min(max(value, EDGE), side - EDGE) for value, side in zip(point, frame, strict=True))
    length = ((x - at_x) ** 2 + (y - at_y) ** 2) ** 0.5
    u, v = (x - at_x) / length, (y - at_y) / length
    tip = at_x + EDGE * u, at_y + EDGE * v
    wings = [(at_x - EDGE * u - side * EDGE * v, at_y - EDGE * v + side * EDGE * u) for side in (1, -1)]
    return f'<path class="{name}-point outside" d="M{_place(tip)}L{_place(wings[0])}L{_place(wings[1])}Z"/>'


def _place(point: tuple[float, float]) -> str:
    """A point as SVG has it."""
    return f"{point[0]:.1f} {point[1]:.1f}"
