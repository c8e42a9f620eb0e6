"""Square crops around boxes, packed: what top-down keypoint networks look at."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from data.storage.image import Bytes, open_image
from data.storage.pack import Pack

if TYPE_CHECKING:
    from data.layouts.annotations import Instance

Array = np.ndarray[Any, np.dtype[np.float64]]


class Square(NamedTuple):
    """A square of an image.

    Attributes:
        file: The image.
        width: Of the image, pixels; it must have so many.
        height: Of the image, pixels.
        x: Of the left edge, pixels from the image's left edge; may lie outside.
        y: Of the upper edge, likewise.
        side: Pixels of the image.
    """

    file: str
    width: int
    height: int
    x: float
    y: float
    side: float


def pack_of(squares: Sequence[Square], side: int) -> Pack:
    """The pack of one crop a square, of `side` pixels; nothing is decoded yet. Raises BadImage if one is missing."""
    numbers = np.array([square[1:] for square in squares], np.float64)
    stamp = hashlib.blake2b(b"crops " + numbers.tobytes(), digest_size=10).hexdigest()
    return Pack.of([square.file for square in squares], side, items=squares, decode=decoded, stamp=stamp)


def crops(instances: Sequence[Instance], side: int, margin: float) -> Pack:
    """The pack of one square crop an instance; nothing is decoded yet.

    Args:
        instances: In the pack's order.
        side: Of the packed crops in pixels; larger and smaller boxes are brought to it.
        margin: A crop is as wide as its box's larger side, times this; it has the box's middle. What lies
            outside the image repeats its border.

    Raises:
        BadImage: If an image is missing.
    """
    return pack_of(_squares(instances, margin), side)


def cut(instance: Instance, side: int, margin: float) -> Bytes:
    """One instance's crop, uint8 (side, side, 3), decoded now.

    Raises:
        BadImage: If its image cannot be used.
    """
    return decoded(_squares([instance], margin)[0], side)


def _squares(instances: Sequence[Instance], margin: float) -> list[Square]:
    places = frames(instances, margin).tolist()
    return [Square(i.file, i.width, i.height, *place) for i, place in zip(instances, places, strict=True)]


def frames(instances: Sequence[Instance], margin: float) -> Array:
    """Where crops are: x and y of the top left corner from the image's own, and the side, float64 (N, 3), pixels."""
    boxes = np.array([instance.box for instance in instances]).reshape(-1, 4)
    wide = boxes[:, 2:].max(1, initial=0) * margin
    return np.column_stack([boxes[:, :2] + boxes[:, 2:] / 2 - wide[:, None] / 2, wide])


def fractions(points: Array, frames: Array) -> Array:
    """Keypoints as in the annotations, (N, P, 2) pixels, as fractions of their crops' sides, frames (N, 3).

    A keypoint is a pixel's number and a frame is measured from the corner, half a pixel before.
    """
    return (points + 0.5 - frames[:, None, :2]) / frames[:, None, 2:]


def pixels(points: Array, frames: Array) -> Array:
    """The inverse of `fractions`: (N, P, 2) pixels of the image, as annotations give them."""
    return points * frames[:, None, 2:] + frames[:, None, :2] - 0.5


def decoded(square: Square, side: int) -> Bytes:
    """Cut one crop out of its file, uint8 (side, side, 3)."""
    return seen_in(open_image(square.file, (square.width, square.height)), square, side)


def seen_in(image: Image.Image, square: Square, side: int) -> Bytes:
    """A square of an opened image, uint8 (side, side, 3), reduced by an antialiased triangle filter."""
    _, width, height, x, y, wide = square
    left, top = math.floor(x), math.floor(y)
    right, bottom = max(math.ceil(x + wide), left + 1), max(math.ceil(y + wide), top + 1)
    # rows and columns of the image, the last one repeated where the crop leaves it
    columns, rows = np.arange(left, right).clip(0, width - 1), np.arange(top, bottom).clip(0, height - 1)
    seen = np.asarray(image.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)))
    whole = Image.fromarray(seen[(rows - rows[0])[:, None], columns - columns[0]])
    within = (x - left, y - top, min(x - left + wide, right - left), min(y - top + wide, bottom - top))
    return np.asarray(whole.resize((side, side), Image.Resampling.BILINEAR, box=within))
