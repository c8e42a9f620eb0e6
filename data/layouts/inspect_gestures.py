"""What is wrong in a folder of gestures, and what is in it."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError
from data.layouts.gestures import CSV, HANDS, IMAGES, labels, read_clips, read_gestures
from data.layouts.problems import Moments, Problem, Report, Table, baseline, fault, picture, row, sizes, told, warning
from data.storage.pack import BadImage, Bytes, Progress, in_order
from data.tasks.gestures import Gestures

Array = np.ndarray[Any, np.dtype[Any]]


def fits(root: Path) -> bool:
    """Whether a folder has anything of the layout."""
    return (root / CSV).exists() or any((root / "train").glob("*/[0-9]*.json"))


def check(root: Path, progress: Progress | None = None) -> Report:
    """Name everything that is wrong in the table of classes, in train/ and, where there is one, in test/.

    Points outside the frame are warnings, one a frame, and so is a frame without annotation.

    Args:
        root: The folder.
        progress: Told how many of how many folders are looked at.
    """
    problems: list[Problem] = []
    classes = _classes(root / CSV, problems)
    folders = {part: _folders(root / part) for part in ("train", "test")}
    if not folders["train"]:
        problems.append(fault("missing", root / "train", "no folders of frames"))
    work = [(folder, classes) for folder in folders["train"]] + [(folder, None) for folder in folders["test"]]
    images, seen = 0, Counter[int]()
    for done, (frames, gesture, bad) in enumerate(in_order(lambda item: _folder(*item), work), 1):
        problems += bad
        images += frames
        if gesture is not None:
            seen[gesture] += 1
        if progress:
            progress(done, len(work))
    for number, name in classes.items():
        if not seen[number]:
            problems.append(warning("missing", root / CSV, f"no folder shows pose_id {number}, {name}"))
    sample = root / "sample_submission.csv"
    if sample.exists() and folders["test"]:
        problems += _sample(sample, {folder.name for folder in folders["test"]}, set(classes))
    return Report(images, len(work), "folders", tuple(problems))


def _folders(place: Path) -> list[Path]:
    found = [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    return sorted(found, key=lambda path: (0, int(path.name), "") if path.name.isdecimal() else (1, 0, path.name))


def _lines(path: Path, problems: list[Problem]) -> list[list[str]]:
    """The lines of a csv file; none where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file))
    except FileNotFoundError:
        problems.append(fault("missing", path, "no such file"))
    except (OSError, ValueError, csv.Error) as error:
        problems.append(fault("unreadable", path, f"no UTF-8 csv: {error}"))
    return []


def _classes(path: Path, problems: list[Problem]) -> dict[int, str]:
    """The name of each pose_id."""
    lines = _lines(path, problems)
    header = lines[0] if lines else []
    if lacking := [name for name in ("pose_id", "pose_name", "hand_type") if name not in header]:
        if lines:
            problems.append(fault("mis-shaped", path, f"it has no column {', '.join(lacking)}"))
        return {}
    found: dict[int, str] = {}
    for number, line in enumerate(lines[1:], 2):
        where = f"{path} line {number}"
        entry = dict(zip(header, line, strict=False))
        if len(line) < len(header):
            problems.append(fault("mis-shaped", where, f"{len(line)} values instead of {len(header)}"))
        if not entry.get("pose_id", "").strip().isdecimal():
            problems.append(fault("mis-shaped", where, f"its pose_id is {entry.get('pose_id')!r}"))
            continue
        pose = int(entry["pose_id"])
        if pose in found:
            problems.append(fault("duplicate", where, f"pose_id {pose} is there already"))
        if (hand := entry.get("hand_type", "").strip().lower()) not in HANDS:
            problems.append(fault("mismatch", where, f"its hand_type is {hand!r}, not one of {', '.join(HANDS)}"))
        found.setdefault(pose, entry.get("pose_name", ""))
    return found


def _folder(folder: Path, classes: dict[int, str] | None) -> tuple[int, int | None, list[Problem]]:
    """How many frames a folder has, its class, and what is wrong with it; `classes` is None in test/."""
    problems: list[Problem] = []
    files = {int(p.stem): p for p in folder.iterdir() if p.suffix.lower() in IMAGES and p.stem.isdecimal()}
    if not files:
        problems.append(fault("missing", folder, "no frames (0.png, 1.png, ... or .jpg)"))
    shapes: dict[int, tuple[int, int]] = {}
    for number in sorted(files):
        try:
            high, wide = picture(files[number]).shape[:2]
        except BadImage as bad:
            problems.append(fault(bad.kind, files[number], bad.detail))
        else:
            shapes[number] = wide, high
    path = folder / f"{folder.name}.json"
    try:
        table = json.loads(path.read_bytes())
    except FileNotFoundError:
        return len(files), None, [*problems, fault("missing", path, "no such file")]
    except (OSError, ValueError) as error:
        return len(files), None, [*problems, fault("unreadable", path, f"no JSON: {error}")]
    if not isinstance(table, dict):
        return len(files), None, [*problems, fault("mis-shaped", path, f"a {type(table).__name__}, not an object")]
    given = table.get("image") if isinstance(table.get("image"), dict) else {}
    size = _size(given) or (Counter(shapes.values()).most_common(1)[0][0] if shapes else None)
    for number, shape in shapes.items():
        if shape != size and size is not None:
            detail = f"{shape[0]}x{shape[1]} instead of {size[0]}x{size[1]} pixels"
            problems.append(fault("mis-shaped", files[number], detail))
    gesture = None if classes is None else _action(path, table, classes, problems)
    problems += _frames(path, table, files, size)
    return len(files), gesture, problems


def _size(given: Any) -> tuple[int, int] | None:
    sides = (given.get("width"), given.get("height"))
    return sides if all(isinstance(side, int) and side > 0 for side in sides) else None


def _action(path: Path, table: dict[str, Any], classes: dict[int, str], problems: list[Problem]) -> int | None:
    """The pose_id that a folder says it shows."""
    action = table.get("action")
    action = action if isinstance(action, list) else [action]
    pose = action[0] if action else None
    if isinstance(pose, bool) or not isinstance(pose, int):
        problems.append(fault("mis-shaped", path, f"its action is {action}, not [pose_id, name, ...]"))
        return None
    if pose not in classes:
        problems.append(fault("mismatch", path, f"pose_id {pose} of its action is not in {CSV}"))
    elif len(action) > 1 and str(action[1]).strip() != classes[pose].strip():
        detail = f"its action is named {action[1]!r}, and pose_id {pose} {classes[pose]!r}"
        problems.append(warning("mismatch", path, detail))
    if "actor" not in table:
        problems.append(warning("missing", path, "it names no actor"))
    return pose


def _frames(
    path: Path, table: dict[str, Any], files: dict[int, Path], size: tuple[int, int] | None
) -> Iterator[Problem]:
    entries = table.get("annotations")
    if not isinstance(entries, list):
        yield fault("mis-shaped", path, "it has no list named annotations")
        return
    seen = Counter[int]()
    for place, entry in enumerate(entries):
        number = entry.get("image_id") if isinstance(entry, dict) else None
        number = int(number) if isinstance(number, str) and number.isdecimal() else number
        if isinstance(number, bool) or not isinstance(number, int) or not isinstance(entry.get("data"), list):
            yield fault("mis-shaped", f"{path} annotation at place {place}", "it lacks image_id or a list named data")
            continue
        seen[number] += 1
        if number not in files:
            yield fault("missing", path.with_name(f"{number}.*"), "a frame that is annotated")
        yield from _points(f"{path} image_id {number}", entry["data"], size)
    for number, times in seen.items():
        if times > 1:
            yield fault("duplicate", f"{path} image_id {number}", f"annotated {times} times")
    for number in sorted(set(files) - set(seen)):
        yield warning("missing", f"{path} image_id {number}", "a frame without annotation")


def _points(where: str, data: list[Any], size: tuple[int, int] | None) -> Iterator[Problem]:
    for place, point in enumerate(data):
        numbers = isinstance(point, list) and all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in point
        )
        if not numbers or len(point) not in (2, 3):
            yield fault("mis-shaped", f"{where} point {place}", f"{point}, not [x, y, z]")
            return
        if not np.isfinite(point).all():
            yield fault("non-finite", f"{where} point {place}", str(point))
            return
    places = np.array([point[:2] for point in data]).reshape(-1, 2)
    known = (places != 0).any(1)  # a hand that is not seen is all zeros
    if size:
        outside = known & ((places < 0) | (places > np.array(size))).any(1)
        if outside.any():
            detail = f"{outside.sum()} of {len(places)} points outside {size[0]}x{size[1]} pixels"
            yield warning("off-image", where, detail)


def _sample(path: Path, tests: set[str], classes: set[int]) -> list[Problem]:
    """What does not fit between the sample submission, the test folders and the classes."""
    problems: list[Problem] = []
    header, *lines = _lines(path, problems) or [[]]
    asked = Counter(re.split(r"[\\/]", line[0])[-1] for line in lines if line)
    for kind, names, what in (
        ("mismatch", set(asked) - tests, "in it, but no test folder"),
        ("mismatch", tests - set(asked), "a test folder, but not in it"),
        ("duplicate", {name for name, times in asked.items() if times > 1}, "in it more than once"),
    ):
        problems += [fault(kind, f"{path} id {name}", what) for name in sorted(names)]
    for name in header[1:]:
        number = re.search(r"(\d+)\s*$", name)
        if number is None or int(number[1]) not in classes:
            problems.append(fault("mismatch", f"{path} column {name}", f"it names no pose_id of {CSV}"))
    return problems


@dataclass(frozen=True)
class Stats:
    """What is in a folder's train/.

    Attributes:
        folders: Number of folders.
        frames: Frames of each, (folders,).
        actors: Folders of each actor.
        classes: Folders of each class, those without any too.
        sizes: Width and height of each folder's frames, (folders, 2).
        mean: Mean of each channel, on 0..1, over all pixels of all frames.
        std: Standard deviation of each channel, likewise.
        seen: Share of points that are annotated and not zero, over all frames.
        baseline: Log loss on the validation part of always answering the training part's class shares, nats,
            or why there is none.
    """

    folders: int
    frames: Array
    actors: dict[str, int]
    classes: dict[str, int]
    sizes: Array
    mean: tuple[float, ...]
    std: tuple[float, ...]
    seen: float
    baseline: float | UserError

    def tables(self) -> tuple[Table, ...]:
        """The numbers for a person."""
        low, middle, high = np.quantile(self.frames, (0, 0.5, 1))
        given = [count for count in self.classes.values() if count]
        rows = (
            ("frames a folder", f"{low:.0f} to {high:.0f}, median {middle:.0f}"),
            ("actors", str(len(self.actors))),
            (
                "folders a class that is shown",
                f"{min(given)} to {max(given)}, {len(given)} of {len(self.classes)} classes",
            ),
            ("image sizes [px]", sizes(map(tuple, self.sizes))),
            ("points annotated and not zero", f"{100 * self.seen:.1f} %"),
            ("mean of red, green, blue (0 to 1)", row(self.mean, 4)),
            ("std of red, green, blue (0 to 1)", row(self.std, 4)),
            ("always answering the classes' shares, log loss on the validation part", told(self.baseline, 4)),
        )
        kinds = tuple((name, str(count)) for name, count in self.classes.items())
        people = tuple((name, str(count)) for name, count in self.actors.items())
        return (
            Table(f"{int(self.frames.sum())} images in {self.folders} folders", (), rows),
            Table("classes", ("class", "folders"), kinds),
            Table("actors", ("actor", "folders"), people),
        )


def stats(root: Path, progress: Progress | None = None) -> Stats:
    """Describe a sound folder; packs it if it is not packed yet.

    Args:
        root: The folder.
        progress: Told how many of how many frames are packed, then how many are summed up.

    Raises:
        UserError: For files that are missing or damaged.
    """
    task = Gestures(root)
    judged = baseline(task, progress)
    gestures = read_gestures(root)
    clips = read_clips(root, "train", gestures)
    files = [frame for clip in clips for frame in clip.frames]
    moments = Moments()
    decoded: Iterator[Bytes] = in_order(picture, files)
    for done, pixels in enumerate(decoded, 1):
        moments.add(pixels)
        if progress:
            progress(done, len(files))
    names = labels(gestures)
    shown = Counter(clip.gesture for clip in clips)
    points = np.concatenate([clip.points[..., :2].reshape(-1, 2) for clip in clips])
    return Stats(
        folders=len(clips),
        frames=np.array([len(clip.frames) for clip in clips]),
        actors=dict(sorted(Counter(clip.actor for clip in clips).items())),
        classes={name: shown[place] for place, name in enumerate(names)},
        sizes=np.array([clip.size for clip in clips]),
        mean=moments.mean,
        std=moments.std,
        seen=float((np.isfinite(points).all(1) & (points != 0).any(1)).mean()),
        baseline=judged,
    )
