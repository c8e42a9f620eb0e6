"""Lights a depth map: normals, shadow, hollows, skin with its creases, palm lines and nails.

All of it is float32 +, -, *, / and sqrt, and Pillow's integer filters: exact on every machine.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.drawn.raster import ARM, FAR, GRID, PALM, RES, SLEEVE, THING, Canvas, Lens, Plane
from data.drawn.skeleton import Hand, between, cos_sin, norm

_TONES = (  # skin from pale to deep, RGB reflectance
    (0.93, 0.76, 0.67),
    (0.88, 0.67, 0.55),
    (0.79, 0.57, 0.44),
    (0.66, 0.45, 0.33),
    (0.47, 0.31, 0.22),
    (0.31, 0.20, 0.15),
)
_EDGE = [min(max((v - 76) * 5 // 2, 0), 255) for v in range(256)]  # a blurred outline made narrow again


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


def tone(rng: np.random.Generator) -> list[float]:
    """A skin colour: a place on the scale from pale to deep, and a little undertone."""
    at = float(rng.random()) * (len(_TONES) - 1)
    n = min(int(at), len(_TONES) - 2)
    s = at - n
    warm, red = between(rng, -0.03, 0.03), between(rng, -0.02, 0.035)
    a, b = _TONES[n], _TONES[n + 1]
    r, g, b_ = (a[c] * (1 - s) + b[c] * s for c in range(3))
    return [r * (1 + red), g, b_ * (1 - warm)]


def shade(
    canvas: Canvas,
    lens: Lens,
    hand: Hand,
    light: Light,
    skin: list[float],
    cloth: list[float],
    thing: list[list[float]],
    mottle: Plane,
    nails: float,
) -> tuple[Image.Image, Image.Image]:
    """Colours what was drawn.

    Args:
        canvas: the depth map.
        lens: the camera.
        hand: for the backs of its bones and its palm lines.
        light: where it comes from.
        skin: RGB reflectance.
        cloth: the sleeve's.
        thing: the held thing's two colours.
        mottle: (RES, RES) smooth noise in [-1, 1] for skin, folds of cloth.
        nails: how much nails shine, [0, 1].

    Returns:
        RGB (RES, RES, 3) and coverage (RES, RES), both uint8.
    """
    covered = canvas.depth > FAR / 2
    rows, cols = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    y0, y1 = max(int(rows[0]) - 2, 0), min(int(rows[-1]) + 3, RES)
    x0, x1 = max(int(cols[0]) - 2, 0), min(int(cols[-1]) + 3, RES)
    box = (slice(y0, y1), slice(x0, x1))
    z, part, along, inside = canvas.depth[box], canvas.part[box], canvas.along[box], covered[box]
    mottle = mottle[box]
    nx, ny, nz = _normals(z, part, inside)
    hollow = _hollow(z, inside)
    shadow = _shadow(z, light)
    lx, ly, lz = light.towards
    lit = nx * lx + ny * ly + nz * lz
    # the back of the hand or its palm
    backs = np.zeros((THING + 1, 3), dtype=np.float32)
    backs[1:21] = hand.dorsal[1:]
    backs[PALM] = hand.dorsal[0]
    bx, by, bz = (np.take(np.ascontiguousarray(backs[:, c]), part, mode="clip") for c in range(3))
    back = nx * bx + ny * by - nz * bz
    finger = (part > 0) & (part <= 20)
    is_skin = part <= ARM
    # albedo: darker in creases over the joints, redder tips, paler palm
    length = np.ones(THING + 1, dtype=np.float32)
    seen = [lens.see(p) for p in hand.joints]
    for c in range(1, 21):
        p = c - 1 if c % 4 != 1 else 0
        length[c] = max(norm(hand.joints[c] - hand.joints[p]) * seen[c][3], 1)
    mm = 0.001 * hand.scale * seen[9][3]
    size = np.take(length, part, mode="clip")
    from_start, from_end = along * size, (1 - along) * size
    tip = finger & (part % 4 == 0)
    edge = np.where(tip, from_start, np.minimum(from_start, from_end))
    crease = (1 - _ramp(edge, 0.5 * mm, 2.2 * mm)) * finger
    palmar = _ramp(-back, -0.1, 0.5) * is_skin
    dorsal = _ramp(back, 0.0, 0.6) * finger
    wide = (1 - _ramp(edge, 2 * mm, 6.0 * mm)) * dorsal
    dark = 1 - crease * (0.03 + 0.15 * palmar) - 0.09 * wide
    # palm lines: arcs in the plane of the palm
    on_palm = (part == PALM) & (back < -0.25)
    if on_palm.any():
        dark -= 0.20 * _lines(lens, hand, z, x0, y0, mm) * on_palm
    red = np.zeros_like(z)
    red += 0.5 * _ramp(along, 0.2, 0.9) * tip
    red += 0.5 * wide + 0.25 * palmar + 0.35 * mottle
    dark += 0.05 * mottle
    depth_of_tone = 1 - skin[0]
    paler = palmar * _soft(1.0 * (part <= PALM), 2) * (0.10 + 0.75 * depth_of_tone * depth_of_tone)
    nail = _ramp(back, 0.42, 0.62) * _ramp(along, 0.34, 0.50) * tip
    rim = nail * (1 - nail)
    dark -= rim * 0.5
    shine = _shine(nx, ny, nz, light) * (1 - shadow)
    planes = []
    sky = 0.82 - 0.18 * ny
    sky *= 1 - 0.62 * hollow
    is_cloth, is_thing = part == SLEEVE, part == THING
    there = bool(is_thing.any())
    band = _ramp(np.abs(along - 0.5), 0.20, 0.22)
    for c in range(3):
        soften = (0.34, 0.20, 0.14)[c]  # light goes further through flesh in red
        lamp = np.maximum(lit + soften, 0) * (1 / (1 + soften))
        lamp *= 1 - shadow * (0.72, 0.82, 0.86)[c]
        lamp *= light.lamp[c]
        lamp += sky * light.ambient[c]
        tint = (0.05, -0.055, -0.045)[c]
        colour = np.float32(skin[c]) * (dark + red * tint)
        colour += nail * ((0.95, 0.78, 0.74)[c] - colour) * (0.18 + 0.3 * nails)
        colour += paler * ((0.95, 0.74, 0.66)[c] - colour) * 0.5
        np.copyto(colour, cloth[c] * (1 + 0.18 * mottle), where=is_cloth)
        if there:
            np.copyto(colour, thing[0][c] * (1 - band) + thing[1][c] * band, where=is_thing)
        lamp *= colour
        lamp += shine * ((0.09 + 0.3 * nails * nail) * light.lamp[c])
        # a film's shoulder, so that highlights roll off: x (1 + x/4) / (1 + x) x 1.6 is a rational curve
        lamp = lamp * (lamp * 0.25 + 1) / (lamp + 0.6)
        planes.append(Image.fromarray(np.minimum(lamp * 255, 255).astype(np.uint8)))
    full = Image.new("RGB", (RES, RES))
    full.paste(Image.merge("RGB", planes), (x0, y0))
    cover = Image.fromarray(covered.astype(np.uint8) * np.uint8(255)).filter(ImageFilter.BoxBlur(1))
    return full, cover.filter(ImageFilter.BoxBlur(0.5)).point(_EDGE)


def _lines(lens: Lens, hand: Hand, z: Plane, x0: int, y0: int, mm: float) -> Plane:
    """Three palm lines, 1 on a line and 0 two millimetres away from it."""
    h, w = z.shape
    wx, wy, wz, _ = lens.see(hand.joints[0])
    x = (GRID[x0 : x0 + w] - np.float32(wx))[None, :]
    y = (GRID[y0 : y0 + h] - np.float32(wy))[:, None]
    out = z - np.float32(wz)
    (sx, sy, sz), (ux, uy, uz) = hand.axes[0].tolist(), hand.axes[1].tolist()
    u = (x * sx + y * sy - out * sz) * (1 / mm)  # millimetres towards the thumb and the fingers
    v = (x * ux + y * uy - out * uz) * (1 / mm)
    line = np.zeros_like(z)
    # centre, radius, and where along it the line lies: life, head, heart
    for cu, cv, radius, low, high in (
        (34.0, 34.0, 33.0, (-20.0, 12.0), (36.0, 66.0)),
        (-18.0, 118.0, 60.0, (-30.0, 40.0), (24.0, 74.0)),
        (8.0, 110.0, 44.0, (-36.0, 60.0), (10.0, 86.0)),
    ):
        du, dv = u - cu, v - cv
        off = np.abs(np.sqrt(du * du + dv * dv) - radius)
        here = (u > low[0]) & (v > low[1]) & (u < high[0]) & (v < high[1])
        line = np.maximum(line, (1 - _ramp(off, 0.4, 1.5)) * here)
    return line


def _normals(z: Plane, part: NDArray[np.uint8], inside: NDArray[np.bool_]) -> list[Plane]:
    """Unit normals of the depth map as three planes, z towards the camera."""
    d = np.diff(z, axis=1)
    nx = np.zeros_like(z)
    nx[:, 1:-1] = -_least(d[:, 1:], d[:, :-1])
    d = np.diff(z, axis=0)
    ny = np.zeros_like(z)
    ny[1:-1] = -_least(d[1:], d[:-1])
    gentle = inside & (np.maximum(np.abs(nx), np.abs(ny)) < 3)  # elsewhere the outline itself was differentiated
    nz = 1 / np.sqrt(nx * nx + ny * ny + 1)
    nx *= nz
    ny *= nz
    return _iron([nx, ny, nz], (part == PALM) | (part == ARM), gentle)


def _least(forward: Plane, backward: Plane) -> Plane:
    """The smaller of two slopes, so that an outline does not become a slope."""
    return np.where(np.abs(forward) < np.abs(backward), forward, backward)


def _iron(normals: list[Plane], broad: NDArray[np.bool_], inside: NDArray[np.bool_]) -> list[Plane]:
    """Smooths three planes of normals on palm and arm, where seams show, and carries them beyond the outline."""
    coded = [Image.fromarray((n * inside * 127 + 128).astype(np.uint8)) for n in normals]
    fine = Image.merge("RGB", coded)
    wide = fine.reduce(2).filter(ImageFilter.BoxBlur(1.5)).filter(ImageFilter.BoxBlur(1))
    mask = Image.fromarray((broad | ~inside).astype(np.uint8) * np.uint8(255)).filter(ImageFilter.BoxBlur(1))
    mixed = Image.composite(wide.resize(fine.size, Image.Resampling.BILINEAR), fine, mask)
    x, y, z = (np.asarray(plane, dtype=np.float32) - 128 for plane in mixed.split())
    scale = 1 / np.sqrt(x * x + y * y + z * z + 1e-3)
    return [x * scale, y * scale, z * scale]


def _soft(plane: Plane, radius: float) -> Plane:
    """A [0, 1] plane blurred by Pillow's integer box filter, applied twice on half the resolution."""
    image = Image.fromarray((plane * 255).astype(np.uint8))
    small = image.reduce(2).filter(ImageFilter.BoxBlur(radius / 2)).filter(ImageFilter.BoxBlur(radius / 2))
    return np.asarray(small.resize(image.size, Image.Resampling.BILINEAR), dtype=np.float32) * np.float32(1 / 255)


def _ramp(plane: Plane, low: float, high: float) -> Plane:
    """0 below low, 1 above high, straight between."""
    part = plane - np.float32(low)
    part *= 1 / (high - low)
    np.maximum(part, 0, out=part)
    np.minimum(part, 1, out=part)
    return part


def _shadow(z: Plane, light: Light) -> Plane:
    """How much of the lamp a nearer part of the surface hides, on half the resolution, [0, 1]."""
    lx, ly, lz = light.towards
    flat = math.sqrt(lx * lx + ly * ly) + 1e-6
    small = np.ascontiguousarray(z[::2, ::2])
    h, w = small.shape
    pad = 10
    wide = np.full((h + 2 * pad, w + 2 * pad), FAR, dtype=np.float32)
    wide[pad:-pad, pad:-pad] = small
    hidden = np.zeros_like(small)
    for step in (1.5, 3.0, 5.0, 7.0, 9.5):  # half pixels on the way to the lamp
        x, y = round(lx / flat * step), round(ly / flat * step)
        over = wide[pad + y : pad + y + h, pad + x : pad + x + w] - small
        over -= 2 * step * lz / flat + 1.0
        np.maximum(hidden, over, out=hidden)
    hidden *= 0.4
    np.minimum(hidden, 1, out=hidden)
    image = Image.fromarray((hidden * 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(1))
    image = image.resize((z.shape[1], z.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)


def _hollow(z: Plane, inside: NDArray[np.bool_]) -> Plane:
    """How far a place lies below its surroundings, where less of the sky is seen, [0, 1]."""
    low = float(np.where(inside, z, 1e4).min())
    low = max(low, -50.0)
    level = np.clip((z - low) * (1 / 100), 0, 1)
    hollow = _ramp(_soft(level, 3) - level, 0.005, 0.075)
    hollow *= inside
    return hollow


def _shine(nx: Plane, ny: Plane, nz: Plane, light: Light) -> Plane:
    """Blinn's highlight: the normal's cosine with the half vector of lamp and viewer, to the 16th power."""
    lx, ly, lz = light.towards
    cosine = nx * lx * 0.5 + ny * ly * 0.5 + nz * (lz * 0.5 + 0.5)
    half = math.sqrt(0.25 * (lx * lx + ly * ly) + (lz * 0.5 + 0.5) ** 2)
    shine: Plane = np.maximum(cosine * (1 / half), 0)
    for _ in range(4):
        shine *= shine
    return shine
