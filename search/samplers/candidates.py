"""Points of a define-by-run space, drawn without a storage: the space's own function says what a point has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial

STEP = 0.15
"""Standard deviation of a small step, as a part of a range."""

_float = lru_cache(4096)(FloatDistribution)
_int = lru_cache(4096)(IntDistribution)


@lru_cache(4096)
def _categorical(choices: tuple[Any, ...], kinds: tuple[type, ...]) -> CategoricalDistribution:
    del kinds  # True and 1 are equal, and other choices
    return CategoricalDistribution(choices)


class DrawnTrial(FixedTrial):
    """A trial that draws what the space asks for: anywhere, near another trial, or at given places.

    Args:
        rng: what is drawn with.
        fixed: values that are as they are.
        near: values to keep, each with probability 1 - `change`; a number that changes moves by a small step.
        change: probability, 0 to 1.
        places: where in its range each parameter lies, 0 to 1, in the order in which they are asked for; what comes
            after them is drawn.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        fixed: Mapping[str, Any],
        near: Mapping[str, Any] | None = None,
        change: float = 1.0,
        places: Iterable[float] = (),
    ) -> None:
        super().__init__({})
        self._rng, self._fixed, self._near, self._change = rng, fixed, near or {}, change
        self._places = iter(places)
        self._drawn: dict[str, Any] = {}
        self._ranges: dict[str, BaseDistribution] = {}

    @property
    def params(self) -> dict[str, Any]:
        """What was drawn, by name."""
        return self._drawn

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """And the ranges that the space gave."""
        return self._ranges

    def suggest_float(  # noqa: D102
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._suggest(name, _float(float(low), float(high), log, step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:  # noqa: D102
        return int(self._suggest(name, _int(low, high, log, step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: D102
        return self._suggest(name, _categorical(tuple(choices), tuple(map(type, choices))))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name not in self._drawn:
            self._drawn[name], self._ranges[name] = self._value(name, distribution), distribution
        return self._drawn[name]

    def _value(self, name: str, distribution: Any) -> Any:
        if name in self._fixed:
            return self._fixed[name]
        near = self._near.get(name)
        if near is not None and self._rng.random() >= self._change:
            return near
        place = next(self._places, None)
        if place is None:
            place = self._rng.random()
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[int(place * len(distribution.choices))]
        if near is not None:
            place = min(max(scaled(near, distribution) + STEP * self._rng.normal(), 0.0), 1.0)
        return unscaled(place, distribution)


def scaled(value: float, distribution: Any) -> float:
    """A number's place in its range, 0 to 1."""
    low, high = distribution.low, distribution.high
    if low == high:
        return 0.5
    if distribution.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return float((value - low) / (high - low))


def unscaled(place: float, distribution: Any) -> float:
    """The number at a place of a range, 0 to 1; each step of a range has as much of it as any other."""
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
    elif step is None:
        value = low + place * (high - low)
    else:
        count = round((high - low) / step)
        value = low + min(int(place * (count + 1)), count) * step
    if isinstance(distribution, IntDistribution):
        return int(min(max(round(value), low), high))
    return float(min(max(value if step is None else round(value, 12), low), high))
