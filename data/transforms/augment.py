"""How far images are changed at random, as data, and the sides that images are packed in. Needs no torch."""

from dataclasses import dataclass, field, fields
from typing import Any

Size = int | tuple[int, int]
"""Of a network's input in pixels: the side of a square, or (height, width)."""

LEVELS = (56, 80, 112, 160, 224)  # sides in pixels
MEAN, STD = 0.45, 0.25  # of every channel, on 0..1: near most photographs', whatever the channels are
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: the grey that saturation keeps

CONTEXT = 1.5
"""Side of a packed crop in crops, where turns, margins and larger views must have something to show."""
BASES = (LEVELS[-1], 384)
"""Sides of packed crops in pixels; the second for inputs above 149 pixels: 384 shows 256 pixels a crop."""


def _upto(largest: float) -> Any:
    """A field of 0 to so much."""
    return field(default=0.0, metadata={"largest": largest})


class _Ranges:
    """Checks that each field lies in 0..its largest value."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            value, largest = getattr(self, each.name), each.metadata["largest"]
            if not 0 <= value <= largest:
                raise ValueError(f"{each.name} must lie in 0..{largest}, not {value}")


@dataclass(frozen=True)
class Augment(_Ranges):
    """How far images are changed; every value is 0 for none.

    Attributes:
        rotate: Largest turn in degrees, either way, 0 to 180.
        scale: Largest relative change of size, either way, 0 to 0.95: 0.25 draws factors from 0.75 to 1.25.
        shift: Largest shift along each axis as a fraction of the side, either way, 0 to 1.
        flip: Probability of mirroring left and right. A hand's points keep their order: a thumb stays a thumb.
        colour: Largest relative change of brightness, of contrast and of saturation, 0 to 1.
        erase: Probability of covering one rectangle, each side 0.1 to 0.4 of the image's, in a random colour.

    Raises:
        ValueError: If a value lies outside its range.
    """

    rotate: float = _upto(180)
    scale: float = _upto(0.95)
    shift: float = _upto(1)
    flip: float = _upto(1)
    colour: float = _upto(1)
    erase: float = _upto(1)


@dataclass(frozen=True)
class AnimalAugment(_Ranges):
    """How far top-down crops are changed; every value is 0 for none.

    Attributes:
        rotate: Rotation factor in degrees, 0 to 90: the standard deviation of turns, cut off at twice it; 0.6 of all
            are turned.
        scale: Scale factor, 0 to 0.9: the standard deviation of the view's size about 1, cut off at once it.
        half_body: Probability of showing only the upper or the lower half, where 8 points are labelled (Wang et al.
            2018, as in MMPose).
        flip: Probability of mirroring; left and right points change places.
        colour: Largest relative change of brightness and of contrast, 0 to 1.

    Raises:
        ValueError: If a value lies outside its range.
    """

    rotate: float = _upto(90)
    scale: float = _upto(0.9)
    half_body: float = _upto(1)
    flip: float = _upto(1)
    colour: float = _upto(1)


@dataclass(frozen=True)
class GestureAugment(_Ranges):
    """How far gesture crops are changed; every value is 0 for none.

    Attributes:
        flip: Probability of a mirror image, which changes left-hand classes into right-hand ones, 0 to 1.
        rotate: Largest turn in degrees, either way, 0 to 180.
        scale: Largest relative change of size, either way, 0 to 0.95.
        shift: Largest shift along each axis as a fraction of the crop's side, either way, 0 to 1.
        perspective: Largest relative change of magnification from the middle to an edge, 0 to 0.4.
        colour: Largest relative change of brightness, of contrast and of saturation, 0 to 1.
        margin: Each of the four margins is multiplied by a factor of its own from 1 - margin to 1 + margin, 0 to 1.

    Raises:
        ValueError: If a value lies outside its range.
    """

    flip: float = _upto(1)
    rotate: float = _upto(180)
    scale: float = _upto(0.95)
    shift: float = _upto(1)
    perspective: float = _upto(0.4)
    colour: float = _upto(1)
    margin: float = _upto(1)


@dataclass(frozen=True)
class RobotAugment(_Ranges):
    """How far the robot hand's pictures are changed; every value is 0 for none.

    Nothing moves: cameras that stand still see a fingertip at one place only, and a shifted picture would show it
    elsewhere than its label says.

    Attributes:
        depth_dropout: Probability of a depth pixel being without a reading, 0 to 1.
        colour: Largest relative change of brightness, of contrast and of saturation, of each camera by itself, 0 to 1.

    Raises:
        ValueError: If a value lies outside its range.
    """

    depth_dropout: float = _upto(1)
    colour: float = _upto(1)


def level(size: int, base: int = LEVELS[-1], context: float = 1.0) -> int:
    """Side of the level that inputs of `size` pixels are cut from: the smallest that is fine enough, at most `base`.

    Args:
        size: Of the input's shorter side in pixels.
        base: Side of the images in pixels.
        context: Side of the images in crops, of which the input shows one.
    """
    return min((side for side in LEVELS if size * context <= side < base), default=base)


def shape(size: Size) -> tuple[int, int]:
    """Height and width of an input."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def levels(size: Size, context: float = CONTEXT) -> tuple[int, int]:
    """Side of the pack of crops that inputs of `size` are cut from, and of the level of it that is read."""
    short = min(shape(size))
    base = next((side for side in BASES if short * context <= side), BASES[-1])
    return base, level(short, base, context)
