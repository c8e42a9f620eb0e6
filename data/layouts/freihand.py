"""FreiHAND's layout on disk.

training_K.json holds a camera matrix (3, 3) a hand, training_xyz.json 21 joints a hand (metres, camera frame)
and training/rgb/%08d.jpg photographs of 224 x 224 pixels. Image i shows hand i modulo the number of hands: the
full set has four pictures of each of 32,560 hands. Only these are ever opened, never evaluation/.
Source: Zimmermann et al., FreiHAND, ICCV 2019, https://lmb.informatik.uni-freiburg.de/projects/freihand
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError

SIDE = 224  # pixels: the images, and the frame PixelDiff is measured in
JOINTS = 21

Array = np.ndarray[Any, np.dtype[Any]]


def image_paths(root: Path) -> list[str]:
    """The training images, in order.

    Raises:
        UserError: If the folder, its images or one of them is missing.
    """
    names = image_names(root)
    if not names:
        raise UserError(f"{root / 'training/rgb'} holds no .jpg images: --data must name FreiHAND's own folder.")
    for index, name in enumerate(names):
        if name != f"{index:08d}.jpg":
            path = root / "training" / "rgb" / f"{index:08d}.jpg"
            raise UserError(f"{path} is missing (the next is {name}): unpack FreiHAND again.")
    return [f"{root}/training/rgb/{name}" for name in names]


def image_names(root: Path) -> list[str]:
    """Names of the .jpg files among the training images, sorted.

    Raises:
        UserError: If the folder is missing.
    """
    try:
        with os.scandir(root / "training" / "rgb") as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(".jpg"))
    except OSError as error:
        raise UserError(
            f"{root / 'training/rgb'} cannot be listed ({error.strerror}): "
            "--data must name FreiHAND's own folder, which holds training/rgb and training_K.json."
        ) from None


def annotation_path(root: Path, kind: str) -> Path:
    """The annotation file of a kind, "K" or "xyz".

    Raises:
        UserError: If it is missing.
    """
    path = root / f"training_{kind}.json"
    if not path.is_file():
        raise UserError(f"{path} is missing: --data must name FreiHAND's own folder, which holds it beside training/.")
    return path


def read_annotation(root: Path, kind: str) -> Array:
    """One annotation file: "K", float64 (H, 3, 3), or "xyz", float64 (H, 21, 3).

    Raises:
        UserError: If it is missing, no JSON or of another shape.
    """
    path = annotation_path(root, kind)
    shape = (3, 3) if kind == "K" else (JOINTS, 3)
    try:
        values = np.array(json.loads(path.read_bytes()), dtype=np.float64)
    except (ValueError, TypeError) as error:
        wanted = f"a JSON list of {shape[0]}x{shape[1]} numbers"
        raise UserError(f"{path} is not {wanted} ({error}): fetch it again.") from None
    if len(values) == 0 or values.ndim != 3 or values.shape[1:] != shape:
        wanted = f"(hands, {shape[0]}, {shape[1]})"
        raise UserError(f"{path} has the shape {values.shape} instead of {wanted}: fetch it again.")
    return values


def project(xyz: Array, matrix: Array) -> Array:
    """Pixels (H, P, 2), centres at whole numbers, of points (H, P, 3) seen by cameras (H, 3, 3).

    z = 0 gives inf or NaN.
    """
    seen = np.einsum("hij,hpj->hpi", matrix, xyz)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        pixels: Array = seen[..., :2] / seen[..., 2:]
    return pixels


def read_points(root: Path, images: int) -> Array:
    """The hands' joints as fractions of the side, float32 (H, 21, 2).

    Args:
        root: FreiHAND's folder.
        images: How many images it has.

    Raises:
        UserError: If annotations are missing, damaged, not finite, behind the camera or do not fit the images.
    """
    matrix, xyz = read_annotation(root, "K"), read_annotation(root, "xyz")
    if len(matrix) != len(xyz):
        lengths = f"{len(matrix)} entries and training_xyz.json {len(xyz)}"
        raise UserError(f"{root}/training_K.json has {lengths}: fetch both again.")
    if images % len(xyz):
        wanted = f"a whole multiple of the {len(xyz)} annotations"
        raise UserError(f"{root}/training/rgb has {images} images, not {wanted}: unpack it again.")
    pixels = project(xyz, matrix)
    wrong = ~np.isfinite(pixels).all(-1) | ~(xyz[..., 2] > 0)
    if wrong.any():
        hand, joint = np.argwhere(wrong)[0]
        raise UserError(
            f"{root}/training_xyz.json: joint {joint} of entry {hand} is not finite or behind the camera, "
            f"like {int(wrong.sum()) - 1} others: mend them; 'posefront data check' names all."
        )
    return ((pixels + 0.5) / SIDE).astype(np.float32)
