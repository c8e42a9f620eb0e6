"""How pixels become a network's inputs, as a model records it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydantic import ConfigDict

from data.task import BaseTask
from data.transforms.augment import MEAN, STD

if TYPE_CHECKING:
    import torch

    from search.study import Task

STRICT = ConfigDict(strict=True, extra="forbid")
"""Of what is read from model.json: every field of its type, and none too many."""


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become a network's inputs, as `data.transforms.warp.inputs` does it."""

    __pydantic_config__ = STRICT

    context: float  # side of the pictures in crops; 1 shows the whole picture
    mean: float  # of every channel, of pixels in 0..1
    std: float  # the same

    @classmethod
    def of(cls, task: Task) -> Self | None:
        """That of a task; None of one that makes its inputs in a way of its own."""
        kind: Any = type(task)
        usual = issubclass(kind, BaseTask) and kind.inputs is BaseTask.inputs
        return cls(float(getattr(task, "context", 1.0)), MEAN, STD) if usual else None

    def __call__(self, images: torch.Tensor, size: Any) -> torch.Tensor:
        """See `data.transforms.warp.inputs`."""
        from data.transforms.warp import inputs

        return inputs(images, size, self.context)
