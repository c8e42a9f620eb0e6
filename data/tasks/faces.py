"""Faces as a task: a picture of a face in, 68 landmarks out, judged by PixelDiff."""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.model_selection import GroupKFold
from torch import Tensor

from data.drawn.faces import DrawnFaces
from data.drawn.head import FACE_EDGES, LANDMARKS, MIRRORED
from data.errors import UserError
from data.layouts import keypoints
from data.storage.crops import crops, fractions
from data.storage.pack import Bytes, Pack, Part, Progress, Split, cache_folder
from data.tasks.points import LOSSES, How, Network, distances, loss
from data.transforms.augment import LEVELS, Augment, augment, inputs, level

SIDE = LEVELS[-1]
"""Of the frame that PixelDiff is measured in, pixels."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Faces:
    """Face landmarks from COCO keypoint annotations, or from drawn faces when no folder is given.

    A face is cut out as the square around the middle of its box, as wide as the box's longer side, and brought to
    224 x 224 pixels: nothing is stretched, and a pixel of PixelDiff is the box's longer side / 224. A box that is not
    square is seen with what lies beside it; outside the image its border pixels are repeated.

    The split: whole videos (an image entry's "video"; without one each image stands for itself) go to one of `folds`
    folds at random, so that no person of a video is on both sides.

    Attributes:
        root: A folder that `data.layouts.keypoints.read` knows, every face with all 68 landmarks; wins over `drawn`.
        drawn: Faces to draw into the cache, once, and use instead of photographs.
        folds: Into how many parts the videos are split, at least 2.
        fold: Which of them is the validation part, 0 to folds - 1; over all folds each face is in it once.
        seed: Which videos go together.
    """

    root: Path | None = None
    drawn: DrawnFaces | None = None
    folds: int = 5
    fold: int = 0
    seed: int = 0

    metric: ClassVar[str] = "pixel_diff"
    unit: ClassVar[str] = "px"
    each_unit: ClassVar[str] = "px"
    losses: ClassVar[tuple[str, ...]] = LOSSES
    labels: ClassVar[tuple[str, ...]] = LANDMARKS
    edges: ClassVar[tuple[tuple[int, int], ...]] = FACE_EDGES
    points: ClassVar[int] = len(LANDMARKS)
    channels: ClassVar[int] = 3

    def __post_init__(self) -> None:
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise ValueError(f"folds must be at least 2 and fold below it, not {self.folds} and {self.fold}")
        if self.root is not None:  # worker processes may have another working folder
            object.__setattr__(self, "root", Path(self.root).expanduser().absolute())

    def prepare(self, progress: Progress | None = None) -> None:
        """Draw faces where that is asked for, check the annotations, cut the faces out into the pack.

        Args:
            progress: Told how many of how many faces are drawn, then how many of how many are packed.

        Raises:
            UserError: For anything missing or wrong in the folder, and for a cache that cannot be written.
        """
        _packed.cache_clear()  # look at the files again
        self._packed(progress)[0].pixels(SIDE, progress)

    def split(self, size: int) -> Split:
        """Both sides, at the pack's level for inputs of `size` pixels; prepares what is not yet there."""
        pack, points, groups = self._packed()
        pixels = pack.pixels(level(size))
        videos = len(set(groups))
        if videos < self.folds:
            raise UserError(f"{videos} videos cannot be split into {self.folds} folds: give a folder with more.")
        folds = GroupKFold(self.folds, shuffle=True, random_state=self.seed).split(points, groups=groups)
        train, valid = list(folds)[self.fold]
        return Split(Part(pixels, train, points[train]), Part(pixels, valid, points[valid]))

    def augment(
        self, images: Tensor, points: Tensor, size: int, how: Augment, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See `data.transforms.augment.augment`; a mirrored face's left landmarks take the right ones' places."""
        draws = torch.rand(len(images), generator=generator, device=generator.device).to(images.device)
        if how.flip:
            mirrored = (draws < how.flip)[:, None, None]
            images = torch.where(mirrored[..., None], images.flip(2), images)
            swapped = points[:, torch.tensor(MIRRORED, device=points.device)]
            points = torch.where(mirrored, torch.stack([1 - swapped[..., 0], swapped[..., 1]], -1), points)
        return augment(images, points, size, replace(how, flip=0.0), generator)

    def inputs(self, images: Tensor, size: int) -> Tensor:
        """See `data.transforms.augment.inputs`."""
        return inputs(images, size)

    def loss(self, net: Network, images: Tensor, points: Tensor, how: How) -> tuple[Tensor, Tensor]:
        """See `data.tasks.points.loss`."""
        return loss(net, images, points, how, SIDE)

    def error(self, outputs: Tensor | Array, part: Part) -> float:
        """PixelDiff: mean over faces and landmarks of the Euclidean distance in pixels of the 224 x 224 crop.

        Args:
            outputs: (N, 68, 2), fractions of the crop's side, for the whole part at once.
            part: with the truth.
        """
        return float(self.errors(outputs, part).mean())

    def errors(self, outputs: Tensor | Array, part: Part) -> Array:
        """The Euclidean distances of which PixelDiff is the mean, float64 (N, 68), in the same pixels."""
        return distances(outputs, part.targets, SIDE)

    def caption(self, output: Array, target: Array) -> str:  # noqa: ARG002 - the points in the picture say it
        """Nothing: a picture with its points says all."""
        return ""

    def picture(self, row: int) -> Bytes:
        """Face `row` at 224 x 224 pixels, uint8 (224, 224, 3)."""
        return np.asarray(self._packed()[0].pixels(SIDE)[row])

    def identity(self) -> str:
        """A short name of the landmarks in their crops, the videos and the split; a search keeps to one."""
        _, points, groups = self._packed()
        split = (groups, self.folds, self.fold, self.seed)
        return hashlib.blake2b(points.tobytes() + repr(split).encode(), digest_size=10).hexdigest()

    def baseline(self) -> float:
        """PixelDiff on the validation part of always answering the mean of the training part's faces."""
        split = self.split(LEVELS[0])
        mean = split.train.targets.mean(0, dtype=np.float64)
        return self.error(np.broadcast_to(mean, split.valid.targets.shape), split.valid)

    def folder(self, progress: Progress | None = None) -> Path:
        """The folder to read: `root`, or the drawn faces' in the cache, drawn now if they are not there."""
        if self.root is not None:
            return self.root
        if self.drawn is None:
            raise UserError("no data: give a folder of faces (annotations/train.json and images/) with --data DIR.")
        return self.drawn.folder(progress)

    def _packed(self, progress: Progress | None = None) -> tuple[Pack, Array, tuple[int | str, ...]]:
        return _packed(self.folder(progress), cache_folder())


@lru_cache(maxsize=4)  # a worker process asks once a trial
def _packed(root: Path, cache: Path) -> tuple[Pack, Array, tuple[int | str, ...]]:
    """A folder's faces: the pack, their landmarks, float32 (N, 68, 2), fractions of the crop's side, and videos."""
    del cache  # another cache folder is another answer
    data = keypoints.read(root).train
    annotations, faces = data.annotations, [face for face in data.instances if not face.crowd]
    if len(data.keypoints) != len(LANDMARKS):
        raise UserError(
            f"{annotations} names {len(data.keypoints)} keypoints instead of {len(LANDMARKS)}: give faces with all."
        )
    if not faces:
        raise UserError(f"{annotations} has no face that is not marked as a crowd: give faces one by one.")
    for face in faces:
        if face.labelled < len(LANDMARKS):
            raise UserError(
                f"{annotations}: annotation {face.id} has {face.labelled} of {len(LANDMARKS)} landmarks: "
                "leave it out, for PixelDiff needs them all."
            )
    pack, frames = crops(faces, SIDE, margin=1.0)
    points = fractions(np.stack([face.points[:, :2] for face in faces]), frames).astype(np.float32)
    return pack, points, tuple(face.group for face in faces)
