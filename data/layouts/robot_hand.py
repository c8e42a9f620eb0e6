"""The robot-hand task's folders: train/X/<i>/rgb/{0,1,2}.png, depth.npy, field_id.pkl, and train/Y/<i>.npy.

Nothing is ever unpickled: arrays are read without pickles, and an id is told from its file's opcodes.
"""

from __future__ import annotations

import pickletools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.layouts.problems import OnProblem, Problem, by_number, fault, refuse, reported, warning
from data.storage.copies import Look
from data.storage.files import BadFile
from data.storage.image import Bytes, read_image

Array = np.ndarray[Any, np.dtype[Any]]

VIEWS = 3
NUMBERS = 12
COLOURS = 3 * VIEWS
"""Channels of colour in the pack, the first ones."""
CHANNELS = 6 * VIEWS
"""Bytes of a packed pixel: red, green and blue of each camera, then three bytes of depth of each."""

DEEPEST = 65_535
"""The largest depth, millimetres: that of the 16-bit pictures of depth cameras."""

_FAR = 10.0  # metres: no fingertip is so far from its own robot; millimetres would be
_LARGEST_ID = 4096  # bytes; an id's file has some 20
_FRAMING = {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"}
_TEXT = {"SHORT_BINUNICODE", "BINUNICODE", "UNICODE"}
_WHOLE = {"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1"}


@dataclass(frozen=True)
class Sample:
    """One sample's files.

    Attributes:
        folder: train/X/<i> or test/X/<i>.
        label: train/Y/<i>.npy; None in the test part.
    """

    folder: Path
    label: Path | None

    @property
    def pictures(self) -> tuple[Path, ...]:
        """Of the cameras, in order."""
        return tuple(self.folder / "rgb" / f"{view}.png" for view in range(VIEWS))

    @property
    def depth(self) -> Path:
        """Of all cameras."""
        return self.folder / "depth.npy"

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        labels = () if self.label is None else (self.label,)
        return (*self.pictures, self.depth, self.folder / "field_id.pkl", *labels)


def fits(root: Path) -> bool:
    """Whether a folder has anything of the layout."""
    return (root / "train" / "X").is_dir() or (root / "train" / "Y").is_dir()


def read(root: Path, on_problem: OnProblem = refuse) -> tuple[tuple[Sample, ...], tuple[str, ...], Array]:
    """Read and check the training part; pictures and depths are checked by `decode`, as they are too large to keep.

    Returns:
        The samples, their ids, and their labels, float64 (N, 12), metres; an empty id or NaN where one is damaged.
    """
    part = samples(root, "train", on_problem)
    blank = np.full(NUMBERS, np.nan)
    labels = [blank if sample.label is None else label(sample.label, on_problem) for sample in part]
    return part, identifiers(part, on_problem), np.array(labels).reshape(-1, NUMBERS)


def samples(root: Path, part: str, on_problem: OnProblem = refuse) -> tuple[Sample, ...]:
    """The samples of a part, by their numbers where their folders are named by numbers, else by name.

    Args:
        root: The folder that holds train/ and perhaps test/.
        part: 'train' or 'test'; only 'train' has labels.
        on_problem: Called where the part is missing or empty, or samples and labels do not pair up.
    """
    place = root / part / "X"
    names: list[str] = []
    try:
        names = [entry.name for entry in place.iterdir() if entry.is_dir()]
    except OSError as error:
        detail = f"cannot be listed: {error.strerror}"
        on_problem(fault("missing", place, detail, f"give the folder that holds {part}/X"))
    else:
        if not names:
            mend = f"give a folder with {part}/X/<i>/rgb, depth.npy and field_id.pkl"
            on_problem(fault("missing", place, "it holds no samples", mend))
    names.sort(key=by_number)
    if part != "train":
        return tuple(Sample(place / name, None) for name in names)
    labels = root / part / "Y"
    there = {path.stem for path in labels.glob("*.npy")}
    mend = "fetch it again, or take away its partner"
    for name in sorted(set(names) - there):
        on_problem(fault("missing", labels / f"{name}.npy", f"the label of {place / name}", mend))
    for name in sorted(there - set(names)):
        on_problem(fault("mismatch", labels / f"{name}.npy", f"no sample in {place} belongs to it", mend))
    return tuple(Sample(place / name, labels / f"{name}.npy" if name in there else None) for name in names)


def shown(samples: Iterable[Sample], seen: Mapping[str, Look]) -> dict[str, Look]:
    """What the pictures of each sample show, all three as one; by its folder, of samples that were seen in full."""
    whole = {}
    for sample in samples:
        three = [seen[str(picture)] for picture in sample.pictures if str(picture) in seen]
        if len(three) == VIEWS:
            pixels, turn = " ".join(each.pixels for each in three), max(each.turn for each in three)
            whole[str(sample.folder)] = Look(pixels, all(each.plain for each in three), turn)
    return whole


def decode(sample: Sample, side: int, on_problem: OnProblem = refuse) -> Bytes:
    """One sample's pictures, for the pack: uint8 (side, side, 18); `data.transforms.robot_hand.planes` is the inverse.

    Depths are kept as fixed point, 16 bits before the point and 8 behind it: whole millimetres exactly, and every
    other depth to 1/512 mm.

    Raises:
        UserError: Whatever `on_problem` raises: a file is missing or damaged, or a depth is not finite, negative or
            beyond 65,535 mm. Such are black, or 0, if it returns.
    """
    colours = [np.zeros((side, side, 3), np.uint8)] * VIEWS
    for view, path in enumerate(sample.pictures):
        with reported(on_problem):
            colours[view] = read_image(path, (side, side))
    depth = np.zeros((VIEWS, side, side))
    with reported(on_problem):
        read_depth = numbers(sample.depth).astype(np.float64)
        if read_depth.shape != depth.shape:
            raise BadFile(sample.depth, "mis-shaped", f"shape {read_depth.shape} instead of {depth.shape}")
        for problem in _depth_problems(sample.depth, read_depth):
            on_problem(problem)
        depth = np.where((read_depth >= 0) & (read_depth <= DEEPEST), read_depth, 0)
    return np.concatenate([*colours, *(fixed(layer) for layer in depth)], -1)


def _depth_problems(path: Path, depth: Array) -> Iterator[Problem]:
    for kind, wrong, what in (
        ("non-finite", ~np.isfinite(depth), "are no numbers"),
        ("negative", depth < 0, "are negative"),
        ("implausible", depth > DEEPEST, f"are beyond {DEEPEST} mm"),
    ):
        if count := int(wrong.sum()):
            first = f"camera {int(np.argwhere(wrong)[0, 0])} has a depth of {depth[wrong][0]:g}"
            yield fault(kind, path, f"{count} depths {what}: {first} where millimetres from 0 to {DEEPEST} belong")
    for view in np.flatnonzero(~(depth > 0).any((1, 2))):
        yield warning("implausible", path, f"camera {view} saw no depth at all")
    if 0 < np.nanmax(depth, initial=0) < _FAR:
        yield warning("implausible", path, f"the largest depth is {np.nanmax(depth):g}: metres, not millimetres?")


def fixed(depth: Array) -> Bytes:
    """Depths (...) in millimetres as bytes (..., 3): hundreds, units and 256ths of a fixed-point number."""
    value = (depth.astype(np.float64) * 256).round().astype(np.uint32)
    return np.stack([value >> 16, value >> 8, value], -1).astype(np.uint8)


def label(path: Path, on_problem: OnProblem = refuse) -> Array:
    """The twelve numbers of a label, float64 (12,), metres.

    Raises:
        UserError: Whatever `on_problem` raises: the file is missing or damaged, or holds other than twelve finite
            numbers. They are NaN if it returns.
    """
    with reported(on_problem):
        values = numbers(path).astype(np.float64)
        finite = np.isfinite(values)
        if values.size != NUMBERS:
            raise BadFile(path, "mis-shaped", f"numbers of shape {values.shape} instead of {NUMBERS}")
        if not finite.all():
            raise BadFile(path, "non-finite", f"{NUMBERS} numbers of which {np.count_nonzero(finite)} finite")
        if (far := np.abs(values).max()) > _FAR:
            on_problem(warning("implausible", path, f"{far:g} m from the origin: millimetres, not metres?"))
        return values.ravel()
    return np.full(NUMBERS, np.nan)


def identifiers(part: Iterable[Sample], on_problem: OnProblem = refuse) -> tuple[str, ...]:
    """The ids of samples.

    Two of one id are a fault in the test part, where answers are called by them, else a warning.

    Raises:
        UserError: Whatever `on_problem` raises: a file is missing or damaged. Its id is empty if it returns.
    """
    ids, folders = [], defaultdict[str, list[Sample]](list)
    for sample in part:
        ids.append("")
        with reported(on_problem):
            ids[-1] = identifier(sample.folder / "field_id.pkl")
            folders[ids[-1]].append(sample)
    for name, same in folders.items():
        if len(same) > 1:
            detail = f"{name!r} is the id of {', '.join(sample.folder.name for sample in same[1:])} too"
            where = same[0].folder / "field_id.pkl"
            is_test = where.parts[-4] == "test"
            on_problem((fault if is_test else warning)("duplicate", where, detail))
    return tuple(ids)


def numbers(path: Path) -> Array:
    """An array of real numbers from a .npy file, as it is there; nothing in it is unpickled.

    Raises:
        BadFile: The file is missing, damaged, or holds something else.
    """
    try:
        # Mapped, a header that claims more than the file has is refused before any memory is asked for.
        array: Array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise BadFile(path, "missing", "no such file") from None
    except (OSError, EOFError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadFile(path, "unreadable", f"no whole .npy file of numbers: {reason}") from None
    if array.dtype.kind not in "uif":
        raise BadFile(path, "unreadable", f"it holds {array.dtype} instead of real numbers")
    return array


def identifier(path: Path) -> str:
    """The id in a field_id.pkl: one text or whole number, written as text.

    The file is not unpickled. Its opcodes are listed, which runs nothing, and must be those of a single constant.

    Raises:
        BadFile: The file is missing, or is anything but one pickled text or whole number.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_ID + 1)
    except OSError as error:
        raise BadFile(path, "missing", error.strerror or str(error)) from None
    wrong, values = "", []
    if len(raw) > _LARGEST_ID:
        wrong = f"is larger than {_LARGEST_ID} bytes"
    try:
        for opcode, value, _ in [] if wrong else pickletools.genops(raw):
            if opcode.name in _TEXT or (opcode.name in _WHOLE and not isinstance(value, bool)):
                values.append(str(value))
            elif opcode.name not in _FRAMING:
                wrong = f"has the opcode {opcode.name}"
                break
    except ValueError as error:
        wrong = f"is no pickle ({str(error).splitlines()[0]})"
    if not wrong and len(values) != 1:
        wrong = f"has {len(values)} values"
    if wrong:
        raise BadFile(path, "not plain", f"it {wrong}, where one pickled text or number belongs; do not unpickle it")
    return values[0]
