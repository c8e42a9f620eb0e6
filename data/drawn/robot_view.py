"""Ray-casts capsules and boxes on a table: colour and true depth from any number of cameras.

Everything is in metres in the world's frame: z points up, the table is z = 0. A solid is only met by the rays of its
bounding rectangle, so that a camera's two dozen solids cost about as much as its table.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

SIDE = 224  # width and height of every picture, pixels

CELL = 0.002  # side of a cell of the table, metres

UP = np.array([0.0, 0.0, 1.0])


def dot(a: Array, b: Array) -> Array:
    """Scalar products (...) along the last axis, of three; BLAS gains nothing here, and its last digit varies."""
    product: Array = a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]
    return product


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; pixel centres lie at integers, and the axis goes through ((SIDE - 1) / 2, (SIDE - 1) / 2)."""

    place: Array  # its centre, (3,), metres
    axes: Array  # rows are right, down and forward, (3, 3), orthonormal
    focal: float  # in pixels

    def see(self, points: Array) -> tuple[Array, Array]:
        """Pixels (..., 2) as (x, y), and depths along the axis (...), metres, of world points (..., 3)."""
        local = (points - self.place) @ self.axes.T
        return local[..., :2] / local[..., 2:] * self.focal + (SIDE - 1) / 2, local[..., 2]

    @cached_property
    def rays(self) -> Array:
        """Directions of all pixels' rays in the world, (SIDE, SIDE, 3), of which one unit is one metre of depth."""
        across = (np.arange(SIDE) - (SIDE - 1) / 2) / self.focal
        local = np.stack([*np.meshgrid(across, across), np.ones((SIDE, SIDE))], -1)
        rays: Array = local @ self.axes
        return rays

    @cached_property
    def floor(self) -> tuple[Array, Array]:
        """Depths (SIDE, SIDE) of the plane z = 0, and its cells (SIDE, SIDE, 2) of CELL metres, (x, y)."""
        depth = -self.place[2] / self.rays[..., 2]
        return depth, np.floor((self.place[:2] + depth[..., None] * self.rays[..., :2]) / CELL).astype(int)


def camera(azimuth: float, elevation: float, distance: float, target: Array, focal: float) -> Camera:
    """A camera that looks at `target` from the side (degrees, degrees, metres), its picture upright."""
    turn, rise = np.radians([azimuth, elevation])
    away = np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])
    right = np.cross(-away, UP)
    right /= np.linalg.norm(right)
    return Camera(target + distance * away, np.stack([right, np.cross(-away, right), -away]), focal)


@dataclass(frozen=True)
class Capsule:
    """All points within `radius` of the segment from `a` to `b`; a sphere where they are one point."""

    a: Array
    b: Array
    radius: float
    colour: Array
    gloss: float = 0.3

    def core(self) -> tuple[Array, float]:
        """The two ends of a segment (2, 3), and a radius about it, for the solid's shadow."""
        return np.stack([self.a, self.b]), self.radius

    reach = core

    def meet(self, place: Array, rays: Array) -> tuple[Array, Array]:
        """Depths (...), infinite where missed, and normals (..., 3) of the first points that rays meet.

        The cylinder's quadratic gives a place along the axis; beyond an end the ray can only meet that end's sphere.
        """
        axis, start = self.b - self.a, place - self.a
        length, square = float(axis @ axis), dot(rays, rays)
        depth = _sphere(start, rays, square, self.radius)
        if length == 0:
            return depth, (start + np.where(np.isfinite(depth), depth, 0)[..., None] * rays) / self.radius
        depth = np.minimum(depth, _sphere(place - self.b, rays, square, self.radius))
        along, begin = dot(rays, axis), float(start @ axis)
        a = np.maximum(length * square - along * along, 1e-12)
        b = length * dot(rays, start) - along * begin
        c = length * (start @ start) - begin * begin - self.radius**2 * length
        root = b * b - a * c
        round_it = (-b - np.sqrt(np.maximum(root, 0))) / a
        spot = begin + round_it * along
        depth = np.where((root >= 0) & (spot > 0) & (spot < length), round_it, depth)
        point = start + np.where(np.isfinite(depth), depth, 0)[..., None] * rays
        return depth, (point - (dot(point, axis) / length).clip(0, 1)[..., None] * axis) / self.radius


def _sphere(start: Array, rays: Array, square: Array, radius: float) -> Array:
    """Where rays (..., 3) of squared lengths `square` from `start` meet a sphere about 0; infinite where missed."""
    half = dot(rays, start)
    root = half * half - square * (start @ start - radius**2)
    depth: Array = np.where(root >= 0, (-half - np.sqrt(np.maximum(root, 0))) / square, np.inf)
    return depth


@dataclass(frozen=True)
class Box:
    """A box: its middle, its three half sides, and the directions these have (rows, orthonormal)."""

    middle: Array
    half: Array
    axes: Array
    colour: Array
    gloss: float = 0.3

    def reach(self) -> tuple[Array, float]:
        """Points, and a radius about them, that hold the solid."""
        signs = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), -1).reshape(-1, 3)
        return self.middle + (signs * self.half) @ self.axes, 0.0

    def core(self) -> tuple[Array, float]:
        """The two ends of a segment (2, 3), and a radius about it, for the solid's shadow."""
        along = max(float(self.half[0] - 0.8 * self.half[1]), 0.0) * self.axes[0]
        return np.stack([self.middle - along, self.middle + along]), float(self.half[1])

    def meet(self, place: Array, rays: Array) -> tuple[Array, Array]:
        """Depths (...), infinite where missed, and normals (..., 3), by slabs."""
        start, local = self.axes @ (place - self.middle), np.stack([dot(rays, axis) for axis in self.axes], -1)
        local = np.where(np.abs(local) < 1e-12, 1e-12, local)
        near = (-np.sign(local) * self.half - start) / local
        far = (np.sign(local) * self.half - start) / local
        first = near.argmax(-1)
        enter = near.max(-1)
        normal = -np.sign(np.take_along_axis(local, first[..., None], -1)) * self.axes[first]
        return np.where((enter <= far.min(-1)) & (enter > 0), enter, np.inf), normal


Solid = Capsule | Box


@dataclass(frozen=True)
class Light:
    """One distant lamp and an even glow."""

    towards: Array  # unit vector to the lamp, (3,)
    lamp: float  # its strength
    glow: float  # brightness of what the lamp does not reach


@dataclass(frozen=True)
class Table:
    """The plane z = 0, its pattern repeated every `len(grain) * CELL` metres with the origin in the middle."""

    tint: Array  # its colour, (3,), 0..1
    grain: Array  # brightness of its cells, (T, T), about 1; rows are y, columns x


def view(lens: Camera, solids: list[Solid], light: Light, table: Table, hidden: Array) -> tuple[Array, Array]:
    """What a camera above the table sees: colours (SIDE, SIDE, 3), 0..1, and depths (SIDE, SIDE), metres.

    Depths are along the camera's axis; all of its rays must go down. `hidden` is the shadow on the table, by `shadow`.
    """
    rays = lens.rays
    depth, cell = lens.floor[0].copy(), lens.floor[1] + len(hidden) // 2
    at = cell[..., 1] % len(hidden), cell[..., 0] % len(hidden)
    brightness = light.glow + light.lamp * light.towards[2] * (1 - 0.8 * hidden[at])
    colour = (table.grain[at] * brightness)[..., None] * table.tint
    for solid in solids:
        points, radius = solid.reach()
        pixels, far = lens.see(points)
        margin = 1.2 * lens.focal * radius / max(float(far.min()) - radius, 0.05) + 1
        low = np.floor(pixels.min(0) - margin).astype(int).clip(0, SIDE)
        high = np.ceil(pixels.max(0) + margin).astype(int).clip(-1, SIDE) + 1
        window = np.s_[low[1] : high[1], low[0] : high[0]]
        if depth[window].size == 0:
            continue
        met, normal = solid.meet(lens.place, rays[window])
        nearer = met < depth[window]
        depth[window][nearer] = met[nearer]
        colour[window][nearer] = _shaded(solid, normal[nearer], rays[window][nearer], light)
    return colour.clip(0, 1), depth


def shadow(solids: list[Solid], light: Light, side: int) -> Array:
    """How much of the lamp is hidden from each cell of a table, (side, side), 0..1; softer the higher the solid is.

    A solid's shadow is that of all points within a radius of a segment's own shadow: exact for a lamp overhead.
    """
    hidden = np.zeros((side, side))
    slope = light.towards[:2] / light.towards[2]
    middles = (np.arange(side) + 0.5 - side // 2) * CELL
    for solid in solids:
        ends, radius = solid.core()
        a, b = ends[:, :2] - ends[:, 2:] * slope
        soft = 0.004 + 0.08 * float(ends[:, 2].mean())
        low = np.searchsorted(middles, np.minimum(a, b) - radius - soft)
        high = np.searchsorted(middles, np.maximum(a, b) + radius + soft)
        x, y = middles[low[0] : high[0]] - a[0], (middles[low[1] : high[1]] - a[1])[:, None]
        axis = b - a
        along = ((x * axis[0] + y * axis[1]) / max(float(axis @ axis), 1e-12)).clip(0, 1)
        away = np.hypot(x - along * axis[0], y - along * axis[1])
        part = hidden[low[1] : high[1], low[0] : high[0]]
        np.maximum(part, ((radius + soft - away) / (2 * soft)).clip(0, 1), out=part)
    return hidden


def _shaded(solid: Solid, normal: Array, rays: Array, light: Light) -> Array:
    """Diffuse light, darker from below, and a highlight (Blinn 1977)."""
    towards = light.towards - rays / np.sqrt(dot(rays, rays))[..., None]
    towards /= np.sqrt(dot(towards, towards))[..., None]
    diffuse = light.lamp * dot(normal, light.towards).clip(0) + light.glow * (0.7 + 0.3 * normal[..., 2])
    shine = solid.gloss * dot(normal, towards).clip(0) ** 30
    colour: Array = solid.colour * diffuse[..., None] + shine[..., None]
    return colour
