"""A task whose batches come ready: what the benches measure augmentation against."""

from dataclasses import dataclass
from typing import Any

import torch

from data.tasks.freihand import FreiHand


@dataclass(frozen=True)
class Bare:
    """The task, but the batches come ready."""

    inner: FreiHand

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def augment(self, images: torch.Tensor, points: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return images, points
