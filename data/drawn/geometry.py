"""Vectors, rotations, ramps and random draws.

A drawing is to be the same on every machine. So it uses IEEE +, -, *, / and sqrt in a fixed order (no BLAS, no
reductions), trigonometry rounded to 2^-30, and Pillow's integer filters.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]
Reflectance = tuple[float, ...]
"""Red, green and blue, each about 0 to 1."""


def generator(seed: int, *key: int) -> np.random.Generator:
    """The random generator of one part of a set: `key` names the part, so that parts are independent of each other."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A uniform draw from [low, high)."""
    return low + (high - low) * float(rng.random())


def choice(rng: np.random.Generator, rows: tuple[Reflectance, ...]) -> Reflectance:
    """A row of a table, each equally likely."""
    return rows[int(rng.random() * len(rows))]


def table(text: str) -> tuple[Reflectance, ...]:
    """Rows of numbers from text: rows are separated by commas, numbers by spaces."""
    return tuple(tuple(map(float, row.split())) for row in text.split(","))


def cos_sin(degrees: float) -> tuple[float, float]:
    """Cosine and sine rounded to 2^-30, since libm's last bit differs between machines."""
    angle = math.radians(degrees)
    return round(math.cos(angle) * 2**30) / 2**30, round(math.sin(angle) * 2**30) / 2**30


def norm(v: Array) -> float:
    """The length of a vector of three, summed in a fixed order."""
    x, y, z = v.tolist()
    return math.sqrt(x * x + y * y + z * z)


def unit(v: Array) -> Array:
    """The vector scaled to length one."""
    return v / norm(v)


def rotation(axis: int, degrees: float) -> Array:
    """Rotation matrix (3, 3) about one of the three axes."""
    c, s = cos_sin(degrees)
    j, k = (axis + 1) % 3, (axis + 2) % 3
    r = np.eye(3)
    r[j, j], r[j, k], r[k, j], r[k, k] = c, -s, s, c
    return r


def turn(points: Array, rotation: Array) -> Array:
    """(n, 3) points times the transposed (3, 3) rotation, summed in a fixed order."""
    turned: Array = points[:, :1] * rotation[:, 0] + points[:, 1:2] * rotation[:, 1] + points[:, 2:] * rotation[:, 2]
    return turned


def ramp(value: Any, low: float, high: float) -> Any:
    """0 below low, 1 above high, straight between; for numbers and arrays."""
    return np.minimum(np.maximum((value - low) * (1 / (high - low)), 0), 1)


def smooth_ramp(value: Any, low: float, high: float) -> Any:
    """0 below low, 1 above high, smooth between; for numbers and arrays."""
    t = ramp(value, low, high)
    return t * t * (3 - 2 * t)


def bump(x: Any, y: Any) -> Any:
    """1 at the middle, a quarter at distance 1, smooth; for numbers and arrays."""
    falling = 1 / (1 + x * x + y * y)
    return falling * falling
