"""What is wrong in a folder of FreiHAND's layout, and what is in it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import UserError
from data.layouts.freihand import JOINTS, SIDE, Array, annotation_path, image_names, project, read_points
from data.layouts.problems import Moments, Problem, Report, Table, fault, row, warning
from data.storage.pack import BadImage, Progress, in_order, read
from data.tasks.freihand import FreiHand
from data.tasks.metrics import distances

_CHUNK = 64  # images summed at a time


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

    def tables(self) -> tuple[Table, ...]:
        """The numbers for a person."""
        rows = [
            ("mean of red, green, blue (0 to 1)", row(self.mean, 4)),
            ("std of red, green, blue (0 to 1)", row(self.std, 4)),
            ("middle of all joints, x y [px]", row(self.centre, 1)),
            ("std of all joints, x y [px]", row(self.spread, 1)),
            *(
                (f"std of {name}, x y [px]", row(xy, 1))
                for name, xy in zip(FreiHand.labels, self.joint_spread, strict=True)
            ),
            ("mean hand, on all hands [px]", f"{self.mean_hand_px:.2f}"),
            ("mean hand of the training part, on the validation part [px]", f"{self.valid_mean_hand_px:.2f}"),
        ]
        return (Table(f"{self.images} images of {self.hands} hands", (), tuple(rows)),)


def fits(root: Path) -> bool:
    """Whether a folder has anything of the layout."""
    return any((root / name).exists() for name in ("training_K.json", "training_xyz.json", "training/rgb"))


def check(root: Path, progress: Progress | None = None) -> Report:
    """Name everything that is wrong in a folder; goes on after each problem and changes nothing.

    Joints outside the image are warnings, one each: FreiHAND's own photographs have some.

    Args:
        root: FreiHAND's folder.
        progress: Told how many of how many images are looked at.
    """
    problems: list[Problem] = []
    names: list[str] = []
    try:
        names = image_names(root)
    except UserError:
        problems.append(fault("missing", f"{root}/training/rgb", "the folder of the images"))
    annotated = {kind: _annotation(root, kind, problems) for kind in ("K", "xyz")}
    hands = _mismatches(root, len(names), annotated, problems)
    problems += _joints(root, annotated["K"][:hands], annotated["xyz"][:hands])

    # Without annotations nobody knows how many images there should be.
    count = max(1, round(len(names) / hands)) * hands if hands else len(names)
    expected = {f"{index:08d}.jpg" for index in range(count)}
    for name in sorted(set(names) - expected):
        problems.append(fault("mismatch", f"{root}/training/rgb/{name}", "no annotation belongs to it"))
    paths = [f"{root}/training/rgb/{name}" for name in sorted(expected.union(names))]
    for done, bad in enumerate(in_order(_image, paths), 1):
        problems += bad
        if progress:
            progress(done, len(paths))
    return Report(len(names), hands, "hands", tuple(problems))


def _image(path: str) -> list[Problem]:
    try:
        read(path, SIDE)
    except BadImage as bad:
        return [fault(bad.kind, path, bad.detail)]
    return []


def _annotation(root: Path, kind: str, problems: list[Problem]) -> Array:
    """One annotation file, entry by entry; what is damaged becomes NaN and a problem."""
    shape = (3, 3) if kind == "K" else (JOINTS, 3)
    path = root / f"training_{kind}.json"
    try:
        entries = json.loads(annotation_path(root, kind).read_bytes())
    except UserError:
        problems.append(fault("missing", str(path), "no such file"))
        return np.empty((0, *shape))
    except ValueError as error:
        problems.append(fault("unreadable", str(path), f"no JSON: {error}"))
        return np.empty((0, *shape))
    if not isinstance(entries, list):
        problems.append(fault("mis-shaped", str(path), f"a {type(entries).__name__}, not a list"))
        return np.empty((0, *shape))
    values = np.full((len(entries), *shape), np.nan)
    for index, entry in enumerate(entries):
        where = f"{path} entry {index}"
        try:
            value = np.array(entry, dtype=np.float64)
        except (TypeError, ValueError) as error:
            problems.append(fault("mis-shaped", where, str(error)))
            continue
        if value.shape != shape:
            problems.append(fault("mis-shaped", where, f"{value.shape} instead of {shape}"))
            continue
        values[index] = value
        for line in np.flatnonzero(~np.isfinite(value).all(-1)):
            part = f"{where} {'row' if kind == 'K' else 'joint'} {line}"
            problems.append(fault("non-finite", part, str(value[line].tolist())))
    return values


def _mismatches(root: Path, images: int, annotated: dict[str, Array], problems: list[Problem]) -> int:
    """Compare the numbers of images and annotations; answers the number of hands that have both annotations."""
    matrices, skeletons = len(annotated["K"]), len(annotated["xyz"])
    if matrices and skeletons and matrices != skeletons:
        detail = f"{matrices} entries, and {skeletons} in training_xyz.json"
        problems.append(fault("mismatch", f"{root}/training_K.json", detail))
    hands = min(matrices, skeletons) or max(matrices, skeletons)
    if hands and images % hands:
        detail = f"{images} images are no whole multiple of {hands} annotated hands"
        problems.append(fault("mismatch", f"{root}/training/rgb", detail))
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
        yield fault("behind camera", where, f"z = {xyz[hand, joint, 2]:g} m")
    for hand, joint in np.argwhere(front & seen & ~inside):
        where = f"{root}/training_xyz.json entry {hand} joint {joint}"
        u, v = pixels[hand, joint]
        yield warning("off-image", where, f"pixel ({u:.1f}, {v:.1f})")


def stats(root: Path, progress: Progress | None = None) -> Stats:
    """Describe a sound folder; packs it if it is not packed yet.

    Args:
        root: FreiHAND's folder.
        progress: Told how many of how many images are packed, then how many are summed up.

    Raises:
        UserError: As `FreiHand.prepare`.
    """
    task = FreiHand(root)
    task.prepare(progress)
    pixels = task.split(SIDE).valid.pixels
    moments = Moments()
    for first in range(0, len(pixels), _CHUNK):
        moments.add(pixels[first : first + _CHUNK])
        if progress:
            progress(min(first + _CHUNK, len(pixels)), len(pixels))
    points = read_points(task.folder(), len(pixels)).astype(np.float64)
    joints = points * SIDE - 0.5
    return Stats(
        images=len(pixels),
        hands=len(points),
        mean=moments.mean,
        std=moments.std,
        centre=tuple(joints.mean((0, 1)).tolist()),
        spread=tuple(joints.std((0, 1)).tolist()),
        joint_spread=joints.std(0),
        mean_hand_px=float(distances(np.broadcast_to(points.mean(0), points.shape), points, SIDE).mean()),
        valid_mean_hand_px=task.baseline(),
    )
