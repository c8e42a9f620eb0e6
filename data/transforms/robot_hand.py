"""Packed colour and depth pictures as a network's input: decoded, resampled, normalised, changed at random."""

from dataclasses import dataclass

import torch
from torch import Tensor

from data.layouts.robot_hand import COLOURS, VIEWS
from data.transforms.augment import LUMA, RobotAugment
from data.transforms.constants import constant
from data.transforms.warp import resized


@dataclass(frozen=True)
class Norm:
    """What inputs are normalised by, all measured on the training part.

    Attributes:
        mean: Of each of the nine colour channels, on 0..1, float32 (9,).
        std: Likewise.
        nearest: The smallest depth of all cameras, millimetres.
        farthest: The largest.
        low: What the smallest depth becomes, 0 or -1; the largest becomes 1.
    """

    mean: Tensor
    std: Tensor
    nearest: float
    farthest: float
    low: float


def planes(images: Tensor) -> Tensor:
    """Packed pictures, uint8 (B, L, L, 18), as float32 (B, 12, L, L): colours on 0..1, then millimetres."""
    colours = images[..., :COLOURS].permute(0, 3, 1, 2).float() / 255
    high, middle, low = (images[..., first::3].permute(0, 3, 1, 2).float() for first in range(COLOURS, COLOURS + 3))
    depth = high * 256 + middle + low / 256  # exact: 24 bits
    return torch.cat([colours, depth], 1)


def packed(images: Tensor) -> Tensor:
    """The inverse of `planes`, rounded: colours to 1/255, depths to 1/256 mm."""
    colours = (images[:, :COLOURS] * 255).round().clamp(0, 255).to(torch.uint8)
    value = (images[:, COLOURS:].double() * 256).round().long().clamp(0, (1 << 24) - 1)
    layers = torch.stack([value >> 16, value >> 8 & 255, value & 255], 2).flatten(1, 2).to(torch.uint8)
    return torch.cat([colours, layers], 1).permute(0, 2, 3, 1)


@torch.no_grad()
def prepared(
    images: Tensor, size: int, norm: Norm, how: RobotAugment | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """A batch as the network sees it.

    Args:
        images: Packed, uint8 (B, L, L, 18).
        size: Side of the network's input, pixels.
        norm: What it is normalised by.
        how: How far it is changed; None for not at all.
        generator: The only source of randomness; needed with `how`.

    Returns:
        float32 (B, 12, size, size): nine channels of colour, then three of depth.
    """
    with torch.autocast(images.device.type, enabled=False):
        seen = resized(planes(images), size)
        colours, depth = seen[:, :COLOURS], seen[:, COLOURS:]
        if how is not None and how.colour:
            colours = _jittered(colours, how.colour, generator)
        mean, std = (constant(tuple(v.tolist()), seen.device)[:, None, None] for v in (norm.mean, norm.std))
        scale = (1 - norm.low) / max(norm.farthest - norm.nearest, 1e-6)
        depth = (depth - norm.nearest) * scale + norm.low
        if how is not None and how.depth_dropout:
            draws = _random(depth.shape, generator, depth.device)
            depth = torch.where(draws < how.depth_dropout, norm.low, depth)
        return torch.cat([(colours - mean) / std, depth], 1)


def _jittered(colours: Tensor, most: float, generator: torch.Generator | None) -> Tensor:
    """Brightness, contrast and saturation of each camera's picture changed; nothing is clipped."""
    views = colours.reshape(len(colours), VIEWS, 3, *colours.shape[2:])
    draws = 1 + most * (_random((len(views), VIEWS, 3), generator, views.device) * 2 - 1)
    bright, contrast, saturation = draws[..., None, None, None].unbind(2)
    luma = constant(LUMA, views.device)[:, None, None]
    grey = (views * luma).sum(2, keepdim=True)
    level = grey.mean((3, 4), keepdim=True)
    changed = level + contrast * (grey + saturation * (views - grey) - level)
    result: Tensor = (bright * changed).flatten(1, 2)
    return result


def _random(shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Tensor:
    source = generator.device if generator is not None else device
    return torch.rand(shape, generator=generator, device=source).to(device)
