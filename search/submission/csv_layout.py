"""What the cells of an organiser's csv mean, as far as its header and ids say it with certainty.

    wide   a row an image: its id, then x and y of every joint, numbered (x0, y0, ... or 1_x, 1_y, ..., from 0 or 1)
           or named (wrist_x, index_mcp_y, ...), in any order of columns
    long   a row a joint (id IMAGE_JOINT, or columns for image and joint, then x and y) or a row a coordinate
           (id IMAGE_JOINT_AXIS or IMAGE_AXISJOINT, then one value)

x and y may be called u and v.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data.errors import UserError
from data.storage.image import ENDINGS

Row = tuple[str, ...]
Place = tuple[int | None, int | None]
"""(joint, axis) of a column of numbers; None where the row's id says it."""

_AXES = {"x": 0, "y": 1, "u": 0, "v": 1}
_IMAGE = {"id", "image", "image id", "imageid", "image name", "img", "img id", "file", "filename", "file name", "name"}
_JOINT = {"joint", "joint id", "keypoint", "keypoint id", "landmark", "landmark id", "point", "point id", "kp"}
_FINGERS = {"mcp": 1, "pip": 2, "dip": 3, "tip": 4}
_THUMB = {"cmc": 1, "mcp": 2, "ip": 3, "tip": 4}


@dataclass(frozen=True)
class Layout:
    """How a csv's cells are places of joints."""

    rule: str  # in words, how it was recognised
    header: tuple[str, ...]  # the first line
    keys: tuple[int, ...]  # which columns name a row; their cells are copied
    pattern: str  # regular expression for a row's keys, joined by commas, with groups image and perhaps joint and axis
    joints: Mapping[str, int]  # joints by what the group joint says
    columns: Mapping[int, Place]  # the place of each column of numbers; those of `keys` are absent


def recognised(header: Row, rows: Sequence[Row], sample: Path, labels: Sequence[str]) -> Layout:
    """The layout of a sample's first line and its other lines, at least one; `labels` are the names of all joints.

    Raises:
        UserError: it cannot be recognised with certainty.
    """
    words = [_words(name) for name in header]
    joined = [" ".join(word) for word in words]
    axes = [_AXES.get(name) for name in joined]
    if joined[0] not in _IMAGE:
        raise UserError(
            f"{sample}: the first column is {header[0]!r}, but must name the images, as 'id' or 'image'; rename it."
        )
    if len(joined) == 2 and axes[1] is None:
        return _long(header, rows, sample, (0,), {1: (None, None)}, labels)
    if len(joined) in {3, 4} and sorted(axis for axis in axes if axis is not None) == [0, 1] and len(labels) > 1:
        columns: dict[int, Place] = {i: (None, axis) for i, axis in enumerate(axes) if axis is not None}
        others = tuple(i for i in range(len(joined)) if i not in columns)
        if len(others) == 2 and joined[others[1]] not in _JOINT:
            name = header[others[1]]
            raise UserError(f"{sample}: nobody knows what column {name!r} is; a column of joints is called 'joint'.")
        return _long(header, rows, sample, others, columns, labels)
    return _wide(header, sample, words, labels)


def _wide(header: Row, sample: Path, words: list[tuple[str, ...]], labels: Sequence[str]) -> Layout:
    """The layout of a sample with a row an image: each column is an axis and a joint."""
    parsed: dict[int, tuple[str, int]] = {}
    for i, word in list(enumerate(words))[1:]:
        axes = [place for place in (0, len(word) - 1) if word and word[place] in _AXES]
        if not axes or len(word) < 2:
            raise UserError(
                f"{sample}: column {header[i]!r} is neither x nor y of a joint; columns are called x0, y0, ... or "
                "wrist_x, wrist_y, ... ."
            )
        place = axes[-1]
        parsed[i] = " ".join(word[:place] + word[place + 1 :]), _AXES[word[place]]
    joints = len(labels)
    if len(parsed) != 2 * joints:
        raise UserError(
            f"{sample} has {len(parsed)} columns after {header[0]!r}, but {joints} joints have {2 * joints} numbers; "
            "give a sample for these joints."
        )
    joint_of, rule = _joints([joint for joint, _ in parsed.values()], sample, labels)
    columns: dict[int, Place] = {i: (joint_of[joint], axis) for i, (joint, axis) in parsed.items()}
    twice = [i for i, place in columns.items() if list(columns.values()).count(place) > 1]
    if twice:
        raise UserError(f"{sample}: column {header[twice[1]]!r} is the same as {header[twice[0]]!r}; drop one.")
    return Layout(f"a row an image, {rule}", header, (0,), "(?P<image>.*)", {}, columns)


def _long(
    header: Row,
    rows: Sequence[Row],
    sample: Path,
    keys: tuple[int, ...],
    columns: Mapping[int, Place],
    labels: Sequence[str],
) -> Layout:
    """The layout of a sample with a row a joint or a coordinate, which the rows' keys name."""
    cut = "," if len(keys) == 2 else "[_ -]"
    spelt = sorted(_spellings(labels), key=len, reverse=True)
    words = "|".join(re.escape(name).replace(r"\ ", "[_ -]?") for name in spelt)
    joint = rf"(?:joint|keypoint|kp|point|j|p)?_?(?P<joint>\d+|{words})"
    if len(columns) == 2:
        patterns = {"a row a joint": rf"(?P<image>.+){cut}{joint}"}
    else:
        patterns = {
            "a row a coordinate, joint before axis": rf"(?P<image>.+){cut}{joint}_?(?P<axis>[xyuv])",
            "a row a coordinate, axis before joint": rf"(?P<image>.+){cut}(?P<axis>[xyuv])_?{joint}",
        }
    texts = [",".join(row[i] for i in keys) for row in rows]
    failed = 0
    for rule, pattern in patterns.items():
        matches = [re.fullmatch(pattern, text, re.IGNORECASE) for text in texts]
        if all(matches):
            names = [match["joint"].lower() for match in matches if match]
            numbers, order = _joints(list(map(_spelt, names)), sample, labels)
            joint_of = {word: numbers[_spelt(word)] for word in dict.fromkeys(names)}
            return Layout(f"{rule}, {order}", header, keys, f"(?i:{pattern})", joint_of, columns)
        failed = max(failed, matches.index(None))
    wanted = "the image and the joint" if len(columns) == 2 else "the image, the joint and x or y"
    raise UserError(
        f"{sample}, row {failed + 1}: {texts[failed]!r} does not name {wanted}, as in "
        f"00000000_0{'' if len(columns) == 2 else '_x'}; give a sample whose ids do."
    )


def _joints(names: Sequence[str], sample: Path, labels: Sequence[str]) -> tuple[dict[str, int], str]:
    """Which joint each word means, and the rule in words."""
    words = list(dict.fromkeys(names))
    joints = len(labels)
    bare = [re.sub(r"^(joint|keypoint|kp|point|j|p|landmark) (?=\d+$)", "", word) for word in words]
    if all(word.isdecimal() for word in bare):
        numbers = sorted(map(int, bare))
        for first in (0, 1):
            if numbers == list(range(first, first + joints)):
                return {w: int(b) - first for w, b in zip(words, bare, strict=True)}, f"joints numbered from {first}"
        raise UserError(
            f"{sample} numbers its joints {numbers[0]} to {numbers[-1]}, {len(numbers)} of them, but there are "
            f"{joints}, from 0 or from 1; give a sample for these joints."
        )
    spelt = _spellings(labels)
    for word in words:
        if word not in spelt:
            raise UserError(f"{sample}: {word!r} is no joint's name or number; known are {', '.join(labels)}.")
    if sorted(spelt[word] for word in words) != list(range(joints)):
        missing = sorted(set(range(joints)) - {spelt[word] for word in words})
        which = f"lacks {labels[missing[0]]!r}" if missing else "names a joint in two ways"
        raise UserError(f"{sample} {which}; it must name each of {joints} joints in one way.")
    return {word: spelt[word] for word in words}, "joints by their names"


def _spellings(labels: Sequence[str]) -> dict[str, int]:
    """The joints by every name they go by, in words: 'index 1' is also 'index mcp' and 'index finger mcp'."""
    spellings: dict[str, int] = {}
    for joint, label in enumerate(labels):
        words = _words(label)
        spellings[" ".join(words)] = joint
        if len(words) == 2 and words[1].isdecimal():
            parts = _THUMB if words[0] == "thumb" else _FINGERS
            for part in (part for part, number in parts.items() if number == int(words[1])):
                for finger in (words[0], *(("pinky",) if words[0] == "little" else ())):
                    spellings |= {f"{finger} {part}": joint, f"{finger} finger {part}": joint}
    return spellings


def _words(name: str) -> tuple[str, ...]:
    """'Index_MCP-x' and 'x12' as ('index', 'mcp', 'x') and ('x', '12')."""
    return tuple(re.findall(r"[a-z]+|\d+", name.lower()))


def _spelt(name: str) -> str:
    return " ".join(_words(name))


def named(layout: Layout, row: tuple[str, ...]) -> tuple[str, int | None, int | None]:
    """Image, joint and axis that a row's keys name; None for what they leave to the columns."""
    match = re.fullmatch(layout.pattern, ",".join(row[i] for i in layout.keys))
    if match is None:
        raise ValueError(f"{row} does not fit {layout.pattern}")
    groups = match.groupdict()
    joint = layout.joints[groups["joint"].lower()] if "joint" in groups else None
    return groups["image"], joint, _AXES[groups["axis"].lower()] if "axis" in groups else None


def matched(rows: Sequence[Row], layout: Layout, sample: Path, ids: Sequence[str]) -> dict[int, int]:
    """The image of each row: the one of this name, or of this name without ending, or whose name is this number.

    Raises:
        UserError: there is none, or there are two.
    """
    rules: list[Callable[[str], str]] = [str, stem, _number]
    tables: list[dict[str, list[int]]] = [{}, {}, {}]
    for rule, table in zip(rules, tables, strict=True):
        for image, name in enumerate(ids):
            table.setdefault(rule(name), []).append(image)
    image_of: dict[int, int] = {}
    for i, row in enumerate(rows):
        name = named(layout, row)[0]
        keys = [rule(PurePosixPath(name).name) for rule in rules]
        images = next((table[key] for key, table in zip(keys, tables, strict=True) if key and key in table), [])
        if len(images) > 1:
            both = f"{ids[images[0]]} and {ids[images[1]]}"
            raise UserError(f"{sample}, row {i + 1}: {name!r} may be {both}; rename one of the images.")
        if not images:
            raise UserError(
                f"{sample}, row {i + 1}: no test image is called {name!r}; give all {len(rows)} rows' images with "
                "--test, or the sample that belongs to them."
            )
        image_of[i] = images[0]
    return image_of


def check_complete(
    layout: Layout, rows: Sequence[Row], images: Mapping[int, int], ids: Sequence[str], sample: Path, joints: int
) -> None:
    """Refuse a sample in which an image, joint or axis does not stand exactly once; `images` has each row's image.

    Raises:
        UserError: it names the first such row, or an image that is not listed.
    """
    names = [named(layout, row) for row in rows]
    places = Counter((images[i], joint, axis) for i, (_, joint, axis) in enumerate(names))
    for i, (name, joint, axis) in enumerate(names):
        if places[images[i], joint, axis] > 1:
            raise UserError(f"{sample}, row {i + 1}: {name!r} is listed twice; drop one of its rows.")
    count = Counter(images.values())
    if len(count) < len(ids):
        more = next(name for i, name in enumerate(ids) if i not in count)
        raise UserError(
            f"{sample} lists {len(count)} of the {len(ids)} test images and not {more}; give the images that it "
            "lists, or the sample that belongs to them."
        )
    each = (joints if layout.joints else 1) * (2 if list(layout.columns.values()) == [(None, None)] else 1)
    for i, (name, _, _) in enumerate(names):
        if count[images[i]] != each:
            rows_of = count[images[i]]
            raise UserError(f"{sample}, row {i + 1}: {name!r} has {rows_of} rows instead of {each}; add the others.")


def stem(name: str) -> str:
    """A file's name without an image's ending."""
    return name[: name.rindex(".")] if name.lower().endswith(ENDINGS) else name


def _number(name: str) -> str:
    """A name that is a number, without leading zeros; else nothing."""
    digits = stem(name)
    return str(int(digits)) if re.fullmatch(r"[0-9]+", digits) else ""
