"""YOLO's keypoint annotations, as Ultralytics, Roboflow and CVAT write them.

    data.yaml                   path, train, val: folders or lists of images; names, kpt_shape: [P, 2 or 3], flip_idx
    images/train/NAME.jpg
    labels/train/NAME.txt       a line an object: class, box (x y w h of its middle), P times x y (and visibility)

All coordinates are fractions of the image's sides. The test part is never opened.
Source: https://docs.ultralytics.com/datasets/pose
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from data.layouts.annotations import (
    AnnotationSet,
    Category,
    Instance,
    KeypointSet,
    box_problems,
    left_out,
    partners,
    point_problems,
)
from data.layouts.problems import OnProblem, Problem, fault, refuse, reported, unused, warning
from data.storage.image import displayed_size

Array = np.ndarray[Any, np.dtype[np.float64]]

_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_MEND = "give YOLO-pose annotations, see https://docs.ultralytics.com/datasets/pose"


def fits(root: Path) -> bool:
    """Whether a folder has a data.yaml, or another yaml with "kpt_shape" in it."""
    return _yaml(root) is not None


def read(root: Path, on_problem: OnProblem = refuse) -> KeypointSet:
    """Read and check a folder's training and validation annotations; of images the headers alone are read.

    Args:
        root: The folder that holds data.yaml.
        on_problem: Called for each problem; a damaged entry is left out if this returns.

    Raises:
        UserError: Whatever `on_problem` raises.
    """
    root = Path(root).absolute()
    file = _yaml(root) or root / "data.yaml"
    try:
        table = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        on_problem(fault("unreadable", file, " ".join(str(error).split()), _MEND))
        table = {}
    table = table if isinstance(table, dict) else {}
    categories, dimensions, mirrored = _points(file, table, on_problem)
    train, valid = (_images(root, table, part) for part in ("train", "val"))
    if not train:
        on_problem(fault("missing", file, f"no images in its train, {table.get('train')!r}", _MEND))
    if valid == train and valid:
        on_problem(warning("unused", file, "its val is its train, so it is no validation part"))
        valid = []
    elif table.get("val") and not valid:
        on_problem(warning("missing", file, f"no images in its val, {table['val']!r}"))
    first, second = (
        _read_part(file, images, categories, dimensions, mirrored, on_problem) if images else None
        for images in (train, valid)
    )
    return KeypointSet(first or AnnotationSet(file, (file,), root, categories, (), {}, mirrored), second)


def _yaml(root: Path) -> Path | None:
    plain = root / "data.yaml"
    if plain.is_file():
        return plain
    return next((path for path in sorted(root.glob("*.y*ml")) if b"kpt_shape" in path.read_bytes()), None)


def _points(
    file: Path, table: dict[str, Any], on_problem: OnProblem
) -> tuple[tuple[Category, ...], int, tuple[int, ...]]:
    """The classes, how many numbers a keypoint has, and the keypoints' mirror partners."""
    shape, names, flip = (table.get(key) for key in ("kpt_shape", "names", "flip_idx"))
    if not isinstance(shape, list) or len(shape) != 2 or not isinstance(shape[0], int) or shape[1] not in (2, 3):
        on_problem(fault("mis-shaped", file, f"its kpt_shape is {shape}, not [keypoints, 2 or 3]", _MEND))
        return (), 3, ()
    classes = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(classes, dict) or not classes or not all(isinstance(number, int) for number in classes):
        on_problem(fault("mis-shaped", file, f"its names are {names}, not a list of classes", _MEND))
        classes = {}
    given = table.get("kpt_names")
    given = next(iter(given.values()), None) if isinstance(given, dict) else given
    called = [str(name) for name in given] if isinstance(given, list) else [str(n) for n in range(shape[0])]
    if len(called) != shape[0]:
        on_problem(fault("mismatch", file, f"it has {len(called)} kpt_names for {shape[0]} keypoints", _MEND))
    if flip is not None and (not isinstance(flip, list) or sorted(map(str, flip)) != sorted(map(str, range(shape[0])))):
        on_problem(fault("mismatch", file, f"its flip_idx is {flip}, not each keypoint's number once", _MEND))
        flip = None
    categories = tuple(Category(number, str(name), tuple(called), ()) for number, name in classes.items())
    return categories, shape[1], partners(called) if flip is None else tuple(flip)


def _images(root: Path, table: dict[str, Any], part: str) -> list[Path]:
    """The image files of a part, by name."""
    found = set[Path]()
    for name in [table[part]] if isinstance(table.get(part), str) else table.get(part) or []:
        bases = (root / str(table.get("path") or "."), root)
        places = [base / str(name) for base in bases] + [root / str(name).removeprefix("../")]  # Roboflow's ../train
        place = next((place.resolve() for place in places if place.exists()), None)
        if place is not None and place.is_file():  # a list of files, which may be relative to it
            found |= {place.parent / line.strip() for line in place.read_text("utf-8").splitlines() if line.strip()}
        elif place is not None:
            found |= {file for file in place.rglob("*") if file.suffix.lower() in _ENDINGS}
    return sorted(found)


def _read_part(
    file: Path,
    images: list[Path],
    categories: tuple[Category, ...],
    dimensions: int,
    mirrored: tuple[int, ...],
    on_problem: OnProblem,
) -> AnnotationSet:
    instances, sizes, files, lone = list[Instance](), dict[str, tuple[int, int] | None](), [file], 0
    faults = Counter[str]()

    def report(problem: Problem) -> None:
        faults[problem.severity] += 1
        on_problem(problem)

    for number, image in enumerate(images):
        head, _, tail = str(image).rpartition("/images/")
        label = Path(f"{head}/labels/{tail}" if head else image).with_suffix(".txt")
        sizes[str(image)] = None
        if not label.is_file():
            lone += 1
            continue
        files.append(label)
        with reported(report):
            sizes[str(image)] = size = displayed_size(image)
            for place, line in enumerate(label.read_text("utf-8", "replace").splitlines()):
                if line.strip():
                    where, ids = f"{label} line {place + 1}", (len(instances) + 1, number)
                    instance = _instance(where, line, ids, image, size, categories, dimensions, report)
                    instances += [instance] if instance else []
    if not faults["fault"] and not any(instance.usable for instance in instances):
        report(fault("missing", file, f"no object with a labelled keypoint beside {images[0]} and others", _MEND))
    if lone:
        report(unused(file, lone, f"images without a file in labels/, the first {images[0].parent}"))
    for problem in left_out(file, instances):
        report(problem)
    return AnnotationSet(file, tuple(files), images[0].parent, categories, tuple(instances), sizes, mirrored)


def _instance(
    where: str,
    line: str,
    ids: tuple[int, int],
    image: Path,
    size: tuple[int, int],
    categories: tuple[Category, ...],
    dimensions: int,
    report: OnProblem,
) -> Instance | None:
    """The object of a line; None where anything is wrong with it, which is reported."""
    wanted = 5 + dimensions * (len(categories[0].keypoints) if categories else 0)
    try:
        kind, *values = map(float, line.split())
    except ValueError:
        report(fault("mis-shaped", where, "not a line of numbers"))
        return None
    if len(values) + 1 != wanted:
        report(fault("mis-shaped", where, f"{len(values) + 1} numbers instead of {wanted}"))
        return None
    if kind not in [category.id for category in categories]:
        report(fault("mismatch", where, f"its class {kind:g} is not among the names"))
        return None
    x, y, w, h = (np.array(values[:4]) * (*size, *size)).tolist()
    box = (x - w / 2, y - h / 2, w, h)
    points = np.array(values[4:]).reshape(-1, dimensions)
    if dimensions == 2:  # points that are not labelled are negative, or all zeros
        labelled = ~((points < 0).any(1) | (points == 0).all(1))
        points = np.column_stack([points, np.where(np.isfinite(points).all(1), 2 * labelled, 0)])
    points = points * (*size, 1)
    problems = [*point_problems(where, points, size), *box_problems(where, box, size)]
    for problem in problems:
        report(problem)
    if any(problem.severity == "fault" for problem in problems):
        return None
    return Instance(ids[0], ids[1], int(kind), str(image), *size, points, box, w * h, crowd=False, group=ids[1])
