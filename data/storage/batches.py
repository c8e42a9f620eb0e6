"""Batches cut from a packed array."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from data.storage.pack import in_order

Batch = tuple[torch.Tensor, torch.Tensor]


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
        device: where the batches go. For a GPU a thread cuts and pins the next batch while this one trains.
        shuffle: the random order's source; None for the order of `rows`.
    """
    n = len(rows)
    if shuffle is None:
        order, ends = np.arange(n), range(0, n, batch)
    else:
        batch = min(batch, n)
        order, ends = torch.randperm(n, generator=shuffle).numpy(), range(0, n - batch + 1, batch)

    def cut(start: int) -> Batch:
        chosen = order[start : start + batch]
        images = torch.from_numpy(np.asarray(pixels[rows[chosen]]))
        true = torch.from_numpy(targets[chosen])
        return (images.pin_memory(), true.pin_memory()) if device.type == "cuda" else (images, true)

    for images, true in in_order(cut, ends, threads=1) if device.type == "cuda" else map(cut, ends):
        yield images.to(device, non_blocking=True), true.to(device, non_blocking=True)
