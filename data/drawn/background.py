"""What is behind drawn things and before them: rooms, gardens, shelves, landscapes, passing things, posts."""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from data.drawn.geometry import Array, Plane, Reflectance, between, cos_sin
from data.drawn.raster import RES

Colour = tuple[int, int, int]
Size = tuple[int, int]
_BACK = 96  # side of the scenery before it is enlarged to RES, pixels; it is out of focus anyway


def muted(rng: np.random.Generator, low: float = 0.12, high: float = 0.85) -> Colour:
    """A colour as rooms and clothes have: any lightness, little saturation, now and then a strong one."""
    level, strength = between(rng, low, high), between(rng, 0.02, 0.26)
    if rng.random() < 0.15:
        strength = between(rng, 0.3, 0.6)
    tint = rng.random(3).tolist()
    middle = (tint[0] + tint[1] + tint[2]) / 3
    r, g, b = (int(255 * min(max(level + strength * (t - middle), 0.02), 0.98)) for t in tint)
    return r, g, b


def muted_reflectance(rng: np.random.Generator) -> Reflectance:
    """The same as fractions."""
    return tuple(c / 255 for c in muted(rng))


def noise(rng: np.random.Generator, size: Size, *octaves: Size | int) -> Image.Image:
    """Smooth grey noise: octaves of (across, down) cells, the finer the weaker."""
    total = Image.new("L", size, 128)
    for n, counts in enumerate(octaves):
        across, down = counts if isinstance(counts, tuple) else (counts, counts)
        grid = rng.integers(0, 256, size=(down, across), dtype=np.uint8)
        octave = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
        total = Image.blend(total, octave, 0.375 if n else 1.0)
    return total


def noise_plane(rng: np.random.Generator, size: Size, *octaves: Size | int) -> Plane:
    """Smooth noise in [-1, 1]."""
    return np.asarray(noise(rng, size, *octaves), dtype=np.float32) * np.float32(1 / 128) - 1


def _mixed(rng: np.random.Generator, size: Size, a: Colour, b: Colour, *octaves: Size | int) -> Image.Image:
    """Two colours mixed by smooth noise."""
    return Image.composite(Image.new("RGB", size, a), Image.new("RGB", size, b), noise(rng, size, *octaves))


def _texture(rng: np.random.Generator, colour: Colour, change: float, *octaves: Size | int) -> Image.Image:
    """A colour mixed with a lighter or darker one of its kind, as large as the scenery."""
    return _mixed(rng, (_BACK, _BACK), colour, _similar(rng, colour, change), *octaves)


def _similar(rng: np.random.Generator, colour: Colour, change: float) -> Colour:
    """A lighter or darker colour of the same kind."""
    factor = between(rng, 1 - change, 1 + change)
    r, g, b = (min(int(c * factor), 255) for c in colour)
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
        image = _texture(rng, muted(rng, 0.2, 0.9), 0.2, 2, 4)
    if rng.random() < 0.25:  # somebody's clothes
        colour = muted(rng)
        x, y, r = between(rng, -10, 120), between(rng, 85, 150), between(rng, 34, 75)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).ellipse((x - r, y - r, x + r, y + 2 * r), fill=255)
        image.paste(_texture(rng, colour, 0.3, 5, 12), (0, 0), mask)
    image = image.filter(ImageFilter.BoxBlur(blur)).filter(ImageFilter.BoxBlur(blur * 0.6))
    light = noise(rng, size, 2, 3).point([int(120 + v * 0.53) for v in range(256)])
    image = ImageChops.multiply(image, Image.merge("RGB", (light, light, light)))
    return image.resize((RES, RES), Image.Resampling.BILINEAR)


def _room(rng: np.random.Generator) -> Image.Image:
    """A wall with things on it, and perhaps a table."""
    image = _texture(rng, muted(rng, 0.25, 0.9), 0.15, 3, 8)
    pen = ImageDraw.Draw(image)
    for _ in range(int(between(rng, 1, 8))):
        x, y = between(rng, -20, 110), between(rng, -20, 100)
        w, h = between(rng, 8, 60), between(rng, 8, 70)
        slant, colour = between(rng, -6, 6), muted(rng)
        pen.polygon(_slanted(x, y, x + w, y + h, slant), fill=colour)
        if rng.random() < 0.6:  # a frame, a door's panel, a window
            inner = muted(rng, 0.1, 0.95)
            e = 0.14 * min(w, h)
            pen.polygon(_slanted(x + e, y + e, x + w - e, y + h - e, slant), fill=inner)
    if rng.random() < 0.6:
        table = _texture(rng, muted(rng, 0.15, 0.75), 0.3, (3, 24), (8, 70))
        mask = Image.new("L", (_BACK, _BACK))
        left, right = between(rng, 50, 105), between(rng, 50, 105)
        ImageDraw.Draw(mask).polygon([(0, left), (_BACK, right), (_BACK, _BACK), (0, _BACK)], fill=255)
        image.paste(table, (0, 0), mask)
    return image


def _slanted(x0: float, y0: float, x1: float, y1: float, slant: float) -> list[tuple[float, float]]:
    """The corners of a rectangle whose right side is moved down."""
    return [(x0, y0), (x1, y0 + slant), (x1, y1 + slant), (x0, y1)]


def _surface(rng: np.random.Generator) -> Image.Image:
    """Wood or cloth, seen from above."""
    colour = muted(rng, 0.2, 0.8)
    streaks = ((3, 40), (7, 110)) if rng.random() < 0.6 else ((5, 5), (56, 112))
    image = _texture(rng, colour, 0.35, *streaks)
    if rng.random() < 0.6:
        turn = int(between(rng, 0, 4))
        image = image.transpose(Image.Transpose.ROTATE_90) if turn % 2 else image
    return image


def _garden(rng: np.random.Generator) -> Image.Image:
    """Sky, leaves, and perhaps ground."""
    size = (_BACK, _BACK)
    r, g, b = (int(255 * between(rng, *c)) for c in ((0.08, 0.35), (0.25, 0.5), (0.05, 0.22)))
    leaves = _mixed(rng, size, (r, g, b), muted(rng, 0.05, 0.5), 7, 22, 60)
    horizon = int(between(rng, -30, 60))
    image = Image.new("RGB", size, muted(rng, 0.6, 0.95))
    edge = noise(rng, (_BACK, 24), (9, 2), (28, 3)).point([min(v * 2, 255) for v in range(256)])
    image.paste(leaves, (0, horizon))
    image.paste(leaves.crop((0, 0, _BACK, 24)), (0, horizon - 23), edge)
    if rng.random() < 0.6:
        low = int(between(rng, 60, 100))
        image.paste(_mixed(rng, size, muted(rng, 0.25, 0.7), muted(rng, 0.2, 0.6), (4, 30), (12, 60)), (0, low))
    return image


def _lights(rng: np.random.Generator) -> Image.Image:
    """Lights far away, in the dark."""
    image = _mixed(rng, (_BACK, _BACK), muted(rng, 0.04, 0.3), muted(rng, 0.02, 0.4), 4, 9)
    pen = ImageDraw.Draw(image)
    for _ in range(int(between(rng, 8, 26))):
        x, y, r = between(rng, 0, _BACK), between(rng, 0, _BACK), between(rng, 2, 10)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=muted(rng, 0.3, 0.9))
    return image


def _shelves(rng: np.random.Generator) -> Image.Image:
    """Shelves with rows of like things: tins, books, bottles."""
    image = _texture(rng, muted(rng, 0.05, 0.6), 0.3, 3)
    pen = ImageDraw.Draw(image)
    board, y = muted(rng, 0.2, 0.9), between(rng, -20, 10)
    while y < _BACK:
        gap = between(rng, 22, 44)
        x, colour = between(rng, -8, 2), muted(rng)
        step, tall = between(rng, 5, 13), between(rng, 0.5, 0.9) * gap
        while x < _BACK:
            if rng.random() < 0.15:
                colour, tall = muted(rng), between(rng, 0.4, 0.9) * gap
            pen.rectangle((x, y + gap - tall, x + step - 1.5, y + gap), fill=_similar(rng, colour, 0.25))
            x += step
        pen.rectangle((0, y + gap, _BACK, y + gap + 3), fill=board)
        y += gap + 3
    return image if rng.random() < 0.85 else image.transpose(Image.Transpose.ROTATE_90)


def foreground(rng: np.random.Generator, image: Image.Image, uv: Array) -> Image.Image:
    """Pastes something blurred before one side of the points, over less than a quarter of them; returns its mask."""
    low, high = uv.min(0), uv.max(0)
    c, s = cos_sin(between(rng, -180, 180))
    reach = abs(c) * float(high[0] - low[0]) / 2 + abs(s) * float(high[1] - low[1]) / 2
    x, y = ((low + high) / 2).tolist()
    r = between(rng, 18, 80)
    off = reach * between(rng, 0.62, 0.95) + r
    x, y = x + c * off, y + s * off
    mask = Image.new("L", image.size)
    pen = ImageDraw.Draw(mask)
    if rng.random() < 0.6:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
    else:  # a straight edge
        p, q = (x - c * r - s * 200, y - s * r + c * 200), (x - c * r + s * 200, y - s * r - c * 200)
        w = 2 * r * between(rng, 0.15, 1.0)
        pen.polygon([p, q, (q[0] + c * w, q[1] + s * w), (p[0] + c * w, p[1] + s * w)], fill=255)
    mask = mask.filter(ImageFilter.BoxBlur(between(rng, 0.5, 2)))
    texture = _texture(rng, muted(rng), 0.35, 3, 9)
    image.paste(texture.resize(image.size, Image.Resampling.BILINEAR), (0, 0), mask)
    return mask


def landscape(rng: np.random.Generator, width: int, height: int) -> tuple[Image.Image, int]:
    """Grass, sand or snow under a sky, before trees or a room; also the row of the horizon."""
    whole, size = (width, height), (width * 5 // 8, height * 5 // 8)  # a little out of focus, and quicker
    width, height = size
    horizon = int(between(rng, 0.1, 0.5) * height)
    if rng.random() < 0.3:  # indoors, or out of focus
        image = scenery(rng).resize(size, Image.Resampling.BICUBIC)
    else:
        image = _mixed(rng, size, muted(rng, 0.6, 0.95), muted(rng, 0.5, 0.95), (2, 5), (5, 9))
        trees = _green(rng, 0.5) if rng.random() < 0.7 else muted(rng)
        top = horizon - int(between(rng, 0, 0.4) * height)
        edge = noise(rng, size, (12, 3), (40, 8)).point([min(v * 2, 255) for v in range(256)])
        fade = _below(size, max(top, 0)).filter(ImageFilter.BoxBlur(max(4, height // 24)))
        mask = ImageChops.multiply(edge, fade).point([min(max((v - 90) * 4, 0), 255) for v in range(256)])
        image.paste(_mixed(rng, size, trees, _green(rng, 0.8), (14, 10), (45, 34)), (0, 0), mask)
        image = image.filter(ImageFilter.BoxBlur(between(rng, 0.5, 3)))
    grassy = rng.random() < 0.6
    a, b = (_green(rng, 1.0) if grassy else _earth(rng) for _ in range(2))
    octaves = ((6, 8), (60, 36), (140, 60)) if grassy else ((4, 9), (40, 60), (120, 90))
    ground = _mixed(rng, size, a, b, *octaves)
    image.paste(ground, (0, 0), _below(size, horizon).filter(ImageFilter.BoxBlur(between(rng, 0.5, 4))))
    return image.resize(whole, Image.Resampling.BICUBIC), horizon * 8 // 5


def _below(size: Size, row: int) -> Image.Image:
    """A mask of everything from a row downwards."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rectangle((0, row, *size), fill=255)
    return mask


def obstacle(rng: np.random.Generator, image: Image.Image, horizon: int) -> Image.Image:
    """Paints a post, a rail or a bush before everything; returns its mask."""
    width, height = image.size
    mask = Image.new("L", image.size)
    pen = ImageDraw.Draw(mask)
    kind, x = rng.random(), between(rng, 0, width)
    leafy = kind >= 0.6
    if kind < 0.4:
        half = between(rng, 3, 11)
        pen.rectangle((x - half, between(rng, 0.5, 1) * horizon, x + half, height), fill=255)
    elif not leafy:
        y, half, slant = between(rng, 0.45, 0.8) * height, between(rng, 2, 6), between(rng, -10, 10)
        pen.polygon(_slanted(0, y - half, width, y + half, slant), fill=255)
    else:
        for _ in range(9):
            r, y = between(rng, 0.04, 0.1) * height, height - between(rng, 0, 0.16) * height
            at = x + between(rng, -0.12, 0.12) * width
            pen.ellipse((at - r, y - r, at + r, y + r), fill=255)
    a, b = (_green(rng, bright) if leafy else muted(rng, 0.15, 0.8) for bright in (0.9, 0.6))
    if leafy:  # leaves at the edge
        ragged = noise(rng, image.size, (60, 50), (140, 120)).point([255 * (v > 70) for v in range(256)])
        mask = ImageChops.multiply(mask, ragged)
    image.paste(_mixed(rng, image.size, a, b, (30, 30), (90, 70)), (0, 0), mask)
    return mask


def _green(rng: np.random.Generator, bright: float) -> Colour:
    r, g, b = (int(255 * bright * between(rng, *span)) for span in ((0.18, 0.55), (0.32, 0.58), (0.08, 0.26)))
    return r, g, b


def _earth(rng: np.random.Generator) -> Colour:
    """Sand, soil, stone or snow."""
    level, warm = between(rng, 0.25, 0.85), between(rng, 0.0, 0.3)
    r, g, b = (int(255 * level * (1 - warm * less)) for less in (0.0, 0.45, 1.0))
    return r, g, b
