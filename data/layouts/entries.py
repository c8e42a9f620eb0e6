"""From lists of images, annotations and categories, in COCO's form, to checked annotations in memory."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.layouts.annotations import AnnotationSet, Array, Category, Instance, Size, partners
from data.layouts.image_files import ImageFiles, original
from data.layouts.problems import OnProblem, Problem, counted, fault, is_whole, reported, unused, warning
from data.storage.image import displayed_size

Lists = dict[str, list[Any]]
"""'images', 'annotations' and 'categories' of COCO's form; an annotation's "where" is what a problem names, an image's
"sized" is `Instance.sized`."""

_SMALLEST, _LARGEST = 50, 2
"""An object's area is at least its box's through, at most its box's times this; of COCO's people it is a third."""
_CROWD = {"none": False, **dict.fromkeys(("0", "0.0", "false"), False), **dict.fromkeys(("1", "1.0", "true"), True)}
_WIDEST = 4  # images: a larger box is a mistake, and its crop would fill the memory


def checked(
    lists: Lists,
    files: Sequence[Path],
    images: ImageFiles,
    on_problem: OnProblem,
    *,
    keypoints: Sequence[str] = (),
    mirrored: tuple[int, ...] | None = None,
) -> AnnotationSet:
    """Check lists of entries and keep what is sound; each fault and all that is not used is reported.

    Args:
        lists: Of entries.
        files: What they were read from; problems name the first.
        images: Where the image files are.
        on_problem: Called for each problem; a damaged entry is left out.
        keypoints: Names that each category's keypoints should have; empty for those of the first.
        mirrored: Mirror partners of the keypoints; None for what their names say.
    """
    reader = _Reader(files[0], images, on_problem)
    categories = reader.read_categories(lists["categories"], keypoints)
    reader.read_images(lists["images"])
    instances = reader.read_annotations(lists["annotations"])
    reader.check_images(instances)
    there = (image for image in reader.images.values() if image.file and image.file not in reader.missing)
    sizes = {image.file: image.size for image in there}
    if mirrored is None:
        mirrored = partners(categories[0].keypoints) if categories else ()
    return AnnotationSet(tuple(files), categories, instances, sizes, mirrored)


class _Image(NamedTuple):
    """An image's entry: its name and file, empty where it has none, its size, and the last three of `Instance`."""

    name: str
    file: str
    size: Size | None
    group: Any
    originals: tuple[str, ...]
    sized: bool


class _Reader:
    """One pass over the lists.

    Attributes:
        images: By their ids.
        missing: Image files that are not there, and what was looked for.
        keypoints: How many each category has.
        faults: How many were reported.
    """

    def __init__(self, file: Path, files: ImageFiles, on_problem: OnProblem) -> None:
        self._file, self._files, self._on_problem = file, files, on_problem
        self.missing = dict[str, str]()
        self.images = dict[int, _Image]()
        self.keypoints: dict[int, int] = {}
        self.faults = 0

    def report(self, problem: Problem) -> None:
        self.faults += problem.severity == "fault"
        self._on_problem(problem)

    def read_categories(self, entries: list[Any], keypoints: Sequence[str]) -> tuple[Category, ...]:
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
        wanted = tuple(keypoints) or (categories[0].keypoints if categories else ())
        differing = {len(category.keypoints) for category in categories} | {len(wanted)}
        if len(differing) > 1 or not categories:
            detail = f"numbers of keypoints differ: {sorted(differing)}" if categories else "no category has keypoints"
            self.report(fault("mismatch", f"{self._file} categories", detail))
        elif others := [category for category in categories if category.keypoints != wanted]:
            swapped = any(sorted(other.keypoints) == sorted(wanted) for other in others)  # one network, one order
            detail = f"keypoints of {others[0].name!r} are {', '.join(others[0].keypoints)}, not {', '.join(wanted)}"
            self.report((fault if swapped else warning)("mismatch", f"{self._file} categories", detail))
        return tuple(categories)

    def read_images(self, entries: list[Any]) -> None:
        for where, entry in self._entries("image", entries):
            name, wide, high = (entry.get(key) for key in ("file_name", "width", "height"))
            group = entry.get("video", entry["id"])
            if not isinstance(name, str) or not name:
                self.report(fault("mis-shaped", where, "it lacks a file_name"))
                name = ""
            if entry["id"] in self.images:
                self.report(fault("duplicate", where, "the id of more than one image"))
            if not isinstance(group, int | str):
                self.report(fault("mis-shaped", where, f"its video is {group}, neither text nor number"))
            file = self._file_of(name) if name else ""
            unsaid = wide is None and high is None
            if unsaid and file and file not in self.missing:
                with reported(self.report):
                    wide, high = displayed_size(file)
            size = (wide, high) if is_whole(wide) and is_whole(high) and min(wide, high) > 0 else None
            if size is None:
                self.report(fault("mis-shaped", where, f"its width and height are {wide} and {high}"))
            extra = entry.get("extra")
            stated = (extra.get("name") if isinstance(extra, dict) else None, original(name))
            originals = tuple(each for each in stated if isinstance(each, str))
            self.images[entry["id"]] = _Image(name, file, size, group, originals, entry.get("sized", not unsaid))
        by_file = defaultdict[str, list[str]](list)
        for image in self.images.values():
            by_file[image.file].append(image.name)
        twice = []
        for file, same in by_file.items():
            names = sorted(set(same) - {""})
            if len(names) > 1:
                detail = f"{file} is found for {names[0]!r}, too"
                self.report(fault("duplicate", f"{self._file} {names[1]}", detail, "give each image a file of its own"))
            elif names and len(same) > 1:
                twice.append(f"{names[0]} ({len(same)} images)")
        if twice:
            self.report(
                counted("copies", self._file, "files of several images, which stay on one side of a split", twice)
            )

    def check_images(self, instances: Sequence[Instance]) -> None:
        """Report files that are not there, a fault where they are used, and images that are of no use."""
        used = {instance.file for instance in instances if instance.usable}
        for file, looked in self.missing.items():
            if file in used:
                self.report(fault("missing", file, looked, "put it there, or mend its file_name"))
        gone = [file for file in self.missing if file not in used]
        if gone:
            self.report(counted("missing", self._file, "files of images that are not used", gone))
        seen = used.union(self.missing, [""])
        idle = [image.name for image in self.images.values() if image.file not in seen]
        if idle:
            self.report(unused(self._file, "images without an object that can be used", idle))

    def _file_of(self, name: str) -> str:
        file = self._files.find(name)
        if file is None:
            file, self.missing[file] = self._files.missing(name)
        return file

    def read_annotations(self, entries: list[Any]) -> tuple[Instance, ...]:
        """Those that are sound, and have keypoints and a box."""
        instances, ids = list[Instance](), list[int]()
        left_out, odd = defaultdict[str, list[int]](list), list[int]()
        for where, entry in self._entries("annotation", entries):
            number = entry["id"]
            lacking = [key for key in ("keypoints", "bbox") if entry.get(key) in (None, [])]
            if lacking:
                left_out[f"annotations without {lacking[0]}"].append(number)
                continue
            ids.append(number)
            image = self.images.get(entry["image_id"]) if is_whole(entry.get("image_id")) else None
            problems, boxed = list(self._problems(where, entry)), list(_box_problems(where, entry["bbox"], image))
            sound, has_box = (all(p.severity == "warning" for p in found) for found in (problems, boxed))
            if sound and not has_box and not (np.array(entry["keypoints"], np.float64)[2::3] > 0).any():
                left_out["objects without a labelled keypoint and without a box that can be cut out"].append(number)
                continue
            for problem in (*problems, *boxed):
                self.report(problem)
            if image and image.file and image.size and sound and has_box:
                instances.append(instance := _instance(entry, image))
                if entry.get("area") not in (None, instance.area):
                    odd.append(number)
                if instance.crowd:
                    left_out["crowds: many objects in one annotation"].append(number)
                elif not instance.labelled:
                    left_out["objects without a labelled keypoint"].append(number)
        for number, times in Counter(ids).items():
            if times > 1:
                self.report(fault("duplicate", f"{self._file} annotation {number}", f"the id of {times} annotations"))
        for what, numbers in left_out.items():
            self.report(unused(self._file, what, numbers))
        if odd:
            what = "annotations whose area is 0 or far from their box's, which is taken instead"
            self.report(counted("implausible area", self._file, what, odd))
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

    def _problems(self, where: str, entry: dict[str, Any]) -> Iterator[Problem]:
        """What is wrong with an annotation that has an id, keypoints and a box, but for the box."""
        image, category, size, count = entry.get("image_id"), entry.get("category_id"), None, 0
        if is_whole(image) and image in self.images:
            size = self.images[image].size
        else:
            yield fault("mismatch", where, f"its image {image} is not listed")
        if is_whole(category) and self.keypoints.get(category):
            count = self.keypoints[category]
        else:
            yield fault("mismatch", where, f"its category {category} is not listed, or has no keypoints")
        values = _numbers(entry["keypoints"])
        if values is None or len(values) % 3 or (count and len(values) != 3 * count):
            length = "no list of numbers" if values is None else f"{len(values)} numbers"
            yield fault("mis-shaped", where, f"its keypoints are {length} instead of {3 * count or '3 a keypoint'}")
        else:
            points = values.reshape(-1, 3)
            yield from _point_problems(where, points, size)
            labelled = int((points[:, 2] > 0).sum())
            if (counted := entry.get("num_keypoints", labelled)) != labelled:
                yield warning("mismatch", where, f"its num_keypoints is {counted}, and {labelled} are labelled")
        area = entry.get("area")
        if area is not None and not (isinstance(area, int | float) and math.isfinite(area)):
            yield fault("non-finite", where, f"its area is {area!r}")
        if _crowd(entry) is None:
            yield fault("mis-shaped", where, f"its iscrowd is {entry['iscrowd']!r}, neither 0 nor 1")


def _instance(entry: dict[str, Any], image: _Image) -> Instance:
    """A sound annotation of a sound image."""
    x, y, w, h = map(float, entry["bbox"])
    area: Any = entry.get("area")
    wide, high = image.size or (0, 0)
    plausible = area is not None and w * h / _SMALLEST <= area <= w * h * _LARGEST
    return Instance(
        id=entry["id"],
        image_id=entry["image_id"],
        category_id=entry["category_id"],
        file=image.file,
        width=wide,
        height=high,
        points=np.array(entry["keypoints"], np.float64).reshape(-1, 3),
        box=(x, y, w, h),
        area=float(area) if plausible else w * h,
        crowd=bool(_crowd(entry)),
        group=image.group,
        originals=image.originals,
        sized=image.sized,
    )


def _crowd(entry: dict[str, Any]) -> bool | None:
    """Whether an annotation is of many objects in one; None where it does not say so in known words."""
    said = entry.get("iscrowd")
    return _CROWD.get(str(said).lower())


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


def _box_problems(where: str, given: Any, image: _Image | None) -> Iterator[Problem]:
    """What is wrong with a box. One that leaves its image is a warning: clipped objects are annotated so."""
    box, size = _numbers(given), image.size if image else None
    if box is None or len(box) != 4:
        yield fault("mis-shaped", where, f"its bbox is {given} instead of x, y, width and height")
        return
    box = box.tolist()
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
