"""A family of small keypoint networks as data: MobileNetV3-small bent by a few numbers, with one of three heads.

The networks are in `models.mobilenet`, so that a study's file needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.config import MobileNetConfig

if TYPE_CHECKING:
    from models.network import Net


@dataclass(frozen=True)
class Arch(MobileNetConfig):
    """An architecture as data, by the fields of `MobileNetConfig`."""

    def build(self) -> Net:
        """The network with fresh weights, drawn from torch's global generator."""
        from models.mobilenet import build

        return build(self)

    def totals(self) -> tuple[int, int]:
        """Parameters and multiply-adds of the deployed network, as `models.cost` counts them, in 0.1 ms."""
        from models.formula import totals

        return totals(self)
