"""Published networks by their timm names, with a head for numbers or for heatmaps, as data.

The networks are in `models.backbones`, so that a study's file needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.config import BodyConfig

if TYPE_CHECKING:
    from models.network import Net


@dataclass(frozen=True)
class Body(BodyConfig):
    """A network of timm's with a head, by the fields of `BodyConfig`."""

    def build(self) -> Net:
        """The network with fresh weights, drawn from torch's global generator.

        Raises:
            ValueError: timm does not know the name, or its network has no drop path, or no maps of a 32nd of the
                input to start from.
        """
        from models.backbones import build

        return build(self)
