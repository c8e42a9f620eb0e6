"""FreiHAND as a task: a photograph of a hand in, 21 joints out, judged by PixelDiff.

Other layouts are other files with a dataclass of the same few members; packing and augmentation are shared.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch
from sklearn.model_selection import GroupKFold
from torch import Tensor

from data.drawn.hands import DrawnHands, draw, synth
from data.drawn.skeleton import FINGERS, HAND_EDGES
from data.errors import UserError
from data.layouts.freihand import JOINTS, SIDE, annotation_path, image_paths, read_points
from data.storage import folders
from data.storage.pack import Bytes, Pack, Part, Progress, Split, cache_folder, once
from data.tasks.points import LOSSES, How, Network, distances, loss
from data.transforms.augment import LEVELS, Augment, augment, inputs, level

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class FreiHand:
    """Hand keypoints from FreiHAND's folder, or from drawn hands when no folder is given.

    The split: hands are cut into contiguous blocks, and whole blocks go to one of `folds` folds at random. No
    hand is on both sides: all pictures of a hand stay together. Since neighbours look alike, `gap` hands are left
    out of training at each border to validation: in 583 frames of one video poses differ by 11 px from the next
    frame, by 36 px from the fifth and by 50 px from distant ones.

    Attributes:
        root: FreiHAND's folder; wins over `drawn`.
        drawn: Hands to draw into the cache, once, and use instead of photographs.
        folds: Into how many parts the hands are split, at least 2.
        fold: Which of them is the validation part, 0 to folds - 1; over all folds each hand is in it once.
        blocks: Number of blocks; None for one every 300 hands, at least 20 (583 hands: 20; 32,560: 108).
        gap: Hands left out of training at each border, at most a quarter of a block.
        seed: Which blocks go together.
    """

    root: Path | None = None
    drawn: DrawnHands | None = None
    folds: int = 5
    fold: int = 0
    blocks: int | None = None
    gap: int = 5
    seed: int = 0

    for_course: ClassVar[bool] = True  # `posefront submit` packs what its course wants
    metric: ClassVar[str] = "pixel_diff"
    unit: ClassVar[str] = "px"
    each_unit: ClassVar[str] = "px"
    losses: ClassVar[tuple[str, ...]] = LOSSES
    labels: ClassVar[tuple[str, ...]] = ("wrist", *(f"{finger} {joint}" for finger in FINGERS for joint in range(1, 5)))
    edges: ClassVar[tuple[tuple[int, int], ...]] = HAND_EDGES
    points: ClassVar[int] = JOINTS
    channels: ClassVar[int] = 3

    def __post_init__(self) -> None:
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise ValueError(f"folds must be at least 2 and fold below it, not {self.folds} and {self.fold}")
        if self.gap < 0 or (self.blocks is not None and self.blocks < self.folds):
            raise ValueError(f"gap must be at least 0 and blocks at least folds, not {self.gap}, {self.blocks}")
        if self.root is not None:  # worker processes may have another working folder
            object.__setattr__(self, "root", Path(self.root).expanduser().absolute())

    def prepare(self, progress: Progress | None = None) -> None:
        """Draw hands where that is asked for, check the layout, decode the images into the pack.

        Args:
            progress: Told how many of how many hands are drawn, then how many of how many images are packed.

        Raises:
            UserError: For anything missing or wrong in the folder, and for a cache that cannot be written.
        """
        _packed.cache_clear()  # look at the files again
        pack, _ = self._packed(progress)
        pack.pixels(SIDE, progress)

    def split(self, size: int) -> Split:
        """Both sides, at the pack's level for inputs of `size` pixels; prepares what is not yet there."""
        pack, points = self._packed()
        pixels = pack.pixels(level(size))
        copies = len(pixels) // len(points)
        train, valid = self.hands(len(points))

        def part(hands: Array) -> Part:
            rows = (hands + np.arange(copies)[:, None] * len(points)).ravel()
            return Part(pixels, rows, points[rows % len(points)])

        return Split(part(train), part(valid))

    def hands(self, count: int) -> tuple[Array, Array]:
        """Numbers of the hands to train on and of those to judge on, int64, ascending, out of `count`."""
        if count < self.folds:
            raise UserError(f"{count} hands cannot be split into {self.folds} folds: give a folder with more hands.")
        blocks = min(self.blocks or max(20, self.folds, count // 300), count)
        block = np.arange(count) * blocks // count
        folds = GroupKFold(self.folds, shuffle=True, random_state=self.seed).split(block, groups=block)
        valid = np.zeros(count, bool)
        valid[list(folds)[self.fold][1]] = True
        near = np.convolve(valid, np.ones(2 * min(self.gap, count // blocks // 4) + 1), "same") > 0
        return np.flatnonzero(~near), np.flatnonzero(valid)

    def augment(
        self, images: Tensor, points: Tensor, size: int, how: Augment, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See `data.transforms.augment.augment`."""
        return augment(images, points, size, how, generator)

    def inputs(self, images: Tensor, size: int) -> Tensor:
        """See `data.transforms.augment.inputs`."""
        return inputs(images, size)

    def loss(self, net: Network, images: Tensor, points: Tensor, how: How) -> tuple[Tensor, Tensor]:
        """See `data.tasks.points.loss`."""
        return loss(net, images, points, how, SIDE)

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

    def caption(self, output: Array, target: Array) -> str:  # noqa: ARG002 - the points in the picture say it
        """Nothing: a picture with its points says all."""
        return ""

    def picture(self, row: int) -> Bytes:
        """Image `row` at 224 x 224 pixels, uint8 (224, 224, 3)."""
        pack, _ = self._packed()
        return np.asarray(pack.pixels(SIDE)[row])

    def identity(self) -> str:
        """A short name of the annotations, the number of images and the split; a search keeps to one."""
        pack, points = self._packed()
        split = (len(pack.items), self.folds, self.fold, self.blocks, self.gap, self.seed)
        return hashlib.blake2b(points.tobytes() + repr(split).encode(), digest_size=10).hexdigest()

    def baseline(self) -> float:
        """PixelDiff on the validation part of always answering the mean of the training part's hands."""
        split = self.split(LEVELS[0])
        mean = split.train.targets.mean(0, dtype=np.float64)
        return self.error(np.broadcast_to(mean, split.valid.targets.shape), split.valid)

    def folder(self, progress: Progress | None = None) -> Path:
        """The folder to read: `root`, or the drawn hands' in the cache, drawn now if they are not there."""
        if self.root is not None:
            return self.root
        if self.drawn is None:
            raise UserError("no data: give FreiHAND's folder (the one that holds training_K.json) with --data DIR.")
        drawn = self.drawn
        return folders.drawn(_name(drawn), "freihand", lambda folder: synth(drawn, folder, progress))

    def _packed(self, progress: Progress | None = None) -> tuple[Pack, Array]:
        return _packed(self.folder(progress), cache_folder())


@lru_cache(maxsize=4)
def _name(drawn: DrawnHands) -> str:
    """The name of a set of drawn hands. The first hand is part of it, so that older code's are not taken for these."""
    first = b"".join(np.asarray(value).tobytes() for value in draw(drawn, 0))
    return hashlib.blake2b(repr(drawn).encode() + first, digest_size=10).hexdigest()


@lru_cache(maxsize=4)  # a worker process asks once a trial
def _packed(root: Path, cache: Path) -> tuple[Pack, Array]:
    """The pack of a folder and its hands' points, float32 (H, 21, 2); the JSON is parsed once a machine."""
    del cache  # another cache folder is another answer
    images = image_paths(root)
    pack = Pack.of(images, SIDE)
    stamp = hashlib.blake2b(digest_size=10)
    for kind in ("K", "xyz"):
        stamp.update(annotation_path(root, kind).read_bytes())
    path = pack.folder / f"points-{stamp.hexdigest()}.npy"

    def write(file: BinaryIO) -> None:
        np.save(file, read_points(root, len(images)))

    once(path, 0, write)
    return pack, np.load(path)
