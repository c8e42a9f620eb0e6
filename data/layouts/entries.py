"""From lists of images, annotations and categories, in COCO's form, to checked annotations in memory."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.layouts.annotations import AnnotationSet, Array, Category, Instance, Size, partners
from data.layouts.problems import OnProblem, Problem, fault, is_whole, unused, warning

Lists = dict[str, list[Any]]
"""'images', 'annotations' and 'categories' of COCO's form; an annotation's "where" is what a problem names."""

_WIDEST = 4  # images: a larger box is a mistake, and its crop would fill the memory


def path_of(images: Path, name: str) -> str:
    """An image's absolute path; Label Studio on Windows separates folders by backslashes."""
    return os.path.join(images, name.replace("\\", "/"))  # noqa: PTH118 - Path objects take three times as long


def checked(
    lists: Lists,
    files: Sequence[Path],
    images: Path,
    on_problem: OnProblem,
    *,
    keypoints: int | None = None,
    mirrored: tuple[int, ...] | None = None,
) -> AnnotationSet:
    """Check lists of entries and keep what is sound; each fault and all that is not used is reported.

    Args:
        lists: Of entries.
        files: What they were read from; problems name the first.
        images: The folder that file names start in.
        on_problem: Called for each problem; a damaged entry is left out.
        keypoints: How many keypoints each category must have; None for as many as the first has.
        mirrored: Mirror partners of the keypoints; None for what their names say.
    """
    reader = _Reader(files[0], images, on_problem)
    categories = reader.read_categories(lists["categories"], keypoints)
    reader.read_images(lists["images"])
    instances = reader.read_annotations(lists["annotations"])
    sizes = {path_of(images, name): size for name, size, _ in reader.images.values() if name}
    if mirrored is None:
        mirrored = partners(categories[0].keypoints) if categories else ()
    return AnnotationSet(files[0], tuple(files), images, categories, instances, sizes, mirrored)


class _Reader:
    """One pass over the lists.

    Attributes:
        images: File name, size and group of each image; empty and None where they are not as they should be.
        keypoints: How many each category has.
        faults: How many were reported.
    """

    def __init__(self, file: Path, folder: Path, on_problem: OnProblem) -> None:
        self._file, self._folder, self._on_problem = file, folder, on_problem
        self.images: dict[int, tuple[str, Size | None, Any]] = {}
        self.keypoints: dict[int, int] = {}
        self.faults = 0

    def report(self, problem: Problem) -> None:
        self.faults += problem.severity == "fault"
        self._on_problem(problem)

    def read_categories(self, entries: list[Any], keypoints: int | None) -> tuple[Category, ...]:
        """Those with keypoints."""
        categories = []
        for where, entry in self._entries("category", entries):
            names, joins = entry.get("keypoints") or [], entry.get("skeleton") or []
            if not entry.get("name") or not isinstance(names, list) or not isinstance(joins, list):
                self.report(fault("mis-shaped", where, "it lacks a name, or its keypoints or skeleton is no list"))
                continue
            if entry["id"] in self.keypoints:
                self.report(fault("duplicate", where, "the id of more than one category"))
            edges = []
            for join in joins:
                ends = join if isinstance(join, list) else []
                if len(ends) == 2 and all(is_whole(end) and 1 <= end <= len(names) for end in ends):
                    edges.append((ends[0] - 1, ends[1] - 1))
                else:
                    detail = f"its skeleton joins {join}, and it has {len(names)} keypoints"
                    self.report(fault("mismatch", where, detail))
            self.keypoints[entry["id"]] = len(names)
            if names:
                categories.append(Category(entry["id"], str(entry["name"]), tuple(map(str, names)), tuple(edges)))
        differing = {len(category.keypoints) for category in categories} | ({keypoints} if keypoints else set())
        if len(differing) > 1 or not categories:
            detail = f"numbers of keypoints differ: {sorted(differing)}" if categories else "no category has keypoints"
            self.report(fault("mismatch", f"{self._file} categories", detail))
        return tuple(categories)

    def read_images(self, entries: list[Any]) -> None:
        for where, entry in self._entries("image", entries):
            name, wide, high = (entry.get(key) for key in ("file_name", "width", "height"))
            group = entry.get("video", entry["id"])
            if not isinstance(name, str) or not name:
                self.report(fault("mis-shaped", where, "it lacks a file_name"))
                name = ""
            size = (wide, high) if is_whole(wide) and is_whole(high) and min(wide, high) > 0 else None
            if size is None:
                self.report(fault("mis-shaped", where, f"its width and height are {wide} and {high}"))
            if entry["id"] in self.images:
                self.report(fault("duplicate", where, "the id of more than one image"))
            if not isinstance(group, int | str):
                self.report(fault("mis-shaped", where, f"its video is {group}, neither text nor number"))
            self.images[entry["id"]] = name, size, group
        for name, times in Counter(name for name, _, _ in self.images.values() if name).items():
            if times > 1:
                self.report(warning("duplicate", f"{self._file} {name}", f"the file of {times} images"))

    def read_annotations(self, entries: list[Any]) -> tuple[Instance, ...]:
        """Those that are sound, and have keypoints and a box."""
        instances, ids, left_out = list[Instance](), Counter[int](), Counter[str]()
        for where, entry in self._entries("annotation", entries):
            lacking = [key for key in ("keypoints", "bbox") if entry.get(key) in (None, [])]
            if lacking:
                left_out[f"annotations without {lacking[0]}"] += 1
                continue
            ids[entry["id"]] += 1
            problems = list(self._problems(where, entry))
            for problem in problems:
                self.report(problem)
            image = self.images.get(entry["image_id"]) if is_whole(entry.get("image_id")) else None
            if image and image[0] and all(problem.severity == "warning" for problem in problems):
                instances += self._instance(entry, *image)
        for number, times in ids.items():
            if times > 1:
                self.report(fault("duplicate", f"{self._file} annotation {number}", f"the id of {times} annotations"))
        left_out["crowds: many objects in one annotation"] = sum(instance.crowd for instance in instances)
        blank = sum(not instance.crowd and not instance.labelled for instance in instances)
        left_out["objects without a labelled keypoint"] = blank
        for what, count in left_out.items():
            if count:
                self.report(unused(self._file, count, what))
        if not self.faults and not any(instance.usable for instance in instances):
            detail = "it has no annotation with a box and a labelled keypoint that is no crowd"
            self.report(fault("mismatch", self._file, detail))
        return tuple(instances)

    def _entries(self, kind: str, entries: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The entries that have an id, and what problems call them."""
        for place, entry in enumerate(entries):
            if isinstance(entry, dict) and is_whole(entry.get("id")):
                yield entry.get("where") or f"{self._file} {kind} {entry['id']}", entry
            else:
                where = f"{self._file} {kind} at place {place}"
                self.report(fault("mis-shaped", where, "it lacks a whole number as id"))

    def _instance(self, entry: dict[str, Any], name: str, size: Size | None, group: int | str) -> Iterator[Instance]:
        x, y, w, h = map(float, entry["bbox"])
        area = entry.get("area")
        if size:
            yield Instance(
                id=entry["id"],
                image_id=entry["image_id"],
                category_id=entry["category_id"],
                file=path_of(self._folder, name),
                width=size[0],
                height=size[1],
                points=np.array(entry["keypoints"], np.float64).reshape(-1, 3),
                box=(x, y, w, h),
                area=w * h if area is None else float(area),
                crowd=bool(entry.get("iscrowd", 0)),
                group=group,
            )

    def _problems(self, where: str, entry: dict[str, Any]) -> Iterator[Problem]:
        """What is wrong with an annotation that has an id, keypoints and a box."""
        image, category, size, count = entry.get("image_id"), entry.get("category_id"), None, 0
        if is_whole(image) and image in self.images:
            size = self.images[image][1]
        else:
            yield fault("mismatch", where, f"its image {image} is not listed")
        if is_whole(category) and self.keypoints.get(category):
            count = self.keypoints[category]
        else:
            yield fault("mismatch", where, f"its category {category} is not listed, or has no keypoints")
        values, box = _numbers(entry["keypoints"]), _numbers(entry["bbox"])
        if values is None or len(values) % 3 or (count and len(values) != 3 * count):
            length = "no list of numbers" if values is None else f"{len(values)} numbers"
            yield fault("mis-shaped", where, f"its keypoints are {length} instead of {3 * count or '3 a keypoint'}")
        else:
            points = values.reshape(-1, 3)
            yield from _point_problems(where, points, size)
            labelled = int((points[:, 2] > 0).sum())
            if (counted := entry.get("num_keypoints", labelled)) != labelled:
                yield warning("mismatch", where, f"its num_keypoints is {counted}, and {labelled} are labelled")
        if box is None or len(box) != 4:
            yield fault("mis-shaped", where, f"its bbox is {entry['bbox']} instead of x, y, width and height")
        else:
            yield from _box_problems(where, box.tolist(), size)
        area = entry.get("area")
        if area is not None and not (isinstance(area, int | float) and math.isfinite(area)):
            yield fault("non-finite", where, f"its area is {area}")
        elif area is not None and area <= 0:
            yield warning("implausible", where, f"its area is {area:g}: OKS cannot be judged")


def _point_problems(where: str, points: Array, size: Size | None) -> Iterator[Problem]:
    """What is wrong with keypoints (P, 3). Those outside the image are warnings."""
    finite = np.isfinite(points).all(1)
    for point in np.flatnonzero(~finite):
        yield fault("non-finite", f"{where} keypoint {point}", str(points[point].tolist()))
    for point in np.flatnonzero(finite & ~np.isin(points[:, 2], (0, 1, 2))):
        detail = f"its visibility is {points[point, 2]:g}, not 0, 1 or 2"
        yield fault("mismatch", f"{where} keypoint {point}", detail)
    if size:
        inside = ((points[:, :2] >= -0.5) & (points[:, :2] <= np.array(size) - 0.5)).all(1)
        for point in np.flatnonzero(finite & (points[:, 2] > 0) & ~inside):
            x, y = points[point, :2]
            yield warning("off-image", f"{where} keypoint {point}", f"pixel ({x:.1f}, {y:.1f}) of {size[0]}x{size[1]}")


def _box_problems(where: str, box: Sequence[float], size: Size | None) -> Iterator[Problem]:
    """What is wrong with a box. One that leaves its image is a warning: clipped objects are annotated so."""
    x, y, w, h = box
    wide, high = size or (math.inf, math.inf)
    of = f"its image of {wide}x{high} pixels"
    if not np.isfinite(box).all():
        yield fault("non-finite", where, f"its bbox is {list(box)}")
    elif w <= 0 or h <= 0:
        yield fault("negative", where, f"its bbox is {w:g} wide and {h:g} high")
    elif size and (x >= wide or y >= high or x + w <= 0 or y + h <= 0):
        yield fault("mismatch", where, f"its bbox {list(box)} is outside {of}")
    elif w > _WIDEST * wide or h > _WIDEST * high:
        yield fault("mismatch", where, f"its bbox {list(box)} is far larger than {of}")
    elif size and (min(x, y) < -1 or x + w > wide + 1 or y + h > high + 1):
        yield warning("off-image", where, f"its bbox {list(box)} leaves {of}")


def _numbers(value: Any) -> Array | None:
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if isinstance(value, list) and numbers.ndim == 1 else None
