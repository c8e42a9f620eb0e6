"""A parametric head: its surface, its colours and its 68 landmarks, which move together.

The surface is a sphere, (X, Y, Z) with X to the picture's right, Y down and Z to the viewer, pressed into the shape
of a head by smooth bumps; eyes, brows and lips are drawn on it by curves in (X, Y), and the landmarks are points of
these curves and of that surface. The unit of length is half a head's height.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from data.drawn.background import muted_reflectance
from data.drawn.geometry import Array, Plane, Reflectance, between, bump, choice, cos_sin, table
from data.drawn.geometry import smooth_ramp as ramp
from data.drawn.shading import skin_tone

Planes = tuple[Plane, Plane, Plane]

AROUND, DOWN = 224, 176
"""Vertices along a circle of latitude and a meridian: less than 1.4 pixels of the picture apart on the largest head."""

_LINES = {"jaw": 17, "right brow": 5, "left brow": 5, "nose bridge": 4, "nostrils": 5}
_LOOPS = {"right eye": 6, "left eye": 6, "outer lip": 12, "inner lip": 8}
LANDMARKS = tuple(f"{name} {n}" for name, count in {**_LINES, **_LOOPS}.items() for n in range(1, count + 1))
"""The 68 landmarks of iBUG 300-W (Sagonas et al. 2013); right and left are the person's own."""
_STARTS = dict(zip({**_LINES, **_LOOPS}, (0, 17, 22, 27, 31, 36, 42, 48, 60), strict=True))
FACE_EDGES = tuple(
    (first + n, first + (n + 1) % count)
    for (name, first), count in zip(_STARTS.items(), {**_LINES, **_LOOPS}.values(), strict=True)
    for n in range(count if name in _LOOPS else count - 1)
)
"""What a drawing joins: jaw, brows, bridge and base of the nose as lines; eyes and lips as loops."""
MIRRORED = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46),
    *(39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)
"""Which landmark each one becomes in a mirror."""

_SIZES = ["wide", "deep", "jaw", "nose", "nostril", "apart", "eye", "lids", "brow", "arch", "bushy", "mouth"]
_RANGES = table(
    "0.66 0.76, 0.80 0.92, -0.07 0.12, 0.15 0.27, 0.15 0.22, 0.38 0.45, 0.17 0.205, 0.055 0.085, 0.15 0.23, 0.02 0.07,"
    "0.018 0.04, 0.29 0.37"
)
_HAIRS = table("0.06 0.05 0.045, 0.14 0.09 0.06, 0.26 0.16 0.09, 0.55 0.40 0.22, 0.55 0.54 0.53")
_EYES = table("0.16 0.09 0.05, 0.28 0.17 0.08, 0.25 0.33 0.22, 0.28 0.42 0.55")


@dataclass(frozen=True)
class Face:
    """One person with one expression; lengths in half head heights, places in the sphere's X and Y."""

    wide: float  # half the head's width
    deep: float  # half its depth
    jaw: float  # how much wider the jaw is than an ellipsoid's, about 0
    nose: float  # how far its tip stands out
    nostril: float  # half the nose's width
    apart: float  # from the middle to the middle of an eye
    eye: float  # half an eye's width
    lids: float  # height of the open upper lid
    gaze: float  # where the irises are in the eyes, -1 to 1
    brow: float  # height of the brows above the eyes
    arch: float  # how bent they are
    bushy: float  # half their thickness
    mouth: float  # half the mouth's width
    lips: tuple[float, float]  # thickness of the upper and of the lower lip
    open: float  # half the mouth's opening
    smile: float  # how far its corners are raised
    hairline: float  # Y of the hair over the forehead; the crown is at -1
    length: float  # Y down to which hair hangs at the sides
    volume: float  # thickness of the hair
    beard: float  # 0 shaved to 1 full
    glasses: bool  # whether a frame is worn
    skin: Reflectance
    hair: Reflectance  # of hair and brows
    iris: Reflectance
    lip: Reflectance
    cloth: Reflectance
    seed: int  # of the small irregularities of skin and hair


def person(rng: np.random.Generator) -> Face:
    """Draw somebody at rest."""
    skin = skin_tone(rng)
    shade = int(rng.random() * 5)
    shade = shade - 2 if skin[0] < 0.7 and shade in (2, 3) else shade
    hair = np.asarray(_HAIRS[shade]) * between(rng, 0.8, 1.2)
    bald, long_ = rng.random() < 0.1, rng.random() < 0.4
    long_ = long_ and not bald
    red = between(rng, 0.0, 0.5)
    return Face(
        **{name: between(rng, low, high) for name, (low, high) in zip(_SIZES, _RANGES, strict=True)},
        gaze=0.0,
        lips=(between(rng, 0.05, 0.085), between(rng, 0.065, 0.11)),
        open=0.0,
        smile=0.0,
        hairline=-1.5 if bald else between(rng, -0.68, -0.42),
        length=between(rng, 0.7, 1.5) if long_ else between(rng, -0.25, 0.15),
        volume=between(rng, 0.06, 0.2) if long_ else between(rng, 0.02, 0.12),
        beard=0.0 if long_ or rng.random() < 0.6 else between(rng, 0.3, 1.0),
        glasses=bool(rng.random() < 0.2),
        skin=skin,
        hair=tuple(hair.tolist()),
        iris=choice(rng, _EYES),
        lip=(skin[0] * (0.86 + 0.1 * red), skin[1] * (0.66 - 0.2 * red), skin[2] * (0.70 - 0.1 * red)),
        cloth=muted_reflectance(rng),
        seed=int(rng.integers(0, 1 << 30)),
    )


def expression(rng: np.random.Generator, face: Face) -> Face:
    """The same person at another moment."""
    talks = rng.random() < 0.5
    return replace(
        face,
        open=between(rng, 0.01, 0.075) if talks else 0.0,
        smile=between(rng, -0.02, 0.075),
        lids=face.lids * (between(rng, 0.75, 1.15) if rng.random() < 0.93 else 0.12),
        gaze=between(rng, -0.5, 0.5),
        brow=face.brow + between(rng, -0.02, 0.045),
    )


def surface(face: Face, x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
    """Where points (x, y, z) of the unit sphere lie on the face, without hair."""
    front = ramp(z, 0.0, 0.35)
    side = 1 + face.jaw * bump(0, (y - 0.62) / 0.35) + 0.10 * bump(0, (y + 0.75) / 0.3)
    low = np.maximum(y, 0)
    out = face.deep * z + 0.42 * low * low
    ax = abs(x)
    # The nose: a ridge that rises to its tip and ends above the lip, and its two wings.
    rise = ramp(y, -0.10, 0.36) * (1 - ramp(y, 0.37, 0.50))
    ridge = face.nose * (0.18 + 0.82 * rise) * rise * bump(ax / (0.10 + 0.09 * rise), 0)
    wings = 0.45 * face.nose * bump((ax - 0.62 * face.nostril) / 0.08, (y - 0.41) / 0.075)
    sockets = -0.11 * bump((ax - face.apart) / 0.24, (y - 0.0) / 0.13)
    balls = 0.05 * bump((ax - face.apart) / 0.13, y / 0.09)
    brows = 0.05 * bump((ax - 0.36) / 0.35, (y + 0.19) / 0.10)
    cheeks = 0.07 * bump((ax - 0.52) / 0.22, (y - 0.26) / 0.20)
    _, above, below, _, _ = mouth(face, x)
    lips = 0.05 * bump(x / 0.42, (y - 0.60) / 0.13) + 0.03 * bump(x / 0.30, (y - 0.5 * (above + below) - 0.05) / 0.05)
    fold = -0.03 * bump(x / 0.25, (y - 0.77) / 0.05)
    chin = 0.08 * bump(x / 0.24, (y - 0.90) / 0.12)
    out = out + front * (ridge + wings + sockets + balls + brows + cheeks + lips + fold + chin)
    drop = 1.3 * face.open * ramp(y, 0.58, 0.95)
    return face.wide * x * side, y + drop, out


def landmarks(face: Face) -> Array:
    """Where the LANDMARKS lie on the surface, float64 (68, 3)."""
    spots: list[tuple[float, float]] = []
    for step in range(-8, 9):
        cos, sin = cos_sin(step * 11.5)
        spots.append((0.965 * sin, 0.965 * cos))
    along = (-1.0, -0.5, 0.0, 0.5, 1.0)
    for way in (-1, 1):  # both rows run from left to right in the picture
        spots += [(way * (face.apart + 0.02) + s * 0.26, float(brow(face, s * way))) for s in along]
    spots += [(0.0, y) for y in (0.0, 0.12, 0.24, 0.36)]
    spots += [(face.nostril * s, 0.465 + 0.035 * (1 - s * s)) for s in (-0.9, -0.45, 0.0, 0.45, 0.9)]
    for way in (-1, 1):
        for s, lid in ((-1.0, 0), (-0.4, 0), (0.4, 0), (1.0, 0), (0.4, 1), (-0.4, 1)):
            spots.append((way * face.apart + s * face.eye, float(lids(face, s * way)[lid])))
    for reach, inner, top, bottom in ((1.0, (-0.62, -0.28, 0.0, 0.28, 0.62), 0, 3), (0.9, (-0.28, 0.0, 0.28), 1, 2)):
        upper, lower = (
            [(s * face.mouth, float(mouth(face, s * face.mouth)[edge])) for s in inner] for edge in (top, bottom)
        )
        _, above, below, _, _ = mouth(face, reach * face.mouth)
        left, right = ((way * reach * face.mouth, float(above + below) / 2) for way in (-1, 1))
        spots += [left, *upper, right, *reversed(lower)]
    x, y = np.asarray(spots).T
    return np.stack(surface(face, x, y, np.sqrt(np.maximum(1 - x * x - y * y, 0))), 1)


def mouth(face: Face, x: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Y of the upper lip's two edges and of the lower lip's, downwards, and 1 within the mouth, 0 beside it."""
    s = np.minimum(abs(x) / face.mouth, 1.0)
    arc = 1 - s * s
    middle = 0.62 - face.smile * s * s + 0.012 * arc
    inner, lower = middle - face.open * arc, middle + face.open * arc
    upper = inner - face.lips[0] * arc * (1 - 0.22 * bump(s / 0.12, 0))  # Cupid's bow
    return upper, inner, lower, lower + face.lips[1] * arc, 1 - ramp(abs(x) / face.mouth, 0.98, 1.04)


def lids(face: Face, s: Any) -> tuple[Any, Any]:
    """Y of the upper and of the lower lid at s, from -1 beside the nose to 1 outside."""
    arc = 1 - s * s
    corner = -0.012 * s
    return corner - face.lids * arc * (1 + 0.15 * s), corner + 0.035 * arc


def brow(face: Face, s: Any) -> Any:
    """Y of a brow at s, from -1 beside the nose to 1 outside."""
    return -face.brow - face.arch * (1 - (s - 0.25) * (s - 0.25)) + 0.03 * s


@lru_cache(maxsize=1)
def sphere() -> Planes:
    """The unit sphere's vertices, three (DOWN, AROUND): all but a strip behind and the poles' tips."""

    def turned(first: float, last: float, count: int) -> tuple[Plane, Plane]:
        pairs = [cos_sin(first + (last - first) * n / (count - 1)) for n in range(count)]
        cos, sin = np.asarray(pairs, dtype=np.float32).T
        return np.ascontiguousarray(cos), np.ascontiguousarray(sin)

    cos, sin = turned(-150, 150, AROUND)
    level, height = turned(-88, 88, DOWN)
    return level[:, None] * sin, np.repeat(height[:, None], AROUND, 1), level[:, None] * cos
