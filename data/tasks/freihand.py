"""FreiHAND as a task: a photograph of a hand in, 21 joints out, judged by PixelDiff.

Other layouts are other files with a dataclass of the same few members; packing and augmentation are shared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

import numpy as np

from data.drawn.skeleton import FINGERS, HAND_EDGES
from data.layouts.freihand import JOINTS, SIDE, annotation_path, image_paths, read
from data.layouts.groups import seen_twice
from data.layouts.problems import sentences
from data.storage.copies import look_at, looks, merged
from data.storage.pack import Bytes, Pack, Part, Progress, Split, cache_folder, once
from data.task import BaseTask
from data.tasks.losses import POINT_LOSSES, point_loss
from data.tasks.metrics import distances
from data.transforms.augment import Augment, level

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class FreiHand(BaseTask):
    """Hand keypoints from FreiHAND's folder, or from drawn hands when no folder is given.

    The split: hands are cut into contiguous blocks, and whole blocks go to one of `folds` folds at random. No
    hand is on both sides: all pictures of a hand stay together. Since neighbours look alike, `gap` hands are left
    out of training at each border to validation: in 583 frames of one video poses differ by 11 px from the next
    frame, by 36 px from the fifth and by 50 px from distant ones.

    Attributes:
        drawn: Hands to draw into the cache, once, and use instead of photographs.
        blocks: Number of blocks; None for one every 300 hands, at least 20 (583 hands: 20; 32,560: 108).
        gap: Hands left out of training at each border, at most a quarter of a block.
    """

    blocks: int | None = None
    gap: int = 5

    for_course: ClassVar[bool] = True  # `posefront submit` packs what its course wants
    margin: ClassVar[float | None] = 1.3  # 224 px of the points' own box in 583 photographs: 1.32, quartiles 1.30, 1.35
    needs: ClassVar[str] = "FreiHAND's folder (the one that holds training_K.json)"
    metric: ClassVar[str] = "pixel_diff"
    unit: ClassVar[str] = "px"
    each_unit: ClassVar[str] = "px"
    losses: ClassVar[tuple[str, ...]] = POINT_LOSSES
    labels: ClassVar[tuple[str, ...]] = ("wrist", *(f"{finger} {joint}" for finger in FINGERS for joint in range(1, 5)))
    edges: ClassVar[tuple[tuple[int, int], ...]] = HAND_EDGES
    points: ClassVar[int] = JOINTS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gap < 0 or (self.blocks is not None and self.blocks < self.folds):
            raise ValueError(f"gap must be at least 0 and blocks at least folds, not {self.gap}, {self.blocks}")

    def prepare(self, progress: Progress | None = None) -> None:
        """Draw hands where asked for, check the layout, decode the images; see `DataSet.prepare`."""
        _packed.cache_clear()  # look at the files again
        pack, points = self._packed(progress)
        pack.pixels(SIDE, progress)
        look_at(pack.items, progress)
        self.hands(len(points), self._shown())

    def split(self, size: int) -> Split:
        """Both sides, at the pack's level for inputs of `size` pixels; prepares what is not yet there."""
        pack, points = self._packed()
        pixels = pack.pixels(level(size))
        copies = len(pixels) // len(points)
        train, valid = self.hands(len(points), self._shown())

        def part(hands: Array) -> Part:
            rows = (hands + np.arange(copies)[:, None] * len(points)).ravel()
            return Part(pixels, rows, points[rows % len(points)])

        return Split(part(train), part(valid))

    def hands(self, count: int, shown: Sequence[str] = ()) -> tuple[Array, Array]:
        """Numbers of the hands to train on and of those to judge on, int64, ascending, out of `count`.

        Args:
            count: Of hands.
            shown: What image i shows of hand i modulo `count`; blocks with the same image go together.
        """
        self.enough(count, "hands")
        blocks = self._blocks(count)
        valid = np.zeros(count, bool)
        valid[self.fold_rows(self._blocks(count, shown), "blocks")[1]] = True
        near = np.convolve(valid, np.ones(2 * min(self.gap, count // (blocks[-1] + 1) // 4) + 1), "same") > 0
        return np.flatnonzero(~near), np.flatnonzero(valid)

    def _blocks(self, count: int, shown: Sequence[str] = ()) -> Array:
        """The block of each hand, int64 (count,)."""
        block = np.arange(count) * min(self.blocks or max(20, self.folds, count // 300), count) // count
        return merged(np.tile(block, len(shown) // count), shown)[:count] if shown else block

    def _shown(self) -> list[str]:
        """What each image shows, in order."""
        pack, _ = self._packed()
        seen = looks(pack.items)
        return [seen[file].pixels for file in pack.items]

    def about(self) -> dict[str, str]:
        """See `BaseTask.about`."""
        found = super().about()
        if found["kind"] == "folder":
            found["source"] += ", photographs of hands in FreiHAND's layout"
        found["split"] = (
            f"contiguous blocks of hands go to {self.folds} folds at random, fold {self.fold + 1} is judged on; "
            f"{self.gap} hands at each border are left out: neither a hand nor its neighbour is on both sides"
        )
        return found

    def notes(self) -> tuple[str, ...]:
        """See `DataSet.notes`."""
        pack, _ = self._packed()
        return sentences(seen_twice(self.folder(), looks(pack.items)))

    def augment(
        self, images: Tensor, points: Tensor, size: int, how: Augment, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See `data.transforms.affine.augment`."""
        from data.transforms.affine import augment

        return augment(images, points, size, how, generator)

    def loss(self, net: Any, images: Tensor, points: Tensor, how: Any) -> tuple[Tensor, Tensor]:
        """See `data.tasks.losses.point_loss`."""
        return point_loss(net, images, points, how, SIDE)

    def error(self, outputs: Tensor | Array, part: Part) -> float:
        """PixelDiff: mean over images and joints of the Euclidean distance in pixels of the 224 x 224 image.

        Args:
            outputs: (N, P, 2), fractions of the side, for the whole part at once.
            part: with the truth.
        """
        return float(self.errors(outputs, part).mean())

    def errors(self, outputs: Tensor | Array, part: Part) -> Array:
        """The Euclidean distances of which PixelDiff is the mean, float64 (N, P), in the same pixels."""
        return distances(outputs, part.targets, SIDE)

    def picture(self, row: int) -> Bytes:
        """Image `row` at 224 x 224 pixels, uint8 (224, 224, 3)."""
        pack, _ = self._packed()
        return np.asarray(pack.pixels(SIDE)[row])

    def identity(self) -> str:
        """A short name of the annotations, the number of images and the split; a search keeps to one."""
        pack, points = self._packed()
        split = (len(pack.items), self.folds, self.fold, self.blocks, self.gap, self.seed)
        joined = self._blocks(len(points), self._shown())
        copies = b"" if (joined == self._blocks(len(points))).all() else joined.tobytes()
        return hashlib.blake2b(points.tobytes() + repr(split).encode() + copies, digest_size=10).hexdigest()

    def _packed(self, progress: Progress | None = None) -> tuple[Pack, Array]:
        return _packed(self.folder(progress), cache_folder())


@lru_cache(maxsize=4)  # a worker process asks once a trial
def _packed(root: Path, cache: Path) -> tuple[Pack, Array]:
    """The pack of a folder and its hands' points, float32 (H, 21, 2); the JSON is parsed once a machine."""
    del cache  # another cache folder is another answer
    pack = Pack.of(image_paths(root), SIDE)
    stamp = hashlib.blake2b(digest_size=10)
    for kind in ("K", "xyz"):
        stamp.update(annotation_path(root, kind).read_bytes())
    path = pack.folder / f"points-{stamp.hexdigest()}.npy"

    def write(file: BinaryIO) -> None:
        np.save(file, read(root).points)

    once(path, 0, write)
    return pack, np.load(path)
