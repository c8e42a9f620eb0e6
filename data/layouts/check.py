"""Everything that is wrong in a folder: what its layout's reader finds, and every image opened."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from data.errors import UserError
from data.layouts import freihand, gestures, keypoints, robot_hand
from data.layouts.annotations import AnnotationSet
from data.layouts.detect import layout
from data.layouts.problems import OnProblem, Problem, Report, fault, reported
from data.storage.image import Size, open_image
from data.storage.pack import Progress, in_order

_Work = Callable[[OnProblem], object]  # looks at some images and reports


class _Content(NamedTuple):
    """What a reader read: number of image files and of objects, what these are called, and what is to be opened."""

    images: int
    objects: int
    called: str
    work: Iterable[_Work]


def check(root: Path, progress: Progress | None = None) -> Report:
    """Name everything that is wrong in a folder; goes on after each problem and changes nothing.

    Args:
        root: The data set's folder.
        progress: Told how many of how many files are looked at.

    Raises:
        UserError: As `data.layouts.detect.layout`.
    """
    readers: dict[ModuleType, Callable[[Path, OnProblem], _Content]] = {
        freihand: _freihand,
        robot_hand: _robot_hand,
        gestures: _gestures,
        keypoints: _keypoints,
    }
    reader = readers[layout(root)]
    problems: list[Problem] = []
    try:
        content = reader(root, problems.append)
    except UserError as mistake:  # nothing to read
        return Report(0, 0, "objects", (fault("missing", root, str(mistake)),))
    places = {problem.where for problem in problems}
    work = list(content.work)
    for done, new in enumerate(in_order(_collected, work), 1):
        problems += [problem for problem in new if problem.where not in places]
        if progress:
            progress(done, len(work))
    return Report(content.images, content.objects, content.called, tuple(problems))


def _collected(work: _Work) -> list[Problem]:
    problems: list[Problem] = []
    work(problems.append)
    return problems


def _open(files: Iterable[str | Path], size: Size | None, used: bool, on_problem: OnProblem) -> None:
    """Decode images in full; what is wrong with one that is not used is a warning."""
    for file in files:
        with reported(on_problem if used else lambda problem: on_problem(replace(problem, severity="warning"))):
            open_image(file, size)


def _freihand(root: Path, on_problem: OnProblem) -> _Content:
    content = freihand.read(root, on_problem)
    size = (freihand.SIDE, freihand.SIDE)
    work = (partial(_open, [image], size, True) for image in content.images)
    return _Content(len(content.images), len(content.points), "hands", work)


def _keypoints(root: Path, on_problem: OnProblem) -> _Content:
    content = keypoints.read(root, on_problem)
    sets: list[AnnotationSet] = [content.train, *([content.valid] if content.valid else [])]
    instances = [instance for part in sets for instance in part.instances]
    used = {instance.file for instance in instances if instance.usable}
    sizes = {file: size for part in sets for file, size in part.sizes.items()}
    work = (partial(_open, [file], size, file in used) for file, size in sizes.items())
    return _Content(len(sizes), sum(instance.usable for instance in instances), "objects", work)


def _robot_hand(root: Path, on_problem: OnProblem) -> _Content:
    """No pickle is ever loaded."""
    from data.drawn.robot_view import SIDE

    samples, _, _ = robot_hand.read(root, on_problem)
    if (root / "test").is_dir():
        tests = robot_hand.samples(root, "test", on_problem)
        robot_hand.identifiers(tests, on_problem)
        samples += tests
    images = sum(picture.is_file() for sample in samples for picture in sample.pictures)
    work = (partial(robot_hand.decode, sample, SIDE) for sample in samples)
    return _Content(images, len(samples), "samples", work)


def _gestures(root: Path, on_problem: OnProblem) -> _Content:
    classes, clips = gestures.read(root, on_problem)
    folders = {part: gestures.folders(root, part) for part in ("train", "test")}
    if folders["test"]:
        clips += gestures.read_clips(root, "test", classes, on_problem)
        sample = root / "sample_submission.csv"
        if sample.exists():
            gestures.check_sample(sample, [folder.name for folder in folders["test"]], classes, on_problem)
    sizes = {Path(clip.frames[0]).parent: clip.size for clip in clips}
    every = [*folders["train"], *folders["test"]]
    frames = {folder: list(gestures.frames(folder).values()) for folder in every}
    work = (partial(_open, frames[folder], sizes.get(folder), True) for folder in every)
    return _Content(sum(map(len, frames.values())), len(every), "folders", work)
