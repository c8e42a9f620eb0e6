"""Drawn gestures: short sequences of a hand seen by the one it belongs to, in the layout of `data.layouts.gestures`.

Two of the pairs of classes are alike in every single frame: an index finger held still or waved, a fist held still or
pushed forward. A folder depends on (seed, its number) and its actor on (seed, the actor's number) alone.
"""

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops

from data.drawn import raster
from data.drawn.gesture_pose import Build, Posture, build, placed, posed
from data.drawn.scenery import muted, noise, scenery
from data.drawn.shade import lighting, shade, tone
from data.drawn.skeleton import SIDE, Array, Hand, _rotation, between, cos_sin, turn
from data.errors import UserError
from data.layouts.gestures import CSV, Gesture
from data.storage import folders
from data.storage.folders import whole
from data.storage.pack import Bytes

GESTURES = (
    Gesture(0, "index finger held still", "right", ("my hand",)),
    Gesture(1, "index finger held still", "left", ("my hand",)),
    Gesture(2, "index finger waved", "right", ("my hand",)),
    Gesture(3, "index finger waved", "left", ("my hand",)),
    Gesture(5, "fist held still", "right", ("my hand",)),
    Gesture(6, "fist held still", "left", ("my hand",)),
    Gesture(7, "fist pushed forward", "right", ("my hand",)),
    Gesture(8, "fist pushed forward", "left", ("my hand",)),
    Gesture(11, "open hand", "any", ("my hand",)),
    Gesture(12, "victory", "any", ("my hand",)),
)
"""The classes; as in the competition their numbers have gaps."""
WIDTH, HEIGHT = 192, 144
"""Of a frame in pixels."""
SHARP = 160
"""Packed images of these frames gain nothing from more pixels than this."""
_UNIT = WIDTH / SIDE  # the camera's pixels are those of a square of which a frame is the upper part
_POSTURES = {
    "index": Posture((0.02, 0.95, 0.97, 1.0), (24.0, 50.0, 42.0, 52.0)),
    "fist": Posture((0.95, 0.97, 0.98, 1.0), (26.0, 54.0, 36.0, 46.0)),
    "open": Posture((0.03, 0.03, 0.05, 0.08), (56.0, 14.0, 4.0, 6.0), spread=0.8),
    "victory": Posture((0.02, 0.03, 0.96, 1.0), (16.0, 56.0, 44.0, 60.0), spread=1.3),
}
_VIEWS = (((-14, 16), (-12, 12), (4, 28)), ((5, 30), (-50, -20), (4, 28)))
"""Degrees that a right hand leans back, turns its thumb's side to the eye and turns in the picture; then a fist's,
which from behind shows neither thumb nor fingers."""


@dataclass(frozen=True)
class DrawnGestures:
    """A set of drawn gestures.

    Attributes:
        folders: for training, at least 1; classes and actors take turns.
        frames: a folder, at least 2.
        tests: folders for the test, at least 1.
        actors: at least 1; they differ in skin, build, sleeve and nails.
        seed: 0 or more.

    Raises:
        UserError: a value is out of its range.
    """

    folders: int = 200
    frames: int = 6
    tests: int = 20
    actors: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("folders", 1), ("frames", 2), ("tests", 1), ("actors", 1), ("seed", 0)):
            if getattr(self, name) < low:
                raise UserError(f"{name} is {getattr(self, name)}, but must be at least {low}.")


class Actor(NamedTuple):
    """Who is seen."""

    build: Build
    skin: list[float]
    sleeve: float
    girth: float
    nails: float


class Sequence(NamedTuple):
    """A folder: its class, its actor's number, frames uint8 (T, HEIGHT, WIDTH, 3) and points (T, 42, 3)."""

    gesture: Gesture
    actor: int
    frames: Bytes
    points: Array


def sequence(drawn: DrawnGestures, index: int) -> Sequence:
    """Draws folder `index`; those from `drawn.folders` on are the test's."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(drawn.seed, spawn_key=(1, index))))
    gesture = GESTURES[index % len(GESTURES)]
    number = (index // len(GESTURES) + index) % drawn.actors
    actor = _actor(drawn, number)
    left = gesture.hand == "left" or (gesture.hand == "any" and rng.random() < 0.5)
    place = _Place(rng)
    sway, push = _course(rng, gesture, drawn.frames)
    tremor = _wander(rng, drawn.frames)
    rest = _rest(rng, gesture)
    turned = [between(rng, *span) for span in _VIEWS[gesture.name.startswith("fist")]]
    near = 0.28 if gesture.name.startswith("fist") else 0.35  # a fist is small; hands are held where they fill the view
    at = np.array([between(rng, -0.03, 0.05), between(rng, -0.03, 0.01), near + between(rng, 0.0, 0.07)])
    focal = between(rng, 250, 275)
    frames, points = [], np.zeros((drawn.frames, 42, 3))
    for t in range(drawn.frames):
        posture = Posture(rest.curls, rest.thumb, rest.spread, sway[t], 0.3 * sway[t] + 1.5 * tremor[t, 5])
        angles = [angle + 2.0 * shake for angle, shake in zip(turned, tremor[t, :3], strict=True)]
        here = at + np.array([0.003, 0.003, 0.004]) * tremor[t, 3:6] + np.array([-0.1, -0.12, 1.0]) * push[t]
        hand = placed(posed(actor.build, posture), _view(angles), here)
        k = np.array([[focal, 0.0, SIDE / 2], [0.0, focal, 0.375 * SIDE], [0.0, 0.0, 1.0]])
        frames.append(place.frame(rng, hand, k, actor, left, tremor[t]))
        seen = hand.joints[:, :2] / hand.joints[:, 2:] * focal + k[:2, 2]
        if left:
            seen[:, 0] = SIDE - 1 - seen[:, 0]
        where = (seen + 0.5) * _UNIT - 0.5 + 0.4 * rng.standard_normal((21, 2))
        half = slice(0, 21) if left else slice(21, 42)
        points[t, half] = np.column_stack([where, 1000 * hand.joints[:, 2]])
    _spoil(rng, points, left)
    return Sequence(gesture, number, np.stack(frames), np.round(points, 3))


def synth(drawn: DrawnGestures, folder: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Writes the set; the folder appears complete or not at all.

    Raises:
        UserError: the folder holds something or cannot be written.
    """
    with whole(folder) as place:
        _write(drawn, place, progress)


def drawn_folder(drawn: DrawnGestures, progress: Callable[[int, int], None] | None = None) -> Path:
    """The set's folder in the cache, drawn now if it is not there."""
    return folders.drawn(_name(drawn), "gestures", lambda folder: synth(drawn, folder, progress))


@lru_cache(maxsize=4)
def _name(drawn: DrawnGestures) -> str:
    """Two frames of each class are part of the set's name, so that older code's are not taken for these."""
    digest = hashlib.blake2b(repr(drawn).encode(), digest_size=10)
    for index in range(len(GESTURES)):
        made = sequence(replace(drawn, frames=2), index)
        digest.update(made.frames.tobytes() + made.points.tobytes())
    return digest.hexdigest()


def _write(drawn: DrawnGestures, folder: Path, progress: Callable[[int, int], None] | None) -> None:
    with (folder / CSV).open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["pose_id", "gesture_type", "pose_name", "hand_type"])
        lines.writerows([g.pose_id, *g.kind, g.name, g.hand] for g in GESTURES)
    with (folder / "sample_submission.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["Image_Path", *(f"Label_{g.pose_id}" for g in GESTURES)])
        numbers = range(drawn.folders, drawn.folders + drawn.tests)
        lines.writerows([f"./test/{number}", *[0] * len(GESTURES)] for number in numbers)
    for index in range(drawn.folders + drawn.tests):
        made = sequence(drawn, index)
        test = index >= drawn.folders
        place = folder / ("test" if test else "train") / str(index)
        place.mkdir(parents=True)
        for number, frame in enumerate(made.frames):
            Image.fromarray(frame).save(place / f"{number}.png", compress_level=3)
        read = {
            "actor": {"id": made.actor},
            "image": {"width": WIDTH, "height": HEIGHT, "frames": drawn.frames},
            "action": [made.gesture.pose_id, made.gesture.name],
            "annotations": [{"image_id": t, "data": frame.tolist()} for t, frame in enumerate(made.points)],
        }
        if test:
            del read["action"], read["actor"]
        (place / f"{index}.json").write_text(json.dumps(read))
        if progress is not None:
            progress((index + 1) * drawn.frames, (drawn.folders + drawn.tests) * drawn.frames)


def _actor(drawn: DrawnGestures, number: int) -> Actor:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(drawn.seed, spawn_key=(0, number))))
    sleeve = between(rng, 0.02, 0.08) if rng.random() < 0.6 else 1.0
    return Actor(build(rng), tone(rng), sleeve, between(rng, 0.92, 1.08), max(between(rng, -0.2, 1.0), 0.0))


def _rest(rng: np.random.Generator, gesture: Gesture) -> Posture:
    """How this hand does it today."""
    base = _POSTURES[next(kind for kind in _POSTURES if gesture.name.startswith(kind))]
    curls = tuple(min(max(c + between(rng, -0.06, 0.06), 0.0), 1.0) for c in base.curls)
    thumb = tuple(angle + between(rng, -5, 5) for angle in base.thumb)
    return Posture((curls[0], curls[1], curls[2], curls[3]), (thumb[0], thumb[1], thumb[2], thumb[3]), base.spread)


def _course(rng: np.random.Generator, gesture: Gesture, frames: int) -> tuple[list[float], list[float]]:
    """Degrees that the index finger sways and metres that the hand is pushed in each frame."""
    start, turns = between(rng, -180, 180), between(rng, 0.9, 1.8)
    reach, depth = between(rng, 7, 18), between(rng, 0.05, 0.13)
    times = [t / max(frames - 1, 1) for t in range(frames)]
    waves = [cos_sin(start + 360 * turns * t)[1] for t in times]
    ahead = [(1 - cos_sin(180 * min(1.3 * t, 1.0))[0]) / 2 for t in times]
    waved, pushed = gesture.name.endswith("waved"), gesture.name.endswith("forward")
    return [waved * reach * w for w in waves], [pushed * depth * a for a in ahead]


def _wander(rng: np.random.Generator, frames: int) -> Array:
    """(frames, 6) slow movements that nobody makes on purpose, about -1 to 1."""
    draws = rng.random((6, 2, 2))
    course = np.zeros((frames, 6))
    for axis in range(6):
        for wave in range(2):
            start, speed = 360 * float(draws[axis, wave, 0]), 10 + 40 * float(draws[axis, wave, 1])
            course[:, axis] += [0.6 * cos_sin(start + speed * t)[1] for t in range(frames)]
    return course


def _view(angles: list[float]) -> Array:
    """From the hand's frame to the camera's: the back of a right hand, fingers up, leant by three angles."""
    rotation = np.diag([-1.0, -1.0, 1.0])
    for axis, angle in enumerate(angles):
        rotation = turn(rotation.T, _rotation(axis, -angle if axis == 2 else angle)).T
    return rotation


def _spoil(rng: np.random.Generator, points: Array, left: bool) -> None:
    """What detectors do: now and then a stray joint, or a second hand that is not there in one frame."""
    own, other = (slice(0, 21), slice(21, 42)) if left else (slice(21, 42), slice(0, 21))
    for frame in points:
        if rng.random() < 0.05:
            joint = own.start + int(between(rng, 0, 21))
            frame[joint, :2] = between(rng, 0, WIDTH), between(rng, 0, HEIGHT)
    if rng.random() < 0.15:
        frame = points[int(between(rng, 0, len(points)))]
        frame[other] = frame[own] * 0.4 + np.array([between(rng, 0, WIDTH / 2), between(rng, 0, HEIGHT / 2), 0.0])


class _Place:
    """Where a sequence is filmed: what stays the same in all of its frames."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._light = lighting(rng)
        flat = (raster.RES, raster.RES)
        self._mottle = np.asarray(noise(rng, flat, 6, 17), dtype=np.float32) * np.float32(1 / 128) - 1
        self._cloth = [c / 255 for c in muted(rng)]
        self._behind = scenery(rng).resize((WIDTH + 24, WIDTH + 24), Image.Resampling.BICUBIC)
        self._grain = int(between(rng, 2, 6))

    def frame(self, rng: np.random.Generator, hand: Hand, k: Array, actor: Actor, left: bool, tremor: Array) -> Bytes:
        """One frame, uint8 (HEIGHT, WIDTH, 3)."""
        flat = (raster.RES, raster.RES)
        canvas = raster.Canvas(
            np.full(flat, raster.FAR, np.float32), np.zeros(flat, np.uint8), np.zeros(flat, np.float32)
        )
        lens = raster.Lens(k, float(hand.joints[9, 2]))
        raster.flesh(canvas, lens, hand, actor.girth, actor.sleeve)
        colours, cover = shade(
            canvas, lens, hand, self._light, actor.skin, self._cloth, [[0.5] * 3] * 2, self._mottle, actor.nails
        )
        if left:
            colours, cover = (layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for layer in (colours, cover))
        x, y = (12 + round(6 * float(shake)) for shake in tremor[:2])
        image = self._behind.crop((x, y, x + WIDTH, y + HEIGHT))
        whole = (WIDTH, WIDTH)
        image.paste(
            colours.resize(whole, Image.Resampling.BICUBIC), (0, 0), cover.resize(whole, Image.Resampling.BICUBIC)
        )
        level = [v * (2 * self._grain + 1) >> 8 for v in range(256)]
        speck = Image.fromarray(rng.integers(0, 256, size=(HEIGHT, WIDTH), dtype=np.uint8)).point(level)
        return np.asarray(ImageChops.add(image, Image.merge("RGB", (speck, speck, speck)), 1, -self._grain))
