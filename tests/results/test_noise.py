import math
from typing import Any

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy import stats

from search.full_length import NOISE
from search.objective import CourseScore, ErrorAlone
from search.results import noise
from search.results.noise import BELIEVED, Noise
from search.results.view import View


def trial(number: int, error: float, price: float = 0.01, width: float | None = None) -> FrozenTrial:
    made = create_trial(
        state=TrialState.COMPLETE,
        params={"width": number / 100 if width is None else width},
        distributions={"width": FloatDistribution(0, 1)},
        value=math.log(price) + error,
        user_attrs={
            "params_m": price,
            "gflops": 1.0,
            "pixel_diff": error,
            "score": price * math.exp(error),
            "budget": 10,
        },
    )
    made.number = number
    return made


def view(*trials: FrozenTrial, **attrs: Any) -> View:
    return View.of("some", CourseScore.name, {"metric": "pixel_diff", "unit": "px", **attrs}, trials)


def test_the_deviation_is_a_pooled_one() -> None:
    groups = [[10.0, 11.0, 10.5], [20.0, 19.0], [5.0]]
    logs = [np.log(group) for group in groups[:2]]
    squares = sum(((each - each.mean()) ** 2).sum() for each in logs)
    found = Noise.of(groups)
    assert found.repeats == 3
    assert found.deviation == pytest.approx(math.sqrt((BELIEVED * NOISE**2 + squares) / (BELIEVED + 3)))
    assert Noise.of([]) == Noise() == Noise.of([[7.0], [math.inf, 0.0]])
    # Of many repeats what is believed no longer matters.
    draw = np.random.default_rng(0)
    many = [np.exp(draw.normal(2.5, 0.11, 3)).tolist() for _ in range(1000)]
    assert Noise.of(many).deviation == pytest.approx(0.11, rel=0.04)


@pytest.mark.parametrize("freedom", [4.0, 5.0, 9.0, 60.0])
def test_quantiles_are_scipys(freedom: float) -> None:
    for probability in (0.95, 0.975):
        assert Noise(0.05, freedom).quantile(probability) == pytest.approx(stats.t.ppf(probability, freedom), rel=4e-3)


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    draw, inside = np.random.default_rng(1), 0
    for _ in range(2000):
        errors = np.exp(draw.normal(math.log(12.0), NOISE, 3)).tolist()
        low, _, high = Noise(NOISE, 1e6).interval(errors)
        inside += low < 12.0 < high
    assert 0.935 < inside / 2000 < 0.965


def test_what_seeds_would_swap_is_not_told_apart() -> None:
    sure = Noise(0.05, 1e6)
    trials = [trial(0, 10.0), trial(1, 10.9), trial(2, 11.3, price=0.009), trial(3, 12.0), trial(4, 11.0, price=0.02)]
    seen = view(*trials)
    # By drawing: how often each one would come out better than the best, were both trained once more.
    draw, expected = np.random.default_rng(2), []
    for entry in seen.entries[1:]:
        one, other = (draw.normal(e.value, 0.05 * e.error, 200_000) for e in (seen.entries[0], entry))
        if (other < one).mean() > 0.05:
            expected.append(entry.number)
    assert [entry.number for entry in noise.near_best(seen, sure)] == expected == [1, 2]
    assert noise.near_best(view(), sure) == noise.near_best(view(trials[0]), sure) == []
    # The error alone; and a value of which nothing is known.
    alone = View.of("some", ErrorAlone.name, {"metric": "pixel_diff"}, [trial(0, 10.0), trial(1, 10.9), trial(2, 13.0)])
    assert [entry.number for entry in noise.near_best(alone, sure)] == [1]
    other = View.of("some", "a value of one's own", {"metric": "pixel_diff"}, trials)
    assert noise.near_best(other, sure) == []


def test_with_a_goal_none_reaches_the_nearest_are_compared() -> None:
    search = {"under": 5.0, "epochs": 10, "trials": 9}
    seen = view(trial(0, 10.0, price=9.0), trial(1, 10.5), trial(2, 13.0), search=search, final_epochs=10)
    assert not seen.reached(seen.entries[0])
    assert [entry.number for entry in noise.near_best(seen, Noise(0.05, 1e6))] == [1]
    seen = view(trial(0, 4.0), trial(1, 4.2), trial(2, 5.1, price=1e-4), search=search, final_epochs=10)
    assert [entry.number for entry in noise.near_best(seen, Noise(0.05, 1e6))] == [1]


def test_repeated_trials_are_those_of_the_same_parameters() -> None:
    seen = view(trial(0, 10.0, width=0.1), trial(1, 11.0, width=0.2), trial(2, 10.4, width=0.1))
    assert noise.repeated_trials(seen) == [[10.0, 10.4]]
