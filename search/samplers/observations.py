"""What a search has seen of its trials, as rows of numbers: parameters, readings and epoch, and the error there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from models.readings import Reading, Readings
from search.goal import Ends
from search.samplers.candidates import scaled
from search.samplers.gaussian import Array

Ranges = Mapping[str, BaseDistribution]

WORST = 0.9
"""A trial that failed counts as this quantile of the errors that trials ended with."""


@dataclass(frozen=True)
class Observed:
    """A trial whose price is known.

    Attributes:
        number: of the trial.
        params: what was sampled.
        ranges: from which.
        readings: all of the study's.
        curve: (part of the training, 0 to 1 on a logarithmic scale; error) of each epoch that was judged, ascending.
        state: COMPLETE, PRUNED (stopped early), FAIL, or still to come.
        config: its record; None in a study begun before these were kept.
        end: the error that it had last, or, where that is asked for, that it is predicted to end with; NaN of none.
    """

    number: int
    params: Mapping[str, Any]
    ranges: Ranges
    readings: Readings
    curve: Sequence[tuple[float, float]]
    state: TrialState
    config: Mapping[str, Any] | None
    end: float = math.nan

    @property
    def is_over(self) -> bool:
        """Whether it was trained as far as it will be."""
        return self.state.is_finished()


def observed(trial: FrozenTrial, readings: Sequence[Reading], ends: Ends | None = None) -> Observed | None:
    """A trial as it stands; None where its price is not known, or it was refused.

    Args:
        trial: of the study.
        readings: the study's.
        ends: predicts where it ends; None takes its last error for that.
    """
    stored = trial.user_attrs
    if stored.get("refused") or any(reading.name not in stored for reading in readings):
        return None
    prices = {reading.name: float(stored[reading.name]) for reading in readings}
    length = math.log(max(2, stored.get("budget", 2)))
    curve = [
        (min(math.log(row["epoch"]) / length, 1.0) if stored["budget"] > 1 else 1.0, float(row["error"]))
        for row in stored.get("curve", ())
        if math.isfinite(row["error"])
    ]
    end = curve[-1][1] if curve else math.nan
    if ends is not None and curve:
        last = next(row for row in reversed(stored["curve"]) if math.isfinite(row["error"]))
        end = ends(last["error"], int(last["epoch"]), stored["budget"])
    config = stored.get("config")
    return Observed(trial.number, trial.params, trial.distributions, prices, curve, trial.state, config, end)


class Encoder:
    """Turns parameters, readings and a part of the training into a row of numbers, about 0 to 1 each.

    A number, and a choice among numbers, is a column; another choice is a column for each of what may be chosen. What a
    branch of the space does not ask for lies in the middle.

    Args:
        spaces: ranges of all that is to be encoded; of a name's ranges the last holds.
        readings: names of those that are columns, too.
    """

    def __init__(self, spaces: Sequence[Ranges], readings: Sequence[str]) -> None:
        self._readings = readings
        self._columns: dict[str, Callable[[Any], list[float]]] = {}
        self._absent: dict[str, list[float]] = {}
        merged: dict[str, BaseDistribution] = {}
        for space in spaces:
            merged.update(space)
        for name in sorted(merged):
            self._columns[name], self._absent[name] = _column(merged[name])

    def __call__(self, params: Mapping[str, Any], readings: Readings, part: float = 1.0) -> list[float]:
        """A row."""
        row: list[float] = []
        for name, column in self._columns.items():
            row += column(params[name]) if name in params else self._absent[name]
        row += [math.log(readings[name]) / 4 for name in self._readings]
        row.append(part)
        return row


def _column(distribution: Any) -> tuple[Callable[[Any], list[float]], list[float]]:
    """How a value is encoded, and what stands for none."""
    if not isinstance(distribution, CategoricalDistribution):
        return lambda value: [scaled(value, distribution)], [0.5]
    choices = distribution.choices
    if all(isinstance(choice, (int, float)) and not isinstance(choice, bool) for choice in choices):
        last = max(1, len(choices) - 1)
        ranks = {choice: [place / last] for place, choice in enumerate(sorted(choices))}  # type: ignore[type-var]
        return lambda value: ranks.get(value, [0.5]), [0.5]
    none = [0.0] * len(choices)
    hot = {
        str(choice): [0.7 * (other == place) for other in range(len(choices))] for place, choice in enumerate(choices)
    }
    return lambda value: hot.get(str(value), none), none


def rows(
    trials: Sequence[Observed],
    encode: Encoder,
    answer: Callable[[Observed, float], float],
    most: int,
    every_epoch: bool = True,
) -> tuple[Array, Array]:
    """What is learnt from: at most (most, columns) of inputs and (most,) of answers, chosen at random.

    Of a curve there are the epochs 1, 2, 4, 8, ... and the last. A trial that failed stands as a bad one at its end.

    Args:
        trials: with curves, or failed.
        encode: makes rows.
        answer: of a trial and an error.
        most: rows.
        every_epoch: False leaves out all but the ends of trials that had all their epochs.
    """
    seen: list[tuple[Observed, float, float]] = []
    ends = [trial.curve[-1][1] for trial in trials if trial.curve]
    worst = float(np.quantile(ends, WORST)) if ends else math.inf
    for trial in trials:
        curve = list(trial.curve)
        if trial.state is TrialState.FAIL and ends:
            curve.append((1.0, max([worst, *(error for _, error in curve[-1:])])))
        kept = {len(curve) - 1, *(2**k - 1 for k in range(len(curve).bit_length()))} if curve else set()
        seen += [(trial, *curve[place]) for place in sorted(kept) if every_epoch or curve[place][0] == 1.0]
    chosen = [seen[place] for place in np.random.default_rng(len(seen)).permutation(len(seen))[:most]]
    inputs = [[*encode(trial.params, trial.readings)[:-1], part] for trial, part, _ in chosen]
    return np.array(inputs), np.array([answer(trial, error) for trial, _, error in chosen])
