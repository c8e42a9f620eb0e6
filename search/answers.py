"""What a trial's network answers for the validation part, small enough to keep for every trial.

A worker writes it after every epoch, since a trial can be stopped after any: `answers/NNNNNN.json` in the study's
folder, and the pictures it names, shared by all trials, as `pictures/ROW.jpg` (10 kB a hand at 224 pixels).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from search.atomic import is_stale, replacing

if TYPE_CHECKING:  # the dashboard reads answers, and starts without torch
    from data.pack import Part
    from search.study import Task

RANKS = ("best", "median", "worst")
EACH = 4
"""Images of each rank."""

QUANTILES = 201
"""Quantiles of the error that are kept: 0, 0.005 ... 1."""

QUALITY = 88
"""Of the pictures' JPEG."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Example:
    """One image, and what was answered for it.

    Attributes:
        rank: 'best', 'median' or 'worst'.
        row: the image's row in the data set.
        error: the mean over its points, in the task's unit.
        answered: [x, y] of each point as fractions of the picture's sides: [0, 1] spans the edges, and a point may lie
            outside. Empty where the task answers no points in the picture.
        true: the same of the truth.
    """

    rank: str
    row: int
    error: float
    answered: list[list[float]]
    true: list[list[float]]


@dataclass(frozen=True)
class Answers:
    """A network's answers for the whole validation part.

    Attributes:
        epoch: after which they were given.
        labels: names of the points.
        edges: which points a drawing joins, as pairs of places in `labels`.
        errors: mean error of each point, in the task's unit.
        quantiles: 201 quantiles, 0, 0.005 ... 1, of the error over all images and points, linearly interpolated.
        examples: the 4 best, 4 median and 4 worst images by mean error, ascending; of fewer than 12 images each one
            once.
    """

    epoch: int
    labels: list[str]
    edges: list[list[int]]
    errors: list[float]
    quantiles: list[float]
    examples: list[Example]


def of(task: "Task", outputs: Array, part: "Part", epoch: int) -> Answers:
    """The answers in brief.

    Args:
        task: names the points and measures the errors.
        outputs: what the network answered for `part`, in its order, (N, ...), N at least 1.
        part: the validation part.
        epoch: after which.
    """
    errors = task.errors(outputs, part.points)
    means = errors.mean(1)
    order = np.argsort(means, kind="stable")
    examples = [
        Example(rank, int(part.rows[i]), short(means[i]), places(outputs[i]), places(part.points[i]))
        for rank, chosen in zip(RANKS, ranked(len(order)), strict=True)
        for i in order[chosen]
    ]
    quantiles = np.quantile(errors, np.linspace(0, 1, QUANTILES))
    return Answers(
        epoch=epoch,
        labels=list(task.labels),
        edges=[list(edge) for edge in task.edges],
        errors=[short(error) for error in errors.mean(0)],
        quantiles=[short(quantile) for quantile in quantiles],
        examples=examples,
    )


def ranked(count: int) -> tuple[slice, slice, slice]:
    """Which places of a sorted list of `count` are the best, the median and the worst; none is two of them."""
    best, middle, worst = (min(EACH, (count + more) // 3) for more in (2, 0, 1))
    first = max(best, (count - middle) // 2)
    return slice(0, best), slice(first, first + middle), slice(count - worst, count)


def short(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")


def places(points: Array) -> list[list[float]]:
    """Points of one image (P, 2) to a hundred-thousandth of a side; empty for anything but points of a picture."""
    if points.ndim != 2 or points.shape[1] != 2:
        return []
    rounded: list[list[float]] = np.round(points.astype(np.float64), 5).tolist()
    return rounded


def file(folder: Path, number: int) -> Path:
    """Where a study's folder keeps the answers of trial `number`."""
    return folder / "answers" / f"{number:06d}.json"


def picture(folder: Path, row: int) -> Path:
    """Where a study's folder keeps the picture of the data set's row `row`."""
    return folder / "pictures" / f"{row}.jpg"


def save(answers: Answers, folder: Path, number: int) -> None:
    """Write the answers of trial `number`; a reader meets the old file or the new one."""
    with replacing(file(folder, number)) as half:
        half.write_text(json.dumps(asdict(answers), separators=(",", ":"), allow_nan=False), encoding="utf-8")


def save_pictures(answers: Answers, task: "Task", folder: Path) -> None:
    """Write the pictures of the examples that are not there yet, each whole or not at all."""
    for example in answers.examples:
        wanted = picture(folder, example.row)
        if not wanted.exists():
            with replacing(wanted) as half:
                Image.fromarray(task.picture(example.row)).save(half, "JPEG", quality=QUALITY)


def load(folder: Path, number: int) -> Answers | None:
    """The answers of trial `number`; None where there are none or they cannot be read."""
    try:
        return parse(json.loads(file(folder, number).read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def parse(raw: Any) -> Answers:
    """Answers from JSON, every field of its type.

    Raises:
        ValueError, TypeError, KeyError, OverflowError: they are not what `save` writes.
    """
    labels = [str(label) for label in raw["labels"]]
    edges = [[int(a), int(b)] for a, b in raw["edges"]]
    examples = [
        Example(str(e["rank"]), int(e["row"]), finite(e["error"]), pairs(e["answered"]), pairs(e["true"]))
        for e in raw["examples"]
    ]
    answers = Answers(
        epoch=int(raw["epoch"]),
        labels=labels,
        edges=edges,
        errors=[finite(error) for error in raw["errors"]],
        quantiles=[finite(quantile) for quantile in raw["quantiles"]],
        examples=examples,
    )
    drawn = [points for example in examples for points in (example.answered, example.true)]
    if (
        len(answers.errors) != len(labels)
        or len(answers.quantiles) != QUANTILES
        or any(not 0 <= end < len(labels) for edge in edges for end in edge)
        or any(example.rank not in RANKS or not 0 <= example.row < 2**53 for example in examples)
        or any(points and len(points) != len(labels) for points in drawn)
    ):
        raise ValueError("the parts of these answers do not fit together")
    return answers


def pairs(points: Sequence[Sequence[float]]) -> list[list[float]]:
    """Points as [x, y]."""
    return [[finite(x), finite(y)] for x, y in points]


def finite(value: float) -> float:
    """A number that can be drawn.

    Raises:
        ValueError: it is infinite or not a number.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is not finite")
    return float(value)


def sweep(folder: Path) -> None:
    """Delete the pictures that no trial's answers name, and what killed workers left half-written.

    Every epoch has best, median and worst images of its own, and only a trial's last ones are kept. To be called when
    nothing is being trained.
    """
    kept = set()
    for found in (folder / "answers").glob("*.json"):
        answers = load(folder, int(found.stem)) if found.stem.isdigit() else None
        kept |= {picture(folder, example.row).name for example in answers.examples} if answers else set()
    for found in [*(folder / "pictures").glob("*"), *(folder / "answers").glob("*.half")]:
        if is_stale(found) or (found.suffix == ".jpg" and found.name not in kept):
            found.unlink(missing_ok=True)
