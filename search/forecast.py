"""Where an error ends, from trials that had all their epochs: no parameters, and no model of a curve's form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

SMALLEST = 1e-6
"""Smaller errors count as this one: logarithms are taken."""

FEWEST = 3
"""Finished trials that a forecast needs."""


@dataclass(frozen=True)
class Ending:
    """What is known of a last error: its logarithm has Student's t distribution.

    Attributes:
        middle: of the logarithm.
        scale: of the logarithm, at least 0.
        freedom: degrees of freedom, at least 1.
    """

    middle: float
    scale: float
    freedom: float

    def probability_below(self, error: float) -> float:
        """That the last error is below `error`, which is at least 0 and may be infinite."""
        from scipy.special import stdtr  # type: ignore[import-untyped]

        if error <= 0 or error == math.inf:
            return float(error > 0)
        return float(stdtr(self.freedom, (math.log(error) - self.middle) / max(self.scale, 1e-9)))

    def quantile(self, probability: float) -> float:
        """The error that the last one is below with a probability, 0 to 1."""
        from scipy.special import stdtrit

        return math.exp(self.middle + self.scale * float(stdtrit(self.freedom, probability)))


def forecast(then: Sequence[float], last: Sequence[float], now: float) -> Ending:
    """How a trial will end.

    What is left to gain, ln(last error / error now), is regressed over finished trials on ln(error now). The slope is
    held near 0 by as much as one trial's worth of evidence, since finished trials are few at first.

    Args:
        then: errors of finished trials after as many epochs as the trial has had; at least `FEWEST`.
        last: their errors after all epochs.
        now: the trial's error.
    """
    begin, gain, count = _logs(then), _logs(last) - _logs(then), len(then)
    x, y, away = begin - begin.mean(), gain - gain.mean(), float(_logs([now])[0] - begin.mean())
    weight = float(x @ x) * (1 + 1 / count)
    if weight < 1e-12:  # all had the same error, as good as
        x, weight = np.zeros(count), math.inf
    slope = float(x @ y) / weight
    rest = y - slope * x
    freedom = max(1.0, count - 1 - float(x @ x) / weight)
    variance = float(rest @ rest) / freedom * (1 + 1 / count + away**2 / weight)
    return Ending(float(_logs([now])[0] + gain.mean()) + slope * away, math.sqrt(variance), freedom)


def of_any(last: Sequence[float]) -> Ending:
    """How a trial of which nothing is known will end.

    Args:
        last: errors that finished trials ended with; at least `FEWEST`.
    """
    logs = _logs(last)
    return Ending(float(logs.mean()), float(logs.std(ddof=1)) * math.sqrt(1 + 1 / len(logs)), len(logs) - 1)


def _logs(errors: Sequence[float]) -> Array:
    return np.log(np.maximum(np.array(errors, np.float64), SMALLEST))
