"""What is wrong in the robot-hand task's folder, and what is in it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.drawn.robot_view import SIDE
from data.errors import UserError
from data.layouts.problems import Problem, Report, Table, baseline, fault, row, told, warning
from data.layouts.robot_hand import DEEPEST, NUMBERS, VIEWS, identifier, numbers, samples
from data.storage.pack import BadImage, Progress, in_order, read
from data.tasks.robot_hand import RobotHand
from data.tasks.robot_pack import labelled, pack_of
from data.transforms.robot_hand import COLOURS, planes

Array = np.ndarray[Any, np.dtype[Any]]

_FAR = 10.0  # metres: no fingertip is so far from its own robot; millimetres would be
_CHUNK = 32  # samples summed at a time


def fits(root: Path) -> bool:
    """Whether a folder has anything of the layout."""
    return (root / "train" / "X").is_dir() or (root / "train" / "Y").is_dir()


def check(root: Path, progress: Progress | None = None) -> Report:
    """Name everything that is wrong in train/ and, where there is one, in test/; no pickle is ever loaded.

    Args:
        root: The folder.
        progress: Told how many of how many samples are looked at.
    """
    problems: list[Problem] = []
    folders = {part: _folders(root / part / "X") for part in ("train", "test")}
    labels = {path.stem: path for path in (root / "train" / "Y").glob("*.npy")}
    names = {path.name for path in folders["train"]}
    if not names:
        problems.append(fault("missing", root / "train" / "X", "no folders of samples"))
    lone = (root / "train" / "Y" / f"{name}.npy" for name in sorted(names - set(labels)))
    problems += [fault("missing", path, "the label of a sample") for path in lone]
    problems += [fault("mismatch", labels[name], "no sample belongs to it") for name in sorted(set(labels) - names)]
    if (root / "test").is_dir() and not folders["test"]:
        problems.append(fault("missing", root / "test" / "X", "no folders of samples"))

    work = [*folders["train"], *folders["test"]]
    ids: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for done, (folder, (name, bad)) in enumerate(zip(work, in_order(_sample, work), strict=True), 1):
        problems += bad
        if name is not None:
            ids[folder.parts[-3], name].append(folder)
        if progress:
            progress(done, len(work))
    for (_, known), where in ids.items():
        if len(where) > 1:
            others = ", ".join(folder.name for folder in where[1:])
            problems.append(fault("duplicate", where[0] / "field_id.pkl", f"{known!r} is the id of {others} too"))
    for path in sorted(labels.values()):
        problems += _label(path)
    images = sum((folder / "rgb" / f"{view}.png").is_file() for folder in work for view in range(VIEWS))
    return Report(images, len(work), "samples", tuple(problems))


def _folders(place: Path) -> list[Path]:
    found = [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    return sorted(found, key=lambda path: (0, int(path.name), "") if path.name.isdecimal() else (1, 0, path.name))


def _sample(folder: Path) -> tuple[str | None, list[Problem]]:
    """The id of a sample, None where it cannot be read, and what is wrong with its files."""
    problems: list[Problem] = []
    for view in range(VIEWS):
        try:
            read(folder / "rgb" / f"{view}.png", SIDE)
        except BadImage as bad:
            problems.append(fault(bad.kind, folder / "rgb" / f"{view}.png", bad.detail))
    problems += _depth(folder / "depth.npy")
    path = folder / "field_id.pkl"
    try:
        return identifier(path), problems
    except UserError as mistake:
        return None, [*problems, _told(path, mistake, "not plain")]


def _depth(path: Path) -> Iterator[Problem]:
    try:
        depth = numbers(path)
    except UserError as mistake:
        yield _told(path, mistake, "unreadable")
        return
    shape = (VIEWS, SIDE, SIDE)
    if depth.shape != shape:
        yield fault("mis-shaped", path, f"{depth.shape} instead of {shape}")
        return
    values = np.asarray(depth, np.float64)
    for kind, wrong, what in (
        ("non-finite", ~np.isfinite(values), "are no numbers"),
        ("negative", values < 0, "are negative"),
        ("implausible", values > DEEPEST, f"are beyond {DEEPEST} mm"),
    ):
        if count := int(wrong.sum()):
            yield fault(kind, path, f"{count} depths {what}, camera {int(np.argwhere(wrong)[0, 0])}'s among them")
    for view in np.flatnonzero(~(values > 0).any((1, 2))):
        yield warning("implausible", path, f"camera {view} saw no depth at all")
    if 0 < np.nanmax(values) < _FAR:
        yield warning("implausible", path, f"the largest depth is {np.nanmax(values):g}: metres, not millimetres?")


def _label(path: Path) -> Iterator[Problem]:
    try:
        found = np.asarray(numbers(path), np.float64)
    except UserError as mistake:
        yield _told(path, mistake, "unreadable")
        return
    if found.size != NUMBERS:
        yield fault("mis-shaped", path, f"{found.shape} instead of {NUMBERS} numbers")
    elif not np.isfinite(found).all():
        yield fault("non-finite", path, str(found.ravel().tolist()))
    elif (far := np.abs(found).max()) > _FAR:
        yield warning("implausible", path, f"{far:g} m from the origin: millimetres, not metres?")


def _told(path: Path, mistake: UserError, kind: str) -> Problem:
    """What a reader complained of, without the file's name and the advice."""
    what = str(mistake).removeprefix(f"{path} ").rpartition(":")[0]
    return fault(kind if path.is_file() else "missing", path, what)


@dataclass(frozen=True)
class Stats:
    """What is in a folder; all but the number of test samples is of train/.

    Attributes:
        samples: Number of samples with labels.
        tests: Number of samples without.
        mean: Mean of red, green and blue of each camera, on 0..1, (3, 3).
        std: Standard deviation, likewise.
        depth: Least above 0, mean of those above 0 and greatest depth of each camera, (3, 3), millimetres.
        missed: Share of pixels of each camera where the sensor saw no depth (0), (3,).
        centre: Mean of each number, (12,), metres.
        spread: Standard deviation of each number, likewise.
        baseline: RMSE on the validation part of answering the training part's mean, metres, or why there is none.
    """

    samples: int
    tests: int
    mean: Array
    std: Array
    depth: Array
    missed: Array
    centre: Array
    spread: Array
    baseline: float | UserError

    def tables(self) -> tuple[Table, ...]:
        """The numbers for a person."""
        rows = (
            ("samples without labels (test)", str(self.tests)),
            ("image size [px]", f"{SIDE} x {SIDE}, {VIEWS} cameras"),
            ("always answering the mean, RMSE on the validation part [m]", told(self.baseline, 5)),
        )
        names = ("camera", "mean of red, green, blue", "std of them", "depth: least, mean, greatest [mm]", "no depth %")
        views = zip(self.mean, self.std, self.depth, self.missed, strict=True)
        cameras = tuple(
            (str(n), row(mean, 4), row(std, 4), row(depth, 1), f"{100 * missed:.2f}")
            for n, (mean, std, depth, missed) in enumerate(views)
        )
        numbers_ = zip(RobotHand.labels, self.centre, self.spread, strict=True)
        return (
            Table(f"{self.samples} samples", (), rows),
            Table("cameras", names, cameras),
            Table("labels [m]", ("number", "mean", "std"), tuple((n, f"{c:.4f}", f"{s:.4f}") for n, c, s in numbers_)),
        )


def stats(root: Path, progress: Progress | None = None) -> Stats:
    """Describe a sound folder; packs it if it is not packed yet.

    Args:
        root: The folder.
        progress: Told how many of how many samples are packed, then how many are summed up.

    Raises:
        UserError: For files that are missing or damaged.
    """
    task = RobotHand(root)
    judged = baseline(task, progress)
    pack, found = pack_of(root, "train")
    pixels, (_, labels) = pack.pixels(SIDE), labelled(pack, found)
    total, squares = np.zeros(COLOURS, np.int64), np.zeros(COLOURS, np.int64)
    seen, sums, low, high = np.zeros(VIEWS, np.int64), np.zeros(VIEWS), np.full(VIEWS, np.inf), np.zeros(VIEWS)
    for first in range(0, len(pixels), _CHUNK):
        chunk = np.array(pixels[first : first + _CHUNK])
        colours = chunk[..., :COLOURS].reshape(-1, COLOURS)
        total += colours.sum(0, dtype=np.int64)
        squares += np.square(colours, dtype=np.uint16).sum(0, dtype=np.int64)
        depth = planes(torch.from_numpy(chunk))[:, COLOURS:].numpy()
        seen += (depth > 0).sum((0, 2, 3))
        sums += depth.sum((0, 2, 3), dtype=np.float64)
        low = np.minimum(low, np.where(depth > 0, depth, np.inf).min((0, 2, 3)))
        high = np.maximum(high, depth.max((0, 2, 3)))
        if progress:
            progress(min(first + _CHUNK, len(pixels)), len(pixels))
    count = len(pixels) * SIDE * SIDE
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return Stats(
        samples=len(pixels),
        tests=len(samples(root, "test")) if (root / "test").is_dir() else 0,
        mean=mean.reshape(VIEWS, 3) / 255,
        std=std.reshape(VIEWS, 3) / 255,
        depth=np.stack([low, sums / np.maximum(seen, 1), high], 1),
        missed=1 - seen / count,
        centre=labels.mean(0, dtype=np.float64),
        spread=labels.std(0, dtype=np.float64),
        baseline=judged,
    )
