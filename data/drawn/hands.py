"""Drawn hands: the embedded data set, in FreiHAND's layout."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from data.drawn import skeleton
from data.drawn.background import foreground, muted_reflectance, noise_plane, scenery
from data.drawn.geometry import Array, Mask, between
from data.drawn.hand_shading import Look, shade
from data.drawn.raster import ARM, RES, Canvas, Lens, flesh, held
from data.drawn.sets import QUALITY, DrawnSet
from data.drawn.shading import lighting, mask_image, sensor_noise, skin_tone
from data.drawn.skeleton import SIDE, Hand
from data.errors import UserError


@dataclass(frozen=True)
class DrawnHands(DrawnSet):
    """A set of drawn right hands: training/rgb/%08d.jpg, training_K.json, training_xyz.json."""

    layout, noun = "freihand", "hand"
    subfolders = ("training/rgb",)
    count: int  # how many images, 1 or more
    seed: int = 0  # 0 or more
    difficulty: float = 0.3  # how far the view may leave palm or back and upright fingers: 0 hardly, 1 any rotation

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.difficulty <= 1:
            raise UserError(f"difficulty is {self.difficulty}, but must lie between 0 (easy views) and 1 (any view).")

    def fingerprint(self) -> Iterable[Any]:
        """Image, joints and camera of the first hand."""
        return draw(self, 0)

    def write(self, folder: Path, index: int) -> tuple[Any, Any]:
        """Saves an image; returns its K and xyz as lists."""
        image, xyz, k = draw(self, index)
        Image.fromarray(image).save(folder / "training" / "rgb" / f"{index:08d}.jpg", quality=QUALITY)
        return k.tolist(), xyz.tolist()

    def finish(self, folder: Path, entries: list[Any]) -> None:
        """Writes the cameras' matrices and the joints."""
        for name, values in zip(("training_K.json", "training_xyz.json"), zip(*entries, strict=True), strict=True):
            (folder / name).write_text(json.dumps(values))


@dataclass(frozen=True)
class Picture:
    """One drawn hand."""

    image: NDArray[np.uint8]  # uint8 (224, 224, 3)
    xyz: Array  # (21, 3) joints in metres, camera frame
    k: Array  # (3, 3) camera matrix; k @ xyz gives pixels with centres at integers
    skin: Mask  # bool (224, 224), where the hand or its forearm is seen


def draw(drawn: DrawnHands, index: int) -> tuple[NDArray[np.uint8], Array, Array]:
    """Draws hand `index`: image uint8 (224, 224, 3), xyz (21, 3) metres in the camera's frame, and K (3, 3)."""
    drawing = picture(drawn, index)
    return drawing.image, drawing.xyz, drawing.k


def labels(drawn: DrawnHands, index: int) -> tuple[Array, Array]:
    """The xyz (21, 3) and K (3, 3) that `draw` would answer, without drawing."""
    _, hand, k = _posed(drawn, index)
    return hand.joints, k


def _posed(drawn: DrawnHands, index: int) -> tuple[np.random.Generator, Hand, Array]:
    rng = drawn.generator(index)
    hand, k = skeleton.place(rng, skeleton.pose(rng), drawn.difficulty)
    return rng, hand, k


def picture(drawn: DrawnHands, index: int) -> Picture:
    """Draws hand `index` and where its skin is; raises IndexError if there is no such hand."""
    rng, hand, k = _posed(drawn, index)
    light, canvas, lens = lighting(rng), Canvas.empty(), Lens(k, float(hand.joints[9, 2]))
    sleeve = between(rng, 0.02, 0.14) if rng.random() < 0.5 else 1.0
    flesh(canvas, lens, hand, between(rng, 0.90, 1.10), sleeve)
    if rng.random() < (0.35 if hand.curl > 0.3 else 0.10):
        held(rng, canvas, lens, hand)
    mottle = noise_plane(rng, (RES, RES), 6, 17)
    fabric, thing, stripe = (muted_reflectance(rng) for _ in range(3))
    nails = max(between(rng, -0.2, 1.0), 0.0)
    colours, cover = shade(canvas, lens, hand, light, Look(skin_tone(rng), fabric, mottle, nails, (thing, stripe)))
    image = scenery(rng)
    if rng.random() < 0.4:  # a wall or a table behind takes the shadow
        away = between(rng, 8, 20)
        fall = cover.reduce(3).filter(ImageFilter.BoxBlur(between(rng, 1.5, 4)))
        fall = fall.point([int(v * 0.5) for v in range(256)]).resize((RES, RES), Image.Resampling.BILINEAR)
        image.paste((12, 12, 16), (round(-light.towards[0] * away), round(-light.towards[1] * away)), fall)
    image.paste(colours, (0, 0), cover)
    skin = mask_image((canvas.part > 0) & (canvas.part <= ARM))
    if rng.random() < 0.12:
        uv = hand.joints[:, :2] / hand.joints[:, 2:] * k[0, 0] + k[:2, 2]
        skin.paste(0, (0, 0), foreground(rng, image, uv * (RES / SIDE)))
    image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pixels = np.asarray(sensor_noise(rng, image, int(between(rng, 2, 9))))
    return Picture(pixels, hand.joints, k, np.asarray(skin.resize((SIDE, SIDE), Image.Resampling.NEAREST)) > 127)
