"""Splits made once a machine: scikit-learn takes 3 s of CPU to import, which every worker would pay."""

import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, BinaryIO

import numpy as np

from data.storage.files import cache_folder, once

Rows = np.ndarray[Any, np.dtype[np.int64]]
Fold = tuple[Rows, Rows]
"""Rows to train on and rows to judge on."""
FOLDS = 5
"""Into how many parts samples are split unless a study says otherwise."""


def kept_folds(key: object, make: Callable[[], Sequence[Fold]]) -> list[Fold]:
    """The folds that `make` answers, from the cache where they were made before.

    Args:
        key: all that the folds depend on, by its repr; scikit-learn's version is added.
        make: makes them, int64, ascending.

    Raises:
        UserError: If the cache cannot be written.
    """
    name = hashlib.blake2b(f"{version('scikit-learn')} {key!r}".encode(), digest_size=10).hexdigest()
    path = cache_folder() / "splits" / f"{name}.npz"

    def write(file: BinaryIO) -> None:
        np.savez(file, *(rows.astype(np.int64) for fold in make() for rows in fold))

    once(path, 0, write)
    with np.load(path) as kept:
        arrays = [kept[f"arr_{place}"] for place in range(len(kept.files))]
    return list(zip(arrays[::2], arrays[1::2], strict=True))
