"""Square crops around boxes, packed: what top-down keypoint networks look at."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from data.storage.image import Bytes, open_image
from data.storage.pack import Pack

if TYPE_CHECKING:
    from data.layouts.annotations import Instance

Array = np.ndarray[Any, np.dtype[np.float64]]
_Item = tuple[str, int, int, float, float, float]  # file, its width and height, the crop's x0, y0 and side


def crops(instances: Sequence[Instance], side: int, margin: float) -> tuple[Pack, Array]:
    """The pack of one square crop an instance; nothing is decoded yet.

    Args:
        instances: In the pack's order.
        side: Of the packed crops in pixels; larger and smaller boxes are brought to it.
        margin: A crop is as wide as its box's larger side, times this; it has the box's middle. What lies
            outside the image repeats its border.

    Returns:
        The pack, and float64 (N, 3): the x and y of each crop's top left corner, from the image's corner, and its
        side, in pixels of the image.

    Raises:
        BadImage: If an image is missing.
    """
    places = frames(instances, margin)
    items = [(i.file, i.width, i.height, *frame) for i, frame in zip(instances, places.tolist(), strict=True)]
    stamp = hashlib.blake2b(f"crops 2 {len(items)} ".encode() + places.tobytes(), digest_size=10)
    for instance in instances:  # which crop is of which file
        stamp.update(f"{instance.image_id} ".encode())
    return Pack.of([item[0] for item in items], side, items=items, decode=_crop, stamp=stamp.hexdigest()), places


def frames(instances: Sequence[Instance], margin: float) -> Array:
    """Where the crops of `crops` are: x and y of the corner and the side, float64 (N, 3)."""
    boxes = np.array([instance.box for instance in instances]).reshape(-1, 4)
    wide = boxes[:, 2:].max(1, initial=0) * margin
    return np.column_stack([boxes[:, :2] + boxes[:, 2:] / 2 - wide[:, None] / 2, wide])


def cut(instance: Instance, side: int, margin: float) -> Bytes:
    """One instance's crop, uint8 (side, side, 3), decoded now.

    Raises:
        BadImage: If its image cannot be used.
    """
    x, y, wide = frames([instance], margin)[0].tolist()
    return _crop((instance.file, instance.width, instance.height, x, y, wide), side)


def fractions(points: Array, frames: Array) -> Array:
    """Keypoints as in the annotations, (N, P, 2) pixels, as fractions of their crops' sides, frames (N, 3).

    A keypoint is a pixel's number and a frame is measured from the corner, half a pixel before.
    """
    return (points + 0.5 - frames[:, None, :2]) / frames[:, None, 2:]


def pixels(points: Array, frames: Array) -> Array:
    """The inverse of `fractions`: (N, P, 2) pixels of the image, as annotations give them."""
    return points * frames[:, None, 2:] + frames[:, None, :2] - 0.5


def _crop(item: _Item, side: int) -> Bytes:
    """Cut one crop out of its file, uint8 (side, side, 3), reduced by an antialiased triangle filter."""
    path, width, height, x, y, wide = item
    image = open_image(path, (width, height))
    left, top = math.floor(x), math.floor(y)
    right, bottom = max(math.ceil(x + wide), left + 1), max(math.ceil(y + wide), top + 1)
    # rows and columns of the image, the last one repeated where the crop leaves it
    columns, rows = np.arange(left, right).clip(0, width - 1), np.arange(top, bottom).clip(0, height - 1)
    seen = np.asarray(image.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)))
    whole = Image.fromarray(seen[(rows - rows[0])[:, None], columns - columns[0]])
    within = (x - left, y - top, min(x - left + wide, right - left), min(y - top + wide, bottom - top))
    return np.asarray(whole.resize((side, side), Image.Resampling.BILINEAR, box=within))
