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
    """A row of the cost table: what one module does itself, without its children.

    Attributes:
        name: the module's path in the network, empty for the network itself.
        type: its class.
        output: shape of its output, for a batch of one.
        params: trainable numbers; one that is shared stands in the first row that has it.
        buffers: other floating-point numbers that it keeps (BatchNorm's statistics).
        flops: fvcore's count, and one for each element that a parameter scales or that is a product in a sum.
        flops_m: 'M', as fvcore's but one an element of a BatchNorm, not two. The same in a folded network.
        flops_ma: 'M+A', multiplies and adds apart: two for each multiply-add, one for each element pooled or scaled.
    """

    name: str
    type: str
    output: tuple[int, ...]
    params: int
    buffers: int
    flops: int
    flops_m: int
    flops_ma: int


@dataclass(frozen=True)
class Cost:
    """Cost of one image. Every total is the sum of its column.

    Attributes:
        params: trainable numbers, of `models.cost.cost` those of the deployed network.
        trained: trainable numbers while it is trained, each BatchNorm's scale and shift among them: what papers print.
        flops: the count that is ranked: fvcore's, and the elements that `models.audit` adds.
        layers: a row for every module that holds or computes something of its own, in the order of the network.
    """

    params: int
    trained: int
    flops: int
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
    """Blocks in a row that are alike.

    Attributes:
        name: path of the first block in the network.
        kind: what a block is, in words: 'inverted residual', 'convolution', '4 parallel branches', else its class.
        repeats: how many blocks.
        channels: of the output; of a vector its length.
        sides: of the output beside the channels: (height, width) of maps, (bins,) of distributions, () of a vector.
        kernel: side of its largest kernel, 0 where it has none.
        squeeze: whether it has squeeze-excitation.
        up: by how much transposed convolutions multiply the resolution, 1 where there are none.
        head: whether it belongs to the head.
        params: trainable numbers.
        flops: multiply-adds as fvcore counts them.
    """

    name: str
    kind: str
    repeats: int
    channels: int
    sides: tuple[int, ...]
    kernel: int
    squeeze: bool
    up: int
    head: bool
    params: int
    flops: int


@dataclass(frozen=True)
class Plan:
    """A network from end to end; the costs of the stages and of `decode` add up to the totals.

    Attributes:
        input_shape: (channels, height, width).
        stages: in the network's order.
        answer: shape of what the network answers, without the batch; () where it is no single tensor.
        decode: (params, flops) of what the network does itself, outside its modules.
        params: trainable numbers.
        flops: multiply-adds as fvcore counts them.
    """

    input_shape: tuple[int, ...]
    stages: tuple[Stage, ...]
    answer: tuple[int, ...]
    decode: tuple[int, int]
    params: int
    flops: int
