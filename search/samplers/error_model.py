"""What a trial's error will be, from all curves so far, and how much better than the best its objective then is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import TrialState

from models.readings import Readings
from search.goal import Goal, order
from search.samplers.gaussian import Array, Gaussian, fitted
from search.samplers.observations import Encoder, Observed, Ranges, rows

if TYPE_CHECKING:
    from search.samplers import KnownCost
    from search.study import Study

FIT, ROWS = 150, 800
"""Rows that a kernel is fitted to, and that errors are predicted from."""

NODES = 16
"""Quantiles of the error's distribution over which the objective is averaged."""


class ErrorModel:
    """A Gaussian process of the logarithm of the error, over parameters, logarithms of the readings and epoch.

    Errors are positive and heavy-tailed. It sees epochs of all trials, stopped and running ones' included; trials in
    training are believed to end as predicted.

    Args:
        study: what is searched.
        settings: what is left out.
        past: trials so far, in their order.
        spaces: ranges of the points that will be asked for.
        first: how many of the trials that are over the kernel is fitted to.
        goal: what the search aims at; None for the smallest value.
    """

    def __init__(
        self,
        study: Study,
        settings: KnownCost,
        past: Sequence[Observed],
        spaces: Sequence[Ranges],
        first: int,
        goal: Goal | None = None,
    ) -> None:
        self._study, self._settings, self._goal = study, settings, goal
        self._limit = math.inf if goal is None or not settings.known_cost else goal.limit(study.epochs)
        names = [reading.name for reading in study.readings] if settings.known_cost else []
        self._encode = Encoder([*(trial.ranges for trial in past), *spaces], names)
        seen = [trial for trial in past if trial.curve or trial.state is TrialState.FAIL]
        kernel = fitted(*self._rows([trial for trial in seen if trial.is_over][:first], FIT))
        self._process = Gaussian(*self._rows(self._near_best(seen), ROWS), kernel)
        waiting = [trial for trial in past if not trial.is_over]
        if waiting:
            self._process.believe(self._ends([(trial.params, trial.readings) for trial in waiting]))
        self._target = self._best(past)

    def _rows(self, trials: Sequence[Observed], most: int) -> tuple[Array, Array]:
        """What is learnt from trials, `most` rows of it; from all of them where too few had all their epochs."""
        x, y = rows(trials, self._encode, self._answer, most, self._settings.every_epoch)
        return (x, y) if len(y) > 1 else rows(trials, self._encode, self._answer, most)

    def _ends(self, points: Sequence[tuple[Mapping[str, Any], Readings]]) -> Array:
        """Rows of points at the end of their training."""
        return np.array([self._encode(params, readings) for params, readings in points])

    def _near_best(self, seen: Sequence[Observed]) -> Sequence[Observed]:
        """Of more trials than the model can hold: the better half of those that it can, and others at random."""
        most = ROWS // 4
        if len(seen) <= most:
            return seen
        ranked = sorted(seen, key=self._order)
        others = ranked[most // 2 :]
        chosen = np.random.default_rng(len(seen)).choice(len(others), most - most // 2, replace=False)
        return [*ranked[: most // 2], *(others[i] for i in sorted(chosen))]

    def _order(self, trial: Observed) -> tuple[bool, float]:
        """What trials are sorted by, the best first."""
        if not trial.curve:
            return True, math.inf
        return order(self._goal, self._value(trial.readings, trial.end), trial.end, self._study.epochs)

    def _answer(self, trial: Observed, error: float) -> float:
        """What is modelled of a trial's error."""
        if not self._settings.known_cost:
            return self._value(trial.readings, error)
        return math.log(max(error, 1e-6)) if self._settings.log_error else error

    def _value(self, readings: Readings, error: float) -> float:
        return self._study.objective.value(readings, error)

    def _errors(self, mean: float, std: float) -> Array:
        """The error's quantiles."""
        answers = mean + std * _quantiles()
        return np.exp(np.clip(answers, -30, 30)) if self._settings.log_error else np.maximum(answers, 0.0)

    def _values(self, readings: Readings, mean: float, std: float) -> Array:
        """The objective at the error's quantiles."""
        if not self._settings.known_cost:
            return mean + std * _quantiles()
        return np.array([self._value(readings, float(error)) for error in self._errors(mean, std)])

    def gains(self, points: Sequence[tuple[Mapping[str, Any], Readings]]) -> Array:
        """Expected improvements, (points,); where there are none, the smallest expected value is the largest.

        With a goal, errors above it gain nothing; until a trial is below it, what is expected to be gained is a smaller
        ln(error), down to the goal.

        Args:
            points: parameters and readings.
        """
        if not points:
            return np.zeros(0)
        gains = []
        for (_, readings), mean, std in zip(points, *self._process.predict(self._ends(points)), strict=True):
            values = self._values(readings, float(mean), float(std))
            better = np.maximum(self._target - values, 0)
            last = values.mean()
            if self._limit < math.inf:
                errors = self._errors(float(mean), float(std))
                nearer = np.maximum(np.log(self._nearest / np.maximum(errors, self._limit)), 0)
                better = better * (errors < self._limit) if self._target < math.inf else nearer
                last = math.log(max(float(errors.mean()) / self._limit, 1.0)) * 1e3 + last
            gains.append(float(better.mean()) - 1e-9 * float(last))
        return np.array(gains)

    def _best(self, past: Sequence[Observed]) -> float:
        """The smallest value of a trial that had all its epochs; before there is one, the smallest predicted.

        With a goal, of one below it; infinite before there is such a trial.
        """
        complete = [trial for trial in past if trial.state is TrialState.COMPLETE and trial.curve]
        ends = [trial.end for trial in complete] or [max(trial.end, 2 * self._limit) for trial in past if trial.curve]
        self._nearest = min(ends, default=math.inf)
        if complete or self._limit < math.inf:
            reached = (t for t in complete if t.curve[-1][1] < self._limit or self._limit == math.inf)
            return min((self._value(trial.readings, trial.curve[-1][1]) for trial in reached), default=math.inf)
        seen = [(trial.params, trial.readings) for trial in past if trial.curve]
        means, _ = self._process.predict(self._ends(seen))
        return min(
            float(self._values(readings, float(mean), 0.0)[0]) for (_, readings), mean in zip(seen, means, strict=True)
        )


@lru_cache(1)
def _quantiles() -> Array:
    from scipy.stats import norm  # type: ignore[import-untyped]

    places: Array = norm.ppf((np.arange(NODES) + 0.5) / NODES)
    return places
