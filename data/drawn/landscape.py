"""Where drawn animals stand: grass, sand or snow under a sky, before trees or a room, behind a post or a bush.

All mixing is Pillow's integer arithmetic, exact on every machine.
"""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from data.drawn.scenery import Colour, muted, noise, scenery
from data.drawn.skeleton import between


def landscape(rng: np.random.Generator, width: int, height: int) -> tuple[Image.Image, int]:
    """Ground, and sky, trees or a room behind; also the row of the horizon."""
    whole, size = (width, height), (width * 5 // 8, height * 5 // 8)  # a little out of focus, and quicker
    width, height = size
    horizon = int(between(rng, 0.1, 0.5) * height)
    if rng.random() < 0.3:  # indoors, or out of focus
        image = scenery(rng).resize(size, Image.Resampling.BICUBIC)
    else:
        high = _mixed(rng, size, muted(rng, 0.6, 0.95), muted(rng, 0.5, 0.95), (2, 5), (5, 9))
        image = high
        trees, top = (
            (_green(rng, 0.5) if rng.random() < 0.7 else muted(rng)),
            horizon - int(between(rng, 0, 0.4) * height),
        )
        edge = noise(rng, size, (12, 3), (40, 8)).point([min(v * 2, 255) for v in range(256)])
        ramp = Image.new("L", size)
        ImageDraw.Draw(ramp).rectangle((0, max(top, 0), width, height), fill=255)
        ramp = ramp.filter(ImageFilter.BoxBlur(max(4, height // 24)))
        mask = ImageChops.multiply(edge, ramp).point([min(max((v - 90) * 4, 0), 255) for v in range(256)])
        image.paste(_mixed(rng, size, trees, _green(rng, 0.8), (14, 10), (45, 34)), (0, 0), mask)
        image = image.filter(ImageFilter.BoxBlur(between(rng, 0.5, 3)))
    grassy = rng.random() < 0.6
    a, b = (_green(rng, 1.0) if grassy else _earth(rng) for _ in range(2))
    cells = ((6, 8), (60, 36), (140, 60)) if grassy else ((4, 9), (40, 60), (120, 90))
    ground = _mixed(rng, size, a, b, *cells)
    line = Image.new("L", size)
    ImageDraw.Draw(line).rectangle((0, horizon, width, height), fill=255)
    image.paste(ground, (0, 0), line.filter(ImageFilter.BoxBlur(between(rng, 0.5, 4))))
    return image.resize(whole, Image.Resampling.BICUBIC), horizon * 8 // 5


def obstacle(rng: np.random.Generator, image: Image.Image, horizon: int) -> Image.Image:
    """Paint a post, a rail or a bush before everything; returns where."""
    width, height = image.size
    mask = Image.new("L", image.size)
    pen = ImageDraw.Draw(mask)
    kind, x = rng.random(), between(rng, 0, width)
    if kind < 0.4:
        half = between(rng, 3, 11)
        pen.rectangle((x - half, between(rng, 0.5, 1) * horizon, x + half, height), fill=255)
    elif kind < 0.6:
        y, half, slant = between(rng, 0.45, 0.8) * height, between(rng, 2, 6), between(rng, -10, 10)
        pen.polygon([(0, y - half), (width, y - half + slant), (width, y + half + slant), (0, y + half)], fill=255)
    else:
        for _ in range(9):
            r, y = between(rng, 0.04, 0.1) * height, height - between(rng, 0, 0.16) * height
            at = x + between(rng, -0.12, 0.12) * width
            pen.ellipse((at - r, y - r, at + r, y + r), fill=255)
    leafy = kind >= 0.6
    a = _green(rng, 0.9) if leafy else muted(rng, 0.15, 0.8)
    b = _green(rng, 0.6) if leafy else muted(rng, 0.15, 0.8)
    if leafy:  # leaves at the edge
        ragged = noise(rng, image.size, (60, 50), (140, 120)).point([255 * (v > 70) for v in range(256)])
        mask = ImageChops.multiply(mask, ragged)
    image.paste(_mixed(rng, image.size, a, b, (30, 30), (90, 70)), (0, 0), mask)
    return mask


def _mixed(
    rng: np.random.Generator, size: tuple[int, int], a: Colour, b: Colour, *cells: tuple[int, int]
) -> Image.Image:
    """Two colours mixed by smooth noise."""
    return Image.composite(Image.new("RGB", size, a), Image.new("RGB", size, b), noise(rng, size, *cells))


def _green(rng: np.random.Generator, bright: float) -> Colour:
    r, g, b = (int(255 * bright * between(rng, *span)) for span in ((0.18, 0.55), (0.32, 0.58), (0.08, 0.26)))
    return r, g, b


def _earth(rng: np.random.Generator) -> Colour:
    """Sand, soil, stone or snow."""
    level, warm = between(rng, 0.25, 0.85), between(rng, 0.0, 0.3)
    r, g, b = (int(255 * level * (1 - warm * less)) for less in (0.0, 0.45, 1.0))
    return r, g, b
