"""Pictures of the validation part with the points that were answered and the true ones drawn over them."""

from collections.abc import Callable, Sequence
from html import escape

from search.format import measured
from search.results.answers import RANKS, Answers, Example

SIDE = 240
"""Units of a picture's longer side in the drawing over it; a card is about as many pixels wide."""
TALLEST = 0.75
"""Width by height below which a picture is narrower than its card."""
EDGE = 4
"""Points outside the picture are drawn as marks at its edge, this far inside."""
MANY = 30
"""From so many points on they are drawn smaller."""


def square(row: int) -> tuple[int, int]:  # noqa: ARG001 - of any row
    """Width and height of a picture whose shape is not told."""
    return 1, 1


def gallery(
    answers: Answers | None, href: Callable[[int], str], unit: str, sides: Callable[[int], tuple[int, int]] = square
) -> str:
    """Best, median and worst pictures as HTML, or a sentence where there are none.

    Args:
        answers: of a trial, or None.
        href: where the picture of a data-set row is to be had: an address, or the picture itself as data:.
        unit: of the study's error, for answers that do not say their own.
        sides: width and height of a row's picture, in any unit.
    """
    if answers is None or not answers.examples:
        return '<p class="note">This trial has no pictures: it was not trained, or before its answers were kept.</p>'
    unit = unit if answers.unit is None else answers.unit
    rows = []
    for rank in RANKS:
        chosen = [example for example in answers.examples if example.rank == rank]
        cards = [
            card(
                example,
                answers.edges,
                href(example.row),
                sides(example.row),
                f"{rank} validation image, row {example.row}, {measured(example.error, unit)}",
                f"<strong>{escape(measured(example.error, unit))}</strong> row {example.row}",
            )
            for example in chosen
        ]
        if cards:
            rows.append(
                f'<section class="gallery-row"><h3>{rank}</h3><div class="cards">{"".join(cards)}</div></section>'
            )
    legend = signs(answers.examples)
    return f'<div class="gallery">{legend}{"".join(rows)}</div>'


def signs(examples: Sequence[Example]) -> str:
    """What is drawn over the pictures; nothing where there are no points."""
    if not any(example.answered or example.true for example in examples):
        return ""
    pale = UNKNOWN if any(None in example.true for example in examples) else ""
    return f'<p class="gallery-legend">{LEGEND}{pale}</p>'


LEGEND = (
    '<span><svg viewBox="0 0 36 12" aria-hidden="true"><path class="true" d="M2 6H34"/><circle class="true-point" '
    'cx="18" cy="6" r="3"/></svg>true</span>'
    '<span><svg viewBox="0 0 36 12" aria-hidden="true"><path class="answered" d="M2 6H34"/><circle '
    'class="answered-point" cx="18" cy="6" r="3"/></svg>predicted</span>'
    '<span><svg viewBox="0 0 36 12" aria-hidden="true"><path class="miss" d="M2 6H34"/></svg>from a true point to '
    "its prediction</span>"
    '<span><svg viewBox="0 0 36 12" aria-hidden="true"><path class="outside" d="M22 2L28 6L22 10Z"/></svg>outside the '
    "picture</span>"
)
UNKNOWN = (
    '<span><svg viewBox="0 0 36 12" aria-hidden="true"><circle class="unjudged-point" cx="18" cy="6" r="4"/></svg>'
    "predicted, the truth not known</span>"
)


def card(
    example: Example, edges: Sequence[Sequence[int]], href: str, sides: tuple[int, int], alt: str, below: str
) -> str:
    """One picture in its frame, in its own shape.

    Args:
        example: what was answered for it.
        edges: which points are joined.
        href: where the picture is to be had.
        sides: its width and height, in any unit.
        alt: what it is, for those who do not see it; escaped here.
        below: HTML that stands below it, before the answer in words.
    """
    width, height = sides
    shape = f"aspect-ratio: {width} / {height}"
    if width < TALLEST * height:
        shape += f"; width: {100 * width / height / TALLEST:.1f}%"
    drawn = skeletons(example, edges, sides) if example.answered or example.true else ""
    said = f'<div class="said">{escape(example.said)}</div>' if example.said else ""
    return (
        f'<figure class="card"><div class="frame" style="{shape}"><img src="{escape(href)}" alt="{escape(alt)}" '
        f'loading="lazy" decoding="async">{drawn}</div>'
        f"<figcaption>{below}{said}</figcaption></figure>"
    )


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
    unknown = {place for place, point in enumerate(true) if point is None}
    pairs = [(a, b) for a, b in zip(true, answered, strict=False) if a and b]
    misses = joined(pairs)
    bones = {
        name: [(points[a], points[b]) for a, b in edges if max(a, b) < len(points) and not {a, b} & unknown]
        for name, points in (("answered", answered), ("true", true))
    }
    limbs = {name: joined([(a, b) for a, b in ends if a and b]) for name, ends in bones.items()}
    lines = {"halo": misses + limbs["answered"] + limbs["true"], "miss": misses, **limbs}
    drawn = [f'<path class="{name}" d="{data}"/>' for name, data in lines.items() if data]
    frame = (wide, high)
    drawn += [
        dot(point, radius, "unjudged" if place in unknown else "answered", frame)
        for place, point in enumerate(answered)
        if point
    ]
    drawn += [dot(point, 0.75 * radius, "true", frame) for point in true if point]
    return (
        f'<svg class="over" viewBox="0 0 {wide:g} {high:g}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(drawn)}</svg>"
    )


def joined(pairs: Sequence[tuple[tuple[float, float], tuple[float, float]]]) -> str:
    """Lines between pairs of points, as a path has them."""
    return "".join(f"M{place(a)}L{place(b)}" for a, b in pairs)


def dot(point: tuple[float, float], radius: float, name: str, frame: tuple[float, float]) -> str:
    """A point; one outside the picture, whose width and height are `frame`, is an arrowhead at the edge towards it."""
    x, y = point
    if 0 <= x <= frame[0] and 0 <= y <= frame[1]:
        return f'<circle class="{name}-point" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'
    at_x, at_y = (min(max(value, EDGE), side - EDGE) for value, side in zip(point, frame, strict=True))
    length = ((x - at_x) ** 2 + (y - at_y) ** 2) ** 0.5
    u, v = (x - at_x) / length, (y - at_y) / length
    tip = at_x + EDGE * u, at_y + EDGE * v
    wings = [(at_x - EDGE * u - side * EDGE * v, at_y - EDGE * v + side * EDGE * u) for side in (1, -1)]
    return f'<path class="{name}-point outside" d="M{place(tip)}L{place(wings[0])}L{place(wings[1])}Z"/>'


def place(point: tuple[float, float]) -> str:
    """A point as SVG has it."""
    return f"{point[0]:.1f} {point[1]:.1f}"
