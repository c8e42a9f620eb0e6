"""Three ways from a feature map to points: coordinates, heatmaps, and bins along each axis.

A head is a module with three methods: `forward` turns features (B, C, h, w) into raw logits, `decode` turns logits
into points (B, P, 2) in order (x, y), and `divergence` says how far the predicted distribution is from a narrow one
around the true points. Points are normalised: [0, 1] spans the image's edges. They may lie outside it.

Heads that answer by an expectation do so over cells whose centres are (i + 0.5) / span. `span` is the number of
cells that the image is wide. It is a fraction when the input is no multiple of the stride, since a cell always
covers `stride` pixels (the map then reaches past the image). Besides the cells inside (0 ... m - 1, m = round(span))
there is one more on either side (-1 and m): an expectation over inner cells alone could not come closer to an edge
than half a cell.

Expectations and divergences are computed in float32 (or float64), under autocast too.
"""

from __future__ import annotations

import math

import torch
import torch.fx
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from models.network import ConvNormAct

LINEAR_STD = 0.01
"""Of a linear head's weights, normal around 0 (Goyal et al. 2017, section 5.1); its bias is 0."""
SIGMA = 1.0  # of a target heatmap, in cells (Nibali et al. 2018, section 4.2)
BIN_SIGMA = 0.0125  # of target bins, in image sides: about 5.7 bins of 448 (Li et al. 2022, as tuned in RTMPose)


def centres(span: float, like: Tensor) -> Tensor:
    """Centres of the cells -1, 0, ..., round(span) in normalised coordinates, shape (round(span) + 2,).

    They are computed, not stored, so that a network holds nothing but its parameters.
    """
    cells = torch.arange(-1, round(span) + 1, dtype=_wide(like.dtype), device=like.device)
    return (cells + 0.5) / span


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


@torch.fx.wrap
def expectation(probability: Tensor, span: float) -> Tensor:
    """Mean position of distributions over cells, (..., round(span) + 2) -> (...).

    It is a matrix product so that it is counted; autocast, which would round it to bfloat16, is off.
    """
    with torch.autocast(probability.device.type, enabled=False):
        return F.linear(probability, centres(span, probability).unsqueeze(0)).squeeze(-1)


def log_normal(points: Tensor, span: float, sigma: float) -> Tensor:
    """Log of a Gaussian around each coordinate, normalised over the cells: (...) -> (..., round(span) + 2).

    Finite also for a coordinate outside the cells: the outermost cell then takes all.

    Args:
        points: normalised coordinates.
        span: cells that the image is wide.
        sigma: standard deviation in cells.
    """
    points = points.to(_wide(points.dtype))
    distance = (points.unsqueeze(-1) - centres(span, points)) * span
    return (-0.5 * (distance / sigma) ** 2).log_softmax(-1)


class Pooled(nn.Module):
    """Numbers by one linear layer: (B, C), or (B, C, h, w) that is averaged first, -> (B, outputs)."""

    def __init__(self, channels: int, outputs: int, pool: bool) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1) if pool else nn.Identity()
        self.linear = nn.Linear(channels, outputs)
        nn.init.normal_(self.linear.weight, std=LINEAR_STD)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features -> (B, outputs)."""
        numbers: Tensor = self.linear(self.pool(features).flatten(1))
        return numbers

    def decode(self, logits: Tensor) -> Tensor:
        """The same numbers."""
        return logits


class Direct(Pooled):
    """Coordinates by one linear layer; logits (B, 2P).

    Args:
        channels: channels of the features.
        points: P.
        cells: of the features that it reads one by one; 0 reads their mean instead.
    """

    def __init__(self, channels: int, points: int, cells: int = 0) -> None:
        super().__init__(channels * max(1, cells), 2 * points, pool=not cells)
        self.points = points
        nn.init.constant_(self.linear.bias, 0.5)  # the image's middle

    def decode(self, logits: Tensor) -> Tensor:
        """Logits (B, 2P) -> points (B, P, 2)."""
        return logits.to(_wide(logits.dtype)).reshape(-1, self.points, 2)

    def divergence(self, logits: Tensor, points: Tensor) -> Tensor:  # noqa: ARG002 - every head is called alike
        """Zero: coordinates are no distribution."""
        return torch.zeros((), dtype=_wide(logits.dtype), device=logits.device)


def _step(channels: int, out: int, upsample: bool, ring: bool, separable: bool) -> nn.Sequential:
    """Twice the resolution by a transposed convolution (or the same by a convolution), BatchNorm and ReLU.

    With `ring` the answer has one cell more on every side: the padding is a cell less, nothing else changes.
    """
    layers: list[nn.Module] = []
    if separable:
        layers.append(ConvNormAct(channels, out, 1, act=nn.ReLU))
        channels = out
    groups = out if separable else 1
    if upsample:
        layers.append(nn.ConvTranspose2d(channels, out, 4, 2, padding=0 if ring else 1, groups=groups, bias=False))
    else:
        layers.append(nn.Conv2d(channels, out, 3, padding=2 if ring else 1, groups=groups, bias=False))
    return nn.Sequential(*layers, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


class Heatmap(nn.Module):
    """One small heatmap a point, decoded by soft-argmax (Nibali et al. 2018); logits (B, P, m + 2, m + 2).

    Transposed convolutions as in Xiao et al. 2018 (Simple Baselines), dense or separable (pointwise, then depthwise).

    Args:
        channels: channels of the features.
        points: P.
        span: cells that the image is wide before upsampling.
        width: channels of the hidden layers.
        upsample: number of doublings; with 0 a 3 x 3 convolution takes their place.
        separable: depthwise instead of dense (transposed) convolutions.
    """

    def __init__(self, channels: int, points: int, span: float, width: int, upsample: int, separable: bool) -> None:
        super().__init__()
        self.span = span * 2**upsample
        steps = max(1, upsample)
        self.steps = nn.Sequential(
            *(_step(width if i else channels, width, upsample > 0, i == steps - 1, separable) for i in range(steps))
        )
        self.maps = nn.Conv2d(width, points, 1)
        nn.init.normal_(self.maps.weight, std=0.01)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) -> logits (B, P, m + 2, m + 2); row is y, column is x."""
        cells = round(self.span) + 2
        maps: Tensor = self.maps(self.steps(features)[:, :, :cells, :cells])
        return maps

    def decode(self, logits: Tensor) -> Tensor:
        """Logits (B, P, m + 2, m + 2) -> points (B, P, 2), each the mean of its heatmap."""
        wide = logits.to(_wide(logits.dtype))
        heat = wide.flatten(2).softmax(-1).reshape(wide.shape)
        points: Tensor = expectation(torch.stack([heat.sum(2), heat.sum(3)], dim=2), self.span)
        return points

    def divergence(self, logits: Tensor, points: Tensor) -> Tensor:
        """Jensen-Shannon divergence to a Gaussian of one cell's width around each point, mean over batch and points.

        Between 0 and ln 2 = 0.69; 0.25 to 0.43 for untrained networks at 64 px. (DSNT, Nibali et al. 2018, equation 9.)
        """
        p = logits.to(_wide(logits.dtype)).flatten(2).log_softmax(-1)
        axes = log_normal(points, self.span, SIGMA)
        q = (axes[:, :, 1, :, None] + axes[:, :, 0, None, :]).flatten(2)
        middle = torch.logaddexp(p, q) - math.log(2)
        return 0.5 * (p.exp() * (p - middle) + q.exp() * (q - middle)).sum(-1).mean()


class SimCC(nn.Module):
    """One distribution over bins a point and axis (Li et al. 2022, SimCC); logits (B, P, 2, m + 2).

    A 1 x 1 convolution makes one map a point, and one linear layer, shared by the points, turns the flattened map
    into both axes' bins.

    Args:
        channels: channels of the features.
        points: P.
        side: side of the feature map.
        span: bins that the image is wide.
    """

    def __init__(self, channels: int, points: int, side: int, span: float) -> None:
        super().__init__()
        self.points = points
        self.span = span
        self.maps = nn.Conv2d(channels, points, 1)
        self.bins = nn.Linear(side * side, 2 * (round(span) + 2))
        # logits of about 1: far smaller ones leave the body almost without gradient
        nn.init.normal_(self.bins.weight, std=self.bins.in_features**-0.5)
        nn.init.zeros_(self.bins.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) -> logits (B, P, 2, m + 2); axis 0 is x."""
        bins: Tensor = self.bins(self.maps(features).flatten(2))
        return bins.reshape(-1, self.points, 2, round(self.span) + 2)

    def decode(self, logits: Tensor) -> Tensor:
        """Logits (B, P, 2, m + 2) -> points (B, P, 2), each the mean of its bins."""
        points: Tensor = expectation(logits.to(_wide(logits.dtype)).softmax(-1), self.span)
        return points

    def divergence(self, logits: Tensor, points: Tensor) -> Tensor:
        """Kullback-Leibler divergence from a Gaussian around each coordinate, mean over batch, points and axes.

        The Gaussian's deviation is `BIN_SIGMA` of the image's side and at least a bin. 0 is best; an untrained
        network has the entropy that the Gaussian lacks, ln(0.242 span / sigma): 3 for 224 bins.
        """
        p = logits.to(_wide(logits.dtype)).log_softmax(-1)
        q = log_normal(points, self.span, max(1.0, BIN_SIGMA * self.span))
        return (q.exp() * (q - p)).sum(-1).mean()
