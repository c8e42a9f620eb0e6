"""Any of Optuna's samplers searches a study: to its own end, and across kills; and one that ends the search itself."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna import samplers
from optuna.trial import BaseTrial, TrialState

from data.errors import UserError
from search.run.state.ledger import Ledger
from search.run.state.sampler import SamplerError
from search.samplers import KnownCost
from search.study import Config, Study, Training
from tests.search.test_kills import ROW, STUDY, Memory, Width

GRID = {"width": [0.2, 0.5, 0.8], "head": ["direct", "heatmap"]}


def space(trial: BaseTrial, _: Any) -> Config:
    trial.suggest_categorical("head", ["direct", "heatmap"])
    return Config(Width(trial.suggest_float("width", 0.2, 0.8, step=0.3)), Training(lr=1e-3))  # type: ignore[arg-type]


def study(sampler: Callable[[int], Any], trials: int = 12, **fields: Any) -> Study:
    return replace(STUDY, sampler=sampler, trials=trials, **{"space": space, "starts": {}, "bounds": {}, **fields})


def search(searched: Study, storage: Memory, most: int = 100) -> Ledger:
    """One trial after another, `most` in this run; one more is asked for and killed."""
    book = Ledger(searched, "book", storage)
    book.adopt()
    for count in itertools.count():
        asked = book.ask()
        if asked is None or count == most:
            return book
        error = 10 * asked.params["width"] + (asked.params["head"] == "direct")
        book.report(asked.number, {**dict.fromkeys(ROW, 1.0), "error": error})
        book.finish(asked.number)
    raise AssertionError


class Patience(samplers.RandomSampler):
    """Stops once five trials are over."""

    def after_trial(self, study: optuna.Study, *_: Any) -> None:
        if len(study.get_trials(states=(TrialState.COMPLETE,))) >= 4:
            study.stop()


def gp(seed: int) -> samplers.BaseSampler:
    return samplers.GPSampler(seed=seed, n_startup_trials=3)


def held(seed: int) -> samplers.BaseSampler:
    return samplers.PartialFixedSampler({"head": "direct"}, samplers.QMCSampler(seed=seed))


SAMPLERS: dict[str, tuple[Callable[[int], Any], int]] = {
    "grid": (lambda _: samplers.GridSampler(GRID), 6),
    "seeded grid": (lambda seed: samplers.GridSampler(GRID, seed), 6),
    "brute force": (lambda seed: samplers.BruteForceSampler(seed), 6),
    "cma-es": (lambda seed: samplers.CmaEsSampler(seed=seed, n_startup_trials=3), 12),
    "gp": (gp, 7),
    "nsga-ii": (lambda seed: samplers.NSGAIISampler(seed=seed, population_size=4), 12),
    "nsga-iii": (lambda seed: samplers.NSGAIIISampler(seed=seed, population_size=4), 12),
    "qmc": (lambda seed: samplers.QMCSampler(seed=seed), 12),
    "held": (held, 12),
    "random": (lambda seed: samplers.RandomSampler(seed), 12),
    "tpe": (lambda seed: samplers.TPESampler(seed=seed, n_startup_trials=3), 12),
    "known cost": (KnownCost(startup=3), 12),  # type: ignore[dict-item]
    "stops": (lambda seed: Patience(seed), 5),
}
"""How each is made, and after how many of 12 trials the search is over."""


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_sampler_comes_to_its_end_also_when_it_is_killed_on_the_way(name: str) -> None:
    make, trials = SAMPLERS[name]
    searched = study(make, trials) if name == "gp" else study(make)  # a trial of its takes seconds
    told = []
    for cut in (100, 3):
        storage = Memory()
        search(searched, storage, cut)
        book = search(searched, storage)
        assert book.is_over
        again = search(searched, storage)  # over for good
        assert again.is_over
        assert again.finished == trials
        assert again.optuna_study.is_stopped == (trials < searched.trials)
        told.append([(trial.state, trial.params, trial.value) for trial in again.optuna_study.trials])
    assert told[0] == told[1]
    assert {state for state, *_ in told[0]} == {TrialState.COMPLETE}
    if trials == 6:  # every point, and each of them once
        points = {(width, head) for width in GRID["width"] for head in GRID["head"]}
        assert {(params["width"], params["head"]) for _, params, _ in told[0]} == points
    if name == "held":
        assert {params["head"] for _, params, _ in told[0]} == {"direct"}


def test_a_quasi_random_sequence_is_one_sequence() -> None:
    """With another seed for each trial, each would be the first point of a sequence of its own."""

    def widths(trial: BaseTrial, _: Any) -> Config:
        width = Width(trial.suggest_float("width", 0, 1))
        return Config(width, Training(lr=trial.suggest_float("lr", 0.5, 1.5)))  # type: ignore[arg-type]

    def make(seed: int) -> samplers.BaseSampler:
        return samplers.QMCSampler(seed=seed)

    book = Ledger(replace(study(make, 18), space=widths), "book", Memory())
    found = [book.ask() for _ in range(17)][1:]  # the first is at random, as Optuna knows no ranges then
    cells = {(int(4 * trial.params["width"]), int(4 * (trial.params["lr"] - 0.5))) for trial in found if trial}
    assert len(cells) == 16  # a net in base 2: one of 16 points in each of 4 x 4 cells


def test_a_larger_grid_goes_on_where_the_smaller_one_ended() -> None:
    storage = Memory()
    search(study(lambda _: samplers.GridSampler({**GRID, "head": ["direct"]})), storage)
    book = search(study(lambda _: samplers.GridSampler(GRID)), storage)
    assert book.finished == 9  # Optuna counts the points of a grid by the grid: three are tried again
    assert {tuple(trial.params.values()) for trial in book.optuna_study.trials} == {
        (head, width) for width in GRID["width"] for head in GRID["head"]
    }


@pytest.mark.parametrize("name", ["grid", "brute force"])
@pytest.mark.parametrize("workers", [2, 4, 9])
def test_no_point_is_tried_twice_by_several_workers(name: str, workers: int) -> None:
    book = Ledger(study(SAMPLERS[name][0]), "book", Memory())
    asked = []
    for _ in range(20):
        while len(book.running) < workers and (trial := book.ask()) is not None:
            asked.append(tuple(sorted(trial.params.items())))
        for number in list(book.running)[:1]:
            book.report(number, {**dict.fromkeys(ROW, 1.0), "error": 1.0})
            book.finish(number)
    assert book.is_over
    if name == "grid" or workers == 2:  # BruteForceSampler knows no end before a trial is over
        assert len(asked) == 6
    assert len(set(asked)) == 6


def test_starting_trials_are_no_points_of_a_grid() -> None:
    """Optuna's own fails with KeyError where one of them ends while one point is left."""
    start = {"width": 0.2, "head": "direct"}
    searched = study(lambda _: samplers.GridSampler(GRID), starts={"a": start, "b": start})
    storage = Memory()
    book = search(replace(searched, starts={}), storage, 5)
    assert list(book.running) == [5]
    book = search(searched, storage)
    assert book.finished == 8
    assert {trial.state for trial in book.optuna_study.trials} == {TrialState.COMPLETE}


def test_a_space_can_stop_the_search_too() -> None:
    def stopping(trial: Any, task: Any) -> Config:
        if trial.number == 2:
            trial.study.stop()
        return space(trial, task)

    book = search(replace(study(samplers.RandomSampler), space=stopping), Memory())
    assert [trial.state for trial in book.optuna_study.trials] == [TrialState.COMPLETE] * 3


def broken(_: int) -> samplers.BaseSampler:
    raise ImportError("no module named nothing")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda _: None, "TypeError: None is none of Optuna's samplers"),
        (broken, "no module named nothing"),
        (lambda _: samplers.GridSampler({"width": [0.2]}), "The parameter name, head, is not found in the given grid"),
    ],
)
def test_a_sampler_that_fails_is_said_at_once_and_costs_no_trial(make: Callable[[int], Any], expected: str) -> None:
    storage = Memory()
    with pytest.raises(SamplerError, match=expected):
        Ledger(study(make), "book", storage).ask()
    trials = optuna.load_study(study_name="book", storage=storage).trials
    assert not any(trial.state.is_finished() for trial in trials)
    assert issubclass(SamplerError, UserError)
