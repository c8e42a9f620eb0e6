"""Robot-hand position: three colour and three depth pictures in, where four fingertips are out, judged by RMSE."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from data.drawn.robot_view import SIDE
from data.errors import UserError
from data.layouts.groups import seen_twice
from data.layouts.problems import read_csv, sentences
from data.layouts.robot_hand import COLOURS, NUMBERS, VIEWS, identifiers, shown
from data.storage.copies import Look, look_at, looks, merged
from data.storage.pack import Bytes, Pack, Part, Progress, Split, TestPart, cache_folder
from data.storage.splits import kept_folds
from data.task import BaseTask
from data.tasks.losses import pick
from data.tasks.robot_pack import labelled, levelled, measured, pack_of
from data.transforms.augment import RobotAugment, level

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from data.transforms.robot_hand import Norm

Array = np.ndarray[Any, np.dtype[Any]]

COLUMNS = ("ID", *(f"FINGER_POS_{number}" for number in range(1, NUMBERS + 1)))
"""Of the table of predictions."""

_TIPS = tuple(f"tip {tip}" for tip in range(1, 5))


@dataclass(frozen=True)
class RobotHand(BaseTask):
    """Fingertips of a robot hand, from its folder or from drawn samples when no folder is given.

    A label is twelve numbers in metres: four fingertips with three coordinates each. Nothing is published about which
    finger comes first nor about the frame, so they are named tip 1 to 4 and x, y, z in the order of the file; the
    drawn hand's are three fingers and then the thumb, in a frame whose z points up from the table.

    The split is K-fold over shuffled samples, as the published errors were measured. That is sound where samples were
    taken independently, as drawn ones are; of neighbouring frames of one motion it would put near-copies on both
    sides, and errors would come out too small.

    Attributes:
        root: The folder that holds train/ (and test/, which is only read for predictions); wins over `drawn`.
        signed: Depth is normalised to -1..1 rather than 0..1.
    """

    signed: bool = False

    needs: ClassVar[str] = "the robot hand's folder (the one that holds train/X)"
    metric: ClassVar[str] = "rmse"
    unit: ClassVar[str] = "m"
    each_unit: ClassVar[str] = "m"
    losses: ClassVar[tuple[str, ...]] = ("mse", "smooth_l1")
    labels: ClassVar[tuple[str, ...]] = tuple(f"{tip} {axis}" for tip in _TIPS for axis in "xyz")
    outputs: ClassVar[int] = NUMBERS
    channels: ClassVar[int] = COLOURS + VIEWS

    def prepare(self, progress: Progress | None = None) -> None:
        """Draw samples where asked for, check, decode and measure; test/ is not opened. See `DataSet.prepare`."""
        _read.cache_clear()  # look at the files again
        _measured.cache_clear()
        pack, *_ = self._read(progress)
        pack.pixels(SIDE, progress)
        look_at((str(picture) for sample in pack.items for picture in sample.pictures), progress)
        self._measured()

    def notes(self) -> tuple[str, ...]:
        """See `DataSet.notes`."""
        return sentences(seen_twice(self.folder(), self._seen()))

    def identity(self) -> str:
        """A short name of the labels and the split; a search keeps to one."""
        _, names, labels = self._read()
        split = (names, self.folds, self.fold, self.seed)
        groups = self._groups()
        copies = b"" if len(set(groups.tolist())) == len(groups) else groups.tobytes()
        return hashlib.blake2b(labels.tobytes() + repr(split).encode() + copies, digest_size=10).hexdigest()

    def split(self, size: int) -> Split:
        """Both sides, pixels uint8 (N, L, L, 18) at the level for inputs of `size` pixels, targets (n, 12) metres."""
        pack, _, labels = self._read()
        pixels = levelled(pack, level(size))
        train, valid = (Part(pixels, rows, labels[rows]) for rows in self._rows(len(labels)))
        return Split(train, valid)

    def augment(
        self, images: Tensor, targets: Tensor, size: int, how: RobotAugment, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See `data.transforms.robot_hand.prepared`; the targets stay as they are."""
        from data.transforms.robot_hand import prepared

        return prepared(images, size, self._measured()[0], how, generator), targets

    def inputs(self, images: Tensor, size: int) -> Tensor:
        """See `data.transforms.robot_hand.prepared`."""
        from data.transforms.robot_hand import prepared

        return prepared(images, size, self._measured()[0])

    def loss(self, net: Any, images: Tensor, targets: Tensor, how: Any) -> tuple[Tensor, Tensor]:
        """How far the network's numbers are from the standardised targets, and its answers in metres.

        A network answers in standard deviations from the mean, both of the training part, as `answers` turns into
        metres: each number then counts the same, and fresh weights begin near the baseline.

        Args:
            net: The network, whose `logits` are twelve numbers.
            images: float (B, 12, S, S).
            targets: float (B, 12), metres.
            how: 'mse' or 'smooth_l1' (Girshick 2015; it bends at one standard deviation).

        Returns:
            A scalar and answers (B, 12) in metres, float32.
        """
        from torch.nn import functional

        kind = pick(how.loss, self.losses)
        numbers = net.logits(images).float()
        mean, std = self._normal(targets.device)
        compare = functional.smooth_l1_loss if kind == "smooth_l1" else functional.mse_loss
        return compare(numbers, (targets - mean) / std), self.answers(numbers)

    def answers(self, numbers: Tensor) -> Tensor:
        """A network's numbers (B, 12) in metres."""
        mean, std = self._normal(numbers.device)
        return mean + std * numbers

    def error(self, outputs: Array, part: Part) -> float:
        """RMSE in metres: the root of the mean square over all samples and all twelve numbers."""
        return float(np.sqrt((self.errors(outputs, part) ** 2).mean()))

    def errors(self, outputs: Array, part: Part) -> Array:
        """Absolute error of each number, float64 (N, 12), metres."""
        if outputs.shape != part.targets.shape:
            raise ValueError(f"outputs {outputs.shape} and targets {part.targets.shape} differ in shape")
        far: Array = np.abs(np.asarray(outputs, np.float64) - part.targets)
        return far

    def caption(self, output: Array, target: Array) -> str:
        """How far each fingertip is off, in millimetres."""
        far = np.linalg.norm((np.asarray(output, np.float64) - target).reshape(4, 3), axis=1) * 1000
        return "off by " + ", ".join(f"{tip} {distance:.1f} mm" for tip, distance in zip(_TIPS, far, strict=True))

    def picture(self, row: int) -> Bytes:
        """The three colour pictures of a sample side by side, uint8 (224, 672, 3)."""
        colours = self._read()[0].pixels(SIDE)[row, ..., :COLOURS]
        return np.concatenate(np.split(colours, VIEWS, -1), 1)

    def test_part(self, folder: Path, size: int) -> TestPart:  # noqa: ARG002 - inputs are made of whole images
        """The test part, which nothing else opens.

        Args:
            folder: Holds test/X.
            size: Of the network's input in pixels; the images are whole at any.

        Raises:
            UserError: For anything missing or wrong in test/X.
        """
        pack, found = pack_of(Path(folder), "test")
        ids = identifiers(found)
        pixels = pack.pixels(SIDE)
        return TestPart(pixels, np.arange(len(ids)), np.full((len(ids), NUMBERS), np.nan, np.float32), ids)

    def answer(self, net: Any, images: Tensor) -> Tensor:
        """Metres (B, 12)."""
        return self.answers(net.logits(images).float())

    def table(self, folder: Path, outputs: Sequence[Array], part: TestPart, like: Path | None = None) -> str:
        """The csv to hand in: ID, FINGER_POS_1 to FINGER_POS_12 in metres, the mean of all networks a sample.

        Args:
            folder: The data set's.
            outputs: Of each network, (N, 12) metres.
            part: Of `test_part`.
            like: The organiser's sample; its ids give the order. None for that of test/X.

        Raises:
            UserError: The sample cannot be read, or it and the samples do not fit.
        """
        del folder
        rows = dict(zip(part.ids, np.mean(outputs, axis=0).tolist(), strict=True))
        header, order = (COLUMNS, part.ids) if like is None else asked(like, part.ids)
        file = io.StringIO()
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(header)
        lines.writerows([name, *(f"{number:.7g}" for number in rows[name])] for name in order)
        return file.getvalue()

    def _rows(self, count: int) -> tuple[Array, Array]:
        """Rows to train on and rows to judge on, int64, ascending."""
        self.enough(count, "samples")
        groups = self._groups()
        if len(set(groups.tolist())) < count:
            return self.fold_rows(groups, "samples that differ")
        return kept_folds("KFold", self.folds, self.seed, groups)[self.fold]

    def _groups(self) -> Array:
        """What stays together, int64 (N,): samples of which all pictures are equal."""
        seen = list(self._seen().values())
        return merged(np.arange(len(seen)), [each.pixels for each in seen])

    def _seen(self) -> dict[str, Look]:
        """What each sample's pictures show, all three as one."""
        samples = self._read()[0].items
        return shown(samples, looks(str(picture) for sample in samples for picture in sample.pictures))

    def _read(self, progress: Progress | None = None) -> tuple[Pack, tuple[str, ...], Array]:
        return _read(self.folder(progress), cache_folder())

    def _measured(self) -> tuple[Norm, Tensor, Tensor]:
        return _measured(self, cache_folder())

    def _normal(self, device: Any) -> Iterator[Tensor]:
        """The labels' mean and standard deviation on a device."""
        from data.transforms.constants import constant

        return (constant(tuple(value.tolist()), device) for value in self._measured()[1:])


def asked(sample: Path, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Header and ids of an organiser's sample csv.

    Raises:
        UserError: It cannot be read, or asks for other columns or samples than there are.
    """
    header, *rows = list(filter(None, read_csv(sample, mend="give the organiser's sample"))) or [[]]
    if len(header) != len(COLUMNS):
        raise UserError(f"{sample} has {len(header)} columns and not {len(COLUMNS)}: give the organiser's sample.")
    order = [row[0] for row in rows]
    if sorted(order) != sorted(ids):
        odd = sorted(set(order) ^ set(ids))
        which = f"{odd[0]!r} is in one of them alone" if odd else "an id stands there twice"
        raise UserError(f"{sample} lists {len(order)} samples, and test/X has {len(ids)} ({which}): fetch both again.")
    return header, order


@lru_cache(maxsize=4)  # a worker process asks once a trial
def _read(root: Path, cache: Path) -> tuple[Pack, tuple[str, ...], Array]:
    """The pack of the training part, and its samples' ids and labels."""
    del cache  # another cache folder is another answer
    pack, found = pack_of(root, "train")
    return pack, *labelled(pack, found)


@lru_cache(maxsize=8)
def _measured(task: RobotHand, cache: Path) -> tuple[Norm, Tensor, Tensor]:
    """What inputs are normalised by, and the labels' mean and standard deviation: all of the training part alone."""
    import torch

    del cache
    pack, _, labels = task._read()
    rows, _ = task._rows(len(labels))
    train = labels[rows].astype(np.float64)
    spread = train.std(0)
    spread[spread == 0] = 1  # a number that never changes
    mean, std = (torch.from_numpy(value.astype(np.float32)) for value in (train.mean(0), spread))
    return measured(pack, rows, task.signed), mean, std
