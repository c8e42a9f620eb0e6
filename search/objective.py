"""What a study minimises: a known function of a network's readings and its error."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar, Protocol

from models.readings import Readings

BANDS = (5.0, 7.0, 10.0, 15.0)
"""Upper ends of the course's grade bands, PixelDiff in pixels of the 224 x 224 image."""


@dataclass(frozen=True)
class Reference:
    """A design that others are measured against."""

    name: str  # of the design
    params_m: float  # parameters, millions
    gflops: float  # multiply-adds, thousands of millions
    pixel_diff: float  # pixels of the 224 x 224 image
    score: float  # as it was printed beside them


REFERENCE = Reference("published design", 2.008, 0.3026, 6.153, 285.6)
"""The course's published student design on FreiHAND."""


@dataclass(frozen=True)
class Described:
    """What tables and figures must know of an objective; a study keeps it as its attribute 'objective'."""

    name: str  # what the value is called
    score: str = ""  # what e^value is, in words; empty where the value is no logarithm of a score
    cost: tuple[str, ...] = ("params_m", "gflops")  # names of the readings whose product is the price
    is_error: bool = False  # the value is the error itself
    reference: Reference | None = None  # a design that trials are shown beside; None for none

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def of(cls, attributes: Mapping[str, Any], name: str) -> "Described":
        """Read from a study's attributes.

        Args:
            attributes: the study's own.
            name: what the storage calls the value; studies that keep no description are known by it.
        """
        stored = attributes.get("objective")
        if stored is not None:
            reference = Reference(**stored["reference"]) if stored.get("reference") else None
            return cls(**{**stored, "cost": tuple(stored["cost"]), "reference": reference})
        if name != CourseScore.name:
            return cls(name, is_error=name == ErrorAlone.name)
        # Begun before references were kept: then all that were ranked by the score were hands.
        own = attributes.get("reference", asdict(REFERENCE) if attributes.get("metric") == "pixel_diff" else None)
        return cls(name, CourseScore.score, reference=Reference(**own) if own else None)


class Objective(Protocol):
    """How a trial's readings and error become the value that the study minimises."""

    @property
    def name(self) -> str:
        """What the value is called on every page, the Optuna dashboard's included."""

    def value(self, readings: Readings, error: float) -> float:
        """The value to minimise; `error` is in the task's unit."""

    def attributes(self, readings: Readings, error: float) -> dict[str, float | str | None]:
        """Further results of the same numbers, kept with the trial."""

    def described(self) -> Described:
        """What tables and figures must know of it."""


@dataclass(frozen=True)
class CourseScore:
    """Params [M] x FLOPs [G] x e^PixelDiff, smaller is better; the value is its logarithm.

    ln P + ln F + PixelDiff has the same best trial and never overflows, however bad a network is.

    Attributes:
        reference: a design on the same data that trials are shown beside; None on data that has none.
    """

    reference: Reference | None = REFERENCE

    name: ClassVar[str] = "ln Params[M] + ln FLOPs[G] + PixelDiff[px]"
    score: ClassVar[str] = "Params [M] x FLOPs [G] x e^PixelDiff"

    def value(self, readings: Readings, error: float) -> float:
        """The logarithm of the score."""
        return log_score(readings["params_m"], readings["gflops"], error)

    def attributes(self, readings: Readings, error: float) -> dict[str, float | str | None]:
        """The score itself (None where a float cannot hold it) and the grade band."""
        return {"score": score(self.value(readings, error)), "band": band(error)}

    def described(self) -> Described:
        """A score with bands and, where there is one, a reference."""
        return Described(self.name, self.score, reference=self.reference)


@dataclass(frozen=True)
class ErrorAlone:
    """The task's error as it is, whatever the network costs."""

    name: ClassVar[str] = "error"

    def value(self, readings: Readings, error: float) -> float:  # noqa: ARG002 - an Objective's form
        """The error."""
        return error

    def attributes(self, readings: Readings, error: float) -> dict[str, float | str | None]:  # noqa: ARG002
        """Nothing beyond the error."""
        return {}

    def described(self) -> Described:
        """The error."""
        return Described(self.name, is_error=True)


def log_score(params_m: float, gflops: float, pixel_diff: float) -> float:
    """ln(params_m x gflops x e^pixel_diff).

    Args:
        params_m: parameters in millions, above 0.
        gflops: multiply-adds in thousands of millions, above 0.
        pixel_diff: mean Euclidean distance in pixels of the 224 x 224 image, at least 0.

    Raises:
        ValueError: a number is outside its range or not finite.
    """
    for name, number, positive in (("params", params_m, True), ("flops", gflops, True), ("error", pixel_diff, False)):
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
