"""Draws flesh, held things and light: round cones in a depth map, then shading on the whole map.

A bone's flesh is the envelope of spheres from one joint to the next. Along a pixel's ray its nearest point has a closed
form, so a part costs about fifteen operations on its bounding box. Parts of one body melt into each other by a
smooth maximum. All of it is float32 +, -, *, / and sqrt, and Pillow's integer filters: exact on every machine.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.skeleton import SIDE, Array, Hand, between, norm

Plane = NDArray[np.float32]
RES = 128
"""Side of the map that hands are drawn on, pixels; the photograph's softness comes from enlarging it to SIDE."""
FAR = -1e4
"""Depth map where nothing was drawn (pixels towards the camera, relative to the hand)."""
SKIN, PALM, ARM, SLEEVE, THING = 21, 21, 22, 23, 24
"""Numbers of parts: 1 to 20 are the bones ending in these joints, then palm, forearm, sleeve and held thing."""

_RADII = (  # metres at base, then at each joint to the tip
    (0.0150, 0.0125, 0.0105, 0.0095, 0.0078),
    (0.0130, 0.0112, 0.0088, 0.0078, 0.0064),
    (0.0125, 0.0114, 0.0090, 0.0080, 0.0066),
    (0.0125, 0.0108, 0.0084, 0.0074, 0.0062),
    (0.0125, 0.0100, 0.0074, 0.0064, 0.0054),
)
_TONES = (  # skin from pale to deep, RGB reflectance
    (0.93, 0.76, 0.67),
    (0.88, 0.67, 0.55),
    (0.79, 0.57, 0.44),
    (0.66, 0.45, 0.33),
    (0.47, 0.31, 0.22),
    (0.31, 0.20, 0.15),
)


@dataclass(frozen=True)
class Canvas:
    """Three (RES, RES) planes: depth in pixels towards the camera, number of the part, place along it in [0, 1]."""

    depth: Plane
    part: NDArray[np.uint8]
    along: Plane


@dataclass(frozen=True)
class Lens:
    """Turns metres in the camera's frame into pixels of the map: x, y, nearness and radius."""

    k: Array
    depth: float

    def see(self, point: Array) -> tuple[float, float, float, float]:
        """The point's x and y in pixels, its nearness in pixels and the pixels in a metre there."""
        z = max(float(point[2]), 0.08)
        focal = float(self.k[0, 0]) * _SHRINK
        x = float(point[0]) / z * focal + (float(self.k[0, 2]) + 0.5) * _SHRINK - 0.5
        y = float(point[1]) / z * focal + (float(self.k[1, 2]) + 0.5) * _SHRINK - 0.5
        return x, y, (self.depth - z) * focal / self.depth, focal / z


_SHRINK = RES / SIDE
_EDGE = [min(max((v - 76) * 5 // 2, 0), 255) for v in range(256)]  # a blurred outline made narrow again
_GRID = np.arange(RES, dtype=np.float32)


def cone(canvas: Canvas, lens: Lens, a: Array, b: Array, ra: float, rb: float, part: int, melt: float = 0.0) -> None:
    """Adds the spheres from a (radius ra, metres) to b (rb), melting into what is there over `melt` pixels."""
    ax, ay, az, sa = lens.see(a)
    bx, by, bz, sb = lens.see(b)
    ra, rb = ra * sa, rb * sb
    x0, x1 = max(math.floor(min(ax - ra, bx - rb)), 0), min(math.ceil(max(ax + ra, bx + rb)) + 1, RES)
    y0, y1 = max(math.floor(min(ay - ra, by - rb)), 0), min(math.ceil(max(ay + ra, by + rb)) + 1, RES)
    if x0 >= x1 or y0 >= y1:
        return
    dx, dy, dz, dr = bx - ax, by - ay, bz - az, rb - ra
    alpha = max(dx * dx + dy * dy - dr * dr, 1e-3 * (dx * dx + dy * dy + dz * dz) + 1e-3)
    px, py = _GRID[x0:x1] - np.float32(ax), _GRID[y0:y1] - np.float32(ay)
    # q(t) = r(t)^2 - |p - c(t)|^2 = Q - alpha (t - m)^2; the surface is the largest az + t dz + sqrt(q).
    # Below, m and t are measured in units of 1 / sqrt(alpha).
    root = math.sqrt(alpha)
    m = (px * (dx / root))[None, :] + (py * (dy / root) + ra * dr / root)[:, None]
    top = m * m
    top += (ra * ra - px * px)[None, :]
    top -= (py * py)[:, None]
    np.maximum(top, 0, out=top)
    t = np.sqrt(top)
    t *= dz / math.sqrt(alpha + dz * dz)
    t += m
    np.maximum(t, 0, out=t)
    np.minimum(t, root, out=t)
    m -= t
    m *= m
    top -= m
    hit = top > 0
    np.maximum(top, 0, out=top)
    height = np.sqrt(top, out=top)
    np.multiply(t, dz / root, out=m)
    height += m
    height += az
    box = (slice(y0, y1), slice(x0, x1))
    old = canvas.depth[box]
    front = height > old
    front &= hit
    np.copyto(canvas.part[box], part, where=front)
    np.copyto(canvas.along[box], np.multiply(t, 1 / root, out=t), where=front)
    if melt > 0:
        np.subtract(height, old, out=m)
        np.abs(m, out=m)
        np.subtract(melt, m, out=m)
        np.maximum(m, 0, out=m)
        m *= m
        m *= 0.25 / melt
        m *= hit
        np.copyto(old, height, where=front)
        old += m
    else:
        np.copyto(old, height, where=front)


def flesh(canvas: Canvas, lens: Lens, hand: Hand, girth: float, sleeve: float) -> None:
    """Draws forearm, palm, thumb and fingers; from `sleeve` metres above the wrist on there is cloth."""
    j, f = hand.joints, girth * hand.scale
    side, _, palm = hand.axes
    melt = 0.012 * f * lens.see(j[9])[3]
    wrist, elbow = j[0] - palm * (0.002 * f), hand.elbow
    for way in (-1.0, 1.0, 0.0):
        a, b = wrist + side * (0.0125 * f * way), elbow + side * (0.018 * f * way)
        near, more = a + (b - a) * 0.25, 0.0012 * f * (way == 0)
        cone(canvas, lens, a, near, 0.0158 * f + more, 0.0180 * f + more, ARM, 0.4 * melt)
        if sleeve > 0.07 and way:
            cone(canvas, lens, near, b, 0.0180 * f + more, 0.030 * f, ARM, melt)
        if sleeve < 0.3 and way:
            start = a + (b - a) * (sleeve / 0.3)
            cone(canvas, lens, start, b, 0.024 * f + more, 0.042 * f, SLEEVE, melt)
    heads = [j[5], j[9], j[13], j[17]]
    roots = [wrist + side * (x * f) for x in (0.013, 0.005, -0.005, -0.012)]
    for n in range(3):  # the palm: a fan of metacarpals and what lies between them
        for s in (0.0, 0.5):
            root, head = roots[n] + (roots[n + 1] - roots[n]) * s, heads[n] + (heads[n + 1] - heads[n]) * s
            cone(canvas, lens, root, head, 0.0160 * f, (0.0115 - 0.0006 * (s > 0)) * f, PALM, 0.3 * melt)
    cone(canvas, lens, roots[3], heads[3], 0.0155 * f, 0.0108 * f, PALM, 0.3 * melt)
    heel = wrist - side * (0.013 * f) + (heads[3] - wrist) * 0.15 + palm * (0.003 * f)
    cone(
        canvas,
        lens,
        heel,
        heads[3] * 0.75 + wrist * 0.25 + palm * (0.002 * f),
        0.0135 * f,
        0.0118 * f,
        PALM,
        0.6 * melt,
    )
    # thumb base and the web to the index finger
    ball = j[1] * 0.45 + j[2] * 0.55 + palm * (0.002 * f) - side * (0.004 * f)
    cone(canvas, lens, wrist + side * (0.010 * f) + (j[1] - wrist) * 0.35, ball, 0.0145 * f, 0.0150 * f, PALM, melt)
    for s, t, r in ((0.25, 0.30, 0.0125), (0.55, 0.48, 0.0105), (0.85, 0.66, 0.0080)):
        a, b = j[1] + (j[2] - j[1]) * s, j[0] + (j[5] - j[0]) * t
        cone(canvas, lens, a, b + (a - b) * 0.1, r * f, (r + 0.0015) * f, PALM, melt)
    for n in range(5):
        radii, first = _RADII[n], 4 * n + 1
        if n == 0:
            cone(canvas, lens, j[1], j[2], radii[0] * f, radii[2] * f * 1.06, 2, melt)
        for k in range(1 if n == 0 else 0, 3):
            a, b, rb = j[first + k], j[first + k + 1], radii[k + 2] * f
            if k == 2:  # the label is where the tip's skin nearly is
                b = b + (a - b) * (0.5 * rb / norm(b - a))
            cone(canvas, lens, a, b, radii[k + 1] * f, rb, first + k + 1, melt * (0.75 if k == 0 else 0.3))
            if n and k == 0:  # the pad of the first bone, on the palm's side
                pad = hand.dorsal[first + 1] * (-0.0022 * f)
                cone(
                    canvas,
                    lens,
                    a + (b - a) * 0.30 + pad,
                    a + (b - a) * 0.72 + pad,
                    rb * 1.0,
                    rb * 0.96,
                    first + 1,
                    melt * 0.5,
                )
    for n in range(1, 4):  # webs between the fingers
        p, q = 4 * n + 1, 4 * n + 5
        a, b = j[p] + (j[p + 1] - j[p]) * 0.26, j[q] + (j[q + 1] - j[q]) * 0.26
        if norm(a - b) < 0.032 * f:
            cone(canvas, lens, a, b, 0.0064 * f, 0.0064 * f, PALM, 0.8 * melt)


def card(canvas: Canvas, lens: Lens, middle: Array, u: Array, v: Array, part: int) -> None:
    """Adds the flat parallelogram middle +- u +- v (metres)."""
    (x, y, z, _), (xu, yu, zu, _), (xv, yv, zv, _) = (lens.see(p) for p in (middle, middle + u, middle + v))
    ux, uy, uz, vx, vy, vz = xu - x, yu - y, zu - z, xv - x, yv - y, zv - z
    area = ux * vy - uy * vx
    if abs(area) < 20:  # seen from its edge
        return
    px, py = (_GRID - np.float32(x))[None, :], (_GRID - np.float32(y))[:, None]
    s, t = px * (vy / area) - py * (vx / area), py * (ux / area) - px * (uy / area)
    front = np.maximum(np.abs(s), np.abs(t)) < 1
    height = s * uz + t * vz + np.float32(z)
    front &= height > canvas.depth
    np.copyto(canvas.depth, height, where=front)
    np.copyto(canvas.part, np.uint8(part), where=front)
    np.copyto(canvas.along, (s + 1) * 0.5, where=front)


def held(rng: np.random.Generator, canvas: Canvas, lens: Lens, hand: Hand) -> None:
    """Puts a rod, bottle, ball or card where the hand would hold it; fingers close round it in depth."""
    (at, way), palm, up = hand.grip, hand.axes[2], hand.axes[1]
    kind = float(rng.random())
    low, high = between(rng, 0.04, 0.11), between(rng, 0.06, 0.16)
    small = min(0.62 + 0.6 * hand.curl, 1.0) * hand.scale  # an open hand would vanish behind something large
    if kind < 0.35:  # pen to broomstick
        r = between(rng, 0.004, 0.013)
        at = at + palm * r
        cone(canvas, lens, at - way * low, at + way * high, r, r * between(rng, 0.6, 1.1), THING)
    elif kind < 0.62:  # bottle or tin
        r = between(rng, 0.021, 0.031) * small
        at = at + palm * r
        top = at + way * (high * small)
        cone(canvas, lens, at - way * (low * small), top, r, r, THING)
        if rng.random() < 0.6:
            cone(canvas, lens, top, top + way * 0.05, 0.6 * r, 0.4 * r, THING, 4.0)
    elif kind < 0.82:  # ball or fruit
        r = between(rng, 0.022, 0.034) * small
        at = at + palm * r
        cone(canvas, lens, at, at + way * 0.003, r, r * between(rng, 0.9, 1.0), THING)
    else:  # a card or a telephone flat on the palm, under the fingers
        heads = (hand.joints[5] + hand.joints[9] + hand.joints[13] + hand.joints[17]) * 0.25
        middle = heads + palm * (0.0145 * hand.scale) - up * (0.030 * hand.scale)
        turned = between(rng, -0.4, 0.4)
        u, v = way + up * turned, up - way * turned
        card(canvas, lens, middle, u * between(rng, 0.035, 0.065), v * between(rng, 0.024, 0.040), THING)


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


@dataclass(frozen=True)
class Light:
    """Direction to the lamp (unit), its colour and the surroundings' colour."""

    towards: tuple[float, float, float]
    lamp: tuple[float, float, float]
    ambient: tuple[float, float, float]


def tone(rng: np.random.Generator) -> list[float]:
    """A skin colour: a place on the scale from pale to deep, and a little undertone."""
    at = float(rng.random()) * (len(_TONES) - 1)
    n = min(int(at), len(_TONES) - 2)
    s = at - n
    warm, red = between(rng, -0.03, 0.03), between(rng, -0.02, 0.035)
    a, b = _TONES[n], _TONES[n + 1]
    r, g, b_ = (a[c] * (1 - s) + b[c] * s for c in range(3))
    return [r * (1 + red), g, b_ * (1 - warm)]


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
    # normals
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
    nx, ny, nz = _iron([nx, ny, nz], (part == PALM) | (part == ARM), gentle)
    # hollows: lower than their surroundings
    low = float(np.where(inside, z, 1e4).min())
    low = max(low, -50.0)
    level = np.clip((z - low) * (1 / 100), 0, 1)
    hollow = _ramp(_soft(level, 3) - level, 0.005, 0.075)
    hollow *= inside
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
    shine_at = nx * lx * 0.5 + ny * ly * 0.5 + nz * (lz * 0.5 + 0.5)
    half = math.sqrt(0.25 * (lx * lx + ly * ly) + (lz * 0.5 + 0.5) ** 2)
    shine = np.maximum(shine_at * (1 / half), 0)
    for _ in range(4):
        shine *= shine
    shine = shine * (1 - shadow)
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
    x = (_GRID[x0 : x0 + w] - np.float32(wx))[None, :]
    y = (_GRID[y0 : y0 + h] - np.float32(wy))[:, None]
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
