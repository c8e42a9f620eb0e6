"""What is said of the networks that `models.net.Arch` and `models.bodies.Body` build: data alone, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from models.checks import check_choices, check_head, check_ranges, sides

UNWRITTEN: Mapping[str, Any] = MappingProxyType({"unwritten": True})
"""Metadata of a field that came later: at its default a record leaves it out, so that older records stay as they are.

Such a default never changes."""


@dataclass(frozen=True)
class MobileNetConfig:
    """An architecture as data: everything that Params and FLOPs depend on, and nothing else.

    Channels are rounded to even numbers. (Rounding to eights, as is usual, makes widths 0.25 to 0.5 share their early
    layers, and a search over width walks on stairs.)

    Attributes:
        points: P, keypoints to find, at least 1.
        width: multiplies every channel count, 0.02 to 4.
        stride: largest total stride of the body: 4, 8, 16 or 32. A body of fewer stages may end before it.
        size: side of the square input in pixels, 32 to 512; need not be a multiple of the stride.
        head: "direct" (coordinates after pooling), "heatmap" (soft-argmax) or "simcc" (bins along each axis).
        channels: of the input image, at least 1.
        depth: multiplies the repeats of every stage, 0.25 to 4; no stage vanishes.
        expansion: multiplies the expansion of every block, 0.1 to 2; none falls below 1, where a block is depthwise and
            pointwise alone (from 1 / 6 on all are).
        kernel: side of the depthwise kernels from stride 16 on: 3, 5 or 7.
        squeeze: squeeze-excitation's hidden channels per channel, 0 (none anywhere) to 1.
        neck: channels of the 1 x 1 convolution that ends the body, 0 (none) to 2048, times `width`.
        upsample: heatmap head only: transposed convolutions, 0 to 3.
        deconv: heatmap head only: channels of its hidden layers, 8 to 1024, times `width`.
        separable: heatmap head only: depthwise instead of dense transposed convolutions.
        split: simcc head only: bins a pixel of the input, 0.125 to 4.
        stages: of the table's 7, how many there are, 1 to 7; each has 16, 24, 24, 40, 40, 48 and 96 channels.
        stem: channels of the first convolution, 2 to 64, times `width`.
        stem_kernel: its side, 2 to 7; an even one is the stem's stride, so that it cuts the image into patches.
        stem_stride: 2 or 4.
        early_kernel: side of the depthwise kernels before stride 16: 3, 5 or 7.
        act: of the body: "relu", "hardswish", "silu", or "mixed", ReLU in the first three stages and then hardswish.
        branches: convolutions side by side in place of each after the stem's while it is trained, 0 to 4, beside a
            1 x 1 one and the identity; one convolution when deployed (`models.network.Branched`). 0: a plain one.
        grey: read the mean of the image's channels, so that the first convolution has one of them.
        pooled: direct head only: False reads every cell of the features instead of their mean.

    Raises:
        ValueError: a value is out of its range.
    """

    points: int
    width: float
    stride: int
    size: int
    head: str
    channels: int = 3
    depth: float = 1.0
    expansion: float = 1.0
    kernel: int = 5
    squeeze: float = 0.25
    neck: int = 576
    upsample: int = 1
    deconv: int = 128
    separable: bool = True
    split: float = 1.0
    stages: int = field(default=7, metadata=UNWRITTEN)
    stem: int = field(default=16, metadata=UNWRITTEN)
    stem_kernel: int = field(default=3, metadata=UNWRITTEN)
    stem_stride: int = field(default=2, metadata=UNWRITTEN)
    early_kernel: int = field(default=3, metadata=UNWRITTEN)
    act: str = field(default="mixed", metadata=UNWRITTEN)
    branches: int = field(default=0, metadata=UNWRITTEN)
    grey: bool = field(default=False, metadata=UNWRITTEN)
    pooled: bool = field(default=True, metadata=UNWRITTEN)

    def __post_init__(self) -> None:
        check_ranges(self, points=(1, 10_000), size=(32, 512), channels=(1, 1024), neck=(0, 2048))
        check_ranges(self, width=(0.02, 4.0), depth=(0.25, 4.0), expansion=(0.1, 2.0), squeeze=(0.0, 1.0))
        check_ranges(self, upsample=(0, 3), deconv=(8, 1024), split=(0.125, 4.0), stages=(1, 7), stem=(2, 64))
        check_ranges(self, stem_kernel=(2, 7), branches=(0, 4))
        check_choices(self, stride=(4, 8, 16, 32), head=("direct", "heatmap", "simcc"), kernel=(3, 5, 7))
        check_choices(self, stem_stride=(2, 4), early_kernel=(3, 5, 7), act=("mixed", "relu", "hardswish", "silu"))
        if self.stem_stride > self.stride:
            raise ValueError(f"Arch.stem_stride is {self.stem_stride}, but must be at most the stride, {self.stride}")
        if self.stem_kernel % 2 == 0 and (self.stem_kernel != self.stem_stride or self.size % self.stem_stride):
            raise ValueError(
                f"Arch.stem_kernel is {self.stem_kernel}, but an even one must be the stem's stride and divide the "
                f"size, {self.size}"
            )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, size, size)."""
        return self.channels, self.size, self.size


@dataclass(frozen=True)
class BodyConfig:
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
        check_head(self)
        check_ranges(self, deconv=(8, 2048))
        check_choices(self, head=("linear", "heatmap"), upsample=(0, 3))
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
