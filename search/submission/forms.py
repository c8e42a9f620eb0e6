"""What a submission has: the course's zip, and that of every other task whose networks find points in photographs.

member            of the course's hands            of any others
zip               NAME_midterm_project.zip         NAME_submission.zip
submission.csv    a row a test image               a row a test image, or an object that --boxes names
model.pth         the deployed network's weights   the network's own weights
model.json, Report.pdf, report.json                the same
notebook          run, and measured with           none
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.layouts import boxes as layout
from data.layouts.image_files import photographs
from data.storage.pack import Part
from models.readings import read
from search.after.model import FACTS, PTH, Model
from search.after.predict import predict
from search.format import named
from search.run.training.fit import judge
from search.submission.course_images import SIDE, locate, test_images

CSV, REPORT, SOURCES = "submission.csv", "Report.pdf", "report.json"

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Answered:
    """What a network answers for the test part."""

    names: list[str]  # of images, as their files are called, or of objects: image, underscore, object
    points: Array  # (N, P, 2), pixels of each image, pixel centres at whole numbers
    sides: Array  # (N,), what a network sees of each, pixels of the image


@dataclass(frozen=True)
class Form:
    """A kind of submission.

    Attributes:
        ending: of the zip's name.
        notebook: whether a notebook is in it; the weights are then those of the plain network that it builds.
    """

    ending: str
    notebook: bool

    def members(self, stem: str) -> tuple[str, ...]:
        """The names of all members; `stem` is the zip's without '.zip'."""
        return (*([f"{stem}.ipynb"] if self.notebook else []), PTH, FACTS, REPORT, SOURCES, CSV)

    def answered(
        self,
        model: Model,
        test: Path,
        data: Path | None,
        boxes: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Answered:
        """What a network answers for the test part, each image read once.

        Args:
            model: its network answers on the CPU.
            test: the folder of the test images.
            data: the data set's folder; None where it is drawn.
            boxes: where the objects in them are, see `data.layouts.boxes`; None to take each image as one.
            say: is told what a person should know.

        Raises:
            UserError: there are no images, or some will not do.
        """
        if self.notebook:
            files = test_images(test, data)
            return Answered([file.name for file in files], locate(model, files), np.full(len(files), SIDE))
        files = photographs([test])
        objects, notes = (None, ()) if boxes is None else layout.read(boxes, files)
        for note in notes:
            say(note)
        found = predict(model, files, objects)
        alone = len({each.file for each in found}) == len(found)
        names = [each.file.name if alone or not each.boxed else f"{each.file.stem}_{each.boxed.name}" for each in found]
        sides = [max(each.boxed.box[2:] if each.boxed else each.size) for each in found]
        return Answered(names, np.stack([each.points for each in found]), np.array(sides))


COURSE = Form("_midterm_project", notebook=True)
POINTS = Form("_submission", notebook=False)


def form_of(task: Any) -> Form:
    """The form of a task's submissions."""
    return COURSE if getattr(task, "for_course", False) else POINTS


def form_of_file(stem: str) -> Form:
    """The form that a zip's name claims, which is given without '.zip'; the course's where it claims none."""
    return POINTS if stem.endswith(POINTS.ending) else COURSE


def form_of_members(members: Sequence[str]) -> Form:
    """The form of a submission whose members are called so."""
    return COURSE if any(name.endswith(".ipynb") for name in members) else POINTS


def outputs(model: Model, part: Part) -> Array:
    """What a model's network answers for a part, as in training, (N, ...) in its order."""
    answered, _ = judge(model.study.task, model.net, model.config, part, torch.device("cpu"))
    return answered


def numbers(model: Model, answered: Array) -> dict[str, float | None]:
    """The error of answers for the validation part, the network's price and the score, as `claims.claimed` has them."""
    task = model.study.task
    error = task.error(answered, task.split(model.config.arch.size).valid)
    attributes = model.study.objective.attributes(read(model.study.readings, model.config.arch), error)
    score = attributes.get("score")
    return {
        named(task.metric): error,
        "params": model.price.params,
        "FLOPs": model.price.flops,
        "score": None if isinstance(score, str) else score,
    }
