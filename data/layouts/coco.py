"""COCO's keypoint annotations: any number of keypoints, any image size, several objects an image.

Coordinates are as in the file. A keypoint is a pixel's number, as a click gives it: the middle of the top left
pixel is (0, 0), so an image spans -0.5 to width - 0.5. A box is measured from the image's corner: x, y, width and
height with the image spanning 0 to width. (`data.storage.crops.fractions` joins the two.)
"""

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError

Array = np.ndarray[Any, np.dtype[np.float64]]
Box = tuple[float, float, float, float]

_FOLDERS = ("images", "data", "train2017")


@dataclass(frozen=True)
class Category:
    """A kind of object.

    Attributes:
        id: Its number in the file.
        name: Such as "antelope".
        keypoints: Names of its points.
        edges: Pairs of points that a drawing joins, counted from 0 (in the file from 1).
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
        box: x, y, width, height, in pixels from the image's top left corner.
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


@dataclass(frozen=True, eq=False)
class Coco:
    """An annotation file that was read and checked.

    Attributes:
        annotations: The file.
        images: The folder that its file names start in.
        categories: In the file's order.
        instances: In the file's order; those without keypoints are left out.
    """

    annotations: Path
    images: Path
    categories: tuple[Category, ...]
    instances: tuple[Instance, ...]


def find(root: Path) -> tuple[Path, Path]:
    """The annotations to train on and the folder of their images.

    Annotations are the first of annotations/*train*.json by name (one with "keypoints" in it before others), else
    the only json of annotations/ or of the folder itself; a name with "test" in it is never taken. Images are in
    images/, data/ or train2017/, else beside the annotations.

    Raises:
        UserError: If there is no such file, or a choice of several.
    """
    root = Path(root).absolute()
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give the one that holds annotations/ and the images.")
    found = _named(root / "annotations", "train")
    if not found:
        found = _named(root / "annotations", "") or _named(root, "")
        if len(found) != 1:
            what = f"{len(found)} json files and none is named train" if found else "no annotations to train on"
            raise UserError(f"{root} has {what}: put the training annotations at annotations/train.json.")
    folders = [root / name for name in _FOLDERS if (root / name).is_dir()]
    return found[0], folders[0] if folders else found[0].parent


def find_valid(root: Path) -> tuple[Path, Path] | None:
    """The annotations to judge on and their images' folder, where the data set has such: those of `find` with "val".

    annotations/ap10k-train-split1.json has annotations/ap10k-val-split1.json beside it. Images are in val2017/
    where there is such a folder, else in the training images' one.
    """
    train, images = find(root)
    valid = train.with_name(train.name.replace("train", "val"))
    if valid == train or not valid.is_file():
        return None
    own = Path(root).absolute() / "val2017"
    return valid, own if own.is_dir() else images


def read(annotations: Path, images: Path, keypoints: int | None = None) -> Coco:
    """Read and check an annotation file; no image is opened.

    Args:
        annotations: The json.
        images: The folder that its file names start in.
        keypoints: How many keypoints each category must have; None for as many as the first has.

    Raises:
        UserError: If the file is missing or malformed, with what is wrong and where.
    """
    file, images = Path(annotations), Path(images).absolute()
    try:
        table = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or error}): give COCO keypoint annotations.") from None
    except ValueError as error:
        raise UserError(f"{file} is no json ({error}): fetch it again.") from None
    if not isinstance(table, dict) or any(
        not isinstance(table.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise _wrong(file, "has no lists named images, annotations and categories")
    categories = tuple(_category(file, entry) for entry in table["categories"])
    categories = tuple(category for category in categories if category.keypoints)
    if not categories:
        raise _wrong(file, "has no category with keypoints")
    count = keypoints or len(categories[0].keypoints)
    for category in categories:
        if len(category.keypoints) != count:
            raise _wrong(file, f"names {len(category.keypoints)} keypoints of {category.name!r} instead of {count}")
    _distinct(file, "category", (category.id for category in categories))
    pictures = {_whole(file, "an image's id", _get(file, "an image", e, "id")): e for e in table["images"]}
    _distinct(file, "image", (entry["id"] for entry in table["images"]))
    known = {category.id for category in categories}
    instances = tuple(
        _instance(file, images, entry, pictures, known, count)
        for entry in table["annotations"]
        if not (isinstance(entry, dict) and "keypoints" not in entry)
    )
    if not instances:
        raise _wrong(file, "has no annotation with keypoints")
    _distinct(file, "annotation", (instance.id for instance in instances))
    return Coco(file, images, categories, instances)


def _named(folder: Path, part: str) -> list[Path]:
    """The folder's json files with `part` in their names and not "test": keypoints' first, then by name."""
    files = [path for path in folder.glob("*.json") if part in path.name.lower() and "test" not in path.name.lower()]
    return sorted(files, key=lambda path: ("keypoints" not in path.name, path.name))


def _wrong(file: Path, what: str) -> UserError:
    return UserError(f"{file} {what}: give annotations in COCO's keypoint format.")


def _get(file: Path, what: str, entry: Any, key: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise _wrong(file, f"has {what} without {key!r}")
    return entry[key]


def _whole(file: Path, what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(file, f"has {value!r} where {what} must be a whole number")
    return value


def _numbers(file: Path, what: str, values: Any, count: int) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise _wrong(file, f"has {what} that is not {count} finite numbers")
    return numbers


def _distinct(file: Path, what: str, ids: Iterable[int]) -> None:
    seen = set[int]()
    for number in ids:
        if number in seen:
            raise _wrong(file, f"has more than one {what} with the id {number}")
        seen.add(number)


def _category(file: Path, entry: Any) -> Category:
    number = _whole(file, "a category's id", _get(file, "a category", entry, "id"))
    name, names, joins = str(_get(file, "a category", entry, "name")), entry.get("keypoints"), entry.get("skeleton")
    if not isinstance(names, list | None) or not isinstance(joins, list | None):
        raise _wrong(file, f"has a category {name!r} whose keypoints or skeleton is no list")
    edges = []
    for join in joins or ():
        a, b = (int(end) for end in _numbers(file, f"a line in the skeleton of {name!r}", join, 2))
        if not (1 <= a <= len(names or ()) and 1 <= b <= len(names or ())):
            raise _wrong(file, f"joins the keypoints {a} and {b} of {name!r}, which has {len(names or ())}")
        edges.append((a - 1, b - 1))
    return Category(number, name, tuple(map(str, names or ())), tuple(edges))


def _instance(
    file: Path, images: Path, entry: Any, pictures: dict[int, Any], categories: set[int], count: int
) -> Instance:
    number = _whole(file, "an annotation's id", _get(file, "an annotation", entry, "id"))
    what = f"annotation {number}"
    image_id = _whole(file, f"the image_id of {what}", _get(file, what, entry, "image_id"))
    category = _whole(file, f"the category_id of {what}", _get(file, what, entry, "category_id"))
    if image_id not in pictures or category not in categories:
        kind = f"image {image_id}" if image_id not in pictures else f"category {category} with keypoints"
        raise _wrong(file, f"has {what} of {kind}, which it does not list")
    picture = pictures[image_id]
    name = _get(file, f"image {image_id}", picture, "file_name")
    width, height = (
        _whole(file, f"the {side} of image {image_id}", _get(file, f"image {image_id}", picture, side))
        for side in ("width", "height")
    )
    points = np.array(_numbers(file, f"{what} with keypoints", entry["keypoints"], 3 * count)).reshape(count, 3)
    if not np.isin(points[:, 2], (0, 1, 2)).all():
        raise _wrong(file, f"has {what} with a visibility other than 0, 1 and 2")
    x, y, w, h = _numbers(file, f"{what} with a bbox", _get(file, what, entry, "bbox"), 4)
    if w <= 0 or h <= 0 or not (-width < x < width and -height < y < height and w <= 2 * width and h <= 2 * height):
        raise _wrong(file, f"has {what} whose bbox {[x, y, w, h]} is not in its image of {width} x {height} pixels")
    area = _numbers(file, f"{what} with an area", [entry.get("area", w * h)], 1)[0]
    return Instance(
        id=number,
        image_id=image_id,
        category_id=category,
        file=os.path.join(images, str(name)),  # noqa: PTH118 - Path objects take three times as long
        width=width,
        height=height,
        points=points,
        box=(x, y, w, h),
        area=area,
        crowd=bool(entry.get("iscrowd", 0)),
        group=picture.get("video", image_id),
    )
