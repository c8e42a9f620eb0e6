"""The error on training images without augmentation: what a validation error can be compared with, like for like.

A training loss is the mean over augmented images while the weights change; a validation loss is that of unaltered
images and judged weights. Their difference says nothing of how well new images are answered. Here the same weights
answer some training images, unaltered and in evaluation mode, as they answer the validation part.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data.storage.pack import Part, Split
from search.run.settings import CLEAN_ERROR, CLEAN_LOSS, Row
from search.run.training.fit import Reached
from search.study import Task

MOST = 12
"""Epochs of a training after which it is measured: of 24 epochs with a fifth of the images in the validation part it
takes 4 % of the training's time."""


@dataclass(frozen=True)
class Clean:
    """What some weights reach on training images without augmentation."""

    error: float  # in the task's unit
    images: int  # how many


def sample(split: Split) -> Part:
    """Training images spread evenly over the training part, as many as the validation part has, or all."""
    train = split.train
    count = min(len(train.rows), len(split.valid.rows))
    chosen = np.linspace(0, len(train.rows) - 1, count).round().astype(np.int64)
    return replace(train, rows=train.rows[chosen], targets=train.targets[chosen])


def is_measured(epoch: int, epochs: int) -> bool:
    """Whether the error is measured after this epoch of so many: at most MOST times, every other one or less often."""
    return (epochs - epoch) % max(2, math.ceil(epochs / MOST)) == 0


def row(task: Task, reached: Reached, part: Part) -> Row:
    """What the judged weights reach after an epoch: its number, CLEAN_ERROR and CLEAN_LOSS."""
    outputs, loss = reached.judge(part)
    return {"epoch": reached.epoch.epoch, CLEAN_ERROR: task.error(outputs, part), CLEAN_LOSS: loss}


def joined(curve: Any, rows: Any) -> list[Row]:
    """A learning curve whose measured epochs have CLEAN_ERROR and CLEAN_LOSS, too.

    Args:
        curve: rows an epoch, as the storage keeps them.
        rows: as `row` makes them, of some of the epochs.
    """
    measured = {each["epoch"]: {name: each[name] for name in (CLEAN_ERROR, CLEAN_LOSS)} for each in rows}
    return [{**each, **measured.get(each["epoch"], {})} for each in curve]
