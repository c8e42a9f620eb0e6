"""Splits made once a machine: scikit-learn takes 3 s of CPU to import, which every worker would pay."""

import hashlib
from importlib.metadata import version
from typing import Any, BinaryIO, Literal

import numpy as np

from data.storage.files import cache_folder, once

Rows = np.ndarray[Any, np.dtype[np.int64]]
Fold = tuple[Rows, Rows]
"""Rows to train on and rows to judge on."""
FOLDS = 5
"""Into how many parts samples are split unless a study says otherwise."""


def kept_folds(
    kind: Literal["KFold", "GroupKFold", "StratifiedGroupKFold"],
    folds: int,
    seed: int,
    groups: np.ndarray[Any, Any],
    classes: np.ndarray[Any, Any] | None = None,
) -> list[Fold]:
    """The shuffled folds of a class of scikit-learn's, int64, ascending; from the cache where they were made before.

    Args:
        kind: Of scikit-learn's classes.
        folds: How many.
        seed: Which samples go together.
        groups: (N,), what stays together; "KFold" takes their number alone.
        classes: (N,), which "StratifiedGroupKFold" shares out evenly.

    Raises:
        UserError: If the cache cannot be written.
    """
    key = (version("scikit-learn"), kind, folds, seed, groups.tolist(), None if classes is None else classes.tolist())
    path = cache_folder() / "splits" / f"{hashlib.blake2b(repr(key).encode(), digest_size=10).hexdigest()}.npz"

    def write(file: BinaryIO) -> None:
        from sklearn import model_selection

        splitter = getattr(model_selection, kind)(folds, shuffle=True, random_state=seed)
        made = splitter.split(groups, classes, None if kind == "KFold" else groups)
        np.savez(file, *(rows.astype(np.int64) for fold in made for rows in fold))

    once(path, 0, write)
    with np.load(path) as kept:
        arrays = [kept[f"arr_{place}"] for place in range(len(kept.files))]
    return list(zip(arrays[::2], arrays[1::2], strict=True))
