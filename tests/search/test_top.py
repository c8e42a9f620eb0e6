"""Candidates for a full training: which they are, by hand, and a race that is killed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.after import model
from search.after.top import _lost, candidates, inseparable
from search.cli.options import seen
from search.full_length import BETWEEN_NETWORKS, NOISE, NORMAL
from search.load import load_study
from search.results.view import View
from search.run.state.ledger import ROW, Ledger, open_storage
from tests.search.test_cli import mistake, said
from tests.without_ray import Killed, engine

TINY = Path(__file__).parent.parent / "tiny_study.py"


def searched(out: Path, *errors: float, under: float | None = None) -> Ledger:
    """A search of the tiny study whose trials ended so."""
    folder = out / "tiny_study"
    folder.mkdir(parents=True)
    study = replace(load_study(str(TINY), trials=len(errors)), under=under)
    book = Ledger(study, "tiny_study", open_storage(f"sqlite:///{folder}/study.db"), study.task.identity())
    for error in errors:
        asked = book.ask()
        assert asked is not None
        for epoch in (1, 2, 3, 4):
            book.report(asked.number, dict.fromkeys(ROW, 1.0) | {"epoch": epoch, "error": error})
        book.finish(asked.number)
    return book


def priced(number: int, error: float, price: float = 1.0, config: int | None = None) -> FrozenTrial:
    kept: dict[str, Any] = {"params_m": price, "gflops": 1.0, "pixel_diff": error, "budget": 4}
    kept["config"] = {"width": number if config is None else config}
    kept["curve"] = [{"epoch": 4, "error": error, "seconds": 1.0}]
    made = create_trial(value=float(torch.tensor(price).log()) + error, user_attrs=kept)
    made.number = number
    return made


def view(*trials: FrozenTrial, **search: Any) -> View:
    attrs = {"metric": "pixel_diff", "unit": "px", "search": {"epochs": 4, **search}, "final_epochs": 4}
    return View.of("s", load_study(str(TINY)).objective.name, attrs, trials)


def test_intervals_that_overlap_are_not_told_apart() -> None:
    """With equal lengths a training differs from another by the seed's noise alone."""
    study, wide = load_study(str(TINY)), NORMAL * NOISE
    high = 4.0 * (1 + wide)
    near, far = high / (1 - wide) * 0.98, high / (1 - wide) * 1.02
    trials = [priced(0, near), priced(1, 4.0), priced(2, far), priced(3, 4.0, config=1)]
    assert [entry.number for entry in inseparable(view(*trials), study, 3)] == [1, 0]
    assert [entry.number for entry in inseparable(view(*trials), study, 1)] == [1]
    assert inseparable(view(), study, 3) == []
    cheap = priced(4, 6.0, price=0.1)  # its price makes good for 2.3 px
    assert [entry.number for entry in inseparable(view(*trials, cheap), study, 3)] == [4, 1]


def test_with_a_goal_only_what_may_be_below_it_is_a_candidate() -> None:
    study = load_study(str(TINY))
    trials = [priced(0, 4.0, 2.0), priced(1, 4.9), priced(2, 5.1, 0.001), priced(3, 9.0, 1e-9)]
    found = [entry.number for entry in inseparable(view(*trials, under=5.0), study, 9)]
    assert found == [0, 1, 2]  # the best may be just below it, and the third; the cheapest is far from it
    assert BETWEEN_NETWORKS > 0


def test_a_choice_stays_until_a_trial_is_added(tmp_path: Path) -> None:
    book = searched(tmp_path, 30.0, 29.9, 29.8)
    recorded, study = book.optuna_study, book.study
    first = candidates(recorded, seen(recorded), study, 20, 2, None)
    ended = {"trial": first[0].number, "error": 1.0, "epochs": 20, "searched_error": 29.8, "searched_epochs": 4}
    recorded.set_user_attr(f"retrained {first[0].number:06d} 20", ended)
    again = candidates(recorded, seen(recorded), study, 20, 2, None)
    assert [entry.number for entry in again] == [entry.number for entry in first]
    assert seen(recorded).full_length.models == 1


def test_how_far_a_loser_was_behind_is_counted_after_the_same_epoch() -> None:
    def raced(number: int, values: dict[int, float]) -> FrozenTrial:
        curve = [{"epoch": epoch, "error": value + 1} for epoch, value in values.items()]
        made = create_trial(value=0.0, intermediate_values=values, user_attrs={"curve": curve})
        made.params = {"variant": f"trial {number}"}
        return made

    won = raced(7, {1: 9.0, 2: 8.0, 3: 7.0})
    assert _lost(raced(12, {1: 9.0, 2: 8.5}), won) == model.Loser(12, 2, 9.5, 0.5)
    assert _lost(raced(12, {}), won) == model.Loser(12, 0, None, None)


def test_one_trial_or_several() -> None:
    assert "give one of them" in mistake("retrain", TINY, "--trial", 1, "--top", 3)


def test_a_race_killed_and_continued_keeps_one_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched(tmp_path, 30.0, 30.1, 90.0)
    words = ("retrain", TINY, "--out", tmp_path, "--seeds", 2, "--epochs", 8, "--top", 2)
    monkeypatch.setattr("search.run.engine.search", engine(3))
    with pytest.raises(Killed):
        said(*words)
    assert not (tmp_path / "tiny_study" / "models").exists()
    monkeypatch.setattr("search.run.engine.search", engine())
    printed = said(*words)
    assert "trials 0, 1: the search cannot tell which is the best after 8 epochs" in printed
    (folder,) = (tmp_path / "tiny_study" / "models").iterdir()
    found = model.load(folder, str(TINY))
    facts = found.facts
    assert facts.lost is not None
    (loser,) = facts.lost
    assert {loser.trial, facts.trial} == {0, 1}
    assert loser.epochs in (2, 4, 8)
    assert f"trial {loser.trial} lost: " in printed
    assert len({seed.seed for seed in facts.seeds}) == 2
    assert [len(curve) for curve in found.curves] == [8, 8]
    # The loser's own curve and the winner's, in their storage, say by how much.
    (raced,) = (tmp_path / "tiny_study" / "retrain").glob("top-000000-000001-8")
    (name,) = optuna.get_all_study_names(f"sqlite:///{raced}/study.db")
    trials = optuna.load_study(study_name=name, storage=f"sqlite:///{raced}/study.db").trials
    lost, won = (next(t for t in trials if t.params["variant"] == f"trial {n}") for n in (loser.trial, facts.trial))
    behind = lost.intermediate_values[loser.epochs] - won.intermediate_values[loser.epochs]
    assert loser.behind == pytest.approx(behind)
    assert won.state is TrialState.COMPLETE
    assert min(seed.error for seed in facts.seeds) == facts.error <= won.user_attrs["curve"][-1]["error"] + 1e-4
    ended = seen(optuna.load_study(study_name="tiny_study", storage=f"sqlite:///{tmp_path}/tiny_study/study.db"))
    assert ended.full_length.models == 1
    monkeypatch.setattr("search.run.engine.search", engine(0))  # nothing is trained anew
    assert f"trial {loser.trial} lost: " in said(*words)
    assert model.read(folder / model.FACTS).error == facts.error


def test_one_seed_of_the_winner_is_the_one_that_won(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched(tmp_path, 30.0, 30.1, 29.9)
    monkeypatch.setattr("search.run.engine.search", engine())
    said("retrain", TINY, "--out", tmp_path, "--seeds", 1, "--epochs", 4, "--top", 3)
    (folder,) = (tmp_path / "tiny_study" / "models").iterdir()
    facts = model.read(folder / model.FACTS)
    assert len(facts.seeds) == 1
    assert facts.lost is not None
    assert len(facts.lost) == 2
    assert not (tmp_path / "tiny_study" / "retrain" / f"{facts.trial:06d}-4").exists()
