"""`GestureAugment` on a batch of crops: margins, affine map, perspective and mirror in one resampling."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from data.tasks.gesture_crops import Margins
from data.transforms.augment import CONTEXT, GestureAugment
from data.transforms.constants import constant
from data.transforms.warp import affine, warp


@torch.no_grad()
def augment(
    images: Tensor,
    targets: Tensor,
    size: int,
    how: GestureAugment,
    margins: Margins,
    partners: Sequence[int],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Change a batch at random and cut it to the network's input, on the images' device.

    What random margins and scales shrink beyond the level's sharpness is left as it is.

    Args:
        images: uint8 (B, L, L, C), `CONTEXT` times the crop.
        targets: int64 (B,), classes.
        size: side of the network's input in pixels.
        how: how far to go.
        margins: those of the packed crops.
        partners: (classes,), what each class becomes in a mirror; a class with -1 is never mirrored.
        generator: the only source of randomness.

    Returns:
        Inputs, float32 (B, C, size, size), normalised, and classes, int64 (B,).
    """
    # All numbers are always drawn, so that switching one change on or off leaves the others' numbers alone.
    draws = torch.rand(len(images), 14, generator=generator, device=generator.device).to(images.device)
    spread = draws * 2 - 1

    mirrored = constant(tuple(partners), images.device)[targets]
    flip = (draws[:, 0] < how.flip) & (mirrored >= 0)
    classes = torch.where(flip, mirrored, targets)

    angle, factor = spread[:, 1] * math.radians(how.rotate), 1 / (1 + spread[:, 2] * how.scale)
    cos, sin = angle.cos() * factor, angle.sin() * factor
    sign = torch.where(flip, -1.0, 1.0)
    # From the input to the crop: mirrored, turned and scaled about the middle, seen in perspective, then moved.
    turn = torch.stack([cos * sign, sin * sign, -sin, cos], 1).view(-1, 2, 2)
    middle, half = _recut(margins, 1 + spread[:, 7:11] * how.margin)
    maps = affine(turn * half[:, None, None], torch.zeros_like(middle))
    maps[:, 2, :2] = spread[:, 5:7] * how.perspective
    offset = affine(torch.eye(2, device=images.device).expand_as(turn), middle - 2 * how.shift * spread[:, 3:5])
    maps = (offset[:, :, :, None] * maps[:, None]).sum(2)  # a matrix product that autocast leaves alone
    change = spread[:, 11:14] * how.colour
    return warp(images, size, maps, change, CONTEXT, projective=how.perspective > 0), classes


def _recut(margins: Margins, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Crops with other margins, seen from the packed one.

    Args:
        margins: of the packed crop.
        factors: (B, 4), what left, top, right and bottom are multiplied by.

    Returns:
        Middles (B, 2) and half sides (B,), in half sides of the packed crop about its middle.
    """
    sides = constant((margins.left, margins.top, margins.right, margins.bottom), factors.device)
    left, top, right, bottom = (sides * factors).unbind(1)
    middle = torch.stack([right - left, bottom - top], 1) / 2 - constant(tuple(margins.middle), factors.device)
    side = 1 + torch.maximum(left + right, top + bottom)
    return middle * 2 / margins.side, side / margins.side
