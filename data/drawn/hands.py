"""Drawn hands: the embedded data set, in FreiHAND's layout.

Image i depends on (seed, difficulty, i) alone, so a longer set begins with the shorter one and any number of
processes writes the same files.
"""

import concurrent.futures
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from data.drawn import raster
from data.drawn.scenery import foreground, muted, noise, scenery
from data.drawn.shade import lighting, shade, tone
from data.drawn.skeleton import SIDE, Array, Hand, between, place, pose
from data.errors import UserError
from data.storage.folders import whole

QUALITY = 90
"""Of the JPEG files."""
_CHUNK = 25


@dataclass(frozen=True)
class DrawnHands:
    """A set of drawn right hands.

    Attributes:
        count: how many images, 1 or more.
        seed: 0 or more.
        difficulty: how far the view may leave palm or back and upright fingers: 0 hardly, 1 any rotation.

    Raises:
        UserError: a value is out of its range.
    """

    count: int
    seed: int = 0
    difficulty: float = 0.3

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError(f"count is {self.count}, but at least 1 hand must be drawn.")
        if self.seed < 0:
            raise UserError(f"seed is {self.seed}, but must be 0 or more.")
        if not 0 <= self.difficulty <= 1:
            raise UserError(f"difficulty is {self.difficulty}, but must lie between 0 (easy views) and 1 (any view).")


@dataclass(frozen=True)
class Picture:
    """One drawn hand.

    Attributes:
        image: uint8 (224, 224, 3).
        xyz: (21, 3) joints in metres, camera frame.
        k: (3, 3) camera matrix; k @ xyz gives pixels with centres at integers.
        skin: bool (224, 224), where the hand or its forearm is seen.
    """

    image: NDArray[np.uint8]
    xyz: Array
    k: Array
    skin: NDArray[np.bool_]


def draw(drawn: DrawnHands, index: int) -> tuple[NDArray[np.uint8], Array, Array]:
    """Draws hand `index`: image uint8 (224, 224, 3), xyz (21, 3) metres in the camera's frame, and K (3, 3)."""
    made = picture(drawn, index)
    return made.image, made.xyz, made.k


def picture(drawn: DrawnHands, index: int) -> Picture:
    """Draws hand `index` and says where its skin is.

    Raises:
        IndexError: the index is not below the count.
    """
    rng, hand, k = _posed(drawn, index)
    light, flat = lighting(rng), (raster.RES, raster.RES)
    canvas = raster.Canvas(np.full(flat, raster.FAR, np.float32), np.zeros(flat, np.uint8), np.zeros(flat, np.float32))
    lens = raster.Lens(k, float(hand.joints[9, 2]))
    sleeve = between(rng, 0.02, 0.14) if rng.random() < 0.5 else 1.0
    raster.flesh(canvas, lens, hand, between(rng, 0.90, 1.10), sleeve)
    holds = rng.random() < (0.35 if hand.curl > 0.3 else 0.10)
    if holds:
        raster.held(rng, canvas, lens, hand)
    mottle = np.asarray(noise(rng, flat, 6, 17), dtype=np.float32)
    mottle = mottle * np.float32(1 / 128) - 1
    fabric, thing = [c / 255 for c in muted(rng)], [[c / 255 for c in muted(rng)] for _ in range(2)]
    nails = max(between(rng, -0.2, 1.0), 0.0)
    colours, cover = shade(canvas, lens, hand, light, tone(rng), fabric, thing, mottle, nails)
    image = scenery(rng)
    lx, ly, _ = light.towards
    if rng.random() < 0.4:  # a wall or a table behind takes the shadow
        away = between(rng, 8, 20)
        fall = cover.reduce(3).filter(ImageFilter.BoxBlur(between(rng, 1.5, 4)))
        fall = fall.point([int(v * 0.5) for v in range(256)]).resize(flat, Image.Resampling.BILINEAR)
        image.paste((12, 12, 16), (round(-lx * away), round(-ly * away)), fall)
    image.paste(colours, (0, 0), cover)
    skin = Image.fromarray(((canvas.part > 0) & (canvas.part <= raster.ARM)).astype(np.uint8) * np.uint8(255))
    if rng.random() < 0.12:
        seen = hand.joints[:, :2] / hand.joints[:, 2:] * k[0, 0] + k[:2, 2]
        skin.paste(0, (0, 0), foreground(rng, image, seen * (raster.RES / SIDE)))
    image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    grain = int(between(rng, 2, 9))
    level = [v * (2 * grain + 1) >> 8 for v in range(256)]
    speck = Image.fromarray(rng.integers(0, 256, size=(SIDE, SIDE), dtype=np.uint8)).point(level)
    pixels = np.asarray(ImageChops.add(image, Image.merge("RGB", (speck, speck, speck)), 1, -grain))
    whole = np.asarray(skin.resize((SIDE, SIDE), Image.Resampling.NEAREST)) > 127
    return Picture(pixels, hand.joints, k, whole)


def labels(drawn: DrawnHands, index: int) -> tuple[Array, Array]:
    """The xyz (21, 3) and K (3, 3) that `draw` would answer, without drawing."""
    _, hand, k = _posed(drawn, index)
    return hand.joints, k


def _posed(drawn: DrawnHands, index: int) -> tuple[np.random.Generator, Hand, Array]:
    if not 0 <= index < drawn.count:
        raise IndexError(f"hand {index} of {drawn.count}")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(drawn.seed, spawn_key=(index,))))
    hand, k = place(rng, pose(rng), drawn.difficulty)
    return rng, hand, k


def _chunk(drawn: DrawnHands, folder: str, first: int, last: int) -> tuple[list[object], list[object]]:
    """Draws images first to last - 1 into the folder; returns their K and xyz as lists."""
    ks: list[object] = []
    points: list[object] = []
    for index in range(first, last):
        image, xyz, k = draw(drawn, index)
        Image.fromarray(image).save(Path(folder, f"{index:08d}.jpg"), quality=QUALITY)
        ks.append(k.tolist())
        points.append(xyz.tolist())
    return ks, points


def _leave_with_parent() -> None:
    """Ends a worker when the process that started it is killed; the pool alone would leave it waiting for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _no_main() -> Iterator[None]:
    """Hides the caller's script from processes spawned meanwhile, which would otherwise run it again.

    They need this module alone. A script without `if __name__ == "__main__"` would draw in every one of them, and
    wait for ever at a lock that its first run holds; any other would have them import all that it imports.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def synth(
    drawn: DrawnHands,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> None:
    """Writes the set as FreiHAND lays it out: training/rgb/%08d.jpg, training_K.json, training_xyz.json.

    The folder appears complete or not at all: files are written beside it and renamed.

    Args:
        drawn: what to draw.
        folder: where; it must not exist or be empty.
        progress: called with (images done, images in all).
        workers: processes; by default one for each core this process may use.

    Raises:
        UserError: the folder holds something or cannot be written.
    """
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    with whole(folder) as place_:
        _write(drawn, place_, progress, max(workers, 1))


def _write(drawn: DrawnHands, folder: Path, progress: Callable[[int, int], None] | None, workers: int) -> None:
    rgb = folder / "training" / "rgb"
    rgb.mkdir(parents=True)
    firsts = range(0, drawn.count, _CHUNK)
    lasts = [min(first + _CHUNK, drawn.count) for first in firsts]
    ks: list[object] = []
    points: list[object] = []
    work = ([drawn] * len(firsts), [str(rgb)] * len(firsts), firsts, lasts)
    workers = 1 if multiprocessing.current_process().daemon else min(workers, len(firsts))  # a daemon has no children
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, spawn, _leave_with_parent) as pool:
        with _no_main():  # the pool starts its processes when it is given work
            run = pool.map(_chunk, *work) if workers > 1 else map(_chunk, *work)
        for made in run:
            ks += made[0]
            points += made[1]
            if progress is not None:
                progress(len(ks), drawn.count)
    (folder / "training_K.json").write_text(json.dumps(ks))
    (folder / "training_xyz.json").write_text(json.dumps(points))
