"""What a stranger packed beside what this program makes of the same weights and curves: texts, notebooks, reports.

Numbers may differ as those of another machine do, and pictures by a few pixels; nothing else may.
"""

import base64
import binascii
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import pypdf
from PIL import Image

from search.submission.check.checks import first_line

WITHIN = 1e-3
"""By which part a printed number may differ. On another CPU it is about a millionth."""

POINTS = 1.0
"""By how many points a percentage may differ: those that are printed are differences, and next to nothing."""

EXACT = 1e6
"""Whole numbers below are counts and names: they are the same."""

LEVELS, PIXELS = 32, 1e-3
"""The part of a picture's pixels that may differ by more levels, of 256: a line that is drawn one pixel aside."""

_NUMBER = re.compile(r"(\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?)")
# What the notebook says of the machine that ran it.
_MACHINE = re.compile(r"\btorch [\w.+]{1,40} on (cpu|cuda)\b")
_SHOWN = 60  # letters of a text that a message shows

_RUNS = ("/OpenAction", "/AA", "/AcroForm", "/Names", "/AF", "/Collection", "/Perms")  # of a PDF's catalogue and pages

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class _Pdf:
    """What is compared of a PDF file."""

    texts: list[str]  # of its pages
    about: dict[str, str]  # its title, author and the like
    active: set[str]  # what is more than text and drawings: attachments, scripts, forms, links


def text(packed: str, own: str) -> str:
    """What differs between two texts but for numbers within tolerance: `'a' where 'b' belongs`; empty for nothing."""
    here, there = (_NUMBER.split(_MACHINE.sub("torch", whole)) for whole in (packed, own))
    words = list(zip_longest(here, there, fillvalue=""))
    for place, (one, other) in enumerate(words):
        after = words[place + 1][1] if place + 1 < len(words) else ""
        percent = after.startswith(" %") or (place > 0 and words[place - 1][1].endswith('percent": '))
        if one != other and not (place % 2 and one and other and _close(one, other, percent)):
            same = 0 if place % 2 else next((i for i, (a, b) in enumerate(zip_longest(one, other)) if a != b), 0)
            return f"{_around(here, place, same)} where {_around(there, place, same)} belongs"
    return ""


def _close(one: str, other: str, percent: bool) -> bool:
    """Whether two printed numbers are the same one, measured on different machines."""
    a, b = (float(number.replace(",", "")) for number in (one, other))
    if percent:
        return abs(a - b) <= POINTS
    if one.replace(",", "").isdigit() and other.replace(",", "").isdigit() and max(a, b) < EXACT:
        return a == b
    return abs(a - b) <= max(WITHIN * min(a, b), 1.01 * max(_unit(one), _unit(other)))


def _unit(number: str) -> float:
    """The unit of a printed number's last place; 0 of a whole one, or of one with an exponent."""
    return 0.0 if "e" in number or "." not in number else 10.0 ** -len(number.rpartition(".")[2])


def _around(words: Sequence[str], place: int, same: int) -> str:
    """Where two texts part: after the first `same` letters of a part between numbers, or at a number."""
    before = "".join([*words[max(0, place - 2) : place], *[word[:same] for word in words[place : place + 1]]])
    after = "".join(words[place : place + 2 - place % 2])[same:]
    return repr(f"{before[-20:]}{after}"[:_SHOWN].strip())


def notebooks(packed: Any, own: Any) -> Iterator[tuple[Place, str]]:
    """Where two notebooks differ, as JSON of one file each: the place in it, and what is there."""
    yield from _differences(_joined(packed), _joined(own), ())


def shown(place: Place) -> str:
    """A place in a notebook in words: 'cell 3, outputs 1, text'."""
    parts: list[str] = []
    for key in place:
        if isinstance(key, int):
            name = parts.pop() if parts else "place"
            parts.append(f"{'cell' if name == 'cells' else name} {key + 1}")
        else:
            parts.append(repr(key[:_SHOWN]) if not key.isidentifier() else key)
    return ", ".join(parts) or "the whole"


def _joined(value: Any) -> Any:
    """A notebook's JSON with each text in one piece: lines are, and what a cell prints comes in pieces by chance."""
    if isinstance(value, dict):
        return {key: _joined(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and all(isinstance(inner, str) for inner in value):
        return "".join(value)
    if isinstance(value, list):
        whole: list[Any] = []
        for inner in map(_joined, value):
            if whole and _is_stream(inner) and _is_stream(whole[-1]) and inner["name"] == whole[-1]["name"]:
                whole[-1] = {**whole[-1], "text": whole[-1]["text"] + inner["text"]}
            else:
                whole.append(inner)
        return whole
    return value


def _is_stream(value: Any) -> bool:
    return (
        isinstance(value, dict) and value.keys() == {"output_type", "name", "text"} and isinstance(value["text"], str)
    )


def _differences(packed: Any, own: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(packed, dict) and isinstance(own, dict):
        for key in sorted(packed.keys() | own.keys()):
            if key not in own:
                yield (*place, key), "has no place there"
            elif key not in packed:
                yield (*place, key), "is missing"
            else:
                yield from _differences(packed[key], own[key], (*place, key))
    elif isinstance(packed, list) and isinstance(own, list):
        for number, (one, other) in enumerate(zip(packed, own, strict=False)):
            yield from _differences(one, other, (*place, number))
        if len(packed) != len(own):
            yield place, f"there are {len(packed)} instead of {len(own)}"
    elif type(packed) is not type(own) or (packed != own and not _is_output(packed, own, place)):
        yield place, _said(packed, own, place)


def _is_output(packed: Any, own: Any, place: Place) -> bool:
    """Whether two different values are what a cell answered on two machines."""
    return "outputs" in place and isinstance(own, str) and not _output(packed, own, str(place[-1]))


def _output(packed: str, own: str, kind: str) -> str:
    """What differs between two answers of a cell: a picture or a text."""
    return picture(packed, own) if kind.startswith("image/") else text(packed, own)


def _said(packed: Any, own: Any, place: Place) -> str:
    if isinstance(packed, str) and isinstance(own, str):
        if "outputs" in place:
            return f"has {_output(packed, own, str(place[-1]))}"
        lines = list(zip_longest(packed.splitlines(), own.splitlines(), fillvalue=""))
        one, other = next(((a, b) for a, b in lines if a != b), (packed, own))
        return f"has {one[:_SHOWN]!r} where {other[:_SHOWN]!r} belongs"
    return f"has {str(packed)[:_SHOWN]!r} where {str(own)[:_SHOWN]!r} belongs"


def picture(packed: str, own: str) -> str:
    """What is wrong with a picture, a file in base 64, beside our own; empty for nothing."""
    try:
        file = base64.b64decode(packed, validate=False)
        with Image.open(io.BytesIO(base64.b64decode(own))) as opened:
            kind, size, ours = opened.format, opened.size, np.asarray(opened.convert("RGB"), dtype=np.int16)
        with Image.open(io.BytesIO(file), formats=[str(kind)]) as opened:
            if opened.size != size:
                return f"a picture of {opened.size[0]} x {opened.size[1]} pixels instead of {size[0]} x {size[1]}"
            theirs = np.asarray(opened.convert("RGB"), dtype=np.int16)
    except (OSError, SyntaxError, ValueError, binascii.Error) as error:
        return f"a picture that cannot be read ({first_line(error)})"
    if len(packed) > 1.25 * len(own) + 1000:
        return "a picture with more in it than its pixels"
    other = float((np.abs(theirs - ours).max(-1) > LEVELS).mean())
    return f"a picture that differs in {100 * other:.2g} % of its pixels" if other > PIXELS else ""


def pages(packed: bytes, own: bytes) -> str:
    """What differs between the texts of two PDF files, page by page, and what else one of them holds; empty if nothing.

    Drawings are not compared.
    """
    try:
        here = _read(packed)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's file makes pypdf raise is said
        return f"it is no PDF that can be read ({first_line(error)})"
    there = _read(own)
    if extra := sorted(here.active - there.active):
        return f"it holds {', '.join(extra)}, which has no place in it"
    for number, (one, other) in enumerate(zip(here.texts, there.texts, strict=False), 1):
        if wrong := text(one, other):
            return f"page {number} says {wrong}"
    if len(here.texts) != len(there.texts):
        return f"it has {len(here.texts)} pages instead of {len(there.texts)}"
    names = sorted(there.about.keys() | here.about.keys())
    odd = next((name for name in names if here.about.get(name) != there.about.get(name)), None)
    return f"its {odd[:_SHOWN]} is {here.about.get(odd, '')[:_SHOWN]!r}" if odd else ""


def _read(file: bytes) -> _Pdf:
    reader = pypdf.PdfReader(io.BytesIO(file), strict=False)
    root = reader.root_object
    active = {name.strip("/") for name in _RUNS if name in root}
    texts = []
    for page in reader.pages:
        active |= {name.strip("/") for name in _RUNS if name in page}
        for each in page.annotations or ():
            annotation = each.get_object()
            action = annotation["/A"].get_object() if "/A" in annotation else {}
            inside = annotation.get("/Subtype") == "/Link" and not action
            active.add("a link inside" if inside else f"a link to {action.get('/URI', action)!s:.60}")
        texts.append(" ".join(page.extract_text().split()))
    about = {name.strip("/"): str(value) for name, value in (reader.metadata or {}).items()}
    about.pop("Creator", None)  # the version that is compared by itself
    return _Pdf(texts, about, active)
