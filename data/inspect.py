"""What is wrong in a folder of FreiHAND's layout, and what is in it."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from data.errors import Mistake
from data.freihand import FreiHand
from data.layout import JOINTS, SIDE, Array, annotation_path, image_names, project, read_points
from data.pack import BadImage, Progress, in_order, read

_CHUNK = 64  # images summed at a time


@dataclass(frozen=True)
class Problem:
    """One thing found.

    Attributes:
        severity: "fault" for what cannot be trained on, "warning" for what is merely worth knowing.
        kind: Faults: "missing", "unreadable", "truncated", "mis-shaped", "mismatch" (counts or names that do not
            fit), "non-finite" or "behind camera". Warning: "off-image".
        where: The file, or the annotation's number and the joint's.
        detail: What is wrong with it.
    """

    severity: Literal["fault", "warning"]
    kind: str
    where: str
    detail: str


@dataclass(frozen=True)
class Report:
    """Everything found in a folder.

    Attributes:
        images: Number of image files.
        hands: Number of annotated hands that could be read.
        problems: In the order: annotations, then images.
    """

    images: int
    hands: int
    problems: tuple[Problem, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems of each kind that occurs."""
        return dict(Counter(problem.kind for problem in self.problems))

    @property
    def sound(self) -> bool:
        """Whether there is no fault; warnings do not matter."""
        return all(problem.severity == "warning" for problem in self.problems)

    def __str__(self) -> str:
        found = ", ".join(f"{count} {kind}" for kind, count in self.counts.items()) or "nothing wrong"
        return f"{self.images} images, {self.hands} hands: {found}"


@dataclass(frozen=True)
class Stats:
    """What is in a folder.

    Attributes:
        images: Number of images.
        hands: Number of hands.
        mean: Mean of each channel, on 0..1, over all pixels of all images.
        std: Standard deviation of each channel, likewise.
        centre: Mean position of all joints in pixels, (x, y).
        spread: Standard deviation of all joints' positions in pixels, (x, y).
        joint_spread: Standard deviation of each joint's position in pixels, (P, 2).
        mean_hand_px: PixelDiff of always answering the mean hand of all hands, judged on all hands.
        valid_mean_hand_px: PixelDiff on the validation part of answering the training part's mean hand: what a
            network must beat.
    """

    images: int
    hands: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    joint_spread: Array
    mean_hand_px: float
    valid_mean_hand_px: float


def check(root: Path, progress: Progress | None = None) -> Report:
    """Name everything that is wrong in a folder; goes on after each problem and changes nothing.

    Joints outside the image are warnings, one each: FreiHAND's own photographs have some.

    Args:
        root: FreiHAND's folder.
        progress: Told how many of how many images are looked at.

    Raises:
        Mistake: If there is no such folder.
    """
    if not root.is_dir():
        raise Mistake(f"{root} is no folder: give FreiHAND's folder, which holds training_K.json.")
    problems: list[Problem] = []
    names: list[str] = []
    try:
        names = image_names(root)
    except Mistake:
        problems.append(Problem("fault", "missing", f"{root}/training/rgb", "the folder of the images"))
    annotated = {kind: _annotation(root, kind, problems) for kind in ("K", "xyz")}
    hands = _mismatches(root, len(names), annotated, problems)
    problems += _joints(root, annotated["K"][:hands], annotated["xyz"][:hands])

    # Without annotations nobody knows how many images there should be.
    count = max(1, round(len(names) / hands)) * hands if hands else len(names)
    expected = {f"{index:08d}.jpg" for index in range(count)}
    for name in sorted(set(names) - expected):
        problems.append(Problem("fault", "mismatch", f"{root}/training/rgb/{name}", "no annotation belongs to it"))
    paths = [f"{root}/training/rgb/{name}" for name in sorted(expected.union(names))]
    for done, bad in enumerate(in_order(_image, paths), 1):
        problems += bad
        if progress:
            progress(done, len(paths))
    return Report(len(names), hands, tuple(problems))


def _image(path: str) -> list[Problem]:
    try:
        read(path, SIDE)
    except BadImage as bad:
        return [Problem("fault", bad.kind, path, bad.detail)]
    return []


def _annotation(root: Path, kind: str, problems: list[Problem]) -> Array:
    """One annotation file, entry by entry; what is damaged becomes NaN and a problem."""
    shape = (3, 3) if kind == "K" else (JOINTS, 3)
    path = root / f"training_{kind}.json"
    try:
        entries = json.loads(annotation_path(root, kind).read_bytes())
    except Mistake:
        problems.append(Problem("fault", "missing", str(path), "no such file"))
        return np.empty((0, *shape))
    except ValueError as error:
        problems.append(Problem("fault", "unreadable", str(path), f"no JSON: {error}"))
        return np.empty((0, *shape))
    if not isinstance(entries, list):
        problems.append(Problem("fault", "mis-shaped", str(path), f"a {type(entries).__name__}, not a list"))
        return np.empty((0, *shape))
    values = np.full((len(entries), *shape), np.nan)
    for index, entry in enumerate(entries):
        where = f"{path} entry {index}"
        try:
            value = np.array(entry, dtype=np.float64)
        except (TypeError, ValueError) as error:
            problems.append(Problem("fault", "mis-shaped", where, str(error)))
            continue
        if value.shape != shape:
            problems.append(Problem("fault", "mis-shaped", where, f"{value.shape} instead of {shape}"))
            continue
        values[index] = value
        for row in np.flatnonzero(~np.isfinite(value).all(-1)):
            part = f"{where} {'row' if kind == 'K' else 'joint'} {row}"
            problems.append(Problem("fault", "non-finite", part, str(value[row].tolist())))
    return values


def _mismatches(root: Path, images: int, annotated: dict[str, Array], problems: list[Problem]) -> int:
    """Compare the numbers of images and annotations; answers the number of hands that have both annotations."""
    matrices, skeletons = len(annotated["K"]), len(annotated["xyz"])
    if matrices and skeletons and matrices != skeletons:
        detail = f"{matrices} entries, and {skeletons} in training_xyz.json"
        problems.append(Problem("fault", "mismatch", f"{root}/training_K.json", detail))
    hands = min(matrices, skeletons) or max(matrices, skeletons)
    if hands and images % hands:
        detail = f"{images} images are no whole multiple of {hands} annotated hands"
        problems.append(Problem("fault", "mismatch", f"{root}/training/rgb", detail))
    return hands


def _joints(root: Path, matrix: Array, xyz: Array) -> Iterator[Problem]:
    """Joints behind the camera or outside the image; what is not finite is named already."""
    if len(matrix) != len(xyz):  # one of the files is missing: nothing can be projected
        matrix = np.full((len(xyz), 3, 3), np.nan)
    pixels = project(xyz, matrix)
    front, seen = xyz[..., 2] > 0, np.isfinite(pixels).all(-1)
    inside = ((pixels >= -0.5) & (pixels <= SIDE - 0.5)).all(-1)
    for hand, joint in np.argwhere(np.isfinite(xyz).all(-1) & ~front):
        where = f"{root}/training_xyz.json entry {hand} joint {joint}"
        yield Problem("fault", "behind camera", where, f"z = {xyz[hand, joint, 2]:g} m")
    for hand, joint in np.argwhere(front & seen & ~inside):
        where = f"{root}/training_xyz.json entry {hand} joint {joint}"
        u, v = pixels[hand, joint]
        yield Problem("warning", "off-image", where, f"pixel ({u:.1f}, {v:.1f})")


def stats(root: Path, progress: Progress | None = None) -> Stats:
    """Describe a sound folder; packs it if it is not packed yet.

    Args:
        root: FreiHAND's folder.
        progress: Told how many of how many images are packed, then how many are summed up.

    Raises:
        Mistake: As `FreiHand.prepare`.
    """
    task = FreiHand(root)
    task.prepare(progress)
    pixels = task.split(SIDE).valid.pixels
    total, squares = np.zeros(3), np.zeros(3)
    for first in range(0, len(pixels), _CHUNK):
        values = pixels[first : first + _CHUNK].reshape(-1, 3).astype(np.float32) / 255
        total += values.sum(0, dtype=np.float64)
        squares += np.square(values).sum(0, dtype=np.float64)
        if progress:
            progress(min(first + _CHUNK, len(pixels)), len(pixels))
    mean = total / (pixels.size // 3)
    std = np.sqrt(squares / (pixels.size // 3) - mean**2)

    points = read_points(task.folder(), len(pixels)).astype(np.float64)
    joints = points * SIDE - 0.5
    return Stats(
        images=len(pixels),
        hands=len(points),
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        centre=tuple(joints.mean((0, 1)).tolist()),
        spread=tuple(joints.std((0, 1)).tolist()),
        joint_spread=joints.std(0),
        mean_hand_px=task.error(np.broadcast_to(points.mean(0), points.shape), points),
        valid_mean_hand_px=task.baseline(),
    )
