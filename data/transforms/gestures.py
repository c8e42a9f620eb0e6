"""Augmentation of gesture crops: margins, affine, perspective and mirror in one resampling of the whole batch.

A packed image holds `CONTEXT` times the crop, so that what comes into view is the photograph and not its border.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from data.tasks.gesture_crops import CONTEXT, Margins
from data.transforms.augment import _colours, level, reduce


@dataclass(frozen=True)
class GestureAugment:
    """How far crops are changed; every value is 0 for none.

    Attributes:
        flip: probability of a mirror image, which changes left-hand classes into right-hand ones, 0 to 1.
        rotate: largest turn in degrees, either way, 0 to 180.
        scale: largest relative change of size, either way, 0 to 0.95.
        shift: largest shift along each axis as a fraction of the crop's side, either way, 0 to 1.
        perspective: largest relative change of magnification from the middle to an edge, 0 to 0.4.
        colour: largest relative change of brightness, of contrast and of saturation, 0 to 1.
        margin: each of the four margins is multiplied by a factor of its own from 1 - margin to 1 + margin, 0 to 1.

    Raises:
        ValueError: a value is out of its range.
    """

    flip: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    perspective: float = 0.0
    colour: float = 0.0
    margin: float = 0.0

    def __post_init__(self) -> None:
        for name, top in (
            ("flip", 1),
            ("rotate", 180),
            ("scale", 0.95),
            ("shift", 1),
            ("perspective", 0.4),
            ("colour", 1),
            ("margin", 1),
        ):
            if not 0 <= getattr(self, name) <= top:
                raise ValueError(f"{name} must lie in 0..{top}, not {getattr(self, name)}")


@torch.no_grad()
def augment(
    images: Tensor,
    targets: Tensor,
    size: int,
    how: GestureAugment,
    margins: Margins,
    partners: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Change a batch at random and cut it to the network's input, on the images' device.

    Args:
        images: uint8 (B, L, L, C), `CONTEXT` times the crop.
        targets: int64 (B,), classes.
        size: side of the network's input in pixels.
        how: how far to go.
        margins: those of the packed crops.
        partners: int64 (classes,), what each class becomes in a mirror; a class with -1 is never mirrored.
        generator: the only source of randomness.

    Returns:
        Inputs, float32 (B, C, size, size), normalised, and classes, int64 (B,).
    """
    count, channels = images.shape[0], images.shape[3]
    # All numbers are always drawn, so that switching one change on or off leaves the others' numbers alone.
    draws = torch.rand(count, 14, generator=generator, device=generator.device).to(images.device)
    spread = draws * 2 - 1

    mirrored = partners.to(images.device)[targets]
    flip = (draws[:, 0] < how.flip) & (mirrored >= 0)
    classes = torch.where(flip, mirrored, targets)

    angle, factor = spread[:, 1] * math.radians(how.rotate), 1 / (1 + spread[:, 2] * how.scale)
    cos, sin = angle.cos() * factor, angle.sin() * factor
    sign = torch.where(flip, -1.0, 1.0)
    # From the input to the crop, in half sides of the crop: mirrored, turned and scaled about the middle, then moved.
    turn = torch.stack([cos * sign, sin * sign, -sin, cos], 1).view(-1, 2, 2)
    middle, half = _recut(margins, 1 + spread[:, 7:11] * how.margin)
    turn, offset = turn * half[:, None, None], middle - 2 * how.shift * spread[:, 3:5]
    seen = _resample(images, size, turn, offset, spread[:, 5:7] * how.perspective)
    matrix, bias = _colours(spread[:, 11:14] * how.colour, channels)
    return torch.baddbmm(bias, matrix, seen.flatten(2)).view(count, channels, size, size), classes


@torch.no_grad()
def inputs(images: Tensor, size: int) -> Tensor:
    """The crop itself, unchanged, by the same resampling: float32 (B, C, size, size), normalised."""
    count, channels = images.shape[0], images.shape[3]
    still = torch.zeros(count, 3, device=images.device)
    eye = torch.eye(2, device=images.device).expand(count, 2, 2)
    seen = _resample(images, size, eye, still[:, :2], still[:, :2])
    matrix, bias = _colours(still, channels)
    return torch.baddbmm(bias, matrix, seen.flatten(2)).view(count, channels, size, size)


def packed_level(size: int, base: int) -> int:
    """Side of the packed level that inputs of `size` pixels are cut from; `base` is the largest."""
    return level(math.ceil(size * CONTEXT), base)


def _recut(margins: Margins, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Crops with other margins, seen from the packed one.

    Args:
        margins: of the packed crop.
        factors: (B, 4), what left, top, right and bottom are multiplied by.

    Returns:
        Middles (B, 2) and half sides (B,), in half sides of the packed crop about its middle.
    """
    sides = torch.tensor([margins.left, margins.top, margins.right, margins.bottom], device=factors.device)
    left, top, right, bottom = (sides * factors).unbind(1)
    middle = torch.stack([right - left, bottom - top], 1) / 2 - torch.tensor(margins.middle, device=factors.device)
    side = 1 + torch.maximum(left + right, top + bottom)
    return middle * 2 / margins.side, side / margins.side


def _resample(images: Tensor, size: int, turn: Tensor, offset: Tensor, lean: Tensor) -> Tensor:
    """float32 (B, C, size, size), 0 to 255: input place q shows the crop's place turn q / (1 + lean . q) + offset.

    Places are in half sides about the middle. A level is 1 to sqrt(2) times as fine as the input, so bilinear sampling
    needs no further filter (see .augment); what random margins and scales shrink beyond that is left as it is.
    """
    side = packed_level(size, images.shape[1])
    planes = (images if images.shape[1] == side else reduce(images, side)).permute(0, 3, 1, 2).float()
    along = (torch.arange(size, device=images.device) + 0.5) * (2 / size) - 1
    place = torch.stack(torch.meshgrid(along, along, indexing="xy"), -1).view(-1, 2)
    with torch.autocast(images.device.type, enabled=False):
        near = 1 + place @ lean.T  # (size^2, B): how much the hand is turned away there
        grid = (place @ turn.transpose(1, 2)) / near.T[:, :, None] + offset[:, None]
        grid = (grid / CONTEXT).view(len(images), size, size, 2)
        return functional.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
