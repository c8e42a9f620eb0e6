"""At which ends of the ranges the best trials lie: what is named, what is not, and how sure it must be."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial
from scipy import stats

from models.net import Arch
from search.results import edges as module
from search.results.edges import Edge, asking, edges, sentence
from search.results.leaderboard import entries
from search.study import Config, Training

ROOM = np.random.default_rng


def view(
    function: Callable[[BaseTrial, Any], float],
    count: int,
    seed: int = 0,
    sampler: str = "TPESampler",
    stopped: int = 0,
) -> Any:
    """A study searched on a function, as results see it; of each ten trials the last `stopped` are stopped early."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))
    rng = ROOM(seed)
    for number in range(count):
        trial = study.ask()
        value = function(trial, rng)
        trial.report(value, 9)
        if number % 10 >= 10 - stopped:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, value)
    return SimpleNamespace(entries=entries(study.trials, "error"), trials=study.trials)


def towards_the_edge(trial: BaseTrial, rng: np.random.Generator) -> float:
    """Better for small widths and large rates; nothing else matters."""
    width = trial.suggest_float("width", 0.05, 1.2, log=True)
    rate = trial.suggest_categorical("rate", [1, 2, 4])
    if trial.suggest_categorical("head", ["a", "b"]) == "a":
        trial.suggest_float("extra", 0.5, 1.5)
    trial.suggest_int("size", 32, 96, step=16)
    trial.suggest_categorical("choice", [1, 2, 4])
    return float(3 * np.log(width) - 1.5 * rate + rng.normal(0, 0.7))


@pytest.mark.parametrize("sampler", ["RandomSampler", "TPESampler"])
@pytest.mark.parametrize("stopped", [0, 5])
def test_edges_that_matter_are_named_and_no_others(sampler: str, stopped: int) -> None:
    found = edges(view(towards_the_edge, 100, 1, sampler, stopped))
    named = [(edge.name, edge.is_low, edge.end) for edge in found]
    assert named
    assert set(named) <= {("width", True, 0.05), ("rate", False, 4)}
    assert all(0.05 <= edge.inner <= 0.05 * 24**0.1 for edge in found if edge.is_low)
    assert all(edge.at_edge >= edge.best / 2 and edge.best == max(5, 10 - stopped) for edge in found)


def test_where_a_sampler_drifts_by_chance_is_no_edge() -> None:
    """TPE has two thirds and more of its trials at ends of what does not matter."""

    def noise(trial: BaseTrial, rng: np.random.Generator) -> float:
        for name in "abcdef":
            trial.suggest_categorical(name, [1, 2, 4])
        return float(trial.suggest_float("x", -1, 1) ** 2 + rng.normal())

    named = 0
    for seed in range(6):
        searched = view(noise, 60, seed)
        shares = [np.mean([trial.params[name] != 2 for trial in searched.trials]) for name in "abcdef"]
        assert max(shares) > 0.7
        named += len(edges(searched))
    assert named <= 1


def test_too_few_trials_say_nothing() -> None:
    assert edges(view(towards_the_edge, 14)) == []
    assert edges(view(towards_the_edge, 0)) == []


def test_a_limit_is_no_edge() -> None:
    def limits(trial: BaseTrial, rng: np.random.Generator) -> float:
        width = trial.suggest_float("width", 0.02, 0.5, log=True)
        kernel, flip = trial.suggest_categorical("kernel", [3, 5, 7]), trial.suggest_float("flip", 0.0, 0.5)
        stages = trial.suggest_int("stages", 2, 6)
        return float(np.log(width) + kernel / 2 + 4 * flip + stages / 2 + rng.normal(0, 0.3))

    def space(trial: BaseTrial, task: None) -> Config:
        del task
        width, kernel = (
            trial.suggest_float("width", 0.02, 0.5, log=True),
            trial.suggest_categorical("kernel", [3, 5, 7]),
        )
        trial.suggest_float("flip", 0.0, 0.5)
        arch = Arch(5, width, 16, 64, "direct", kernel=kernel, stages=trial.suggest_int("stages", 2, 6))
        return Config(arch, Training(lr=1e-3))

    searched = view(limits, 120)
    study: Any = SimpleNamespace(space=space, task=None)
    assert [edge.name for edge in edges(searched)] == ["width", "kernel", "stages"]  # 0 is known to be a limit
    found = edges(searched, asking(study, searched))  # no width below 0.02 and no kernel of 1
    assert [(edge.name, edge.is_low, edge.end) for edge in found] == [("stages", True, 2)]


def test_trends_are_those_of_partial_correlation() -> None:
    """Against residuals and Student's distribution, as scipy has them."""
    rng = ROOM(3)
    x, y = rng.random(40), rng.random(40)
    value = x + 0.5 * y + rng.normal(0, 0.5, 40)
    rows = [
        SimpleNamespace(params={"x": a, "y": b}, state="finished", value=v, number=i, epochs=9)
        for i, (a, b, v) in enumerate(zip(x, y, value, strict=True))
    ]
    spreads = {name: FloatDistribution(0, 1) for name in "xy"}
    found = module._trends(rows, spreads)  # type: ignore[arg-type]
    scores = -stats.norm.ppf((stats.rankdata(value) - 0.5) / 40)
    others = np.stack([np.ones(40), np.arange(40), y], 1)
    left = [each - others @ np.linalg.lstsq(others, each, rcond=None)[0] for each in (x, scores)]
    r = np.corrcoef(*left)[0, 1]
    t = r * np.sqrt(36 / (1 - r * r))
    assert stats.norm.sf(abs(found["x"])) == pytest.approx(stats.t.sf(abs(t), 36), rel=0.03)
    assert np.sign(found["x"]) == np.sign(t) == -1


@pytest.mark.parametrize(
    ("spread", "is_low", "beyond"),
    [
        (IntDistribution(32, 96, step=16), True, 16),
        (IntDistribution(32, 96, step=16), False, 112),
        (IntDistribution(4, 64, log=True), False, 85),
        (FloatDistribution(0.05, 1.2, step=0.05), True, 0.0),
        (FloatDistribution(1e-4, 1e-2, log=True), False, 1e-2 * 10**0.2),
        (CategoricalDistribution([8, 32, 16]), False, 64),
        (CategoricalDistribution([8, 32, 16]), True, 4),
        (CategoricalDistribution([3, 5, 7]), False, 9),
        (CategoricalDistribution([0.0, 0.999]), True, -0.999),
    ],
)
def test_what_is_asked_beyond(spread: Any, is_low: bool, beyond: float) -> None:
    found = module._beyond(spread, is_low)
    assert found == pytest.approx(beyond)
    assert type(found) is type(beyond)


def test_a_sentence() -> None:
    said = sentence(Edge("width", True, 0.05, 0.066, 12, 20, 0.305))
    assert said == (
        "12 of the best 20 trials have width at its lower end, 0.05 to 0.066 (of all 30\N{NO-BREAK SPACE}%): better "
        "ones may lie below 0.05, so widen its range in the study's space"
    )
    assert "at its upper end, 32 (of" in sentence(Edge("stride", False, 32, 32, 5, 5, 0.4))
