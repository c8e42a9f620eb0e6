"""The networks of `models.net.Arch`: a table of inverted residuals, and one of three heads."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from models.config import MobileNetConfig
from models.heads import Direct, Heatmap, SimCC
from models.network import Activation, Branched, ConvNormAct, Net, SqueezeExcite


class Row(NamedTuple):
    """A stage; only the first of `repeats` blocks has the stride."""

    expand: float
    channels: int
    repeats: int
    stride: int
    squeeze: bool
    act: Activation


LATE = 16  # total stride from which a stage counts as late
# MobileNetV3-small (Howard et al. 2019, table 2), but for its kernels: 3 before stride 16, then 5. The last stage's
# stride becomes 1 for a total stride of 16.
TABLE = (
    Row(1.00, 16, 1, 2, True, nn.ReLU),
    Row(4.50, 24, 1, 2, False, nn.ReLU),
    Row(3.67, 24, 1, 1, False, nn.ReLU),
    Row(4.00, 40, 1, 2, True, nn.Hardswish),
    Row(6.00, 40, 2, 1, True, nn.Hardswish),
    Row(3.00, 48, 2, 1, True, nn.Hardswish),
    Row(6.00, 96, 3, 2, True, nn.Hardswish),
)


def _even(channels: float) -> int:
    """The nearest even number, 2 at least; the next one up where that is below nine tenths."""
    even = max(2, int(channels + 1) // 2 * 2)
    return even if even >= 0.9 * channels else even + 2


ACTIVATIONS: dict[str, Activation] = {"relu": nn.ReLU, "hardswish": nn.Hardswish, "silu": nn.SiLU}


def _conv(
    channels: int,
    out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    act: Activation | None = None,
    branches: int = 0,
) -> ConvNormAct | Branched:
    """A convolution of the body."""
    if branches:
        return Branched(channels, out, kernel, stride, groups, act, branches)
    return ConvNormAct(channels, out, kernel, stride, groups, act)


class Grey(nn.Module):
    """The mean of an image's channels."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, H, W)."""
        return images.mean(1, keepdim=True)


class Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): expand, depthwise, squeeze-excitation, project, add.

    timm's own block rounds the hidden channels to eights; this one takes them as they are.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        out: int,
        kernel: int,
        stride: int,
        squeeze: float,
        act: Activation,
        branches: int = 0,
    ) -> None:
        super().__init__()
        self.skip = stride == 1 and channels == out
        wide = hidden != channels
        self.expand = _conv(channels, hidden, 1, act=act, branches=branches) if wide else nn.Identity()
        self.depthwise = _conv(hidden, hidden, kernel, stride, hidden, act, branches)
        self.squeeze = SqueezeExcite(hidden, _even(hidden * squeeze)) if squeeze else nn.Identity()
        self.project = _conv(hidden, out, 1, branches=branches)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, ceil(h / stride), ceil(w / stride))."""
        y: Tensor = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + y if self.skip else y


def _body(arch: MobileNetConfig) -> tuple[nn.Sequential, int, int]:
    """The body, the number of its output channels, and its total stride."""
    same, count, total = ACTIVATIONS.get(arch.act), arch.branches, arch.stem_stride
    ends = same or nn.Hardswish
    channels = _even(arch.stem * arch.width)
    # Without branches: torch 2.15 on CPUs crashes in the backward pass of 3 channels, 1 x 1, stride 2, channels last.
    seen = 1 if arch.grey else arch.channels
    layers: list[nn.Module] = [ConvNormAct(seen, channels, arch.stem_kernel, total, act=ends)]
    for row in TABLE[: arch.stages]:
        stride = row.stride if total * row.stride <= arch.stride else 1
        total *= stride
        out = _even(row.channels * arch.width)
        kernel = arch.kernel if total >= LATE else arch.early_kernel
        for i in range(max(1, round(row.repeats * arch.depth))):
            expand = max(1.0, row.expand * arch.expansion)
            hidden = _even(channels * expand) if expand > 1 else channels
            squeeze = arch.squeeze if row.squeeze else 0.0
            act = same or row.act
            layers.append(Block(channels, hidden, out, kernel, 1 if i else stride, squeeze, act, count))
            channels = out
    if arch.neck:
        out = _even(arch.neck * arch.width)
        layers.append(_conv(channels, out, 1, act=ends, branches=count))
        channels = out
    return nn.Sequential(*([Grey()] if arch.grey else []), *layers), channels, total


def _head(arch: MobileNetConfig, channels: int, stride: int) -> Direct | Heatmap | SimCC:
    side = -(-arch.size // stride)
    if arch.head == "direct":
        return Direct(channels, arch.points, 0 if arch.pooled else side * side)
    if arch.head == "heatmap":
        width = _even(arch.deconv * arch.width)
        return Heatmap(channels, arch.points, arch.size / stride, width, arch.upsample, arch.separable)
    return SimCC(channels, arch.points, side, arch.size * arch.split)


def build(arch: MobileNetConfig) -> Net:
    """The network of an `Arch` with fresh weights, drawn from torch's global generator."""
    body, channels, stride = _body(arch)
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            # fan-out, as in MobileNet; a depthwise kernel's fan is its own area
            nn.init.normal_(module.weight, std=(2 * module.groups / module.weight[:, 0].numel()) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return Net(arch, body, _head(arch, channels, stride))
