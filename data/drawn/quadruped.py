"""A four-legged animal: its build, its pose, and its picture with the keypoints of AP-10K.

Lengths are in trunks. A place is (forward, up, right) of the animal until it is seen by the camera: (x to the right,
y down, z away). Built from the round cones of `data.drawn.raster`: exact arithmetic, the same on every machine.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.drawn.raster import FAR, RES, Canvas, Lens, Plane, cone
from data.drawn.scenery import noise
from data.drawn.shade import Light
from data.drawn.skeleton import SIDE, Array, between, cos_sin

SPAN = 108
"""The longer extent of a drawn animal on its map of RES x RES pixels."""

_FLESH, _LIMB, _TIP, _DARK, _EAR = 1, 2, 3, 4, 5  # parts: coat, coat of legs, feet, eyes and nose, ears
_DEPTH = 9.0  # of the camera: far, so that little is widened
_EDGE = [min(max((v - 76) * 5 // 2, 0), 255) for v in range(256)]  # a blurred outline made narrow again


@dataclass(frozen=True)
class Build:
    """Proportions of a kind of animal; lengths and radii in trunks, `carry` in degrees above the horizontal."""

    id: int
    name: str
    family: str
    leg: float
    chest: float
    belly: float
    neck: float
    carry: float
    throat: float
    skull: float
    head: float
    muzzle: float
    snout: float
    ear: float
    tail: float
    bone: float


KINDS = (  # with AP-10K's numbers and families
    Build(5, "cow", "Bovidae", 0.56, 0.27, 0.26, 0.28, 18, 0.15, 0.14, 0.12, 0.20, 0.085, 0.13, 0.50, 0.060),
    Build(8, "dog", "Canidae", 0.56, 0.19, 0.15, 0.26, 45, 0.11, 0.10, 0.105, 0.15, 0.050, 0.12, 0.36, 0.047),
    Build(17, "deer", "Cervidae", 0.80, 0.18, 0.17, 0.44, 58, 0.08, 0.10, 0.080, 0.15, 0.045, 0.15, 0.10, 0.034),
    Build(21, "horse", "Equidae", 0.86, 0.23, 0.21, 0.50, 48, 0.12, 0.16, 0.095, 0.24, 0.065, 0.10, 0.50, 0.047),
    Build(24, "cat", "Felidae", 0.42, 0.16, 0.15, 0.14, 38, 0.09, 0.07, 0.105, 0.05, 0.055, 0.10, 0.58, 0.042),
    Build(48, "pig", "Suidae", 0.34, 0.27, 0.25, 0.14, 8, 0.19, 0.14, 0.15, 0.17, 0.085, 0.13, 0.14, 0.062),
)

_COATS = (
    (0.42, 0.26, 0.14),
    (0.60, 0.42, 0.24),
    (0.76, 0.62, 0.42),
    (0.16, 0.13, 0.12),
    (0.45, 0.43, 0.42),
    (0.86, 0.82, 0.76),
    (0.55, 0.25, 0.11),
    (0.80, 0.58, 0.50),
)


@dataclass(frozen=True)
class Pose:
    """One animal's limbs: places (forward, up, right) of the keypoints and of what lies between them.

    Attributes:
        points: (17, 3), AP-10K's keypoints.
        radii: (17,), of the flesh about each.
        cones: Ends, their radii, part and how far it melts into the rest.
    """

    points: Array
    radii: Array
    cones: tuple[tuple[Array, Array, float, float, int, float], ...]


@dataclass(frozen=True)
class Portrait:
    """A drawn animal on its own map.

    Attributes:
        colours: RGB (RES, RES).
        cover: L (RES, RES), 255 where the animal is.
        points: (17, 2), x and y on the map, pixel middles at whole numbers.
        hidden: (17,), whether other parts of the animal are before a keypoint.
        top: The highest y.
        feet: The lowest y.
    """

    colours: Image.Image
    cover: Image.Image
    points: Array
    hidden: NDArray[np.bool_]
    top: float
    feet: float


def varied(rng: np.random.Generator, kind: Build) -> Build:
    """An individual of a kind."""
    sizes = {
        name: getattr(kind, name) * between(rng, 0.88, 1.12)
        for name in ("leg", "chest", "belly", "neck", "throat", "head", "muzzle", "snout", "ear", "tail", "bone")
    }
    return replace(kind, **sizes)


def posed(rng: np.random.Generator, build: Build) -> Pose:
    """Stand, walk, run or graze."""
    stride = between(rng, 2, 12) if rng.random() < 0.45 else between(rng, 12, 38)
    b, cones = build, list[tuple[Array, Array, float, float, int, float]]()
    points, radii = np.zeros((17, 3)), np.full(17, b.bone)
    back = b.leg + 0.75 * b.chest  # height of the trunk's middle

    def limb(a: Array, z: Array, ra: float, rz: float, part: int = _FLESH, melt: float = 0.05) -> None:
        cones.append((a, z, ra, rz, part, melt))

    chest, rump = np.array([0.36, back, 0.0]), np.array([-0.36, back + between(rng, -0.03, 0.05), 0.0])
    limb(rump, chest, b.belly, b.chest)
    limb(rump + _at(-0.02, 0.02, 0.0), rump + _at(-0.06, -0.02, 0.0), 0.95 * b.belly, 0.8 * b.belly)
    # Neck and head: lower when the animal grazes.
    grazes = rng.random() < (0.3 if b.leg > 0.5 else 0.12)
    cos, sin = cos_sin(between(rng, -50, -25) if grazes else b.carry + between(rng, -14, 14))
    away = between(rng, -0.4, 0.4)  # the head looks aside
    base = chest + _at(0.10, 0.35 * b.chest, 0.0)
    nape = base + b.neck * np.array([cos, sin, 0.3 * away])
    limb(chest + _at(0.02, 0.05, 0.0), nape, 0.78 * b.chest, b.throat)
    cos, sin = cos_sin(between(rng, -75, -45) if grazes else between(rng, -38, -8))
    ahead = np.array([cos, sin, away])
    ahead = ahead / np.sqrt((ahead * ahead).sum())
    side = np.array([-away, 0.0, 1.0]) / np.sqrt(1 + away * away)
    above = np.array([-ahead[1] * side[2], ahead[0] * side[2] - ahead[2] * side[0], ahead[1] * side[0]])
    brow = nape + ahead * b.skull
    tip = brow + ahead * b.muzzle
    limb(nape, brow, b.head, 0.95 * b.head, melt=0.03)
    limb(brow - above * 0.2 * b.head, tip - above * 0.25 * b.head, 0.85 * b.snout + 0.02, b.snout, melt=0.04)
    nose = tip + ahead * 0.75 * b.snout
    limb(nose, nose, 0.38 * b.snout, 0.38 * b.snout, _DARK, 0.0)
    for place, way in ((0, -1.0), (1, 1.0)):  # left, then right
        eye = brow + side * (way * 0.80 * b.head) + above * (0.38 * b.head) - ahead * (0.1 * b.head)
        limb(eye, eye, 0.21 * b.head + 0.004, 0.21 * b.head + 0.004, _DARK, 0.0)
        points[place], radii[place] = eye, 0.21 * b.head
        root = nape + side * (way * 0.7 * b.head) + above * (0.6 * b.head)
        limb(
            root,
            root + above * (0.8 * b.ear) + side * (way * 0.5 * b.ear) - ahead * (0.3 * b.ear),
            0.035,
            0.012,
            _EAR,
            0.01,
        )
    points[2], radii[2] = nose + ahead * 0.2 * b.snout, b.snout
    points[3], radii[3] = base + _at(-0.02, 0.45 * b.chest, 0.0), 0.8 * b.chest
    # Tail.
    root = rump + _at(-0.13, 0.72 * b.belly, 0.0)
    points[4], radii[4] = root, 0.1
    cos, sin = cos_sin(between(rng, 195, 262) if b.tail > 0.2 else between(rng, 130, 230))
    swing = between(rng, -0.4, 0.4)
    middle = root + b.tail * 0.5 * np.array([cos, sin, swing])
    cos, sin = cos_sin(between(rng, 200, 275))
    limb(root, middle, 0.045, 0.03, melt=0.02)
    limb(middle, middle + b.tail * 0.5 * np.array([cos, sin, swing]), 0.03, 0.035 if b.leg > 0.7 else 0.02, melt=0.01)
    # Legs; diagonal ones swing together.
    phase = between(rng, -1, 1)
    for place, way, front in ((5, -1.0, True), (8, 1.0, True), (11, -1.0, False), (14, 1.0, False)):
        swing = stride * phase * (1 if (way < 0) == front else -1) + between(rng, -7, 7)
        wide = way * (0.55 if front else 0.5) * (b.chest if front else b.belly)
        if front:
            joint = np.array([0.38, b.leg + 0.35 * b.chest, wide])
            limb(chest + _at(0.03, 0.2 * b.chest, 0.5 * wide), joint, 0.62 * b.chest, 1.9 * b.bone)
            lift = max(0.0, between(rng, -0.6, 1.0)) * stride
            bends = swing + between(rng, -4, 8), swing - lift - between(rng, 0, 5)
        else:
            joint = np.array([-0.34, b.leg + 0.30 * b.belly, wide])
            limb(rump + _at(-0.02, 0.1 * b.belly, 0.4 * wide), joint, 0.78 * b.belly, 2.3 * b.bone)
            bends = (
                swing - between(rng, 16, 28),
                swing + between(rng, 2, 12) - max(0.0, between(rng, -0.8, 0.8)) * stride,
            )
        length, at = joint[1], joint
        for step, bend in enumerate(bends):
            cos, sin = cos_sin(bend)
            after = at + length * (0.53, 0.52)[step] * np.array([sin, -cos, 0.0])
            limb(at, after, (1.8 if front else 2.2, 1.15)[step] * b.bone, (1.15, 0.85)[step] * b.bone, _LIMB, 0.02)
            points[place + step], at = at, after
        points[place + 2] = at
        radii[place] = 2 * b.bone
        limb(at, at + _at(0.035, -0.01, 0.0), 1.15 * b.bone, 0.95 * b.bone, _TIP, 0.005)
    return Pose(points, radii, tuple(cones))


def portrait(rng: np.random.Generator, pose: Pose, yaw: float, tilt: float, light: Light) -> Portrait:
    """Draw an animal as large as its map allows.

    Args:
        rng: For its coat.
        pose: Its limbs.
        yaw: Where it faces, degrees: 0 to the picture's right, 90 away.
        tilt: How far the camera looks down, degrees.
        light: Where it comes from.
    """
    (c, s), (ct, st) = cos_sin(yaw), cos_sin(tilt)
    turned = np.array([[c, 0.0, s], [0.0, -1.0, 0.0], [s, 0.0, -c]])  # rows: forward, up and right in the camera
    turned = turned @ np.array([[1.0, 0.0, 0.0], [0.0, ct, st], [0.0, -st, ct]])
    ends = np.concatenate(
        [np.stack([a - r, a + r]) for one in pose.cones for a, r in zip(one[:2], one[2:4], strict=True)]
    )
    seen = ends @ turned
    low, high = seen.min(0), seen.max(0)
    middle = (low + high) / 2
    scale = SPAN / float((high - low)[:2].max())
    focal = scale * _DEPTH * SIDE / RES
    shift = np.array([-middle[0], -middle[1], _DEPTH - middle[2]])
    lens = Lens(np.array([[focal, 0, (SIDE - 1) / 2], [0, focal, (SIDE - 1) / 2], [0, 0, 1.0]]), _DEPTH)
    flat = (RES, RES)
    canvas = Canvas(np.full(flat, FAR, np.float32), np.zeros(flat, np.uint8), np.zeros(flat, np.float32))
    for a, z, ra, rz, part, melt in pose.cones:
        cone(canvas, lens, a @ turned + shift, z @ turned + shift, ra, rz, part, melt * scale)
    places = np.array([lens.see(point) for point in pose.points @ turned + shift])
    columns, rows = (np.rint(places[:, n]).astype(int).clip(0, RES - 1) for n in (0, 1))
    hidden = canvas.depth[rows, columns] > places[:, 2] + 1.35 * pose.radii * places[:, 3] + 2
    colours, cover = _coloured(rng, canvas, light)
    rows = np.flatnonzero((canvas.depth > FAR / 2).any(1))
    return Portrait(colours, cover, places[:, :2], hidden, float(rows[0]), float(rows[-1]))


def _at(*place: float) -> Array:
    return np.array(place)


def _coloured(rng: np.random.Generator, canvas: Canvas, light: Light) -> tuple[Image.Image, Image.Image]:
    """Coat, lamp and shadow."""
    z, part, inside = canvas.depth, canvas.part, canvas.depth > FAR / 2
    ground = float(z[inside].min())
    nx, ny, nz = _normals(z, inside)
    lx, ly, lz = light.towards
    lit = np.maximum(nx * lx + ny * ly + nz * lz + 0.25, 0) * (1 / 1.25)
    level = np.where(inside, z - ground, 0) * np.float32(1 / 90)
    hollow = np.maximum(_soft(level, 5) - level, 0) * 2.2  # behind and below other parts less light arrives
    sky = np.maximum(0.75 - 0.25 * ny - hollow, 0.25)
    a, b = (_COATS[int(rng.random() * len(_COATS))] for _ in range(2))
    size = (RES, RES)
    kind = float(rng.random())
    patches = np.asarray(noise(rng, size, (9, 7) if kind < 0.3 else (22, 6)), np.float32) * np.float32(1 / 255)
    pale = np.clip(ny * 1.5 - 0.2, 0, 1) * np.float32(between(rng, 0.0, 0.5))  # a lighter belly
    second = np.clip((patches - 0.56) * 9, 0, 1) if kind < 0.5 else pale
    fur = np.asarray(noise(rng, size, 64, 100), np.float32) * np.float32(1 / 128) - 1
    feet = between(rng, 0.25, 1.0)
    planes = []
    for c in range(3):
        coat = a[c] * (1 - second) + b[c] * second
        coat *= 1 + 0.16 * fur
        np.copyto(coat, np.float32(0.82) * coat, where=part == _EAR)
        np.copyto(coat, np.float32(feet) * coat, where=part == _TIP)
        np.copyto(coat, np.float32((0.045, 0.035, 0.03)[c]), where=part == _DARK)
        lamp = lit * (light.lamp[c] * 0.85) + sky * (light.ambient[c] * 1.15)
        lamp *= coat
        lamp = lamp * (lamp * 0.25 + 1) / (lamp + 0.6)  # highlights roll off
        planes.append(Image.fromarray(np.minimum(lamp * 255, 255).astype(np.uint8)))
    cover = Image.fromarray(inside.astype(np.uint8) * np.uint8(255)).filter(ImageFilter.BoxBlur(1))
    return Image.merge("RGB", planes), cover.point(_EDGE)


def _normals(z: Plane, inside: NDArray[np.bool_]) -> tuple[Plane, Plane, Plane]:
    """Unit normals, z to the camera; steps between parts are not slopes."""
    slopes = []
    for axis in (1, 0):
        d = np.diff(z, axis=axis, append=z.take([-1], axis))
        e = np.roll(d, 1, axis)
        slopes.append(np.clip(-np.where(np.abs(d) < np.abs(e), d, e), -3, 3) * inside)
    nz = 1 / np.sqrt(slopes[0] * slopes[0] + slopes[1] * slopes[1] + 1)
    return slopes[0] * nz, slopes[1] * nz, nz


def _soft(plane: Plane, radius: float) -> Plane:
    """Blurred by Pillow's integer filters; values of 0 to 1 are kept."""
    image = Image.fromarray((np.clip(plane, 0, 1) * 255).astype(np.uint8))
    for _ in range(2):
        image = image.filter(ImageFilter.BoxBlur(radius))
    return np.asarray(image, np.float32) * np.float32(1 / 255)
