"""Draws flesh and held things as round cones in a depth map.

A bone's flesh is the envelope of spheres from one joint to the next. Along a pixel's ray its nearest point has a closed
form, so a part costs about fifteen operations on its bounding box. Parts of one body melt into each other by a
smooth maximum.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.drawn.geometry import Array, Mask, Plane, between, norm, table
from data.drawn.skeleton import SIDE, Hand

RES = 128  # side of the map that hands are drawn on, pixels; the photograph's softness comes from enlarging it to SIDE
FAR = -1e4  # depth map where nothing was drawn (pixels towards the camera, relative to the hand)
PALM, ARM, SLEEVE, THING = 21, 22, 23, 24
"""Numbers of parts: 1 to 20 are the bones ending in these joints, then palm, forearm, sleeve and held thing."""
GRID = np.arange(RES, dtype=np.float32)  # pixel coordinates along a side

Limb = Callable[..., None]  # `cone` with canvas and lens given
_SHRINK = RES / SIDE
_RADII = table(
    "0.0150 0.0125 0.0105 0.0095 0.0078, 0.0130 0.0112 0.0088 0.0078 0.0064, 0.0125 0.0114 0.0090 0.0080 0.0066,"
    "0.0125 0.0108 0.0084 0.0074 0.0062, 0.0125 0.0100 0.0074 0.0064 0.0054"
)
"""Metres at a finger's base, then at each joint to its tip."""


@dataclass(frozen=True)
class Canvas:
    """Three (RES, RES) planes: depth in pixels towards the camera, number of the part, place along it in [0, 1]."""

    depth: Plane
    part: NDArray[np.uint8]
    along: Plane

    @classmethod
    def empty(cls) -> "Canvas":
        """Nothing is drawn yet."""
        flat = (RES, RES)
        return cls(np.full(flat, FAR, np.float32), np.zeros(flat, np.uint8), np.zeros(flat, np.float32))

    @property
    def covered(self) -> Mask:
        """Where something is drawn."""
        return self.depth > FAR / 2


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
    px, py = GRID[x0:x1] - np.float32(ax), GRID[y0:y1] - np.float32(ay)
    # q(t) = r(t)^2 - |p - c(t)|^2 = Q - alpha (t - m)^2; the surface is the largest az + t dz + sqrt(q).
    # Below, m and t are measured in units of 1 / sqrt(alpha).
    root = math.sqrt(alpha)
    m = (px * (dx / root))[None, :] + (py * (dy / root) + ra * dr / root)[:, None]
    top = m * m
    top += (ra * ra - px * px)[None, :]
    top -= (py * py)[:, None]
    t = np.sqrt(np.maximum(top, 0, out=top))
    t *= dz / math.sqrt(alpha + dz * dz)
    t += m
    np.minimum(np.maximum(t, 0, out=t), root, out=t)
    m -= t
    m *= m
    top -= m
    hit = top > 0
    height = np.sqrt(np.maximum(top, 0, out=top), out=top)
    height += np.multiply(t, dz / root, out=m)
    height += az
    t *= 1 / root
    _put(canvas, np.s_[y0:y1, x0:x1], height, hit, part, t, melt)


def _put(
    canvas: Canvas, box: tuple[slice, slice], height: Array | Plane, hit: Mask, part: int, along: Any, melt: float = 0.0
) -> None:
    """Draws what lies before the rest; near it the two surfaces become one by a smooth maximum."""
    old = canvas.depth[box]
    front = height > old
    front &= hit
    np.copyto(canvas.part[box], np.uint8(part), where=front)
    np.copyto(canvas.along[box], along, where=front)
    if melt > 0:
        blend = np.maximum(melt - np.abs(height - old), 0)
        blend *= blend
        blend *= 0.25 / melt
        blend *= hit
    np.copyto(old, height, where=front)
    if melt > 0:
        old += blend


def flesh(canvas: Canvas, lens: Lens, hand: Hand, girth: float, sleeve: float) -> None:
    """Draws forearm, palm, thumb and fingers; from `sleeve` metres above the wrist on there is cloth."""
    size = girth * hand.scale
    melt = 0.012 * size * lens.see(hand.joints[9])[3]
    limb = partial(cone, canvas, lens)
    wrist = hand.joints[0] - hand.axes[2] * (0.002 * size)
    _forearm(limb, hand, wrist, size, sleeve, melt)
    _palm(limb, hand, wrist, size, melt)
    _fingers(limb, hand, size, melt)


def _forearm(limb: Limb, hand: Hand, wrist: Array, f: float, sleeve: float, melt: float) -> None:
    side = hand.axes[0]
    for way in (-1.0, 1.0, 0.0):
        a, b = wrist + side * (0.0125 * f * way), hand.elbow + side * (0.018 * f * way)
        near, more = a + (b - a) * 0.25, 0.0012 * f * (way == 0)
        limb(a, near, 0.0158 * f + more, 0.0180 * f + more, ARM, 0.4 * melt)
        if sleeve > 0.07 and way:
            limb(near, b, 0.0180 * f + more, 0.030 * f, ARM, melt)
        if sleeve < 0.3 and way:
            limb(a + (b - a) * (sleeve / 0.3), b, 0.024 * f + more, 0.042 * f, SLEEVE, melt)


def _palm(limb: Limb, hand: Hand, wrist: Array, f: float, melt: float) -> None:
    """A fan of metacarpals and what lies between them, the heel, the thumb's ball and the web to the index finger."""
    j, (side, _, palm) = hand.joints, hand.axes
    heads = [j[5], j[9], j[13], j[17]]
    roots = [wrist + side * (x * f) for x in (0.013, 0.005, -0.005, -0.012)]
    for n in range(3):
        for s in (0.0, 0.5):
            root, head = roots[n] + (roots[n + 1] - roots[n]) * s, heads[n] + (heads[n + 1] - heads[n]) * s
            limb(root, head, 0.0160 * f, (0.0115 - 0.0006 * (s > 0)) * f, PALM, 0.3 * melt)
    limb(roots[3], heads[3], 0.0155 * f, 0.0108 * f, PALM, 0.3 * melt)
    heel = wrist - side * (0.013 * f) + (heads[3] - wrist) * 0.15 + palm * (0.003 * f)
    edge = heads[3] * 0.75 + wrist * 0.25 + palm * (0.002 * f)
    limb(heel, edge, 0.0135 * f, 0.0118 * f, PALM, 0.6 * melt)
    ball = j[1] * 0.45 + j[2] * 0.55 + palm * (0.002 * f) - side * (0.004 * f)
    limb(wrist + side * (0.010 * f) + (j[1] - wrist) * 0.35, ball, 0.0145 * f, 0.0150 * f, PALM, melt)
    for s, t, r in ((0.25, 0.30, 0.0125), (0.55, 0.48, 0.0105), (0.85, 0.66, 0.0080)):
        a, b = j[1] + (j[2] - j[1]) * s, j[0] + (j[5] - j[0]) * t
        limb(a, b + (a - b) * 0.1, r * f, (r + 0.0015) * f, PALM, melt)


def _fingers(limb: Limb, hand: Hand, f: float, melt: float) -> None:
    """Thumb and fingers, and the webs between these."""
    j = hand.joints
    for n, radii in enumerate(_RADII):
        first = 4 * n + 1
        if n == 0:
            limb(j[1], j[2], radii[0] * f, radii[2] * f * 1.06, 2, melt)
        for k in range(1 if n == 0 else 0, 3):
            a, b, rb = j[first + k], j[first + k + 1], radii[k + 2] * f
            if k == 2:  # the label is where the tip's skin nearly is
                b = b + (a - b) * (0.5 * rb / norm(b - a))
            limb(a, b, radii[k + 1] * f, rb, first + k + 1, melt * (0.75 if k == 0 else 0.3))
            if n and k == 0:  # the pad of the first bone, on the palm's side
                pad = hand.dorsal[first + 1] * (-0.0022 * f)
                low, high = a + (b - a) * 0.30 + pad, a + (b - a) * 0.72 + pad
                limb(low, high, rb, rb * 0.96, first + 1, melt * 0.5)
    for p in (5, 9, 13):
        q = p + 4
        a, b = j[p] + (j[p + 1] - j[p]) * 0.26, j[q] + (j[q + 1] - j[q]) * 0.26
        if norm(a - b) < 0.032 * f:
            limb(a, b, 0.0064 * f, 0.0064 * f, PALM, 0.8 * melt)


def card(canvas: Canvas, lens: Lens, middle: Array, u: Array, v: Array, part: int) -> None:
    """Adds the flat parallelogram middle +- u +- v (metres)."""
    (x, y, z, _), (xu, yu, zu, _), (xv, yv, zv, _) = (lens.see(p) for p in (middle, middle + u, middle + v))
    ux, uy, uz, vx, vy, vz = xu - x, yu - y, zu - z, xv - x, yv - y, zv - z
    area = ux * vy - uy * vx
    if abs(area) < 20:  # seen from its edge
        return
    px, py = (GRID - np.float32(x))[None, :], (GRID - np.float32(y))[:, None]
    s, t = px * (vy / area) - py * (vx / area), py * (ux / area) - px * (uy / area)
    height = s * uz + t * vz + np.float32(z)
    inside = np.maximum(np.abs(s), np.abs(t)) < 1
    _put(canvas, np.s_[:, :], height, inside, part, (s + 1) * 0.5)


def held(rng: np.random.Generator, canvas: Canvas, lens: Lens, hand: Hand) -> None:
    """Puts a rod, bottle, ball or card where the hand would hold it; fingers close round it in depth."""
    limb = partial(cone, canvas, lens)
    (at, way), palm, up = hand.grip, hand.axes[2], hand.axes[1]
    kind = float(rng.random())
    low, high = between(rng, 0.04, 0.11), between(rng, 0.06, 0.16)
    small = min(0.62 + 0.6 * hand.curl, 1.0) * hand.scale  # an open hand would vanish behind something large
    if kind < 0.35:  # pen to broomstick
        r = between(rng, 0.004, 0.013)
        at = at + palm * r
        limb(at - way * low, at + way * high, r, r * between(rng, 0.6, 1.1), THING)
    elif kind < 0.62:  # bottle or tin
        r = between(rng, 0.021, 0.031) * small
        at = at + palm * r
        top = at + way * (high * small)
        limb(at - way * (low * small), top, r, r, THING)
        if rng.random() < 0.6:
            limb(top, top + way * 0.05, 0.6 * r, 0.4 * r, THING, 4.0)
    elif kind < 0.82:  # ball or fruit
        r = between(rng, 0.022, 0.034) * small
        at = at + palm * r
        limb(at, at + way * 0.003, r, r * between(rng, 0.9, 1.0), THING)
    else:  # a card or a telephone flat on the palm, under the fingers
        heads = (hand.joints[5] + hand.joints[9] + hand.joints[13] + hand.joints[17]) * 0.25
        middle = heads + palm * (0.0145 * hand.scale) - up * (0.030 * hand.scale)
        turned = between(rng, -0.4, 0.4)
        u, v = way + up * turned, up - way * turned
        card(canvas, lens, middle, u * between(rng, 0.035, 0.065), v * between(rng, 0.024, 0.040), THING)
