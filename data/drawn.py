"""Drawn hands: the embedded data set, in FreiHAND's layout.

Image i depends on (seed, difficulty, i) alone, so a longer set begins with the shorter one and any number of
processes writes the same files.
"""

import concurrent.futures
import fcntl
import json
import math
import multiprocessing
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from data import raster
from data.errors import Mistake
from data.skeleton import SIDE, Array, Hand, between, cos_sin, place, pose

QUALITY = 90
"""Of the JPEG files."""
_CHUNK = 25
_BACK = 96

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Drawn:
    """A set of drawn right hands.

    Attributes:
        count: how many images, 1 or more.
        seed: 0 or more.
        difficulty: how far the view may leave palm or back and upright fingers: 0 hardly, 1 any rotation.

    Raises:
        Mistake: a value is out of its range.
    """

    count: int
    seed: int = 0
    difficulty: float = 0.3

    def __post_init__(self) -> None:
        if self.count < 1:
            raise Mistake(f"count is {self.count}, but at least 1 hand must be drawn.")
        if self.seed < 0:
            raise Mistake(f"seed is {self.seed}, but must be 0 or more.")
        if not 0 <= self.difficulty <= 1:
            raise Mistake(f"difficulty is {self.difficulty}, but must lie between 0 (easy views) and 1 (any view).")


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


def draw(drawn: Drawn, index: int) -> tuple[NDArray[np.uint8], Array, Array]:
    """Draws hand `index`: image uint8 (224, 224, 3), xyz (21, 3) metres in the camera's frame, and K (3, 3)."""
    made = picture(drawn, index)
    return made.image, made.xyz, made.k


def picture(drawn: Drawn, index: int) -> Picture:
    """Draws hand `index` and says where its skin is.

    Raises:
        IndexError: the index is not below the count.
    """
    rng, hand, k = _posed(drawn, index)
    light, flat = _light(rng), (raster.RES, raster.RES)
    canvas = raster.Canvas(np.full(flat, raster.FAR, np.float32), np.zeros(flat, np.uint8), np.zeros(flat, np.float32))
    lens = raster.Lens(k, float(hand.joints[9, 2]))
    sleeve = between(rng, 0.02, 0.14) if rng.random() < 0.5 else 1.0
    raster.flesh(canvas, lens, hand, between(rng, 0.90, 1.10), sleeve)
    holds = rng.random() < (0.35 if hand.curl > 0.3 else 0.10)
    if holds:
        raster.held(rng, canvas, lens, hand)
    mottle = np.asarray(_noise(rng, flat, 6, 17), dtype=np.float32)
    mottle = mottle * np.float32(1 / 128) - 1
    fabric, thing = [c / 255 for c in _muted(rng)], [[c / 255 for c in _muted(rng)] for _ in range(2)]
    nails = max(between(rng, -0.2, 1.0), 0.0)
    colours, cover = raster.shade(canvas, lens, hand, light, raster.tone(rng), fabric, thing, mottle, nails)
    image = _scenery(rng)
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
        skin.paste(0, (0, 0), _foreground(rng, image, seen * (raster.RES / SIDE)))
    image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    grain = int(between(rng, 2, 9))
    level = [v * (2 * grain + 1) >> 8 for v in range(256)]
    noise = Image.fromarray(rng.integers(0, 256, size=(SIDE, SIDE), dtype=np.uint8)).point(level)
    pixels = np.asarray(ImageChops.add(image, Image.merge("RGB", (noise, noise, noise)), 1, -grain))
    whole = np.asarray(skin.resize((SIDE, SIDE), Image.Resampling.NEAREST)) > 127
    return Picture(pixels, hand.joints, k, whole)


def labels(drawn: Drawn, index: int) -> tuple[Array, Array]:
    """The xyz (21, 3) and K (3, 3) that `draw` would answer, without drawing."""
    _, hand, k = _posed(drawn, index)
    return hand.joints, k


def _posed(drawn: Drawn, index: int) -> tuple[np.random.Generator, Hand, Array]:
    if not 0 <= index < drawn.count:
        raise IndexError(f"hand {index} of {drawn.count}")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(drawn.seed, spawn_key=(index,))))
    hand, k = place(rng, pose(rng), drawn.difficulty)
    return rng, hand, k


def _light(rng: np.random.Generator) -> raster.Light:
    """A lamp to one side, warm or cool, before brighter or darker surroundings."""
    c, s = cos_sin(between(rng, -180, 180))
    s = s if rng.random() < 0.3 else -abs(s)  # mostly from above
    height = between(rng, 0.38, 0.82)
    flat = math.sqrt(1 - height * height)
    power, fill, warm = between(rng, 0.95, 1.55), between(rng, 0.26, 0.50), between(rng, -0.08, 0.10)
    lamp = (power * (1 + warm), power, power * (1 - warm))
    return raster.Light((c * flat, s * flat, height), lamp, (fill * (1 - 0.5 * warm), fill, fill * (1 + 0.5 * warm)))


def _muted(rng: np.random.Generator, low: float = 0.12, high: float = 0.85) -> Colour:
    """A colour as rooms and clothes have: any lightness, little saturation, now and then a strong one."""
    level, strength = between(rng, low, high), between(rng, 0.02, 0.26)
    if rng.random() < 0.15:
        strength = between(rng, 0.3, 0.6)
    tint = rng.random(3).tolist()
    middle = (tint[0] + tint[1] + tint[2]) / 3
    r, g, b = (int(255 * min(max(level + strength * (t - middle), 0.02), 0.98)) for t in tint)
    return r, g, b


def _noise(rng: np.random.Generator, size: tuple[int, int], *cells: tuple[int, int] | int) -> Image.Image:
    """Smooth grey noise: octaves of (across, down) cells, the finer the weaker."""
    total = Image.new("L", size, 128)
    for n, cell in enumerate(cells):
        across, down = cell if isinstance(cell, tuple) else (cell, cell)
        grid = rng.integers(0, 256, size=(down, across), dtype=np.uint8)
        octave = Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)
        total = Image.blend(total, octave, 0.375 if n else 1.0)
    return total


def _texture(rng: np.random.Generator, a: Colour, b: Colour, *cells: tuple[int, int] | int) -> Image.Image:
    """Two colours mixed by smooth noise, at half the resolution."""
    size = (_BACK, _BACK)
    return Image.composite(Image.new("RGB", size, a), Image.new("RGB", size, b), _noise(rng, size, *cells))


def _near(rng: np.random.Generator, colour: Colour, by: float) -> Colour:
    """A lighter or darker colour of the same kind."""
    change = between(rng, 1 - by, 1 + by)
    r, g, b = (min(int(c * change), 255) for c in colour)
    return r, g, b


def _scenery(rng: np.random.Generator) -> Image.Image:
    """What is behind the hand: a room, a table, cloth, a garden, shelves or lights, out of focus and unevenly lit."""
    kind, size = float(rng.random()), (_BACK, _BACK)
    blur = between(rng, 0.6, 3.5)
    if kind < 0.34:
        image = _room(rng)
    elif kind < 0.50:  # wood or cloth, seen from above
        colour = _muted(rng, 0.2, 0.8)
        streaks = ((3, 40), (7, 110)) if rng.random() < 0.6 else ((5, 5), (56, 112))
        image = _texture(rng, colour, _near(rng, colour, 0.35), *streaks)
        if rng.random() < 0.6:
            turn = int(between(rng, 0, 4))
            image = image.transpose(Image.Transpose.ROTATE_90) if turn % 2 else image
        blur *= 0.4
    elif kind < 0.68:  # a garden: sky, leaves, ground
        green = tuple(int(255 * between(rng, *c)) for c in ((0.08, 0.35), (0.25, 0.5), (0.05, 0.22)))
        leaves = _texture(rng, (green[0], green[1], green[2]), _muted(rng, 0.05, 0.5), 7, 22, 60)
        horizon = int(between(rng, -30, 60))
        image = Image.new("RGB", size, _muted(rng, 0.6, 0.95))
        edge = _noise(rng, (_BACK, 24), (9, 2), (28, 3)).point([min(v * 2, 255) for v in range(256)])
        image.paste(leaves, (0, horizon))
        image.paste(leaves.crop((0, 0, _BACK, 24)), (0, horizon - 23), edge)
        if rng.random() < 0.6:
            low = int(between(rng, 60, 100))
            image.paste(_texture(rng, _muted(rng, 0.25, 0.7), _muted(rng, 0.2, 0.6), (4, 30), (12, 60)), (0, low))
    elif kind < 0.82:
        image = _shelves(rng)
    elif kind < 0.90:  # lights far away
        image = _texture(rng, _muted(rng, 0.04, 0.3), _muted(rng, 0.02, 0.4), 4, 9)
        pen = ImageDraw.Draw(image)
        for _ in range(int(between(rng, 8, 26))):
            x, y, r = between(rng, 0, _BACK), between(rng, 0, _BACK), between(rng, 2, 10)
            pen.ellipse((x - r, y - r, x + r, y + r), fill=_muted(rng, 0.3, 0.9))
        blur += 1
    else:  # a plain wall or a screen
        colour = _muted(rng, 0.2, 0.9)
        image = _texture(rng, colour, _near(rng, colour, 0.2), 2, 4)
    if rng.random() < 0.25:  # somebody's clothes
        colour = _muted(rng)
        x, y, r = between(rng, -10, 120), between(rng, 85, 150), between(rng, 34, 75)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).ellipse((x - r, y - r, x + r, y + 2 * r), fill=255)
        image.paste(_texture(rng, colour, _near(rng, colour, 0.3), 5, 12), (0, 0), mask)
    image = image.filter(ImageFilter.BoxBlur(blur)).filter(ImageFilter.BoxBlur(blur * 0.6))
    light = _noise(rng, size, 2, 3).point([int(120 + v * 0.53) for v in range(256)])
    image = ImageChops.multiply(image, Image.merge("RGB", (light, light, light)))
    return image.resize((raster.RES, raster.RES), Image.Resampling.BILINEAR)


def _room(rng: np.random.Generator) -> Image.Image:
    """A wall with things on it, and perhaps a table."""
    wall = _muted(rng, 0.25, 0.9)
    image = _texture(rng, wall, _near(rng, wall, 0.15), 3, 8)
    pen = ImageDraw.Draw(image)
    for _ in range(int(between(rng, 1, 8))):
        x, y = between(rng, -20, 110), between(rng, -20, 100)
        w, h = between(rng, 8, 60), between(rng, 8, 70)
        slant, colour = between(rng, -6, 6), _muted(rng)
        pen.polygon([(x, y), (x + w, y + slant), (x + w, y + h + slant), (x, y + h)], fill=colour)
        if rng.random() < 0.6:  # a frame, a door's panel, a window
            inner = _muted(rng, 0.1, 0.95)
            e = 0.14 * min(w, h)
            pen.polygon(
                [(x + e, y + e), (x + w - e, y + e + slant), (x + w - e, y + h - e + slant), (x + e, y + h - e)],
                fill=inner,
            )
    if rng.random() < 0.6:
        board = _muted(rng, 0.15, 0.75)
        table = _texture(rng, board, _near(rng, board, 0.3), (3, 24), (8, 70))
        mask = Image.new("L", (_BACK, _BACK))
        left, right = between(rng, 50, 105), between(rng, 50, 105)
        ImageDraw.Draw(mask).polygon([(0, left), (_BACK, right), (_BACK, _BACK), (0, _BACK)], fill=255)
        image.paste(table, (0, 0), mask)
    return image


def _shelves(rng: np.random.Generator) -> Image.Image:
    """Shelves with rows of like things: tins, books, bottles."""
    back = _muted(rng, 0.05, 0.6)
    image = _texture(rng, back, _near(rng, back, 0.3), 3)
    pen = ImageDraw.Draw(image)
    board, y = _muted(rng, 0.2, 0.9), between(rng, -20, 10)
    while y < _BACK:
        gap = between(rng, 22, 44)
        x, colour = between(rng, -8, 2), _muted(rng)
        step, tall = between(rng, 5, 13), between(rng, 0.5, 0.9) * gap
        while x < _BACK:
            if rng.random() < 0.15:
                colour, tall = _muted(rng), between(rng, 0.4, 0.9) * gap
            pen.rectangle((x, y + gap - tall, x + step - 1.5, y + gap), fill=_near(rng, colour, 0.25))
            x += step
        pen.rectangle((0, y + gap, _BACK, y + gap + 3), fill=board)
        y += gap + 3
    return image if rng.random() < 0.85 else image.transpose(Image.Transpose.ROTATE_90)


def _foreground(rng: np.random.Generator, image: Image.Image, uv: Array) -> Image.Image:
    """Pastes something blurred before one side of the hand, over less than a quarter of it, and returns its mask."""
    size = image.size
    low, high = uv.min(0), uv.max(0)
    c, s = cos_sin(between(rng, -180, 180))
    reach = abs(c) * float(high[0] - low[0]) / 2 + abs(s) * float(high[1] - low[1]) / 2
    x, y = ((low + high) / 2).tolist()
    r = between(rng, 18, 80)
    off = reach * between(rng, 0.62, 0.95) + r
    x, y = x + c * off, y + s * off
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    if rng.random() < 0.6:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
    else:  # a straight edge
        p, q = (x - c * r - s * 200, y - s * r + c * 200), (x - c * r + s * 200, y - s * r - c * 200)
        w = 2 * r * between(rng, 0.15, 1.0)
        pen.polygon([p, q, (q[0] + c * w, q[1] + s * w), (p[0] + c * w, p[1] + s * w)], fill=255)
    mask = mask.filter(ImageFilter.BoxBlur(between(rng, 0.5, 2)))
    colour = _muted(rng)
    image.paste(
        _texture(rng, colour, _near(rng, colour, 0.35), 3, 9).resize(size, Image.Resampling.BILINEAR), (0, 0), mask
    )
    return mask


def _chunk(drawn: Drawn, folder: str, first: int, last: int) -> tuple[list[object], list[object]]:
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
def _workplace(folder: Path) -> Iterator[Path]:
    """A locked temporary folder beside `folder`; those that killed runs left behind are removed first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{folder.name}.drawing-"
    for old in folder.parent.glob(f"{prefix}*"):
        handle = os.open(old, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # another run is at work in it
        else:
            shutil.rmtree(old)
        finally:
            os.close(handle)
    place_ = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    handle = os.open(place_, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield place_
    finally:
        shutil.rmtree(place_, ignore_errors=True)
        os.close(handle)


def synth(
    drawn: Drawn,
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
        Mistake: the folder holds something or cannot be written.
    """
    folder = Path(folder).absolute()
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Mistake(f"{folder} exists already; name a new or an empty folder.")
        with _workplace(folder) as place_:
            _write(drawn, place_, progress, max(workers, 1))
            place_.chmod(0o777 & ~_umask())
            place_.rename(folder)
    except OSError as problem:
        raise Mistake(
            f"{folder} cannot be written ({problem.strerror or problem}); choose another folder."
        ) from problem


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(drawn: Drawn, folder: Path, progress: Callable[[int, int], None] | None, workers: int) -> None:
    rgb = folder / "training" / "rgb"
    rgb.mkdir(parents=True)
    firsts = range(0, drawn.count, _CHUNK)
    lasts = [min(first + _CHUNK, drawn.count) for first in firsts]
    ks: list[object] = []
    points: list[object] = []
    workers = min(workers, len(firsts))
    with concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _leave_with_parent
    ) as pool:
        n = len(firsts)
        run = pool.map if workers > 1 else map  # the pool starts no process before it is given work
        for made in run(_chunk, [drawn] * n, [str(rgb)] * n, firsts, lasts):
            ks += made[0]
            points += made[1]
            if progress is not None:
                progress(len(ks), drawn.count)
    (folder / "training_K.json").write_text(json.dumps(ks))
    (folder / "training_xyz.json").write_text(json.dumps(points))
