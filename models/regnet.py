"""The RegNet design space: a few numbers from which the widths and depths of a whole network follow."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.checks import check_head, check_ranges, sides

if TYPE_CHECKING:
    from models.network import Net

STAGES = 4
"""Of every RegNet; the paper keeps to it (section 3.2), and so does timm."""


class Stages(NamedTuple):
    """The four stages that follow from the numbers."""

    widths: tuple[int, ...]  # channels of each stage's blocks
    depths: tuple[int, ...]  # blocks of each stage
    groups: tuple[int, ...]  # channels in a group of the 3 x 3 convolutions


@dataclass(frozen=True)
class RegNet:
    """A network of the design space (Radosavovic et al. 2020, section 3.3, https://arxiv.org/abs/2003.13678).

    Block j is w0 + wa j wide, rounded to the nearest w0 wm^k (k whole), then to a multiple of 8; equal neighbours are
    a stage, and each stage is made divisible by its group. The paper's RegNetX-200MF is
    `RegNet(13, 24, 36.44, 2.49, 8, 0, 1000, 224)`.

    Attributes:
        depth: d, blocks in all, 4 to 64.
        w0: width of the first block, 8 to 1024 by eights.
        wa: slope of the widths, 0 to 1024.
        wm: step from one stage's width to the next's, above 1 to 8; the paper searches 1.5 to 3.
        group: g, channels in a group, 1 to 1024.
        se: hidden channels of squeeze-excitation per channel of the block's input, 0 to 1: RegNetX has none, RegNetY
            0.25.
        outputs: numbers or classes, 1 to 100,000.
        size: of the input in pixels, (height, width) or one number for both, 32 to 1024.
        channels: of the input, 1 to 1024.
        drop_path: rate of stochastic depth at the last block, 0 up to but without 1.
        bottle: width of the 3 x 3 convolutions per width of the block, 0.125 to 4.

    Raises:
        ValueError: a value is out of its range, or the numbers give no four stages.
    """

    depth: int
    w0: int
    wa: float
    wm: float
    group: int
    se: float
    outputs: int
    size: int | tuple[int, int]
    channels: int = 3
    drop_path: float = 0.0
    bottle: float = 1.0

    def __post_init__(self) -> None:
        check_head(self)
        check_ranges(self, depth=(STAGES, 64), w0=(8, 1024), group=(1, 1024))
        check_ranges(self, wa=(0.0, 1024.0), se=(0.0, 1.0), bottle=(0.125, 4.0))
        if self.w0 % 8:
            raise ValueError(f"RegNet.w0 is {self.w0}, but must be a multiple of 8")
        if not 1 < self.wm <= 8:
            raise ValueError(f"RegNet.wm is {self.wm}, but must be above 1 and at most 8")
        if (count := stage_count(self.depth, self.w0, self.wa, self.wm)) != STAGES:
            numbers = f"depth {self.depth}, w0 {self.w0}, wa {self.wa:g} and wm {self.wm:g}"
            raise ValueError(f"RegNet of {numbers} has {count} stages, but must have {STAGES}")

    @property
    def stages(self) -> Stages:
        """Its widths, depths and groups."""
        widths, depths, groups = [], [], []
        for width, same in groupby(_block_widths(self.depth, self.w0, self.wa, self.wm)):
            inner = int(width * self.bottle)
            group = min(self.group, inner)
            inner = round(inner / group) * group  # of the 3 x 3 convolutions: whole groups
            widths.append(int(inner / self.bottle))
            depths.append(len(list(same)))
            groups.append(group)
        return Stages(tuple(widths), tuple(depths), tuple(groups))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return (self.channels, *sides(self.size))

    def build(self) -> Net:
        """The network with fresh weights, drawn from torch's global generator."""
        from timm.models.regnet import RegNet as Backbone
        from timm.models.regnet import RegNetCfg

        from models.heads import Pooled
        from models.network import Net

        config = RegNetCfg(self.depth, self.w0, self.wa, self.wm, self.group, self.bottle, self.se)
        body = Backbone(config, in_chans=self.channels, num_classes=0, drop_path_rate=self.drop_path)
        return Net(self, body, Pooled(body.head_hidden_size, self.outputs, pool=False))


def _block_widths(depth: int, w0: int, wa: float, wm: float) -> list[int]:
    """The width of each block by equations 2 to 4 of the paper, in float32 as timm computes it."""
    linear = np.arange(depth, dtype=np.float32) * np.float32(wa) + np.float32(w0)
    powers = np.round(np.log(linear / np.float32(w0)) / np.float32(np.log(wm)))
    widths: list[int] = (np.round(w0 * np.power(np.float32(wm), powers) / 8) * 8).astype(int).tolist()
    return widths


def stage_count(depth: int, w0: int, wa: float, wm: float) -> int:
    """How many stages the numbers give; a `RegNet` needs four."""
    return len(set(_block_widths(depth, w0, wa, wm)))
