"""The robot-hand task's pictures packed once: levels that are resampled as numbers, and what they are normalised by."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from data.drawn.robot_view import SIDE
from data.layouts.robot_hand import CHANNELS, COLOURS, Sample, decode, identifiers, label, samples
from data.storage.pack import Bytes, Pack, once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from data.transforms.robot_hand import Norm

Array = np.ndarray[Any, np.dtype[Any]]

_CHUNK = 32  # samples resampled or summed at a time


def pack_of(root: Path, part: str) -> tuple[Pack, tuple[Sample, ...]]:
    """The pack of 'train' or 'test', uint8 (N, 224, 224, 18), not yet decoded, and its samples in order.

    Raises:
        UserError: The part is missing or empty, or lacks a file.
    """
    found = samples(root, part)
    files = [path for sample in found for path in sample.files]
    stamp = f"robot {part} {[sample.folder.name for sample in found]}"
    return Pack.of(files, SIDE, items=found, decode=decode, channels=CHANNELS, stamp=stamp), found


def labelled(pack: Pack, found: tuple[Sample, ...]) -> tuple[tuple[str, ...], Array]:
    """The ids of the training part's samples, and their labels, float32 (N, 12) metres, read once a machine.

    Raises:
        UserError: A file of theirs is damaged.
    """
    path = pack.folder / "labels.npz"

    def write(file: BinaryIO) -> None:
        ids = identifiers(found)
        labels = [label(sample.label) for sample in found if sample.label is not None]
        np.savez(file, ids=np.array(ids), labels=np.array(labels, np.float32))

    once(path, 0, write)
    with np.load(path) as kept:
        return tuple(kept["ids"].tolist()), kept["labels"]


def levelled(pack: Pack, side: int) -> Bytes:
    """All pictures at a level, uint8 (N, side, side, 18), memory-mapped; made now if no process has made it before.

    `Pack.pixels` would reduce byte by byte, and bytes of depths must not be mixed: these are decoded first.
    """
    from data.transforms.robot_hand import packed, planes
    from data.transforms.warp import resized

    if side == SIDE:
        return pack.pixels(SIDE)
    path = pack.folder / f"robot-{side}.npy"
    shape = (len(pack.items), side, side, CHANNELS)

    def write(file: BinaryIO) -> None:
        np.lib.format.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for images in _chunks(base, np.arange(len(base))):
            level = packed(resized(planes(images), side))
            file.write(level.contiguous().numpy().data)

    if not path.exists():
        base = pack.pixels(SIDE)  # before the folder is locked for what follows from it
        once(path, int(np.prod(shape)), write)
    pixels: Bytes = np.load(path, mmap_mode="r")
    return pixels


def measured(pack: Pack, rows: Array, signed: bool) -> Norm:
    """Mean and standard deviation of each colour channel, and the range of depths, of these rows; kept in the cache.

    Args:
        pack: All samples.
        rows: Those of the training part.
        signed: Depths shall become -1..1 rather than 0..1.
    """
    import torch

    from data.transforms.robot_hand import Norm, planes

    key = hashlib.blake2b(rows.tobytes(), digest_size=8).hexdigest()
    path = pack.folder / f"norm-{key}.npy"

    def write(file: BinaryIO) -> None:
        total, square = np.zeros((2, COLOURS), np.int64)
        nearest, farthest = np.inf, -np.inf
        for images in _chunks(base, rows):
            colours = images[..., :COLOURS].numpy().reshape(-1, COLOURS)
            total += colours.sum(0, dtype=np.int64)
            square += (colours.astype(np.uint16) ** 2).sum(0, dtype=np.int64)
            depth = planes(images)[:, COLOURS:]
            nearest, farthest = min(nearest, float(depth.min())), max(farthest, float(depth.max()))
        mean = total / (len(rows) * SIDE**2)
        std = np.sqrt(np.maximum(square / (len(rows) * SIDE**2) - mean**2, 0))
        np.save(file, np.concatenate([mean / 255, std / 255, [nearest, farthest]]))

    if not path.exists():
        base = pack.pixels(SIDE)
        once(path, 0, write)
    *colours, nearest, farthest = np.load(path).tolist()
    mean, std = torch.tensor(colours).chunk(2)
    std = torch.where(std > 0, std, 1.0)  # a channel that never changes
    return Norm(mean, std, nearest, farthest, -1.0 if signed else 0.0)


def _chunks(pixels: Bytes, rows: Array) -> Iterator[Tensor]:
    import torch

    for first in range(0, len(rows), _CHUNK):
        yield torch.from_numpy(pixels[rows[first : first + _CHUNK]])
