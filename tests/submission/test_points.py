"""A submission of another task than the course's: keypoints of annotated objects, several in a photograph."""

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState, create_trial
from PIL import Image

from data.errors import UserError
from data.layouts import boxes
from search.after import model as models
from search.after.predict import predict
from search.after.training import judged_on
from search.load import load_study
from search.results import answers
from search.results.view import View
from search.run.state.sampler import derived
from search.run.training.fit import fit
from search.study import replay
from search.submission import forms
from search.submission.check.checks import Verdict
from search.submission.check.verify import verify
from search.submission.submit import Submission, submit
from tests.search import test_cli
from tests.search.test_predict import annotated
from tests.submission.test_submission import (
    members,
    refused,
    rehashed,
    repacked,
    row_changed,
    scaled,
    submission_claim,
    weights_with,
)

STUDY = """
from optuna.trial import BaseTrial
from data.tasks.keypoints import Keypoints
from data.transforms.augment import AnimalAugment
from models.net import Arch
from search.objective import ErrorAlone
from search.study import Config, Study, Training

task = Keypoints(root={root!r}, folds=3, metric="nme", flip_test=True)

def space(trial: BaseTrial, task: Keypoints) -> Config:
    width = trial.suggest_float("width", 0.1, 1.0)
    arch = Arch(task.points, width, 32, 48, "direct", neck=0)
    return Config(arch, Training(lr=5e-3, batch=4, ema=0.9), AnimalAugment())

study = Study(task, space, trials=1, epochs=2, objective=ErrorAlone())
"""
MEMBERS = ["model.pth", "model.json", "Report.pdf", "report.json", "submission.csv"]


@dataclass(frozen=True)
class Packed:
    """A submission and what it was made from."""

    done: Submission
    model: models.Model
    view: View
    test: Path
    boxes: Path
    study: Path

    def check(self, file: Path, **options: Any) -> Verdict:
        """As `posefront verify` does, with the test part."""
        given = {"study": str(self.study), "test": self.test, "boxes": self.boxes} | options
        return verify(file, None, **given)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packed]:
    folder = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEFRONT_CACHE", str(folder / "cache"))
        model = trained(folder, annotated(folder / "data"))
        test, where = photographs(folder / "test"), folder / "boxes.csv"
        where.write_text("file,name,x,y,w,h\nb.png,left,10,20,60,80\nb.png,right,100,20,60,90\na.jpg,only,5,5,90,70\n")
        done = submit(model, searched(), "Łukasz", test, model.study.task.folder(), folder / "out", boxes=where)
        yield Packed(done, model, searched(), test, where, folder / "things.py")


def trained(folder: Path, data: Path) -> models.Model:
    """Two epochs, kept as the project keeps them."""
    file = folder / "things.py"
    file.write_text(STUDY.format(root=str(data)))
    study, params = load_study(str(file)), {"width": 0.15}
    config, _ = replay(study, params)
    number = derived(study.seed, 0)
    first, last = fit(study.task, config, epochs=2, seed=number, device=torch.device("cpu"))
    rows = [first.epoch.row(), last.epoch.row()]
    weights = {name.removeprefix("module."): value for name, value in last.take()["ema"].items()}
    part = study.task.split(48)
    seed = models.Seed(number, last.epoch.error, "averaged", {"averaged": last.epoch.error})
    facts = {
        "study": "things",
        "trial": 0,
        "params": params,
        "metric": "nme",
        "unit": "%",
        "error": seed.error,
        "params_count": 1,
        "flops": 1,
        "score": None,
        "epochs": 2,
        "seeds": [seed],
        "teacher": None,
        "data": judged_on(study.task, 48),
        "versions": models.versions(torch.device("cpu")),
        "made": "2026-01-01",
        **models.described(study.task, config),
    }
    price = models.rebuilt(folder, models.Facts(**facts, weights_sha256=""), study).price
    facts |= {"params_count": price.params, "flops": price.flops}
    models.save(folder / "model", facts, weights, [rows])
    found = answers.of(study.task, last.outputs, part.valid, 2)
    answers.save(found, folder / "model", 0)
    return models.load(folder / "model", study)


def searched() -> View:
    kept = {"params_m": 0.2, "gflops": 0.003, "nme": 40.0}
    ranges = {"width": optuna.distributions.FloatDistribution(0.1, 1.0)}
    trial = create_trial(
        state=TrialState.COMPLETE, value=40.0, params={"width": 0.15}, distributions=ranges, user_attrs=kept
    )
    trial.number = 0
    return View.of("things", "error", {"metric": "nme", "unit": "%"}, [trial])


def photographs(folder: Path) -> Path:
    folder.mkdir()
    random = np.random.default_rng(1)
    for name, width, height in (("a.jpg", 120, 90), ("b.png", 200, 150)):
        noise = Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        noise.resize((width, height)).save(folder / name)
    return folder


def test_what_is_in_it(packed: Packed) -> None:
    done = packed.done
    assert done.zip.name == "Lukasz_submission.zip"
    with zipfile.ZipFile(done.zip) as opened:
        found = {name: opened.read(name) for name in opened.namelist()}
    assert list(found) == MEMBERS
    assert sorted(file.name for file in done.zip.parent.iterdir()) == [
        *("Lukasz_submission.zip", "Report.pdf", "submission.csv")
    ]
    assert (done.notebook, done.images, done.measured) == (None, 3, {})
    objects, _ = boxes.read(packed.boxes, [packed.test / "a.jpg", packed.test / "b.png"])
    wanted = [each.points.ravel() for each in predict(packed.model, [], objects)]
    rows = list(csv.reader(io.StringIO(found["submission.csv"].decode())))
    assert rows[0] == ["id", "x0", "y0", "x1", "y1", "x2", "y2"]
    assert [row[0] for row in rows[1:]] == ["a_only", "b_left", "b_right"]
    np.testing.assert_allclose(np.array([row[1:] for row in rows[1:]], float), wanted, atol=1e-4)
    weights = torch.load(io.BytesIO(found["model.pth"]), weights_only=True)
    assert weights.keys() == packed.model.net.state_dict().keys()


def test_it_is_verified_with_the_test_part_and_without(packed: Packed) -> None:
    verdict = packed.check(packed.done.zip)
    assert verdict.word == "PASS", [line.message for line in verdict.lines if not line.passed]
    names = {line.name for line in verdict.lines}
    assert {"nme", "params", "FLOPs", "report", "answers for the test images", "kind of submission"} <= names
    assert not any("notebook" in name for name in names)
    without = packed.check(packed.done.zip, test=None, boxes=None)
    assert (without.word, [line.name for line in without.warnings]) == (
        *("PASS with 1 warning", ["answers for the test images"]),
    )
    assert "test images" in refused(packed.check(packed.done.zip, boxes=None))


@pytest.mark.parametrize(
    ("member", "change", "wrong"),
    [
        ("model.pth", weights_with(lambda tensors: list(tensors.values())[-1].add_(0.3)), "nme"),
        ("submission.csv", row_changed(lambda row: [[row[0], "1.0000", *row[2:]]]), "answers for the test images"),
        ("submission.csv", row_changed(lambda _: []), "rows of the csv"),
        ("model.json", scaled("error", 0.98), "nme"),
        ("model.json", scaled("flops", 0.98), "FLOPs"),
        ("model.json", submission_claim(author="Someone Else"), "author"),
        ("Report.pdf", lambda content: content + b" ", "report"),
    ],
)
def test_what_is_changed_with_all_digests_is_found(
    packed: Packed, tmp_path: Path, member: str, change: Callable[[bytes], bytes], wrong: str
) -> None:
    contents = members(packed.done.zip)
    spoilt = rehashed(contents | {member: change(contents[member])})
    assert wrong in refused(packed.check(repacked(packed.done.zip, tmp_path, spoilt)))


def test_it_is_not_the_courses(packed: Packed, tmp_path: Path) -> None:
    other = tmp_path / "Lukasz_midterm_project.zip"
    shutil.copy(packed.done.zip, other)
    assert "lacks Lukasz_midterm_project.ipynb" in refused(packed.check(other))["members"]


def test_a_sample_is_followed_and_an_image_without_boxes_is_one_object(packed: Packed, tmp_path: Path) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text("image,a_x,a_y,b_x,b_y,c_x,c_y\nb.png,0,0,0,0,0,0\na.jpg,0,0,0,0,0,0\n")
    data = packed.model.study.task.folder()
    done = submit(packed.model, packed.view, "A", packed.test, data, tmp_path / "out", like=sample)
    with done.csv.open() as opened:
        rows = list(csv.reader(opened))
    assert [row[0] for row in rows] == ["image", "b.png", "a.jpg"]
    (wanted,) = predict(packed.model, [packed.test / "a.jpg"])
    np.testing.assert_allclose(np.array(rows[2][1:], float), wanted.points.ravel(), atol=1e-4)


def test_it_predicts_when_it_is_unpacked(packed: Packed, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed.done.zip) as opened:
        opened.extractall(tmp_path / "things")
    words = ("predict", tmp_path / "things", packed.test, "--boxes", packed.boxes, "--json", tmp_path / "a.json")
    test_cli.said(*words)  # the study's file is not needed
    found = json.loads((tmp_path / "a.json").read_text())["predictions"]
    assert [(Path(each["file"]).name, each["name"]) for each in found] == [
        *(("a.jpg", "only"), ("b.png", "left"), ("b.png", "right"))
    ]


def test_a_model_that_measures_otherwise_is_not_packed(packed: Packed, tmp_path: Path) -> None:
    folder, data = tmp_path / "model", packed.model.study.task.folder()
    facts = packed.model.facts.record() | {"error": packed.model.facts.error * 1.02}
    del facts["weights_sha256"], facts["format"]
    facts["seeds"] = [models.Seed(**seed) for seed in facts["seeds"]]
    models.save(folder, facts, packed.model.net.state_dict(), [[]])
    spoilt = models.load(folder, packed.model.study)
    with pytest.raises(UserError, match=r"the packed network measures nme .* and .* claims"):
        submit(spoilt, packed.view, "A", packed.test, data, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_the_form_of_a_task_and_of_a_name(packed: Packed) -> None:
    assert forms.form_of(packed.model.study.task) is forms.POINTS
    assert forms.form_of_file("Ada_submission") is forms.POINTS
    assert forms.form_of_file("Ada_midterm_project") is forms.COURSE
