"""Colours of a drawn hand: skin with its creases, palm lines and nails, cloth, held things, shadow and hollows."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.drawn.geometry import Array, Mask, Plane, Reflectance, norm, ramp, table
from data.drawn.raster import ARM, FAR, GRID, PALM, RES, SLEEVE, THING, Canvas, Lens
from data.drawn.shading import Light, coverage, exposed, highlight, mask_image, normals, slopes, soft
from data.drawn.skeleton import Hand

_GREY = (0.5, 0.5, 0.5)
_PALM_LINES = table("34 34 33 -20 12 36 66, -18 118 60 -30 40 24 74, 8 110 44 -36 60 10 86")
"""Life, head and heart: centre and radius of an arc, and the box (left, low, right, high) where it is seen, mm."""


@dataclass(frozen=True)
class Look:
    """Colours of a hand."""

    skin: Reflectance  # reflectance
    sleeve: Reflectance  # the sleeve's
    mottle: Plane  # (RES, RES) smooth noise in [-1, 1] for skin, folds of cloth
    nails: float  # how much nails shine, [0, 1]
    held: tuple[Reflectance, Reflectance] = (_GREY, _GREY)  # the held thing's two colours


def shade(canvas: Canvas, lens: Lens, hand: Hand, light: Light, look: Look) -> tuple[Image.Image, Image.Image]:
    """Colours what is drawn on the canvas: RGB (RES, RES, 3) and coverage (RES, RES), both uint8."""
    covered = canvas.covered
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    y0, y1 = max(int(rows[0]) - 2, 0), min(int(rows[-1]) + 3, RES)
    x0, x1 = max(int(columns[0]) - 2, 0), min(int(columns[-1]) + 3, RES)
    box = np.s_[y0:y1, x0:x1]
    z, part, along, inside = canvas.depth[box], canvas.part[box], canvas.along[box], covered[box]
    mottle, normal = look.mottle[box], _normals(z, part, inside)
    window = Canvas(z, part, along)
    tone, red, pale, nail = _skin(window, (x0, y0), lens, hand, normal, mottle, 1 - look.skin[0])
    shadow = _shadow(z, light)
    lx, ly, lz = light.towards
    diffuse = normal[0] * lx + normal[1] * ly + normal[2] * lz
    shine = highlight(normal, light.towards, (0.0, 0.0, 1.0)) * (1 - shadow)
    sky = 0.82 - 0.18 * normal[1]
    sky *= 1 - 0.62 * _hollow(z, inside)
    band = ramp(np.abs(along - 0.5), 0.20, 0.22)
    planes = []
    for c in range(3):
        soften = (0.34, 0.20, 0.14)[c]  # light goes further through flesh in red
        lamp = np.maximum(diffuse + soften, 0) * (1 / (1 + soften))
        lamp *= 1 - shadow * (0.72, 0.82, 0.86)[c]
        lamp *= light.lamp[c]
        lamp += sky * light.ambient[c]
        colour = np.float32(look.skin[c]) * (tone + red * (0.05, -0.055, -0.045)[c])
        colour += nail * ((0.95, 0.78, 0.74)[c] - colour) * (0.18 + 0.3 * look.nails)
        colour += pale * ((0.95, 0.74, 0.66)[c] - colour) * 0.5
        np.copyto(colour, look.sleeve[c] * (1 + 0.18 * mottle), where=part == SLEEVE)
        np.copyto(colour, look.held[0][c] * (1 - band) + look.held[1][c] * band, where=part == THING)
        lamp *= colour
        lamp += shine * ((0.09 + 0.3 * look.nails * nail) * light.lamp[c])
        planes.append(Image.fromarray(exposed(lamp)))
    full = Image.new("RGB", (RES, RES))
    full.paste(Image.merge("RGB", planes), (x0, y0))
    return full, coverage(covered, 1, 0.5)


def _skin(
    window: Canvas, corner: tuple[int, int], lens: Lens, hand: Hand, normal: list[Plane], mottle: Plane, deep: float
) -> tuple[Plane, Plane, Plane, Plane]:
    """Planes that colour skin: factor of its lightness, redness, paleness, nails; `deep` is the tone's depth.

    It is darker in creases over joints and on palm lines, redder at tips, paler on the palm.
    """
    part, along = window.part, window.along
    finger = (part > 0) & (part <= 20)
    tip = finger & (part % 4 == 0)
    backs = np.zeros((THING + 1, 3), dtype=np.float32)
    backs[1:21] = hand.dorsal[1:]
    backs[PALM] = hand.dorsal[0]
    bx, by, bz = (np.take(np.ascontiguousarray(backs[:, c]), part, mode="clip") for c in range(3))
    back = normal[0] * bx + normal[1] * by - normal[2] * bz
    palmar = ramp(-back, -0.1, 0.5) * (part <= ARM)
    scales = [lens.see(joint)[3] for joint in hand.joints]
    mm = 0.001 * hand.scale * scales[9]
    edge = _edge(window, hand.joints, scales, tip)
    crease = (1 - ramp(edge, 0.5 * mm, 2.2 * mm)) * finger
    wide = (1 - ramp(edge, 2 * mm, 6.0 * mm)) * (ramp(back, 0.0, 0.6) * finger)
    light = 1 - crease * (0.03 + 0.15 * palmar) - 0.09 * wide
    on_palm = (part == PALM) & (back < -0.25)
    if on_palm.any():
        light -= 0.20 * _lines(window.depth, corner, lens, hand, mm) * on_palm
    red = 0.5 * ramp(along, 0.2, 0.9) * tip
    red += 0.5 * wide + 0.25 * palmar + 0.35 * mottle
    light += 0.05 * mottle
    pale = palmar * soft(1.0 * (part <= PALM), 2, 2) * (0.10 + 0.75 * deep * deep)
    nail = ramp(back, 0.42, 0.62) * ramp(along, 0.34, 0.50) * tip
    light -= nail * (1 - nail) * 0.5
    return light, red, pale, nail


def _edge(window: Canvas, joints: Array, scales: list[float], tip: Mask) -> Plane:
    """Pixels along a bone to its nearer joint; on a finger's last bone to the joint it begins at."""
    length = np.ones(THING + 1, dtype=np.float32)
    for c in range(1, 21):
        parent = c - 1 if c % 4 != 1 else 0
        length[c] = max(norm(joints[c] - joints[parent]) * scales[c], 1)
    size = np.take(length, window.part, mode="clip")
    from_start, from_end = window.along * size, (1 - window.along) * size
    return np.where(tip, from_start, np.minimum(from_start, from_end))


def _lines(z: Plane, corner: tuple[int, int], lens: Lens, hand: Hand, mm: float) -> Plane:
    """Three palm lines, 1 on a line and 0 two millimetres away from it."""
    (h, w), (x0, y0) = z.shape, corner
    wx, wy, wz, _ = lens.see(hand.joints[0])
    x = (GRID[x0 : x0 + w] - np.float32(wx))[None, :]
    y = (GRID[y0 : y0 + h] - np.float32(wy))[:, None]
    out = z - np.float32(wz)
    (sx, sy, sz), (ux, uy, uz) = hand.axes[0].tolist(), hand.axes[1].tolist()
    u = (x * sx + y * sy - out * sz) * (1 / mm)  # millimetres towards the thumb and the fingers
    v = (x * ux + y * uy - out * uz) * (1 / mm)
    line = np.zeros_like(z)
    for cu, cv, radius, u0, v0, u1, v1 in _PALM_LINES:
        du, dv = u - cu, v - cv
        off = np.abs(np.sqrt(du * du + dv * dv) - radius)
        here = (u > u0) & (v > v0) & (u < u1) & (v < v1)
        line = np.maximum(line, (1 - ramp(off, 0.4, 1.5)) * here)
    return line


def _normals(depth: Plane, part: NDArray[np.uint8], inside: Mask) -> list[Plane]:
    """Unit normals of the depth map as three planes, smooth on palm and arm, where seams show, and past the outline."""
    across, down = slopes(depth)
    gentle = inside & (np.maximum(np.abs(across), np.abs(down)) < 3)  # elsewhere the outline itself is the slope
    coded = [Image.fromarray((n * gentle * 127 + 128).astype(np.uint8)) for n in normals(across, down)]
    fine = Image.merge("RGB", coded)
    wide = fine.reduce(2).filter(ImageFilter.BoxBlur(1.5)).filter(ImageFilter.BoxBlur(1))
    mask = mask_image((part == PALM) | (part == ARM) | ~gentle).filter(ImageFilter.BoxBlur(1))
    mixed = Image.composite(wide.resize(fine.size, Image.Resampling.BILINEAR), fine, mask)
    x, y, z = (np.asarray(plane, dtype=np.float32) - 128 for plane in mixed.split())
    scale = 1 / np.sqrt(x * x + y * y + z * z + 1e-3)
    return [x * scale, y * scale, z * scale]


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


def _hollow(z: Plane, inside: Mask) -> Plane:
    """How far a place lies below its surroundings, where less of the sky is seen, [0, 1]."""
    low = float(np.where(inside, z, 1e4).min())
    low = max(low, -50.0)
    level = np.clip((z - low) * (1 / 100), 0, 1)
    hollow: Plane = ramp(soft(level, 3, 2) - level, 0.005, 0.075)
    hollow *= inside
    return hollow
