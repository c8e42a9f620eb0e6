"""A family of small keypoint networks: a table of inverted residuals, a few numbers that bend it, three heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from timm.layers import ConvNormAct, make_divisible
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn

from models.heads import Direct, Heatmap, SimCC


class Stage(NamedTuple):
    """A row of the table; only the first of `repeats` blocks has the stride."""

    kernel: int
    expand: float
    channels: int
    repeats: int
    stride: int
    squeeze: bool
    act: str


STEM = 16
LATE = 16  # total stride from which a stage counts as late
# MobileNetV3-small (Howard et al. 2019, table 2). The last stage's stride becomes 1 for a total stride of 16.
TABLE = (
    Stage(3, 1.00, 16, 1, 2, True, "relu"),
    Stage(3, 4.50, 24, 1, 2, False, "relu"),
    Stage(3, 3.67, 24, 1, 1, False, "relu"),
    Stage(5, 4.00, 40, 1, 2, True, "hard_swish"),
    Stage(5, 6.00, 40, 2, 1, True, "hard_swish"),
    Stage(5, 3.00, 48, 2, 1, True, "hard_swish"),
    Stage(5, 6.00, 96, 3, 2, True, "hard_swish"),
)


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
        return Net(self)


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


def _even(channels: float) -> int:
    return int(make_divisible(channels, 2))


class Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): expand, depthwise, squeeze-excitation, project, add.

    timm's own block rounds the hidden channels to eights; this one takes them as they are.
    """

    def __init__(
        self, channels: int, hidden: int, out: int, kernel: int, stride: int, squeeze: float, act: str
    ) -> None:
        super().__init__()
        self.skip = stride == 1 and channels == out
        self.expand = ConvNormAct(channels, hidden, 1, act_layer=act) if hidden != channels else nn.Identity()
        self.depthwise = ConvNormAct(hidden, hidden, kernel, stride, groups=hidden, act_layer=act)
        self.squeeze = (
            SqueezeExcite(hidden, rd_channels=_even(hidden * squeeze), act_layer="relu", gate_layer="hard_sigmoid")
            if squeeze
            else nn.Identity()
        )
        self.project = ConvNormAct(hidden, out, 1, apply_act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, ceil(h / stride), ceil(w / stride))."""
        y: Tensor = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + y if self.skip else y


def _body(arch: Arch) -> tuple[nn.Sequential, int]:
    """The body and the number of its output channels."""
    channels = _even(STEM * arch.width)
    layers: list[nn.Module] = [ConvNormAct(arch.channels, channels, 3, 2, act_layer="hard_swish")]
    total = 2
    for row in TABLE:
        stride = row.stride if total * row.stride <= arch.stride else 1
        total *= stride
        out = _even(row.channels * arch.width)
        kernel = arch.kernel if total >= LATE else row.kernel
        for i in range(max(1, round(row.repeats * arch.depth))):
            expand = max(1.0, row.expand * arch.expansion)
            hidden = _even(channels * expand) if expand > 1 else channels
            squeeze = arch.squeeze if row.squeeze else 0.0
            layers.append(Block(channels, hidden, out, kernel, 1 if i else stride, squeeze, row.act))
            channels = out
    if arch.neck:
        out = _even(arch.neck * arch.width)
        layers.append(ConvNormAct(channels, out, 1, act_layer="hard_swish"))
        channels = out
    return nn.Sequential(*layers), channels


def _head(arch: Arch, channels: int) -> Direct | Heatmap | SimCC:
    if arch.head == "direct":
        return Direct(channels, arch.points)
    if arch.head == "heatmap":
        width = _even(arch.deconv * arch.width)
        return Heatmap(channels, arch.points, arch.size / arch.stride, width, arch.upsample, arch.separable)
    side = -(-arch.size // arch.stride)
    return SimCC(channels, arch.points, side, arch.size * arch.split)


class Net(nn.Module):
    """A body and a head: images in, points out."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        self.arch = arch
        self.body, channels = _body(arch)
        for module in self.body.modules():
            if isinstance(module, nn.Conv2d):
                # fan-out, as in MobileNet; a depthwise kernel's fan is its own area
                nn.init.normal_(module.weight, std=(2 * module.groups / module.weight[:, 0].numel()) ** 0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.head = _head(arch, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, S, S), normalised -> points (B, P, 2), order (x, y); [0, 1] spans the image's edges."""
        return self.decode(self.logits(images))

    def logits(self, images: Tensor) -> Tensor:
        """Images (B, C, S, S) -> the head's raw answer; its shape is the head's business."""
        logits: Tensor = self.head(self.body(images))
        return logits

    def decode(self, logits: Tensor) -> Tensor:
        """Logits -> points (B, P, 2)."""
        return self.head.decode(logits)

    def divergence(self, logits: Tensor, points: Tensor) -> Tensor:
        """How far the head's distribution is from a narrow one around `points` (B, P, 2): a scalar of at least 0.

        Zero for the direct head, at most ln 2 for heatmaps, unbounded for bins (about 3 before training); see
        `models.heads`.
        """
        return self.head.divergence(logits, points)
