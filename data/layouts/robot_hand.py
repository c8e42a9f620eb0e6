"""The robot-hand task's folders: train/X/<i>/rgb/{0,1,2}.png, depth.npy, field_id.pkl, and train/Y/<i>.npy.

Nothing is ever unpickled: arrays are read without pickles, and an id is told from its file's opcodes.
"""

import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError
from data.storage.pack import Bytes, read

Array = np.ndarray[Any, np.dtype[Any]]

VIEWS = 3
NUMBERS = 12
CHANNELS = 6 * VIEWS
"""Bytes of a packed pixel: red, green and blue of each camera, then three bytes of depth of each."""

DEEPEST = 65_535
"""The largest depth, millimetres: that of the 16-bit pictures of depth cameras."""

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
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        pictures = (self.folder / "rgb" / f"{view}.png" for view in range(VIEWS))
        labels = () if self.label is None else (self.label,)
        return (*pictures, self.folder / "depth.npy", self.folder / "field_id.pkl", *labels)


def samples(root: Path, part: str) -> tuple[Sample, ...]:
    """The samples of a part, by their numbers where their folders are named by numbers, else by name.

    Args:
        root: The folder that holds train/ and perhaps test/.
        part: 'train' or 'test'; only 'train' has labels.

    Raises:
        UserError: The part is missing or empty, or samples and labels do not pair up.
    """
    place = root / part / "X"
    try:
        names = [entry.name for entry in place.iterdir() if entry.is_dir()]
    except OSError as error:
        raise UserError(f"{place} cannot be listed ({error.strerror}): give the folder that holds {part}/X.") from None
    if not names:
        raise UserError(f"{place} holds no samples: give a folder with {part}/X/<i>/rgb, depth.npy and field_id.pkl.")
    names.sort(key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name))
    if part != "train":
        return tuple(Sample(place / name, None) for name in names)
    labels = root / part / "Y"
    found = {path.stem for path in labels.glob("*.npy")}
    if lone := sorted(set(names) ^ found):
        has, lacks = (place / lone[0], labels) if lone[0] in names else (labels / f"{lone[0]}.npy", place)
        raise UserError(f"{has} has no partner in {lacks}: fetch it again, or take it away.")
    return tuple(Sample(place / name, labels / f"{name}.npy") for name in names)


def decode(sample: Sample, side: int) -> Bytes:
    """One sample's pictures, for the pack: uint8 (side, side, 18); `data.transforms.robot_hand.planes` is the inverse.

    Depths are kept as fixed point, 16 bits before the point and 8 behind it: whole millimetres exactly, and every
    other depth to 1/512 mm.

    Raises:
        UserError: A file is missing or damaged, or a depth is not finite, negative or beyond 65,535 mm.
    """
    colours = [read(sample.folder / "rgb" / f"{view}.png", side) for view in range(VIEWS)]
    path = sample.folder / "depth.npy"
    depth = numbers(path).astype(np.float64)
    if depth.shape != (VIEWS, side, side):
        raise UserError(f"{path} has the shape {depth.shape} instead of {(VIEWS, side, side)}: fetch it again.")
    wrong = depth[~((depth >= 0) & (depth <= DEEPEST))]  # NaN is neither
    if wrong.size:
        raise UserError(f"{path} has a depth of {wrong[0]:g} where millimetres from 0 to {DEEPEST} belong: mend it.")
    return np.concatenate([*colours, *(fixed(layer) for layer in depth)], -1)


def fixed(depth: Array) -> Bytes:
    """Depths (...) in millimetres as bytes (..., 3): hundreds, units and 256ths of a fixed-point number."""
    value = (depth.astype(np.float64) * 256).round().astype(np.uint32)
    return np.stack([value >> 16, value >> 8, value], -1).astype(np.uint8)


def label(path: Path) -> Array:
    """The twelve numbers of a label, float64 (12,), metres.

    Raises:
        UserError: The file is missing or damaged, or holds other than twelve finite numbers.
    """
    found = numbers(path).astype(np.float64)
    if found.size != NUMBERS or not np.isfinite(found).all():
        shape = f"{found.shape} of which {np.count_nonzero(np.isfinite(found))} finite"
        raise UserError(f"{path} holds numbers of shape {shape} instead of {NUMBERS} finite ones: fetch it again.")
    return found.ravel()


def numbers(path: Path) -> Array:
    """An array of real numbers from a .npy file, as it is there; nothing in it is unpickled.

    Raises:
        UserError: The file is missing, damaged, or holds something else.
    """
    try:
        # Mapped, a header that claims more than the file has is refused before any memory is asked for.
        found: Array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: fetch it again.") from None
    except (OSError, EOFError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is no whole .npy file of numbers ({reason}): fetch it again.") from None
    if found.dtype.kind not in "uif":
        raise UserError(f"{path} holds {found.dtype} instead of real numbers: fetch it again.")
    return found


def identifier(path: Path) -> str:
    """The id in a field_id.pkl: one text or whole number, written as text.

    The file is not unpickled. Its opcodes are listed, which runs nothing, and must be those of a single constant.

    Raises:
        UserError: The file is missing, or is anything but one pickled text or whole number.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_ID + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): fetch it again.") from None
    fault, found = "", []
    if len(raw) > _LARGEST_ID:
        fault = f"is larger than {_LARGEST_ID} bytes"
    try:
        for opcode, value, _ in [] if fault else pickletools.genops(raw):
            if opcode.name in _TEXT or (opcode.name in _WHOLE and not isinstance(value, bool)):
                found.append(str(value))
            elif opcode.name not in _FRAMING:
                fault = f"has the opcode {opcode.name}"
                break
    except ValueError as error:
        fault = f"is no pickle ({str(error).splitlines()[0]})"
    if not fault and len(found) != 1:
        fault = f"has {len(found)} values"
    if fault:
        raise UserError(
            f"{path} {fault}, where one pickled text or number belongs: do not unpickle it, fetch it again."
        )
    return found[0]
