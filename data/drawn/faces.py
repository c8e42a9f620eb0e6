"""Drawn faces: the embedded data set of faces, as COCO keypoints json with 68 landmarks.

annotations/train.json, and images/*.jpg of 116 to 144 pixels a side that show head and shoulders; the box of a face
is its whole picture. Ten pictures are of one person in one place, the frames of a `video`. Frame i depends on
(seed, i) alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.drawn.background import foreground, scenery
from data.drawn.complexion import hanging, head, shaded, trunks
from data.drawn.geometry import Array, between, generator, rotation, turn
from data.drawn.head import FACE_EDGES, LANDMARKS, Face, expression, landmarks, person, sphere
from data.drawn.sets import QUALITY, DrawnSet, coco_category, write_coco
from data.drawn.shading import Light, lighting, mask_image, sensor_noise

FRAMES = 10  # pictures of one person
_FINE = 2  # pixels of the drawing a pixel of the picture
_AWAY = 7.0  # from the camera to the head, in half head heights


@dataclass(frozen=True)
class DrawnFaces(DrawnSet):
    """A set of drawn faces."""

    layout, noun = "faces", "face"
    subfolders = ("annotations", "images")
    chunk = 2 * FRAMES
    count: int  # how many pictures, 1 or more
    seed: int = 0  # 0 or more

    def fingerprint(self) -> Iterable[Any]:
        """The first picture and its landmarks."""
        return draw(self, 0)

    def write(self, folder: Path, index: int) -> tuple[Any, Any]:
        """Saves a picture; returns its entry and its face's."""
        picture, points = draw(self, index)
        (high, wide), group = picture.shape[:2], index // FRAMES
        name = f"{group:04d}_{index % FRAMES}.jpg"
        Image.fromarray(picture).save(folder / "images" / name, quality=QUALITY)
        marks = np.column_stack([(points - 0.5).round(2), np.full(len(points), 2)])
        image = {"id": index, "file_name": name, "width": wide, "height": high, "video": group}
        face = {"id": index, "image_id": index, "category_id": 1, "iscrowd": 0, "num_keypoints": len(points)}
        return image, {**face, "keypoints": marks.ravel().tolist(), "bbox": [0, 0, wide, high], "area": wide * high}

    def finish(self, folder: Path, entries: list[Any]) -> None:
        """Writes annotations/train.json."""
        images, faces = zip(*entries, strict=True)
        category = coco_category(1, "face", LANDMARKS, FACE_EDGES)
        write_coco(folder / "annotations" / "train.json", images, faces, [category])


@dataclass(frozen=True)
class _Scene:
    """One person in one place: a video."""

    face: Face
    size: tuple[int, int]
    behind: Image.Image
    light: Light
    head: float
    view: tuple[float, float, float]


def draw(drawn: DrawnFaces, index: int) -> tuple[NDArray[np.uint8], Array]:
    """Draws picture `index`, uint8 (H, W, 3), and landmarks (68, 2) in pixels from the image's corner.

    Raises IndexError if there is no such picture.
    """
    drawn.check(index)
    scene = _scene(drawn.seed, index // FRAMES)
    rng = generator(drawn.seed, index // FRAMES, 1 + index % FRAMES)
    face = expression(rng, scene.face)
    (wide, high), unit = scene.size, scene.head * between(rng, 0.93, 1.07)
    turns = tuple(view + between(rng, -way, way) for view, way in zip(scene.view, (16, 9, 7), strict=True))
    middle = (wide * between(rng, 0.46, 0.54), high * between(rng, 0.43, 0.51))
    camera = _Camera(turns, unit, middle)
    image = scene.behind.crop(_window(rng, scene.behind.size, scene.size)).resize((wide * _FINE, high * _FINE))
    trunk = _Camera((0.4 * turns[0], 0.0, 0.3 * turns[2]), unit, middle)
    over, cover = _render(face, camera, trunk, scene.light, scene.size)
    image.paste(over, (0, 0), cover)
    image = image.reduce(_FINE)
    points = np.stack(camera.project(*landmarks(face).T)[:2], 1)
    if rng.random() < 0.08:
        foreground(rng, image, points)
    image = image.filter(ImageFilter.BoxBlur(between(rng, 0.0, 0.6)))
    return np.asarray(sensor_noise(rng, image, int(between(rng, 1, 7)))), points


@lru_cache(maxsize=8)
def _scene(seed: int, group: int) -> _Scene:
    rng = generator(seed, group, 0)
    face, light = person(rng), lighting(rng)
    size = int(between(rng, 116, 145)), int(between(rng, 124, 145))
    view = (between(rng, -38, 38) * between(rng, 0.2, 1), between(rng, -12, 14), between(rng, -9, 9))
    return _Scene(face, size, scenery(rng), light, between(rng, 34, 48), view)


def _window(rng: np.random.Generator, whole: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A part of the scenery of the picture's shape: the camera is never quite still."""
    share = between(rng, 0.84, 0.94) * min(whole) / max(size)
    wide, high = int(size[0] * share), int(size[1] * share)
    left, top = int(between(rng, 0, 8)), int(between(rng, 0, 8))
    return left, top, left + wide, top + high


class _Camera:
    """Turns the head's frame by degrees to the picture's right, down and clockwise, and projects its points.

    Half a head's height is `unit` pixels, and the head's middle is seen at the pixel `middle`.
    """

    def __init__(self, turns: tuple[float, ...], unit: float, middle: tuple[float, float]) -> None:
        yaw, pitch, roll = turns
        nodded = turn(rotation(0, -pitch), rotation(1, yaw).T)
        self.rows = turn(rotation(2, roll), nodded.T).tolist()  # Python's floats leave float32 what it is
        self.unit, self.middle = unit, middle

    def project(self, x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
        """Where points are seen, x and y in pixels, and how near they are."""
        a, b, c = (row[0] * x + row[1] * y + row[2] * z for row in self.rows)
        share = self.unit * _AWAY / (_AWAY - c)
        return a * share + self.middle[0], b * share + self.middle[1], c

    def back(self, way: tuple[float, ...]) -> tuple[float, ...]:
        """A direction of the picture, in the head's frame."""
        return tuple(sum(self.rows[r][c] * way[r] for r in range(3)) for c in range(3))


def _render(face: Face, camera: _Camera, trunk: _Camera, light: Light, size: tuple[int, int]) -> list[Image.Image]:
    """The person at _FINE times the size: colours, and where they are."""
    parts = [(*head(face, sphere()), camera), *((*part, trunk) for part in trunks(face))]
    parts += [(*part, camera) for part in hanging(face)]
    vertices, colours = [], []
    for positions, paint, lens in parts:
        vertices.append([plane.ravel() for plane in lens.project(*positions)])
        colours.append(shaded(positions, paint, light, lens.back(light.towards), lens.back((0.0, 0.0, 1.0))))
    x, y, near = (np.concatenate(planes) for planes in zip(*vertices, strict=True))
    return _splat(x * _FINE, y * _FINE, near, np.concatenate(colours, 1), (size[0] * _FINE, size[1] * _FINE))


def _splat(x: Any, y: Any, near: Any, colours: NDArray[np.uint8], size: tuple[int, int]) -> list[Image.Image]:
    """Draws vertices as squares of three by three pixels, the nearest on top: colours, and where they are."""
    wide, high = size
    inside = np.flatnonzero((x >= 0) & (x < wide - 1) & (y >= 0) & (y < high - 1)).astype(np.int32)
    level = (near[inside] * 8000).astype(np.int16)  # two bytes are sorted ten times as fast as four
    inside = inside[np.argsort(level, kind="stable")]
    place = y[inside].astype(np.int32) * wide + x[inside].astype(np.int32)
    owner = np.full(wide * high, len(near), np.int32)
    owner[place] = inside  # of several in one pixel the last one stays, the nearest
    depth = np.append(near, np.float32(-1e4))
    colours = np.append(colours, np.zeros((3, 1), np.uint8), axis=1)
    for step in (1, -1, wide, -wide):
        moved = np.roll(owner, step)
        owner = np.where(depth[moved] > depth[owner], moved, owner)
    image = np.moveaxis(colours[:, owner].reshape(3, high, wide), 0, -1)
    cover = (owner < len(near)).reshape(high, wide)
    return [Image.fromarray(np.ascontiguousarray(image)), mask_image(cover)]
