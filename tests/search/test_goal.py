"""The goal of a search against sorting by hand, brute-force integrals, and searches that are not told of it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from optuna.samplers import RandomSampler
from optuna.samplers._tpe.sampler import _split_trials
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.stats import norm

from data.errors import UserError
from search.after.training import choose_trial
from search.cli.options import error_limit
from search.config_record import differences
from search.forecast import forecast
from search.full_length import BETWEEN_NETWORKS, BETWEEN_STUDIES, EXPONENT, NOISE, SHARE, FullLength
from search.goal import FAR, Ends, Goal, as_number, order
from search.objective import CourseScore
from search.run.state.aimed import CONSTRAINT, AimedStudy
from search.run.state.ledger import ROW, Ledger
from search.samplers import KnownCost
from search.samplers.error_model import ErrorModel
from search.samplers.observations import observed
from search.schedulers import Asha
from search.study import Study, tpe
from search.target import Target, target
from tests.search.test_known_cost import end, search, toy

GOAL = Goal(5.0, FullLength(4))
"""Full trainings are as long as trials."""


def test_the_order_is_one_number_too() -> None:
    draw = np.random.default_rng(0)
    trials = [(float(draw.uniform(-20, 20)), float(draw.uniform(1, 12))) for _ in range(200)]
    in_order = sorted(trials, key=lambda t: order(GOAL, *t, 4))
    below = sorted(t for t in trials if t[1] < 5)
    above = sorted((t for t in trials if t[1] >= 5), key=lambda t: t[1])
    assert in_order == [*below, *above]
    assert sorted(trials, key=lambda t: as_number(GOAL, *t, 4)) == in_order
    assert as_number(GOAL, 700.0, 4.9, 4) == 700.0 < FAR <= as_number(GOAL, -700.0, 5.0, 4)
    assert as_number(GOAL, -9.0, math.nan, 4) == as_number(GOAL, 0.0, math.inf, 4) == math.inf
    assert order(None, 3.0, math.nan, 4) == (False, 3.0)


def test_the_limit_of_a_short_trial_is_what_the_full_one_ends_at_the_goal_from() -> None:
    full = FullLength(32, exponent=0.2)
    goal = Goal(5.0, full)
    assert goal.limit(4) == pytest.approx(5 * 8**0.2)
    assert full(goal.limit(4), 4).error == pytest.approx(5.0)
    assert goal.limit(32) == goal.limit(64) == 5.0


def complete(errors: list[float], **attrs: Any) -> FrozenTrial:
    curve = [{"epoch": epoch, "error": error} for epoch, error in enumerate(errors, 1)]
    return create_trial(value=0.0, user_attrs={"curve": curve, "budget": len(errors), **attrs})


def test_where_curves_end_is_what_whole_ones_did() -> None:
    curves = [[20.0, 10.0, 5.0], [30.0, 9.0, 6.0], [16.0, 12.0, 8.0]]
    ends = Ends([*map(complete, curves), complete([9.0, 9.0])])
    middle = forecast([c[0] for c in curves], [c[-1] for c in curves], 10.0).middle
    assert ends(10.0, 1, 3) == pytest.approx(math.exp(middle))
    assert 2.0 < ends(10.0, 1, 3) < 8.0
    assert ends(10.0, 3, 3) == ends(10.0, 4, 3) == 10.0
    assert 9.0 < ends(10.0, 1, 2) < 10.0  # too few to say


def test_the_exponent_is_what_bayes_says() -> None:
    found = [(20.0, 15.0, 9, 45), (18.0, 12.0, 9, 45), (30.0, 29.0, 9, 27)]
    kept = [dict(zip(("searched_error", "error", "searched_epochs", "epochs"), each, strict=True)) for each in found]
    full = FullLength.learnt(45, [*kept, {**kept[0], "epochs": 10}])
    means = np.linspace(-1, 1.5, 200_001)
    log = norm.logpdf(means, EXPONENT, BETWEEN_STUDIES)
    for before, after, short, long in found:
        stretch = math.log(long / short)
        spread = math.sqrt(BETWEEN_NETWORKS**2 + 2 * (NOISE / stretch) ** 2)
        log += norm.logpdf(math.log(before / after) / stretch, means, spread)
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    mean = float(weights @ means)
    assert full.exponent == pytest.approx(mean, rel=1e-4)
    assert full.spread == pytest.approx(math.sqrt(weights @ (means - mean) ** 2 + BETWEEN_NETWORKS**2), rel=1e-3)
    assert full.models == 3


def test_an_interval_holds_the_share_that_it_says() -> None:
    draw, full = np.random.default_rng(0), FullLength(45)
    stretch = math.log(5)
    spread = math.hypot(BETWEEN_STUDIES, BETWEEN_NETWORKS)
    ends = 20 * np.exp(-stretch * draw.normal(EXPONENT, spread, 40_000) + draw.normal(0, NOISE, 40_000))
    low, middle, high = full(20.0, 9)
    assert np.mean((low < ends) & (ends < high)) == pytest.approx(SHARE, abs=0.01)
    assert middle == pytest.approx(np.median(ends), rel=0.01)
    attributes = {"search": {"epochs": 9}, "retrained 000003 45": {"trial": 3, "error": 9.0, "epochs": 45}}
    attributes["retrained 000003 45"] |= {"searched_error": 20.0, "searched_epochs": 9}
    assert FullLength.of(attributes).models == 1
    assert FullLength.of(attributes, without=3) == FullLength(45)
    assert FullLength.of({}).epochs == 0


def book(study: Study) -> Ledger:
    return Ledger(study, "book", InMemoryStorage())


def aiming(**fields: Any) -> Study:
    return toy(under=5.0, final_epochs=4, **fields)


def test_what_a_sampler_is_told_and_what_is_stored() -> None:
    begun = search(toy(sampler=lambda seed: RandomSampler(seed=seed), epochs=2, trials=99), 40)
    asked = begun.ask()
    assert asked is not None
    before = begun.optuna_study.get_trials()
    goal = Goal(9.0, FullLength(2))
    seen = AimedStudy(begun.optuna_study, goal)
    told = seen.get_trials()
    assert begun.optuna_study.get_trials() == before
    assert [trial.values for trial in told] == [trial.values for trial in before]
    assert told[-1].constraints == {}  # in training
    errors = {trial.number: trial.user_attrs["curve"][-1]["error"] for trial in before[:-1]}
    for trial in told[:-1]:
        assert trial.constraints[CONSTRAINT] == pytest.approx(math.log(errors[trial.number] / 9.0))
    below, _ = _split_trials(seen, seen._get_trials(deepcopy=False)[:-1], 10)
    by_hand = sorted(told[:-1], key=lambda trial: order(goal, trial.values[0], errors[trial.number], 2))[:10]
    assert {trial.number for trial in below} == {trial.number for trial in by_hand}
    seen.stop()
    assert begun.optuna_study.is_stopped


def test_a_refused_sample_is_never_nearer_the_goal_than_a_trained_one() -> None:
    begun = search(aiming(sampler=lambda seed: RandomSampler(seed=seed), bounds={"params_m": 0.5}, trials=99), 20)
    assert begun.ranking.goal is not None
    told = AimedStudy(begun.optuna_study, begun.ranking.goal).get_trials(states=(TrialState.PRUNED,))
    assert told
    assert {trial.constraints[CONSTRAINT] for trial in told} == {10.0}


def test_the_ledger_keeps_and_compares_by_the_goal() -> None:
    begun = book(aiming())
    for error in (9.0, 6.0, 4.0, 4.5):
        asked = begun.ask()
        assert asked is not None
        for epoch in (1, 2, 3, 4):
            begun.report(asked.number, {**dict.fromkeys(ROW, 1.0), "epoch": epoch, "error": error * 4 / epoch})
        enters = begun.enters(asked.number, 1)
        begun.finish(asked.number)
        assert enters == (begun.best(1) == [asked.number])
    values = [trial.values[0] for trial in begun.optuna_study.get_trials()]
    assert begun.best(4) == [*sorted((2, 3), key=lambda n: values[n]), 1, 0]
    assert begun.optuna_study.user_attrs["search"]["under"] == 5.0
    past = {number: numbers for number, _, numbers in begun.ranking.past()}
    assert past[2] == pytest.approx(begun.optuna_study.trials[2].intermediate_values)
    assert past[0][4] == pytest.approx(FAR + math.log(9 / 5))
    assert past[0][1] == pytest.approx(FAR + math.log(9 / 5))  # where it heads, as all fall to a quarter
    assert choose_trial(begun.optuna_study, None).number == begun.best(1)[0]


def test_a_changed_goal_is_one_of_the_changes() -> None:
    storage = InMemoryStorage()
    before = Ledger(aiming(), "book", storage).optuna_study.user_attrs["search"]
    changed = Ledger(replace(aiming(), under=7.0), "book", storage).optuna_study.user_attrs["search"]
    assert differences(before, changed) == "under 5.0, now 7.0"
    without = Ledger(toy(), "book", storage)
    assert differences(changed, without.optuna_study.user_attrs["search"]) == "under 7.0, now not there"
    assert without.ranking.goal is None


@pytest.mark.parametrize("log_error", [True, False])
@pytest.mark.parametrize("reached", [True, False])
def test_constrained_gains_are_integrals_by_brute_force(log_error: bool, reached: bool) -> None:
    limit = 12.0 if reached else 4.0
    study = replace(aiming(sampler=lambda seed: RandomSampler(seed=seed)), under=limit)
    done = search(study, 14)
    ends = Ends(done.optuna_study.trials)
    past = [o for t in done.optuna_study.trials if (o := observed(t, study.readings, ends)) is not None]
    points = [(trial.params, {"params_m": price, "gflops": price}) for trial in past for price in (0.02, 0.5)]
    spaces = [trial.ranges for trial in past]
    goal = done.ranking.goal
    model = ErrorModel(study, KnownCost(log_error=log_error), past, spaces, 14, goal)
    finals = [(study.objective.value(t.readings, t.curve[-1][1]), t.curve[-1][1]) for t in past]
    below = [value for value, error in finals if error < limit]
    assert bool(below) == reached
    places = norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    gains = model.gains(points)
    for gain, (_, readings), mean, std in zip(gains, points, *model._process.predict(model._ends(points)), strict=True):
        errors = np.exp(mean + std * places) if log_error else np.maximum(mean + std * places, 1e-9)
        price = math.log(readings["params_m"] * readings["gflops"])
        if reached:
            exact = np.mean(np.maximum(min(below) - price - errors, 0) * (errors < limit))
        else:
            nearest = min(error for _, error in finals)
            exact = np.mean(np.log(nearest / np.clip(errors, limit, nearest)))
        assert gain == pytest.approx(exact, rel=0.2, abs=0.05)


@pytest.mark.parametrize("sampler", [tpe, KnownCost()])
def test_a_search_that_aims_gets_below_and_one_that_does_not_stays_above(sampler: Any) -> None:
    """Where the price outweighs the error, the best network is narrow, and its error is 40."""
    shared: dict[str, Any] = {"sampler": sampler, "objective": Cheap(), "trials": 99}
    free, aimed = search(toy(**shared), 30), search(replace(toy(**shared), under=7.0, final_epochs=4), 30)
    assert end_of_best(free) > 7.0 > end_of_best(aimed)
    assert choose_trial(free.optuna_study, None).error == pytest.approx(end_of_best(free))


class Cheap(CourseScore):
    """A price that outweighs errors: without a goal the cheapest network is the best."""

    def value(self, readings: Any, error: float) -> float:
        return 20 * math.log(readings["params_m"]) + error


def end_of_best(book: Ledger) -> float:
    (number,) = book.best(1)
    return end(book.optuna_study.get_trials()[number].params) * 1.25


def test_a_scheduler_lets_go_on_what_heads_for_the_goal() -> None:
    """Cheap and poor against dear and good: ASHA alone keeps the cheap one."""
    goal = aiming(scheduler=Asha(1, 2), objective=Cheap())
    begun = book(goal)
    numbers = {}
    for width, error in ((0.1, 40.0), (1.0, 4.0)):
        begun.optuna_study.enqueue_trial({"width": width, "optimizer": "adamw", "lr": 0.01})
        asked = begun.ask()
        assert asked is not None
        row = {**dict.fromkeys(ROW, 1.0), "epoch": 1, "error": error}
        begun.report(asked.number, row)
        numbers[width] = (begun.value(asked.number, row), begun.aim(asked.number, row))
    assert numbers[0.1][0] < numbers[1.0][0] == numbers[1.0][1] < FAR < numbers[0.1][1]


def test_what_is_to_be_beaten_is_below_the_goal() -> None:
    study = aiming()
    near, dear = {"params_m": 0.1, "gflops": 0.1}, {"params_m": 1.0, "gflops": 1.0}
    assert target(study, [(near, 9.0), (dear, 6.0)], GOAL) == Target(error=6.0)
    found = target(study, [(near, 9.0), (dear, 6.0), (dear, 4.5), (near, 5.0)], GOAL)
    assert found == Target(4.5, 5.0)
    assert found.needed_error(CourseScore(), near) == 5.0
    assert target(study, [(near, 9.0)]).error == math.inf


@pytest.mark.parametrize(
    ("text", "unit", "limit"),
    [("5", "px", 5.0), (" 5px ", "px", 5.0), ("7.5 PX", "px", 7.5), (".003m", "m", 0.003), ("1e-3", "", 0.001)],
)
def test_limits_as_they_are_typed(text: str, unit: str, limit: float) -> None:
    assert error_limit(text, "--under", unit) == limit


@pytest.mark.parametrize("text", ["", "px", "-5", "0", "nan", "inf", "5 mm", "1e999", "5 px px"])
def test_limits_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="--under"):
        error_limit(text, "--under", "px")


def test_a_goal_is_an_error_above_0() -> None:
    for under in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="under must be an error above 0"):
            toy(under=under)
