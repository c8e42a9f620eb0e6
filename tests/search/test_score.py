import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.objective import CourseScore, band, log_score, score


@pytest.mark.parametrize(
    ("params_m", "gflops", "pixel_diff", "published"),
    [(4.152448, 1.031351216, 5.108583596827928, 708.5009779), (2.008, 0.3026, 6.153, 285.6)],
)
def test_published_scores(params_m: float, gflops: float, pixel_diff: float, published: float) -> None:
    assert score(log_score(params_m, gflops, pixel_diff)) == pytest.approx(published, rel=5e-4)
    assert score(log_score(4.152448, 1.031351216, 5.108583596827928)) == pytest.approx(708.5009779, abs=1e-7)


@given(st.floats(1e-3, 1e3), st.floats(1e-4, 1e3), st.floats(0, 300))
def test_log_orders_as_the_product_does(params_m: float, gflops: float, pixel_diff: float) -> None:
    assert math.isclose(
        math.exp(log_score(params_m, gflops, pixel_diff)), params_m * gflops * math.exp(pixel_diff), rel_tol=1e-9
    )


def test_a_hopeless_network_does_not_overflow() -> None:
    value = CourseScore().value({"params_m": 10.0, "gflops": 1.0}, 2000.0)
    assert value == pytest.approx(2000 + math.log(10))
    assert CourseScore().attributes({"params_m": 10.0, "gflops": 1.0}, 2000.0) == {"score": None, "band": ">= 15 px"}


@pytest.mark.parametrize(
    ("pixel_diff", "expected"),
    [
        (0, "< 5 px"),
        (4.999, "< 5 px"),
        (5, "5 to 7 px"),
        (7, "7 to 10 px"),
        (10, "10 to 15 px"),
        (14.99, "10 to 15 px"),
        (15, ">= 15 px"),
    ],
)
def test_bands(pixel_diff: float, expected: str) -> None:
    assert band(pixel_diff) == expected


@pytest.mark.parametrize("numbers", [(0, 1, 1), (1, -1, 1), (1, 1, -0.1), (1, 1, math.nan), (math.inf, 1, 1)])
def test_impossible_numbers_are_refused(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must be a finite number"):
        log_score(*numbers)
