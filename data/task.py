"""What a task is: what training uses of it, what results show of it, and the data set behind it.

A task is any object with the members of `Task`. `BaseTask` holds what data sets in folders share.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from data.errors import UserError
from data.storage.splits import FOLDS, kept_folds
from data.transforms.augment import LEVELS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from data.storage.pack import Part, Progress, Split

Array = np.ndarray[Any, np.dtype[Any]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

Edges = tuple[tuple[int, int], ...]
"""Which points a drawing joins, as pairs of places among the labels."""


class Trainable(Protocol):
    """What training uses."""

    def split(self, size: Any) -> Split:
        """The parts, at a resolution fit for an input of `size`, as the architecture states it."""

    def augment(
        self, images: Tensor, targets: Tensor, size: Any, how: Any, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """A whole batch of a part's pixels, changed at random, as network inputs (B, C, H, W) with its targets."""

    def inputs(self, images: Tensor, size: Any) -> Tensor:
        """A whole batch of a part's pixels, unchanged, as network inputs (B, C, H, W)."""

    def loss(self, net: Any, images: Tensor, targets: Tensor, how: Any) -> tuple[Tensor, Tensor]:
        """What a training step descends, a scalar, and what the network answered, for `error`.

        `how` is the trial's `search.study.Training`.
        """

    def error(self, outputs: Array, part: Part) -> float:
        """The error over the whole of a part at once, in `unit`, smaller is better."""


class Showable(Protocol):
    """What results show."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of what is answered, for people: P points, e.g. 'thumb 1', or P numbers."""

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Which points a drawing joins, as pairs of places in `labels`; empty where there is nothing to join."""

    @property
    def mirrored(self) -> tuple[int, ...] | None:
        """For each label the one that a mirror shows in its place; None where labels are not points of an image."""

    def with_points(self, labels: tuple[str, ...], edges: Edges, mirrored: tuple[int, ...] | None) -> Self:
        """The task as a model's record describes it, where it would take its points from a data set; else itself."""

    @property
    def each_unit(self) -> str:
        """The unit of `errors`, which need not be the error's own: '% of box' beside an average precision."""

    def errors(self, outputs: Array, part: Part) -> Array:
        """The error of each image and label by itself, float64 (N, P), in `each_unit`; NaN where there is none."""

    def caption(self, output: Array, target: Array) -> str:
        """One image's answer against its truth in words; empty where points in the picture say it."""

    def picture(self, row: int) -> Bytes:
        """Image `row` of the data set as a person sees it, uint8 (H, W, 3)."""


class DataSet(Protocol):
    """The data set, and how answers to it are judged."""

    @property
    def root(self) -> Path | None:
        """The folder of the data set; `--data` replaces it."""

    @property
    def metric(self) -> str:
        """The error's name, under which each trial keeps it, e.g. 'pixel_diff'."""

    @property
    def unit(self) -> str:
        """The error's unit, e.g. 'px'."""

    @property
    def losses(self) -> tuple[str, ...]:
        """The losses that `Training.loss` can name; the first is taken where it names none."""

    def prepare(self, progress: Progress | None = None) -> None:
        """Make everything ready that trials share: draw, check, decode, pack.

        Args:
            progress: Called with how many of how many samples are drawn, then how many of how many are packed.

        Raises:
            UserError: For anything missing or wrong in the folder, and for a cache that cannot be written.
        """

    def notes(self) -> tuple[str, ...]:
        """What a person should know of the data, a line each: what is not used, what copies there are; prepares them.

        Raises:
            UserError: As `prepare`.
        """

    def identity(self) -> str:
        """A short name of the data and its split; errors on other data are not comparable."""

    def baseline(self) -> float:
        """The error of a network that always answers the mean of its training targets."""

    def folder(self, progress: Progress | None = None) -> Path:
        """The folder that is read: `root`, or a drawn set's in the cache."""


class Task(Trainable, Showable, DataSet, Protocol):
    """What is to be learnt and how it is judged. Any object with these is one; it inherits nothing."""

    def __hash__(self) -> int:
        """What equal tasks show a network is found out once."""


@dataclass(frozen=True)
class BaseTask:
    """What the tasks of data sets in folders share.

    Attributes:
        root: The data set's folder; wins over `drawn`.
        drawn: A set to draw into the cache, once, and use instead.
        folds: Into how many parts the samples are split, at least 2.
        fold: Which of them is the validation part, 0 to folds - 1; over all folds each sample is in it once.
        seed: Which samples go together.

    Raises:
        ValueError: If a value lies outside its range.
    """

    root: Path | None = None
    drawn: Any = None
    folds: int = FOLDS
    fold: int = 0
    seed: int = 0

    needs: ClassVar[str] = "the data set's folder"
    """What --data must name."""
    edges: ClassVar[tuple[tuple[int, int], ...]] = ()
    channels: ClassVar[int] = 3
    margin: ClassVar[float | None] = None
    """Side of an object's crop as a multiple of its box's larger side; None where inputs are not cut around boxes."""
    context: ClassVar[float] = 1.0
    """Side of packed images in crops; inputs show one."""

    def __post_init__(self) -> None:
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise ValueError(f"folds must be at least 2 and fold below it, not {self.folds} and {self.fold}")
        if self.root is not None:  # worker processes may have another working folder
            object.__setattr__(self, "root", Path(self.root).expanduser().absolute())

    def folder(self, progress: Progress | None = None) -> Path:
        """The folder to read: `root`, or the drawn set's in the cache, drawn now if it is not there.

        Args:
            progress: Called with how many samples are drawn, of how many.

        Raises:
            UserError: If there is neither, or the cache cannot be written.
        """
        if self.root is not None:
            return self.root
        if self.drawn is None:
            raise UserError(f"no data: give {self.needs} with --data DIR.")
        folder: Path = self.drawn.folder(progress)
        return folder

    @property
    def mirrored(self) -> tuple[int, ...] | None:
        """None: labels have no partners."""
        return None

    def with_points(self, labels: tuple[str, ...], edges: Edges, mirrored: tuple[int, ...] | None) -> Self:  # noqa: ARG002
        """The task itself."""
        return self

    def caption(self, output: Array, target: Array) -> str:  # noqa: ARG002 - the points in the picture say it
        """Nothing: a picture with its points says all."""
        return ""

    def inputs(self, images: Tensor, size: Any) -> Tensor:
        """See `data.transforms.warp.inputs`."""
        from data.transforms.warp import inputs

        return inputs(images, size, self.context)

    def notes(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def about(self) -> dict[str, str]:
        """What a report says of the data: 'kind' ('drawn' or 'folder'), 'source' and 'split', words, no full stop.

        Nothing is read for it.
        """
        split = f"fold {self.fold + 1} of {self.folds} is judged on, the others are trained on"
        if self.root is None and self.drawn is not None:
            return {"kind": "drawn", "source": self.drawn.about(), "split": split}
        name = "" if self.root is None else self.root.name
        return {"kind": "folder", "source": f"the folder {name!r}", "split": split}

    def split(self, size: Any) -> Split:
        """See `Trainable.split`."""
        raise NotImplementedError

    def error(self, outputs: Array, part: Part) -> float:
        """See `Trainable.error`."""
        raise NotImplementedError

    def baseline(self) -> float:
        """The error on the validation part of always answering the mean of the training part's targets."""
        split = self.split(LEVELS[-1])  # as packed: smaller levels would be made for their targets alone
        mean = split.train.targets.mean(0, dtype=np.float64)
        return self.error(np.broadcast_to(mean, split.valid.targets.shape), split.valid)

    def fold_rows(self, groups: Array, what: str) -> tuple[Array, Array]:
        """Rows to train on and rows to judge on, int64, ascending: whole groups go to one of `folds` folds at random.

        Args:
            groups: (N,), what must stay together.
            what: What groups are called in the error.

        Raises:
            UserError: If there are fewer groups than folds.
        """
        self.enough(len(set(groups.tolist())), what)
        return kept_folds("GroupKFold", self.folds, self.seed, groups)[self.fold]

    def enough(self, count: int, what: str) -> None:
        """Raises UserError where so many samples or groups cannot be split into the folds."""
        if count < self.folds:
            raise UserError(f"{count} {what} cannot be split into {self.folds} folds: give a folder with more.")
