"""A drawn robot hand before three depth cameras: the embedded data set of the robot-hand task, in its layout.

Sample i depends on (seed, i) alone. The cameras stand still, as a laboratory's do; the arm, the fingers' joints, the
light, the table and what lies on it change. Samples are independent of each other.
"""

import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from data.drawn.robot_view import UP, Array, Box, Camera, Capsule, Light, Solid, Table, camera, shadow, view
from data.drawn.sets import DrawnSet

TIP = 0.0125  # radius of a fingertip, metres; the labels are the centres of the tips' spheres

CAMERAS: tuple[Camera, ...] = tuple(
    camera(azimuth, elevation, distance, np.array([0.02, 0.0, 0.09]), 300.0)
    for azimuth, elevation, distance in ((40, 30, 0.52), (-48, 34, 0.54), (8, 70, 0.50))
)
"""Where the three pictures of every sample are taken from."""

_LINKS = (0.054, 0.040, 0.032)  # metres: about those of a common research hand with four fingers
_RADII = (0.0135, 0.0125, 0.0115)
_DARK, _METAL, _WHITE = (np.array(c) for c in ((0.10, 0.10, 0.12), (0.45, 0.47, 0.50), (0.92, 0.91, 0.88)))
_THINGS = np.array([[0.80, 0.25, 0.18], [0.20, 0.45, 0.75], [0.90, 0.70, 0.20], [0.30, 0.60, 0.35], [0.55, 0.35, 0.65]])


@dataclass(frozen=True)
class DrawnRobot(DrawnSet):
    """A set of drawn samples: train/X/I/rgb/{0,1,2}.png, depth.npy and field_id.pkl, train/Y/I.npy; test/X likewise."""

    layout, noun = "robot_hand", "sample"
    least = {"count": 1, "tests": 0, "seed": 0}  # noqa: RUF012 (not a field)
    subfolders = ("train/Y",)
    chunk = 10
    count: int  # samples with labels, 1 or more
    tests: int = 16  # samples without, 0 or more; they are drawn after the others
    seed: int = 0  # 0 or more

    @property
    def total(self) -> int:
        """Samples with labels and without."""
        return self.count + self.tests

    def fingerprint(self) -> Iterable[Any]:
        """The first sample."""
        sample = draw(self, 0)
        return sample.rgb, sample.depth, sample.tips

    def write(self, folder: Path, index: int) -> None:
        """Saves a sample."""
        sample, labelled = draw(self, index), index < self.count
        number, part = index if labelled else index - self.count, folder / ("train" if labelled else "test")
        place = part / "X" / str(number)
        (place / "rgb").mkdir(parents=True)
        for view_number, image in enumerate(sample.rgb):
            Image.fromarray(image).save(place / "rgb" / f"{view_number}.png", compress_level=1)
        np.save(place / "depth.npy", sample.depth)
        (place / "field_id.pkl").write_bytes(pickle.dumps(str(index)))
        if labelled:
            np.save(part / "Y" / f"{number}.npy", sample.tips.ravel())


@dataclass(frozen=True)
class Sample:
    """One drawn sample."""

    rgb: Array  # uint8 (3, 224, 224, 3), a picture a camera
    depth: Array  # uint16 (3, 224, 224), millimetres along each camera's axis; 0 where the sensor missed
    tips: Array  # float64 (4, 3), metres in the world's frame: three fingers, then the thumb


def draw(drawn: DrawnRobot, index: int) -> Sample:
    """Draws a sample; raises IndexError if there is no such sample."""
    rng = drawn.generator(index)
    solids, tips = _hand(rng)
    solids += _things(rng)
    light, table = _light(rng), _table(rng)
    hidden = shadow(solids, light, len(table.grain))
    exposure, grain = rng.uniform(0.9, 1.1, 3), int(rng.integers(2, 7))
    rgb, depth = [], []
    for lens, gain in zip(CAMERAS, exposure, strict=True):
        colours, metres = view(lens, solids, light, table, hidden)
        # Half a pixel of blur is a lens's, and hides that every pixel met a single ray.
        soft = np.asarray(_image(colours * gain).filter(ImageFilter.GaussianBlur(0.6)), np.int16)
        noise = rng.integers(0, 2 * grain + 1, (*metres.shape, 1), np.uint8).astype(np.int16) - grain
        rgb.append((soft + noise).clip(0, 255).astype(np.uint8))
        missed = rng.integers(0, 256, metres.shape, np.uint8) == 0
        depth.append(np.where(missed, 0, (metres * 1000).round()).astype(np.uint16))
    return Sample(np.stack(rgb), np.stack(depth), tips)


def _hand(rng: np.random.Generator) -> tuple[list[Solid], Array]:
    """A posed arm and hand, and the middles of its four tips."""
    yaw, pitch, roll = np.radians(rng.uniform((-25, 20, -15), (25, 55, 15)))
    ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    side = np.cross(UP, ahead)
    side /= np.linalg.norm(side)
    back = np.cross(ahead, side)
    side, back = np.cos(roll) * side + np.sin(roll) * back, np.cos(roll) * back - np.sin(roll) * side
    wrist = np.array([-0.06, 0.0, 0.17]) + rng.uniform((-0.03, -0.04, -0.02), (0.03, 0.04, 0.02))

    close = rng.uniform(0.05, 0.95)
    chains = []
    for place in (-1, 0, 1):
        spread = np.radians(rng.uniform(-8, 8) + 6 * place)
        base = wrist + 0.095 * ahead + place * 0.042 * side
        chains.append(_finger(rng, base, np.cos(spread) * ahead + np.sin(spread) * side, -back, close))
    swing = np.radians(rng.uniform(30, 65))  # the thumb stands out and down, and bends towards the fingers
    out = -np.cos(swing) * side - np.sin(swing) * back
    base = wrist + 0.035 * ahead - 0.05 * side - 0.005 * back
    chains.append(_finger(rng, base, 0.75 * out + 0.66 * ahead, side, close))

    lift = max(0.0, TIP + 0.004 - min(float(chain[..., 2].min()) for chain in chains)) * UP
    chains = [chain + lift for chain in chains]
    wrist = wrist + lift
    axes = np.stack([ahead, side, back])
    solids: list[Solid] = [
        Box(wrist + 0.045 * ahead, np.array([0.052, 0.058, 0.016]), axes, _DARK, 0.4),
        Box(wrist + 0.045 * ahead + 0.018 * back, np.array([0.036, 0.042, 0.004]), axes, _METAL, 0.5),
        Capsule(wrist - 0.01 * ahead, wrist - 0.05 * ahead, 0.030, _METAL, 0.6),
        Capsule(wrist - 0.06 * ahead, wrist - 0.10 * ahead + np.array([-0.25, 0, 0.18]), 0.036, _WHITE * 0.9, 0.4),
    ]
    for chain in chains:
        for a, b, radius in zip(chain[:-1], chain[1:], _RADII, strict=True):
            solids += [Capsule(a, b, radius * 0.9, _DARK * 1.6, 0.5), Capsule(a, a, radius * 1.15, _METAL, 0.7)]
        solids.append(Capsule(chain[-1], chain[-1], TIP, _WHITE, 0.15))
    return solids, np.stack([chain[-1] for chain in chains])


def _finger(rng: np.random.Generator, base: Array, ahead: Array, bend: Array, close: float) -> Array:
    """Middles of a finger's three joints and of its tip, (4, 3); it bends from `ahead` towards `bend`."""
    ahead = ahead / np.linalg.norm(ahead)
    bend = bend - (bend @ ahead) * ahead
    bend /= np.linalg.norm(bend)
    chain, angle = [base], 0.0
    for length, most in zip(_LINKS, (70, 75, 60), strict=True):
        angle += np.radians(most) * float(np.clip(close + rng.normal(0, 0.16), 0, 1))
        chain.append(chain[-1] + length * (np.cos(angle) * ahead + np.sin(angle) * bend))
    return np.stack(chain)


def _things(rng: np.random.Generator) -> list[Solid]:
    """One or two things on the table, beside the hand."""
    solids: list[Solid] = []
    for _ in range(rng.integers(1, 3)):
        colour = (rng.choice(_THINGS) * rng.uniform(0.8, 1.1)).clip(0, 1)
        turn, away, size = rng.uniform(-np.pi, np.pi), rng.uniform(0.13, 0.22), rng.uniform(0.014, 0.026)
        foot = np.array([0.05 + away * np.cos(turn), away * np.sin(turn), 0.0])
        kind = rng.integers(3)
        if kind == 0:
            cos, sin = np.cos(turn * 3), np.sin(turn * 3)
            half = np.array([1.3, 1.0, 0.9]) * size
            solids.append(Box(foot + half[2] * UP, half, np.array([[cos, sin, 0], [-sin, cos, 0], UP]), colour))
        else:
            top = foot + (size if kind == 1 else 3 * size) * UP
            solids.append(Capsule(foot + size * UP, top, size, colour, 0.5))
    return solids


def _light(rng: np.random.Generator) -> Light:
    turn, rise = rng.uniform(-np.pi, np.pi), np.radians(rng.uniform(45, 75))
    towards = np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])
    return Light(towards, rng.uniform(0.55, 0.8), rng.uniform(0.3, 0.45))


def _table(rng: np.random.Generator) -> Table:
    """A matt surface with long grain."""
    tint = np.array([0.62, 0.58, 0.53]) * rng.uniform(0.7, 1.2) + rng.uniform(-0.08, 0.08, 3)
    coarse = Image.fromarray(rng.normal(0, 1, (40, 400)).astype(np.float32))
    grain = 1 + np.float32(rng.uniform(0.01, 0.06)) * np.asarray(coarse.resize((1000, 1000), Image.Resampling.BICUBIC))
    return Table(tint.clip(0, 1), grain.T if rng.random() < 0.5 else grain)


def _image(colours: Array) -> Image.Image:
    return Image.fromarray((colours.clip(0, 1) * 255).round().astype(np.uint8))
