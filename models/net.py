"""A family of small keypoint networks as data: MobileNetV3-small bent by a few numbers, with one of three heads.

The networks are in `models.mobilenet`, so that a study's file needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.network import Net


@dataclass(frozen=True)
class Arch:
    """An architecture as data: everything that Params and FLOPs depend on, and nothing else.

    Channels are rounded to even numbers. (Rounding to eights, as is usual, makes widths 0.25 to 0.5 share their early
    layers, and a search over width walks on stairs.)

    Attributes:
        points: P, keypoints to find, at least 1.
        width: multiplies every channel count, 0.1 to 4.
        stride: total stride of the body, 16 or 32.
        size: side of the square input in pixels, 32 to 512; need not be a multiple of the stride.
        head: "direct" (coordinates after pooling), "heatmap" (soft-argmax) or "simcc" (bins along each axis).
        channels: of the input image, at least 1.
        depth: multiplies the repeats of every stage, 0.25 to 4; no stage vanishes.
        expansion: multiplies the expansion of every block, 0.25 to 2; none falls below 1.
        kernel: side of the depthwise kernels from stride 16 on: 3, 5 or 7.
        squeeze: squeeze-excitation's hidden channels per channel, 0 (none anywhere) to 1.
        neck: channels of the 1 x 1 convolution that ends the body, 0 (none) to 2048, times `width`.
        upsample: heatmap head only: transposed convolutions, 0 to 3.
        deconv: heatmap head only: channels of its hidden layers, 8 to 1024, times `width`.
        separable: heatmap head only: depthwise instead of dense transposed convolutions.
        split: simcc head only: bins a pixel of the input, 0.125 to 4.

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

    def __post_init__(self) -> None:
        """Refuses values out of range."""
        for name, low, high in _RANGES:
            value = getattr(self, name)
            whole = isinstance(low, int)
            if not low <= value <= high or (whole and value != int(value)):
                kind = "a whole number " if whole else ""
                raise ValueError(f"Arch.{name} is {value}, but must be {kind}from {low} to {high}")
        for name, allowed in _CHOICES:
            if getattr(self, name) not in allowed:
                raise ValueError(f"Arch.{name} is {getattr(self, name)!r}, but must be one of {allowed}")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, size, size)."""
        return self.channels, self.size, self.size

    def build(self) -> Net:
        """The network with fresh weights, drawn from torch's global generator."""
        from models.mobilenet import build

        return build(self)


_RANGES = (
    ("points", 1, 10_000),
    ("width", 0.1, 4.0),
    ("size", 32, 512),
    ("channels", 1, 1024),
    ("depth", 0.25, 4.0),
    ("expansion", 0.25, 2.0),
    ("squeeze", 0.0, 1.0),
    ("neck", 0, 2048),
    ("upsample", 0, 3),
    ("deconv", 8, 1024),
    ("split", 0.125, 4.0),
)
_CHOICES = (("stride", (16, 32)), ("head", ("direct", "heatmap", "simcc")), ("kernel", (3, 5, 7)))
