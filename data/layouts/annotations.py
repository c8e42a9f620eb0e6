"""Annotated keypoints in memory, whatever format they were read from.

A keypoint is a pixel's number, as a click gives it: the middle of the top left pixel is (0, 0), so an image spans -0.5
to width - 0.5. A box is measured from the image's corner: x, y, width and height with the image spanning 0 to width.
(`data.storage.crops.fractions` joins the two.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Box = tuple[float, float, float, float]
Size = tuple[int, int]  # width and height, pixels


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
        originals: What its image says it is a copy of, as programs say it that export changed copies.
        sized: The file says its image's width and height; else they are those displayed.
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
    originals: tuple[str, ...] = ()
    sized: bool = True

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
        files: What they were read from; the first lists the others.
        categories: In the file's order; those without keypoints are left out.
        instances: In the file's order; those without keypoints or a box are left out.
        sizes: Width and height that each image file must have, pixels; of all images listed, None
            where the file does not say.
        mirrored: For each keypoint the one that a mirror shows in its place, P of them.
    """

    files: tuple[Path, ...]
    categories: tuple[Category, ...]
    instances: tuple[Instance, ...]
    sizes: dict[str, Size | None]
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
