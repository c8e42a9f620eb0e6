"""Keypoints for any photograph, as data and as a picture.

A photograph is turned upright as its EXIF data say, made square by repeating its border pixels on the two short sides
(letter-boxing: nothing is cut off, and training fills what a shift uncovers in the same way) and then treated as in
evaluation. The networks are trained on pictures of one hand, face or animal that fills most of the frame. A task that
shows its networks only the middle of a picture, or more of it along one side, gets the whole photograph into that.
Where boxes say where objects are, each is cut out as in training.
"""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from data.errors import UserError
from data.layouts.boxes import Boxed
from data.storage.crops import Square, seen_in
from data.storage.files import writing
from data.storage.image import BadImage, open_image
from data.transforms.augment import LEVELS, level, levels, shape
from data.transforms.warp import reduce
from search.after.model import Model
from search.after.preprocessing import Preprocessing
from search.results.skeleton import skeleton

_LARGE = 2048  # pixels; a longer picture is first made smaller by a whole factor, which bounds memory
_BATCH = 64

Array = np.ndarray[Any, np.dtype[Any]]
Edges = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Prediction:
    """What a network sees in a photograph."""

    file: Path  # the photograph
    size: tuple[int, int]  # its width and height in pixels, upright
    points: Array  # float64 (P, 2), (x, y) in its pixels, pixel centres at whole numbers; may lie outside
    boxed: Boxed | None = None  # the object in it that was looked at; None for the whole photograph


@dataclass(frozen=True)
class _View:
    """What a network sees of a square picture: `offset + scale * place` of it at each place of its input."""

    offset: tuple[float, float]  # (x, y), fractions of the picture's side
    scale: tuple[float, float]  # (x, y), the input's width and height in sides of the picture
    pixels: int  # side that the picture needs, so that it has a pixel for each one of the input


_WHOLE = _View((0.0, 0.0), (1.0, 1.0), LEVELS[-1])


@dataclass(frozen=True)
class _Square:
    """A photograph as the network is to see it, and where it lies in it."""

    pixels: torch.Tensor  # uint8 (L, L, 3)
    size: tuple[int, int]  # of the photograph
    side: float  # of the square, in the photograph's pixels
    corner: tuple[float, float]  # the square's, in the photograph's pixels


def predict(model: Model, files: Sequence[Path], boxes: Sequence[Boxed] | None = None) -> list[Prediction]:
    """The keypoints of photographs, in the order of `files`, or of the objects in them, in the order of `boxes`.

    A photograph of 224 x 224 pixels, or an object in its annotated box, gets exactly what evaluation would answer.

    Args:
        model: read back.
        files: any size and mode that Pillow reads.
        boxes: objects, those of a photograph one after another; None to take each photograph as one.

    Raises:
        UserError: the network finds no points in photographs, or files cannot be read; it names all of them, and
            nothing is predicted.
    """
    _check(model)
    view = _seen(model.preprocess, model.config.arch.size)
    around = None if boxes is None else _around(model)
    looked: list[tuple[Path, Boxed | None]] = [(file, None) for file in files]
    if boxes is not None:
        looked = [(boxed.file, boxed) for boxed in boxes]
    squares: list[_Square] = []
    wrong: list[str] = []
    for file, objects in groupby(looked, key=lambda pair: pair[0]):
        try:
            image = upright(file)
        except UserError as error:
            wrong.append(str(error))
            continue
        squares += [
            _square(image, view) if boxed is None or around is None else _cut(image, boxed, around)
            for _, boxed in objects
        ]
    if wrong:
        them = "it" if len(wrong) == 1 else "them"
        raise UserError(f"cannot read {', '.join(wrong)}: mend {them} or leave {them} out.")
    answered = [np.empty(0)] * len(looked)
    for rows in _batches(squares):
        points = answers(model, torch.stack([squares[row].pixels for row in rows]))
        for row, fractions in zip(rows, points, strict=True):
            square = squares[row]
            answered[row] = fractions * square.side + square.corner - 0.5
    return [
        Prediction(file, square.size, points, boxed)
        for (file, boxed), square, points in zip(looked, squares, answered, strict=True)
    ]


def _around(model: Model) -> tuple[float, int]:
    """How objects are cut out as in training: side of a crop in sides of a box, and its pixels.

    Raises:
        UserError: the model's pictures were not cut around boxes.
    """
    margin, context = model.margin, float(getattr(model.preprocess, "context", 1.0))
    if margin is None:
        raise UserError(f"{model.folder} was trained on whole pictures, not on objects in boxes; leave --boxes out.")
    return margin * context, levels(model.config.arch.size, context)[0]


def _cut(image: Image.Image, boxed: Boxed, around: tuple[float, int]) -> _Square:
    """An object cut out of its photograph."""
    x, y, width, height = boxed.box
    side = max(width, height) * around[0]
    left, top = x + width / 2 - side / 2, y + height / 2 - side / 2
    square = Square(str(boxed.file), image.width, image.height, left, top, side)
    pixels = torch.from_numpy(seen_in(image, square, around[1]).copy())
    return _Square(pixels, image.size, side, (left, top))


def overlays(predictions: Sequence[Prediction], edges: Edges, folder: Path) -> None:
    """Write each photograph with its skeleton into `folder`, as PNG.

    Raises:
        UserError: two photographs have one name, or the folder cannot be written.
    """
    names = Counter(file.stem for file in dict.fromkeys(prediction.file for prediction in predictions))
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise UserError(f"{names[twice[0]]} photographs are named {twice[0]!r}; draw them into a folder each.")
    for file, objects in groupby(predictions, key=lambda prediction: prediction.file):
        with writing(folder / f"{file.stem}.png", "give --overlay a folder of yours") as half:
            overlay(list(objects), edges).save(half, "PNG")


def upright(file: Path) -> Image.Image:
    """A photograph in RGB, turned as its EXIF data say; what is transparent becomes white.

    Greys of 16 bits keep their upper eight.

    Raises:
        UserError: it cannot be read; the message is the file's name and why, no whole sentence.
    """
    try:
        return open_image(file)
    except BadImage as bad:
        raise UserError(f"{file} ({bad.detail})") from None


def as_json(predictions: Sequence[Prediction], labels: Sequence[str], edges: Edges) -> str:
    """All predictions with the names of the points and the bones between them; two decimals of a pixel."""
    record = {
        "labels": list(labels),
        "edges": [list(edge) for edge in edges],
        "predictions": [
            {
                "file": _text(prediction.file),
                "width": prediction.size[0],
                "height": prediction.size[1],
                **({"name": boxed.name, "bbox": list(boxed.box)} if (boxed := prediction.boxed) else {}),
                "points": np.round(prediction.points, 2).tolist(),
            }
            for prediction in predictions
        ],
    }
    return json.dumps(record, indent=1) + "\n"


def as_csv(predictions: Sequence[Prediction]) -> str:
    """A row an answer: file, the object's name where there are boxes, width, height, x0, y0, x1, ...; two decimals."""
    count = len(predictions[0].points) if predictions else 0
    written = io.StringIO()
    lines = csv.writer(written, lineterminator="\n")
    named = ["name"] if predictions and predictions[0].boxed else []
    joints = [f"{axis}{joint}" for joint in range(count) for axis in "xy"]
    lines.writerow(["file", *named, "width", "height", *joints])
    for prediction in predictions:
        numbers = [f"{value:.2f}" for value in prediction.points.ravel()]
        name = [prediction.boxed.name] if prediction.boxed else []
        lines.writerow([_text(prediction.file), *name, *prediction.size, *numbers])
    return written.getvalue()


def overlay(predictions: Sequence[Prediction], edges: Edges) -> Image.Image:
    """A photograph, upright, with the skeletons of all that was found in it; raises as `upright`."""
    image = upright(predictions[0].file)
    for prediction in predictions:
        image = skeleton(image, prediction.points, edges)
    return image


def _check(model: Model) -> None:
    """Refuse a network that cannot be asked for points in photographs, by one look at an empty picture."""
    channels, height, width = model.config.arch.input_shape
    if channels != 3:
        raise UserError(
            f"{model.folder} sees {channels} channels and a photograph has 3; predict needs a model that finds points "
            "in photographs."
        )
    with torch.inference_mode():
        shape = tuple(model.net.cpu().eval()(torch.zeros(1, channels, height, width)).shape[1:])
    if len(shape) != 2 or shape[1] not in (2, 3):
        raise UserError(
            f"{model.folder} answers {' x '.join(map(str, shape))} numbers and no points; predict needs a model that "
            "finds points in photographs."
        )


@cache
def _seen(preprocess: Callable[[torch.Tensor, Any], torch.Tensor], size: Any) -> _View:
    """What a network sees of a square picture, as recorded, or found by a picture whose red and green are x and y.

    A task may cut its inputs out of wider pictures, or into another shape; where their pixels come from, only its own
    `inputs` knows.
    """
    side = LEVELS[-1]
    if isinstance(preprocess, Preprocessing):
        height, width = shape(size)
        short = min(height, width) * preprocess.context
        seen_part = (width / short, height / short)
        if seen_part == (1, 1):
            return _WHOLE
        return _View(((1 - seen_part[0]) / 2, (1 - seen_part[1]) / 2), seen_part, round(max(side, short)))
    ramp = ((torch.arange(side) + 0.5) * (255 / side)).round().to(torch.uint8)
    places = torch.zeros(side, side, 3, dtype=torch.uint8)
    places[..., 0], places[..., 1] = ramp, ramp[:, None]
    ends = torch.stack([torch.zeros_like(places), torch.full_like(places, 255), places])
    black, white, shown = preprocess(ends, size).double()
    seen = (shown - black) / (white - black)
    offset, scale, pixels = [], [], float(side)
    for line in (seen[0].mean(0), seen[1].mean(1)):
        place = (torch.arange(len(line)) + 0.5) / len(line)
        inside = (line > 0.02) & (line < 0.98)  # beyond the picture its border is repeated
        slope, start = np.polyfit(place[inside].numpy(), line[inside].numpy(), 1)
        offset.append(float(start))
        scale.append(float(slope))
        pixels = max(pixels, len(line) / float(slope))
    if max(map(abs, offset)) < 0.01 and max(abs(factor - 1) for factor in scale) < 0.01:
        return _WHOLE
    return _View((offset[0], offset[1]), (scale[0], scale[1]), round(pixels))


def _square(image: Image.Image, view: _View) -> _Square:
    """A photograph in the middle of a square whose part that is seen holds all of it; smaller where it is too fine."""
    size = image.size
    factor = -(-max(size) // _LARGE)
    pixels = torch.from_numpy(np.asarray(image.reduce(factor) if factor > 1 else image).copy())
    height, width = pixels.shape[:2]
    side = max(math.ceil(length / min(1.0, seen)) for length, seen in zip((width, height), view.scale, strict=True))
    left, top = (side - width) // 2, (side - height) // 2
    if (width, height) != (side, side):
        rows = (torch.arange(side) - top).clamp(0, height - 1)
        columns = (torch.arange(side) - left).clamp(0, width - 1)
        pixels = pixels[rows][:, columns]
    if side > view.pixels:
        pixels = reduce(pixels[None], view.pixels)[0]
    return _Square(pixels.contiguous(), size, side * factor, (-left * factor, -top * factor))


def _batches(squares: Sequence[_Square]) -> Iterator[list[int]]:
    """Squares of one side together, a few at a time."""
    sides: dict[int, list[int]] = {}
    for row, square in enumerate(squares):
        sides.setdefault(len(square.pixels), []).append(row)
    for rows in sides.values():
        for first in range(0, len(rows), _BATCH):
            yield rows[first : first + _BATCH]


@torch.inference_mode()
def answers(model: Model, pixels: torch.Tensor) -> Array:
    """The points of square pictures, computed as in evaluation.

    Args:
        model: its network answers on the CPU.
        pixels: uint8 (B, L, L, 3); of a network that sees whole pictures L is at most 224.

    Returns:
        (B, P, 2), fractions of the side, float64.

    Raises:
        ValueError: the network answers no points.
    """
    net, size = model.net.eval(), model.config.arch.size
    view = _seen(model.preprocess, size)
    smaller = level(size, pixels.shape[1]) if view is _WHOLE and isinstance(size, int) else pixels.shape[1]
    if smaller < pixels.shape[1]:
        pixels = reduce(pixels, smaller)
    inputs = model.preprocess(pixels, size)
    outputs: Array = net(inputs.contiguous(memory_format=torch.channels_last)).double().numpy()
    if outputs.ndim != 3 or outputs.shape[2] not in (2, 3):
        raise ValueError(f"the network answers {outputs.shape[1:]}, which are no points of a picture")
    points: Array = outputs[..., :2]
    return points if view is _WHOLE else np.array(view.offset) + np.array(view.scale) * points


def _text(file: Path) -> str:
    """A file's name in Unicode, whatever its bytes are."""
    return str(file).encode("utf-8", "replace").decode("utf-8")
