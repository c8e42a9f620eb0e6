"""What a network of `models.mobilenet` costs, by a formula: 0.1 ms, where counting its operators takes 0.1 s.

It is what `models.cost` counts of the folded network (tests/models/test_formula.py), so that thousands of candidates
are priced exactly before one of them is built. Needs no torch.
"""

from __future__ import annotations

from models.config import MobileNetConfig
from models.table import LATE, TABLE, even


class _Sum:
    """Parameters and multiply-adds so far."""

    def __init__(self) -> None:
        self.params = self.flops = 0

    def conv(self, channels: int, out: int, kernel: int, cells: int, groups: int = 1, bias: bool = True) -> None:
        """A convolution whose kernel is applied at `cells` places; its bias, or BatchNorm's, costs no product."""
        weights = out * channels // groups * kernel * kernel
        self.params += weights + (out if bias else 0)
        self.flops += weights * cells


def totals(arch: MobileNetConfig) -> tuple[int, int]:
    """Parameters and multiply-adds of the deployed network."""
    total = _Sum()
    channels, side, stride = _body(arch, total)
    points, cells = arch.points, side * side
    if arch.head == "direct":
        if arch.pooled:
            total.flops += channels * cells  # fvcore's, of average pooling
        total.conv(channels if arch.pooled else channels * cells, 2 * points, 1, 1)
        return total.params, total.flops
    if arch.head == "heatmap":
        span = _heatmap(arch, total, channels, side, stride)
    else:
        span = arch.size * arch.split
        bins = 2 * (round(span) + 2)
        total.conv(channels, points, 1, cells)
        total.params += cells * bins + bins
        total.flops += points * cells * bins
    total.flops += points * 2 * (round(span) + 2)  # expectations
    return total.params, total.flops


def _body(arch: MobileNetConfig, total: _Sum) -> tuple[int, int, int]:
    """Adds the body's; its channels, the side of its maps and its stride."""
    channels, stride, side = even(arch.stem * arch.width), arch.stem_stride, -(-arch.size // arch.stem_stride)
    total.conv(1 if arch.grey else arch.channels, channels, arch.stem_kernel, side * side)
    for row in TABLE[: arch.stages]:
        step = row.stride if stride * row.stride <= arch.stride else 1
        stride *= step
        out, kernel = even(row.channels * arch.width), arch.kernel if stride >= LATE else arch.early_kernel
        expand = max(1.0, row.expand * arch.expansion)
        for _ in range(max(1, round(row.repeats * arch.depth))):
            hidden = even(channels * expand) if expand > 1 else channels
            if hidden != channels:
                total.conv(channels, hidden, 1, side * side)
            side, step = -(-side // step), 1
            total.conv(hidden, hidden, kernel, side * side, hidden)
            if row.squeeze and arch.squeeze:
                squeezed = even(hidden * arch.squeeze)
                total.conv(hidden, squeezed, 1, 1)
                total.conv(squeezed, hidden, 1, 1)
            total.conv(hidden, out, 1, side * side)
            channels = out
    if arch.neck:
        out = even(arch.neck * arch.width)
        total.conv(channels, out, 1, side * side)
        channels = out
    return channels, side, stride


def _heatmap(arch: MobileNetConfig, total: _Sum, channels: int, side: int, stride: int) -> float:
    """Adds the head's convolutions; how many cells the image is wide."""
    width, steps = even(arch.deconv * arch.width), max(1, arch.upsample)
    for step in range(steps):
        if arch.separable:
            total.conv(channels, width, 1, side * side)
            channels = width
        groups, ring = width if arch.separable else 1, 2 * (step == steps - 1)
        after = (2 * side if arch.upsample else side) + ring
        # fvcore counts a transposed convolution at the cells that it reads
        total.conv(channels, width, 4 if arch.upsample else 3, (side if arch.upsample else after) ** 2, groups)
        channels, side = width, after
    span = arch.size / stride * 2**arch.upsample
    total.conv(width, arch.points, 1, min(side, round(span) + 2) ** 2)
    return float(span)
