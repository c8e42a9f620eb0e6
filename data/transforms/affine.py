"""`Augment` on a batch: mirror, turn, scale, shift, colour, a covered rectangle; points move with the pixels."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from data.transforms.augment import Augment
from data.transforms.constants import constant
from data.transforms.warp import affine, move, warp


@torch.no_grad()
def augment(
    images: Tensor,
    points: Tensor,
    size: int,
    how: Augment,
    generator: torch.Generator,
    mirrored: Sequence[int] | None = None,
    context: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Change a batch at random and cut it to the network's input, in one resampling on the images' device.

    A point is mirrored, turned, scaled about the middle and shifted, in this order; it may leave [0, 1].

    Args:
        images: uint8 (B, L, L, C).
        points: float (B, P, 2), fractions of the side, (x, y).
        size: Side of the network's input in pixels.
        how: How far to go.
        generator: The only source of randomness, on any device (on the images' own it needs no copy).
        mirrored: For each point the one that a mirror shows in its place; None where points keep their order.
        context: Side of the images in crops; points are fractions of a crop.

    Returns:
        Inputs, float32 (B, C, size, size), normalised by `MEAN` and `STD`, and points, float32 (B, P, 2).
    """
    count, channels, device = images.shape[0], images.shape[3], images.device
    # All numbers are always drawn, so that switching one change on or off leaves the others' numbers alone; where
    # points change places the mirror has draws of its own, before all others.
    swaps = None if mirrored is None else torch.rand(count, generator=generator, device=generator.device).to(device)
    draws = torch.rand(count, 13 + channels, generator=generator, device=generator.device).to(device)
    spread = draws * 2 - 1  # -1..1

    flipped = (draws[:, 4] if swaps is None else swaps) < how.flip
    if mirrored is not None:
        points = torch.where(flipped[:, None, None], points[:, constant(tuple(mirrored), device)], points)
    angle = spread[:, 0] * math.radians(how.rotate)
    factor = 1 + spread[:, 1] * how.scale
    mirror = torch.where(flipped, -1.0, 1.0)
    cos, sin = angle.cos() / factor, angle.sin() / factor
    inverse = torch.stack([cos * mirror, sin * mirror, -sin, cos], 1).view(-1, 2, 2)
    maps = affine(inverse, -(inverse * (2 * how.shift * spread[:, None, 2:4])).sum(-1))

    # A covered rectangle: middle, half sides (negative: none) and colour.
    half = torch.where(draws[:, 8:9] < how.erase, 0.05 + 0.15 * draws[:, 9:11], -1.0)
    box = (draws[:, 11:13], half, spread[:, 13:] * 2) if how.erase else None
    seen = warp(images, size, maps, spread[:, 5:8] * how.colour, context, 1 / (1 - how.scale), box=box)
    return seen, move(points, maps)
