"""FreiHAND's layout on disk.

training_K.json holds a camera matrix (3, 3) a hand, training_xyz.json 21 joints a hand (metres, camera frame)
and training/rgb/%08d.jpg photographs of 224 x 224 pixels. Image i shows hand i modulo the number of hands: the
full set has four pictures of each of 32,560 hands. Only these are ever opened, never evaluation/.
Source: Zimmermann et al., FreiHAND, ICCV 2019, https://lmb.informatik.uni-freiburg.de/projects/freihand
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.layouts.problems import OnProblem, fault, read_json, refuse, warning

SIDE = 224  # pixels: the images, and the frame PixelDiff is measured in
JOINTS = 21

Array = np.ndarray[Any, np.dtype[Any]]

_MEND = "--data must name FreiHAND's own folder, unpacked in full"


@dataclass(frozen=True, eq=False)
class FreiHandSet:
    """A folder that was read."""

    images: tuple[str, ...]  # The files there are, by name; all that should be there if no problem says otherwise
    points: Array  # float32 (H, 21, 2), the joints as fractions of the side; NaN for what is damaged


def fits(root: Path) -> bool:
    """Whether a folder has anything of the layout."""
    return any((root / name).exists() for name in ("training_K.json", "training_xyz.json", "training/rgb"))


def read(root: Path, on_problem: OnProblem = refuse) -> FreiHandSet:
    """Read and check a folder's training part; no image is opened.

    Joints outside the image are warnings, one each: FreiHAND's own photographs have some.
    """
    points = _points(root, on_problem)
    return FreiHandSet(tuple(_listed(root, len(points), on_problem)), points)


def image_paths(root: Path) -> list[str]:
    """The training images, in order; without the annotations, which take seconds to read.

    Raises:
        UserError: If the folder, its images or one of them is missing.
    """
    return _listed(root, 0, refuse)


def _points(root: Path, on_problem: OnProblem) -> Array:
    """The hands' joints as fractions of the side, float32 (H, 21, 2); NaN for what is damaged."""
    matrix, xyz = (_annotation(root, kind, on_problem) for kind in ("K", "xyz"))
    if len(matrix) and len(xyz) and len(matrix) != len(xyz):
        detail = f"{len(matrix)} entries, and training_xyz.json has {len(xyz)}"
        on_problem(fault("mismatch", root / "training_K.json", detail, "fetch both again"))
    hands = min(len(matrix), len(xyz)) or max(len(matrix), len(xyz))
    # Where one of the files is missing nothing can be projected.
    matrix = matrix[:hands] if len(matrix) else np.full((hands, 3, 3), np.nan)
    xyz = xyz[:hands] if len(xyz) else np.full((hands, JOINTS, 3), np.nan)
    pixels = project(xyz, matrix)
    _check_joints(root, matrix, xyz, pixels, on_problem)
    return ((pixels + 0.5) / SIDE).astype(np.float32)


def annotation_path(root: Path, kind: str) -> Path:
    """The annotation file of a kind, "K" or "xyz".

    Raises:
        UserError: If it is missing.
    """
    path = root / f"training_{kind}.json"
    if not path.is_file():
        refuse(fault("missing", path, "no such file", _MEND))
    return path


def project(xyz: Array, matrix: Array) -> Array:
    """Pixels (H, P, 2), centres at whole numbers, of points (H, P, 3) seen by cameras (H, 3, 3).

    z = 0 gives inf or NaN.
    """
    seen = np.einsum("hij,hpj->hpi", matrix, xyz)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        pixels: Array = seen[..., :2] / seen[..., 2:]
    return pixels


def _listed(root: Path, hands: int, on_problem: OnProblem) -> list[str]:
    """The images there are, by name; without annotations as many should be there as are."""
    folder = root / "training" / "rgb"
    names: list[str] = []
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name.endswith(".jpg"))
    except OSError as error:
        on_problem(fault("missing", folder, f"cannot be listed: {error.strerror}", _MEND))
    else:
        if not names:
            on_problem(fault("missing", folder, "it holds no .jpg images", _MEND))
    if hands and len(names) % hands:
        detail = f"{len(names)} images are no whole multiple of the {hands} annotated hands"
        on_problem(fault("mismatch", folder, detail, "unpack it again"))
    count = max(1, round(len(names) / hands)) * hands if hands else len(names)
    expected = {f"{index:08d}.jpg" for index in range(count)}
    for name in sorted(expected.difference(names)):
        on_problem(fault("missing", f"{folder}/{name}", "no such file", "unpack FreiHAND again"))
    for name in sorted(set(names) - expected):
        on_problem(fault("mismatch", f"{folder}/{name}", "no annotation belongs to it", "unpack FreiHAND again"))
    return [f"{folder}/{name}" for name in names]


def _annotation(root: Path, kind: str, on_problem: OnProblem) -> Array:
    """One annotation file: "K", float64 (H, 3, 3), or "xyz", float64 (H, 21, 3); NaN for entries that are damaged."""
    shape = (3, 3) if kind == "K" else (JOINTS, 3)
    path = root / f"training_{kind}.json"
    entries = read_json(path, on_problem, _MEND)
    if not isinstance(entries, list) or not entries:
        what = "an empty list" if entries == [] else f"a {type(entries).__name__}"
        if entries is not None:
            on_problem(fault("mis-shaped", path, f"{what}, not a list of hands"))
        entries = []
    values = np.full((len(entries), *shape), np.nan)
    for index, entry in enumerate(entries):
        where = f"{path} entry {index}"
        try:
            value = np.array(entry, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            on_problem(fault("mis-shaped", where, str(error)))
            continue
        if value.shape != shape:
            on_problem(fault("mis-shaped", where, f"{value.shape} instead of {shape}"))
            continue
        values[index] = value
        for line in np.flatnonzero(~np.isfinite(value).all(-1)):
            part = f"{where} {'row' if kind == 'K' else 'joint'} {line}"
            on_problem(fault("non-finite", part, str(value[line].tolist())))
    return values


def _check_joints(root: Path, matrix: Array, xyz: Array, pixels: Array, on_problem: OnProblem) -> None:
    """Joints behind the camera, outside the image or nowhere; entries that are not finite are named already."""
    finite = np.isfinite(xyz).all(-1)
    front: Array = xyz[..., 2] > 0
    seen = np.isfinite(pixels).all(-1)
    inside = ((pixels >= -0.5) & (pixels <= SIDE - 0.5)).all(-1)
    cameras = np.isfinite(matrix.reshape(len(matrix), 9)).all(-1)
    nowhere = finite & front & ~seen & np.expand_dims(cameras, 1)
    for hand, joint in np.argwhere((finite & ~front) | nowhere | (front & seen & ~inside)):
        where = f"{root}/training_xyz.json entry {hand} joint {joint}"
        if not front[hand, joint]:
            on_problem(fault("behind camera", where, f"z = {xyz[hand, joint, 2]:g} m"))
        elif nowhere[hand, joint]:
            on_problem(fault("non-finite", where, "its camera sees it at no pixel"))
        else:
            u, v = pixels[hand, joint]
            on_problem(warning("off-image", where, f"pixel ({u:.1f}, {v:.1f})"))
