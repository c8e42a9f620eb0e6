"""Images decoded once into memory-mapped arrays, shared by every trial of a machine.

A pack is a folder in the cache, named by the fingerprint of its source files. It holds one .npy file a mipmap
level, uint8 (N, side, side, channels): the base level is decoded, smaller ones are reduced from it when first asked
for, so that a trial with a small input reads few bytes. A file appears complete or not at all (written under
another name, synced, renamed) and is made by one process at a time; others wait for it and use it.

Nothing here knows a data set: images are given as files, or as what a function makes images of, in order.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeVar

import numpy as np
import PIL

from data.cores import usable_cores
from data.storage.files import Progress, cache_folder, once
from data.storage.image import BadImage, Bytes, read_image

__all__ = ["Bytes", "Pack", "Part", "Progress", "Split", "TestPart", "cache_folder", "in_order", "once", "read"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_VERSION = 2  # of how images are decoded and reduced; another number makes other packs
_CHUNK = 64  # images decoded by a thread and written together


@dataclass(frozen=True)
class Part:
    """One side of a split: images `pixels[rows]` with their `targets`.

    Attributes:
        pixels: uint8 (N, H, W, C), memory-mapped, all images of the data set at one level.
        rows: int64 (n,), ascending.
        targets: what is to be answered for each, (n, ...): points as fractions of the side, float32 (n, P, 2); or
            numbers, float32 (n, K); or classes, int64 (n,).
    """

    pixels: Bytes
    rows: np.ndarray[Any, np.dtype[np.int64]]
    targets: np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class TestPart(Part):
    """Samples to predict, whose targets nobody knows.

    Attributes:
        ids: Their names, or their folders'.
    """

    __test__: ClassVar[bool] = False  # no test of pytest's
    ids: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """What a trial learns from and what it is judged on; no subject is in both."""

    train: Part
    valid: Part


def read(path: str | Path, side: int) -> Bytes:
    """Decode a square image of `side` pixels, uint8 (side, side, 3); see `data.storage.image.open_image`."""
    return read_image(path, (side, side))


@dataclass(frozen=True)
class Pack:
    """Square images of one size, decoded once.

    Attributes:
        items: What is decoded, in order: image files, or crops of them.
        side: Their width and height in pixels.
        folder: The pack's own folder in the cache.
        decode: Makes an item's image of a side, uint8 (side, side, channels); called in threads.
        channels: Of an image.
    """

    items: tuple[Any, ...]
    side: int
    folder: Path
    decode: Callable[[Any, int], Bytes] = read
    channels: int = 3

    @classmethod
    def of(
        cls,
        paths: Sequence[str | Path],
        side: int,
        *,
        items: Sequence[Any] | None = None,
        decode: Callable[[Any, int], Bytes] = read,
        channels: int = 3,
        stamp: str = "",
    ) -> "Pack":
        """The pack named by all that its pixels depend on; nothing is decoded yet.

        That is each file's place below the folder of them all, its size and its time of change, which file is
        whose, `side`, `stamp`, and what decodes. A folder that is moved keeps its pack; a copy whose files have new
        times gets its own.

        Args:
            paths: Every file that the images are made of, in order; one that is named twice counts once.
            side: Of the images, in pixels.
            items: What `decode` is called with, an image each; None for the paths themselves.
            decode: As the attribute.
            channels: As the attribute.
            stamp: Whatever else the images depend on: all of `items` but their files, such as what is cut out.

        Raises:
            BadImage: If a file is missing.
        """
        names = tuple(os.fspath(path) for path in paths)
        folder = cache_folder() / "packs" / fingerprint(names, f"{side} {channels} {stamp}")
        return cls(names if items is None else tuple(items), side, folder, decode, channels)

    def pixels(self, level: int, progress: Progress | None = None) -> Bytes:
        """All images at one level, memory-mapped; made now if no process has made it before.

        Args:
            level: Side in pixels: `self.side` or a smaller one of `data.transforms.augment.LEVELS`.
            progress: Told how many of how many images are done.

        Returns:
            Read-only uint8 (N, level, level, channels).

        Raises:
            BadImage: If a file cannot be decoded.
            UserError: If the cache cannot be written or the disk is too full.
        """
        from data.transforms.augment import LEVELS

        if level != self.side and not (level in LEVELS and level < self.side):
            raise ValueError(f"no level {level} of images of {self.side} pixels")
        path = self.folder / f"{level}.npy"
        base = None if level == self.side or path.exists() else self.pixels(self.side, progress)
        shape = (len(self.items), level, level, self.channels)

        def write(file: BinaryIO) -> None:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            done = 0
            for images in self._decoded() if base is None else _reduced(base, level):
                file.write(images.data)
                done += len(images)
                if progress:
                    progress(done, len(self.items))

        once(path, int(np.prod(shape)), write)
        pixels: Bytes = np.load(path, mmap_mode="r")
        return pixels

    def _decoded(self) -> Iterator[Bytes]:
        def decoded(items: Sequence[Any]) -> Bytes:
            return np.stack([self.decode(item, self.side) for item in items])

        chunks = (self.items[first : first + _CHUNK] for first in range(0, len(self.items), _CHUNK))
        return in_order(decoded, chunks)


def fingerprint(names: Sequence[str], stamp: str) -> str:
    """A short name of image files as they are now, in this order, and of how this program decodes them.

    Raises:
        BadImage: If one is missing.
    """
    unique = {name: place for place, name in enumerate(dict.fromkeys(names))}
    digest = hashlib.blake2b(f"{_VERSION} {PIL.__version__} {len(names)} {stamp}\n".encode(), digest_size=10)
    digest.update(np.array([unique[name] for name in names], np.int64).tobytes())
    above = len(os.path.commonpath(unique)) if len(unique) > 1 else len(os.path.dirname(next(iter(unique), "")))  # noqa: PTH120
    for name in unique:
        try:
            stat = os.stat(name)  # noqa: PTH116 - Path objects take three times as long
        except OSError as error:
            raise BadImage(name, "missing", str(error.strerror)) from None
        digest.update(f"{name[above:]} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _reduced(base: Bytes, level: int) -> Iterator[Bytes]:
    import torch

    from data.transforms.warp import reduce

    for first in range(0, len(base), _CHUNK):
        yield reduce(torch.from_numpy(base[first : first + _CHUNK].copy()), level).contiguous().numpy()


def in_order(work: Callable[[_Item], _Result], items: Iterable[_Item], threads: int = 0) -> Iterator[_Result]:
    """Like `map`, in threads (0: one a core, as Pillow decodes outside Python's lock), a few items ahead of use."""
    threads = threads or usable_cores()
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
