"""Drawn animals in AP-10K's layout: one to three four-legged animals in a landscape, with the 17 keypoints.

Image i depends on (seed, i) alone, so a longer set begins with the shorter one.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from data.drawn.landscape import landscape, obstacle
from data.drawn.quadruped import KINDS, SPAN, Build, Portrait, portrait, posed, varied
from data.drawn.raster import RES
from data.drawn.shade import lighting
from data.drawn.skeleton import Array, between
from data.errors import UserError
from data.storage import folders
from data.storage.pack import Progress, in_order
from data.tasks.skeletons import AP10K

QUALITY = 90
"""Of the JPEG files."""
JUDGED = 5
"""Every so-many-th image is in the validation annotations."""

_SIDES = (260, 440)  # of the images, pixels
_LEAST = 6  # visible keypoints of an animal that is annotated


@dataclass(frozen=True)
class DrawnAnimals:
    """A set of drawn animals.

    Attributes:
        count: Images, 10 or more; there are about 1.7 animals in one.
        seed: 0 or more.

    Raises:
        UserError: A value is out of its range.
    """

    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 10:
            raise UserError(f"count is {self.count}, but at least 10 images must be drawn.")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}, but must be 0 or more.")


@dataclass(frozen=True)
class Animal:
    """One animal in a picture: its category, keypoints (17, 3) as in the annotations, and box x, y, w, h."""

    category: int
    points: Array
    box: tuple[int, int, int, int]


def draw(drawn: DrawnAnimals, index: int) -> tuple[Image.Image, list[Animal]]:
    """Draw image `index`: RGB of any size, and the animals in it.

    A keypoint is 2 where it is seen, 1 where flesh of its own hides it, or what is before the animal, as far as a
    person could tell; else 0.

    Raises:
        IndexError: The index is not below the count.
    """
    if not 0 <= index < drawn.count:
        raise IndexError(f"image {index} of {drawn.count}")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(drawn.seed, spawn_key=(index,))))
    width, height = (int(between(rng, *_SIDES)) for _ in range(2))
    width += 80
    light = lighting(rng)
    image, horizon = landscape(rng, width, height)
    tilt = between(rng, 0, 18)
    many = 1 + int(rng.random() * 1.6) + int(rng.random() * 1.15)
    largest = between(rng, 0.55, 0.85) if many == 1 else between(rng, 0.36, 0.52)
    taken = list[tuple[float, float]]()
    stood = []
    for _ in range(many):
        build = varied(rng, KINDS[int(rng.random() * len(KINDS))])
        yaw = (
            between(rng, -55, 55) if rng.random() < 0.85 else between(rng, 55, 125) * (-1 if rng.random() < 0.5 else 1)
        )
        yaw += 180 if rng.random() < 0.5 else 0
        seen = portrait(rng, posed(rng, build), yaw, tilt, light)
        ground = between(rng, max(horizon + 0.12 * height, 0.5 * height), 0.97 * height)
        scale = largest * width / SPAN * between(rng, 0.75, 1.0) * (0.55 + 0.45 * ground / height)
        if rng.random() < 0.9:  # the head in the picture
            scale = min(scale, 0.97 * ground / (seen.feet - seen.top))
        middle = _free(rng, taken, width, 0.5 * SPAN * scale)
        if middle is not None:
            taken.append((middle, 0.5 * SPAN * scale))
            stood.append((ground, middle, scale, build, seen))
    animals = list[Animal]()
    masks = list[Image.Image]()
    for ground, middle, scale, build, seen in sorted(stood, key=lambda one: one[0]):
        animal, mask = _stand(rng, image, seen, build, (middle, ground), scale)
        animals, masks = [_behind(rng, one, mask) for one in animals] + [animal], [*masks, mask]
    if rng.random() < 0.3:
        before = obstacle(rng, image, horizon)
        animals = [_behind(rng, one, before) for one in animals]
    grain = int(between(rng, 2, 9))
    speck = Image.fromarray(rng.integers(0, 256, size=(height, width), dtype=np.uint8))
    speck = speck.point([v * (2 * grain + 1) >> 8 for v in range(256)])
    image = ImageChops.add(image, Image.merge("RGB", (speck, speck, speck)), 1, -grain)
    return image, [one for one in animals if (one.points[:, 2] > 0).sum() >= _LEAST]


def draw_once(drawn: DrawnAnimals, progress: Progress | None = None) -> Path:
    """The set's folder in the cache; drawn now if it is not there: complete or not at all.

    Raises:
        UserError: If the cache cannot be written.
    """
    return folders.drawn(_name(drawn), "ap10k", lambda folder: synth(drawn, folder, progress))


def synth(drawn: DrawnAnimals, folder: Path, progress: Progress | None = None) -> None:
    """Write the set as AP-10K lays it out: data/000000000001.jpg, annotations/ap10k-{train,val}-split1.json.

    Args:
        drawn: What to draw.
        folder: Where; it must not exist or be empty.
        progress: Told how many of how many images are drawn.

    Raises:
        UserError: If the folder cannot be written.
    """
    with folders.whole(folder) as place:
        (place / "data").mkdir()
        (place / "annotations").mkdir()
        tables: dict[str, dict[str, list[Any]]] = {side: {"images": [], "annotations": []} for side in ("train", "val")}
        number = 0
        for index, (size, animals) in enumerate(_drawn(drawn, place)):
            table = tables["train" if (index + 1) % JUDGED else "val"]
            table["images"].append(
                {
                    "license": 1,
                    "id": index + 1,
                    "file_name": _file(index),
                    "width": size[0],
                    "height": size[1],
                    "background": 1,
                }
            )
            for animal in animals:
                number += 1
                table["annotations"].append(_entry(number, index + 1, animal))
            if progress is not None:
                progress(index + 1, drawn.count)
        for side, table in tables.items():
            text = json.dumps({**_HEADER, **table, "categories": _CATEGORIES})
            (place / "annotations" / f"ap10k-{side}-split1.json").write_text(text)


_HEADER = {
    "info": {"description": "drawn animals in AP-10K's layout", "version": "1.0"},
    "licenses": [{"id": 1, "name": "drawn by posefront"}],
}
_CATEGORIES = [
    {
        "id": kind.id,
        "name": kind.name,
        "supercategory": kind.family,
        "keypoints": list(AP10K.names),
        "skeleton": [[a + 1, b + 1] for a, b in AP10K.edges],
    }
    for kind in KINDS
]


@lru_cache(maxsize=4)
def _name(drawn: DrawnAnimals) -> str:
    """The name of a set. The first image is part of it, so that older code's are not taken for these."""
    image, animals = draw(drawn, 0)
    first = image.tobytes() + b"".join(animal.points.tobytes() for animal in animals)
    return hashlib.blake2b(repr(drawn).encode() + first, digest_size=10).hexdigest()


def _file(index: int) -> str:
    return f"{index + 1:012d}.jpg"


def _drawn(drawn: DrawnAnimals, folder: Path) -> Iterator[tuple[tuple[int, int], list[Animal]]]:
    """Draw and save all images; their sizes and animals, in order."""

    def one(index: int) -> tuple[tuple[int, int], list[Animal]]:
        image, animals = draw(drawn, index)
        image.save(folder / "data" / _file(index), quality=QUALITY)
        return image.size, animals

    return in_order(one, range(drawn.count))


def _entry(number: int, image: int, animal: Animal) -> dict[str, Any]:
    x, y, w, h = animal.box
    return {
        "id": number,
        "image_id": image,
        "category_id": animal.category,
        "bbox": [x, y, w, h],
        "area": w * h,
        "iscrowd": 0,
        "num_keypoints": int((animal.points[:, 2] > 0).sum()),
        "keypoints": animal.points.astype(int).ravel().tolist(),
    }


def _free(rng: np.random.Generator, taken: list[tuple[float, float]], width: int, half: float) -> float | None:
    """A place along the picture where an animal hides no other by much; None if there is none."""
    for _ in range(12):
        middle = between(rng, 0.75 * half, width - 0.75 * half) if 1.5 * half < width else width / 2
        if all(abs(middle - other) > 0.72 * (half + reach) for other, reach in taken):
            return middle
    return None


def _stand(
    rng: np.random.Generator, image: Image.Image, seen: Portrait, build: Build, place: tuple[float, float], scale: float
) -> tuple[Animal, Image.Image]:
    """Put an animal into the picture, its lowest foot at `place`; returns it and where it covers the picture."""
    side = round(RES * scale)
    left, top = round(place[0] - side / 2), round(place[1] - (seen.feet + 1) * scale)
    cover = seen.cover.resize((side, side), Image.Resampling.BICUBIC)
    box = cover.point([255 * (v > 127) for v in range(256)]).getbbox() or (0, 0, 1, 1)
    dark = Image.new("L", image.size)
    wide, flat = (box[2] - box[0]) * 0.48, (box[2] - box[0]) * 0.09
    under = left + (box[0] + box[2]) / 2, place[1] - 0.4 * flat
    ImageDraw.Draw(dark).ellipse((under[0] - wide, under[1] - flat, under[0] + wide, under[1] + flat), fill=150)
    image.paste((14, 15, 12), (0, 0), dark.filter(ImageFilter.BoxBlur(0.5 * flat)))
    image.paste(seen.colours.resize((side, side), Image.Resampling.BICUBIC), (left, top), cover)
    mask = Image.new("L", image.size)
    mask.paste(cover, (left, top))
    points = np.zeros((17, 3))
    points[:, :2] = np.rint((seen.points + 0.5) * (side / RES) - 0.5 + (left, top))
    told = rng.random(17) < 0.7  # of what flesh hides; an eye on the other side of the head cannot be told
    told[:2] = False
    points[:, 2] = np.where(seen.hidden, told * 1, 2)
    inside = ((points[:, :2] >= 0) & (points[:, :2] < image.size)).all(1, keepdims=True)
    points *= inside & (points[:, 2:] > 0)
    x0, y0 = max(left + box[0], 0), max(top + box[1], 0)
    x1, y1 = min(left + box[2], image.width), min(top + box[3], image.height)
    return Animal(build.id, points, (x0, y0, x1 - x0, y1 - y0)), mask


def _behind(rng: np.random.Generator, animal: Animal, mask: Image.Image) -> Animal:
    """The animal with what is painted before it: covered keypoints are guessed or left out."""
    points = animal.points.copy()
    covers = np.asarray(mask)
    covered = (points[:, 2] > 0) & (covers[points[:, 1].astype(int), points[:, 0].astype(int)] > 127)
    points[covered, 2] = rng.random(17)[covered] < 0.5
    points *= points[:, 2:] > 0
    return Animal(animal.category, points, animal.box)
