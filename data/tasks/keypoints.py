"""Keypoints of annotated objects as a task: the crop around a box in, its points out.

Any number of keypoints of any kind of object: faces, animals, hands or whatever the annotations name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from data.drawn.head import FACE_EDGES, LANDMARKS, MIRRORED
from data.errors import UserError
from data.layouts.annotations import partners
from data.layouts.problems import sentences
from data.storage.copies import look_at
from data.storage.crops import crops, cut, frames, pixels
from data.storage.pack import Pack, Part, Split, cache_folder
from data.task import BaseTask, Edges
from data.tasks import keypoint_data
from data.tasks.losses import CROP_LOSSES, POINT_LOSSES, crop_loss, point_loss
from data.tasks.metrics import as_float64, average_precision, coco_truth, distances
from data.tasks.skeletons import AP10K, SIGMA, Skeleton, lower_half
from data.transforms.augment import BASES, CONTEXT, AnimalAugment, Augment, Size, levels

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from data.storage.pack import Bytes, Progress
    from data.tasks.keypoint_data import KeypointData, Rows

Array = np.ndarray[Any, np.dtype[Any]]
Metric = Literal["pixel_diff", "nme", "pck_error", "ap_error"]

SIDE = BASES[0]
"""Of the crop that PixelDiff is measured in, pixels."""
UNITS = {"pixel_diff": ("px", "px"), "nme": ("%", "%"), "pck_error": ("", "% of box"), "ap_error": ("", "% of box")}
"""Of each metric, and of the errors of single points beside it."""
FACE = Skeleton(LANDMARKS, FACE_EDGES, (SIGMA,) * len(LANDMARKS))


@dataclass(frozen=True)
class Keypoints(BaseTask):
    """Keypoints of objects in annotated images, or in drawn ones when no folder is given.

    An object is cut out as the square around the middle of its box, `margin` times the box's larger side: nothing is
    stretched. Outside the image its border pixels are repeated. Objects are answered one by one in the crop around
    their annotated box. Crowds and objects without a labelled keypoint are left out.

    The split: validation annotations that the data set has beside its training ones, see
    `data.layouts.keypoints.read`; else one of `folds` parts of the training annotations, images of one video (an
    image entry's "video"; without one each image stands for itself) in one part. Files with "test" in their names are
    never opened.

    Outputs and targets are (N, P, 3): x and y as fractions of the crop, and the score, or 1 where a keypoint is
    labelled and 0 where it is not. If `complete`, they are the points alone, (N, P, 2).

    Metrics, smaller is better, over labelled keypoints alone:
        pixel_diff: mean distance in pixels of the crop at 224 x 224 pixels.
        nme: mean over objects of their mean distance, in per cent of `norm`.
        pck_error: share of keypoints further away than `threshold` times `norm`, 1 - PCK.
        ap_error: 1 - AP at OKS 0.50 to 0.95 by pycocotools, an object's score being the mean of its keypoints'.

    Attributes:
        drawn: Images to draw into the cache, once, and use instead of photographs.
        metric: See above.
        skeleton: What is looked for, with the sigmas of OKS; None for the annotations' own, with the published sigmas
            of COCO, AP-10K and AnimalPose, and `data.tasks.skeletons.SIGMA` for any others.
        mirror: For each point the one that a mirror shows in its place; None for what their names say.
        margin: Side of a crop as a multiple of its box's larger side, 1 to 4.
        context: Side of what is packed in crops, at least 1: what turns and larger views may show.
        complete: Every object must have all its keypoints labelled.
        own_split: Judge on the data set's own validation annotations where it has such.
        fewer_folds: With fewer videos or images than `folds`, each is a fold of its own.
        flip_test: Judge the mean of the answers for a crop and its mirror image; not if `complete`.
        norm: Names of the two points whose true distance normalises 'nme' and 'pck_error'; None for the box: the
            root of its area ('nme', Bulat & Tzimiropoulos 2017) or its larger side ('pck_error').
        threshold: Of 'pck_error'.

    Raises:
        ValueError: If a value lies outside its range.
    """

    metric: Metric = "ap_error"
    skeleton: Skeleton | None = None
    mirror: tuple[int, ...] | None = None
    margin: float = 1.25  # type: ignore[misc]
    context: float = CONTEXT  # type: ignore[misc]
    complete: bool = False
    own_split: bool = True
    fewer_folds: bool = False
    flip_test: bool = False
    norm: tuple[str, str] | None = None
    threshold: float = 0.2

    needs: ClassVar[str] = "a folder with keypoint annotations (annotations/train.json and images/)"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.metric not in UNITS:
            raise ValueError(f"metric must be one of {', '.join(UNITS)}, not {self.metric!r}")
        for name, value in (("margin", self.margin), ("context", self.context)):
            if not 1 <= value <= 4:
                raise ValueError(f"{name} must lie in 1..4, not {value}")
        if self.threshold <= 0:
            raise ValueError(f"threshold must be above 0, not {self.threshold}")
        if self.complete and (self.flip_test or self.metric == "ap_error"):
            raise ValueError("complete answers have no scores and no mirror image: no 'ap_error' and no flip_test")

    @property
    def unit(self) -> str:
        """Of the error."""
        return UNITS[self.metric][0]

    @property
    def each_unit(self) -> str:
        """Of the errors of single points."""
        return UNITS[self.metric][1]

    @property
    def losses(self) -> tuple[str, ...]:
        """Those of `data.tasks.losses.point_loss` if `complete`, else those of `crop_loss`."""
        return POINT_LOSSES if self.complete else CROP_LOSSES

    @property
    def actual_skeleton(self) -> Skeleton:
        """What is looked for; annotations are read for it where neither they nor `drawn` are given."""
        if self.skeleton is not None:
            return self.skeleton
        return AP10K if self.root is None else Skeleton.of(self._read().train.categories[0])

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the keypoints."""
        return self.actual_skeleton.names

    @property
    def edges(self) -> Edges:  # type: ignore[override]
        """Pairs of them that a drawing joins."""
        return self.actual_skeleton.edges

    @property
    def points(self) -> int:
        """P, the number of keypoints."""
        return len(self.actual_skeleton.names)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """For each point the one that a mirror shows in its place: as set, by the annotations, or by the names."""
        if self.mirror is not None:
            return self.mirror
        return partners(self.labels) if self.root is None else self._read().train.mirrored

    def with_points(self, labels: tuple[str, ...], edges: Edges, mirrored: tuple[int, ...] | None) -> Self:
        """With the points of a model where neither settings nor annotations say them; not to judge an AP by."""
        if self.root is not None or self.drawn is not None or self.skeleton is not None:
            return self
        return replace(self, skeleton=Skeleton(labels, edges, (SIGMA,) * len(labels)), mirror=mirrored)

    @property
    def has_pairs(self) -> bool:
        """Whether some point is another's mirror image."""
        return self.mirrored != tuple(range(self.points))

    def prepare(self, progress: Progress | None = None) -> None:
        """Draw images where asked for, check the annotations, cut out and pack the crops; see `DataSet.prepare`."""
        keypoint_data.forget()  # look at the files again
        self.folder(progress)
        self._pack(SIDE).pixels(SIDE, progress)
        look_at((instance.file for instance in self._read().usable), progress)
        self._rows()

    def notes(self) -> tuple[str, ...]:
        """See `DataSet.notes`."""
        return sentences((*self._read().problems, *self._rows().problems))

    def split(self, size: Size) -> Split:
        """Both sides, at the pack's level for inputs of `size`, (height, width) or a square's side, in pixels."""
        base, level = levels(size, self.context)
        packed, targets = self._pack(base).pixels(level), self._read().targets
        train, valid = (Part(packed, rows, targets[rows]) for rows in self._rows()[:2])
        return Split(train, valid)

    def augment(
        self, images: Tensor, targets: Tensor, size: Size, how: Augment | AnimalAugment, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See `data.transforms.affine.augment` for `Augment`, `data.transforms.topdown.augment` for the other.

        Raises:
            TypeError: If `how` is not `Augment` where the task is `complete`, or is where it is not.
        """
        if isinstance(how, Augment) != self.complete:
            wanted = "Augment" if self.complete else "AnimalAugment"
            raise TypeError(f"this task's images are changed by {wanted}, not by {type(how).__name__}")
        if isinstance(how, Augment):
            from data.transforms.affine import augment

            assert isinstance(size, int)  # noqa: S101 - for the type checker: `Arch` has square inputs alone
            return augment(images, targets, size, how, generator, self.mirrored, self.context)
        from data.transforms import topdown

        lower = lower_half(self.labels)
        return topdown.augment(images, targets, size, how, generator, self.mirrored, lower, self.context)

    def loss(self, net: Any, images: Tensor, targets: Tensor, how: Any) -> tuple[Tensor, Tensor]:
        """See `data.tasks.losses.point_loss` if `complete`, else `crop_loss`."""
        if self.complete:
            return point_loss(net, images, targets, how, SIDE, self._read().partly)
        return crop_loss(net, images, targets, how, self.mirrored, self.flip_test)

    def error(self, outputs: Tensor | Array, part: Part) -> float:
        """The metric over the whole part at once.

        Args:
            outputs: (N, P, 3), x and y in crops and score; (N, P, 2) if `complete`.
            part: One of this task's, for its rows.

        Raises:
            UserError: If no object has what the metric needs.
        """
        if self.metric == "ap_error":
            return 1 - self.precision(outputs, part)["AP"]
        off, labelled = distances(outputs, part.targets, SIDE), self._labelled(part.targets)
        if self.metric == "pixel_diff":
            return float(off[labelled].mean())
        norms = self._norms(part)
        labelled &= np.isfinite(norms)[:, None]
        if not labelled.any():
            raise UserError(f"no object has both points of norm {self.norm} labelled: name others, or None for boxes.")
        relative = off / norms[:, None]
        if np.isnan(relative[labelled]).any():  # of a network that diverged
            return float("nan")
        if self.metric == "pck_error":
            return float((relative[labelled] > self.threshold).mean())
        shown = labelled.any(1)
        return 100 * float((np.where(labelled, relative, 0).sum(1)[shown] / labelled.sum(1)[shown]).mean())

    def precision(self, outputs: Tensor | Array, part: Part) -> dict[str, float]:
        """All of `data.tasks.metrics.average_precision`'s numbers of a part."""
        answers, data = as_float64(outputs), self._read()
        chosen = [data.usable[row] for row in part.rows]
        places = pixels(answers[..., :2], frames(chosen, self.margin))
        results = [
            {
                "image_id": instance.image_id,
                "category_id": instance.category_id,
                "keypoints": np.column_stack([points, scores]).ravel().tolist(),
                "score": float(scores.mean()),
            }
            for instance, points, scores in zip(chosen, places, answers[..., 2], strict=True)
        ]
        judged = data.valid if data.valid is not None and part.rows[0] >= data.trained else data.train
        truth = coco_truth(judged, {instance.image_id for instance in chosen})
        return average_precision(truth, results, self.actual_skeleton.sigmas)

    def errors(self, outputs: Tensor | Array, part: Part) -> Array:
        """Distances from the true keypoints, float64 (N, P), NaN if unlabelled, in `each_unit`."""
        off = np.where(self._labelled(part.targets), distances(outputs, part.targets, SIDE), np.nan)
        if self.metric == "pixel_diff":
            return off
        wide = self._norms(part)[:, None] if self.metric == "nme" else SIDE / self.margin
        relative: Array = 100 * off / wide
        return relative

    def picture(self, row: int) -> Bytes:
        """The crop of object `row`, uint8 (224, 224, 3)."""
        return cut(self._read().usable[row], SIDE, self.margin)

    def identity(self) -> str:
        """A short name of the annotations, the split and what the error depends on; a search keeps to one."""
        data, digest = self._read(), hashlib.blake2b(digest_size=10)
        own = (self.folds, self.fold, self.seed) if data.valid is None else ()
        if self.complete:
            split = (tuple(instance.group for instance in data.usable), self.folds, self.fold, self.seed)
            digest.update(data.targets.tobytes() + repr(split).encode())
        else:
            for annotated in (data.train, data.valid):
                digest.update(b"" if annotated is None else annotated.content())
            named = self.actual_skeleton  # written so that studies begun with this class's older name go on
            older = f"Keypoints(names={named.names!r}, edges={named.edges!r}, sigmas={named.sigmas!r})"
            digest.update(f"({older}, {self.margin!r}, {self.flip_test!r}, {own!r})".encode())
        if self.metric != ("pixel_diff" if self.complete else "ap_error"):
            digest.update(repr((self.metric, self.norm, self.threshold)).encode())
        digest.update(self._rows().copies)
        return digest.hexdigest()

    def baseline(self) -> float:
        """The error on the validation part of always answering the mean crop's points of the training part."""
        targets, (train, valid, *_) = self._read().targets, self._rows()
        known = self._labelled(targets[train])[..., None]
        mean = np.where(known, targets[train, :, :2], 0).sum(0, np.float64) / known.sum(0).clip(min=1)
        if not self.complete:
            mean = np.column_stack([mean, np.ones(len(mean))])
        part = Part(np.zeros((0, 1, 1, 3), np.uint8), valid, targets[valid])
        return self.error(np.broadcast_to(mean, (len(valid), *mean.shape)), part)

    def _labelled(self, targets: Array) -> Array:
        """Which points are labelled, bool (N, P)."""
        labelled: Array = np.isfinite(targets[..., 0]) if self.complete else targets[..., 2] > 0
        return labelled

    def _norms(self, part: Part) -> Array:
        """What distances of each object are divided by, (N,), in pixels of the crop at 224 x 224."""
        if self.norm is not None:
            a, b = (self.labels.index(name) for name in self.norm)
            ends = part.targets[:, [a, b]].astype(np.float64)
            apart = SIDE * np.linalg.norm(ends[:, 0, :2] - ends[:, 1, :2], axis=1)
            return np.where((apart > 0) & self._labelled(part.targets)[:, [a, b]].all(1), apart, np.nan)
        if self.metric == "pck_error":
            return np.full(len(part.rows), SIDE / self.margin)
        usable = self._read().usable
        sides = np.array([usable[row].box[2:] for row in part.rows])
        return np.asarray(SIDE / self.margin * np.sqrt(sides.min(1) / sides.max(1)))

    def _read(self) -> KeypointData:
        return keypoint_data.load(self, self.folder(), cache_folder())

    def _rows(self) -> Rows:
        return keypoint_data.rows(self, self.folder(), cache_folder())

    def _pack(self, base: int) -> Pack:
        return crops(self._read().usable, base, self.margin * self.context)


def faces(root: Path | None = None, **settings: Any) -> Keypoints:
    """68 face landmarks, all of them labelled, by PixelDiff: a pixel is the box's longer side / 224.

    Whole videos are on one side of the split, so that no person of a video is on both.
    """
    crop = {"margin": 1.0, "context": 1.0, "complete": True, "own_split": False}
    return Keypoints(root, **{"metric": "pixel_diff", "skeleton": FACE, "mirror": MIRRORED, **crop, **settings})


def animals(root: Path | None = None, **settings: Any) -> Keypoints:
    """Animal pose by average precision, as AP-10K is judged."""
    return Keypoints(root, **{"metric": "ap_error", "margin": 1.25, "flip_test": True, **settings})
