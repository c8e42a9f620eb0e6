"""Batches cut from a packed array."""

from collections.abc import Iterator
from mmap import mmap
from typing import Any

import numpy as np
import torch

from data.storage.pack import in_order

Batch = tuple[torch.Tensor, torch.Tensor]

SHARE = 0.2
"""Of a GPU's free memory that a pack may take; a larger one stays on the host."""

_CHUNK = 4096  # images copied to a GPU at a time

_held: dict[tuple[Any, ...], tuple[Any, torch.Tensor]] = {}  # with the array, whose id is another's once it is gone


def batches(
    pixels: np.ndarray[Any, np.dtype[Any]],
    rows: np.ndarray[Any, np.dtype[np.int64]],
    targets: np.ndarray[Any, np.dtype[Any]],
    batch: int,
    device: torch.device,
    shuffle: torch.Generator | None = None,
) -> Iterator[Batch]:
    """Images and their targets, `batch` at a time, on `device`.

    With `shuffle` the images come in a random order and in full batches only: the few left over are others in
    every epoch, and no batch of one ever meets BatchNorm. Fewer images than `batch` make one batch of them all.
    Without it they come in their own order, every one.

    Args:
        pixels: all packed images, shape (N, H, W, C).
        rows: which of them to take, shape (n,).
        targets: what is to be answered for each, shape (n, ...).
        batch: images a batch, at least 1.
        device: where the batches go. On a GPU that has room for it the whole pack lies there, and a batch is one
            launch; else a thread cuts and pins the next batch while this one trains.
        shuffle: the random order's source; None for the order of `rows`.
    """
    n = len(rows)
    if shuffle is None:
        order, ends = np.arange(n), range(0, n, batch)
    else:
        batch = min(batch, n)
        order, ends = torch.randperm(n, generator=shuffle).numpy(), range(0, n - batch + 1, batch)
    if device.type == "cpu":
        for start in ends:
            chosen = order[start : start + batch]
            yield torch.from_numpy(np.asarray(pixels[rows[chosen]])), torch.from_numpy(targets[chosen])
        return
    there = resident(pixels, device)
    true = _sent(targets[order], device)
    if there is not None:
        places = _sent(rows[order], device)
        for start in ends:
            yield there[places[start : start + batch]], true[start : start + batch]
        return

    def cut(start: int) -> torch.Tensor:
        return torch.from_numpy(np.asarray(pixels[rows[order[start : start + batch]]])).pin_memory()

    for start, images in zip(ends, in_order(cut, ends, threads=1), strict=True):
        yield images.to(device, non_blocking=True), true[start : start + batch]


def _sent(values: np.ndarray[Any, np.dtype[Any]], device: torch.device) -> torch.Tensor:
    """An array on a GPU, which nothing waits for."""
    return torch.from_numpy(values).pin_memory().to(device, non_blocking=True)


def resident(pixels: np.ndarray[Any, np.dtype[Any]], device: torch.device) -> torch.Tensor | None:
    """A whole pack on a GPU, the one that was asked for last; None where it has no room for it.

    Each process has a copy of its own: what trials of one process share is kept from one to the next.
    """
    whole = isinstance(pixels, np.memmap) and isinstance(pixels.base, mmap)  # a view has its file's name, too
    key = (pixels.filename if whole else id(pixels), pixels.shape, device)  # type: ignore[attr-defined]
    if key in _held:
        return _held[key][1]
    _held.clear()
    if pixels.nbytes > SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    try:
        there = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError:  # another process was faster
        return None
    for first in range(0, len(pixels), _CHUNK):
        there[first : first + _CHUNK].copy_(torch.from_numpy(np.array(pixels[first : first + _CHUNK])))
    _held[key] = pixels, there
    return there
