"""Which of a search's trials are better: the one order for its schedulers, and for whose weights are kept."""

import math
from collections.abc import Iterator, Mapping

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.goal import Ends, Goal, as_number, order


class Ranking:
    """A study's trials in the order of its goal.

    Args:
        optuna_study: the study, described.
        metric: under which each trial keeps its error.

    Attributes:
        goal: what the search aims at; None where it is the smallest value.
    """

    def __init__(self, optuna_study: optuna.Study, metric: str) -> None:
        self._study, self._metric = optuna_study, metric
        self.goal = Goal.of(optuna_study.user_attrs)
        self._ends, self._seen = Ends(()), 0

    def number(self, value: float, error: float, epoch: int, epochs: int) -> float:
        """What schedulers compare of a trial: its value, where it heads for the goal.

        Others have a number above all values, which grows with how far they are predicted to miss it.

        Args:
            value: of the objective after `epoch` of its `epochs`.
            error: there.
            epoch: the last one.
            epochs: of the whole trial.
        """
        if self.goal is None:
            return value
        return as_number(self.goal, value, self._heading()(error, epoch, epochs), epochs)

    def _heading(self) -> Ends:
        complete = self._complete()
        if self._seen != len(complete):
            self._ends, self._seen = Ends(complete), len(complete)
        return self._ends

    def _complete(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))

    def _order(self, trial: FrozenTrial) -> tuple[bool, float]:
        kept = trial.user_attrs
        return order(self.goal, trial.values[0], kept.get(self._metric, math.nan), kept["budget"])

    def enters(self, value: float, error: float, epochs: int, count: int) -> bool:
        """Whether a trial that had all its epochs would be among the best `count` finished ones."""
        own = order(self.goal, value, error, epochs)
        return len([trial for trial in self._complete() if self._order(trial) <= own]) < count

    def best(self, count: int) -> list[int]:
        """The numbers of the best `count` finished trials, best first."""
        return [trial.number for trial in sorted(self._complete(), key=self._order)[:count]]

    def past(self) -> Iterator[tuple[int, int, Mapping[int, float]]]:
        """Every trained trial that is over: number, length of its training, and by epoch what schedulers compare."""
        for trial in self._study.get_trials(deepcopy=False):
            if is_finished(trial) and trial.intermediate_values:
                epochs, errors = trial.user_attrs["budget"], errors_of(trial)
                numbers = {
                    epoch: self.number(value, errors.get(epoch, math.nan), epoch, epochs)
                    for epoch, value in trial.intermediate_values.items()
                }
                yield trial.number, epochs, numbers


def errors_of(trial: FrozenTrial) -> dict[int, float]:
    """A trial's errors by epoch."""
    return {int(row["epoch"]): row["error"] for row in trial.user_attrs.get("curve", ())}


def is_finished(trial: FrozenTrial) -> bool:
    """Whether a trial counts as one of the study's: over, and not refused before training."""
    return trial.state.is_finished() and not trial.user_attrs.get("refused")
