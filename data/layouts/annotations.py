"""Annotated keypoints in memory, whatever format they were read from.

A keypoint is a pixel's number, as a click gives it: the middle of the top left pixel is (0, 0), so an image spans -0.5
to width - 0.5. A box is measured from the image's corner: x, y, width and height with the image spanning 0 to width.
(`data.storage.crops.fractions` joins the two.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.layouts.problems import Problem, fault, unused, warning

Array = np.ndarray[Any, np.dtype[np.float64]]
Box = tuple[float, float, float, float]

_WIDEST = 4  # images: a larger box is a mistake, and its crop would fill the memory


@dataclass(frozen=True)
class Category:
    """A kind of object.

    Attributes:
        id: Its number in the file.
        name: Such as "antelope".
        keypoints: Names of its points.
        edges: Pairs of points that a drawing joins, counted from 0.
    """

    id: int
    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Instance:
    """One object in one image.

    Attributes:
        id: Its number in the file.
        image_id: Its image's.
        category_id: Its category's.
        file: Absolute path of the image.
        width: Of the image, pixels.
        height: Of the image, pixels.
        points: (P, 3), x, y and visibility: 0 not labelled, 1 labelled but hidden, 2 visible.
        box: x, y, width, height, in pixels from the image's top left corner; may leave the image.
        area: Of the object in pixels, for OKS; the box's where the file has none.
        crowd: Many objects in one; never trained on, ignored in judging.
        group: What must stay on one side of a split: the image entry's "video", else its id.
    """

    id: int
    image_id: int
    category_id: int
    file: str
    width: int
    height: int
    points: Array
    box: Box
    area: float
    crowd: bool
    group: int | str

    @property
    def labelled(self) -> int:
        """How many of its keypoints are labelled."""
        return int((self.points[:, 2] > 0).sum())

    @property
    def usable(self) -> bool:
        """Whether a network can learn from it: one object, with a labelled keypoint."""
        return not self.crowd and self.labelled > 0


@dataclass(frozen=True, eq=False)
class AnnotationSet:
    """Annotations that were read and checked.

    Attributes:
        annotations: Their file; of several the one that lists the others.
        files: All files that they were read from.
        images: The folder that image names start in.
        categories: In the file's order; those without keypoints are left out.
        instances: In the file's order; those without keypoints or a box are left out.
        sizes: Width and height that each image file must have, pixels; of all images listed, None
            where the file does not say.
        mirrored: For each keypoint the one that a mirror shows in its place, P of them.
    """

    annotations: Path
    files: tuple[Path, ...]
    images: Path
    categories: tuple[Category, ...]
    instances: tuple[Instance, ...]
    sizes: dict[str, tuple[int, int] | None]
    mirrored: tuple[int, ...]

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names of the first category's keypoints; all have as many."""
        return self.categories[0].keypoints if self.categories else ()

    def content(self) -> bytes:
        """All that the files hold: another content is another data set."""
        return b"".join(file.read_bytes() for file in self.files)


@dataclass(frozen=True, eq=False)
class KeypointSet:
    """A folder of annotated keypoints: what to train on and, where the folder has such, what to judge on."""

    train: AnnotationSet
    valid: AnnotationSet | None


def partners(names: Sequence[str]) -> tuple[int, ...]:
    """For each point the one that a mirror shows in its place: left_eye and right_eye, L_Paw and R_Paw; else itself."""
    places = {name.lower(): place for place, name in enumerate(names)}
    return tuple(places.get(_other_side(name.lower()), place) for place, name in enumerate(names))


def _other_side(name: str) -> str:
    """A lower-case name with left and right, or l and r as words, exchanged."""
    swap = {"left": "right", "right": "left", "l": "r", "r": "l"}
    return re.sub(r"left|right|(?<![a-z])[lr](?![a-z])", lambda word: swap[word[0]], name)


def point_problems(where: str, points: Array, size: tuple[int, int] | None) -> Iterator[Problem]:
    """What is wrong with keypoints (P, 3) in an image of a size; None where that is unknown."""
    finite = np.isfinite(points).all(1)
    for point in np.flatnonzero(~finite):
        yield fault("non-finite", f"{where} keypoint {point}", str(points[point].tolist()))
    for point in np.flatnonzero(finite & ~np.isin(points[:, 2], (0, 1, 2))):
        detail = f"its visibility is {points[point, 2]:g}, not 0, 1 or 2"
        yield fault("mismatch", f"{where} keypoint {point}", detail)
    if size:
        inside = ((points[:, :2] >= -0.5) & (points[:, :2] <= np.array(size) - 0.5)).all(1)
        for point in np.flatnonzero(finite & (points[:, 2] > 0) & ~inside):
            x, y = points[point, :2]
            yield warning("off-image", f"{where} keypoint {point}", f"pixel ({x:.1f}, {y:.1f}) of {size[0]}x{size[1]}")


def box_problems(where: str, box: Sequence[float], size: tuple[int, int] | None) -> Iterator[Problem]:
    """What is wrong with a box. One that leaves its image is a warning: clipped objects are annotated so."""
    x, y, w, h = box
    if not np.isfinite(box).all():
        yield fault("non-finite", where, f"its bbox is {list(box)}")
    elif w <= 0 or h <= 0:
        yield fault("negative", where, f"its bbox is {w:g} wide and {h:g} high")
    elif size and (x >= size[0] or y >= size[1] or x + w <= 0 or y + h <= 0):
        yield fault("mismatch", where, f"its bbox {list(box)} is outside its image of {size[0]}x{size[1]} pixels")
    elif size and (w > _WIDEST * size[0] or h > _WIDEST * size[1]):
        yield fault(
            "mismatch", where, f"its bbox {list(box)} is far larger than its image of {size[0]}x{size[1]} pixels"
        )
    elif size and (min(x, y) < -1 or x + w > size[0] + 1 or y + h > size[1] + 1):
        yield warning("off-image", where, f"its bbox {list(box)} leaves its image of {size[0]}x{size[1]} pixels")


def left_out(where: Path, instances: Iterable[Instance]) -> Iterator[Problem]:
    """What tasks leave out of instances that are sound."""
    found = list(instances)
    for count, what in (
        (sum(one.crowd for one in found), "crowds: many objects in one annotation"),
        (sum(not one.crowd and not one.labelled for one in found), "objects without a labelled keypoint"),
    ):
        if count:
            yield unused(where, count, what)
