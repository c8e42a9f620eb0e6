"""The best of each grade band against a search by hand, and the shell command against a shell."""

import math
from typing import Any

import numpy as np
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.objective import BANDS, CourseScore, band
from search.results.bands import LABELS, best_of_bands
from search.results.view import View


def trial(number: int, error: float, price: float, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    kept: dict[str, Any] = {"params_m": price, "gflops": 1.0, "pixel_diff": error, "budget": 9}
    value = math.log(price) + error
    made = create_trial(
        state=state,
        value=value if state is TrialState.COMPLETE else None,
        user_attrs=kept,
        intermediate_values={9: value},
    )
    made.number = number
    return made


def view(*trials: FrozenTrial, objective: str = CourseScore.name) -> View:
    return View.of("s", objective, {"metric": "pixel_diff", "unit": "px"}, trials)


def test_each_band_has_its_smallest_value() -> None:
    draw = np.random.default_rng(0)
    shape = [(float(draw.uniform(3, 16)), float(draw.uniform(0.001, 9))) for _ in range(60)]
    trials = [trial(i, *each, TrialState.PRUNED if i % 3 else TrialState.COMPLETE) for i, each in enumerate(shape)]
    found = best_of_bands(view(*trials))
    assert tuple(found) == LABELS[:-1]
    lows = (0.0, *BANDS)
    for label, low, high in zip(LABELS, lows, BANDS, strict=False):
        inside = [(math.log(p) + e, i) for i, (e, p) in enumerate(shape) if low <= e < high and not i % 3]
        entry = found[label]
        assert entry is not None
        assert entry.number == min(inside)[1]


def test_bands_without_trials() -> None:
    assert best_of_bands(view()) == best_of_bands(view(trial(0, 4.0, 1.0), objective="error")) == {}
    few = best_of_bands(view(trial(0, 5.0, 1.0), trial(1, 20.0, 1.0)))
    assert {label: entry and entry.number for label, entry in few.items()} == {
        "< 5 px": None,
        "5 to 7 px": 0,
        "7 to 10 px": None,
        "10 to 15 px": None,
    }
    bad = best_of_bands(view(trial(0, 15.0, 1.0)))
    assert {label for label, entry in bad.items() if entry} == {">= 15 px"}


@pytest.mark.parametrize("error", [0.0, 4.999999, 5.0, 7.0, 14.99, 15.0, 1e6, math.inf])
def test_every_error_has_a_band(error: float) -> None:
    assert band(error) in LABELS
