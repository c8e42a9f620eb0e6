"""What a network costs and how it is drawn, as plain data that needs no torch.

`models.cost` counts a `Cost`, `models.stages` derives a `Plan`, and `search.results.network` keeps both with a trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class Architecture(Protocol):
    """A network as data: a frozen dataclass, built and priced without data or weights."""

    @property
    def size(self) -> Any:
        """Of the input in pixels: the side of a square, or (height, width)."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""

    def __hash__(self) -> int:
        """Equal architectures are priced once."""

    def build(self) -> torch.nn.Module:
        """The network, freshly initialised from torch's global random state."""


class CostError(ValueError):
    """A network whose cost would come out too low: the message names the operator, parameter or buffer."""


@dataclass(frozen=True)
class Layer:
    """A row of the cost table: what one module does itself, without its children."""

    name: str  # the module's path in the network, empty for the network itself
    type: str  # its class
    output: tuple[int, ...]  # shape of its output, for a batch of one
    params: int  # trainable numbers; one that is shared stands in the first row that has it
    buffers: int  # other floating-point numbers that it keeps (BatchNorm's statistics)
    flops: int  # fvcore's count, and one for each element that a parameter scales or that is a product in a sum
    flops_m: int  # 'M', as fvcore's but one an element of a BatchNorm, not two. The same in a folded network.
    flops_ma: int  # 'M+A', multiplies and adds apart: two for each multiply-add, one for each element pooled or scaled


@dataclass(frozen=True)
class Cost:
    """Cost of one image. Every total is the sum of its column."""

    params: int  # trainable numbers, of `models.cost.cost` those of the deployed network
    # trainable numbers while it is trained, each BatchNorm's scale and shift among them: what papers print
    trained: int
    flops: int  # the count that is ranked: fvcore's, and the elements that `models.audit` adds
    # a row for every module that holds or computes something of its own, in the order of the network
    layers: tuple[Layer, ...]

    @property
    def buffers(self) -> int:
        """Numbers kept beside the parameters."""
        return sum(layer.buffers for layer in self.layers)

    @property
    def flops_m(self) -> int:
        """Total of the column M."""
        return sum(layer.flops_m for layer in self.layers)

    @property
    def flops_ma(self) -> int:
        """Total of the column M+A."""
        return sum(layer.flops_ma for layer in self.layers)


@dataclass(frozen=True)
class Stage:
    """Blocks in a row that are alike."""

    name: str  # path of the first block in the network
    kind: str  # what a block is, in words: 'inverted residual', 'convolution', '4 parallel branches', else its class
    repeats: int  # how many blocks
    channels: int  # of the output; of a vector its length
    # of the output beside the channels: (height, width) of maps, (bins,) of distributions, () of a vector
    sides: tuple[int, ...]
    kernel: int  # side of its largest kernel, 0 where it has none
    squeeze: bool  # whether it has squeeze-excitation
    up: int  # by how much transposed convolutions multiply the resolution, 1 where there are none
    head: bool  # whether it belongs to the head
    params: int  # trainable numbers
    flops: int  # multiply-adds as fvcore counts them
    # what follows its convolutions, e.g. 'ReLU'; empty for none, and in what was recorded before it was derived
    act: str = ""
    shortcuts: int = 0  # of how many of the blocks the input is added to the output


@dataclass(frozen=True)
class Plan:
    """A network from end to end; the costs of the stages and of `decode` add up to the totals."""

    input_shape: tuple[int, ...]  # (channels, height, width)
    stages: tuple[Stage, ...]  # in the network's order
    answer: tuple[int, ...]  # shape of what the network answers, without the batch; () where it is no single tensor
    decode: tuple[int, int]  # (params, flops) of what the network does itself, outside its modules
    params: int  # trainable numbers
    flops: int  # multiply-adds as fvcore counts them
