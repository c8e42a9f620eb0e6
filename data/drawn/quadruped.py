"""A four-legged animal: its build, its pose, and its picture with the keypoints of AP-10K.

Lengths are in trunks. A place is (forward, up, right) of the animal until it is seen by the camera: (x to the right,
y down, z away). Built from the round cones of `data.drawn.raster`.
"""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from data.drawn.background import noise, noise_plane
from data.drawn.geometry import Array, Mask, between, choice, cos_sin, table
from data.drawn.raster import RES, Canvas, Lens, cone
from data.drawn.shading import Light, coverage, exposed, normals, slopes, soft
from data.drawn.skeleton import SIDE

SPAN = 108  # the longer extent of a drawn animal on its map of RES x RES pixels

_FLESH, _LIMB, _TIP, _DARK, _EAR = 1, 2, 3, 4, 5  # parts: coat, coat of legs, feet, eyes and nose, ears
_DEPTH = 9.0  # of the camera: far, so that little is widened


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

_COATS = table(
    "0.42 0.26 0.14, 0.60 0.42 0.24, 0.76 0.62 0.42, 0.16 0.13 0.12, 0.45 0.43 0.42, 0.86 0.82 0.76, 0.55 0.25 0.11,"
    "0.80 0.58 0.50"
)


_Cone = tuple[Array, Array, float, float, int, float]  # two ends, their radii, part, how far it melts into the rest


@dataclass
class Pose:
    """One animal's limbs: places (forward, up, right) of the keypoints and of what lies between them."""

    points: Array  # (17, 3), AP-10K's keypoints
    radii: Array  # (17,), of the flesh about each
    cones: list[_Cone]  # the flesh

    def limb(self, a: Array, b: Array, ra: float, rb: float, part: int = _FLESH, melt: float = 0.05) -> None:
        """Adds flesh."""
        self.cones.append((a, b, ra, rb, part, melt))

    def keypoint(self, number: int, point: Array, radius: float) -> None:
        """Sets a keypoint and the radius of the flesh about it."""
        self.points[number], self.radii[number] = point, radius


@dataclass(frozen=True)
class Portrait:
    """A drawn animal on its own map."""

    colours: Image.Image  # RGB (RES, RES)
    cover: Image.Image  # L (RES, RES), 255 where the animal is
    points: Array  # (17, 2), x and y on the map, pixel middles at whole numbers
    hidden: Mask  # (17,), whether other parts of the animal are before a keypoint
    top: float  # the highest y
    feet: float  # the lowest y


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
    b = build
    pose = Pose(np.zeros((17, 3)), np.full(17, b.bone), [])
    back = b.leg + 0.75 * b.chest  # height of the trunk's middle
    chest, rump = np.array([0.36, back, 0.0]), np.array([-0.36, back + between(rng, -0.03, 0.05), 0.0])
    pose.limb(rump, chest, b.belly, b.chest)
    pose.limb(rump + _at(-0.02, 0.02, 0.0), rump + _at(-0.06, -0.02, 0.0), 0.95 * b.belly, 0.8 * b.belly)
    _neck_and_head(rng, pose, b, chest)
    _tail(rng, pose, b, rump)
    phase = between(rng, -1, 1)
    for place, way, front in ((5, -1.0, True), (8, 1.0, True), (11, -1.0, False), (14, 1.0, False)):
        swing = stride * phase * (1 if (way < 0) == front else -1) + between(rng, -7, 7)  # diagonal ones together
        _leg(rng, pose, b, chest if front else rump, place, way, swing, stride)
    return pose


def _neck_and_head(rng: np.random.Generator, pose: Pose, b: Build, chest: Array) -> None:
    """Lower when the animal grazes; keypoints 0 to 3 are the eyes, the nose and the neck."""
    grazes = rng.random() < (0.3 if b.leg > 0.5 else 0.12)
    cos, sin = cos_sin(between(rng, -50, -25) if grazes else b.carry + between(rng, -14, 14))
    away = between(rng, -0.4, 0.4)  # the head looks aside
    base = chest + _at(0.10, 0.35 * b.chest, 0.0)
    nape = base + b.neck * np.array([cos, sin, 0.3 * away])
    pose.limb(chest + _at(0.02, 0.05, 0.0), nape, 0.78 * b.chest, b.throat)
    cos, sin = cos_sin(between(rng, -75, -45) if grazes else between(rng, -38, -8))
    ahead = np.array([cos, sin, away])
    ahead = ahead / np.sqrt((ahead * ahead).sum())
    side = np.array([-away, 0.0, 1.0]) / np.sqrt(1 + away * away)
    above = np.array([-ahead[1] * side[2], ahead[0] * side[2] - ahead[2] * side[0], ahead[1] * side[0]])
    brow = nape + ahead * b.skull
    tip = brow + ahead * b.muzzle
    pose.limb(nape, brow, b.head, 0.95 * b.head, melt=0.03)
    pose.limb(brow - above * 0.2 * b.head, tip - above * 0.25 * b.head, 0.85 * b.snout + 0.02, b.snout, melt=0.04)
    nose = tip + ahead * 0.75 * b.snout
    pose.limb(nose, nose, 0.38 * b.snout, 0.38 * b.snout, _DARK, 0.0)
    for place, way in ((0, -1.0), (1, 1.0)):  # left, then right
        eye = brow + side * (way * 0.80 * b.head) + above * (0.38 * b.head) - ahead * (0.1 * b.head)
        pose.limb(eye, eye, 0.21 * b.head + 0.004, 0.21 * b.head + 0.004, _DARK, 0.0)
        pose.keypoint(place, eye, 0.21 * b.head)
        root = nape + side * (way * 0.7 * b.head) + above * (0.6 * b.head)
        top = root + above * (0.8 * b.ear) + side * (way * 0.5 * b.ear) - ahead * (0.3 * b.ear)
        pose.limb(root, top, 0.035, 0.012, _EAR, 0.01)
    pose.keypoint(2, nose + ahead * 0.2 * b.snout, b.snout)
    pose.keypoint(3, base + _at(-0.02, 0.45 * b.chest, 0.0), 0.8 * b.chest)


def _tail(rng: np.random.Generator, pose: Pose, b: Build, rump: Array) -> None:
    root = rump + _at(-0.13, 0.72 * b.belly, 0.0)
    pose.keypoint(4, root, 0.1)
    cos, sin = cos_sin(between(rng, 195, 262) if b.tail > 0.2 else between(rng, 130, 230))
    swing = between(rng, -0.4, 0.4)
    middle = root + b.tail * 0.5 * np.array([cos, sin, swing])
    cos, sin = cos_sin(between(rng, 200, 275))
    end = middle + b.tail * 0.5 * np.array([cos, sin, swing])
    pose.limb(root, middle, 0.045, 0.03, melt=0.02)
    pose.limb(middle, end, 0.03, 0.035 if b.leg > 0.7 else 0.02, melt=0.01)


def _leg(
    rng: np.random.Generator, pose: Pose, b: Build, trunk: Array, place: int, way: float, swing: float, stride: float
) -> None:
    """A leg from the trunk's end down; keypoints `place` to `place` + 2 are its joints and its foot."""
    front = trunk[0] > 0
    wide = way * (0.55 if front else 0.5) * (b.chest if front else b.belly)
    if front:
        joint = np.array([0.38, b.leg + 0.35 * b.chest, wide])
        pose.limb(trunk + _at(0.03, 0.2 * b.chest, 0.5 * wide), joint, 0.62 * b.chest, 1.9 * b.bone)
        lift = max(0.0, between(rng, -0.6, 1.0)) * stride
        bends = swing + between(rng, -4, 8), swing - lift - between(rng, 0, 5)
    else:
        joint = np.array([-0.34, b.leg + 0.30 * b.belly, wide])
        pose.limb(trunk + _at(-0.02, 0.1 * b.belly, 0.4 * wide), joint, 0.78 * b.belly, 2.3 * b.bone)
        upper = swing - between(rng, 16, 28)
        bends = upper, swing + between(rng, 2, 12) - max(0.0, between(rng, -0.8, 0.8)) * stride
    length, at = joint[1], joint
    for step, bend in enumerate(bends):
        cos, sin = cos_sin(bend)
        after = at + length * (0.53, 0.52)[step] * np.array([sin, -cos, 0.0])
        radii = (1.8 if front else 2.2, 1.15)[step] * b.bone, (1.15, 0.85)[step] * b.bone
        pose.limb(at, after, *radii, _LIMB, 0.02)
        pose.points[place + step], at = at, after
    pose.points[place + 2] = at
    pose.radii[place] = 2 * b.bone
    pose.limb(at, at + _at(0.035, -0.01, 0.0), 1.15 * b.bone, 0.95 * b.bone, _TIP, 0.005)


def portrait(rng: np.random.Generator, pose: Pose, yaw: float, tilt: float, light: Light) -> Portrait:
    """Draws an animal as large as its map allows.

    It faces `yaw` degrees, 0 to the picture's right, 90 away; the camera looks down by `tilt` degrees.
    """
    (cy, sy), (ct, st) = cos_sin(yaw), cos_sin(tilt)
    turned = np.array([[cy, 0.0, sy], [0.0, -1.0, 0.0], [sy, 0.0, -cy]])  # rows: forward, up and right in the camera
    turned = turned @ np.array([[1.0, 0.0, 0.0], [0.0, ct, st], [0.0, -st, ct]])
    ends = [place for a, b, ra, rb, *_ in pose.cones for end, r in ((a, ra), (b, rb)) for place in (end - r, end + r)]
    extent = np.stack(ends) @ turned
    low, high = extent.min(0), extent.max(0)
    middle = (low + high) / 2
    scale = SPAN / float((high - low)[:2].max())
    focal = scale * _DEPTH * SIDE / RES
    shift = np.array([-middle[0], -middle[1], _DEPTH - middle[2]])
    lens = Lens(np.array([[focal, 0, (SIDE - 1) / 2], [0, focal, (SIDE - 1) / 2], [0, 0, 1.0]]), _DEPTH)
    canvas = Canvas.empty()
    for a, b, ra, rb, part, melt in pose.cones:
        cone(canvas, lens, a @ turned + shift, b @ turned + shift, ra, rb, part, melt * scale)
    places = np.array([lens.see(point) for point in pose.points @ turned + shift])
    columns, rows = (np.rint(places[:, n]).astype(int).clip(0, RES - 1) for n in (0, 1))
    hidden = canvas.depth[rows, columns] > places[:, 2] + 1.35 * pose.radii * places[:, 3] + 2
    colours, cover = _coloured(rng, canvas, light)
    rows = np.flatnonzero(canvas.covered.any(1))
    return Portrait(colours, cover, places[:, :2], hidden, float(rows[0]), float(rows[-1]))


def _at(*place: float) -> Array:
    return np.array(place)


def _coloured(rng: np.random.Generator, canvas: Canvas, light: Light) -> tuple[Image.Image, Image.Image]:
    """Coat, lamp and shadow."""
    z, part, inside = canvas.depth, canvas.part, canvas.covered
    nx, ny, nz = normals(*(np.clip(slope, -3, 3) * inside for slope in slopes(z)))
    lx, ly, lz = light.towards
    diffuse = np.maximum(nx * lx + ny * ly + nz * lz + 0.25, 0) * (1 / 1.25)
    level = np.where(inside, z - float(z[inside].min()), 0) * np.float32(1 / 90)
    hollow = np.maximum(soft(level, 5) - level, 0) * 2.2  # behind and below other parts less light arrives
    sky = np.maximum(0.75 - 0.25 * ny - hollow, 0.25)
    a, b = (choice(rng, _COATS) for _ in range(2))
    size, kind = (RES, RES), float(rng.random())
    patches = np.asarray(noise(rng, size, (9, 7) if kind < 0.3 else (22, 6)), np.float32) * np.float32(1 / 255)
    pale = np.clip(ny * 1.5 - 0.2, 0, 1) * np.float32(between(rng, 0.0, 0.5))  # a lighter belly
    second = np.clip((patches - 0.56) * 9, 0, 1) if kind < 0.5 else pale
    fur = noise_plane(rng, size, 64, 100)
    feet = between(rng, 0.25, 1.0)
    planes = []
    for c in range(3):
        coat = a[c] * (1 - second) + b[c] * second
        coat *= 1 + 0.16 * fur
        np.copyto(coat, np.float32(0.82) * coat, where=part == _EAR)
        np.copyto(coat, np.float32(feet) * coat, where=part == _TIP)
        np.copyto(coat, np.float32((0.045, 0.035, 0.03)[c]), where=part == _DARK)
        lamp = diffuse * (light.lamp[c] * 0.85) + sky * (light.ambient[c] * 1.15)
        planes.append(Image.fromarray(exposed(lamp * coat)))
    return Image.merge("RGB", planes), coverage(inside, 1)
