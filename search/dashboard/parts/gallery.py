"""Pictures of the validation part with the points that were answered and the true ones drawn over them."""

from collections.abc import Callable, Sequence
from html import escape

from search.dashboard.parts.blocks import note
from search.format import measured
from search.results.answers import RANKS, Answers, Example
from search.results.skeleton import svg

TALLEST = 0.75
"""Width by height below which a picture is narrower than its card."""


def gallery(answers: Answers | None, href: Callable[[int], str], sides: Callable[[int], tuple[int, int]]) -> str:
    """Best, median and worst pictures as HTML, or a sentence where there are none.

    `href` is where a row's picture is to be had, `sides` are its width and height in any unit.
    """
    if answers is None or not answers.examples:
        return note("This trial has no pictures: it was not trained, or before its answers were kept.")
    rows = []
    for rank in RANKS:
        chosen = [example for example in answers.examples if example.rank == rank]
        cards = []
        for example in chosen:
            error, row = measured(example.error, answers.unit), example.row
            below = f"<strong>{escape(error)}</strong> row {row}"
            alt = f"{rank} validation image, row {row}, {error}"
            cards.append(card(example, answers.edges, href(row), sides(row), alt, below))
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
    """One picture in its frame, in its own shape, whose `sides` may be in any unit.

    `alt`, which is escaped here, says what it is to those who do not see it; `below` is HTML under it, before the
    answer in words.
    """
    width, height = sides
    shape = f"aspect-ratio: {width} / {height}"
    if width < TALLEST * height:
        shape += f"; width: {100 * width / height / TALLEST:.1f}%"
    drawn = svg(example, edges, sides) if example.answered or example.true else ""
    said = f'<div class="said">{escape(example.said)}</div>' if example.said else ""
    return (
        f'<figure class="card"><div class="frame" style="{shape}"><img src="{escape(href)}" alt="{escape(alt)}" '
        f'loading="lazy" decoding="async">{drawn}</div>'
        f"<figcaption>{below}{said}</figcaption></figure>"
    )
