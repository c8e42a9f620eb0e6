"""Candidates that the search cannot tell apart: one full training each, the losers stopped early, the winner kept.

OUT/STUDY/retrain/top-NNNNNN-NNNNNN-EPOCHS/   storage, states, answers of the candidates' trainings
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from data.errors import UserError
from search.after import model
from search.after.training import EMA, FixedTraining, Judged, SearchedTrial
from search.config_record import digest
from search.schedulers import Asha
from search.variant import PARAMETER

if TYPE_CHECKING:
    from pathlib import Path

    import optuna
    from optuna.trial import FrozenTrial

    from search.results.leaderboard import Entry
    from search.results.view import View
    from search.study import Study

FIRST_RUNG = 4
"""The first rung comes after one in so many epochs of a full training, the next ones after twice as many each."""

CHOSEN = "top "
"""Begins the study's attributes that say which candidates were chosen, so that the same command goes on with them."""


def inseparable(view: View, study: Study, most: int) -> list[Entry]:
    """The best finished trial and those that might be better in full: at most `most`, of different configurations.

    Each one's error may be anywhere in an interval of its own: what is not known of the exponent is the same for all.

    Args:
        view: the search.
        study: whose objective it is.
        most: at least 1.
    """
    finished = [entry for entry in view.by_state["finished"] if entry.error is not None and entry.error > 0]
    if not finished:
        return []
    best, under = finished[0], view.goal.under if view.goal is not None else math.inf
    high = view.full_length.between_networks(best.error or 0.0, best.budget or best.epochs).high
    bar = study.objective.value(best.readings, high) if high < under else math.inf
    chosen, known = [], set()
    for entry in finished:
        low = view.full_length.between_networks(entry.error or 0.0, entry.budget or entry.epochs).low
        name = digest(entry.config) or str(entry.params)
        if name not in known and low < under and study.objective.value(entry.readings, low) <= bar:
            known.add(name)
            chosen.append(entry)
    return (chosen or [best])[:most]


def candidates(
    recorded: optuna.Study, view: View, study: Study, epochs: int, most: int, under: float | None
) -> list[Entry]:
    """`inseparable`, as first chosen: a model that is kept meanwhile changes predictions, a new trial the choice.

    Args:
        recorded: the search, in which the choice is kept.
        view: the same, of the trials that may be chosen.
        study: whose objective it is.
        epochs: of a full training.
        most: candidates.
        under: the limit that the command gave.
    """
    key = f"{CHOSEN}{most} {epochs} {under}"
    over = len(view.by_state["finished"])
    kept = recorded.user_attrs.get(key)
    if kept is not None and kept["finished"] == over:
        return [view.by_number[number] for number in kept["trials"]]
    chosen = inseparable(view, study, most)
    recorded.set_user_attr(key, {"finished": over, "trials": [entry.number for entry in chosen]})
    return chosen


def race(
    sources: Sequence[SearchedTrial], epochs: int, teacher: Path | None = None, teacher_study: str | None = None
) -> FixedTraining:
    """One training of each candidate with the same seed; a rung rule stops those that fall behind.

    Args:
        sources: the candidates, the best first.
        epochs: of a full training.
        teacher: folder of a model to learn from; None for none.
        teacher_study: its study, by name or file; None for the recorded name.
    """
    first = sources[0]
    changes: dict[str, Any] = {}
    for source in sources:
        config = source.config
        training = replace(config.training, ema=config.training.ema or EMA)
        changes[_name(source.trial)] = {"arch": config.arch, "training": training, "augment": config.augment}
    numbers = "-".join(f"{source.trial.number:06d}" for source in sources)
    by = f"-{model.read(teacher / model.FACTS).weights_sha256[:8]}" if teacher is not None else ""
    folder = first.folder / "retrain" / f"top-{numbers}-{epochs}{by}"
    rule = Asha(grace=max(1, math.ceil(epochs / FIRST_RUNG)), reduction=2)
    return FixedTraining(
        first,
        folder,
        epochs,
        purpose=f"top {numbers}",
        variants=changes,
        teacher=teacher,
        teacher_study=teacher_study,
        scheduler=rule,
    )


def _name(trial: Entry) -> str:
    return f"trial {trial.number}"


def winner(training: FixedTraining) -> tuple[int, Judged, tuple[model.Loser, ...]]:
    """The trial of the best candidate, its training as judged, and by what the others lost.

    The best is the one of the smallest objective whose error is below the study's goal, if it has one.

    Raises:
        UserError: no candidate came to an end.
    """
    order = training.ledger.best(1)
    if not order:
        raise UserError("no candidate came to an end; name a trial with --trial.")
    trials = training.trials()
    won = trials[order[0]]
    (judged,) = training.judge(training.source.study.task, order)
    return _number(won), judged, tuple(_lost(trial, won) for trial in trials.values() if trial.number != won.number)


def _number(trial: FrozenTrial) -> int:
    """The candidate's number in the search."""
    return int(str(trial.params[PARAMETER]).removeprefix("trial "))


def _lost(trial: FrozenTrial, won: FrozenTrial) -> model.Loser:
    """A candidate beside the winner after the same epoch."""
    steps = trial.intermediate_values
    if not steps:
        return model.Loser(_number(trial), 0, None, None, str(trial.user_attrs.get("failed", ""))[:200])
    epoch = max(steps)
    behind = steps[epoch] - won.intermediate_values[epoch]
    error = float(trial.user_attrs["curve"][-1]["error"])
    finite = math.isfinite(behind) and math.isfinite(error)
    reason = str(trial.user_attrs.get("failed", ""))[:200]
    return model.Loser(_number(trial), epoch, error if finite else None, behind if finite else None, reason)
