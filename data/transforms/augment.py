"""Augmentation of a whole batch in one resampling, the points moving with the pixels.

Geometry: points are fractions of the side, ``p = (uv + 0.5) / side``, so that [0, 1] spans the outer edges of
the image (torch's ``align_corners=False``). Pixels and points are moved by the same affine map.

Sharpness: images come from a mipmap of square levels whose sides differ by a factor of about sqrt(2).
Bilinear sampling of the smallest level that is not smaller than the network's input needs no further filter:
a level carries the variance m^2/6 of the triangle filter that made it (m: pixels of the original a pixel of
the level) and interpolation adds about as much, together what an ideal triangle filter has at a reduction by
sqrt(2). Only where the scale shrinks an image further is the missing variance added, by three taps an axis.

What a turn or a shift uncovers is filled by repeating the border pixels: no black wedge gives the angle away,
and no second, mirrored hand appears, as it would with reflection.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = (56, 80, 112, 160, 224)  # sides in pixels
MEAN, STD = 0.45, 0.25  # of every channel, on 0..1: near most photographs', whatever the channels are
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: the grey that saturation keeps

_SHARP = 1.7  # up to this reduction of a level the missing variance, 0.15 px^2, is not worth a filter's time
# Values worked on at a time on a CPU, so that they stay in its cache: at 96 px 7,900 images/s on one core,
# and 3,100 when 64 images are done at once.
_PIECE = 3 << 17


@dataclass(frozen=True)
class Augment:
    """How far images are changed; every value is 0 for none.

    Attributes:
        rotate: Largest turn in degrees, either way, 0 to 180.
        scale: Largest relative change of size, either way, 0 to 0.95: 0.25 draws factors from 0.75 to 1.25.
        shift: Largest shift along each axis as a fraction of the side, either way, 0 to 1.
        flip: Probability of mirroring left and right. Points keep their order: a thumb stays a thumb.
        colour: Largest relative change of brightness, of contrast and of saturation, 0 to 1.
        erase: Probability of covering one rectangle, each side 0.1 to 0.4 of the image's, in a random colour.

    Raises:
        ValueError: If a value lies outside its range.
    """

    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    flip: float = 0.0
    colour: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        for name, top in (
            ("rotate", 180),
            ("scale", 0.95),
            ("shift", 1),
            ("flip", 1),
            ("colour", 1),
            ("erase", 1),
        ):
            if not 0 <= getattr(self, name) <= top:
                raise ValueError(f"{name} must lie in 0..{top}, not {getattr(self, name)}")


def level(size: int, base: int = LEVELS[-1]) -> int:
    """Side of the level that inputs of `size` pixels are cut from: the smallest not below, at most `base`."""
    return min((side for side in LEVELS if size <= side < base), default=base)


def reduce(images: Tensor, side: int) -> Tensor:
    """Antialiased reduction (a triangle filter, as Pillow's BILINEAR) to a smaller side.

    Args:
        images: uint8 (B, L, L, C).
        side: New side in pixels, at most L.

    Returns:
        uint8 (B, side, side, C).
    """
    planes = images.permute(0, 3, 1, 2)
    if images.is_cuda:  # the uint8 kernel exists on the CPU only
        small = functional.interpolate(planes.float(), size=(side, side), mode="bilinear", antialias=True)
        return small.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return functional.interpolate(planes, size=(side, side), mode="bilinear", antialias=True).permute(0, 2, 3, 1)


@torch.no_grad()
def augment(
    images: Tensor, points: Tensor, size: int, how: Augment, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Change a batch at random and cut it to the network's input, in one resampling on the images' device.

    A point is mirrored, turned, scaled about the middle and shifted, in this order; it may leave [0, 1].

    Args:
        images: uint8 (B, L, L, C).
        points: float (B, P, 2), fractions of the side, (x, y).
        size: Side of the network's input in pixels.
        how: How far to go.
        generator: The only source of randomness, on any device (on the images' own it needs no copy).

    Returns:
        Inputs, float32 (B, C, size, size), normalised by `MEAN` and `STD`, and points, float32 (B, P, 2).
    """
    count, channels = images.shape[0], images.shape[3]
    # All numbers are always drawn, so that switching one change on or off leaves the others' numbers alone.
    draws = torch.rand(count, 13 + channels, generator=generator, device=generator.device).to(images.device)
    spread = draws * 2 - 1  # -1..1

    angle = spread[:, 0] * math.radians(how.rotate)
    factor = 1 + spread[:, 1] * how.scale
    shift = spread[:, 2:4] * how.shift
    mirror = torch.where(draws[:, 4] < how.flip, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    forward = torch.stack([cos * mirror, -sin, sin * mirror, cos], 1).view(-1, 2, 2) * factor[:, None, None]
    inverse = torch.stack([cos * mirror, sin * mirror, -sin, cos], 1).view(-1, 2, 2) / factor[:, None, None]
    moved = (forward[:, None] * (points.float() - 0.5)[:, :, None]).sum(-1) + 0.5 + shift[:, None]

    # A covered rectangle: middle, half sides (negative: none) and colour.
    half = torch.where(draws[:, 8:9] < how.erase, 0.05 + 0.15 * draws[:, 9:11], -1.0)
    box = (draws[:, 11:13], half, spread[:, 13:] * 2) if how.erase else None
    view = (inverse, shift, 1 / factor)
    return _render(images, size, view, 1 / (1 - how.scale), _colours(spread[:, 5:8] * how.colour, channels), box), moved


@torch.no_grad()
def inputs(images: Tensor, size: int) -> Tensor:
    """Cut images to the network's input by the resampling of `augment`, unchanged: for judging and for use.

    Args:
        images: uint8 (B, L, L, C), of a level or whole.
        size: Side of the network's input in pixels.

    Returns:
        float32 (B, C, size, size), normalised by `MEAN` and `STD`.
    """
    count, channels = images.shape[0], images.shape[3]
    still = torch.zeros(count, 3, device=images.device)
    eye = torch.eye(2, device=images.device).expand(count, 2, 2)
    return _render(images, size, (eye, still[:, :2], still[:, 0] + 1), 1.0, _colours(still, channels), None)


def _colours(change: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Relative changes (B, 3) of brightness, contrast and saturation, folded with the normalisation.

    Contrast turns about `MEAN` rather than the image's own mean and nothing is clipped: each would cost
    another pass over the pixels. Saturation needs red, green and blue; other numbers of channels do without.

    Returns:
        Matrix (B, C, C) and bias (B, C, 1) that take 0..255 to normalised values.
    """
    bright, contrast, saturation = (1 + change)[:, :, None, None].unbind(1)
    matrix = torch.eye(channels, device=change.device).expand(len(change), channels, channels)
    if channels == 3:
        grey = torch.tensor([LUMA] * 3, device=change.device)
        matrix = saturation * matrix + (1 - saturation) * grey
    return bright * contrast * matrix / (255 * STD), (-MEAN / STD * contrast).expand(-1, channels, 1)


def _render(
    images: Tensor,
    size: int,
    view: tuple[Tensor, Tensor, Tensor],
    reach: float,
    colours: tuple[Tensor, Tensor],
    box: tuple[Tensor, Tensor, Tensor] | None,
) -> Tensor:
    """Resample, colour and cover.

    Args:
        images: uint8 (B, L, L, C).
        size: Side of the result.
        view: Map from result to image (B, 2, 2), the shift (B, 2) to take away first, and by how much the map
            enlarges (B,).
        reach: Upper bound of the last, known without asking the device.
        colours: Matrix (B, C, C) and bias (B, C, 1).
        box: Middle (B, 2), half sides (B, 2) and colour (B, C) of the covered rectangles.
    """
    side = level(size, images.shape[1])
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"images must be square, not {tuple(images.shape)}")
    count, channels = images.shape[0], images.shape[3]
    inverse, shift, enlarged = view
    matrix, bias = colours
    reduction = side / size * enlarged
    filtered = reach > 1 and side / size * reach > _SHARP
    result = torch.empty(count, channels, size, size, device=images.device)
    centres = (torch.arange(size, device=images.device) + 0.5) * (2 / size) - 1
    piece = count if images.is_cuda else max(1, _PIECE // (side * side * channels))
    with torch.autocast(images.device.type, enabled=False):
        for first in range(0, count, piece):
            rows = slice(first, first + piece)
            part = images[rows] if images.shape[1] == side else reduce(images[rows], side)
            planes = part.float().permute(0, 3, 1, 2)
            if filtered:
                planes = _smooth(planes, reduction[rows])
            along = (
                centres - 2 * shift[rows, :, None]
            )  # (b, 2, size): where columns (0) and rows (1) lie before the shift
            x = inverse[rows, :, 0, None] * along[:, :1]
            y = inverse[rows, :, 1, None] * along[:, 1:]
            grid = x.transpose(1, 2)[:, None] + y.transpose(1, 2)[:, :, None]
            seen = functional.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
            out = result[rows]
            torch.baddbmm(bias[rows], matrix[rows], seen.flatten(2), out=out.view(len(out), channels, -1))
            if box:
                middle, half, fill = (value[rows] for value in box)
                inside = ((centres / 2 + 0.5) - middle[:, :, None]).abs() < half[:, :, None]
                torch.where(
                    (inside[:, 1, :, None] & inside[:, 0, None])[:, None],
                    fill[:, :, None, None],
                    out,
                    out=out,
                )
    return result


def _smooth(planes: Tensor, reduction: Tensor) -> Tensor:
    """Three taps an axis that add the variance bilinear sampling lacks at reductions r (B,) of a level.

    Wanted is r^2/6, there are 2/6 (the level's own and the interpolation's), and taps (a, 1 - 2a, a) add 2a.
    Above r = 2.4 they no longer suffice and some aliasing stays.
    """
    side = ((reduction.square() - 2) / 12).clamp(0, 1 / 3)[:, None, None, None]
    for axis in (2, 3):
        last = planes.shape[axis] - 1
        first_row, last_row = planes.narrow(axis, 0, 1), planes.narrow(axis, last, 1)
        wide = torch.cat([first_row, planes, last_row], axis)
        around = wide.narrow(axis, 0, last + 1) + wide.narrow(axis, 2, last + 1)
        planes = (planes * (1 - 2 * side)).addcmul_(around, side)
    return planes
