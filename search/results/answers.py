"""What a trial's network answers for the validation part, small enough to keep for every trial.

A worker writes it after every epoch, since a trial can be stopped after any: `answers/NNNNNN.json` in the study's
folder, and the pictures it names, shared by all trials, as `pictures/ROW.jpg` (10 kB a hand at 224 pixels).
"""

import io
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import ConfigDict, Field, FiniteFloat, TypeAdapter

from data.storage.files import is_stale, replacing

if TYPE_CHECKING:  # the dashboard reads answers, and starts without torch
    from data.storage.pack import Part
    from search.study import Task

RANKS: tuple["Rank", ...] = ("best", "median", "worst")
EACH = 4
"""Images of each rank."""

SHARED = 6
"""Images, the same ones in all trials of a study, that trials are compared by."""

QUANTILES = 201
"""Quantiles of the error that are kept: 0, 0.005 ... 1."""

QUALITY = 88
"""Of the pictures' JPEG."""

Array = np.ndarray[Any, np.dtype[Any]]
Rank = Literal["best", "median", "worst", "shared"]
Place = Annotated[int, Field(ge=0)]
Pair = Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]
Edge = Annotated[list[Place], Field(min_length=2, max_length=2)]

_STRICT = ConfigDict(strict=True)  # no field of a file is turned into another type


@dataclass(frozen=True)
class Example:
    """One image, and what was answered for it."""

    __pydantic_config__ = _STRICT

    rank: Rank  # 'best', 'median', 'worst', or 'shared' by all trials
    row: Annotated[Place, Field(lt=2**53)]  # the image's row in the data set
    error: FiniteFloat  # the mean over those of its labels that have one
    # [x, y] of each label's point as fractions of the picture's sides: [0, 1] spans the edges, and a point may lie
    # outside. Empty where the task answers no points in the picture
    answered: list[Pair]
    true: list[Pair | None]  # the same of the truth; None for a point that is not known
    said: str = ""  # the answer and the truth in words, where points do not say them; else empty


@dataclass(frozen=True)
class Answers:
    """A network's answers for the whole validation part."""

    __pydantic_config__ = _STRICT

    epoch: int  # after which they were given
    labels: list[str]  # names of what is answered: points, numbers or classes
    edges: list[Edge]  # which points a drawing joins, as pairs of places in `labels`
    errors: list[FiniteFloat | None]  # mean error of each label; None for one that no image has
    # 201 quantiles, 0, 0.005 ... 1, of the error over all images and labels, linearly interpolated
    quantiles: Annotated[list[FiniteFloat], Field(min_length=QUANTILES, max_length=QUANTILES)]
    # the 4 best, 4 median and 4 worst images by mean error, ascending; of fewer than 12 images each one once
    examples: list[Example]
    unit: str = ""  # of all these errors, which need not be that of the study's error; empty for none
    # images spread evenly over the validation part, in its order; empty in files of before they were kept
    shared: list[Example] = field(default_factory=list)

    @property
    def pictured(self) -> list[Example]:
        """All images of which the picture is kept; one may be there twice, by different ranks."""
        return [*self.examples, *self.shared]

    @property
    def pointed(self) -> bool:
        """Whether what is answered are points in the pictures."""
        return any(example.answered or example.true for example in self.examples)


_ANSWERS = TypeAdapter(Answers)


def of(task: "Task", outputs: Array, part: "Part", epoch: int) -> Answers:
    """What a network answered for the validation part, (N, ...) in its order, in brief; N is at least 1."""
    errors = task.errors(outputs, part)
    judged = ~np.isnan(errors)
    means = averages(errors, 1)
    order = np.argsort(means, kind="stable")[: np.count_nonzero(judged.any(1))]  # NaN, of images without any, is last

    def example(rank: Rank, i: int) -> Example:
        answered, true = places(outputs[i], len(task.labels)), known_places(part.targets[i], len(task.labels))
        words = task.caption(outputs[i], part.targets[i])
        return Example(rank, int(part.rows[i]), short(means[i]), answered, true, words)

    every = np.flatnonzero(judged.any(1))
    spread = every[np.unique(np.linspace(0, len(every) - 1, SHARED).round().astype(int))] if len(every) else every
    quantiles = np.quantile(errors[judged], np.linspace(0, 1, QUANTILES))
    return Answers(
        epoch=epoch,
        labels=list(task.labels),
        edges=[list(edge) for edge in task.edges],
        errors=[None if math.isnan(error) else short(error) for error in averages(errors, 0)],
        quantiles=[short(quantile) for quantile in quantiles],
        examples=[
            example(rank, i) for rank, chosen in zip(RANKS, ranked(len(order)), strict=True) for i in order[chosen]
        ],
        unit=task.each_unit,
        shared=[example("shared", int(i)) for i in spread],
    )


def averages(errors: Array, axis: int) -> Array:
    """Means along an axis of the errors that there are, not NaN; NaN where there is none."""
    counts = (~np.isnan(errors)).sum(axis)
    means: Array = np.where(counts, np.nansum(errors, axis) / np.maximum(counts, 1), np.nan)
    return means


def ranked(count: int) -> tuple[slice, slice, slice]:
    """Which places of a sorted list of `count` are the best, the median and the worst; none is two of them."""
    best, middle, worst = (min(EACH, (count + more) // 3) for more in (2, 0, 1))
    first = max(best, (count - middle) // 2)
    return slice(0, best), slice(first, first + middle), slice(count - worst, count)


def short(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")


def places(points: Array, count: int) -> list[list[float]]:
    """[x, y] of one image's points, (P, 2) or (P, 3), to a hundred-thousandth of a side; empty unless P is `count`."""
    if points.ndim != 2 or points.shape[0] != count or points.shape[1] not in (2, 3):
        return []
    rounded: list[list[float]] = np.round(points[:, :2].astype(np.float64), 5).tolist()
    return rounded


def known_places(points: Array, count: int) -> list[list[float] | None]:
    """As `places`, and None for a point that is NaN, or whose third column is 0: it is not known."""
    every = places(points, count)
    if not every:
        return []
    is_known = points[:, 2] > 0 if points.shape[-1] == 3 else np.isfinite(points[:, 0])
    return [place if known else None for place, known in zip(every, is_known, strict=True)]


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
    for example in answers.pictured:
        wanted = picture(folder, example.row)
        if not wanted.exists():
            with replacing(wanted) as half:
                half.write_bytes(encoded(task, example.row))


def encoded(task: "Task", row: int) -> bytes:
    """The picture of a row as a JPEG file, the same bytes for the same picture."""
    written = io.BytesIO()
    Image.fromarray(task.picture(row)).save(written, "JPEG", quality=QUALITY)
    return written.getvalue()


def sides(folder: Path, row: int) -> tuple[int, int]:
    """Width and height of the picture of row `row`, pixels; (1, 1) where it cannot be read."""
    try:
        with Image.open(picture(folder, row)) as opened:  # its header alone
            return opened.size
    except OSError:
        return 1, 1


def load(folder: Path, number: int, unit: str = "") -> Answers | None:
    """The answers of trial `number`; None where there are none or they cannot be read.

    Files written before the unit was kept are in that of the study's error, `unit`.
    """
    try:
        content = {"unit": unit, **json.loads(file(folder, number).read_bytes())}
        answers = _ANSWERS.validate_json(json.dumps(content))  # of JSON, for from Python strict takes no dictionary
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    count = len(answers.labels)
    points = [len(points) for example in answers.pictured for points in (example.answered, example.true)]
    fits = len(answers.errors) == count and all(end < count for edge in answers.edges for end in edge)
    return answers if fits and set(points) <= {0, count} else None


def sweep(folder: Path) -> None:
    """Delete the pictures that no trial's answers name, and what killed workers left half-written.

    Every epoch has best, median and worst images of its own, and only a trial's last ones are kept. To be called when
    nothing is being trained.
    """
    kept = set()
    for saved in (folder / "answers").glob("*.json"):
        answers = load(folder, int(saved.stem)) if saved.stem.isdigit() else None
        kept |= {picture(folder, example.row).name for example in answers.pictured} if answers else set()
    for file in [*(folder / "pictures").glob("*"), *(folder / "answers").glob("*.half")]:
        if is_stale(file) or (file.suffix == ".jpg" and file.name not in kept):
            file.unlink(missing_ok=True)
