"""The one resampling of images: a map for each image, from the network's input to the packed image.

Geometry: places are measured in half sides about the middle, (x, y), so that -1 and 1 are the outer edges of an
image (torch's `align_corners=False`). Points are fractions of a side, `p = (uv + 0.5) / side`.

Sharpness: images come from a mipmap of square levels whose sides differ by a factor of about sqrt(2).
Bilinear sampling of the smallest level that is not smaller than the network's input needs no further filter:
a level carries the variance m^2/6 of the triangle filter that made it (m: pixels of the original a pixel of
the level) and interpolation adds about as much, together what an ideal triangle filter has at a reduction by
sqrt(2). Only where the scale shrinks an image further is the missing variance added, by three taps an axis.

What a turn or a shift uncovers is filled by repeating the border pixels: no black wedge gives the angle away,
and no second, mirrored hand appears, as it would with reflection.
"""

import torch
from torch import Tensor
from torch.nn import functional

from data.transforms.augment import LUMA, MEAN, STD, level
from data.transforms.constants import constant

_SHARP = 1.7  # up to this reduction of a level the missing variance, 0.15 px^2, is not worth a filter's time
# Values worked on at a time on a CPU, so that they stay in its cache: at 96 px 7,900 images/s on one core,
# and 3,100 when 64 images are done at once.
_PIECE = 3 << 17


def resized(planes: Tensor, side: int) -> Tensor:
    """Planes (B, C, L, L) at another side, by a triangle filter (as Pillow's BILINEAR) where that is smaller."""
    if planes.shape[-1] == side:
        return planes
    return functional.interpolate(planes, size=(side, side), mode="bilinear", antialias=True)


def reduce(images: Tensor, side: int) -> Tensor:
    """Antialiased reduction of packed images to a smaller side.

    Args:
        images: uint8 (B, L, L, C).
        side: New side in pixels, at most L.

    Returns:
        uint8 (B, side, side, C).
    """
    planes = images.permute(0, 3, 1, 2)
    if images.is_cuda:  # the uint8 kernel exists on the CPU only
        return resized(planes.float(), side).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return resized(planes, side).permute(0, 2, 3, 1)


@torch.no_grad()
def inputs(images: Tensor, size: int | tuple[int, int], context: float = 1.0) -> Tensor:
    """Cut images to the network's input, otherwise unchanged: for judging and for use.

    Args:
        images: uint8 (B, L, L, C), of a level or whole.
        size: Of the network's input in pixels, a side or (height, width).
        context: Side of the images in crops; the input's shorter side shows one, in the middle.

    Returns:
        float32 (B, C, height, width), normalised by `MEAN` and `STD`.
    """
    still = torch.zeros(len(images), 3, device=images.device)
    eye = torch.eye(3, device=images.device).expand(len(images), 3, 3)
    return warp(images, size, eye, still, context)


@torch.no_grad()
def warp(
    images: Tensor,
    size: int | tuple[int, int],
    maps: Tensor,
    change: Tensor,
    context: float = 1.0,
    shrinks: float = 1.0,
    projective: bool = False,
    box: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """Resample, colour, normalise and cover, in one pass over the pixels.

    Args:
        images: uint8 (B, L, L, C).
        size: Of the result in pixels, a side or (height, width).
        maps: float32 (B, 3, 3), from a place of the view to that of the crop, homogeneous. The view spans the result's
            shorter side; along the longer one more is seen.
        change: (B, 3), relative changes of brightness, contrast and saturation.
        context: Side of the images in crops.
        shrinks: Upper bound of how much the maps shrink images, known without asking the device; above 1 the missing
            filter is added where it is needed.
        projective: The maps' last rows are other than 0 0 1.
        box: Middle (B, 2) and half sides (B, 2) in fractions of the result, and normalised colour (B, C), of a covered
            rectangle an image; a negative side covers nothing.

    Returns:
        float32 (B, C, height, width).
    """
    if images.shape[1] != images.shape[2]:
        raise ValueError(f"images must be square, not {tuple(images.shape)}")
    height, width = (size, size) if isinstance(size, int) else size
    short, count, channels = min(height, width), images.shape[0], images.shape[3]
    side = level(short, images.shape[1], context)
    x, y = ((torch.arange(n, device=images.device) + 0.5) * (2 / n) - 1 for n in (width, height))
    rows_used = 3 if projective else 2
    scale = constant((1 / context, 1 / context, 1.0), images.device)[:rows_used, None]
    maps = maps[:, :rows_used] * scale
    filtered = shrinks > 1 and side / short / context * shrinks > _SHARP
    matrix, bias = colour_matrix(change, channels)
    result = torch.empty(count, channels, height, width, device=images.device)
    piece = count if images.is_cuda else max(1, _PIECE // (side * side * channels))
    with torch.autocast(images.device.type, enabled=False):
        for first in range(0, count, piece):
            rows = slice(first, first + piece)
            part = images[rows] if images.shape[1] == side else reduce(images[rows], side)
            planes = part.float().permute(0, 3, 1, 2)
            if filtered:
                planes = _smooth(planes, side / short * torch.det(maps[rows, :2, :2]).abs().sqrt())
            along = maps[rows, :, :1] * (x * (width / short))
            down = maps[rows, :, 1:2] * (y * (height / short)) + maps[rows, :, 2:]
            grid = along.transpose(1, 2)[:, None] + down.transpose(1, 2)[:, :, None]
            if projective:
                grid = grid[..., :2] / grid[..., 2:]
            seen = functional.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
            out = result[rows]
            torch.baddbmm(bias[rows], matrix[rows], seen.flatten(2), out=out.view(len(out), channels, -1))
            if box:
                middle, half, fill = (value[rows] for value in box)
                across = (x / 2 + 0.5 - middle[:, :1]).abs() < half[:, :1]
                upright = (y / 2 + 0.5 - middle[:, 1:]).abs() < half[:, 1:]
                inside = (upright[:, :, None] & across[:, None])[:, None]
                torch.where(inside, fill[:, :, None, None], out, out=out)
    return result


def affine(linear: Tensor, offset: Tensor) -> Tensor:
    """Maps (B, 3, 3) from a linear part (B, 2, 2) and an offset (B, 2) in half sides."""
    last = constant((0.0, 0.0, 1.0), linear.device).to(linear.dtype).expand(len(linear), 1, 3)
    return torch.cat([torch.cat([linear, offset[:, :, None]], 2), last], 1)


def move(points: Tensor, maps: Tensor) -> Tensor:
    """Where points (B, P, 2) of the crop are seen: fractions of the crop to fractions of the view of maps (B, 3, 3)."""
    inverse = torch.linalg.inv_ex(maps).inverse[:, None]
    place = points.float() * 2 - 1
    # No matrix product: under autocast that would be one of bfloat16.
    moved = (inverse[..., :2] * place[:, :, None]).sum(-1) + inverse[..., 2]
    fractions: Tensor = (moved[..., :2] / moved[..., 2:] + 1) / 2
    return fractions


def colour_matrix(change: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Relative changes (B, 3) of brightness, contrast and saturation, folded with the normalisation.

    Contrast turns about `MEAN` rather than the image's own mean and nothing is clipped: each would cost
    another pass over the pixels. Saturation needs red, green and blue; other numbers of channels do without.

    Returns:
        Matrix (B, C, C) and bias (B, C, 1) that take 0..255 to normalised values.
    """
    bright, contrast, saturation = (1 + change)[:, :, None, None].unbind(1)
    matrix = torch.eye(channels, device=change.device).expand(len(change), channels, channels)
    if channels == 3:
        grey = constant(LUMA, change.device).expand(3, 3)
        matrix = saturation * matrix + (1 - saturation) * grey
    return bright * contrast * matrix / (255 * STD), (-MEAN / STD * contrast).expand(-1, channels, 1)


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
