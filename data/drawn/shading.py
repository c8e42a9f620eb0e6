"""Light on drawn surfaces: lamps, skin tones, normals of a depth map, highlights, the camera's response and noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from data.drawn.geometry import Mask, Plane, Reflectance, between, cos_sin, table

_TONES = table("0.93 0.76 0.67, 0.88 0.67 0.55, 0.79 0.57 0.44, 0.66 0.45 0.33, 0.47 0.31 0.22, 0.31 0.20 0.15")
"""Skin from pale to deep."""
_NARROW = [min(max((v - 76) * 5 // 2, 0), 255) for v in range(256)]  # a blurred outline made narrow again


@dataclass(frozen=True)
class Light:
    """Direction to the lamp (unit), its colour and the surroundings' colour."""

    towards: tuple[float, float, float]
    lamp: tuple[float, float, float]
    ambient: tuple[float, float, float]


def lighting(rng: np.random.Generator) -> Light:
    """Draws a lamp to one side, warm or cool, before brighter or darker surroundings."""
    c, s = cos_sin(between(rng, -180, 180))
    s = s if rng.random() < 0.3 else -abs(s)  # mostly from above
    height = between(rng, 0.38, 0.82)
    flat = math.sqrt(1 - height * height)
    power, fill, warm = between(rng, 0.95, 1.55), between(rng, 0.26, 0.50), between(rng, -0.08, 0.10)
    colour = (power * (1 + warm), power, power * (1 - warm))
    return Light((c * flat, s * flat, height), colour, (fill * (1 - 0.5 * warm), fill, fill * (1 + 0.5 * warm)))


def skin_tone(rng: np.random.Generator) -> Reflectance:
    """A skin colour: a place on the scale from pale to deep, and a little undertone."""
    at = float(rng.random()) * (len(_TONES) - 1)
    n = min(int(at), len(_TONES) - 2)
    warm, red = between(rng, -0.03, 0.03), between(rng, -0.02, 0.035)
    r, g, b = (pale * (1 - (at - n)) + deep * (at - n) for pale, deep in zip(_TONES[n], _TONES[n + 1], strict=True))
    return r * (1 + red), g, b * (1 - warm)


def slopes(depth: Plane) -> list[Plane]:
    """Rise of a surface to the right and down: the smaller of two neighbours', so that an outline is no slope."""
    planes = []
    for axis in (1, 0):
        forward = np.diff(depth, axis=axis, append=depth.take([-1], axis))
        backward = np.roll(forward, 1, axis)
        planes.append(-np.where(np.abs(forward) < np.abs(backward), forward, backward))
    return planes


def normals(across: Plane, down: Plane) -> list[Plane]:
    """Unit normals of a depth map from its slopes, three planes, z towards the camera."""
    nz = 1 / np.sqrt(across * across + down * down + 1)
    return [across * nz, down * nz, nz]


def soft(plane: Plane, radius: float, shrink: int = 1) -> Plane:
    """A plane of values in [0, 1] blurred twice by Pillow's integer box filter, on 1 / `shrink` of the resolution."""
    image = Image.fromarray((np.clip(plane, 0, 1) * 255).astype(np.uint8))
    blur = ImageFilter.BoxBlur(radius / shrink)
    blurred = image.reduce(shrink).filter(blur).filter(blur).resize(image.size, Image.Resampling.BILINEAR)
    return np.asarray(blurred, dtype=np.float32) * np.float32(1 / 255)


def highlight(normal: Sequence[Plane], towards: Sequence[float], viewer: Sequence[float], floor: float = 0.0) -> Plane:
    """Blinn's highlight: the normal's cosine with the half vector of lamp and viewer, to the 16th power."""
    x, y, z = (lamp + eye for lamp, eye in zip(towards, viewer, strict=True))
    length = math.sqrt(x * x + y * y + z * z) + floor
    shine: Plane = np.maximum((normal[0] * x + normal[1] * y + normal[2] * z) * (1 / length), 0)
    for _ in range(4):
        shine = shine * shine
    return shine


def exposed(light: Plane) -> NDArray[np.uint8]:
    """What a film makes of light: its shoulder x (1 + x/4) / (0.6 + x) lets highlights roll off."""
    level: NDArray[np.uint8] = np.minimum(light * (light * 0.25 + 1) / (light + 0.6) * 255, 255).astype(np.uint8)
    return level


def mask_image(inside: Mask) -> Image.Image:
    """A grey image: 255 inside, else 0."""
    return Image.fromarray(inside.astype(np.uint8) * np.uint8(255))


def coverage(inside: Mask, *blurs: float) -> Image.Image:
    """A grey image: 255 inside, with an outline softened by box filters and made narrow again."""
    image = mask_image(inside)
    for radius in blurs:
        image = image.filter(ImageFilter.BoxBlur(radius))
    return image.point(_NARROW)


def sensor_noise(rng: np.random.Generator, image: Image.Image, strength: int) -> Image.Image:
    """The image with even grey noise of up to +- strength levels in each pixel."""
    speck = Image.fromarray(rng.integers(0, 256, size=image.size[::-1], dtype=np.uint8))
    speck = speck.point([v * (2 * strength + 1) >> 8 for v in range(256)])
    return ImageChops.add(image, Image.merge("RGB", (speck, speck, speck)), 1, -strength)
