"""`AnimalAugment` on a batch of top-down crops: turns, sizes, half bodies and mirrors in one resampling.

Frames. A crop is the square around an object's box, `margin` times its larger side; points are fractions of its
side. It is packed `CONTEXT` times as wide, so that turns and larger views have something to show. A network of
another shape than square sees the crop in full and more along its longer side: the crop spans the shorter one.
(MMPose widens the box to the input's shape instead; for wide boxes in a high input, most animals, that is the same.)
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from data.transforms.augment import CONTEXT, AnimalAugment, Size, shape
from data.transforms.constants import constant
from data.transforms.warp import affine, move, warp

TURNED = 0.6
"""Probability of a turn, where there are any (Xiao et al. 2018, as in their code)."""
HALF_FROM, HALF_MARGIN = 8, 1.5
"""A half body is cut out where so many points are labelled; its crop is so many times its points' larger extent."""

_LEAST = 0.2  # of a crop: the smallest extent of a half body


@torch.no_grad()
def augment(
    images: Tensor,
    targets: Tensor,
    size: Size,
    how: AnimalAugment,
    generator: torch.Generator,
    mirrored: Sequence[int],
    lower: Sequence[int],
    context: float = CONTEXT,
) -> tuple[Tensor, Tensor]:
    """Change packed crops at random and cut them to the network's input, in one resampling on their device.

    Args:
        images: uint8 (B, L, L, C), `context` crops wide.
        targets: float (B, P, 3), x and y as fractions of the crop, 1 where labelled.
        size: Of the input, a side or (height, width).
        how: How far to go.
        generator: The only source of randomness, on any device.
        mirrored: `partners` of the points.
        lower: The points of the lower half; without any or with all there are no half bodies.
        context: Side of the images in crops.

    Returns:
        Inputs, float32 (B, C, H, W), normalised, and targets in the crop as it is shown now, 0 where a point is not
        labelled or outside the input.
    """
    count, device = len(images), images.device
    # All numbers are always drawn, so that switching one change on or off leaves the others' numbers alone.
    draws = torch.rand(count, 6, generator=generator, device=generator.device).to(device)
    normal = torch.randn(count, 2, generator=generator, device=generator.device).to(device)
    angle = (normal[:, 0] * how.rotate).clamp(-2 * how.rotate, 2 * how.rotate) * (draws[:, 0] < TURNED)
    zoom = 1 + (normal[:, 1] * how.scale).clamp(-how.scale, how.scale)
    middle, extent = _halves(targets, draws[:, 1] < how.half_body, draws[:, 2] < 0.5, lower)
    sign = torch.where(draws[:, 3] < how.flip, -1.0, 1.0)
    cos, sin = (angle * (math.pi / 180)).cos(), (angle * (math.pi / 180)).sin()
    matrix = torch.stack([cos * sign, -sin * sign, sin, cos], 1).view(-1, 2, 2)
    maps = affine(matrix * (zoom * extent)[:, None, None], 2 * middle - 1)
    swapped = torch.where((sign < 0)[:, None, None], targets[:, constant(tuple(mirrored), targets.device)], targets)
    seen = move(swapped[..., :2], maps)
    inside = ((to_input(seen, size) - 0.5).abs() <= 0.5).all(-1)
    change = (2 * draws[:, 4:] - 1) * how.colour  # of brightness and contrast; saturation stays
    shown = warp(images, size, maps, torch.cat([change, torch.zeros_like(change[:, :1])], 1), context)
    return shown, torch.cat([seen, (swapped[..., 2] * inside)[..., None]], -1)


def to_input(points: Tensor, size: Size) -> Tensor:
    """Points (..., 2) as fractions of the crop to fractions of the input's width and height."""
    return (points - 0.5) * _stretch(points, size) + 0.5


def from_input(points: Tensor, size: Size) -> Tensor:
    """The inverse of `to_input`."""
    return (points - 0.5) / _stretch(points, size) + 0.5


def _halves(targets: Tensor, wanted: Tensor, below: Tensor, lower: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Middle (B, 2) and side (B,) in crops of what is shown: a half body where `wanted`, else the crop.

    A half with fewer than 3 labelled points is not shown; the other one is then.
    """
    points, labelled = targets[..., :2].float(), targets[..., 2] > 0
    is_lower = constant(tuple(int(point in lower) for point in range(targets.shape[1])), targets.device) > 0
    enough = [(labelled & half).sum(1) > 2 for half in (~is_lower, is_lower)]
    below = torch.where(below, enough[1], ~enough[0])
    chosen = labelled & torch.where(below[:, None], is_lower, ~is_lower)
    wanted = wanted & (labelled.sum(1) >= HALF_FROM) & (enough[0] | enough[1]) & (0 < len(lower) < targets.shape[1])
    mean = (points * chosen[..., None]).sum(1) / chosen.sum(1).clamp(min=1)[:, None]
    low = points.masked_fill(~chosen[..., None], math.inf).amin(1)
    high = points.masked_fill(~chosen[..., None], -math.inf).amax(1)
    extent = (high - low).amax(1).clamp(min=_LEAST) * HALF_MARGIN
    middle = torch.where(wanted[:, None], mean, 0.5)
    return middle, torch.where(wanted, extent, 1.0)


def _stretch(like: Tensor, size: Size) -> Tensor:
    """Crop sides in the input's width and height."""
    height, width = shape(size)
    return constant((min(height, width) / width, min(height, width) / height), like.device)
