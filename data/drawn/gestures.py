"""Drawn gestures: short sequences of a hand seen by the one it belongs to, in the layout of `data.layouts.gestures`.

Two of the pairs of classes are alike in every single frame: an index finger held still or waved, a fist held still or
pushed forward. A folder depends on (seed, its number) and its actor on (seed, the actor's number) alone.
"""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.drawn.background import muted_reflectance, noise_plane, scenery
from data.drawn.geometry import Array, Reflectance, between, cos_sin, generator, rotation, turn
from data.drawn.hand_shading import Look, shade
from data.drawn.raster import RES, Canvas, Lens, flesh
from data.drawn.sets import DrawnSet
from data.drawn.shading import lighting, sensor_noise, skin_tone
from data.drawn.skeleton import SIDE, Build, Hand, Posture, build, posed
from data.layouts.gestures import CSV, Gesture

_SIDED = ((0, "index finger held still"), (2, "index finger waved"), (5, "fist held still"), (7, "fist pushed forward"))
_KIND = ("my hand",)
GESTURES = (
    *(Gesture(n + k, name, hand, _KIND) for n, name in _SIDED for k, hand in enumerate(("right", "left"))),
    Gesture(11, "open hand", "any", _KIND),
    Gesture(12, "victory", "any", _KIND),
)
"""The classes; as in the competition their numbers have gaps."""
WIDTH, HEIGHT = 192, 144
"""Of a frame in pixels."""
SHARP = 160  # packed images of these frames gain nothing from more pixels than this
_MIRROR = Image.Transpose.FLIP_LEFT_RIGHT
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
class DrawnGestures(DrawnSet):
    """A set of drawn gestures; a sample is a folder, those of the test come last."""

    layout, noun = "gestures", "folder"
    least = {"folders": 1, "frames": 2, "tests": 1, "actors": 1, "seed": 0}  # noqa: RUF012 (not a field)
    chunk = 5
    folders: int = 200  # for training, at least 1; classes and actors take turns
    frames: int = 6  # a folder, at least 2
    tests: int = 20  # folders for the test, at least 1
    actors: int = 8  # at least 1; they differ in skin, build, sleeve and nails
    seed: int = 0  # 0 or more

    @property
    def total(self) -> int:
        """Folders for training and test."""
        return self.folders + self.tests

    def fingerprint(self) -> Iterable[Any]:
        """Two frames of each class."""
        short = replace(self, frames=2, folders=len(GESTURES))
        for index in range(len(GESTURES)):
            drawing = sequence(short, index)
            yield from (drawing.frames, drawing.points)

    def write(self, folder: Path, index: int) -> None:
        """Saves the frames of a folder and its json."""
        drawing, test = sequence(self, index), index >= self.folders
        place = folder / ("test" if test else "train") / str(index)
        place.mkdir(parents=True)
        for number, frame in enumerate(drawing.frames):
            Image.fromarray(frame).save(place / f"{number}.png", compress_level=3)
        entry = {
            "actor": {"id": drawing.actor},
            "image": {"width": WIDTH, "height": HEIGHT, "frames": self.frames},
            "action": [drawing.gesture.pose_id, drawing.gesture.name],
            "annotations": [{"image_id": t, "data": frame.tolist()} for t, frame in enumerate(drawing.points)],
        }
        if test:
            del entry["action"], entry["actor"]
        (place / f"{index}.json").write_text(json.dumps(entry))

    def finish(self, folder: Path, entries: list[Any]) -> None:  # noqa: ARG002
        """Writes the table of the classes and the sample submission."""
        classes = [[g.pose_id, *g.kind, g.name, g.hand] for g in GESTURES]
        tests = [[f"./test/{number}", *[0] * len(GESTURES)] for number in range(self.folders, self.total)]
        labels = [f"Label_{g.pose_id}" for g in GESTURES]
        for name, header, rows in (
            (CSV, ["pose_id", "gesture_type", "pose_name", "hand_type"], classes),
            ("sample_submission.csv", ["Image_Path", *labels], tests),
        ):
            with (folder / name).open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([header, *rows])


class Actor(NamedTuple):
    """Whose hand is seen: its bones, skin, sleeve (metres above the wrist), girth and shine of the nails."""

    build: Build
    skin: Reflectance
    sleeve: float
    girth: float
    nails: float


class Sequence(NamedTuple):
    """A folder: its class, its actor's number, frames uint8 (T, HEIGHT, WIDTH, 3) and points (T, 42, 3)."""

    gesture: Gesture
    actor: int
    frames: NDArray[np.uint8]
    points: Array


def sequence(drawn: DrawnGestures, index: int) -> Sequence:
    """Draws folder `index`, of the test from `drawn.folders` on; raises IndexError if there is no such folder."""
    drawn.check(index)
    rng = generator(drawn.seed, 1, index)
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
        hand, view = posed(actor.build, posture), _view(angles)
        hand = hand.moved(view, here - turn(hand.joints[9:10], view)[0])
        k = np.array([[focal, 0.0, SIDE / 2], [0.0, focal, 0.375 * SIDE], [0.0, 0.0, 1.0]])
        frames.append(place.frame(rng, hand, k, actor, left, tremor[t]))
        uv = hand.joints[:, :2] / hand.joints[:, 2:] * focal + k[:2, 2]
        if left:
            uv[:, 0] = SIDE - 1 - uv[:, 0]
        where = (uv + 0.5) * _UNIT - 0.5 + 0.4 * rng.standard_normal((21, 2))
        half = slice(0, 21) if left else slice(21, 42)
        points[t, half] = np.column_stack([where, 1000 * hand.joints[:, 2]])
    _spoil(rng, points, left)
    return Sequence(gesture, number, np.stack(frames), np.round(points, 3))


def _actor(drawn: DrawnGestures, number: int) -> Actor:
    rng = generator(drawn.seed, 0, number)
    sleeve = between(rng, 0.02, 0.08) if rng.random() < 0.6 else 1.0
    return Actor(build(rng), skin_tone(rng), sleeve, between(rng, 0.92, 1.08), max(between(rng, -0.2, 1.0), 0.0))


def _rest(rng: np.random.Generator, gesture: Gesture) -> Posture:
    """How this hand does it today."""
    base = _POSTURES[next(kind for kind in _POSTURES if gesture.name.startswith(kind))]
    curls = tuple(min(max(c + between(rng, -0.06, 0.06), 0.0), 1.0) for c in base.curls)
    thumb = tuple(angle + between(rng, -5, 5) for angle in base.thumb)
    return Posture(curls, thumb, base.spread)


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
    view: Array = np.diag([-1.0, -1.0, 1.0])
    for axis, angle in enumerate(angles):
        view = turn(view.T, rotation(axis, -angle if axis == 2 else angle)).T
    return view


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
        self._mottle = noise_plane(rng, (RES, RES), 6, 17)
        self._cloth = muted_reflectance(rng)
        self._behind = scenery(rng).resize((WIDTH + 24, WIDTH + 24), Image.Resampling.BICUBIC)
        self._noise = int(between(rng, 2, 6))

    def frame(
        self, rng: np.random.Generator, hand: Hand, k: Array, actor: Actor, left: bool, tremor: Array
    ) -> NDArray[np.uint8]:
        """One frame, uint8 (HEIGHT, WIDTH, 3)."""
        canvas, lens = Canvas.empty(), Lens(k, float(hand.joints[9, 2]))
        flesh(canvas, lens, hand, actor.girth, actor.sleeve)
        layers = shade(canvas, lens, hand, self._light, Look(actor.skin, self._cloth, self._mottle, actor.nails))
        if left:
            layers = layers[0].transpose(_MIRROR), layers[1].transpose(_MIRROR)
        colours, cover = (layer.resize((WIDTH, WIDTH), Image.Resampling.BICUBIC) for layer in layers)
        x, y = (12 + round(6 * float(shake)) for shake in tremor[:2])
        image = self._behind.crop((x, y, x + WIDTH, y + HEIGHT))
        image.paste(colours, (0, 0), cover)
        return np.asarray(sensor_noise(rng, image, self._noise))
