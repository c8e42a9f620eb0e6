"""What a study minimises: the price of a network and its error, in one number."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Protocol

BANDS = (5.0, 7.0, 10.0, 15.0)
"""Upper ends of the course's grade bands, PixelDiff in pixels of the 224 x 224 image."""


@dataclass(frozen=True)
class Reference:
    """A design that others are measured against.

    Attributes:
        name: of the design.
        params_m: parameters, millions.
        gflops: multiply-adds, thousands of millions.
        pixel_diff: pixels of the 224 x 224 image.
        score: as it was printed beside them.
    """

    name: str
    params_m: float
    gflops: float
    pixel_diff: float
    score: float


REFERENCE = Reference("published design", 2.008, 0.3026, 6.153, 285.6)
"""The course's published student design on FreiHAND."""


class Objective(Protocol):
    """How a trial's price and error become the value that the study minimises."""

    @property
    def name(self) -> str:
        """What the value is called on every page, the Optuna dashboard's included."""

    def value(self, params: int, flops: int, error: float) -> float:
        """The value to minimise; `error` is in the task's unit."""

    def attributes(self, params: int, flops: int, error: float) -> dict[str, float | str | None]:
        """Further readings of the same three numbers, kept with the trial."""


@dataclass(frozen=True)
class CourseScore:
    """Params [M] x FLOPs [G] x e^PixelDiff, smaller is better; the value is its logarithm.

    ln P + ln F + PixelDiff has the same best trial and never overflows, however bad a network is.

    Attributes:
        reference: a design on the same data that trials are shown beside; None on data that has none.
    """

    reference: Reference | None = REFERENCE

    name: ClassVar[str] = "ln Params[M] + ln FLOPs[G] + PixelDiff[px]"

    def value(self, params: int, flops: int, error: float) -> float:
        """The logarithm of the score of a network of `params` parameters and `flops` multiply-adds."""
        return log_score(params / 1e6, flops / 1e9, error)

    def attributes(self, params: int, flops: int, error: float) -> dict[str, float | str | None]:
        """The score itself (None where a float cannot hold it) and the grade band."""
        return {"score": score(self.value(params, flops, error)), "band": band(error)}


@dataclass(frozen=True)
class ErrorAlone:
    """The task's error as it is, whatever the network costs."""

    name: ClassVar[str] = "error"

    def value(self, params: int, flops: int, error: float) -> float:  # noqa: ARG002 - an Objective's form
        """The error."""
        return error

    def attributes(self, params: int, flops: int, error: float) -> dict[str, float | str | None]:  # noqa: ARG002
        """Nothing beyond the error."""
        return {}


def log_score(params_m: float, gflops: float, pixel_diff: float) -> float:
    """ln(params_m x gflops x e^pixel_diff).

    Args:
        params_m: parameters in millions, above 0.
        gflops: multiply-adds in thousands of millions, above 0.
        pixel_diff: mean Euclidean distance in pixels of the 224 x 224 image, at least 0.

    Raises:
        ValueError: a number is outside its range or not finite.
    """
    for name, number, positive in (
        ("params", params_m, True),
        ("flops", gflops, True),
        ("error", pixel_diff, False),
    ):
        if not math.isfinite(number) or number < 0 or (positive and number == 0):
            raise ValueError(f"{name} must be a finite number {'above' if positive else 'of at least'} 0, not {number}")
    return math.log(params_m) + math.log(gflops) + pixel_diff


def score(log: float) -> float | None:
    """e^log, or None where that is more than a float holds (above about e^709)."""
    try:
        return math.exp(log)
    except OverflowError:
        return None


def band(pixel_diff: float) -> str:
    """The grade band of an error in pixels: '< 5 px', '5 to 7 px', ... , '>= 15 px'."""
    if pixel_diff < BANDS[0]:
        return f"< {BANDS[0]:g} px"
    for low, high in pairwise(BANDS):
        if pixel_diff < high:
            return f"{low:g} to {high:g} px"
    return f">= {BANDS[-1]:g} px"
