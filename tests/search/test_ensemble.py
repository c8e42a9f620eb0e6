"""Small gestures, a network a fold, and the test part by all of them: the command, from start to end."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

from data.errors import UserError
from search.after import ensemble, model
from search.after.ensemble import answer
from search.after.training import SearchedTrial, choose_trial
from search.load import load_study
from search.run.state.ledger import ROW, Ledger, open_storage
from search.run.training import checkpoint as weights
from search.run.training.fit import fit
from search.study import replay
from tests.search.test_cli import mistake, said
from tests.without_ray import engine

STUDY = """
from typing import Any

from optuna.trial import BaseTrial

from data.drawn.gestures import DrawnGestures
from data.transforms.augment import GestureAugment
from data.tasks.gestures import Gestures
from models.net import Arch
from models.bodies import Body
from search.objective import ErrorAlone
from search.study import Config, Study, Training

task = Gestures(drawn=DrawnGestures(folders=30, frames=3, tests=4), folds=2, frames=3, motion=False)


def space(trial: BaseTrial, task: Any) -> Config:
    size = trial.suggest_categorical("size", [32])
    body = Body("mobilenetv3_small_050", task.outputs, "linear", size)
    return Config(body, Training(trial.suggest_float("lr", 1e-3, 4e-3), batch=16), GestureAugment(flip=0.3))


study = Study(task, space, trials=1, epochs=1, objective=ErrorAlone(), starts={"one": {"size": 32, "lr": 2e-3}})
"""

POSEFRONT = Path(sys.executable).parent / "posefront"


def searched(file: Path, folder: Path) -> None:
    """A search of one trial, as its storage remembers it."""
    folder.mkdir(parents=True)
    study = load_study(str(file))
    book = Ledger(study, "small", open_storage(f"sqlite:///{folder}/study.db"), study.task.identity())
    trial = book.ask()
    assert trial is not None
    book.report(trial.number, dict.fromkeys(ROW, 1.0))
    book.finish(trial.number)


def test_a_network_a_fold_and_one_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, out, table = tmp_path / "small.py", tmp_path / "runs", tmp_path / "answers.csv"
    file.write_text(STUDY)
    searched(file, out / "small")
    monkeypatch.setattr("search.run.engine.search", engine())
    assert "mean of 2 folds" in said("ensemble", file, "--epochs", 1, "--out", out, "--predict", table)

    models = out / "small" / "ensembles" / "000000-1"
    study = load_study(str(file))
    root = study.task.folder()
    facts = [model.load(models / f"fold-{fold}", str(file)) for fold in range(2)]
    seen = [set(one.facts.data["valid_rows"]) for one in facts]
    assert not seen[0] & seen[1]
    assert len(seen[0] | seen[1]) == 30 * 3  # every frame was judged by the network that had not seen its folder
    assert json.loads((models / "ensemble.json").read_text())["errors"] == [one.facts.error for one in facts]

    # The table by hand: each network's softmax, the mean over a folder's frames and over the folds.
    tasks = [replace(study.task, fold=fold) for fold in range(2)]
    part = tasks[0].test_part(root, 32)
    each = []
    for task, one in zip(tasks, facts, strict=True):
        outputs = torch.from_numpy(answer(task, one.net, part, 32, torch.device("cpu")))
        each.append(outputs.softmax(1).double().numpy().reshape(4, 3, -1).mean(1))
    with table.open() as opened:
        header, *rows = list(csv.reader(opened))
    with (root / "sample_submission.csv").open() as opened:
        sample = list(csv.reader(opened))
    assert header == sample[0]
    assert [row[0] for row in rows] == [row[0] for row in sample[1:]]
    found = np.array([[float(value) for value in row[1:]] for row in rows])
    assert found.sum(1) == pytest.approx(1, abs=1e-4)
    order = [part.ids.index(row[0].rsplit("/", 1)[-1]) for row in rows]
    assert found == pytest.approx(np.mean(each, 0)[order], abs=1e-5)

    assert "give --predict FILE" in mistake("ensemble", file, "--out", out, "--like", "x.csv")


def test_what_cannot_be_predicted_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    tiny = Path(__file__).parent.parent / "tiny_study.py"
    words = ("ensemble", tiny, "--out", tmp_path, "--predict", tmp_path / "a.csv")
    assert "has no test part to predict" in mistake(*words)
    assert not list(tmp_path.iterdir())


def test_submit_packs_only_what_finds_points(tmp_path: Path) -> None:
    file = tmp_path / "small.py"
    file.write_text(STUDY)
    words = ["submit", str(file), "--name", "Ada", "--test", str(tmp_path), "--out", str(tmp_path)]
    assert "answers something else; `posefront export`" in mistake(*words)


def test_a_fold_that_failed_half_way_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "small.py"
    file.write_text(STUDY)
    searched(file, tmp_path / "small")
    study = load_study(str(file))
    book = optuna.load_study(study_name="small", storage=f"sqlite:///{tmp_path}/small/study.db")
    source = SearchedTrial(study, "small", file, tmp_path / "small", choose_trial(book, 0))
    training = ensemble.folds_training(source, 1)
    ledger = training.ledger
    config, _ = replay(study, source.trial.params)
    (reached,) = fit(study.task, config, epochs=1, seed=1, device=torch.device("cpu"))
    for end in (ledger.finish, lambda number: ledger.fail(number, "out of memory")):
        trial = ledger.ask()
        assert trial is not None
        ledger.report(trial.number, reached.epoch.row())
        weights.save({**reached.take(), "owner": trial.owner}, weights.path(training.folder / "weights", trial.number))
        end(trial.number)
    with pytest.raises(UserError, match="came to an end; the last said: out of memory"):
        ensemble.finish(training)
    # A state of another epoch than the last one is no result of this training, and neither is none.
    state = weights.path(training.folder / "weights", 0)
    kept = weights.load(state)
    assert kept is not None
    for change in (lambda: weights.save({**kept, "epoch": 2}, state), state.unlink):
        change()
        with pytest.raises(UserError, match=r"000000\.pt is not the training state after epoch 1, .* to train anew"):
            ensemble.finish(training)
