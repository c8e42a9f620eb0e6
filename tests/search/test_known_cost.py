"""The sampler that knows what networks cost: its parts against libraries, and what it samples in toy searches."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import BaseTrial, TrialState, create_trial
from sklearn.gaussian_process import GaussianProcessRegressor

from models.cost import cost
from models.net import Arch
from models.readings import FLOPS, PARAMS, Reading, Readings
from search.objective import CourseScore, ErrorAlone
from search.run.state.ledger import ROW, Ledger
from search.samplers import KnownCost
from search.samplers.candidates import DrawnTrial, scaled, unscaled
from search.samplers.error_model import ErrorModel
from search.samplers.gaussian import Gaussian, fitted
from search.samplers.known_cost import Candidate, KnownCostSampler
from search.samplers.make import make_sampler
from search.samplers.observations import observed
from search.samplers.prices import predicted, traits
from search.schedulers import NoStopping
from search.study import Config, Study, Training, replay, tpe
from studies import animals, freihand, quickstart
from tests.search import test_kills

RANGES = (
    FloatDistribution(0.1, 1.2, step=0.05),
    FloatDistribution(1e-4, 1e-1, log=True),
    FloatDistribution(-2.0, 3.0),
    IntDistribution(48, 96, step=16),
    IntDistribution(16, 512, log=True),
    IntDistribution(3, 3),
)


@given(st.floats(0, 1), st.sampled_from(RANGES))
def test_every_place_is_a_value_of_its_range_and_back(place: float, distribution: Any) -> None:
    value = unscaled(place, distribution)
    assert distribution._contains(distribution.to_internal_repr(value))
    assert 0 <= scaled(value, distribution) <= 1
    if isinstance(distribution, FloatDistribution) and distribution.step is None:
        assert scaled(value, distribution) == pytest.approx(place, abs=1e-9)


def test_each_step_of_a_range_has_as_much_of_it() -> None:
    values = [unscaled(place, IntDistribution(48, 96, step=16)) for place in np.linspace(0, 1, 4000, endpoint=False)]
    assert {value: values.count(value) for value in set(values)} == dict.fromkeys((48, 64, 80, 96), 1000)


@pytest.mark.parametrize("study", [quickstart.study, freihand.study, animals.study])
def test_what_is_drawn_is_a_trial_of_the_space(study: Study) -> None:
    rng, near = np.random.default_rng(0), None
    for _ in range(30):
        point = DrawnTrial(rng, {}, near, 0.5)
        config = study.space(point, study.task)
        again, ranges = replay(study, point.params)  # refuses what is outside its range
        assert (again, ranges) == (config, point.distributions)
        near = point.params


def test_the_process_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x, wanted, pending = rng.random((40, 3)), rng.random((7, 3)), rng.random((4, 3))
    y = np.sin(6 * x[:, 0]) + x[:, 1] + 0.05 * rng.normal(size=40) + 3
    kernel = fitted(x, y)
    ours = Gaussian(x, y, kernel)
    theirs = GaussianProcessRegressor(kernel, alpha=1e-8, optimizer=None).fit(x, (y - y.mean()) / y.std())
    for believed in (False, True):
        mean, std = ours.predict(wanted)
        other, noisy = theirs.predict(wanted, return_std=True)
        assert mean == pytest.approx(other * y.std() + y.mean())
        assert std == pytest.approx(np.sqrt(noisy**2 - kernel.k2.noise_level) * y.std())
        assert np.abs(mean - np.sin(6 * wanted[:, 0]) - wanted[:, 1] - 3).max() < 0.3
        if not believed:
            ours.believe(pending)
            told = np.concatenate([theirs.y_train_, theirs.predict(pending)])
            theirs = GaussianProcessRegressor(kernel, alpha=1e-8, optimizer=None)
            theirs.fit(np.concatenate([x, pending]), told)


def test_prices_are_predicted_from_others() -> None:
    rng = np.random.default_rng(0)

    def drawn(count: int) -> list[Arch]:
        widths, sizes = rng.uniform(0.1, 1.2, count), rng.integers(4, 14, count) * 16
        heads = rng.choice(["direct", "heatmap"], count)
        return [Arch(21, float(w), 32, int(s), str(h)) for w, s, h in zip(widths, sizes, heads, strict=True)]

    def price(arch: Arch) -> Readings:
        body = arch.width**2 * 1e6 + (arch.head == "heatmap") * 2e5 * arch.width
        return {"params_m": body / 1e6, "gflops": body * arch.size**2 / 1e11}

    known, asked = drawn(40), drawn(20)
    found = predicted([(traits(arch), price(arch)) for arch in known], list(map(traits, asked)), 40)
    for guess, arch in zip(found, asked, strict=True):
        for name, exact in price(arch).items():
            assert math.log(guess[name] / exact) == pytest.approx(0, abs=0.2)


@dataclass(frozen=True)
class Toy:
    """A network of a toy study: dearer and better with its width."""

    width: float


def price_of(arch: Any) -> float:
    return float(arch.width**2)


READINGS = (Reading("params_m", "Params", "M", price_of), Reading("gflops", "FLOPs", "G", price_of))


def space(trial: BaseTrial, _: Any) -> Config:
    width = trial.suggest_float("width", 0.1, 1.0)
    optimizer = trial.suggest_categorical("optimizer", ["adamw", "sgd"])
    momentum = trial.suggest_float("momentum", 0.0, 0.9) if optimizer == "sgd" else 0.0
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    return Config(Toy(width), Training(lr, optimizer=optimizer, lr_end=1 - momentum), None)  # type: ignore[arg-type]


def toy(**fields: Any) -> Study:
    task: Any = SimpleNamespace(metric="pixel_diff", unit="px")
    shared: dict[str, Any] = {"readings": READINGS, "sampler": KnownCost(), "scheduler": NoStopping()}
    return Study(task, space, **{"trials": 60, "epochs": 4, **shared, **fields})


def end(params: dict[str, Any]) -> float:
    """PixelDiff of a toy network: smallest at a learning rate of 0.01, and for wide ones."""
    return 4 / params["width"] + math.log10(params["lr"] / 0.01) ** 2 * 3 + (params["optimizer"] == "sgd")


def run(book: Ledger, params: dict[str, Any], number: int, epochs: int = 4, error: float | None = None) -> None:
    """Report a toy training's epochs."""
    for epoch in range(1, epochs + 1):
        reached = (end(params) if error is None else error) * (1 + 1 / epoch)
        book.report(number, {**dict.fromkeys(ROW, 1.0), "epoch": epoch, "error": reached})


def search(study: Study, count: int, fails: Callable[[dict[str, Any]], bool] = lambda _: False) -> Ledger:
    """`count` trials, one after another."""
    book = Ledger(study, "book", InMemoryStorage())
    for _ in range(count):
        asked = book.ask()
        assert asked is not None
        if fails(asked.params):
            run(book, asked.params, asked.number, 1)
            book._failed_in_a_row = 0
            book.fail(asked.number, "diverged")
        else:
            run(book, asked.params, asked.number)
            book.finish(asked.number)
    return book


def best(book: Ledger) -> float:
    return min(trial.value for trial in book.optuna_study.trials if trial.state is TrialState.COMPLETE)


def test_it_finds_what_tpe_does_not() -> None:
    """4 ln width + 1.25 (4 / width) falls to 1 at width 1; what is left is the learning rate and the optimiser."""
    book = search(toy(), 30)
    assert best(book) < 5.02
    assert best(search(toy(sampler=tpe), 30)) > best(book)
    assert len({tuple(trial.params.values()) for trial in book.optuna_study.trials}) == 30
    with_momentum = ["momentum" in trial.params for trial in book.optuna_study.trials]
    assert with_momentum == [trial.params["optimizer"] == "sgd" for trial in book.optuna_study.trials]


def test_what_a_trial_was_expected_to_gain_is_kept() -> None:
    gains = [trial.user_attrs.get("expected_gain") for trial in search(toy(), 30).optuna_study.trials]
    assert gains[:8] == [None] * 8  # of the quasi-random sequence
    assert min(gains[8:]) >= 0
    assert max(gains[-5:]) < 0.01 < max(gains[8:13])  # the best is found by then


@pytest.mark.parametrize("objective", [CourseScore(), ErrorAlone()])
def test_bounds_hold_once_prices_are_known(objective: Any) -> None:
    book = search(toy(bounds={"params_m": 0.25}, objective=objective), 22)
    late = [trial for trial in book.optuna_study.trials if trial.number > 20]
    assert late
    assert not any("refused" in trial.user_attrs for trial in late)
    if isinstance(objective, ErrorAlone):
        assert max(trial.params["width"] for trial in late) > 0.4


@pytest.mark.parametrize("numbers", [{"log_error": False}, {"known_cost": False}, {"every_epoch": False}])
def test_each_part_can_be_left_out(numbers: dict[str, bool]) -> None:
    assert best(search(toy(sampler=KnownCost(**numbers)), 20)) < 9


def test_a_reading_by_the_clock_is_taken_of_sampled_trials_alone() -> None:
    clocked = []

    def latency(arch: Any) -> float:
        clocked.append(arch)
        return float(1 + arch.width)

    timed = Reading("latency_ms", "latency", "ms", latency, timed=True)
    book = search(toy(readings=(*READINGS, timed), bounds={"latency_ms": 1.8}), 14)
    assert len(clocked) == len(book.optuna_study.trials)
    late = [trial for trial in book.optuna_study.trials if trial.number > 10]
    assert all("refused" not in trial.user_attrs for trial in late)


def test_trials_from_before_configurations_were_kept_are_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    def older(trial: Any, readings: Any, ends: Any) -> Any:
        found = observed(trial, readings, ends)
        return found and replace(found, config=None)

    monkeypatch.setattr("search.samplers.known_cost.observed", older)
    assert best(search(toy(), 20)) < 9


def test_a_refusal_that_a_later_run_took_back_is_none() -> None:
    """The ledger empties the reason of an end that did not come; Optuna has no way to delete it."""
    attrs = {"budget": 4, "curve": [{"epoch": 1, "error": 9.0}]}
    for refused, is_seen in ((None, True), ("", True), ("Params 2 M > 1 M", False)):
        stored = attrs if refused is None else {**attrs, "refused": refused}
        trial = create_trial(state=TrialState.RUNNING, user_attrs=stored)
        assert (observed(trial, ()) is not None) == is_seen


def test_trials_in_training_are_counted() -> None:
    book = search(toy(), 12)
    asked = [book.ask() for _ in range(4)]
    points = [(each.params["width"], math.log10(each.params["lr"]), each.params["optimizer"]) for each in asked if each]
    assert len(set(points)) == 4


def test_where_trials_fail_fewer_are_sampled() -> None:
    book = search(toy(), 30, lambda params: params["width"] > 0.6)
    late = [trial.params["width"] for trial in book.optuna_study.trials[15:]]
    assert sum(width > 0.6 for width in late) < len(late) / 2


def test_an_error_that_is_no_number_is_left_out() -> None:
    book = search(toy(objective=ErrorAlone()), 9)
    asked = book.ask()
    assert asked is not None
    run(book, asked.params, asked.number, 2, math.inf)
    assert book.ask() is not None


def test_what_is_held_and_what_was_sampled_stays() -> None:
    book = search(toy(sampler=KnownCost(held={"optimizer": "sgd"})), 12)
    assert {trial.params["optimizer"] for trial in book.optuna_study.trials} == {"sgd"}
    study = toy()
    book = search(study, 12)
    trial = book.optuna_study.ask()
    trial.suggest_float("width", 0.1, 1.0)  # and then it is killed
    sampler: Any = make_sampler(study, 0)
    assert "lr" in sampler.infer_relative_search_space(book.optuna_study, book.optuna_study.trials[-1])
    assert sampler.sample_relative()["width"] == trial.params["width"]


def test_a_suggestion_follows_from_number_and_past() -> None:
    first, second = (search(toy(), 14).optuna_study.trials for _ in range(2))
    assert [trial.params for trial in first] == [trial.params for trial in second]


def _unknown(_: object) -> float:
    return math.nan


@pytest.mark.parametrize("readings", [(PARAMS, FLOPS), (replace(PARAMS, formula=_unknown), FLOPS)])
def test_what_is_sampled_was_counted_as_it_is(readings: tuple[Reading, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly as the ledger, and so fvcore, counts it, by a formula or without."""

    def real(trial: BaseTrial, _: Any) -> Config:
        width = trial.suggest_float("width", 0.1, 0.4, step=0.1)
        head = trial.suggest_categorical("head", ["direct", "heatmap"])
        arch = Arch(21, width, 32, trial.suggest_int("size", 32, 64, step=16), head)
        return Config(arch, Training(trial.suggest_float("lr", 1e-4, 1.0, log=True), optimizer="adamw"), None)

    taken: list[Candidate] = []
    best = KnownCostSampler._best

    def choosing(self: KnownCostSampler, left: list[Candidate], model: ErrorModel) -> DrawnTrial | None:
        every = list(left)
        point = best(self, left, model)
        taken.extend(each for each in every if each.point is point)
        return point

    monkeypatch.setattr(KnownCostSampler, "_best", choosing)
    monkeypatch.setitem(globals(), "end", lambda params: 20 - params["size"] / 10)
    book = search(replace(toy(readings=readings, sampler=KnownCost(startup=4)), space=real), 7)
    chosen = {trial.number: trial for trial in book.optuna_study.trials if trial.number >= 4}
    assert len(chosen) == 3
    for trial in chosen.values():
        candidate = next(each for each in taken if each.point.params == trial.params)
        exact = cost(candidate.config.arch)
        assert candidate.readings == {"params_m": exact.params / 1e6, "gflops": exact.flops / 1e9}
        assert {name: trial.user_attrs[name] for name in candidate.readings} == candidate.readings


@pytest.mark.parametrize("at", [41, 58, 71])
def test_a_killed_search_samples_what_an_uninterrupted_one_does(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    study = replace(test_kills.STUDY, sampler=KnownCost(startup=2, candidates=20), trials=7)
    monkeypatch.setattr(test_kills, "STUDY", study)
    expected, writes = test_kills.whole()
    assert at < writes
    memory, disk = test_kills.Memory(), {}
    with pytest.raises(test_kills.Killed):
        test_kills.search(test_kills.Faulty(memory, at, test_kills.kill), disk)
    test_kills.search(memory, disk)
    assert test_kills.told(memory) == expected


def test_what_a_study_may_have_as_its_sampler() -> None:
    with pytest.raises(ValueError, match=r"one of search\.samplers"):
        toy(sampler="tpe")
    with pytest.raises(ValueError, match="at least 2"):
        KnownCost(startup=1)


def test_a_finite_space_is_searched_once_through() -> None:
    def finite(trial: BaseTrial, _: Any) -> Config:
        width = trial.suggest_categorical("width", [0.1, 0.4, 0.7, 1.0])
        alike = trial.suggest_categorical("alike", [0, 1])  # two names for the same
        del alike
        lr = trial.suggest_categorical("lr", [1e-3, 1e-2, 1e-1])
        return Config(Toy(width), Training(lr, optimizer="adamw"), None)  # type: ignore[arg-type]

    book = Ledger(replace(toy(sampler=KnownCost(startup=3)), space=finite), "book", InMemoryStorage())
    seen = []
    for _ in range(10):
        asked = book.ask()
        assert asked is not None
        seen.append((asked.params["width"], asked.params["lr"]))
        run(book, {**asked.params, "optimizer": "adamw"}, asked.number)
        book.finish(asked.number)
    assert len(set(seen[3:])) == 7
    assert not set(seen[3:]) & set(seen[:3])
