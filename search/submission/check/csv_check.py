"""The csv of a submission: its rows and numbers, and with the test images its answers."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.errors import UserError
from search.after.model import Model
from search.study import Task
from search.submission import csv_table
from search.submission.check.checks import Check, failed, number, truth
from search.submission.claims import Claims, names_digest
from search.submission.course_images import SIDE
from search.submission.csv_layout import Layout, matched, named, recognised
from search.submission.forms import Answered, Form

PIXELS = 0.02
"""By which an answer for a test image may differ: it is computed on a CPU, and another CPU's is a thousandth away."""

_COORDINATE = re.compile(rf"-?\d{{1,9}}\.\d{{{csv_table.DECIMALS}}}")


def layout(file: Path, task: Task) -> Layout:
    """How the cells of a csv are places of a task's points.

    Raises:
        UserError: it cannot be read or recognised.
    """
    table = csv_table.read(file)
    return recognised(table.header, table.rows, file, task.labels)


@dataclass(frozen=True)
class Test:
    """The test part, to be answered again."""

    __test__ = False  # to pytest

    form: Form  # of the submission
    images: Path  # the folder
    data: Path | None  # the data set's folder; None for the study's own
    boxes: Path | None  # where the objects in the images are; None for one each


def checks(file: Path, claims: Claims, task: Task, model: Model | None, test: Test | None) -> Iterator[Check]:
    """All checks of a csv.

    Args:
        file: the csv.
        claims: of its submission.
        task: whose points they are.
        model: with the packed weights; None where they are wrong.
        test: the test part; None leaves the answers unchecked, with a warning.

    Raises:
        UserError: the test images are not there.
    """
    try:
        table = csv_table.read(file)
        yield number("rows of the csv", claims.csv_rows, len(table.rows), 0)
        places = recognised(table.header, table.rows, file, task.labels)
        yield from cells(file, table, places, claims, task)
        if test is None:
            text = "csv not answered again: give --test, the folder of the test images."
            yield truth("answers for the test images", False, "not measured", text, warning=True)
        elif model is not None and all(map(is_finite, numbers(table, places))):
            answered = test.form.answered(model, test.images, test.data or task.root, test.boxes)
            yield from answered_again(file, table, places, claims, model, answered)
    except UserError as error:
        if not str(error).startswith(str(file)):  # of the test images
            raise
        yield failed("csv", error, file.parent)


def cells(file: Path, table: csv_table.Table, places: Layout, claims: Claims, task: Task) -> Iterator[Check]:
    """Rows, names and numbers, as they are written."""
    keys = {named(places, row) for row in table.rows}
    text = f"{file.name} names a row twice; pack it again."
    yield truth("rows are named once", len(keys) == len(table.rows), f"{len(keys):,} names", text)
    yield number("images in the csv", claims.test_images, len({image for image, _, _ in keys}), 0)
    wrong = next((cell for cell in numbers(table, places) if not is_finite(cell)), None)
    text = f"{file.name} holds {str(wrong)[:40]!r}, which is no finite number."
    yield truth("coordinates are finite", wrong is None, f"{len(table.rows):,} rows", text)
    odd = next((cell for cell in numbers(table, places) if not _COORDINATE.fullmatch(cell)), None)
    header = claims.like_sample or table.header == own_header(task)
    written = header and odd is None and csv_table.text(table).encode() == file.read_bytes()
    text = f"{file.name} is not as submit writes it{f', in {odd[:40]!r}' if odd else ''}; pack it again."
    yield truth("csv as it is written", written, f"{len(table.header)} columns", text)


def own_header(task: Task) -> tuple[str, ...]:
    """The first line of a csv that follows no sample."""
    return csv_table.default([], np.zeros((0, len(task.labels), 2))).header


def numbers(table: csv_table.Table, places: Layout) -> list[str]:
    """The cells of all coordinates."""
    return [row[i] for row in table.rows for i in places.columns]


def is_finite(cell: str) -> bool:
    """Whether a cell is a finite number."""
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def answered_again(
    file: Path, table: csv_table.Table, places: Layout, claims: Claims, model: Model, answered: Answered
) -> Iterator[Check]:
    """The test images are those of the csv, and the packed weights answer what it says, in its order of rows."""
    points, ids = answered.points, answered.names
    same = names_digest(ids) == claims.test_names_sha256
    text = "--test, or --boxes, names other test images than the csv was made for."
    yield truth("test images", same, f"{len(ids):,}", text, f"{claims.test_images:,}")
    own = csv_table.like(file, ids, points, model.labels) if claims.like_sample else csv_table.default(ids, points)
    there, wanted = ([tuple(row[i] for i in places.keys) for row in each.rows] for each in (table, own))
    if there != wanted:
        at = next((i for i, (one, other) in enumerate(zip(there, wanted, strict=False)) if one != other), len(wanted))
        yield truth("answers for the test images", False, "", f"{file.name}: row {at + 1} is another image's.")
        return
    image_of = matched(own.rows, places, file, ids)
    worst, name = max(
        (abs(float(row[i]) - float(again[i])) * SIDE / answered.sides[image_of[at]], named(places, row)[0])
        for at, (row, again) in enumerate(zip(table.rows, own.rows, strict=True))
        for i in places.columns
    )
    text = f"{file.name}: the row of {name!r} is {worst:.2f} px from what the packed weights answer."
    yield truth("answers for the test images", worst <= PIXELS, f"{worst:.4f} px", text, f"within {PIXELS:g} px")
