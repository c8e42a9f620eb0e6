"""The networks of `models.net.Arch`: a table of inverted residuals, and one of three heads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from models.config import MobileNetConfig
from models.heads import Direct, Heatmap, SimCC
from models.network import Branched, ConvNormAct, Net, SqueezeExcite
from models.table import LATE, TABLE, even

Layer = partial[Any]
"""A layer that is yet to be made: its class, and what it is made with."""

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "hardswish": nn.Hardswish, "silu": nn.SiLU}


class Grey(nn.Module):
    """The mean of an image's channels."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, H, W)."""
        return images.mean(1, keepdim=True)


class Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): expand, depthwise, squeeze-excitation, project, add.

    timm's own block rounds the hidden channels to eights; this one takes them as they are.

    Args:
        channels: of the input.
        hidden: channels of the depthwise convolution; as many as the input has, and nothing expands.
        out: channels of the output.
        kernel: side of the depthwise kernel.
        stride: of the depthwise convolution.
        squeeze: squeeze-excitation's hidden channels per channel, 0 for none.
        act: activation.
        conv: makes the three convolutions.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        out: int,
        kernel: int,
        stride: int,
        squeeze: float,
        act: type[nn.Module],
        conv: Callable[..., nn.Module] = ConvNormAct,
    ) -> None:
        super().__init__()
        self.skip = stride == 1 and channels == out
        self.expand = conv(channels, hidden, 1, act=act) if hidden != channels else nn.Identity()
        self.depthwise = conv(hidden, hidden, kernel, stride, hidden, act)
        self.squeeze = SqueezeExcite(hidden, even(hidden * squeeze)) if squeeze else nn.Identity()
        self.project = conv(hidden, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, ceil(h / stride), ceil(w / stride))."""
        y: Tensor = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + y if self.skip else y


def body_layers(arch: MobileNetConfig) -> tuple[list[Layer], int, int]:
    """The body's layers in a row, the number of its output channels, and its total stride."""
    same, total = ACTIVATIONS.get(arch.act), arch.stem_stride
    ends = same or nn.Hardswish
    channels = even(arch.stem * arch.width)
    # Without branches: torch 2.15 on CPUs crashes in the backward pass of 3 channels, 1 x 1, stride 2, channels last.
    seen = 1 if arch.grey else arch.channels
    layers: list[Layer] = [partial(Grey)] if arch.grey else []
    layers.append(partial(ConvNormAct, seen, channels, kernel=arch.stem_kernel, stride=total, act=ends))
    branched: dict[str, Any] = {"conv": partial(Branched, count=arch.branches)} if arch.branches else {}
    for row in TABLE[: arch.stages]:
        stride = row.stride if total * row.stride <= arch.stride else 1
        total *= stride
        out = even(row.channels * arch.width)
        kernel = arch.kernel if total >= LATE else arch.early_kernel
        for i in range(max(1, round(row.repeats * arch.depth))):
            expand = max(1.0, row.expand * arch.expansion)
            hidden = even(channels * expand) if expand > 1 else channels
            shape: dict[str, Any] = {
                "kernel": kernel,
                "stride": 1 if i else stride,
                "squeeze": arch.squeeze if row.squeeze else 0.0,
            }
            act = same or ACTIVATIONS[row.act]
            layers.append(partial(Block, channels, hidden, out, **shape, act=act, **branched))
            channels = out
    if arch.neck:
        out = even(arch.neck * arch.width)
        layers.append(partial(branched.get("conv", ConvNormAct), channels, out, kernel=1, act=ends))
        channels = out
    return layers, channels, total


def head_layer(arch: MobileNetConfig, channels: int, stride: int) -> Layer:
    """The head on features of so many channels and such a total stride."""
    side = -(-arch.size // stride)
    if arch.head == "direct":
        return partial(Direct, channels, arch.points, cells=0 if arch.pooled else side * side)
    if arch.head == "heatmap":
        return partial(
            Heatmap,
            channels,
            arch.points,
            span=arch.size / stride,
            width=even(arch.deconv * arch.width),
            upsample=arch.upsample,
            separable=arch.separable,
        )
    return partial(SimCC, channels, arch.points, side=side, span=arch.size * arch.split)


def draw_(body: nn.Module) -> None:
    """Fresh weights for a body's convolutions: normal by fan-out, as in MobileNet; biases are 0."""
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            # a depthwise kernel's fan is its own area
            nn.init.normal_(module.weight, std=(2 * module.groups / module.weight[:, 0].numel()) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def build(arch: MobileNetConfig) -> Net:
    """The network of an `Arch` with fresh weights, drawn from torch's global generator."""
    layers, channels, stride = body_layers(arch)
    body = nn.Sequential(*(layer() for layer in layers))
    draw_(body)
    return Net(arch, body, head_layer(arch, channels, stride)())
