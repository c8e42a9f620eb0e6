"""What a check of a data set finds and how its statistics are laid out, whatever the layout."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data.errors import UserError
from data.storage.pack import BadImage, Bytes, Progress

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Problem:
    """One thing found.

    Attributes:
        severity: "fault" for what cannot be trained on, "warning" for what is merely worth knowing.
        kind: Faults: "missing", "unreadable", "truncated", "mis-shaped", "mismatch" (counts, names or numbers that do
            not fit), "non-finite", "duplicate", "behind camera", "negative", "not plain" (a pickle that is more than
            one text or number). Warnings: "off-image", "implausible", or one of the faults' where it does no harm.
        where: The file, or the annotation's number and the point's.
        detail: What is wrong with it.
    """

    severity: Literal["fault", "warning"]
    kind: str
    where: str
    detail: str


def fault(kind: str, where: str | Path, detail: str) -> Problem:
    """A problem that forbids training."""
    return Problem("fault", kind, str(where), detail)


def warning(kind: str, where: str | Path, detail: str) -> Problem:
    """A problem worth knowing."""
    return Problem("warning", kind, str(where), detail)


@dataclass(frozen=True)
class Report:
    """Everything found in a folder.

    Attributes:
        images: Number of image files.
        objects: Number of annotated things that could be read.
        called: What these are: "hands", "objects", "samples", "folders".
        problems: In the order: annotations, then images.
    """

    images: int
    objects: int
    called: str
    problems: tuple[Problem, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems of each kind that occurs."""
        return dict(Counter(problem.kind for problem in self.problems))

    @property
    def sound(self) -> bool:
        """Whether there is no fault; warnings do not matter."""
        return all(problem.severity == "warning" for problem in self.problems)

    def __str__(self) -> str:
        found = ", ".join(f"{count} {kind}" for kind, count in self.counts.items()) or "nothing wrong"
        return f"{self.images} images, {self.objects} {self.called}: {found}"


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


class Stats(Protocol):
    """What is in a folder; each layout has its own numbers."""

    def tables(self) -> tuple[Table, ...]:
        """The numbers for a person."""


class Judged(Protocol):
    """What is needed of a task."""

    def prepare(self, progress: Progress | None = None) -> None:
        """Read and pack everything; raises UserError."""

    def baseline(self) -> float:
        """The error of always answering the mean; raises UserError."""


def row(values: Iterable[float], digits: int) -> str:
    """Numbers side by side."""
    return "  ".join(f"{value:.{digits}f}" for value in values)


def baseline(task: Judged, progress: Progress | None) -> float | UserError:
    """A task's error of always answering the mean, or why there is none: too little to split, for one."""
    try:
        task.prepare(progress)
        return task.baseline()
    except UserError as mistake:
        return mistake


def told(error: float | UserError, digits: int) -> str:
    """A baseline in words."""
    return f"not known: {error}" if isinstance(error, UserError) else f"{error:.{digits}f}"


def sizes(found: Iterable[tuple[int, int]]) -> str:
    """Widths and heights in words: the one there is, or least, median and greatest of both."""
    given = np.array(list(found))
    if (given == given[0]).all():
        return f"{given[0, 0]} x {given[0, 1]}"
    low, middle, high = given.min(0), np.median(given, 0), given.max(0)
    return f"{low[0]} to {high[0]} x {low[1]} to {high[1]}, median {middle[0]:.0f} x {middle[1]:.0f}"


def picture(path: str | Path, size: tuple[int, int] | None = None) -> Bytes:
    """Decode an image in full.

    Args:
        path: Any format that Pillow knows.
        size: Width and height it must have, in pixels, as it is or turned as its camera says; None for any.

    Returns:
        uint8 (H, W, 3).

    Raises:
        BadImage: If it is missing, unreadable, truncated or of another size.
    """
    try:
        with Image.open(path) as file:
            image: Image.Image = file
            try:
                image.load()
            except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise on broken streams
                raise BadImage(path, "truncated", str(error)) from None
            if size is not None and image.size != size:
                image = ImageOps.exif_transpose(image)
            if size is not None and image.size != size:
                shape = f"{image.size[0]}x{image.size[1]} instead of {size[0]}x{size[1]} pixels"
                raise BadImage(path, "mis-shaped", shape)
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise BadImage(path, "missing", "no such file") from None
    except UnidentifiedImageError:
        raise BadImage(path, "unreadable", "not an image, or its header is damaged") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadImage(path, "unreadable", str(error)) from None


def spoiled(path: str | Path, size: tuple[int, int] | None = None) -> list[Problem]:
    """What is wrong with an image file, if anything; see `picture`."""
    try:
        picture(path, size)
    except BadImage as bad:
        return [fault(bad.kind, path, bad.detail)]
    return []


class Moments:
    """Mean and standard deviation of each channel, on 0..1, over all pixels of images that are added one by one."""

    def __init__(self) -> None:
        self._count = 0
        self._total, self._squares = np.zeros(3, np.int64), np.zeros(3, np.int64)

    def add(self, images: Bytes) -> None:
        """One image or several, uint8 (..., 3)."""
        values = images.reshape(-1, 3)
        self._count += len(values)
        self._total += values.sum(0, dtype=np.int64)
        self._squares += np.square(values, dtype=np.uint16).sum(0, dtype=np.int64)

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel."""
        return tuple((self._total / self._count / 255).tolist())

    @property
    def std(self) -> tuple[float, ...]:
        """Of each channel."""
        variance = self._squares / self._count - (self._total / self._count) ** 2
        return tuple((np.sqrt(np.maximum(variance, 0)) / 255).tolist())
