"""What is in a folder, whichever layout it has: sizes, colours, points or classes, and the error of the mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import UserError
from data.layouts import freihand, gestures, keypoints, robot_hand
from data.layouts.detect import layout
from data.storage.image import Bytes, read_image
from data.storage.pack import Progress, in_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from data.task import DataSet

Array = np.ndarray[Any, np.dtype[Any]]

_CHUNK = 32  # packed images summed at a time


@dataclass(frozen=True)
class Table:
    """Numbers laid out for a person.

    Attributes:
        title: What it is about.
        columns: Names of its columns; empty for a table of names and values.
        rows: Its lines, as wide as each other.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Stats:
    """What is in a folder.

    Attributes:
        numbers: By name; which, the layout's function says. "mean" and "std" are those of each colour channel, on
            0..1, over all pixels of all images; "baseline" is the error on the validation part of always answering the
            training part's mean, which a network must beat, or the UserError that says why there is none.
        tables: The same for a person.
    """

    numbers: dict[str, Any]
    tables: tuple[Table, ...]

    def __getitem__(self, name: str) -> Any:
        return self.numbers[name]


def stats(root: Path, progress: Progress | None = None) -> Stats:
    """Describe a sound folder's training part; packs it if it is not packed yet.

    Args:
        root: The data set's folder.
        progress: Told how many of how many images are packed, then how many are summed up.

    Raises:
        UserError: As `data.layouts.detect.layout`, and for whatever forbids training on it.
    """
    readers: dict[ModuleType, Callable[[Path, Progress | None], Stats]] = {
        freihand: _freihand,
        robot_hand: _robot_hand,
        gestures: _gestures,
        keypoints: _keypoints,
    }
    return readers[layout(root)](root, progress)


def _freihand(root: Path, progress: Progress | None) -> Stats:
    """Images, hands; centre, spread and joint_spread (P, 2): mean and standard deviation of joints in pixels.

    mean_hand_px is the PixelDiff of always answering the mean hand of all hands, judged on all hands.
    """
    from data.tasks.freihand import FreiHand
    from data.tasks.metrics import distances

    task = FreiHand(root)
    task.prepare(progress)
    pixels = task.split(freihand.SIDE).valid.pixels
    moments = _moments(_chunks(pixels, progress))
    points = freihand.read(root).points.astype(np.float64)
    joints = points * freihand.SIDE - 0.5
    mean_hand = distances(np.broadcast_to(points.mean(0), points.shape), points, freihand.SIDE).mean()
    centre, spread, each = joints.mean((0, 1)), joints.std((0, 1)), joints.std(0)
    baseline = task.baseline()
    rows = [
        *_colour_rows(moments),
        ("middle of all joints, x y [px]", _row(centre, 1)),
        ("std of all joints, x y [px]", _row(spread, 1)),
        *((f"std of {name}, x y [px]", _row(xy, 1)) for name, xy in zip(FreiHand.labels, each, strict=True)),
        ("mean hand, on all hands [px]", f"{mean_hand:.2f}"),
        ("mean hand of the training part, on the validation part [px]", f"{baseline:.2f}"),
    ]
    numbers = {"images": len(pixels), "hands": len(points), "centre": centre, "spread": spread, "joint_spread": each}
    numbers |= {**moments, "mean_hand_px": float(mean_hand), "baseline": baseline}
    return Stats(numbers, (Table(f"{len(pixels)} images of {len(points)} hands", (), tuple(rows)),))


def _keypoints(root: Path, progress: Progress | None) -> Stats:
    """Images, objects, groups; categories: objects of each; labelled and visible (P,): shares of the objects.

    centre and spread (P, 2) are mean and standard deviation of each keypoint's place in per cent of its box's sides;
    NaN where it is never labelled. The baseline is that of faces where there are 68 keypoints, else of animals.
    """
    from data.drawn.head import LANDMARKS
    from data.tasks.keypoints import animals, faces

    data = keypoints.read(root).train
    objects = [instance for instance in data.instances if not instance.crowd]
    if not objects:
        raise UserError(f"{data.files[0]} has no object that is not marked as a crowd: give objects one by one.")
    task = faces(root) if len(data.keypoints) == len(LANDMARKS) else animals(root)
    baseline = _baseline(task, progress)
    files = {instance.file: (instance.width, instance.height) for instance in objects}
    moments = _moments(_counted(in_order(lambda item: read_image(*item), files.items()), len(files), progress))
    points, boxes = (
        np.stack([instance.points for instance in objects]),
        np.array([instance.box for instance in objects]),
    )
    places = 100 * (points[..., :2] + 0.5 - boxes[:, None, :2]) / boxes[:, None, 2:]
    places = np.where(points[..., 2:] > 0, places, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = (points[..., 2] > 0).sum(0)[:, None]
        centre = np.nansum(places, 0) / count
        spread = np.sqrt(np.nansum((places - centre) ** 2, 0) / count)
    kinds = Counter(instance.category_id for instance in objects)
    categories = {category.name: kinds[category.id] for category in data.categories}
    groups, labelled, visible = len({instance.group for instance in objects}), points[..., 2] > 0, points[..., 2] == 2
    low, middle, high = np.quantile(boxes[:, 2:].max(1), (0, 0.5, 1))
    rows = (
        ("groups that stay on one side of a split", str(groups)),
        ("image sizes [px]", _sizes(files.values())),
        ("longer side of a box [px]", f"{low:.0f} to {high:.0f}, median {middle:.0f}"),
        ("keypoints labelled an object", f"{labelled.mean(0).sum():.1f} of {len(data.keypoints)}"),
        *_colour_rows(moments),
        (f"always answering the mean, {task.metric}{task.unit and f' [{task.unit}]'}", _error(baseline, 4)),
    )
    each = zip(data.keypoints, labelled.mean(0), visible.mean(0), centre, spread, strict=True)
    lines = tuple((n, f"{100 * a:.1f}", f"{100 * b:.1f}", _row(c, 1), _row(s, 1)) for n, a, b, c, s in each)
    columns = ("keypoint", "labelled %", "visible %", "mean x y, % of box", "std x y, % of box")
    many = [_counts("categories", ("category", "objects"), categories)] if len(categories) > 1 else []
    numbers = {"images": len(files), "objects": len(objects), "groups": groups, "categories": categories}
    numbers |= {"labelled": labelled.mean(0), "visible": visible.mean(0), "centre": centre, "spread": spread}
    tables = (Table(f"{len(files)} images of {len(objects)} objects", (), rows), *many)
    return Stats(numbers | moments | {"baseline": baseline}, (*tables, Table("keypoints", columns, lines)))


def _gestures(root: Path, progress: Progress | None) -> Stats:
    """Folders; frames: of each folder; actors and classes: folders of each, of classes without any too.

    seen is the share of points that are annotated and not zero, over all frames.
    """
    from data.tasks.gestures import Gestures

    baseline = _baseline(Gestures(root), progress)
    poses, clips = gestures.read(root)
    files = [frame for clip in clips for frame in clip.frames]
    moments = _moments(_counted(in_order(read_image, files), len(files), progress))
    shown = Counter(clip.gesture for clip in clips)
    classes = {name: shown[place] for place, name in enumerate(gestures.labels(poses))}
    actors = dict(sorted(Counter(clip.actor for clip in clips).items()))
    points = np.concatenate([clip.points[..., :2].reshape(-1, 2) for clip in clips])
    seen = float((np.isfinite(points).all(1) & (points != 0).any(1)).mean())
    frames = np.array([len(clip.frames) for clip in clips])
    low, middle, high = np.quantile(frames, (0, 0.5, 1))
    shared = f"{min(shown.values())} to {max(shown.values())}, {len(shown)} of {len(classes)} classes"
    rows = (
        ("frames a folder", f"{low:.0f} to {high:.0f}, median {middle:.0f}"),
        ("actors", str(len(actors))),
        ("folders a class that is shown", shared),
        ("image sizes [px]", _sizes(clip.size for clip in clips)),
        ("points annotated and not zero", f"{100 * seen:.1f} %"),
        *_colour_rows(moments),
        ("always answering the classes' shares, log loss on the validation part", _error(baseline, 4)),
    )
    numbers = {"folders": len(clips), "frames": frames, "actors": actors, "classes": classes, "seen": seen}
    tables = (
        Table(f"{len(files)} images in {len(clips)} folders", (), rows),
        _counts("classes", ("class", "folders"), classes),
        _counts("actors", ("actor", "folders"), actors),
    )
    return Stats(numbers | moments | {"baseline": baseline}, tables)


def _robot_hand(root: Path, progress: Progress | None) -> Stats:
    """Samples with labels, tests: those without; mean and std (3, 3) of the colours of each camera.

    depth (3, 3): least above 0, mean of those above 0 and greatest of each camera, millimetres; missed (3,): share of
    its pixels without a depth; centre and spread (12,): mean and standard deviation of each number, metres.
    """
    import torch

    from data.drawn.robot_view import SIDE
    from data.tasks.robot_hand import RobotHand
    from data.tasks.robot_pack import labelled, pack_of
    from data.transforms.robot_hand import planes

    baseline = _baseline(RobotHand(root), progress)
    pack, samples = pack_of(root, "train")
    pixels, (_, labels) = pack.pixels(SIDE), labelled(pack, samples)
    views = robot_hand.VIEWS
    moments = _moments(chunk[..., : robot_hand.COLOURS] for chunk in _chunks(pixels, None))
    mean, std = (np.reshape(moments[name], (views, 3)) for name in ("mean", "std"))
    seen, sums, low, high = np.zeros(views, np.int64), np.zeros(views), np.full(views, np.inf), np.zeros(views)
    for chunk in _chunks(pixels, progress):
        depth = planes(torch.from_numpy(chunk))[:, robot_hand.COLOURS :].numpy()
        seen += (depth > 0).sum((0, 2, 3))
        sums += depth.sum((0, 2, 3), dtype=np.float64)
        low = np.minimum(low, np.where(depth > 0, depth, np.inf).min((0, 2, 3)))
        high = np.maximum(high, depth.max((0, 2, 3)))
    depths = np.stack([low, sums / np.maximum(seen, 1), high], 1)
    missed = 1 - seen / (len(pixels) * SIDE * SIDE)
    centre, spread = labels.mean(0, dtype=np.float64), labels.std(0, dtype=np.float64)
    tests = len(robot_hand.samples(root, "test")) if (root / "test").is_dir() else 0
    rows = (
        ("samples without labels (test)", str(tests)),
        ("image size [px]", f"{SIDE} x {SIDE}, {views} cameras"),
        ("always answering the mean, RMSE on the validation part [m]", _error(baseline, 5)),
    )
    cameras = tuple(
        (str(n), _row(mean[n], 4), _row(std[n], 4), _row(depths[n], 1), f"{100 * missed[n]:.2f}") for n in range(views)
    )
    columns = ("camera", "mean of red, green, blue", "std of them", "depth: least, mean, greatest [mm]", "no depth %")
    each = zip(RobotHand.labels, centre, spread, strict=True)
    numbers = {"samples": len(pixels), "tests": tests, "mean": mean, "std": std, "depth": depths, "missed": missed}
    tables = (
        Table(f"{len(pixels)} samples", (), rows),
        Table("cameras", columns, cameras),
        Table("labels [m]", ("number", "mean", "std"), tuple((n, f"{c:.4f}", f"{s:.4f}") for n, c, s in each)),
    )
    return Stats(numbers | {"centre": centre, "spread": spread, "baseline": baseline}, tables)


def _baseline(task: DataSet, progress: Progress | None) -> float | UserError:
    """A task's error of always answering the mean, or why there is none: too little to split, for example."""
    try:
        task.prepare(progress)
        return task.baseline()
    except UserError as mistake:
        return mistake


def _chunks(pixels: Bytes, progress: Progress | None) -> Iterator[Bytes]:
    for first in range(0, len(pixels), _CHUNK):
        yield np.array(pixels[first : first + _CHUNK])
        if progress:
            progress(min(first + _CHUNK, len(pixels)), len(pixels))


def _counted(images: Iterable[Bytes], total: int, progress: Progress | None) -> Iterator[Bytes]:
    for done, image in enumerate(images, 1):
        yield image
        if progress:
            progress(done, total)


def _moments(images: Iterable[Bytes]) -> dict[str, tuple[float, ...]]:
    """Mean and standard deviation of each channel, on 0..1, over all pixels of arrays uint8 (..., C)."""
    count, total, squares = 0, 0, 0
    for image in images:
        values = image.reshape(-1, image.shape[-1])
        count += len(values)
        total = total + values.sum(0, dtype=np.int64)
        squares = squares + np.square(values, dtype=np.uint16).sum(0, dtype=np.int64)
    mean = np.asarray(total) / count
    std = np.sqrt(np.maximum(np.asarray(squares) / count - mean**2, 0))
    return {"mean": tuple((mean / 255).tolist()), "std": tuple((std / 255).tolist())}


def _colour_rows(moments: dict[str, tuple[float, ...]]) -> Iterator[tuple[str, str]]:
    for name, values in moments.items():
        yield f"{name} of red, green, blue (0 to 1)", _row(values, 4)


def _counts(title: str, columns: tuple[str, str], counts: dict[str, int]) -> Table:
    return Table(title, columns, tuple((name, str(count)) for name, count in counts.items()))


def _row(values: Iterable[float], digits: int) -> str:
    return "  ".join(f"{value:.{digits}f}" for value in values)


def _error(error: float | UserError, digits: int) -> str:
    return f"not known: {error}" if isinstance(error, UserError) else f"{error:.{digits}f}"


def _sizes(sizes: Iterable[tuple[int, int]]) -> str:
    """Widths and heights in words: the one there is, or least, median and greatest of both."""
    each = np.array(list(sizes))
    if (each == each[0]).all():
        return f"{each[0, 0]} x {each[0, 1]}"
    low, middle, high = each.min(0), np.median(each, 0), each.max(0)
    return f"{low[0]} to {high[0]} x {low[1]} to {high[1]}, median {middle[0]:.0f} x {middle[1]:.0f}"
