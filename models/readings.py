"""Readings: what is known of a network before it is trained, each with a name and a unit.

To add one, write a file with a `Reading` in it and name it in a study's `readings`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.plan import Architecture

Readings = Mapping[str, float]
"""A network's readings by their names."""


@dataclass(frozen=True)
class Reading:
    """A number that follows from the architecture alone."""

    name: str  # under which each trial keeps it, e.g. 'params_m'
    title: str  # as tables and axes call it, e.g. 'Params'
    unit: str  # e.g. 'M'; empty for none
    measure: Callable[["Architecture"], float]  # of an architecture; above 0
    # the same in no time, where the architecture knows it by a formula; NaN where it does not
    formula: Callable[["Architecture"], float] = lambda _: math.nan
    timed: bool = False  # measured by a clock, so that no trial may hold the cores meanwhile


def _params(arch: "Architecture") -> float:
    from models.cost import cost

    return cost(arch).params / 1e6


def _flops(arch: "Architecture") -> float:
    from models.cost import cost

    return cost(arch).flops / 1e9


def _total(arch: "Architecture", place: int) -> float:
    totals = getattr(arch, "totals", None)
    return float(totals()[place]) if totals else math.nan


PARAMS = Reading("params_m", "Params", "M", _params, lambda arch: _total(arch, 0) / 1e6)
"""Trainable numbers of the deployed network, millions."""

FLOPS = Reading("gflops", "FLOPs", "G", _flops, lambda arch: _total(arch, 1) / 1e9)
"""Its multiply-adds for one image, thousands of millions, as fvcore counts them."""


def read(readings: Iterable[Reading], arch: "Architecture") -> Readings:
    """An architecture's readings by their names."""
    return {reading.name: reading.measure(arch) for reading in readings}
