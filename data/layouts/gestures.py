"""Folders of frames with keypoints: the layout of the Ego-Vision gesture competition, on disk.

    hand_gesture_pose.csv          pose_id, pose_name, hand_type and any further columns; a class a line
    train/<id>/<k>.png or .jpg     consecutive frames
    train/<id>/<id>.json           actor, image, action: [pose_id, name, ...], annotations: [{image_id, data}]
    test/<id>/...                  the same without action
    sample_submission.csv          an id and one column a class

`data` holds [x, y, z] in pixels of the frame: 21 joints of the left hand, then 21 of the right, or any other number of
points; a hand that is not seen is left out or all zeros.
Source: https://dacon.io/competitions/official/235805 (157 classes, 649 training folders, 217 test folders)
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.layouts.problems import (
    OnProblem,
    Problem,
    by_number,
    fault,
    is_whole,
    read_csv,
    read_json,
    refuse,
    reported,
    warning,
)
from data.storage.image import displayed_size

CSV = "hand_gesture_pose.csv"
IMAGES = (".png", ".jpg", ".jpeg")
HANDS = ("left", "right", "any", "both")
COLUMNS = ("pose_id", "pose_name", "hand_type")

_BESIDE = "--data must name the folder that holds it beside train/"

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Gesture:
    """A class: a line of hand_gesture_pose.csv."""

    pose_id: int  # its number in the files; the numbers need not be consecutive
    name: str  # what the hand does (pose_name)
    hand: str  # 'left', 'right', 'any' or 'both' (hand_type)
    kind: tuple[str, ...] = ()  # the other columns, whose hand it is for one (gesture_type)


@dataclass(frozen=True)
class Clip:
    """A folder of frames."""

    id: str  # the folder's name
    actor: str  # who is seen; the folder's own name where the file does not say
    gesture: int  # place of its class among the gestures; -1 where the file does not say, as in test/
    frames: tuple[str, ...]  # the image files in order of their numbers, T of them
    size: tuple[int, int]  # width and height of the frames in pixels
    points: Array  # float64 (T, P, 3), x and y in pixels of the frame, and z; NaN where a frame has none
    sized: bool = True  # the file says the size; else it is that of the first frame as displayed


def fits(root: Path) -> bool:
    """Whether a folder has anything of the layout."""
    return (root / CSV).exists() or any((root / "train").glob("*/[0-9]*.json"))


def read(root: Path, on_problem: OnProblem = refuse) -> tuple[tuple[Gesture, ...], tuple[Clip, ...]]:
    """Read and check the classes and the folders of train/, but for what is damaged; no image is decoded."""
    gestures = read_gestures(root, on_problem)
    clips = read_clips(root, "train", gestures, on_problem)
    shown = {clip.gesture for clip in clips}
    for place, gesture in enumerate(gestures):
        if place not in shown:
            on_problem(warning("missing", root / CSV, f"no folder shows pose_id {gesture.pose_id}, {gesture.name}"))
    return gestures, clips


def read_gestures(root: Path, on_problem: OnProblem = refuse) -> tuple[Gesture, ...]:
    """The classes, in the order of the file.

    Raises:
        UserError: whatever `on_problem` raises: the file is missing, is not UTF-8, lacks a column, or has a line that
            cannot be used.
    """
    path = root / CSV
    header, *lines = read_csv(path, on_problem, _BESIDE) or [[]]
    if lacking := [name for name in COLUMNS if name not in header]:
        if header:
            on_problem(fault("mis-shaped", path, f"it has no column {', '.join(map(repr, lacking))}"))
        return ()
    gestures = dict[int, Gesture]()
    for number, line in enumerate(lines, 2):
        if not line:
            continue
        where, entry = f"{path} line {number}", dict(zip(header, line, strict=False))
        if lacking := [name for name in COLUMNS if name not in entry]:
            on_problem(fault("mis-shaped", where, f"it has no {', '.join(lacking)}"))
            continue
        hand, pose = entry["hand_type"].strip().lower(), entry["pose_id"].strip()
        if not pose.isdecimal():
            on_problem(fault("mis-shaped", where, f"its pose_id is {pose!r}, no whole number"))
            continue
        if hand not in HANDS:
            on_problem(fault("mismatch", where, f"its hand_type is {hand!r}, not one of {', '.join(HANDS)}"))
        if int(pose) in gestures:
            on_problem(fault("duplicate", where, f"pose_id {pose} is there already; each must be there once"))
        kind = tuple(value for name, value in entry.items() if name not in COLUMNS)
        gestures.setdefault(int(pose), Gesture(int(pose), entry["pose_name"].strip(), hand, kind))
    if len(gestures) < 2:
        on_problem(fault("mismatch", path, f"it names {len(gestures)} classes, and at least two are needed"))
    return tuple(gestures.values())


def labels(gestures: Sequence[Gesture]) -> tuple[str, ...]:
    """A name for each class, each another: the pose's, its hand's where it is one, its number where both are alike."""
    plain = [f"{g.name} ({g.hand})" if g.hand in ("left", "right") else g.name for g in gestures]
    return tuple(
        name if plain.count(name) == 1 else f"{name} #{g.pose_id}" for g, name in zip(gestures, plain, strict=True)
    )


def partners(gestures: Sequence[Gesture]) -> tuple[int, ...]:
    """The class that each becomes in a mirror, as a place in `gestures`; -1 for none.

    A left hand's class becomes the right hand's that agrees in everything else; 'any' and 'both' stay. Where several
    agree, the first is the first's and so on, and where left and right differ in number, nobody knows: none.
    """
    alike = defaultdict[tuple[Any, ...], dict[str, list[int]]](lambda: {"left": [], "right": []})
    answer = [place if gesture.hand in ("any", "both") else -1 for place, gesture in enumerate(gestures)]
    for place, gesture in enumerate(gestures):
        if gesture.hand in ("left", "right"):
            alike[gesture.name, gesture.kind][gesture.hand].append(place)
    for sides in alike.values():
        if len(sides["left"]) == len(sides["right"]):
            for left, right in zip(sides["left"], sides["right"], strict=True):
                answer[left], answer[right] = right, left
    return tuple(answer)


def pairs(gestures: Sequence[Gesture], names: Iterable[tuple[str, str]]) -> tuple[tuple[tuple[int, int], ...], ...]:
    """For each pair of pose names the pairs of classes that have them and agree in all else, as places in `gestures`.

    Left and right hands make a pair each, which belong together; names that no classes have give nothing.
    """
    groups = (
        tuple(
            (i, j)
            for i, a in enumerate(gestures)
            for j, b in enumerate(gestures)
            if (a.name, b.name) == (first, second) and (a.hand, a.kind) == (b.hand, b.kind)
        )
        for first, second in names
    )
    return tuple(together for together in groups if together)


def folders(root: Path, part: str) -> list[Path]:
    """The folders of frames of a part, by number."""
    place = root / part
    inside = [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    return sorted(inside, key=lambda path: by_number(path.name))


def unsized(clips: Iterable[Clip]) -> frozenset[str]:
    """Frames whose width and height no file says."""
    return frozenset(frame for clip in clips if not clip.sized for frame in clip.frames)


def frames(folder: Path) -> dict[int, Path]:
    """The image files of a folder by their numbers, ascending."""
    files = {int(p.stem): p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.stem.isdecimal()}
    return dict(sorted(files.items()))


def read_clips(root: Path, part: str, gestures: Sequence[Gesture], on_problem: OnProblem = refuse) -> tuple[Clip, ...]:
    """All folders of train/ or test/, by number.

    Points outside the frame are warnings, one a frame, and so is a frame without annotation.

    Args:
        root: the data set's folder.
        part: 'train' or 'test'; nothing else is opened.
        gestures: the classes.
        on_problem: called for each problem; a damaged folder is left out, a damaged point becomes NaN.
    """
    inside = folders(root, part)
    if not inside:
        what = "no folders of frames" if (root / part).is_dir() else "cannot be listed: no such folder"
        on_problem(fault("missing", root / part, what, f"name the folder that holds {CSV} and {part}/"))
    clips = (_clip(folder, gestures, part != "test", on_problem) for folder in inside)
    return tuple(clip for clip in clips if clip)


def _clip(folder: Path, gestures: Sequence[Gesture], labelled: bool, on_problem: OnProblem) -> Clip | None:
    files, path = frames(folder), folder / f"{folder.name}.json"
    mend = "fetch it again or remove the folder"
    if not files:
        on_problem(fault("missing", folder, "it holds no frames (0.png, 1.png, ... or .jpg)", mend))
    table = read_json(path, on_problem, mend)
    if not isinstance(table, dict):
        if table is not None:
            on_problem(fault("mis-shaped", path, f"a {type(table).__name__}, not an object", mend))
        return None
    gesture = _gesture(path, table, gestures, on_problem) if labelled else -1
    if labelled and "actor" not in table:
        on_problem(warning("missing", path, "it names no actor"))
    size = _size(path, table, files, on_problem)
    points = _points(path, table, files, size, on_problem)
    if gesture is None or size is None or not files:
        return None
    actor, image = table.get("actor", folder.name), table.get("image")
    sized = isinstance(image, dict) and image.get("width") is not None
    who = actor.get("id", folder.name) if isinstance(actor, dict) else actor
    return Clip(folder.name, str(who), gesture, tuple(map(str, files.values())), size, points, sized)


def _gesture(path: Path, table: dict[str, Any], gestures: Sequence[Gesture], on_problem: OnProblem) -> int | None:
    """The place of the class that a folder says it shows; None where it is no class."""
    action = table.get("action")
    action = action if isinstance(action, list) else [action]
    pose = action[0] if action else None
    pose = int(pose) if isinstance(pose, str) and pose.isdecimal() else pose
    if not is_whole(pose):
        on_problem(fault("mis-shaped", path, f"its action is {action}, not [pose_id, name, ...]"))
        return None
    place = next((place for place, gesture in enumerate(gestures) if gesture.pose_id == pose), None)
    if place is None:
        on_problem(fault("mismatch", path, f"the pose_id {pose} of its action is not in {CSV}", "mend one of them"))
    elif len(action) > 1 and str(action[1]).strip() != gestures[place].name:
        detail = f"its action is named {action[1]!r}, and pose_id {pose} {gestures[place].name!r}"
        on_problem(warning("mismatch", path, detail))
    return place


def _size(path: Path, table: dict[str, Any], files: dict[int, Path], on_problem: OnProblem) -> tuple[int, int] | None:
    """Width and height of the frames: what the file says, else the first frame's own."""
    image = table.get("image")
    wide, high = (image.get(side) if isinstance(image, dict) else None for side in ("width", "height"))
    if wide is not None or high is not None:
        if is_whole(wide) and is_whole(high) and min(wide, high) > 0:
            return wide, high
        on_problem(fault("mis-shaped", path, f"the width and height of its image are {wide} and {high}"))
    elif files:
        with reported(on_problem):
            return displayed_size(next(iter(files.values())))
    return None


def _points(
    path: Path,
    table: dict[str, Any],
    files: dict[int, Path],
    size: tuple[int, int] | None,
    on_problem: OnProblem,
) -> Array:
    """(T, P, 3) with P the largest number of points of a frame; NaN for what is missing."""
    entries = table.get("annotations")
    if not isinstance(entries, list):
        on_problem(fault("mis-shaped", path, "it has no list named annotations"))
        entries = []
    annotated, seen = dict[int, list[Any]](), Counter[int]()
    for place, entry in enumerate(entries):
        number = entry.get("image_id") if isinstance(entry, dict) else None
        number = int(number) if isinstance(number, str) and number.isdecimal() else number
        if not is_whole(number) or not isinstance(entry.get("data"), list):
            where = f"{path} annotation at place {place}"
            on_problem(fault("mis-shaped", where, "it lacks image_id or a list named data"))
            continue
        seen[number] += 1
        if number not in files:
            on_problem(fault("missing", path.with_name(f"{number}.*"), "a frame that is annotated"))
        problem = _point_problem(f"{path} image_id {number}", entry["data"], size)
        if problem:
            on_problem(problem)
        annotated[number] = [] if problem and problem.severity == "fault" else entry["data"]
    for number, times in seen.items():
        if times > 1:
            on_problem(fault("duplicate", f"{path} image_id {number}", f"annotated {times} times"))
    for number in files:
        if number not in seen:
            on_problem(warning("missing", f"{path} image_id {number}", "a frame without annotation"))
    data = [annotated.get(number, []) for number in files]
    points = np.full((len(data), max(map(len, data), default=0) or 1, 3), np.nan)
    for frame, listed in enumerate(data):
        for place, point in enumerate(listed):
            points[frame, place, : len(point)] = point
    return points


def _point_problem(where: str, data: list[Any], size: tuple[int, int] | None) -> Problem | None:
    """The first thing that is wrong with a frame's points."""
    for place, point in enumerate(data):
        numbers = isinstance(point, list) and all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in point
        )
        if not numbers or len(point) not in (2, 3):
            return fault("mis-shaped", f"{where} point {place}", f"{point!r} is no point [x, y, z]")
        if not all(map(math.isfinite, point)):
            return fault("non-finite", f"{where} point {place}", str(point))
    places = np.array([point[:2] for point in data]).reshape(-1, 2)
    if size:
        # A hand that is not seen is all zeros.
        outside = (places != 0).any(1) & ((places < 0) | (places > np.array(size))).any(1)
        if outside.any():
            detail = f"{outside.sum()} of {len(places)} points outside {size[0]}x{size[1]} pixels"
            return warning("off-image", where, detail)
    return None


def check_sample(sample: Path, ids: Iterable[str], gestures: Sequence[Gesture], on_problem: OnProblem = refuse) -> None:
    """Whether a sample submission asks for these test folders and known classes."""
    header, *lines = read_csv(sample, on_problem) or [[]]
    asked, tests = Counter(_folder_of(line) for line in lines if line), set(ids)
    mend = "give the organiser's sample_submission.csv of this data set"
    places = [_column_place(name, gestures) for name in header[1:]]
    for name, place in zip(header[1:], places, strict=True):
        if place is None:
            on_problem(fault("mismatch", f"{sample} column {name}", f"{name!r} names no pose_id of {CSV}", mend))
        elif places.count(place) > 1:
            on_problem(fault("duplicate", f"{sample} column {name}", "something twice: its pose_id", mend))
    if not places:
        on_problem(fault("unreadable", sample, "it cannot be read as a csv with a column a class", mend))
    for kind, names, what in (
        ("mismatch", set(asked) - tests, "in it, but no test folder; they do not fit"),
        ("mismatch", tests - set(asked), "a test folder, but not in it; they do not fit"),
        ("duplicate", {name for name, times in asked.items() if times > 1}, "something twice: in it more than once"),
    ):
        for name in sorted(names):
            on_problem(fault(kind, f"{sample} id {name}", what, mend))


def _folder_of(line: Sequence[str]) -> str:
    return re.split(r"[\\/]", line[0])[-1]


def _column_place(name: str, gestures: Sequence[Gesture]) -> int | None:
    """The place of the class whose pose_id a column's name ends in."""
    number = re.search(r"(\d+)\s*$", name)
    places = (place for place, gesture in enumerate(gestures) if number and gesture.pose_id == int(number[1]))
    return next(places, None)


def submission(probabilities: Array, ids: Sequence[str], gestures: Sequence[Gesture], sample: Path) -> str:
    """The csv to hand in: the sample's header, ids and order, with our probabilities.

    A column belongs to the class whose pose_id is the number that its name ends in; an id belongs to the folder that
    is its last part ('./test/649' to 649). Classes that the sample does not ask for share out their probability.

    Args:
        probabilities: (F, classes).
        ids: names of the F test folders.
        gestures: the classes.
        sample: the organiser's sample_submission.csv.

    Raises:
        UserError: the sample cannot be read, or it and the folders or classes do not fit.
    """
    check_sample(sample, ids, gestures)
    header, *lines = filter(None, read_csv(sample))
    rows = {name: row for row, name in enumerate(ids)}
    places = (_column_place(name, gestures) for name in header[1:])
    chosen = probabilities[:, [place for place in places if place is not None]]
    chosen = chosen / chosen.sum(1, keepdims=True)
    numbers = ([f"{p:.8g}" for p in chosen[rows[_folder_of(line)]]] for line in lines)
    written = [f"{line[0]},{','.join(each)}" for line, each in zip(lines, numbers, strict=True)]
    return "\n".join([",".join(header), *written]) + "\n"
