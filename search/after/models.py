"""The models that a study's folder keeps: which there are, and what their seeds say of chance."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UserError
from search.after import model
from search.results.noise import Noise, Retrained, repeated_trials

if TYPE_CHECKING:
    from search.results.view import View

FOLDER = "models"
"""Of a study's folder, the one with its models."""


@dataclass(frozen=True)
class Models:
    """What is known of a study's full trainings."""

    noise: Noise  # from their seeds, and from trials that were repeated
    retrained: tuple[Retrained, ...]  # of trials that there are, by trial and length
    trouble: tuple[str, ...]  # of models that cannot be read, a sentence each


def folders(folder: Path, number: int | None = None) -> list[Path]:
    """The folders of a study's models: of all its trials, or of one."""
    named = "[0-9]*" if number is None else f"{number:06d}*"
    return sorted(place for place in (folder / FOLDER).glob(named) if re.fullmatch(r"\d{6,}(-\w+)*", place.name))


def of(folder: Path, study_id: str | None, view: View) -> Models:
    """The full trainings of a study's trials; what cannot be read, and what is another study's, is left out and said.

    Args:
        folder: the study's.
        study_id: its own; None of one begun before there were any.
        view: all of its trials.
    """
    read: dict[Path, model.Facts] = {}
    trouble = []
    for place in folders(folder):
        try:
            read[place] = _read(place / model.FACTS, (place / model.FACTS).stat().st_mtime_ns)
        except FileNotFoundError:  # being replaced just now, or half taken away
            trouble.append(f"{place} has no {model.FACTS}.")
        except UserError as error:
            trouble.append(str(error))
    own = {
        place: facts for place, facts in read.items() if facts.study_id == study_id and facts.trial in view.by_number
    }
    if len(own) < len(read):
        trouble.append(f"{len(read) - len(own)} models in {folder / FOLDER} belong to another study.")
    noise = Noise.of([*([s.error for s in facts.seeds] for facts in own.values()), *repeated_trials(view)])
    return Models(noise, _retrained(own, noise), tuple(trouble))


def _retrained(own: Mapping[Path, model.Facts], noise: Noise) -> tuple[Retrained, ...]:
    found = [
        Retrained(
            trial=facts.trial,
            epochs=facts.epochs,
            seeds=tuple((seed.seed, seed.error, seed.weights) for seed in facts.seeds),
            mean=noise.interval([seed.error for seed in facts.seeds]),
            teacher=facts.teacher or "",
            folder=str(place),
            lost=tuple((loser.trial, loser.epochs, loser.behind, loser.reason) for loser in facts.lost or ()),
        )
        for place, facts in own.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.trial, each.epochs, each.folder)))


@lru_cache(256)
def _read(file: Path, _changed: int) -> model.Facts:
    """model.json, once for each time it was written."""
    return model.read(file)


def written(folder: Path) -> float:
    """When a study's models last became others; 0 where there are none."""
    try:
        return (folder / FOLDER).stat().st_mtime
    except OSError:
        return 0.0


def by_trial(retrained: Sequence[Retrained]) -> dict[int, list[Retrained]]:
    """Full trainings by the trial's number, the shortest first."""
    found: dict[int, list[Retrained]] = {}
    for each in retrained:
        found.setdefault(each.trial, []).append(each)
    return found
