"""The error to end below against objectives that can be solved by hand."""

import math
from dataclasses import dataclass
from typing import Any

import pytest

from models.readings import Readings
from search.objective import CourseScore, ErrorAlone
from search.study import Study
from search.target import Target, error_at, target

READINGS = {"params_m": 0.5, "gflops": 0.02}


@dataclass(frozen=True)
class Product(ErrorAlone):
    """Parameters times the error squared."""

    def value(self, readings: Readings, error: float) -> float:
        return readings["params_m"] * error**2


def space(trial: Any, task: Any) -> Any:
    raise NotImplementedError


def test_the_error_that_gives_a_value() -> None:
    price = math.log(0.5 * 0.02)
    assert error_at(CourseScore(), READINGS, price + 6.5) == pytest.approx(6.5, rel=1e-9)
    assert error_at(ErrorAlone(), READINGS, 3.25) == pytest.approx(3.25, rel=1e-9)
    assert error_at(Product(), READINGS, 8.0) == pytest.approx(4.0, rel=1e-9)


def test_a_network_too_dear_at_any_error_needs_none_and_one_before_any_result_may_have_any() -> None:
    assert error_at(CourseScore(), {"params_m": 100.0, "gflops": 1.0}, 4.0) == 0.0
    assert Target().needed_error(CourseScore(), READINGS) == math.inf
    assert Target(error=5.0).needed_error(CourseScore(), READINGS) == 5.0


def test_the_best_of_those_that_had_all_their_epochs() -> None:
    study = Study(None, space, trials=1, epochs=1)  # type: ignore[arg-type]
    assert target(study, []) == Target()
    dear = {"params_m": 5.0, "gflops": 0.2}
    found = target(study, [(READINGS, 7.0), (dear, 6.0)])
    assert found.value == pytest.approx(math.log(0.01) + 7.0)
    # A hundred times the price is ln 100 = 4.6 px.
    assert found.needed_error(CourseScore(), dear) == pytest.approx(7.0 - math.log(100.0))
