"""The goal of a search: the smallest objective among trials whose error, fully trained, is below a limit.

Whatever orders trials asks here: finished ones that are predicted to end below it come first, by their objective, and
the others after them, by how far they miss it. A search thus walks towards its goal until a trial is below it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search.forecast import FEWEST, SMALLEST, forecast
from search.full_length import FullLength

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FAR = 1e6
"""Where one number stands for a trial, those that miss the goal begin here: above every objective."""

FALL = 0.15
"""An error after k of n epochs falls by about (k / n) ^ this, until enough trials say better; over good networks of the
recorded tables the exponent is 0.06 to 0.3."""


@dataclass(frozen=True)
class Goal:
    """What a search wants.

    Attributes:
        under: what the error of a full training must be below, in the task's unit; above 0.
        full: how a trial's error becomes that of its full training.
    """

    under: float
    full: FullLength

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Goal | None:
        """That of a study, by its attributes; None where it has none."""
        under = attributes.get("search", {}).get("under")
        return None if under is None else cls(float(under), FullLength.of(attributes))

    def limit(self, epochs: int) -> float:
        """What a trial must be below after all its epochs to be below the goal after a full training, as predicted."""
        return self.under / self.full.factor(epochs)

    def excess(self, error: float, epochs: int) -> float:
        """ln(error / limit) of a trial's last error: below 0 where it is below the goal; infinite of no number."""
        if math.isnan(error):
            return math.inf
        return math.log(max(error, SMALLEST) / self.limit(epochs))


def order(goal: Goal | None, value: float, error: float, epochs: int) -> tuple[bool, float]:
    """What trials are sorted by, the best first.

    Args:
        goal: None sorts by the value.
        value: of the objective.
        error: after all epochs, or that predicted.
        epochs: of the whole trial.
    """
    excess = -1.0 if goal is None else goal.excess(error, epochs)
    return (False, value) if excess < 0 else (True, excess)


def as_number(goal: Goal | None, value: float, error: float, epochs: int) -> float:
    """The same order as one number: the value, or one above all values."""
    misses, number = order(goal, value, error, epochs)
    return FAR + number if misses else number


class Ends:
    """What trials' errors are heading for, by those that had all their epochs (see search.forecast).

    Args:
        trials: of a study.
    """

    def __init__(self, trials: Iterable[FrozenTrial]) -> None:
        from optuna.trial import TrialState

        self._curves: dict[int, list[Sequence[float]]] = {}
        for trial in trials:
            curve, epochs = trial.user_attrs.get("curve", ()), trial.user_attrs.get("budget")
            if trial.state is TrialState.COMPLETE and len(curve) == epochs:
                self._curves.setdefault(epochs, []).append([row["error"] for row in curve])

    def __call__(self, error: float, epoch: int, epochs: int) -> float:
        """The error after `epochs` epochs of a trial that has this one after `epoch` of them."""
        whole = self._curves.get(epochs, [])
        if epoch >= epochs:
            return error
        if len(whole) < FEWEST:
            return error * math.exp(-FALL * math.log(epochs / epoch))
        return math.exp(forecast([curve[epoch - 1] for curve in whole], [curve[-1] for curve in whole], error).middle)
