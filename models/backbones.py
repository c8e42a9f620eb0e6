"""The networks of `models.bodies.Body` and `models.regnet.RegNet`: timm's, with a head for numbers or for heatmaps."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import timm
import torch
from torch import Tensor, nn

from models.config import BodyConfig
from models.heads import Pooled
from models.network import Net

MAPS_STD = 0.001
"""Of the weights of transposed convolutions and heatmaps, normal around 0 (Xiao et al. 2018, their code)."""
CELL = 4
"""Pixels of the input that a heatmap's cell is wide and high."""


def build(arch: BodyConfig) -> Net:
    """The network of a `Body` with fresh weights, drawn from torch's global generator.

    Raises:
        ValueError: as `Body.build`.
    """
    if not timm.is_model(arch.name):
        near = get_close_matches(arch.name, timm.list_models(), 5) or timm.list_models(f"*{arch.name[:4]}*")[:5]
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise ValueError(f"Body.name is {arch.name!r}, which timm {timm.__version__} does not know{hint}")
    if arch.head == "linear" and not arch.upsample:
        body = _create(arch, num_classes=0)
        return Net(arch, body, Pooled(body.head_hidden_size, arch.outputs, pool=False))
    body = _features(arch)
    width = body.feature_info.channels()[-1]
    steps = [transposed(arch.deconv if i else width, arch.deconv) for i in range(arch.upsample)]
    width = arch.deconv if steps else width
    head = Maps(width, arch.outputs) if arch.head == "heatmap" else Pooled(width, arch.outputs, pool=True)
    return Net(arch, body, head, nn.Sequential(*steps))


def _features(arch: BodyConfig) -> Any:
    """Timm's network up to the one map that is read."""
    if arch.parallel:
        body = _create(arch, features_only=True, feature_location="", out_indices=(1,))
        last = body.stage4[-1]
        last.fuse_layers = last.fuse_layers[:1]  # nobody reads the coarser ones
        return body
    body = _create(arch, features_only=True, out_indices=(-1,))
    if body.feature_info.reduction()[-1] != 32 or getattr(body, "output_fmt", "NCHW") != "NCHW":
        raise ValueError(f"Body.upsample is {arch.upsample}, but {arch.name} does not end in maps of a 32nd: 0")
    return body


def _create(arch: BodyConfig, **options: Any) -> Any:
    """Timm's network, which need not take a drop path."""
    if arch.drop_path:
        options["drop_path_rate"] = arch.drop_path
    try:
        return timm.create_model(arch.name, in_chans=arch.channels, **options)
    except TypeError as error:
        if arch.drop_path and "drop_path_rate" in str(error):
            raise ValueError(f"Body.drop_path is {arch.drop_path}, but timm's {arch.name} has none: 0") from error
        raise


def transposed(channels: int, out: int) -> nn.Sequential:
    """Twice the resolution: a transposed convolution, BatchNorm, ReLU (Xiao et al. 2018, section 2)."""
    conv = nn.ConvTranspose2d(channels, out, 4, 2, padding=1, bias=False)
    nn.init.normal_(conv.weight, std=MAPS_STD)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU(inplace=True))


class Maps(nn.Module):
    """One heatmap an output: (B, C, h, w) -> (B, outputs, h, w)."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.maps = nn.Conv2d(channels, outputs, 1)
        nn.init.normal_(self.maps.weight, std=MAPS_STD)
        nn.init.zeros_(self.maps.get_parameter("bias"))

    def forward(self, features: Tensor) -> Tensor:
        """Features -> heatmaps; row is y, column is x."""
        maps: Tensor = self.maps(features)
        return maps

    def decode(self, logits: Tensor) -> Tensor:
        """Heatmaps (B, P, h, w) -> (B, P, 3); see `peaks`."""
        return peaks(logits)


def peaks(maps: Tensor) -> Tensor:
    """Where the largest value of each heatmap stands, and how large it is, in float32 at least.

    The place is the centre of the cell, a quarter of a cell nearer to the larger of its neighbours along each axis
    (Newell et al. 2016, section 3.3; Xiao et al. 2018); in the outermost rows and columns the centre.

    Args:
        maps: (B, P, h, w), h and w at least 2.

    Returns:
        (B, P, 3): x and y as fractions of the map's sides, [0, 1] spanning its edges, and the value.
    """
    height, width = maps.shape[-2:]
    flat = maps.flatten(2)
    flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
    at = flat.argmax(-1, keepdim=True)
    places = []
    for cell, count, step in ((at % width, width, 1), (at // width, height, width)):
        inside = (cell > 0) & (cell < count - 1)
        step_in = inside * step  # 0 at the edge: both neighbours are the cell itself
        slope = flat.gather(-1, at + step_in) - flat.gather(-1, at - step_in)
        places.append((cell + 0.5 + 0.25 * slope.sign()) / count)
    return torch.cat([*places, flat.amax(-1, keepdim=True)], dim=-1)
