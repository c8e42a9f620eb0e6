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

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.errors import UserError
from data.storage.pack import BadImage

CSV = "hand_gesture_pose.csv"
IMAGES = (".png", ".jpg", ".jpeg")
HANDS = ("left", "right", "any", "both")

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Gesture:
    """A class: a line of hand_gesture_pose.csv.

    Attributes:
        pose_id: its number in the files; the numbers need not be consecutive.
        name: what the hand does (pose_name).
        hand: 'left', 'right', 'any' or 'both' (hand_type).
        kind: the other columns, whose hand it is for one (gesture_type).
    """

    pose_id: int
    name: str
    hand: str
    kind: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clip:
    """A folder of frames.

    Attributes:
        id: the folder's name.
        actor: who is seen; the folder's own name where the file does not say.
        gesture: place of its class among the gestures; -1 where the file does not say, as in test/.
        frames: the image files in order of their numbers, T of them.
        size: width and height of the frames in pixels.
        points: float64 (T, P, 3), x and y in pixels of the frame, and z; NaN where a frame has none.
    """

    id: str
    actor: str
    gesture: int
    frames: tuple[str, ...]
    size: tuple[int, int]
    points: Array


def read_gestures(root: Path) -> tuple[Gesture, ...]:
    """The classes, in the order of the file.

    Raises:
        UserError: the file is missing, is not UTF-8, lacks a column, or has a line that cannot be used.
    """
    path = root / CSV
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): --data must name the folder that holds it beside train/."
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error}): save it as UTF-8.") from None
    gestures = []
    for number, line in enumerate(lines, 2):
        try:
            hand = line["hand_type"].strip().lower()
            kind = tuple(value for key, value in line.items() if key not in ("pose_id", "pose_name", "hand_type"))
            gestures.append(Gesture(int(line["pose_id"]), line["pose_name"].strip(), hand, kind))
        except KeyError as error:
            raise UserError(f"{path} has no column {error}: it needs pose_id, pose_name and hand_type.") from None
        except (ValueError, AttributeError):
            raise UserError(f"{path}, line {number}: its pose_id is no whole number or a value is missing.") from None
        if hand not in HANDS:
            raise UserError(f"{path}, line {number}: hand_type is {hand!r}, but must be one of {', '.join(HANDS)}.")
    if len(gestures) < 2 or len({gesture.pose_id for gesture in gestures}) < len(gestures):
        raise UserError(f"{path} must name at least two classes, each pose_id once: mend it.")
    return tuple(gestures)


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
    found = (
        tuple(
            (one, other)
            for one, a in enumerate(gestures)
            for other, b in enumerate(gestures)
            if (a.name, b.name) == (first, second) and (a.hand, a.kind) == (b.hand, b.kind)
        )
        for first, second in names
    )
    return tuple(together for together in found if together)


def read_clips(root: Path, part: str, gestures: Sequence[Gesture]) -> tuple[Clip, ...]:
    """All folders of train/ or test/, by number.

    Args:
        root: the data set's folder.
        part: 'train' or 'test'; nothing else is opened.
        gestures: the classes.

    Raises:
        UserError: something is missing or cannot be used; the sentence names the file.
    """
    folder = root / part
    try:
        inside = [path for path in folder.iterdir() if path.is_dir()]
    except OSError as error:
        raise UserError(
            f"{folder} cannot be listed ({error.strerror}): name the folder that holds {CSV} and {part}/."
        ) from None
    if not inside:
        raise UserError(f"{folder} holds no folders of frames: name the folder that holds {CSV} and {part}/.")
    places = {gesture.pose_id: place for place, gesture in enumerate(gestures)}
    return tuple(_clip(path, places, part != "test") for path in sorted(inside, key=lambda path: _order(path.name)))


def _order(name: str) -> tuple[int, str]:
    """Numbers by value, then names."""
    return (int(name), name) if name.isdecimal() else (1 << 62, name)


def _clip(folder: Path, places: dict[int, int], labelled: bool) -> Clip:
    frames = {int(p.stem): p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.stem.isdecimal()}
    if not frames:
        raise UserError(f"{folder} holds no frames (0.png, 1.png, ... or .jpg): fetch it again or remove the folder.")
    path = folder / f"{folder.name}.json"
    try:
        read = json.loads(path.read_bytes())
        found = {int(entry["image_id"]): entry["data"] for entry in read["annotations"]}
        actor = read.get("actor", folder.name)
        image = read.get("image", {})
        size = (int(image["width"]), int(image["height"])) if "width" in image else None
        gesture = int(read["action"][0]) if labelled else -1
    except FileNotFoundError:
        raise UserError(f"{path} is missing: fetch it again or remove the folder.") from None
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{path} is not as it should be ({type(error).__name__}: {error}): fetch it again.") from None
    if labelled and gesture not in places:
        raise UserError(f"{path}: the pose_id {gesture} of its action is not in {CSV}: mend one of them.")
    who = actor.get("id", folder.name) if isinstance(actor, dict) else actor
    numbers = sorted(frames)
    points = _points(path, [found.get(number) or [] for number in numbers])
    return Clip(
        folder.name,
        str(who),
        places[gesture] if labelled else -1,
        tuple(str(frames[number]) for number in numbers),
        size or _size(frames[numbers[0]]),
        points,
    )


def _size(path: Path) -> tuple[int, int]:
    """Width and height of an image file."""
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise BadImage(path, "unreadable", str(error)) from None


def _points(path: Path, data: list[list[list[float]]]) -> Array:
    """(T, P, 3) with P the largest number of points of a frame; NaN for what is missing.

    Raises:
        UserError: a point is not two or three numbers.
    """
    points = np.full((len(data), max(1, *map(len, data)), 3), np.nan)
    for frame, given in enumerate(data):
        for place, point in enumerate(given):
            try:
                points[frame, place, : len(point)] = point
            except (ValueError, TypeError):
                raise UserError(f"{path}: {point!r} is no point [x, y, z]: fetch it again.") from None
    return points


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
    try:
        with sample.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = list(csv.reader(file))
    except (OSError, ValueError) as error:
        raise UserError(f"{sample} cannot be read ({error}): give the organiser's sample_submission.csv.") from None
    places = {gesture.pose_id: place for place, gesture in enumerate(gestures)}
    columns = []
    for name in header[1:]:
        number = re.search(r"(\d+)\s*$", name)
        if number is None or int(number[1]) not in places:
            raise UserError(
                f"{sample}: the column {name!r} names no pose_id of {CSV}: give the sample of this data set."
            )
        columns.append(places[int(number[1])])
    rows = {name: row for row, name in enumerate(ids)}
    asked = [re.split(r"[\\/]", line[0])[-1] if line else "" for line in lines]
    if len(set(columns)) < len(columns) or not columns or sorted(asked) != sorted(rows):
        odd = sorted(set(asked) ^ set(rows))[:3] or ["something twice"]
        raise UserError(
            f"{sample} and the test folders do not fit ({', '.join(odd)}): give the sample of this data set."
        )
    chosen = probabilities[:, columns]
    chosen = chosen / chosen.sum(1, keepdims=True)
    made = [",".join(header)]
    made += [
        f"{line[0]},{','.join(f'{p:.8g}' for p in chosen[rows[name]])}" for line, name in zip(lines, asked, strict=True)
    ]
    return "\n".join(made) + "\n"
