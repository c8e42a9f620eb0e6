"""Pictures of the validation part with the points that were answered and the true ones drawn over them."""

from collections.abc import Callable, Sequence
from html import escape

from search.answers import RANKS, Answers, Example

SIDE = 240
"""Units of a picture's side in the drawing over it; a card is about as many pixels wide."""
EDGE = 4
"""Points outside the picture are drawn as marks at its edge, this far inside."""
MANY = 30
"""From so many points on they are drawn smaller."""


def gallery(answers: Answers | None, href: Callable[[int], str], unit: str) -> str:
    """Best, median and worst pictures as HTML, or a sentence where there are none.

    Args:
        answers: of a trial, or None.
        href: where the picture of a data-set row is to be had: an address, or the picture itself as data:.
        unit: of the errors.
    """
    if answers is None or not answers.examples:
        return '<p class="note">This trial has no pictures: it was not trained, or before its answers were kept.</p>'
    pointed = any(example.answered or example.true for example in answers.examples)
    rows = []
    for rank in RANKS:
        cards = [card(example, answers, href, unit) for example in answers.examples if example.rank == rank]
        if cards:
            rows.append(
                f'<section class="gallery-row"><h3>{rank}</h3><div class="cards">{"".join(cards)}</div></section>'
            )
    legend = LEGEND if pointed else ""
    return f'<div class="gallery">{legend}{"".join(rows)}</div>'


LEGEND = (
    '<p class="gallery-legend">'
    '<span><svg viewBox="0 0 36 12" aria-hidden="true"><path class="true" d="M2 6H34"/><circle class="true-point" '
    'cx="18" cy="6" r="3"/></svg>true</span>'
    '<span><svg viewBox="0 0 36 12" aria-hidden="true"><path class="answered" d="M2 6H34"/><circle '
    'class="answered-point" cx="18" cy="6" r="3"/></svg>predicted</span>'
    '<span><svg viewBox="0 0 36 12" aria-hidden="true"><path class="miss" d="M2 6H34"/></svg>from a true point to '
    "its prediction</span>"
    '<span><svg viewBox="0 0 36 12" aria-hidden="true"><path class="outside" d="M22 2L28 6L22 10Z"/></svg>outside the '
    "picture</span></p>"
)


def card(example: Example, answers: Answers, href: Callable[[int], str], unit: str) -> str:
    """One picture in its frame."""
    error = f"{example.error:.2f} {escape(unit)}".strip()
    drawn = skeletons(example, answers.edges) if example.answered or example.true else ""
    said = f"{example.rank} validation image, row {example.row}, error {example.error:.2f} {unit}".strip()
    return (
        f'<figure class="card"><div class="frame"><img src="{escape(href(example.row))}" alt="{escape(said)}" '
        f'loading="lazy" decoding="async">{drawn}</div>'
        f"<figcaption><strong>{error}</strong> row {example.row}</figcaption></figure>"
    )


def skeletons(example: Example, edges: Sequence[Sequence[int]]) -> str:
    """Both skeletons as an SVG that covers the picture; the thin truth lies over the thick answer, so both are seen."""
    true, answered = ([(x * SIDE, y * SIDE) for x, y in points] for points in (example.true, example.answered))
    radius = 1.6 if max(len(true), len(answered)) >= MANY else 2.6
    misses = joined(list(zip(true, answered, strict=False)))
    limbs = {
        name: joined([(points[a], points[b]) for a, b in edges if max(a, b) < len(points)])
        for name, points in (("answered", answered), ("true", true))
    }
    lines = {"halo": misses + limbs["answered"] + limbs["true"], "miss": misses, **limbs}
    drawn = [f'<path class="{name}" d="{data}"/>' for name, data in lines.items() if data]
    drawn += [dot(point, radius, "answered") for point in answered]
    drawn += [dot(point, 0.75 * radius, "true") for point in true]
    return (
        f'<svg class="over" viewBox="0 0 {SIDE} {SIDE}" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(drawn)}</svg>"
    )


def joined(pairs: Sequence[tuple[tuple[float, float], tuple[float, float]]]) -> str:
    """Lines between pairs of points, as a path has them."""
    return "".join(f"M{place(a)}L{place(b)}" for a, b in pairs)


def dot(point: tuple[float, float], radius: float, name: str) -> str:
    """A point; one outside the picture is an arrowhead at the edge that shows to it."""
    x, y = point
    if 0 <= x <= SIDE and 0 <= y <= SIDE:
        return f'<circle class="{name}-point" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'
    at_x, at_y = (min(max(value, EDGE), SIDE - EDGE) for value in point)
    length = ((x - at_x) ** 2 + (y - at_y) ** 2) ** 0.5
    u, v = (x - at_x) / length, (y - at_y) / length
    tip = at_x + EDGE * u, at_y + EDGE * v
    wings = [(at_x - EDGE * u - side * EDGE * v, at_y - EDGE * v + side * EDGE * u) for side in (1, -1)]
    return f'<path class="{name}-point outside" d="M{place(tip)}L{place(wings[0])}L{place(wings[1])}Z"/>'


def place(point: tuple[float, float]) -> str:
    """A point as SVG has it."""
    return f"{point[0]:.1f} {point[1]:.1f}"
