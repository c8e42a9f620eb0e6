"""Candidates for a full training: which they are, by hand, and a real race that is killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import FrozenTrial, create_trial

from search.after import model
from search.after.top import _lost, candidates, inseparable
from search.cli.options import seen
from search.full_length import BETWEEN_NETWORKS, NOISE, NORMAL
from search.load import load_study
from search.results.view import View
from search.run.ledger import ROW, Ledger, open_storage
from tests.search.test_cli import mistake

TINY = Path(__file__).parent.parent / "tiny_study.py"
POSEFRONT = Path(sys.executable).with_name("posefront")


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


@pytest.mark.timeout(600)
def test_a_race_killed_and_continued_keeps_one_winner(tmp_path: Path) -> None:
    searched(tmp_path, 30.0, 30.1, 90.0)
    command = [POSEFRONT, "retrain", TINY, "--out", tmp_path, "--seeds", "2", "--epochs", "6", "--top", "2"]
    first = subprocess.Popen(
        command,
        env=os.environ | {"TINY_SLEEP": "0.2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    room = tmp_path / "tiny_study" / "retrain"
    while first.poll() is None and not list(room.glob("top-*-6/weights/*.pt")):
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not (tmp_path / "tiny_study" / "models").exists()
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=500).stdout
    assert "cannot tell which is the best" in printed
    assert " lost: " in printed
    (folder,) = (tmp_path / "tiny_study" / "models").iterdir()
    facts = model.load(folder, str(TINY)).facts
    assert facts.lost is not None
    (loser,) = facts.lost
    assert {loser.trial, facts.trial} <= {0, 1, 2}
    assert loser.trial != facts.trial
    assert len({seed.seed for seed in facts.seeds}) == 2
    (raced,) = room.glob("top-*-6")
    assert f"{loser.trial:06d}" in raced.name
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=500).stdout
    assert "start-up" not in again
    assert model.read(folder / model.FACTS).error == facts.error
