"""Published networks by their timm names, with a head for numbers or for heatmaps, as data.

The networks are in `models.backbones`, so that a study's file needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.network import Net


@dataclass(frozen=True)
class Body:
    """A network of timm's with a head: everything that Params and FLOPs depend on.

    `Body("resnet152", 17, "heatmap", 256, upsample=3)` is PoseResNet-152 (Xiao et al. 2018, "Simple Baselines",
    https://arxiv.org/abs/1804.06208); `Body("hrnet_w32", 17, "heatmap", (256, 192))` is HRNet for pose (Sun et al.
    2019, https://arxiv.org/abs/1902.09212), whose other branches end where the finest one has read them.

    Attributes:
        name: timm's, for instance "resnet50", "resnest269e", "convnext_base", "hrnet_w32", "regnety_004".
        outputs: numbers, classes or heatmaps, 1 to 100,000.
        head: "linear" (global pooling as timm's classifier has it, then one linear layer) or "heatmap" (a 1 x 1
            convolution on features of a quarter of the input's sides).
        size: of the input in pixels, (height, width) or one number for both, 32 to 1024. Multiples of 32 with
            heatmaps and in every HRNet, whose branches would not meet otherwise.
        channels: of the input, 1 to 1024.
        upsample: 4 x 4 transposed convolutions of stride 2, each with BatchNorm and ReLU, before the head: 0 or 3.
            Heatmaps need 3, HRNet none: its finest branch is read.
        deconv: channels of these, 8 to 2048.
        drop_path: rate of stochastic depth at the last block, 0 up to but without 1 (Huang et al. 2016).

    Raises:
        ValueError: a value is out of its range; whether timm knows the name is found out by `build`.
    """

    name: str
    outputs: int
    head: str
    size: int | tuple[int, int]
    channels: int = 3
    upsample: int = 0
    deconv: int = 256
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        """Refuses values out of range."""
        check_head(self)
        check_whole(self, "deconv", 8, 2048)
        for name, allowed in (("head", ("linear", "heatmap")), ("upsample", (0, 3))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"Body.{name} is {getattr(self, name)!r}, but must be one of {allowed}")
        if self.parallel and self.upsample:
            raise ValueError(f"Body.upsample is {self.upsample}, but {self.name} has fine maps already: 0")
        if self.head == "heatmap" and not self.parallel and not self.upsample:
            raise ValueError(f"Body.upsample is 0, but heatmaps of {self.name} need 3")
        if (self.parallel or self.head == "heatmap") and any(side % 32 for side in self.input_shape[1:]):
            raise ValueError(f"Body.size is {self.size}, but {self.name} with head {self.head!r} needs multiples of 32")
        if self.drop_path and self.name.startswith("resnest"):
            # timm 1.0.31 drops the shortcut of the first block of a stage instead of the branch of every block
            raise ValueError(f"Body.drop_path is {self.drop_path}, but timm's ResNeSt applies it to its shortcuts: 0")

    @property
    def parallel(self) -> bool:
        """Whether it is an HRNet."""
        return self.name.startswith("hrnet")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, *sides(self.size))

    def build(self) -> Net:
        """The network with fresh weights, drawn from torch's global generator.

        Raises:
            ValueError: timm does not know the name, or its network has no drop path, or no maps of a 32nd of the
                input to start from.
        """
        from models.backbones import build

        return build(self)


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a size."""
    return (size, size) if isinstance(size, int) else size


def check_whole(arch: Any, name: str, low: int, high: int) -> None:
    """Refuse a field that is no whole number of its range.

    Raises:
        ValueError: says the field, its value and the range.
    """
    value = getattr(arch, name)
    if not isinstance(value, int) or not low <= value <= high:
        field = f"{type(arch).__name__}.{name}"
        raise ValueError(f"{field} is {value!r}, but must be a whole number from {low} to {high}")


def check_head(arch: Any) -> None:
    """Refuse an impossible input, answer or drop path of an architecture.

    Raises:
        ValueError: `outputs`, `channels`, `size` or `drop_path` is out of its range.
    """
    kind = type(arch).__name__
    check_whole(arch, "outputs", 1, 100_000)
    check_whole(arch, "channels", 1, 1024)
    both = sides(arch.size)
    if not isinstance(both, tuple) or len(both) != 2 or not all(isinstance(s, int) and 32 <= s <= 1024 for s in both):
        raise ValueError(f"{kind}.size is {arch.size!r}, but must be a number from 32 to 1024 or (height, width)")
    if not 0 <= arch.drop_path < 1:
        raise ValueError(f"{kind}.drop_path is {arch.drop_path}, but must be from 0 up to but without 1")
