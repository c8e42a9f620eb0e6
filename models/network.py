"""What every network here is made of: a body and a head, and the layers that the small ones share.

These are written out because importing timm takes four seconds (torchvision, torch._dynamo, every network of timm's),
and neither counting nor training a small network needs it. Parameters have timm's names.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name


class Net(nn.Module):
    """Images in, points, numbers or heatmaps' peaks out.

    Attributes:
        arch: what it was built from.
        body: the feature extractor, for its weights.
        steps: transposed convolutions before the head, perhaps none.
        head: of `models.heads` or `models.backbones`.
    """

    def __init__(self, arch: Any, body: nn.Module, head: Any, steps: nn.Module | None = None) -> None:
        super().__init__()
        self.arch = arch
        self.body = body
        self.steps = nn.Identity() if steps is None else steps
        self.head = head

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W), normalised -> the decoded output, see `decode`."""
        return self.decode(self.logits(images))

    def logits(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> the head's raw output; its shape is the head's business."""
        features = self.body(images)
        last = features[-1] if isinstance(features, list) else features
        logits: Tensor = self.head(self.steps(last))
        return logits

    def decode(self, logits: Tensor) -> Tensor:
        """Logits -> points (B, P, 2), points with scores (B, P, 3), or numbers (B, outputs).

        Points are in order (x, y); [0, 1] spans the image's edges.
        """
        decoded: Tensor = self.head.decode(logits)
        return decoded

    def divergence(self, logits: Tensor, points: Tensor) -> Tensor:
        """How far the head's distribution is from a narrow one around `points` (B, P, 2): a scalar of at least 0.

        Zero for the direct head, at most ln 2 for heatmaps, unbounded for bins (about 3 before training); see
        `models.heads`. The heads of `models.backbones` have none.
        """
        divergence: Tensor = self.head.divergence(logits, points)
        return divergence


class ConvNormAct(nn.Module):
    """Convolution without bias, BatchNorm, and an activation, in place, if there is one."""

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        act: type[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if kernel % 2 else 0  # an even kernel cuts into patches
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)
        self.act = act(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, ceil(h / stride), ceil(w / stride))."""
        y: Tensor = self.act(self.bn(self.conv(x)))
        return y


class Branched(nn.Module):
    """Convolutions side by side while it is trained, one convolution when it is deployed.

    RepVGG (Ding et al. 2021) has one branch of the full kernel, MobileOne (Vasu et al. 2022) several. Beside them are a
    1 x 1 convolution, and the identity where it fits; each has its own BatchNorm.

    Args:
        count: branches of the full kernel, at least 1; the rest as for `ConvNormAct`.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        act: type[nn.Module] | None = None,
        count: int = 1,
    ) -> None:
        super().__init__()
        sides = [kernel] * count + [1] * (kernel > 1)
        self.branches = nn.ModuleList(ConvNormAct(channels, out, side, stride, groups) for side in sides)
        if stride == 1 and channels == out:
            self.branches.append(nn.BatchNorm2d(out))
        self.act = act(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, ceil(h / stride), ceil(w / stride))."""
        first, *others = [branch(x) for branch in self.branches]
        y: Tensor = self.act(sum(others, first))
        return y

    @torch.no_grad()
    def merged(self) -> ConvNormAct:
        """One convolution that gives the same answers in evaluation mode, its BatchNorm within."""
        first: Any = self.branches[0]
        conv = first.conv
        weights, biases = zip(*(_as_kernel(branch, conv) for branch in self.branches), strict=True)
        sizes = conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0], conv.groups
        made: Any = ConvNormAct(*sizes).to(conv.weight.device, conv.weight.dtype)
        made.conv.weight = nn.Parameter(sum(weights).to(conv.weight.dtype))
        made.conv.bias = nn.Parameter(sum(biases).to(conv.weight.dtype))
        made.bn, made.act = nn.Identity(), self.act
        folded: ConvNormAct = made.train(self.training)
        return folded


def _as_kernel(branch: Any, conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a branch with its BatchNorm, float64, as a kernel of `conv`'s shape."""
    norm: Any = getattr(branch, "bn", branch)
    if norm is branch:  # the identity
        each = conv.in_channels // conv.groups
        weight = torch.eye(each, dtype=torch.float64, device=conv.weight.device).repeat(conv.groups, 1)[
            :, :, None, None
        ]
    else:
        weight = branch.conv.weight.double()
    side, before = conv.kernel_size[0] - weight.shape[-1], int(conv.padding[0])
    weight = F.pad(weight, (before, side - before) * 2) if side else weight
    scale = (norm.running_var.double() + norm.eps).rsqrt() * norm.weight.double()
    return weight * scale[:, None, None, None], norm.bias.double() - norm.running_mean.double() * scale


class SqueezeExcite(nn.Module):
    """A gate for each channel (Hu et al. 2018), with the hard sigmoid of MobileNetV3."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, hidden, 1)
        self.act1 = nn.ReLU(inplace=True)
        self.conv_expand = nn.Conv2d(hidden, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape."""
        gate: Tensor = self.gate(self.conv_expand(self.act1(self.conv_reduce(x.mean((2, 3), keepdim=True)))))
        return x * gate
