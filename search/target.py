"""What a trial must reach to become a study's best: the one place where a goal besides the objective enters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.readings import Readings
from search.goal import Goal
from search.objective import Objective

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from search.study import Study

SMALLEST, LARGEST = 1e-6, 1e6
"""Errors between which the one to beat is looked for."""

STEPS = 60
"""Bisections: the range shrinks to a billionth of a billionth of its logarithm."""


@dataclass(frozen=True)
class Target:
    """What is to be beaten.

    Attributes:
        value: of the objective; infinity before a trial has had all its epochs.
        error: that a trial must end below whatever it costs; infinity where there is no such goal.
    """

    value: float = math.inf
    error: float = math.inf

    def needed_error(self, objective: Objective, readings: Readings) -> float:
        """The error that a network with these readings must end below; 0 where none is small enough.

        Args:
            objective: its value never falls as the error rises.
            readings: of the network.
        """
        return min(self.error, error_at(objective, readings, self.value))


def target(study: Study, finished: Iterable[tuple[Readings, float]], goal: Goal | None = None) -> Target:
    """What the next trial must beat.

    With a goal, that is the smallest value below it, and the goal; before a trial is below it, the smallest error.

    Args:
        study: whose objective it is.
        finished: readings and last error of each trial that had all its epochs.
        goal: what the search aims at; None for the smallest value.
    """
    limit = math.inf if goal is None else goal.limit(study.epochs)
    ends = list(finished)
    values = [study.objective.value(readings, error) for readings, error in ends if error < limit or goal is None]
    if values or goal is None:
        return Target(min(values, default=math.inf), limit)
    return Target(error=min((error for _, error in ends), default=math.inf))


def ended(study: Study, trials: Iterable[FrozenTrial]) -> list[tuple[Readings, float]]:
    """Readings and last error of those trials that had all their epochs, as `target` takes them."""
    from optuna.trial import TrialState

    names = [reading.name for reading in study.readings]
    return [
        ({name: float(trial.user_attrs[name]) for name in names}, float(trial.user_attrs["curve"][-1]["error"]))
        for trial in trials
        if trial.state is TrialState.COMPLETE
        and trial.user_attrs.get("curve")
        and all(name in trial.user_attrs for name in names)
    ]


def error_at(objective: Objective, readings: Readings, value: float) -> float:
    """The error at which the objective has a value; 0 or infinity where it is above or below it at every error."""
    if objective.value(readings, SMALLEST) >= value:
        return 0.0
    if objective.value(readings, LARGEST) < value:
        return math.inf
    low, high = math.log(SMALLEST), math.log(LARGEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if objective.value(readings, math.exp(middle)) < value:
            low = middle
        else:
            high = middle
    return math.exp(low)
