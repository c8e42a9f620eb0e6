"""Whether the ranges of a space are ones that Optuna and its storage keep as they are written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import FixedTrial

from search.format import range_text

if TYPE_CHECKING:
    from search.study import Study

BRANCHES = 200
"""How many branches of a space are looked at, at the most: a space is a function, and only its answers tell."""


class RangeError(ValueError):
    """A range or a choice that a search could not keep as it is written."""


class RangeCheck(FixedTrial):
    """A trial that checks each range it is asked for, and answers with its lower end or its first choice.

    Args:
        params: answers of named parameters, so that other branches of the space are checked too.
        known: ranges that other branches were asked for, by name, to compare with; this trial adds its own.

    Attributes:
        distributions: the ranges that it was asked for, by name.
    """

    def __init__(self, params: Mapping[str, Any], known: dict[str, BaseDistribution] | None = None) -> None:
        super().__init__(dict(params))
        self._known = {} if known is None else known

    def suggest_float(  # noqa: D102
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        _check_range(name, low, high, step, log)
        return float(self._answer(name, FloatDistribution(low, high, log=log, step=step), low))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:  # noqa: D102
        _check_range(name, low, high, step, log)
        return int(self._answer(name, IntDistribution(low, high, log=log, step=step), low))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: D102
        _check_choices(name, list(choices))
        return self._answer(name, CategoricalDistribution(choices), next(iter(choices)))

    def _answer(self, name: str, distribution: BaseDistribution, otherwise: Any) -> Any:
        before = self._known.setdefault(name, distribution)
        if not compatible(before, distribution):
            raise RangeError(
                f"{name!r} has {described(distribution)} in one branch and {described(before)} in another, and the "
                "storage keeps one for a parameter; give each its own name"
            )
        self._distributions[name] = distribution
        self._suggested_params[name] = answer = self._params.get(name, otherwise)
        return answer


def asked(study: Study, params: Mapping[str, Any], known: dict[str, BaseDistribution] | None = None) -> RangeCheck:
    """What the space asks a trial of these parameters for; lower ends stand in for those that it lacks.

    Raises:
        RangeError: it asks for what could not be kept.
    """
    trial = RangeCheck(params, known)
    try:
        study.space(trial, study.task)
    except RangeError:
        raise
    except Exception:  # noqa: BLE001, S110 - lower ends alone need not make a network; what was asked until then counts
        pass
    return trial


def branches(study: Study) -> Iterator[RangeCheck]:
    """The branches of a space as far as they can be told: each choice and each end, alone and in named trials.

    What a branch asks for in addition is followed in turn, up to BRANCHES trials in all.

    Raises:
        RangeError: one asks for what could not be kept.
    """
    waiting: list[dict[str, Any]] = [
        {},
        *(dict(params) for params in (*study.starts.values(), *study.published.values())),
    ]
    seen: set[str] = set()
    known: dict[str, BaseDistribution] = {}
    for _ in range(BRANCHES):
        if not waiting:
            return
        params = waiting.pop(0)
        trial = asked(study, params, known)
        yield trial
        for name, distribution in trial.distributions.items():
            for answer in _ends(distribution):
                other = {**params, name: answer}
                if name not in params and repr((name, answer)) not in seen:
                    seen.add(repr((name, answer)))
                    waiting.append(other)


def described(distribution: BaseDistribution) -> str:
    """A range in words that tell any two apart that are not compatible."""
    kind = {IntDistribution: ", whole", FloatDistribution: ""}.get(type(distribution), "")
    return range_text(distribution) + kind + (", logarithmic" if getattr(distribution, "log", False) else "")


def compatible(before: BaseDistribution, now: BaseDistribution) -> bool:
    """Whether Optuna can hold both for one parameter of a study: numbers may have other ends, choices stay."""
    try:
        check_distribution_compatibility(before, now)
    except ValueError:
        return False
    return True


def _ends(distribution: BaseDistribution) -> Sequence[Any]:
    """The answers that a branch may depend on: of a number its ends."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    return getattr(distribution, "low", 0), getattr(distribution, "high", 0)


def _check_range(name: str, low: float, high: float, step: float | None, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RangeError(f"{name!r} goes from {low} to {high}; both ends must be finite")
    if low > high:
        raise RangeError(f"{name!r} goes from {low} to {high}; the lower end comes first")
    if log and low <= 0:
        raise RangeError(f"{name!r} has a logarithmic range from {low}; it must begin above 0")
    if log and step not in (None, 1):
        raise RangeError(f"{name!r} has a logarithmic range in steps of {step}; it must be one of the two")
    if step is not None and (step <= 0 or _remainder(low, high, step)):
        raise RangeError(f"{name!r} goes from {low} to {high} in steps of {step}, which do not divide that range")


def _remainder(low: float, high: float, step: float) -> Fraction:
    """As decimals are written: 0.1 divides 0.5 - 0.1."""
    first, last, each = (Fraction(str(number)) for number in (low, high, step))
    return (last - first) % each


def _check_choices(name: str, choices: Sequence[Any]) -> None:
    if not choices:
        raise RangeError(f"{name!r} has no choices")
    for place, choice in enumerate(choices):
        if not kept(choice):
            raise RangeError(
                f"{name!r} has the choice {choice!r}, a {type(choice).__name__}, which the storage does not keep "
                "as it is; choose among texts, numbers, True, False and None, and look the rest up by them"
            )
        for before in choices[:place]:
            if choice == before:
                raise RangeError(
                    f"{name!r} has the choices {before!r} and {choice!r}, which are equal and cannot be told apart"
                )


def kept(value: Any) -> bool:
    """Whether the storage, which keeps JSON, gives a value back as it was: equal, and of its type.

    A number of numpy's that is a float comes back as an equal float.
    """
    if not isinstance(value, str | int | float | bool | None):
        return False
    again = json.loads(json.dumps(value))
    return bool(again == value) and (type(again) is type(value) or isinstance(value, float))
