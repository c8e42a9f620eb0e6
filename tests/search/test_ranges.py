"""A space that grows and shrinks between runs of a search: choices, kinds, and trials that are no more."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import GridSampler, RandomSampler
from optuna.trial import BaseTrial, TrialState

from data.errors import UserError
from search.run.state.ledger import ROW, Ledger
from search.run.state.ranges import adapt
from search.run.state.storage import open_storage
from search.study import Config, Study, Training
from tests.search.test_kills import STUDY, Width


def study(heads: Sequence[str], trials: int, **fields: Any) -> Study:
    def space(trial: BaseTrial, _: Any) -> Config:
        trial.suggest_categorical("head", heads)
        return Config(Width(trial.suggest_float("width", 0.2, 0.8)), Training(lr=1e-3))  # type: ignore[arg-type]

    fields = {"sampler": RandomSampler, **fields}
    return replace(STUDY, space=space, trials=trials, starts={}, bounds={}, **fields)


def go_on(folder: Path, wanted: Study) -> tuple[Ledger, list[str]]:
    """As the command does: the ranges are looked at, and one trial after another is trained."""
    storage = open_storage(f"sqlite:///{folder}/study.db")
    begun = optuna.create_study(study_name="book", storage=storage, load_if_exists=True)
    fitting, added = adapt(wanted, begun)
    book = Ledger(fitting, "book", storage)
    book.adopt()
    while (asked := book.ask()) is not None:
        book.report(asked.number, {**dict.fromkeys(ROW, 1.0), "error": 10 * asked.params["width"]})
        book.finish(asked.number)
    return book, added


def read(folder: Path) -> list[optuna.trial.FrozenTrial]:
    """What Optuna itself reads, afresh."""
    return optuna.load_study(study_name="book", storage=f"sqlite:///{folder}/study.db").trials


def test_choices_are_added_and_taken_away(tmp_path: Path) -> None:
    _, added = go_on(tmp_path, study(["simcc", "heatmap"], 6))
    before = read(tmp_path)
    assert added == []
    assert len({trial.params["head"] for trial in before}) == 2

    # One in front of them: what Optuna keeps of a trial is the place of its choice.
    book, added = go_on(tmp_path, study(["direct", "simcc", "heatmap"], 12))
    after = read(tmp_path)
    assert added == ["head 'direct'"]
    assert book.finished == len(after) == 12
    assert {trial.state for trial in after} == {TrialState.COMPLETE}
    assert [(trial.params, trial.value) for trial in after[:6]] == [(trial.params, trial.value) for trial in before]
    assert {trial.distributions["head"].choices for trial in after} == {("simcc", "heatmap", "direct")}  # type: ignore[attr-defined]
    assert {trial.params["head"] for trial in after[6:]} == {"direct", "simcc", "heatmap"}

    book, added = go_on(tmp_path, study(["heatmap", "direct"], 18))
    last = read(tmp_path)
    assert added == []
    assert book.finished == 18
    assert [trial.params for trial in last[:12]] == [trial.params for trial in after]
    new = last[12:]
    assert {trial.params["head"] for trial in new if trial.state is TrialState.COMPLETE} == {"heatmap", "direct"}
    refused = [trial for trial in new if trial.state is TrialState.PRUNED]
    assert {trial.params["head"] for trial in refused} == {"simcc"}
    assert {trial.user_attrs["refused"] for trial in refused} == {"head = 'simcc' is no choice any more"}
    assert len(new) - len(refused) == 6


def test_ends_of_numbers_change_as_they_like(tmp_path: Path) -> None:
    narrow = study(["simcc"], 3)
    go_on(tmp_path, narrow)

    def wider(trial: BaseTrial, _: Any) -> Config:
        trial.suggest_categorical("head", ["simcc"])
        trial.suggest_int("depth", 1, 3)
        return Config(Width(trial.suggest_float("width", 0.1, 3.0)), Training(lr=1e-3))  # type: ignore[arg-type]

    book, _ = go_on(tmp_path, replace(narrow, space=wider, trials=9))
    assert book.finished == 9
    assert max(trial.params["width"] for trial in read(tmp_path)[3:]) > 0.8


def test_another_kind_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    go_on(tmp_path, study(["simcc"], 2))

    def other(trial: BaseTrial, _: Any) -> Config:
        return Config(Width(trial.suggest_categorical("width", [0.2, 0.4])), Training(lr=1e-3))  # type: ignore[arg-type]

    with pytest.raises(UserError, match=r"have 'width' of 0\.2 to 0\.8, and its file now has .*give it another name"):
        go_on(tmp_path, replace(study(["simcc"], 4), space=other))
    assert len(read(tmp_path)) == 2


def test_a_sampler_that_knows_no_other_choices_comes_to_its_end(tmp_path: Path) -> None:
    go_on(tmp_path, study(["simcc", "heatmap"], 2))
    stuck = study(["direct"], 4, sampler=lambda _: GridSampler({"head": ["simcc"], "width": [0.2, 0.4, 0.6]}))
    book, _ = go_on(tmp_path, stuck)
    assert (book.finished, book.optuna_study.is_stopped) == (2, True)
    assert [trial.state for trial in read(tmp_path)[2:]] == [TrialState.PRUNED] * 3
