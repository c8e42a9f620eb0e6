"""Animal pose as a task: the crop of an animal in, its keypoints out, judged by average precision.

Any annotations in COCO's keypoint format will do, whatever the objects and however many keypoints they have.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.model_selection import GroupKFold
from torch import Tensor

from data.drawn.animals import DrawnAnimals
from data.errors import UserError
from data.layouts.keypoints import AnnotationSet, Instance, read
from data.storage.crops import crops, cut, fractions, frames, pixels
from data.storage.pack import Bytes, Pack, Part, Progress, Split, cache_folder
from data.tasks.ap import AP10K, Keypoints, average_precision
from data.tasks.heatmaps import LOSSES, Network, loss
from data.tasks.points import How
from data.transforms import topdown
from data.transforms.topdown import AnimalAugment, Size

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Animals:
    """Keypoints of animals from annotations in COCO's format, or drawn ones when no folder is given.

    Instances are answered one by one in the crop around their annotated box, as AP-10K is judged. Crowds and
    instances without a labelled keypoint are left out; in judging they are ignored as pycocotools does.

    The split: validation annotations that the data set has beside its training ones, see
    `data.layouts.keypoints.read`; else one of `folds` parts of the training annotations, images that belong together
    in one part. Files with "test" in their names are never opened.

    Outputs and targets are (N, P, 3): x and y as fractions of the crop (`margin` times the box's larger side), and the
    score, or 1 where a keypoint is labelled and 0 where it is not.

    Attributes:
        root: The data set's folder; wins over `drawn`.
        drawn: Animals to draw into the cache, once, and use instead of photographs.
        keypoints: What is looked for, with the sigmas of OKS; None for the annotations' own, with the published sigmas
            of COCO, AP-10K and AnimalPose, and `data.tasks.ap.SIGMA` for any others.
        margin: Side of a crop as a multiple of its box's larger side, at least 1.
        flip_test: Judge the mean of the answers for a crop and its mirror image.
        lower: The points of the lower half body, by place; None for what their names say.
        folds: Into how many parts images are split where there are no validation annotations, at least 2.
        fold: Which of them is the validation part then, 0 to folds - 1.
        seed: Which images go together then.

    Raises:
        ValueError: If a value lies outside its range.
    """

    root: Path | None = None
    drawn: DrawnAnimals | None = None
    keypoints: Keypoints | None = None
    margin: float = 1.25
    flip_test: bool = True
    lower: tuple[int, ...] | None = None
    folds: int = 5
    fold: int = 0
    seed: int = 0

    metric: ClassVar[str] = "ap_error"
    unit: ClassVar[str] = ""
    each_unit: ClassVar[str] = "% of box"
    losses: ClassVar[tuple[str, ...]] = LOSSES
    channels: ClassVar[int] = 3

    def __post_init__(self) -> None:
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise ValueError(f"folds must be at least 2 and fold below it, not {self.folds} and {self.fold}")
        if not 1 <= self.margin <= 4:
            raise ValueError(f"margin must lie in 1..4, not {self.margin}")
        if self.root is not None:  # worker processes may have another working folder
            object.__setattr__(self, "root", Path(self.root).expanduser().absolute())

    @property
    def known(self) -> Keypoints:
        """What is looked for; the folder's annotations are read for it where neither they nor `drawn` are given."""
        if self.keypoints is not None:
            return self.keypoints
        return AP10K if self.root is None else Keypoints.of(_read(self.root, cache_folder()).train.categories[0])

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the keypoints."""
        return self.known.names

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of them that a drawing joins."""
        return self.known.edges

    @property
    def mirrored(self) -> tuple[int, ...]:
        """For each keypoint the one that a mirror shows in its place: by the annotations, else by the names."""
        return topdown.partners(self.labels) if self.root is None else self._read().train.mirrored

    @property
    def points(self) -> int:
        """P, the number of keypoints."""
        return len(self.known.names)

    def prepare(self, progress: Progress | None = None) -> None:
        """Draw animals where that is asked for, check the annotations, cut out and pack the crops.

        Args:
            progress: Told how many of how many images are drawn, then how many of how many crops are packed.

        Raises:
            UserError: For anything missing or wrong in the folder, and for a cache that cannot be written.
        """
        _read.cache_clear()  # look at the files again
        _targets.cache_clear()
        _packed.cache_clear()
        self._pack(topdown.BASES[0], progress).pixels(topdown.BASES[0], progress)
        self._parts()

    def split(self, size: Size) -> Split:
        """Both sides, at the pack's level for inputs of `size`, (height, width) or a square's side, in pixels."""
        base, level = topdown.levels(size)
        packed = self._pack(base).pixels(level)
        targets = self._targets()
        train, valid = self._parts()
        return Split(Part(packed, train, targets[train]), Part(packed, valid, targets[valid]))

    def augment(
        self, images: Tensor, targets: Tensor, size: Size, how: AnimalAugment, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See `data.transforms.topdown.augment`."""
        lower = topdown.lower_half(self.labels) if self.lower is None else self.lower
        return topdown.augment(images, targets, size, how, generator, self.mirrored, lower)

    def inputs(self, images: Tensor, size: Size) -> Tensor:
        """See `data.transforms.topdown.inputs`."""
        return topdown.inputs(images, size)

    def loss(self, net: Network, images: Tensor, targets: Tensor, how: How) -> tuple[Tensor, Tensor]:
        """See `data.tasks.heatmaps.loss`; in judging with mirror images if `flip_test`."""
        return loss(net, images, targets, how, self.mirrored, self.flip_test)

    def error(self, outputs: Tensor | Array, part: Part) -> float:
        """1 - AP at OKS 0.50 to 0.95, each instance's score being the mean of its keypoints'.

        Args:
            outputs: (N, P, 3), x and y in crops and score, the whole part at once.
            part: One of this task's, for its rows.
        """
        return 1 - self.precision(outputs, part)["AP"]

    def precision(self, outputs: Tensor | Array, part: Part) -> dict[str, float]:
        """All of `data.tasks.ap.average_precision`'s numbers of a part."""
        answers = _numbers(outputs)
        data = self._read()
        chosen = [data.usable[row] for row in part.rows]
        found = pixels(answers[..., :2], frames(chosen, self.margin))
        results = [
            {
                "image_id": instance.image_id,
                "category_id": instance.category_id,
                "keypoints": np.column_stack([points, scores]).ravel().tolist(),
                "score": float(scores.mean()),
            }
            for instance, points, scores in zip(chosen, found, answers[..., 2], strict=True)
        ]
        coco = data.valid if data.valid is not None and part.rows[0] >= data.trained else data.train
        return average_precision(_truth(coco, {one.image_id for one in chosen}), results, self.known.sigmas)

    def errors(self, outputs: Tensor | Array, part: Part) -> Array:
        """Distances from the true keypoints in per cent of the box's larger side, float64 (N, P); NaN if unlabelled."""
        answers, true = _numbers(outputs), _numbers(part.targets)
        if answers.shape != true.shape:
            raise ValueError(f"outputs {answers.shape} and targets {true.shape} differ in shape")
        far = 100 * self.margin * np.sqrt(((answers - true)[..., :2] ** 2).sum(-1))
        return np.where(true[..., 2] > 0, far, np.nan)

    def caption(self, output: Array, target: Array) -> str:  # noqa: ARG002 - points say it
        """Nothing: the picture with its points says it all."""
        return ""

    def picture(self, row: int) -> Bytes:
        """The crop of instance `row`, uint8 (224, 224, 3)."""
        return cut(self._read().usable[row], topdown.BASES[0], self.margin)

    def identity(self) -> str:
        """A short name of the annotations, the split and what the error depends on; a search keeps to one."""
        data = self._read()
        digest = hashlib.blake2b(digest_size=10)
        for coco in (data.train, data.valid):
            digest.update(b"" if coco is None else coco.content())
        split = (self.folds, self.fold, self.seed) if data.valid is None else ()
        digest.update(repr((self.known, self.margin, self.flip_test, split)).encode())
        return digest.hexdigest()

    def baseline(self) -> float:
        """1 - AP on the validation part of always answering the mean crop's pose of the training part."""
        targets = self._targets()
        train, valid = self._parts()
        weight = targets[train, :, 2:].astype(np.float64)
        mean = (targets[train, :, :2] * weight).sum(0) / weight.sum(0).clip(min=1)
        mean = np.column_stack([mean, np.ones(len(mean))])
        shape = (len(valid), *mean.shape)
        return self.error(np.broadcast_to(mean, shape), Part(np.zeros((0, 1, 1, 3), np.uint8), valid, targets[valid]))

    def folder(self, progress: Progress | None = None) -> Path:
        """The folder to read: `root`, or the drawn animals' in the cache, drawn now if they are not there."""
        if self.root is not None:
            return self.root
        if self.drawn is None:
            raise UserError("no data: give a folder with annotations/ in COCO's keypoint format with --data DIR.")
        return self.drawn.folder(progress)

    def _read(self, progress: Progress | None = None) -> "_Data":
        data = _read(self.folder(progress), cache_folder())
        for coco in (data.train, data.valid):
            for category in () if coco is None else coco.categories:
                if category.keypoints != self.known.names:
                    wanted = f"each category must have {', '.join(self.known.names)}"
                    raise UserError(f"{coco and coco.annotations} has other keypoints for {category.name!r}: {wanted}.")
        return data

    def _pack(self, base: int, progress: Progress | None = None) -> Pack:
        self._read(progress)
        return _packed(self.folder(), cache_folder(), base, self.margin * topdown.CONTEXT)

    def _targets(self) -> Array:
        self._read()
        return _targets(self.folder(), cache_folder(), self.margin)

    def _parts(self) -> tuple[Array, Array]:
        """Rows to train on and rows to judge on."""
        data = self._read()
        rows = np.arange(len(data.usable))
        if data.valid is not None:
            if not 0 < data.trained < len(rows):
                file = (data.valid if data.trained else data.train).annotations
                raise UserError(f"{file} has no instance with a labelled keypoint: give annotations that have.")
            return rows[: data.trained], rows[data.trained :]
        groups = np.unique([str(instance.group) for instance in data.usable], return_inverse=True)[1]
        if len(set(groups.tolist())) < self.folds:
            file = data.train.annotations
            raise UserError(f"{file} cannot be split into {self.folds} folds: give more labelled images.")
        folds = GroupKFold(self.folds, shuffle=True, random_state=self.seed).split(rows, groups=groups)
        valid = np.isin(rows, list(folds)[self.fold][1])
        return rows[~valid], rows[valid]


@dataclass(frozen=True, eq=False)
class _Data:
    """A folder's annotations: the instances that are answered, `trained` of them from the training annotations."""

    train: AnnotationSet
    valid: AnnotationSet | None
    usable: tuple[Instance, ...]
    trained: int


@lru_cache(maxsize=4)  # a worker process asks once a trial
def _read(root: Path, cache: Path) -> _Data:
    del cache  # another cache folder is another answer
    found = read(root)
    train, valid = found.train, found.valid
    known, judged = (tuple(one for one in (coco.instances if coco else ()) if one.usable) for coco in (train, valid))
    return _Data(train, valid, known + judged, len(known))


@lru_cache(maxsize=4)
def _targets(root: Path, cache: Path, margin: float) -> Array:
    usable = _read(root, cache).usable
    points = np.stack([instance.points for instance in usable])
    labelled = points[..., 2:] > 0
    places = np.where(labelled, fractions(points[..., :2], frames(usable, margin)), 0.5)
    return np.concatenate([places, labelled], -1).astype(np.float32)


@lru_cache(maxsize=4)
def _packed(root: Path, cache: Path, side: int, margin: float) -> Pack:
    return crops(_read(root, cache).usable, side, margin)[0]


def _truth(coco: AnnotationSet, images: set[int]) -> dict[str, Any]:
    """Some images' annotations in COCO's form, crowds and all."""
    return {
        "images": [{"id": number} for number in sorted(images)],
        "categories": [{"id": category.id, "name": category.name} for category in coco.categories],
        "annotations": [
            {
                "id": one.id,
                "image_id": one.image_id,
                "category_id": one.category_id,
                "keypoints": one.points.ravel().tolist(),
                "num_keypoints": one.labelled,
                "bbox": list(one.box),
                "area": one.area,
                "iscrowd": int(one.crowd),
            }
            for one in coco.instances
            if one.image_id in images
        ],
    }


def _numbers(values: Tensor | Array) -> Array:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return array.astype(np.float64)
