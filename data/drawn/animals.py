"""Drawn animals in AP-10K's layout: one to three four-legged animals in a landscape, with the 17 keypoints."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data.drawn.background import landscape, obstacle
from data.drawn.geometry import Array, between
from data.drawn.quadruped import KINDS, SPAN, Build, Portrait, portrait, posed, varied
from data.drawn.raster import RES
from data.drawn.sets import QUALITY, DrawnSet, coco_category, write_coco
from data.drawn.shading import Light, lighting, sensor_noise

JUDGED = 5  # every so-many-th image is in the validation annotations

_SIDES = (260, 440)  # of the images, pixels
_LEAST = 6  # visible keypoints of an animal that is annotated


@dataclass(frozen=True)
class DrawnAnimals(DrawnSet):
    """A set of drawn animals: data/000000000001.jpg, annotations/ap10k-{train,val}-split1.json."""

    layout, noun = "ap10k", "image"
    least = {"count": 10, "seed": 0}  # noqa: RUF012 (not a field)
    subfolders = ("data", "annotations")
    count: int  # images, 10 or more; there are about 1.7 animals in one
    seed: int = 0  # 0 or more

    def fingerprint(self) -> Iterable[Any]:
        """The first image and its animals."""
        image, animals = draw(self, 0)
        return image, *(animal.points for animal in animals)

    def write(self, folder: Path, index: int) -> tuple[Any, list[Any]]:
        """Saves an image; returns its entry and those of its animals, without their numbers."""
        image, animals = draw(self, index)
        name = f"{index + 1:012d}.jpg"
        image.save(folder / "data" / name, quality=QUALITY)
        size = {"width": image.width, "height": image.height}
        entry = {"license": 1, "id": index + 1, "file_name": name, **size, "background": 1}
        return entry, [_annotation(index + 1, animal) for animal in animals]

    def finish(self, folder: Path, entries: list[Any]) -> None:
        """Numbers the animals and writes the annotations of both sides."""
        from data.tasks.skeletons import AP10K

        for number, annotation in enumerate((annotation for _, several in entries for annotation in several), 1):
            annotation["id"] = number
        names, edges = AP10K.names, AP10K.edges
        categories = [coco_category(kind.id, kind.name, names, edges, supercategory=kind.family) for kind in KINDS]
        for side in ("train", "val"):
            chosen = [entry for n, entry in enumerate(entries, 1) if (n % JUDGED == 0) == (side == "val")]
            annotations = [annotation for _, several in chosen for annotation in several]
            path = folder / "annotations" / f"ap10k-{side}-split1.json"
            write_coco(path, [image for image, _ in chosen], annotations, categories, **_HEADER)


_HEADER = {
    "info": {"description": "drawn animals in AP-10K's layout", "version": "1.0"},
    "licenses": [{"id": 1, "name": "drawn by posefront"}],
}


@dataclass(frozen=True)
class Animal:
    """One animal in a picture: its category, keypoints (17, 3) as in the annotations, and box x, y, w, h."""

    category: int
    points: Array
    box: tuple[int, int, int, int]


def draw(drawn: DrawnAnimals, index: int) -> tuple[Image.Image, list[Animal]]:
    """Draws image `index`: RGB of any size, and the animals in it.

    A keypoint is 2 where it is seen, 1 where flesh of its own hides it, or what is before the animal, as far as a
    person could tell; else 0. Raises IndexError if there is no such image.
    """
    rng = drawn.generator(index)
    width, height = (int(between(rng, *_SIDES)) for _ in range(2))
    width += 80
    light = lighting(rng)
    image, horizon = landscape(rng, width, height)
    animals = list[Animal]()
    for figure in sorted(_figures(rng, image.size, horizon, light), key=lambda figure: figure.place[1]):
        animal, mask = _stand(rng, image, figure)
        animals = [*(_behind(rng, other, mask) for other in animals), animal]
    if rng.random() < 0.3:
        before = obstacle(rng, image, horizon)
        animals = [_behind(rng, animal, before) for animal in animals]
    image = sensor_noise(rng, image, int(between(rng, 2, 9)))
    return image, [animal for animal in animals if (animal.points[:, 2] > 0).sum() >= _LEAST]


@dataclass(frozen=True)
class _Figure:
    """An animal to be put into the picture, its lowest foot at `place`; `scale` is pixels in one of its map."""

    build: Build
    portrait: Portrait
    place: tuple[float, float]
    scale: float


def _figures(rng: np.random.Generator, size: tuple[int, int], horizon: int, light: Light) -> list[_Figure]:
    """One to three animals, each where it hides no other by much."""
    width, height = size
    tilt = between(rng, 0, 18)
    many = 1 + int(rng.random() * 1.6) + int(rng.random() * 1.15)
    largest = between(rng, 0.55, 0.85) if many == 1 else between(rng, 0.36, 0.52)
    figures = list[_Figure]()
    for _ in range(many):
        build = varied(rng, KINDS[int(rng.random() * len(KINDS))])
        if rng.random() < 0.85:
            yaw = between(rng, -55, 55)
        else:
            yaw = between(rng, 55, 125) * (-1 if rng.random() < 0.5 else 1)
        yaw += 180 if rng.random() < 0.5 else 0
        drawing = portrait(rng, posed(rng, build), yaw, tilt, light)
        ground = between(rng, max(horizon + 0.12 * height, 0.5 * height), 0.97 * height)
        scale = largest * width / SPAN * between(rng, 0.75, 1.0) * (0.55 + 0.45 * ground / height)
        if rng.random() < 0.9:  # the head in the picture
            scale = min(scale, 0.97 * ground / (drawing.feet - drawing.top))
        middle = _free(rng, figures, width, 0.5 * SPAN * scale)
        if middle is not None:
            figures.append(_Figure(build, drawing, (middle, ground), scale))
    return figures


def _free(rng: np.random.Generator, taken: list[_Figure], width: int, half: float) -> float | None:
    """A place along the picture where an animal hides no other by much; None if there is none."""
    for _ in range(12):
        middle = between(rng, 0.75 * half, width - 0.75 * half) if 1.5 * half < width else width / 2
        if all(abs(middle - other.place[0]) > 0.72 * (half + 0.5 * SPAN * other.scale) for other in taken):
            return middle
    return None


def _stand(rng: np.random.Generator, image: Image.Image, figure: _Figure) -> tuple[Animal, Image.Image]:
    """Puts an animal and its shadow into the picture; returns it and where it covers the picture."""
    drawing, place, scale = figure.portrait, figure.place, figure.scale
    side = round(RES * scale)
    left, top = round(place[0] - side / 2), round(place[1] - (drawing.feet + 1) * scale)
    cover = drawing.cover.resize((side, side), Image.Resampling.BICUBIC)
    box = cover.point([255 * (v > 127) for v in range(256)]).getbbox() or (0, 0, 1, 1)
    dark = Image.new("L", image.size)
    wide, flat = (box[2] - box[0]) * 0.48, (box[2] - box[0]) * 0.09
    under = left + (box[0] + box[2]) / 2, place[1] - 0.4 * flat
    ImageDraw.Draw(dark).ellipse((under[0] - wide, under[1] - flat, under[0] + wide, under[1] + flat), fill=150)
    image.paste((14, 15, 12), (0, 0), dark.filter(ImageFilter.BoxBlur(0.5 * flat)))
    image.paste(drawing.colours.resize((side, side), Image.Resampling.BICUBIC), (left, top), cover)
    mask = Image.new("L", image.size)
    mask.paste(cover, (left, top))
    points = np.zeros((17, 3))
    points[:, :2] = np.rint((drawing.points + 0.5) * (side / RES) - 0.5 + (left, top))
    guessed = rng.random(17) < 0.7  # of what flesh hides; nobody can guess an eye on the other side of the head
    guessed[:2] = False
    points[:, 2] = np.where(drawing.hidden, guessed * 1, 2)
    inside = ((points[:, :2] >= 0) & (points[:, :2] < image.size)).all(1, keepdims=True)
    points *= inside & (points[:, 2:] > 0)
    x0, y0 = max(left + box[0], 0), max(top + box[1], 0)
    x1, y1 = min(left + box[2], image.width), min(top + box[3], image.height)
    return Animal(figure.build.id, points, (x0, y0, x1 - x0, y1 - y0)), mask


def _behind(rng: np.random.Generator, animal: Animal, mask: Image.Image) -> Animal:
    """The animal with what is painted before it: covered keypoints are guessed or left out."""
    points = animal.points.copy()
    covers = np.asarray(mask)
    covered = (points[:, 2] > 0) & (covers[points[:, 1].astype(int), points[:, 0].astype(int)] > 127)
    points[covered, 2] = rng.random(17)[covered] < 0.5
    points *= points[:, 2:] > 0
    return replace(animal, points=points)


def _annotation(image: int, animal: Animal) -> dict[str, Any]:
    """An animal in COCO's format; its number comes later."""
    x, y, w, h = animal.box
    entry = {"id": 0, "image_id": image, "category_id": animal.category, "bbox": [x, y, w, h], "area": w * h}
    keypoints = animal.points.astype(int).ravel().tolist()
    return {**entry, "iscrowd": 0, "num_keypoints": int((animal.points[:, 2] > 0).sum()), "keypoints": keypoints}
