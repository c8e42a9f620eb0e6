"""Whether the ranges of a space are ones that Optuna and its storage keep as they are written."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from optuna.trial import FixedTrial

PLAIN = (str, int, float, bool, type(None))
"""Choices that JSON, in which the storage keeps them, gives back unchanged."""


class RangeError(ValueError):
    """A range or a choice that a search could not keep as it is written."""


class RangeCheck(FixedTrial):
    """A trial that checks each range it is asked for, and answers with its lower end or its first choice.

    Args:
        params: answers of named parameters, so that a starting trial's branches of the space are checked too.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__(dict(params))
        self._answers = params

    def suggest_float(  # noqa: D102
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        _check_range(name, low, high, step, log)
        answer: float = self._answers.get(name, low)
        return answer

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:  # noqa: D102
        _check_range(name, low, high, step, log)
        answer: int = self._answers.get(name, low)
        return answer

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: D102
        for choice in choices:
            if not isinstance(choice, PLAIN):
                raise RangeError(
                    f"{name!r} has the choice {choice!r}, a {type(choice).__name__}, which the storage does not keep "
                    "as it is; choose among texts, numbers, True, False and None, and look the rest up by them"
                )
        if not choices:
            raise RangeError(f"{name!r} has no choices")
        return self._answers.get(name, choices[0])


def _check_range(name: str, low: float, high: float, step: float | None, log: bool) -> None:
    if low > high:
        raise RangeError(f"{name!r} goes from {low} to {high}; the lower end comes first")
    if log and low <= 0:
        raise RangeError(f"{name!r} has a logarithmic range from {low}; it must begin above 0")
    if step is not None and (step <= 0 or _remainder(low, high, step)):
        raise RangeError(f"{name!r} goes from {low} to {high} in steps of {step}, which do not divide that range")


def _remainder(low: float, high: float, step: float) -> Fraction:
    """As decimals are written: 0.1 divides 0.5 - 0.1."""
    first, last, each = (Fraction(str(number)) for number in (low, high, step))
    return (last - first) % each
