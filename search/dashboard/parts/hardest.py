"""The images that most trials fail at: what a better network would have to learn, or labels that are wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from search.dashboard.parts.blocks import note
from search.dashboard.parts.gallery import card, signs
from search.format import measured
from search.results import answers
from search.results.answers import EACH, Answers, Example
from search.results.view import View

TRIALS = 200
"""Finished trials whose answers are read, best first: 0.5 s."""
SHOWN = 8


@dataclass(frozen=True)
class Hard:
    """An image that is among the worst of trials."""

    count: int  # of how many
    error: float  # the mean of its error over these
    example: Example  # what the best of them answered for it
    trial: int  # the number of that trial


def hardest(by_trial: dict[int, Answers]) -> list[Hard]:
    """The images among the worst of at least two trials, most trials first, then the largest mean error.

    The answers, by the trial's number, are those of the best trial first.
    """
    among: dict[int, list[tuple[int, Example]]] = {}
    for number, answered in by_trial.items():
        for example in answered.examples:
            if example.rank == "worst":
                among.setdefault(example.row, []).append((number, example))
    hard = [
        Hard(len(failed), sum(example.error for _, example in failed) / len(failed), failed[0][1], failed[0][0])
        for failed in among.values()
        if len(failed) > 1
    ]
    return sorted(hard, key=lambda image: (-image.count, -image.error))


def html(view: View, folder: Path, href: Callable[[int], str]) -> str:
    """The hardest images of a study as HTML, or a sentence where there are none yet."""
    numbers = [entry.number for entry in view.by_state["finished"][:TRIALS]]
    loaded = {number: answers.load(folder, number, view.unit) for number in numbers}
    by_trial = {number: answered for number, answered in loaded.items() if answered is not None}
    if len(by_trial) < 2:
        return note("Images that many trials fail at are shown from two finished trials on that kept their answers.")
    hard = hardest(by_trial)[:SHOWN]
    if not hard:
        return note(f"No image is among the {EACH} worst of two trials: they fail at different ones.")
    first = next(iter(by_trial.values()))
    cards = []
    for image in hard:
        example, row = image.example, image.example.row
        error, answered = measured(image.error, first.unit), example.answered or example.said
        below = (
            f"<strong>{image.count} of {len(by_trial)} trials</strong> row {row}"
            f"<div>mean {escape(error)}{f'; answer of trial {image.trial}' if answered else ''}</div>"
        )
        sides = answers.sides(folder, row)
        cards.append(card(example, first.edges, href(row), sides, f"validation image, row {row}", below))
    heading = note(
        f"Validation images that are among the {EACH} worst of the most finished trials, with what the best of these "
        "trials answers."
    )
    legend = signs([image.example for image in hard])
    return f'{heading}<div class="gallery">{legend}<div class="cards">{"".join(cards)}</div></div>'
