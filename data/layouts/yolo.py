"""YOLO's keypoint annotations, as Ultralytics, Roboflow and CVAT write them.

    data.yaml                   path, train, val: folders or lists of images; names, kpt_shape: [P, 2 or 3], flip_idx
    images/train/NAME.jpg
    labels/train/NAME.txt       a line an object: class, box (x y w h of its middle), P times x y (and visibility)

All coordinates are fractions of the image's sides. The test part is never opened.
Source: https://docs.ultralytics.com/datasets/pose
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from data.layouts.annotations import AnnotationSet, KeypointSet, Size
from data.layouts.entries import Lists, checked
from data.layouts.image_files import ImageFiles
from data.layouts.problems import OnProblem, fault, refuse, reported, unused, warning
from data.storage.image import ENDINGS, displayed_size

_MEND = "give YOLO-pose annotations, see https://docs.ultralytics.com/datasets/pose"


def fits(root: Path) -> bool:
    """Whether a folder has a data.yaml, or another yaml with "kpt_shape" in it."""
    return _yaml(root) is not None


def read(root: Path, on_problem: OnProblem = refuse) -> KeypointSet:
    """Read and check a folder's training and validation annotations; of images the headers alone are read."""
    root = Path(root).absolute()
    file = _yaml(root) or root / "data.yaml"
    try:
        table = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        on_problem(fault("unreadable", file, " ".join(str(error).split()), _MEND))
        table = {}
    table = table if isinstance(table, dict) else {}
    points = _points(file, table, on_problem)
    train, valid = (_images(root, table, part) for part in ("train", "val"))
    if not train:
        on_problem(fault("missing", file, f"no images in its train, {table.get('train')!r}", _MEND))
    if valid == train and valid:
        on_problem(warning("unused", file, "its val is its train, so it is no validation part"))
        valid = []
    elif table.get("val") and not valid:
        on_problem(warning("unused", file, f"no images in its val, {table['val']!r}, so part of train is judged on"))
    first, second = (_read_part(file, images, points, on_problem) if images else None for images in (train, valid))
    used = {label for part in (first, second) if part for label in part.files[1:]}
    idle = sorted({label for folder in {label.parent for label in used} for label in folder.glob("*.txt")} - used)
    if idle:
        names = [str(label.relative_to(root)) if label.is_relative_to(root) else str(label) for label in idle]
        on_problem(unused(file, "files in labels/ that belong to no image of its train or val", names))
    return KeypointSet(first or AnnotationSet((file,), (), (), {}, ()), second)


def _yaml(root: Path) -> Path | None:
    plain = root / "data.yaml"
    if plain.is_file():
        return plain
    return next((path for path in sorted(root.glob("*.y*ml")) if b"kpt_shape" in path.read_bytes()), None)


class _Points(NamedTuple):
    """What data.yaml says: classes in COCO's form, how many numbers a keypoint has, the keypoints' mirror partners."""

    categories: list[dict[str, Any]]
    dimensions: int
    mirrored: tuple[int, ...] | None


def _points(file: Path, table: dict[str, Any], on_problem: OnProblem) -> _Points:
    shape, names, flip = (table.get(key) for key in ("kpt_shape", "names", "flip_idx"))
    if not isinstance(shape, list) or len(shape) != 2 or not isinstance(shape[0], int) or shape[1] not in (2, 3):
        on_problem(fault("mis-shaped", file, f"its kpt_shape is {shape}, not [keypoints, 2 or 3]", _MEND))
        shape = [0, 3]
    named, numbered = table.get("kpt_names"), list(range(shape[0]))
    keypoints = named if isinstance(named, dict) else {"all": named} if named else {}  # of each class
    for kind, each in list(keypoints.items()):
        if not isinstance(each, list) or len(each) != shape[0]:
            on_problem(fault("mismatch", file, f"its kpt_names are {each}, not {shape[0]} names", _MEND))
            del keypoints[kind]
    numbered = next(iter(keypoints.values()), numbered)
    if flip is not None and (not isinstance(flip, list) or sorted(map(str, flip)) != sorted(map(str, range(shape[0])))):
        on_problem(fault("mismatch", file, f"its flip_idx is {flip}, not each keypoint's number once", _MEND))
        flip = None
    classes = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(classes, dict) or not classes:
        on_problem(fault("mis-shaped", file, f"its names are {names}, not a list of classes", _MEND))
        classes = {}
    categories = [
        {"id": number, "name": str(name), "keypoints": keypoints.get(number, numbered)}
        for number, name in classes.items()
    ]
    return _Points(categories, shape[1], None if flip is None else tuple(flip))


def _images(root: Path, table: dict[str, Any], part: str) -> list[Path]:
    """The image files of a part, by name."""
    files = set[Path]()
    for name in [table[part]] if isinstance(table.get(part), str) else table.get(part) or []:
        bases = (root / str(table.get("path") or "."), root)
        name = str(name).replace("\\", "/")
        places = [base / name for base in bases] + [root / name.removeprefix("../")]  # Roboflow's ../train
        place = next((place.resolve() for place in places if place.exists()), None)
        if place is not None and place.is_file():  # a list of files, which may be relative to it
            lines, there = filter(None, map(str.strip, place.read_text("utf-8").splitlines())), place.parent
            images = ImageFiles([there, root])
            files |= {Path(images.find(line) or there / line) for line in lines}
        elif place is not None:
            files |= {file for file in place.rglob("*") if file.suffix.lower() in ENDINGS}
    return sorted(files)


def _read_part(file: Path, images: list[Path], points: _Points, on_problem: OnProblem) -> AnnotationSet:
    lists: Lists = {"images": [], "annotations": [], "categories": points.categories}
    files, lone = [file], list[str]()
    for number, image in enumerate(images):
        head, _, tail = str(image).rpartition("/images/")
        label = Path(f"{head}/labels/{tail}" if head else image).with_suffix(".txt")
        lone += [] if label.is_file() else [image.name]
        with reported(on_problem):
            wide, high = displayed_size(image)
            size = {"width": wide, "height": high, "sized": False}
            lists["images"].append({"id": number, "file_name": str(image), **size})
            if label.is_file():
                files.append(label)
                for place, line in enumerate(label.read_text("utf-8", "replace").splitlines(), 1):
                    where, ids = f"{label} line {place}", {"id": len(lists["annotations"]), "image_id": number}
                    entry = _entry(where, line, (wide, high), points.dimensions, on_problem)
                    lists["annotations"] += [entry | ids] if entry else []
    if lone:
        on_problem(unused(file, f"images of {images[0].parent} without a file in labels/", lone))
    return checked(lists, files, ImageFiles([images[0].parent]), on_problem, mirrored=points.mirrored)


def _entry(where: str, line: str, size: Size, dimensions: int, on_problem: OnProblem) -> dict[str, Any]:
    """A line's object in COCO's form; empty where there is none, or where it is damaged, which is reported."""
    try:
        numbers = [float(word) for word in line.split()]
    except ValueError:
        on_problem(fault("mis-shaped", where, "not a line of numbers"))
        return {}
    if numbers and (len(numbers) < 5 + dimensions or (len(numbers) - 5) % dimensions or numbers[0] % 1):
        detail = f"{len(numbers)} numbers, not a class, a box of 4 and {dimensions} a keypoint"
        on_problem(fault("mis-shaped", where, detail))
    elif numbers:
        x, y, w, h = (np.array(numbers[1:5]) * (*size, *size)).tolist()
        points = np.array(numbers[5:]).reshape(-1, dimensions)
        if dimensions == 2:  # points that are not labelled are negative, or all zeros
            points = np.column_stack([points, 2 * ~((points < 0).any(1) | (points == 0).all(1))])
        points[:, :2] *= size
        entry = {"category_id": int(numbers[0]), "bbox": [x - w / 2, y - h / 2, w, h]}
        return {"where": where, **entry, "keypoints": points.ravel().tolist()}
    return {}
