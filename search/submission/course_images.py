"""The course's test images, which are read here alone, and what a network answers for them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.errors import UserError
from data.storage.image import BadImage, read_image
from search.after.model import Model
from search.after.predict import answers

SIDE = 224
"""Pixels of the course's images, and of the frame PixelDiff is measured in."""
INNER = Path("evaluation/rgb")
"""Where the course's data set has its test images."""
ENDINGS = (".jpg", ".jpeg", ".png")

_AT_ONCE = 256  # images in memory: 39 MB
_NAMED = 3  # images that a message names

Array = np.ndarray[Any, np.dtype[Any]]


def test_images(test: Path, data: Path | None) -> list[Path]:
    """The images (.jpg, .jpeg, .png) of a folder by name, or of FreiHAND's, whose evaluation/rgb holds the test images.

    `data` is FreiHAND's folder, whose training images are no test images; None where hands are drawn.

    Raises:
        UserError: there are none, or they are training images.
    """
    folder = test / INNER if (test / INNER).is_dir() else test
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
    except OSError as error:
        raise UserError(
            f"--test {folder} cannot be listed ({error.strerror}); name the folder of test images."
        ) from error
    if not files:
        raise UserError(
            f"--test {folder} holds no .jpg, .jpeg or .png images; name the folder that does, or FreiHAND's own, whose "
            "evaluation/rgb holds them."
        )
    training = (data / "training").resolve() if data else None
    for file in files:
        if training and file.resolve().is_relative_to(training):
            raise UserError(f"--test {folder}: {file.name} is an image of {training}; test images are others.")
    return files


def locate(model: Model, files: list[Path]) -> Array:
    """The joints in test images, each read once, as the notebook reads them.

    Float64 (N, P, 2), pixels of the 224 x 224 image, pixel centres at whole numbers.

    Raises:
        UserError: some cannot be read or have another size; all are looked at, the first few named.
    """
    wrong: list[str] = []
    points: list[Array] = []
    for first in range(0, len(files), _AT_ONCE):
        images = []
        for file in files[first : first + _AT_ONCE]:
            try:
                images.append(pixels(file))
            except UserError as error:
                wrong.append(str(error))
        if not wrong:
            points.append(SIDE * answers(model, torch.stack(images)) - 0.5)
    if wrong:
        more = f" and {len(wrong) - _NAMED:,} more" if len(wrong) > _NAMED else ""
        raise UserError(
            f"{len(wrong):,} of {len(files):,} test images in {files[0].parent} will not do: "
            f"{', '.join(wrong[:_NAMED])}{more}; fetch them again."
        )
    return np.concatenate(points)


def pixels(file: Path) -> torch.Tensor:
    """A test image, uint8 (224, 224, 3).

    Raises:
        UserError: it will not do; the message is its name and why, no whole sentence.
    """
    try:
        return torch.from_numpy(read_image(file, (SIDE, SIDE)).copy())
    except BadImage as bad:
        raise UserError(f"{file.name} ({bad.detail})") from None
