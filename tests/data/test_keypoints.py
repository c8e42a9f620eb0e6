"""Any annotated keypoints: metrics by hand, few images, the study of one's own data; and what a new task costs."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import optuna
import pytest
import torch
from PIL import Image

from data.errors import UserError
from data.storage.pack import Bytes, Pack, Part, Progress, Split
from data.task import BaseTask, Task
from data.tasks.keypoints import Keypoints, faces
from data.tasks.losses import point_loss
from data.tasks.metrics import distances
from data.transforms.augment import AnimalAugment, Augment, level
from models.net import Arch
from search.load import load_study
from search.run.training.fit import fit
from search.study import Config, Training

NAMES = ("left_tip", "right_tip", "root")
POINTS = ((10, 20, 2), (40, 20, 1), (25, 50, 2))


def owned(root: Path, images: int = 4, names: tuple[str, ...] = NAMES, hidden: int = 0) -> Path:
    """Images of one object each in a box of 60 x 40 pixels; of the first `hidden` the right tip is not labelled."""
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    notes, files = [], []
    for number in range(images):
        Image.new("RGB", (90, 70), (40 * number, 90, 9)).save(root / "images" / f"{number}.png")
        files.append({"id": number, "file_name": f"{number}.png", "width": 90, "height": 70})
        marks = [(x + number, y, flag) for x, y, flag in POINTS]
        if number < hidden:
            marks[1] = (0, 0, 0)
        entry = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "bbox": [5, 10, 60, 40]}
        notes.append({**entry, "keypoints": np.ravel(marks).tolist()})
    kinds = [{"id": 1, "name": "clip", "keypoints": names, "skeleton": [[1, 3], [2, 3]]}]
    table = {"images": files, "annotations": notes, "categories": kinds}
    (root / "annotations" / "train.json").write_text(json.dumps(table))
    return root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    return owned(tmp_path / "data", hidden=1)


def whole(task: Keypoints) -> tuple[Part, np.ndarray]:
    """All objects, and answers 6 pixels of the image to the right of the truth."""
    split = task.split(64)
    order = np.argsort(np.concatenate([split.train.rows, split.valid.rows]))
    part = Part(split.train.pixels, np.arange(4), np.concatenate([split.train.targets, split.valid.targets])[order])
    answers = part.targets.astype(np.float64).copy()
    answers[..., 0] += 6 / (60 * task.margin)
    answers[0, 1] = 0.9, 0.1, 0.5  # where nothing is labelled nothing counts
    return part, answers


def test_metrics_by_hand(root: Path) -> None:
    task = Keypoints(root, folds=2, metric="pixel_diff", margin=1.5)
    part, answers = whole(task)
    assert task.labels == NAMES
    assert task.edges == ((0, 2), (1, 2))
    assert task.mirrored == (1, 0, 2)
    assert (part.targets[..., 2] == [[1, 0, 1], *[[1, 1, 1]] * 3]).all()
    assert task.error(answers, part) == pytest.approx(6 * 224 / 90, rel=1e-5)
    box = replace(task, metric="nme")
    assert box.error(answers, part) == pytest.approx(100 * 6 / np.sqrt(60 * 40), rel=1e-5)
    assert box.errors(answers, part)[2] == pytest.approx(100 * 6 / np.sqrt(60 * 40), rel=1e-5)
    assert np.isnan(box.errors(answers, part)[0, 1])
    tips = replace(box, norm=("left_tip", "right_tip"))  # 30 pixels apart
    assert tips.error(answers, part) == pytest.approx(100 * 6 / 30, rel=1e-5)
    assert np.isnan(tips.errors(answers, part)[0]).all()  # without its right tip an object has no such measure
    pck = replace(task, metric="pck_error", threshold=0.11)
    assert pck.error(answers, part) == 0
    answers[3, 0, 0] += 1 / 90  # seven pixels of 60: one of eleven labelled points
    assert pck.error(answers, part) == pytest.approx(1 / 11)
    assert replace(pck, threshold=0.09).error(answers, part) == 1
    assert pck.errors(answers, part)[3, 0] == pytest.approx(100 * 7 / 60, rel=1e-5)
    assert replace(task, metric="ap_error").error(part.targets, part) == pytest.approx(0)
    answers[2] = np.nan  # a network that diverged
    assert all(np.isnan(replace(pck, metric=name).error(answers, part)) for name in ("pixel_diff", "nme", "pck_error"))
    names = {replace(box, **other).identity() for other in ({}, {"metric": "pck_error"}, {"fold": 1}, {"margin": 1.2})}
    assert len(names) == 4


def test_a_measure_that_nobody_has_is_said(root: Path) -> None:
    task = Keypoints(root, folds=2, metric="nme", norm=("left_tip", "left_tip"))
    part, answers = whole(task)
    with pytest.raises(UserError, match="no object has both points of norm"):
        task.error(answers, part)
    for wrong in ({"metric": "mse"}, {"threshold": 0}, {"complete": True}):
        with pytest.raises(ValueError, match=r"must be|no 'ap_error'"):
            Keypoints(**wrong)  # type: ignore[arg-type]
    images, targets = torch.zeros(2, 224, 224, 3, dtype=torch.uint8), torch.ones(2, 3, 3)
    with pytest.raises(TypeError, match="changed by AnimalAugment, not by Augment"):
        task.augment(images, targets, 64, Augment(), torch.Generator())
    with pytest.raises(TypeError, match="changed by Augment, not by AnimalAugment"):
        faces().augment(images, targets, 64, AnimalAugment(), torch.Generator())


@pytest.mark.parametrize(("names", "flips"), [(NAMES, True), (("a", "b", "c"), False)])
def test_the_study_of_ones_own_data_learns_from_few_images(
    names: tuple[str, ...], flips: bool, tmp_path: Path, cache: Path
) -> None:
    assert not cache.exists()
    study = load_study("keypoints", data=owned(tmp_path / "own", names=names))
    study.task.prepare()
    assert len(study.task.split(64).valid.rows) == 1
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(0)).ask()
    config = study.space(trial, study.task)
    assert config.arch.points == 3
    assert ("flip" in trial.params) == flips
    (reached,) = fit(study.task, config, epochs=1, seed=0, device=torch.device("cpu"))
    assert np.isfinite(reached.epoch.error)
    with pytest.raises(UserError, match="1 images cannot be split into 5 folds"):
        load_study("keypoints", data=owned(tmp_path / "one", images=1)).task.split(64)


# A new task: this class and a study are all that it takes.


@dataclass(frozen=True)
class Corner(BaseTask):
    """Where the bright square's corner is, in files named X-Y.png, 56 pixels wide."""

    needs: ClassVar[str] = "a folder of X-Y.png"
    metric: ClassVar[str] = "pixel_diff"
    unit: ClassVar[str] = "px"
    each_unit: ClassVar[str] = "px"
    losses: ClassVar[tuple[str, ...]] = ("distance",)
    labels: ClassVar[tuple[str, ...]] = ("corner",)

    def prepare(self, progress: Progress | None = None) -> None:
        self._pack().pixels(56, progress)

    def split(self, size: int) -> Split:
        pack = self._pack()
        places = [tuple(map(int, Path(item).stem.split("-"))) for item in pack.items]
        points = (np.array(places, np.float32)[:, None] + 0.5) / 56
        pixels = pack.pixels(level(size, 56))
        train, valid = (Part(pixels, r, points[r]) for r in self.fold_rows(np.arange(len(points)), "images"))
        return Split(train, valid)

    def augment(self, images: Any, targets: Any, size: int, how: Augment, generator: Any) -> Any:
        from data.transforms.affine import augment

        return augment(images, targets, size, how, generator)

    def inputs(self, images: Any, size: int) -> Any:
        from data.transforms.warp import inputs

        return inputs(images, size)

    def loss(self, net: Any, images: Any, targets: Any, how: Any) -> Any:
        return point_loss(net, images, targets, how, 56)

    def error(self, outputs: Any, part: Part) -> float:
        return float(self.errors(outputs, part).mean())

    def errors(self, outputs: Any, part: Part) -> Any:
        return distances(outputs, part.targets, 56)

    def picture(self, row: int) -> Bytes:
        return np.asarray(self._pack().pixels(56)[row])

    def identity(self) -> str:
        return f"{self._pack().folder.name} {self.folds} {self.fold} {self.seed}"

    def _pack(self) -> Pack:
        return Pack.of(sorted(self.folder().glob("*.png")), 56)


def test_a_new_task_is_fifty_lines(tmp_path: Path, cache: Path) -> None:
    assert not cache.exists()
    (tmp_path / "corners").mkdir()
    for x in range(5, 45, 4):
        for y in range(5, 45, 8):
            image = Image.new("RGB", (56, 56))
            image.paste((250, 250, 250), (x, y, 56, 56))
            image.save(tmp_path / "corners" / f"{x}-{y}.png")
    task: Task = Corner(tmp_path / "corners")
    task.prepare()
    config = Config(
        Arch(points=1, width=0.2, stride=16, size=48, head="direct"), Training(lr=1e-2, batch=8), Augment(shift=0.05)
    )
    first, *_, last = fit(task, config, epochs=4, seed=0, device=torch.device("cpu"))
    assert last.epoch.train_loss < 0.8 * first.epoch.train_loss
    assert 0 < task.baseline() < 56
    with pytest.raises(UserError, match=r"no data: give a folder of X-Y.png with --data DIR"):
        Corner().prepare()
    with pytest.raises(UserError, match="50 images cannot be split into 51 folds"):
        Corner(tmp_path / "corners", folds=51).split(48)
