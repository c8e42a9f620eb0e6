"""What all drawn sets share: checked settings, a random generator a sample, a folder drawn in parallel, the cache.

Sample i depends on the set's seed and i alone, so a longer set begins with the shorter one and any number of
processes writes the same files.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import sys
import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import fields
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from data.cores import usable_cores
from data.drawn.geometry import generator
from data.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Progress = Callable[[int, int], None]  # samples done, samples in all

QUALITY = 90
"""Of the JPEG files."""


class DrawnSet(ABC):
    """Settings of a drawn set; subclasses are frozen dataclasses with `count` (or their own `total`) and `seed`.

    Raises:
        UserError: a value is out of its range.
    """

    layout: ClassVar[str]  # name of the layout, and of the set's folder in the cache
    noun: ClassVar[str]  # what a sample is called, in English
    least: ClassVar[dict[str, int]] = {"count": 1, "seed": 0}  # the smallest allowed value of each setting
    subfolders: ClassVar[tuple[str, ...]] = ()  # those that `write` needs
    chunk: ClassVar[int] = 25  # samples that a process draws at a time
    count: int
    seed: int

    def __post_init__(self) -> None:
        for name, least in self.least.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}, but must be at least {least}.")

    @property
    def total(self) -> int:
        """How many samples the set has."""
        return self.count

    def about(self) -> str:
        """The set in words: '3,200 drawn hands (seed 0, difficulty 0.2)'."""
        settings = ", ".join(f"{each.name} {getattr(self, each.name)}" for each in fields(self) if each.name != "count")  # type: ignore[arg-type]
        return f"{self.total:,} drawn {self.noun}{'s' * (self.total != 1)} ({settings})"

    def check(self, index: int) -> None:
        """Raises IndexError if there is no such sample."""
        if not 0 <= index < self.total:
            raise IndexError(f"{self.noun} {index} of {self.total}")

    def generator(self, index: int) -> np.random.Generator:
        """The random generator of a sample; raises IndexError if there is no such sample."""
        self.check(index)
        return generator(self.seed, index)

    @abstractmethod
    def fingerprint(self) -> Iterable[Any]:
        """Arrays of the first samples, for the set's name in the cache."""

    @abstractmethod
    def write(self, folder: Path, index: int) -> Any:
        """Draws a sample into the folder; returns what `finish` needs of it, which must be picklable."""

    def finish(self, folder: Path, entries: list[Any]) -> None:  # noqa: B027 (a set of independent samples needs none)
        """Writes what belongs to the whole set, from what `write` returned for each sample, in order."""

    def folder(self, progress: Progress | None = None) -> Path:
        """The set's folder in the cache, drawn now if it is not there: complete or not at all.

        Args:
            progress: called with (samples drawn, samples in all).

        Raises:
            UserError: the cache cannot be written.
        """
        from data.storage.folders import drawn

        return drawn(_cache_name(self), self.layout, lambda place: synth(self, place, progress))


@lru_cache(maxsize=16)
def _cache_name(drawn: DrawnSet) -> str:
    """The first samples are part of a set's name, so that those of older code are not taken for these."""
    digest = hashlib.blake2b(repr(drawn).encode(), digest_size=10)
    for values in drawn.fingerprint():
        digest.update(np.asarray(values).tobytes())
    return digest.hexdigest()


def synth(drawn: DrawnSet, folder: Path, progress: Progress | None = None, workers: int | None = None) -> None:
    """Draws a set into a folder, which appears complete or not at all: files are written beside it and renamed.

    Args:
        drawn: what to draw.
        folder: where; it must not exist or be empty.
        progress: called with (samples drawn, samples in all).
        workers: processes; by default one for each core this process may use.

    Raises:
        UserError: the folder holds something or cannot be written.
    """
    from data.storage.folders import whole

    with whole(folder) as place:
        for name in drawn.subfolders:
            (place / name).mkdir(parents=True)
        entries: list[Any] = []
        for chunk in _chunks(drawn, place, usable_cores() if workers is None else workers):
            entries += chunk
            if progress is not None:
                progress(len(entries), drawn.total)
        drawn.finish(place, entries)


def write_coco(path: Path, images: Sequence[Any], annotations: Sequence[Any], categories: Any, **header: Any) -> None:
    """Writes COCO keypoints json."""
    path.write_text(json.dumps({**header, "images": images, "annotations": annotations, "categories": categories}))


def coco_category(
    number: int, name: str, keypoints: Iterable[str], edges: Iterable[tuple[int, int]], **more: str
) -> dict[str, Any]:
    """A category of COCO keypoints json; edges are pairs of keypoints counted from 0, which COCO counts from 1."""
    skeleton = [[a + 1, b + 1] for a, b in edges]
    return {"id": number, "name": name, **more, "keypoints": list(keypoints), "skeleton": skeleton}


def _chunks(drawn: DrawnSet, folder: Path, workers: int) -> Iterator[list[Any]]:
    """Draws all samples by several processes; what `write` returned, a chunk at a time, in order."""
    firsts = range(0, drawn.total, drawn.chunk)
    daemon = multiprocessing.current_process().daemon  # has no children
    workers = 1 if daemon else max(min(workers, len(firsts)), 1)
    work = partial(_draw_chunk, drawn, folder)
    if workers == 1:
        yield from map(work, firsts)
        return
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, spawn, _leave_with_parent) as pool:
        with _no_main():  # the pool starts its processes when it is given work
            results = pool.map(work, firsts)
        yield from results


def _draw_chunk(drawn: DrawnSet, folder: Path, first: int) -> list[Any]:
    """What `write` returns for the samples of the chunk that begins with `first`."""
    return [drawn.write(folder, index) for index in range(first, min(first + drawn.chunk, drawn.total))]


def _leave_with_parent() -> None:
    """Ends a worker when the process that started it is killed; the pool alone would leave it waiting for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _no_main() -> Iterator[None]:
    """Hides the caller's script from processes spawned meanwhile, which would otherwise run it again.

    They need this package alone. A script without `if __name__ == "__main__"` would draw in every one of them, and
    wait for ever at a lock that its first run holds; any other would have them import all that it imports.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
