"""Boxes about objects in photographs: where prediction is to look, as a detector or a person wrote them down.

    NAME.json   COCO's {"images": [{"id", "file_name"}], "annotations": [{"image_id", "bbox"}]}, or a list of
                {"file_name", "bbox"}; bbox is [x, y, width, height]
    NAME.csv    the columns file, x, y, w, h in any order, perhaps name; others are not used

In pixels of the photograph as it is displayed, from its top left corner.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from data.errors import UserError
from data.layouts.annotations import Box

_FILE, _NAME = ("file", "file_name", "filename", "image"), ("name", "id")
_SIDES = (("x",), ("y",), ("w", "width"), ("h", "height"))


@dataclass(frozen=True)
class Boxed:
    """An object in a photograph."""

    file: Path  # one of the photographs
    name: str  # the object's: what its row or annotation calls it, else its number in the photograph, from 0
    box: Box  # x, y, width and height, the latter above 0; may leave the photograph


def read(file: Path, photographs: Sequence[Path]) -> tuple[list[Boxed], tuple[str, ...]]:
    """The objects that a file names in photographs, by photograph in their order, and what is to be said of it.

    A name means the photograph whose path ends with it, else the one of this name without its ending.

    Raises:
        UserError: the file cannot be read, names no photograph of these or an object twice, or a box is none.
    """
    rows = list(_csv(file) if file.suffix.lower() == ".csv" else _json(file))
    found: dict[Path, list[Boxed]] = {photograph: [] for photograph in photographs}
    for where, name, own, numbers in rows:
        photograph = _meant(name, photographs, f"{file}, {where}")
        objects = found[photograph]
        objects.append(Boxed(photograph, own or str(len(objects)), _box(numbers, f"{file}, {where}")))
    for photograph, objects in found.items():
        twice = [name for name, count in Counter(each.name for each in objects).items() if count > 1]
        if twice:
            raise UserError(f"{file} names {twice[0]!r} twice in {photograph.name}; give each object its own name.")
    if not rows:
        raise UserError(f"{file} holds no box; without --boxes each photograph is taken as one object.")
    empty = [photograph for photograph, objects in found.items() if not objects]
    said = f"{len(empty)} of {len(found)} photographs have no box and are left out, {empty[0]} first" if empty else ""
    return [each for objects in found.values() for each in objects], (said,) if said else ()


_Row = tuple[str, str, str, list[Any]]  # where it stands, the photograph's name, the object's or '', and four numbers


def _csv(file: Path) -> Iterator[_Row]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            table = csv.DictReader(opened, strict=True)
            header = {name.strip().lower(): name for name in table.fieldnames or ()}
            columns = [next((header[name] for name in names if name in header), None) for names in (_FILE, *_SIDES)]
            if None in columns:
                raise UserError(f"{file} must have the columns file, x, y, w and h, not {', '.join(header)[:80]!r}.")
            name = next((header[name] for name in _NAME if name in header), None)
            for row in table:
                first, *sides = (str(row[column] or "").strip() for column in columns if column is not None)
                yield f"line {table.line_num}", first, str(row[name] or "").strip() if name else "", sides
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unread(file, error) from error


def _json(file: Path) -> Iterator[_Row]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise _unread(file, error) from error
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        names = {each.get("id"): each.get("file_name") for each in content["images"] if isinstance(each, dict)}
        content = content.get("annotations")
    else:
        names = {}
    if not isinstance(content, list):
        raise UserError(f'{file} has no list of "annotations", nor is it one; see `posefront predict --help`.')
    for place, each in enumerate(content):
        keys = each if isinstance(each, dict) else {}
        number = keys.get("image_id")
        name = next((keys[key] for key in _FILE if key in keys), names.get(number) if _plain(number) else None)
        box = keys.get("bbox")
        if not isinstance(name, str) or not isinstance(box, list):
            raise UserError(f'{file}, annotation {place}: it lacks its "bbox", or its photograph\'s "file_name".')
        own = keys.get("id", "")
        yield f"annotation {place}", name, str(own) if _plain(own) else "", box


def _plain(value: object) -> bool:
    return isinstance(value, int | str)


def _meant(name: str, photographs: Sequence[Path], where: str) -> Path:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    ends = [photograph for photograph in photographs if parts and photograph.parts[-len(parts) :] == parts]
    for meant in (ends, [photograph for photograph in photographs if photograph.stem == name]):
        if len(meant) == 1:
            return meant[0]
        if meant:
            raise UserError(f"{where}: {name!r} may be {meant[0]} and {meant[1]}; give more of its path.")
    raise UserError(f"{where}: {name!r} is none of the {len(photographs)} photographs; name it on the command, too.")


def _box(numbers: Sequence[Any], where: str) -> Box:
    try:
        x, y, width, height = (float(number) for number in numbers)
    except (ValueError, TypeError, OverflowError):
        x = y = width = height = math.nan
    if not all(map(math.isfinite, (x, y, width, height))) or min(width, height) <= 0:
        raise UserError(f"{where}: {numbers!r:.80} are no x, y, width and height of a box, in pixels.")
    return x, y, width, height


def _unread(file: Path, error: Exception) -> UserError:
    reason = error.strerror if isinstance(error, OSError) else error
    return UserError(f"{file} cannot be read ({reason}); give boxes as .json or .csv, see `posefront predict --help`.")
