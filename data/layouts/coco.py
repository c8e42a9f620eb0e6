"""COCO's keypoint annotations, as COCO, MMPose, CVAT, Label Studio and Roboflow write them.

    annotations/NAME.json, or NAME.json         such as person_keypoints_train2017.json
    images/, data/, train2017/ or beside it     the images that it lists
    train/_annotations.coco.json, valid/...     Roboflow's: the images beside each file

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from data.errors import UserError
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
from data.layouts.problems import OnProblem, Problem, fault, refuse, unused, warning

Array = np.ndarray[Any, np.dtype[Any]]
_Size = tuple[int, int]
_Pictures = dict[int, tuple[str, _Size | None, Any]]

_FOLDERS = ("images", "data", "train2017")
_SPLITS = {"train": ("train", "train2017"), "valid": ("val2017", "valid", "val")}
_LISTS = ("images", "annotations", "categories")


def fits(root: Path) -> bool:
    """Whether a folder has anything of the layout: a json in annotations/, or one with "annotations" elsewhere."""
    beside = [*root.glob("*.json"), *(root / "train").glob("*.json")]
    return any((root / "annotations").glob("*.json")) or any(b'"annotations"' in path.read_bytes() for path in beside)


def find(root: Path) -> tuple[Path, Path]:
    """The annotations to train on and the folder of their images.

    Annotations are the first of annotations/*train*.json by name (one with "keypoints" in it before others), else the
    only json that is none of validation, of annotations/ or the folder itself or train/; a name with "test" in it is
    never taken. Images are in images/, data/ or train2017/, else beside the annotations.

    Raises:
        UserError: If there is no such file, or a choice of several.
    """
    root = Path(root).absolute()
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give the one that holds annotations/ and the images.")
    for folder in (root / "annotations", root, root / "train"):
        files = _jsons(folder)
        chosen = [file for file in files if "train" in file.name.lower()]
        chosen = chosen or [file for file in files if not _is_valid(file)] or files
        if chosen and (len(chosen) == 1 or "train" in chosen[0].name.lower()):
            return chosen[0], _folder(root, chosen[0], "train")
        if chosen:
            what = f"{len(chosen)} json files and none is named train"
            break
    else:
        what = "no annotations to train on"
    raise UserError(f"{root} has {what}: put the training annotations at annotations/train.json.")


def find_valid(root: Path) -> tuple[Path, Path] | None:
    """The annotations to judge on and their images' folder, where the data set has such.

    They have the name of the training annotations with "val" or "valid" for "train"
    (annotations/ap10k-train-split1.json, annotations/ap10k-val-split1.json), or are the only json beside them that is
    named so, or the only json of valid/ or val/.
    """
    root = Path(root).absolute()
    train, _ = find(root)
    names = [train.name.replace("train", word) for word in ("val", "valid", "validation")]
    files = [file for file in (train.with_name(name) for name in names) if file.is_file() and file != train]
    if not files:
        beside = [file for file in _jsons(train.parent) if _is_valid(file)]
        files = beside or [file for name in ("valid", "val") for file in _jsons(root / name)]
        files = files if len(files) == 1 else []
    return (files[0], _folder(root, files[0], "valid")) if files else None


def read(root: Path, on_problem: OnProblem = refuse) -> KeypointSet:
    """Read and check a folder's annotations, those of training and of validation; no image is opened.

    Args:
        root: The data set's folder.
        on_problem: Called for each problem; a damaged entry is left out if this returns. All that is not used is
            reported as an "unused" warning.

    Raises:
        UserError: As `find`, and whatever `on_problem` raises.
    """
    root = Path(root).absolute()
    train = read_file(*find(root), on_problem)
    beside = find_valid(root)
    valid = read_file(*beside, on_problem, len(train.keypoints) or None) if beside else None
    read_ones = {train.annotations, *((valid.annotations,) if valid else ())}
    places = {train.annotations.parent, root / "valid", root / "val"}
    others = [file for place in sorted(places) for file in _jsons(place) if file not in read_ones]
    if others:
        names = ", ".join(str(file.relative_to(root)) for file in others)
        on_problem(unused(root, len(others), f"other json files: {names}"))
    return KeypointSet(train, valid)


def read_file(
    annotations: Path, images: Path, on_problem: OnProblem = refuse, keypoints: int | None = None
) -> AnnotationSet:
    """Read and check an annotation file; no image is opened.

    Args:
        annotations: The json.
        images: The folder that its file names start in. If the first image is not there, but is in a place where
            another program exports it, then that place.
        on_problem: Called for each problem; a damaged entry is left out if this returns.
        keypoints: How many keypoints each category must have; None for as many as the first has.

    Raises:
        UserError: Whatever `on_problem` raises.
    """
    file = Path(annotations).absolute()
    faults: list[Problem] = []

    def report(problem: Problem) -> None:
        if problem.severity == "fault":
            faults.append(problem)
        on_problem(problem)

    lists = _lists(file, report)
    categories, counts = _categories(file, lists["categories"], keypoints, report)
    pictures = _pictures(file, lists["images"], report)
    images = _place(file, Path(images).absolute(), next((name for name, _, _ in pictures.values() if name), ""))
    instances = _instances(file, images, lists["annotations"], pictures, counts, report)
    if not faults and not any(instance.usable for instance in instances):
        report(fault("mismatch", file, "it has no annotation with a box and a labelled keypoint that is no crowd"))
    for problem in left_out(file, instances):
        report(problem)
    sizes = {_path(images, name): size for name, size, _ in pictures.values() if name}
    names = categories[0].keypoints if categories else ()
    return AnnotationSet(file, (file,), images, categories, instances, sizes, partners(names))


def _jsons(folder: Path) -> list[Path]:
    """The folder's json files without "test" in their names: keypoints' first, then by name."""
    files = [path for path in folder.glob("*.json") if "test" not in path.name.lower()]
    return sorted(files, key=lambda path: ("keypoints" not in path.name, path.name))


def _is_valid(file: Path) -> bool:
    return "val" in file.name.lower()


def _folder(root: Path, file: Path, split: str) -> Path:
    """Where the images of an annotation file are by the folders' names alone."""
    own = [root / name for name in _SPLITS["valid"]] if split == "valid" else []
    places = [*own, *(root / name for name in _FOLDERS)]
    if file.parent in [root / name for name in ("train", "valid", "val")]:
        places = []
    return next((place for place in places if place.is_dir()), file.parent)


def _place(file: Path, images: Path, first: str) -> Path:
    """The folder of an annotation file's images, told by the first one's name: `images` or another program's."""
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    subset = file.stem.rsplit("_", 1)[-1]  # CVAT: images/default for annotations/person_keypoints_default.json
    names = (subset, *(name for names in _SPLITS.values() for name in names))
    others = [root / "images" / name for name in names] + [root / name for name in names]
    for place in (images, root / "images", *others, root, file.parent):
        if first and Path(_path(place, first)).is_file():
            return place
    return images


def _path(images: Path, name: str) -> str:
    """An image's absolute path; Label Studio on Windows separates folders by backslashes."""
    return os.path.join(images, name.replace("\\", "/"))  # noqa: PTH118 - Path objects take three times as long


def _lists(file: Path, report: OnProblem) -> dict[str, list[Any]]:
    """The three lists of a file; empty where they are missing."""
    try:
        table = json.loads(file.read_bytes())
    except OSError as error:
        report(fault("unreadable", file, error.strerror or str(error), "give COCO keypoint annotations"))
        return {name: [] for name in _LISTS}
    except ValueError as error:
        report(fault("unreadable", file, f"no JSON: {error}"))
        return {name: [] for name in _LISTS}
    lists = {}
    for name in _LISTS:
        value = table.get(name) if isinstance(table, dict) else None
        if not isinstance(value, list):
            report(fault("mis-shaped", file, f"it has no list named {name}", "give COCO keypoint annotations"))
        lists[name] = value if isinstance(value, list) else []
    return lists


def _categories(
    file: Path, entries: list[Any], keypoints: int | None, report: OnProblem
) -> tuple[tuple[Category, ...], dict[int, int]]:
    """The categories with keypoints, and how many keypoints each of all has."""
    categories, counts = [], dict[int, int]()
    for place, entry in enumerate(entries):
        where = f"{file} category {_id(entry, place)}"
        if not _has_id(entry) or not entry.get("name"):
            report(fault("mis-shaped", where, "it lacks a whole number as id, or a name"))
            continue
        if entry["id"] in counts:
            report(fault("duplicate", where, "the id of more than one category"))
        names, joins = entry.get("keypoints") or [], entry.get("skeleton") or []
        if not isinstance(names, list) or not isinstance(joins, list):
            report(fault("mis-shaped", where, "its keypoints or skeleton is no list"))
            continue
        edges = []
        for join in joins:
            ends = join if isinstance(join, list) else []
            if len(ends) == 2 and all(_is_whole(end) and 1 <= end <= len(names) for end in ends):
                edges.append((ends[0] - 1, ends[1] - 1))
            else:
                report(fault("mismatch", where, f"its skeleton joins {join}, and it has {len(names)} keypoints"))
        counts[entry["id"]] = len(names)
        if names:
            categories.append(Category(entry["id"], str(entry["name"]), tuple(map(str, names)), tuple(edges)))
    differing = {len(category.keypoints) for category in categories} | ({keypoints} if keypoints else set())
    if len(differing) > 1 or not categories:
        detail = f"numbers of keypoints differ: {sorted(differing)}" if categories else "no category has keypoints"
        report(fault("mismatch", f"{file} categories", detail))
    return tuple(categories), counts


def _pictures(file: Path, entries: list[Any], report: OnProblem) -> _Pictures:
    """File name, size and group of each image; empty and None where they are not given as they should be."""
    pictures: _Pictures = {}
    for place, entry in enumerate(entries):
        where = f"{file} image {_id(entry, place)}"
        if not _has_id(entry):
            report(fault("mis-shaped", where, "it lacks a whole number as id"))
            continue
        name, wide, high = (entry.get(key) for key in ("file_name", "width", "height"))
        if not isinstance(name, str) or not name:
            report(fault("mis-shaped", where, "it lacks a file_name"))
            name = ""
        size = (wide, high) if _is_whole(wide) and _is_whole(high) and min(wide, high) > 0 else None
        if size is None:
            report(fault("mis-shaped", where, f"its width and height are {wide} and {high}"))
        if entry["id"] in pictures:
            report(fault("duplicate", where, "the id of more than one image"))
        group = entry.get("video", entry["id"])
        if not isinstance(group, int | str):
            report(fault("mis-shaped", where, f"its video is {group}, neither text nor number"))
        pictures[entry["id"]] = name, size, group
    for name, times in Counter(name for name, _, _ in pictures.values() if name).items():
        if times > 1:
            report(warning("duplicate", f"{file} {name}", f"the file of {times} images"))
    return pictures


def _instances(
    file: Path,
    images: Path,
    entries: list[Any],
    pictures: _Pictures,
    counts: dict[int, int],
    report: OnProblem,
) -> tuple[Instance, ...]:
    """The annotations that are sound, and what is wrong with the others."""
    instances, ids, absent = [], Counter[int](), Counter[str]()
    for place, entry in enumerate(entries):
        where = f"{file} annotation {_id(entry, place)}"
        if not isinstance(entry, dict):
            report(fault("mis-shaped", where, "it lacks a whole number as id"))
            continue
        lacking = [key for key in ("keypoints", "bbox") if key not in entry or entry[key] in (None, [])]
        if lacking:
            absent[lacking[0]] += 1
            continue
        instance = _instance(where, images, entry, pictures, counts, report)
        if _has_id(entry):
            ids[entry["id"]] += 1
            if instance:
                instances.append(instance)
    for number, times in ids.items():
        if times > 1:
            report(fault("duplicate", f"{file} annotation {number}", f"the id of {times} annotations"))
    for key, count in absent.items():
        report(unused(file, count, f"annotations without {key}"))
    return tuple(instances)


def _instance(
    where: str,
    images: Path,
    entry: dict[str, Any],
    pictures: _Pictures,
    counts: dict[int, int],
    report: OnProblem,
) -> Instance | None:
    """An annotation; None where anything is wrong with it, which is reported."""
    faults = 0
    for problem in _problems(where, entry, pictures, counts):
        report(problem)
        faults += problem.severity == "fault"
    if faults:
        return None
    name, size, group = pictures[entry["image_id"]]
    if size is None or not name:
        return None
    x, y, w, h = map(float, entry["bbox"])
    area = entry.get("area")
    return Instance(
        id=entry["id"],
        image_id=entry["image_id"],
        category_id=entry["category_id"],
        file=_path(images, name),
        width=size[0],
        height=size[1],
        points=np.array(entry["keypoints"], np.float64).reshape(-1, 3),
        box=(x, y, w, h),
        area=w * h if area is None else float(area),
        crowd=bool(entry.get("iscrowd", 0)),
        group=group,
    )


def _problems(where: str, entry: dict[str, Any], pictures: _Pictures, counts: dict[int, int]) -> Iterator[Problem]:
    """What is wrong with an annotation that has keypoints and a box."""
    if not _has_id(entry):
        yield fault("mis-shaped", where, "it lacks a whole number as id")
    image, category, size, count = entry.get("image_id"), entry.get("category_id"), None, 0
    if _is_whole(image) and image in pictures:
        size = pictures[image][1]
    else:
        yield fault("mismatch", where, f"its image {image} is not listed")
    if _is_whole(category) and counts.get(category):
        count = counts[category]
    else:
        yield fault("mismatch", where, f"its category {category} is not listed, or has no keypoints")
    values, box = _numbers(entry["keypoints"]), _numbers(entry["bbox"])
    if values is None or len(values) % 3 or (count and len(values) != 3 * count):
        length = "no list of numbers" if values is None else f"{len(values)} numbers"
        yield fault("mis-shaped", where, f"its keypoints are {length} instead of {3 * count or '3 a keypoint'}")
    else:
        points = values.reshape(-1, 3)
        yield from point_problems(where, points, size)
        labelled = int((points[:, 2] > 0).sum())
        if (counted := entry.get("num_keypoints", labelled)) != labelled:
            yield warning("mismatch", where, f"its num_keypoints is {counted}, and {labelled} are labelled")
    if box is None or len(box) != 4:
        yield fault("mis-shaped", where, f"its bbox is {entry['bbox']} instead of x, y, width and height")
    else:
        yield from box_problems(where, box.tolist(), size)
    area = entry.get("area")
    if area is not None and not (isinstance(area, int | float) and math.isfinite(area)):
        yield fault("non-finite", where, f"its area is {area}")
    elif area is not None and area <= 0:
        yield warning("implausible", where, f"its area is {area:g}: OKS cannot be judged")


def _numbers(value: Any) -> Array | None:
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if isinstance(value, list) and numbers.ndim == 1 else None


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _has_id(entry: Any) -> bool:
    return isinstance(entry, dict) and _is_whole(entry.get("id"))


def _id(entry: Any, place: int) -> str:
    """An entry's id, or its place in the list where it has none."""
    return str(entry["id"]) if _has_id(entry) else f"at place {place}"
