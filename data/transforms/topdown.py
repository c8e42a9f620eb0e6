"""Top-down keypoints: a batch of crops changed at random, and which points a mirror or half a body shows.

Frames. A crop is the square around an object's box, `margin` times its larger side; points are fractions of its
side. It is packed `CONTEXT` times as wide, so that turns and larger views have something to show. A network of
another shape than square sees the crop in full and more along its longer side: the crop spans the shorter one.
(MMPose widens the box to the input's shape instead; for wide boxes in a high input, most animals, that is the same.)
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from data.layouts.annotations import partners as partners
from data.transforms.augment import LEVELS, MEAN, STD

CONTEXT = 1.5
"""Side of a packed crop, in crops."""
BASES = (LEVELS[-1], 384)
"""Sides of packed crops in pixels; the second for inputs above 149 pixels: 384 shows 256 pixels a crop."""
TURNED = 0.6
"""Probability of a turn, where there are any (Xiao et al. 2018, as in their code)."""
HALF_FROM, HALF_MARGIN = 8, 1.5
"""A half body is cut out where so many points are labelled; its crop is so many times its points' larger extent."""

_LOWER = {"hip", "knee", "ankle", "foot", "heel", "toe", "tail", "tailbase", "back", "hind", "b"}
_UPPER = {"front", "fore", "f"}
_LEAST = 0.2  # of a crop: the smallest extent of a half body

Size = int | tuple[int, int]


@dataclass(frozen=True)
class AnimalAugment:
    """How far crops are changed; every value is 0 for none.

    Attributes:
        rotate: Rotation factor in degrees, 0 to 90: the standard deviation of turns, cut off at twice it; 0.6 of all
            are turned.
        scale: Scale factor, 0 to 0.9: the standard deviation of the view's size about 1, cut off at once it.
        half_body: Probability of showing only the upper or the lower half, where 8 points are labelled (Wang et al.
            2018, as in MMPose).
        flip: Probability of mirroring; left and right points change places.
        colour: Largest relative change of brightness and of contrast, 0 to 1.

    Raises:
        ValueError: If a value lies outside its range.
    """

    rotate: float = 0.0
    scale: float = 0.0
    half_body: float = 0.0
    flip: float = 0.0
    colour: float = 0.0

    def __post_init__(self) -> None:
        for name, top in (("rotate", 90), ("scale", 0.9), ("half_body", 1), ("flip", 1), ("colour", 1)):
            if not 0 <= getattr(self, name) <= top:
                raise ValueError(f"{name} must lie in 0..{top}, not {getattr(self, name)}")


def shape(size: Size) -> tuple[int, int]:
    """Height and width of an input."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def levels(size: Size) -> tuple[int, int]:
    """Side of the pack that inputs of `size` are cut from, and of the level of it that is read."""
    needed = CONTEXT * min(shape(size))
    base = next((side for side in BASES if needed <= side), BASES[-1])
    return base, min((side for side in LEVELS if needed <= side < base), default=base)


def lower_half(names: Sequence[str]) -> tuple[int, ...]:
    """The points of the hind or lower body by their names: hips, knees, tail, what is called back; not front paws."""
    words = [set(re.split(r"[^a-z]+", name.lower())) for name in names]
    return tuple(n for n, said in enumerate(words) if said & _LOWER and not said & _UPPER)


@torch.no_grad()
def augment(
    images: Tensor,
    targets: Tensor,
    size: Size,
    how: AnimalAugment,
    generator: torch.Generator,
    mirrored: Sequence[int],
    lower: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Change packed crops at random and cut them to the network's input, in one resampling on their device.

    Args:
        images: uint8 (B, L, L, C), `CONTEXT` crops wide.
        targets: float (B, P, 3), x and y as fractions of the crop, 1 where labelled.
        size: Of the input, a side or (height, width).
        how: How far to go.
        generator: The only source of randomness, on any device.
        mirrored: `partners` of the points.
        lower: The points of the lower half; without any or with all there are no half bodies.

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
    # A point q of the view, from its middle and in views, is at middle + wide * matrix q of the crop.
    matrix = torch.stack([cos * sign, -sin * sign, sin, cos], 1).view(-1, 2, 2)
    wide = zoom * extent
    seen = torch.einsum("bji,bpj->bpi", matrix, targets[..., :2].float() - middle[:, None]) / wide[:, None, None] + 0.5
    seen = torch.where((sign < 0)[:, None, None], seen[:, list(mirrored)], seen)
    flags = torch.where((sign < 0)[:, None], targets[:, list(mirrored), 2], targets[..., 2])
    inside = ((to_input(seen, size) - 0.5).abs() <= 0.5).all(-1)
    gain, contrast = (1 + (2 * draws[:, 4:] - 1) * how.colour).T
    shown = _render(images, size, matrix * wide[:, None, None], middle, gain, contrast)
    return shown, torch.cat([seen, (flags * inside)[..., None]], -1)


@torch.no_grad()
def inputs(images: Tensor, size: Size) -> Tensor:
    """Packed crops as the network's input, unchanged: float32 (B, C, H, W), normalised."""
    ones = torch.ones(len(images), device=images.device)
    eye = torch.eye(2, device=images.device).expand(len(images), 2, 2)
    return _render(images, size, eye, ones.new_full((len(images), 2), 0.5), ones, ones)


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
    is_lower = torch.zeros(targets.shape[1], dtype=torch.bool, device=targets.device)
    is_lower[list(lower)] = True
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
    return like.new_tensor([min(height, width) / width, min(height, width) / height])


def _render(images: Tensor, size: Size, matrix: Tensor, middle: Tensor, gain: Tensor, contrast: Tensor) -> Tensor:
    """One bilinear resampling of uint8 (B, L, L, C), the border repeated, and the normalisation.

    The level that is read is at most 1.41 times finer than the input, and 2.1 times where the scale shrinks most:
    there a little aliasing stays.

    Args:
        images: The packed crops.
        size: Of the result.
        matrix: (B, 2, 2), from the view, from its middle and in views, to the crop.
        middle: (B, 2) of the view in the crop.
        gain: (B,), times brightness.
        contrast: (B,), times the difference from `MEAN`.
    """
    height, width = shape(size)
    device, short = images.device, min(height, width)
    x = (torch.arange(width, device=device) + 0.5 - width / 2) / short
    y = (torch.arange(height, device=device) + 0.5 - height / 2) / short
    across = matrix[:, None, None, :, 0] * x[:, None]
    down = matrix[:, None, None, :, 1] * y[:, None, None]
    grid = (across + down + middle[:, None, None] - 0.5) * (2 / CONTEXT)
    with torch.autocast(device.type, enabled=False):
        planes = images.permute(0, 3, 1, 2).float()
        seen = functional.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
        by: Any = (gain * contrast / (255 * STD))[:, None, None, None]
        return seen.mul_(by).sub_((contrast * (MEAN / STD))[:, None, None, None])
