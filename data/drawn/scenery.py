"""What is behind a drawn hand and before it: rooms, tables, cloth, gardens, shelves, lights, passing things.

Colours and smooth noise come from the generator's draws; all mixing is Pillow's integer arithmetic, exact on every
machine.
"""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from data.drawn.raster import RES
from data.drawn.skeleton import Array, between, cos_sin

Colour = tuple[int, int, int]
_BACK = 96
"""Side of the scenery before it is enlarged to RES, pixels; it is out of focus anyway."""


def muted(rng: np.random.Generator, low: float = 0.12, high: float = 0.85) -> Colour:
    """A colour as rooms and clothes have: any lightness, little saturation, now and then a strong one."""
    level, strength = between(rng, low, high), between(rng, 0.02, 0.26)
    if rng.random() < 0.15:
        strength = between(rng, 0.3, 0.6)
    tint = rng.random(3).tolist()
    middle = (tint[0] + tint[1] + tint[2]) / 3
    r, g, b = (int(255 * min(max(level + strength * (t - middle), 0.02), 0.98)) for t in tint)
    return r, g, b


def noise(rng: np.random.Generator, size: tuple[int, int], *cells: tuple[int, int] | int) -> Image.Image:
    """Smooth grey noise: octaves of (across, down) cells, the finer the weaker."""
    total = Image.new("L", size, 128)
    for n, cell in enumerate(cells):
        across, down = cell if isinstance(cell, tuple) else (cell, cell)
        grid = rng.integers(0, 256, size=(down, across), dtype=np.uint8)
        octave = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
        total = Image.blend(total, octave, 0.375 if n else 1.0)
    return total


def _texture(rng: np.random.Generator, a: Colour, b: Colour, *cells: tuple[int, int] | int) -> Image.Image:
    """Two colours mixed by smooth noise."""
    size = (_BACK, _BACK)
    return Image.composite(Image.new("RGB", size, a), Image.new("RGB", size, b), noise(rng, size, *cells))


def _near(rng: np.random.Generator, colour: Colour, by: float) -> Colour:
    """A lighter or darker colour of the same kind."""
    change = between(rng, 1 - by, 1 + by)
    r, g, b = (min(int(c * change), 255) for c in colour)
    return r, g, b


def scenery(rng: np.random.Generator) -> Image.Image:
    """What is behind the hand: a room, a table, cloth, a garden, shelves or lights, out of focus and unevenly lit."""
    kind, size = float(rng.random()), (_BACK, _BACK)
    blur = between(rng, 0.6, 3.5)
    if kind < 0.34:
        image = _room(rng)
    elif kind < 0.50:
        image = _surface(rng)
        blur *= 0.4
    elif kind < 0.68:
        image = _garden(rng)
    elif kind < 0.82:
        image = _shelves(rng)
    elif kind < 0.90:
        image = _lights(rng)
        blur += 1
    else:  # a plain wall or a screen
        colour = muted(rng, 0.2, 0.9)
        image = _texture(rng, colour, _near(rng, colour, 0.2), 2, 4)
    if rng.random() < 0.25:  # somebody's clothes
        colour = muted(rng)
        x, y, r = between(rng, -10, 120), between(rng, 85, 150), between(rng, 34, 75)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).ellipse((x - r, y - r, x + r, y + 2 * r), fill=255)
        image.paste(_texture(rng, colour, _near(rng, colour, 0.3), 5, 12), (0, 0), mask)
    image = image.filter(ImageFilter.BoxBlur(blur)).filter(ImageFilter.BoxBlur(blur * 0.6))
    light = noise(rng, size, 2, 3).point([int(120 + v * 0.53) for v in range(256)])
    image = ImageChops.multiply(image, Image.merge("RGB", (light, light, light)))
    return image.resize((RES, RES), Image.Resampling.BILINEAR)


def _room(rng: np.random.Generator) -> Image.Image:
    """A wall with things on it, and perhaps a table."""
    wall = muted(rng, 0.25, 0.9)
    image = _texture(rng, wall, _near(rng, wall, 0.15), 3, 8)
    pen = ImageDraw.Draw(image)
    for _ in range(int(between(rng, 1, 8))):
        x, y = between(rng, -20, 110), between(rng, -20, 100)
        w, h = between(rng, 8, 60), between(rng, 8, 70)
        slant, colour = between(rng, -6, 6), muted(rng)
        pen.polygon([(x, y), (x + w, y + slant), (x + w, y + h + slant), (x, y + h)], fill=colour)
        if rng.random() < 0.6:  # a frame, a door's panel, a window
            inner = muted(rng, 0.1, 0.95)
            e = 0.14 * min(w, h)
            pen.polygon(
                [(x + e, y + e), (x + w - e, y + e + slant), (x + w - e, y + h - e + slant), (x + e, y + h - e)],
                fill=inner,
            )
    if rng.random() < 0.6:
        board = muted(rng, 0.15, 0.75)
        table = _texture(rng, board, _near(rng, board, 0.3), (3, 24), (8, 70))
        mask = Image.new("L", (_BACK, _BACK))
        left, right = between(rng, 50, 105), between(rng, 50, 105)
        ImageDraw.Draw(mask).polygon([(0, left), (_BACK, right), (_BACK, _BACK), (0, _BACK)], fill=255)
        image.paste(table, (0, 0), mask)
    return image


def _surface(rng: np.random.Generator) -> Image.Image:
    """Wood or cloth, seen from above."""
    colour = muted(rng, 0.2, 0.8)
    streaks = ((3, 40), (7, 110)) if rng.random() < 0.6 else ((5, 5), (56, 112))
    image = _texture(rng, colour, _near(rng, colour, 0.35), *streaks)
    if rng.random() < 0.6:
        turn = int(between(rng, 0, 4))
        image = image.transpose(Image.Transpose.ROTATE_90) if turn % 2 else image
    return image


def _garden(rng: np.random.Generator) -> Image.Image:
    """Sky, leaves, and perhaps ground."""
    r, g, b = (int(255 * between(rng, *c)) for c in ((0.08, 0.35), (0.25, 0.5), (0.05, 0.22)))
    leaves = _texture(rng, (r, g, b), muted(rng, 0.05, 0.5), 7, 22, 60)
    horizon = int(between(rng, -30, 60))
    image = Image.new("RGB", (_BACK, _BACK), muted(rng, 0.6, 0.95))
    edge = noise(rng, (_BACK, 24), (9, 2), (28, 3)).point([min(v * 2, 255) for v in range(256)])
    image.paste(leaves, (0, horizon))
    image.paste(leaves.crop((0, 0, _BACK, 24)), (0, horizon - 23), edge)
    if rng.random() < 0.6:
        low = int(between(rng, 60, 100))
        image.paste(_texture(rng, muted(rng, 0.25, 0.7), muted(rng, 0.2, 0.6), (4, 30), (12, 60)), (0, low))
    return image


def _lights(rng: np.random.Generator) -> Image.Image:
    """Lights far away, in the dark."""
    image = _texture(rng, muted(rng, 0.04, 0.3), muted(rng, 0.02, 0.4), 4, 9)
    pen = ImageDraw.Draw(image)
    for _ in range(int(between(rng, 8, 26))):
        x, y, r = between(rng, 0, _BACK), between(rng, 0, _BACK), between(rng, 2, 10)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=muted(rng, 0.3, 0.9))
    return image


def _shelves(rng: np.random.Generator) -> Image.Image:
    """Shelves with rows of like things: tins, books, bottles."""
    back = muted(rng, 0.05, 0.6)
    image = _texture(rng, back, _near(rng, back, 0.3), 3)
    pen = ImageDraw.Draw(image)
    board, y = muted(rng, 0.2, 0.9), between(rng, -20, 10)
    while y < _BACK:
        gap = between(rng, 22, 44)
        x, colour = between(rng, -8, 2), muted(rng)
        step, tall = between(rng, 5, 13), between(rng, 0.5, 0.9) * gap
        while x < _BACK:
            if rng.random() < 0.15:
                colour, tall = muted(rng), between(rng, 0.4, 0.9) * gap
            pen.rectangle((x, y + gap - tall, x + step - 1.5, y + gap), fill=_near(rng, colour, 0.25))
            x += step
        pen.rectangle((0, y + gap, _BACK, y + gap + 3), fill=board)
        y += gap + 3
    return image if rng.random() < 0.85 else image.transpose(Image.Transpose.ROTATE_90)


def foreground(rng: np.random.Generator, image: Image.Image, uv: Array) -> Image.Image:
    """Pastes something blurred before one side of the hand, over less than a quarter of it, and returns its mask."""
    size = image.size
    low, high = uv.min(0), uv.max(0)
    c, s = cos_sin(between(rng, -180, 180))
    reach = abs(c) * float(high[0] - low[0]) / 2 + abs(s) * float(high[1] - low[1]) / 2
    x, y = ((low + high) / 2).tolist()
    r = between(rng, 18, 80)
    off = reach * between(rng, 0.62, 0.95) + r
    x, y = x + c * off, y + s * off
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    if rng.random() < 0.6:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
    else:  # a straight edge
        p, q = (x - c * r - s * 200, y - s * r + c * 200), (x - c * r + s * 200, y - s * r - c * 200)
        w = 2 * r * between(rng, 0.15, 1.0)
        pen.polygon([p, q, (q[0] + c * w, q[1] + s * w), (p[0] + c * w, p[1] + s * w)], fill=255)
    mask = mask.filter(ImageFilter.BoxBlur(between(rng, 0.5, 2)))
    colour = muted(rng)
    image.paste(
        _texture(rng, colour, _near(rng, colour, 0.35), 3, 9).resize(size, Image.Resampling.BILINEAR), (0, 0), mask
    )
    return mask
