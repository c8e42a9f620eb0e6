"""What is wrong in a folder of COCO keypoint annotations; what is in it is in `data.layouts.measure_coco`."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from data.errors import UserError
from data.layouts import coco
from data.layouts.measure_coco import Stats, stats
from data.layouts.problems import Problem, Report, fault, spoiled, warning
from data.storage.pack import Progress, in_order

__all__ = ["Stats", "check", "fits", "stats"]

Array = np.ndarray[Any, np.dtype[Any]]
_Size = tuple[int, int]


def fits(root: Path) -> bool:
    """Whether a folder has anything of the layout: a json in annotations/, or one with "annotations" beside others."""
    return any((root / "annotations").glob("*.json")) or any(
        b'"annotations"' in path.read_bytes() for path in root.glob("*.json")
    )


def check(root: Path, progress: Progress | None = None) -> Report:
    """Name everything that is wrong in the training annotations, and in the validation ones where there are such.

    Points and boxes outside the image are warnings: clipped objects are annotated so. Test annotations are not opened.

    Args:
        root: The folder.
        progress: Told how many of how many images are looked at.
    """
    problems: list[Problem] = []
    try:
        found = [coco.find(root)]
    except UserError as mistake:
        return Report(0, 0, "objects", (fault("missing", root, str(mistake)),))
    valid = coco.find_valid(root)
    found += [valid] if valid else []
    files: dict[str, _Size | None] = {}
    objects = 0
    for annotations, images in found:
        table = _table(annotations, problems)
        counts = _categories(annotations, table["categories"], problems)
        pictures = _pictures(annotations, table["images"], problems)
        files |= {str(images / name): size for name, size in pictures.values() if name}
        seen = Counter[int]()
        for place, entry in enumerate(table["annotations"]):
            if isinstance(entry, dict) and "keypoints" not in entry:
                continue  # an object without keypoints is not of this task
            new = list(_annotation(annotations, place, entry, pictures, counts))
            problems += new
            objects += all(problem.severity == "warning" for problem in new)
            if isinstance(entry, dict) and _whole(entry.get("id")):
                seen[entry["id"]] += 1
        problems += [
            fault("duplicate", f"{annotations} annotation {number}", f"the id of {times} annotations")
            for number, times in seen.items()
            if times > 1
        ]
    for done, bad in enumerate(in_order(lambda item: spoiled(*item), files.items()), 1):
        problems += bad
        if progress:
            progress(done, len(files))
    return Report(len(files), objects, "objects", tuple(problems))


def _table(path: Path, problems: list[Problem]) -> dict[str, list[Any]]:
    """The three lists of a file; empty where they are missing."""
    try:
        read = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        problems.append(fault("unreadable", path, f"no JSON: {error}"))
        read = {"images": [], "annotations": [], "categories": []}
    lists = {}
    for name in ("images", "annotations", "categories"):
        value = read.get(name) if isinstance(read, dict) else None
        if not isinstance(value, list):
            problems.append(fault("mis-shaped", path, f"it has no list named {name}"))
        lists[name] = value if isinstance(value, list) else []
    return lists


def _categories(path: Path, entries: list[Any], problems: list[Problem]) -> dict[int, int]:
    """How many keypoints each category has."""
    counts: dict[int, int] = {}
    for place, entry in enumerate(entries):
        where = f"{path} category {_id(entry, place)}"
        if not isinstance(entry, dict) or not _whole(entry.get("id")) or not entry.get("name"):
            problems.append(fault("mis-shaped", where, "it lacks a whole number as id, or a name"))
            continue
        if entry["id"] in counts:
            problems.append(fault("duplicate", where, "the id of more than one category"))
        names, joins = entry.get("keypoints") or [], entry.get("skeleton") or []
        if not isinstance(names, list) or not isinstance(joins, list):
            problems.append(fault("mis-shaped", where, "its keypoints or skeleton is no list"))
            continue
        counts[entry["id"]] = len(names)
        for join in joins:
            ends = join if isinstance(join, list) else []
            if len(ends) != 2 or not all(_whole(end) and 1 <= end <= len(names) for end in ends):
                problems.append(
                    fault("mismatch", where, f"its skeleton joins {join}, and it has {len(names)} keypoints")
                )
    if len(given := {count for count in counts.values() if count}) != 1:
        detail = f"numbers of keypoints differ: {sorted(given)}" if given else "no category has keypoints"
        problems.append(fault("mismatch", f"{path} categories", detail))
    return counts


def _pictures(path: Path, entries: list[Any], problems: list[Problem]) -> dict[int, tuple[str, _Size | None]]:
    """File name and size of each image; empty and None where they are not given as they should be."""
    pictures: dict[int, tuple[str, _Size | None]] = {}
    for place, entry in enumerate(entries):
        where = f"{path} image {_id(entry, place)}"
        if not isinstance(entry, dict) or not _whole(entry.get("id")):
            problems.append(fault("mis-shaped", where, "it lacks a whole number as id"))
            continue
        name, wide, high = (entry.get(key) for key in ("file_name", "width", "height"))
        if not isinstance(name, str) or not name:
            problems.append(fault("mis-shaped", where, "it lacks a file_name"))
            name = ""
        size = (wide, high) if _whole(wide) and _whole(high) and min(wide, high) > 0 else None
        if size is None:
            problems.append(fault("mis-shaped", where, f"its width and height are {wide} and {high}"))
        if entry["id"] in pictures:
            problems.append(fault("duplicate", where, "the id of more than one image"))
        pictures[entry["id"]] = name, size
    for name, times in Counter(name for name, _ in pictures.values() if name).items():
        if times > 1:
            problems.append(warning("duplicate", f"{path} {name}", f"the file of {times} images"))
    return pictures


def _annotation(
    path: Path, place: int, entry: Any, pictures: dict[int, tuple[str, _Size | None]], counts: dict[int, int]
) -> Iterator[Problem]:
    where = f"{path} annotation {_id(entry, place)}"
    if not isinstance(entry, dict) or not _whole(entry.get("id")):
        yield fault("mis-shaped", where, "it lacks a whole number as id")
        return
    size, count = None, 0
    if _whole(image := entry.get("image_id")) and image in pictures:
        size = pictures[image][1]
    else:
        yield fault("mismatch", where, f"its image {image} is not listed")
    if _whole(category := entry.get("category_id")) and counts.get(category):
        count = counts[category]
    else:
        yield fault("mismatch", where, f"its category {category} is not listed, or has no keypoints")
    yield from _points(where, entry, count, size)
    yield from _box(where, entry, size)


def _points(where: str, entry: dict[str, Any], count: int, size: _Size | None) -> Iterator[Problem]:
    values = _numbers(entry["keypoints"])
    if values is None or len(values) % 3 or (count and len(values) != 3 * count):
        length = "no list of numbers" if values is None else f"{len(values)} numbers"
        yield fault("mis-shaped", where, f"its keypoints are {length} instead of {3 * count or '3 a keypoint'}")
        return
    points = values.reshape(-1, 3)
    for point in np.flatnonzero(~np.isfinite(points).all(1)):
        yield fault("non-finite", f"{where} keypoint {point}", str(points[point].tolist()))
    finite = np.isfinite(points).all(1)
    for point in np.flatnonzero(finite & ~np.isin(points[:, 2], (0, 1, 2))):
        yield fault("mismatch", f"{where} keypoint {point}", f"its visibility is {points[point, 2]:g}, not 0, 1 or 2")
    labelled = finite & (points[:, 2] > 0)
    if size:  # a keypoint is a pixel's number: the image spans -0.5 to its width less 0.5
        inside = ((points[:, :2] >= -0.5) & (points[:, :2] <= np.array(size) - 0.5)).all(1)
        for point in np.flatnonzero(labelled & ~inside):
            x, y = points[point, :2]
            yield warning("off-image", f"{where} keypoint {point}", f"pixel ({x:.1f}, {y:.1f}) of {size[0]}x{size[1]}")
    said = entry.get("num_keypoints", labelled.sum())
    if said != labelled.sum():
        yield warning("mismatch", where, f"its num_keypoints is {said}, and {labelled.sum()} are labelled")


def _box(where: str, entry: dict[str, Any], size: _Size | None) -> Iterator[Problem]:
    values = _numbers(entry.get("bbox"))
    if values is None or len(values) != 4:
        yield fault("mis-shaped", where, f"its bbox is {entry.get('bbox')} instead of x, y, width and height")
        return
    if not np.isfinite(values).all():
        yield fault("non-finite", where, f"its bbox is {values.tolist()}")
        return
    x, y, w, h = values.tolist()
    if w <= 0 or h <= 0:
        yield fault("negative", where, f"its bbox is {w:g} wide and {h:g} high")
    elif size and (x >= size[0] or y >= size[1] or x + w <= 0 or y + h <= 0):
        yield fault("mismatch", where, f"its bbox {values.tolist()} is outside its image of {size[0]}x{size[1]} pixels")
    elif size and (min(x, y) < -1 or x + w > size[0] + 1 or y + h > size[1] + 1):
        yield warning("off-image", where, f"its bbox {values.tolist()} leaves its image of {size[0]}x{size[1]} pixels")
    area = entry.get("area", 1)
    if not isinstance(area, int | float) or not math.isfinite(area):
        yield fault("non-finite", where, f"its area is {area}")
    elif area <= 0:
        yield warning("implausible", where, f"its area is {area:g}: OKS cannot be judged")


def _numbers(value: Any) -> Array | None:
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if isinstance(value, list) and numbers.ndim == 1 else None


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _id(entry: Any, place: int) -> str:
    """An entry's id, or its place in the list where it has none."""
    return str(entry["id"]) if isinstance(entry, dict) and _whole(entry.get("id")) else f"at place {place}"
