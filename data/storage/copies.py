"""Which image files show the same, and which may be turned otherwise than annotated: looked at once a machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from data.storage.files import Progress, cache_folder, once
from data.storage.image import Size, Turn, read_image, turn
from data.storage.pack import fingerprint, in_order

Groups = np.ndarray[Any, np.dtype[np.int64]]


class Look(NamedTuple):
    """What an image file shows.

    Attributes:
        pixels: A short name of its pixels as they are displayed; equal for equal ones alone.
        plain: They are of one colour.
        turn: See `data.storage.image.turn`.
    """

    pixels: str
    plain: bool
    turn: Turn


def look(file: str | Path, size: Size | None = None) -> Look:
    """Decode an image file. Raises BadImage as `data.storage.image.open_image`."""
    image = read_image(file, size)
    name = hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=10).hexdigest()
    return Look(name, bool((image == image[:1, :1]).all()), turn(file))


def look_at(files: Iterable[str], progress: Progress | None = None) -> None:
    """Look at image files as they are now, if no process has looked at them before.

    Args:
        files: Any order, any number of times.
        progress: Called with how many of how many are looked at.

    Raises:
        BadImage: If one is missing or cannot be decoded.
        UserError: If the cache cannot be written.
    """
    _looks.cache_clear()
    _file(tuple(dict.fromkeys(files)), progress)


def looks(files: Iterable[str]) -> Mapping[str, Look]:
    """What each of these files shows; a process reads that once. Raises as `look_at`."""
    return _looks(tuple(dict.fromkeys(files)), cache_folder())


@lru_cache(maxsize=4)
def _looks(names: tuple[str, ...], cache: Path) -> Mapping[str, Look]:
    del cache  # another cache folder is another answer
    found = json.loads(_file(names).read_bytes())
    return {name: Look(*each) for name, each in zip(names, found, strict=True)}


def _file(names: tuple[str, ...], progress: Progress | None = None) -> Path:
    path = cache_folder() / "looks" / fingerprint(names, "turns") / "looks.json"

    def write(file: BinaryIO) -> None:
        found = []
        for each in in_order(look, names):
            found.append(each)
            if progress:
                progress(len(found), len(names))
        file.write(json.dumps(found).encode())

    once(path, 0, write)
    return path


def firsts(seen: Mapping[str, Look]) -> dict[str, str]:
    """For each file that equals an earlier one pixel by pixel that one."""
    first = dict[str, str]()
    return {name: same for name, each in seen.items() if (same := first.setdefault(each.pixels, name)) != name}


def merged(groups: Groups, *keys: Sequence[Hashable]) -> Groups:
    """Groups that share a key made one, under the smallest of their numbers; all others keep theirs.

    Args:
        groups: int64 (N,).
        keys: N each; None shares nothing.
    """
    parent = {group: group for group in np.unique(groups).tolist()}

    def root(group: int) -> int:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for values in keys:
        first = dict[Hashable, int]()
        for group, value in zip(groups.tolist(), values, strict=True):
            if value is not None:
                one, other = sorted((root(group), root(first.setdefault(value, group))))
                parent[other] = one
    return np.array([root(group) for group in groups.tolist()], np.int64)
