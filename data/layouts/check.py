"""Everything that is wrong in a folder: what its layout's reader finds, and every image opened."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from data.errors import UserError
from data.layouts import freihand, gestures, keypoints, robot_hand
from data.layouts.annotations import AnnotationSet
from data.layouts.detect import layout
from data.layouts.groups import copies, left_out, seen_twice, stated, together, unlike
from data.layouts.problems import OnProblem, Problem, Report, fault, reported, warning
from data.storage.copies import Look, look
from data.storage.image import Size
from data.storage.pack import Progress, in_order
from data.storage.splits import FOLDS

_Seen = dict[str, Look]
_Work = Callable[[_Seen, OnProblem], object]  # looks at some images, keeps what they show, and reports


class _Content(NamedTuple):
    """What a reader read.

    Attributes:
        images: How many image files there are.
        objects: How many objects can be used.
        called: What these are called.
        work: What is to be opened.
        of_all: What is to be said once all images were seen.
    """

    images: int
    objects: int
    called: str
    work: Iterable[_Work]
    of_all: Callable[[_Seen], Iterable[Problem]]


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
    work, seen = list(content.work), _Seen()
    for done, new in enumerate(in_order(partial(_collected, seen), work), 1):
        problems += [problem for problem in new if problem.where not in places]
        if progress:
            progress(done, len(work))
    problems += content.of_all(dict(sorted(seen.items())))
    return Report(content.images, content.objects, content.called, tuple(problems))


def _collected(seen: _Seen, work: _Work) -> list[Problem]:
    problems: list[Problem] = []
    work(seen, problems.append)
    return problems


def _few(root: Path, count: int, what: str) -> Iterator[Problem]:
    if count < FOLDS:
        detail = f"{count} {what} are too few for the {FOLDS} parts that studies split them into, if not told otherwise"
        yield warning("few", root, detail)


def _open(files: Iterable[str | Path], size: Size | None, used: bool, seen: _Seen, on_problem: OnProblem) -> None:
    """Decode images in full; what is wrong with one that is not used is a warning."""
    for file in files:
        with reported(on_problem if used else lambda problem: on_problem(replace(problem, severity="warning"))):
            seen[str(file)] = look(file, size)


def _freihand(root: Path, on_problem: OnProblem) -> _Content:
    content = freihand.read(root, on_problem)
    size = (freihand.SIDE, freihand.SIDE)
    work = (partial(_open, [image], size, True) for image in content.images)

    def of_all(seen: _Seen) -> Iterator[Problem]:
        yield from seen_twice(root, seen)
        yield from _few(root, len(content.points), "hands")

    return _Content(len(content.images), len(content.points), "hands", work, of_all)


def _keypoints(root: Path, on_problem: OnProblem) -> _Content:
    content = keypoints.read(root, on_problem)
    sets: list[AnnotationSet] = [content.train, *([content.valid] if content.valid else [])]
    train, *valid = ([instance for instance in part.instances if instance.usable] for part in sets)
    used = {instance.file for part in (train, *valid) for instance in part}
    sizes = {file: size for part in sets for file, size in part.sizes.items()}
    work = (partial(_open, [file], size, file in used) for file, size in sizes.items())

    def of_all(seen: _Seen) -> Iterator[Problem]:
        where = content.train.files[0]
        yield from copies(where, train, seen)
        kept = unlike(train, valid[0], seen) if valid else None
        if kept is not None:
            yield from left_out(where, train, kept, sets[1].files[0])
        if kept is None or not kept.any():
            yield from _few(root, len(set(together(train, stated(train), seen).tolist())), "images or videos")

    called = "".join(f" ({len(part)} of {sets[1].files[0].relative_to(root.absolute())} to judge on)" for part in valid)
    return _Content(len(sizes), sum(map(len, (train, *valid))), f"objects{called}", work, of_all)


def _robot_hand(root: Path, on_problem: OnProblem) -> _Content:
    """No pickle is ever loaded."""
    from data.drawn.robot_view import SIDE

    samples, _, _ = robot_hand.read(root, on_problem)
    if (root / "test").is_dir():
        tests = robot_hand.samples(root, "test", on_problem)
        robot_hand.identifiers(tests, on_problem)
        samples += tests
    images = sum(picture.is_file() for sample in samples for picture in sample.pictures)
    trained = [sample for sample in samples if sample.label]

    def open_sample(sample: robot_hand.Sample, seen: _Seen, on_problem: OnProblem) -> None:
        robot_hand.decode(sample, SIDE, on_problem)
        _open(sample.pictures, (SIDE, SIDE), True, seen, list[Problem]().append)  # decoding has reported them

    def of_all(seen: _Seen) -> Iterator[Problem]:
        yield from seen_twice(root, robot_hand.shown(trained, seen))
        yield from _few(root, len(trained), "samples")

    return _Content(images, len(samples), "samples", (partial(open_sample, sample) for sample in samples), of_all)


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

    def of_all(seen: _Seen) -> Iterator[Problem]:
        trained = {str(frame) for folder in folders["train"] for frame in frames[folder]}
        shown = {file: look for file, look in seen.items() if file in trained and not look.plain}
        yield from seen_twice(root, shown, gestures.unsized(clips))
        yield from _few(root, len(folders["train"]), "folders")

    return _Content(sum(map(len, frames.values())), len(every), "folders", work, of_all)
