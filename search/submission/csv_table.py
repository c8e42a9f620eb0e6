"""The csv of keypoints: our own layout, or that of an organiser's sample file (see `search.submission.csv_layout`)."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError
from data.storage.files import writing
from search.submission.csv_layout import Layout, check_complete, matched, named, recognised, stem

DECIMALS = 4
"""Of a coordinate: a ten-thousandth of a pixel."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Table:
    """A csv."""

    header: tuple[str, ...]  # the first line
    rows: tuple[tuple[str, ...], ...]  # the others, every cell as it is written
    layout: Layout | None = None  # how they were filled; None for a table that was read


def default(ids: Sequence[str], points: Array) -> Table:
    """A row an image: `id` (the file's name without ending), then x0, y0, ..., in the order of `ids`.

    `ids` are the images' file names, `points` (N, P, 2) pixels.

    Raises:
        UserError: two images have the same name but for the ending.
    """
    joints = points.shape[1]
    header = ("id", *(f"{axis}{joint}" for joint in range(joints) for axis in "xy"))
    columns = {1 + i: (i // 2, i % 2) for i in range(2 * joints)}
    layout = Layout("our own: id, then x and y of each joint", header, (0,), "(?P<image>.*)", {}, columns)
    names = [(stem(name),) for name in ids]
    twice = [name for (name,), count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"two test images are called {twice[0]} but for the ending; rename one.")
    return _fill(layout, names, dict(enumerate(range(len(ids)))), points)


def like(sample: Path, ids: Sequence[str], points: Array, labels: Sequence[str]) -> Table:
    """The same numbers in the header, order and ids of a sample.

    What the sample's ids mean see `matched`; its numbers are not used. `ids` are the images' file names, `points`
    (N, P, 2) pixels, `labels` the names of the P joints.

    Raises:
        UserError: the sample cannot be read, or cannot be matched with certainty, for the whole of it.
    """
    table = read(sample)
    if not table.rows:
        raise UserError(f"{sample} has a header and no rows; give a sample that lists the test images.")
    layout = recognised(table.header, table.rows, sample, labels)
    images = matched(table.rows, layout, sample, ids)
    check_complete(layout, table.rows, images, ids, sample, len(labels))
    return _fill(layout, [tuple(row[i] for i in layout.keys) for row in table.rows], images, points)


def write(table: Table, file: Path) -> None:
    """Write a csv; a reader meets the old file or the new one.

    Raises:
        UserError: the file cannot be written.
    """
    with writing(file, "name a folder of yours") as half:
        half.write_text(text(table), encoding="utf-8", newline="")


def text(table: Table) -> str:
    """A csv as `write` writes it."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([table.header, *table.rows])
    return written.getvalue()


def read(file: Path) -> Table:
    """A csv as it is written.

    Raises:
        UserError: it cannot be read, has no header or names a column twice, or a row has more or fewer cells.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            lines = [tuple(cell.strip() for cell in line) for line in csv.reader(opened, strict=True)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{file} cannot be read ({reason}); give a csv in UTF-8, commas between columns.") from error
    if not lines or not any(lines[0]):
        raise UserError(f"{file} has no header; its first line must name the columns.")
    header = lines[0]
    between = next((mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]), None)
    if between:
        raise UserError(
            f"{file} has {between!r} between its columns, and must have commas; save it as a csv with commas."
        )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise UserError(f"{file} has two columns {twice[0]!r}; rename one.")
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header) and line:
            raise UserError(
                f"{file}, line {number}: {len(line)} cells where the header has {len(header)}; mend the line."
            )
    return Table(header, tuple(line for line in lines[1:] if line))


def _fill(layout: Layout, keys: Sequence[tuple[str, ...]], images: Mapping[int, int], points: Array) -> Table:
    """The rows with their numbers."""
    if not np.isfinite(points).all():
        raise ValueError("a coordinate is not finite")
    rows = []
    for i, key in enumerate(keys):
        cells = [""] * len(layout.header)
        for column, cell in zip(layout.keys, key, strict=True):
            cells[column] = cell
        _, joint, axis = named(layout, tuple(cells))
        for column, place in layout.columns.items():
            value = points[images[i], joint if place[0] is None else place[0], axis if place[1] is None else place[1]]
            cells[column] = f"{value:.{DECIMALS}f}"
        rows.append(tuple(cells))
    return Table(layout.header, tuple(rows), layout)
