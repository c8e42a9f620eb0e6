"""The error on training images without augmentation: measured as the validation error is, training undisturbed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.storage.pack import Part, Split
from search.after.training import judge_state
from search.config_record import rebuild
from search.load import load_study
from search.run.settings import CLEAN_ERROR, FinalTraining
from search.run.training import checkpoint, clean
from search.run.training.worker import work
from tests.search.test_fit import CPU, STUDY_FILE, assignment, job

TIMED = ("seconds", "train_seconds", "memory_mb")


def rows(folder: Path, **settings: Any) -> list[dict[str, float]]:
    run = work(replace(job(folder), **settings), replace(assignment("none"), epochs=5), CPU)
    return [{name: value for name, value in row.items() if name not in TIMED} for row in run]


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_TROUBLE", "none")


@pytest.mark.usefixtures("_tiny")
def test_training_images_are_answered_as_the_validation_part_is(tmp_path: Path) -> None:
    final = FinalTraining(clean=True)
    plain, measured = rows(tmp_path / "a"), rows(tmp_path / "b", final=final)
    assert measured == plain

    # A second process that goes on after the second epoch.
    cut = work(replace(job(tmp_path / "c"), final=final), replace(assignment("none"), epochs=5), CPU)
    next(cut), next(cut)
    rows(tmp_path / "c", final=final)
    states = [checkpoint.load(checkpoint.path(tmp_path / name / "weights", 7)) for name in "abc"]
    assert all(state is not None for state in states)
    none, whole, resumed = (state["clean"] for state in states if state is not None)
    assert none == []
    assert [row["epoch"] for row in whole] == [1, 3, 5]
    assert resumed == whole
    joined = clean.joined(plain, whole)
    assert [CLEAN_ERROR in row for row in joined] == [True, False, True, False, True]

    # By hand, from the weights on disk: no augmentation, evaluation mode, the task's own frame of 224 pixels.
    study, config = load_study(str(STUDY_FILE)), rebuild(assignment("none").config)
    split = study.task.split(config.arch.size)
    places = np.round(np.linspace(0, len(split.train.rows) - 1, len(split.valid.rows))).astype(int)
    net = config.arch.build()
    net.load_state_dict(checkpoint.judged(states[1] or {}))
    pixels = torch.from_numpy(np.stack([split.train.pixels[split.train.rows[place]] for place in places]))
    with torch.inference_mode():
        answered = net.eval()(study.task.inputs(pixels, config.arch.size)).double().numpy()
    error = np.linalg.norm(224 * (answered - split.train.targets[places]), axis=-1).mean()
    assert whole[-1][CLEAN_ERROR] == pytest.approx(error, rel=1e-5)
    judged = judge_state(study.task, config, 1, states[1] or {}, CPU)
    assert judged.clean.images == len(places)
    if judged.seed.weights == "averaged":
        assert judged.clean.error == pytest.approx(error, rel=1e-5)


def test_the_sample_is_spread_over_the_training_part() -> None:
    def part(count: int, first: int) -> Part:
        return Part(np.zeros((9, 1, 1, 3), np.uint8), np.arange(first, first + count), np.arange(count))

    chosen = clean.sample(Split(part(10, 100), part(4, 0)))
    assert chosen.rows.tolist() == [100, 103, 106, 109]
    assert chosen.targets.tolist() == [0, 3, 6, 9]
    assert len(clean.sample(Split(part(3, 0), part(9, 0))).rows) == 3


@pytest.mark.parametrize("epochs", [1, 2, 9, 24, 300, 1000])
def test_it_is_measured_a_few_times_and_at_the_end(epochs: int) -> None:
    at = [epoch for epoch in range(1, epochs + 1) if clean.is_measured(epoch, epochs)]
    assert at[-1] == epochs
    assert len(at) <= min(clean.MOST, max(1, (epochs + 1) // 2))
