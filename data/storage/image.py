"""How an image file becomes pixels: for check, training, predict, submit and the notebook alike."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data.storage.files import BadFile

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Size = tuple[int, int]  # width and height, pixels
Turn = Literal["", "any", "size"]

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Of files that count as images in a folder."""

_ORIENTATION = 0x0112  # of EXIF: 2 to 4 mirror an image or turn it by 180 degrees, 5 to 8 lay it on its side
Image.MAX_IMAGE_PIXELS = 2**29
"""Pillow warns of more, and refuses twice as many; its own bound refuses photographs of large sensors."""

_BROKEN = (OSError, SyntaxError, ValueError)  # what Pillow raises on streams that are no whole image


class BadImage(BadFile):
    """An image file that cannot be used; `kind` is "missing", "unreadable", "truncated" or "mis-shaped"."""


def open_image(path: str | Path, size: Size | None = None) -> Image.Image:
    """Decode an image as `displayed` and `in_colour` say.

    Args:
        path: Any format that Pillow knows.
        size: Width and height that it must have, in pixels; None for any.

    Returns:
        In RGB, decoded in full.

    Raises:
        BadImage: If it is missing, unreadable or truncated; "mis-shaped" if it has another size or pixels that are
            no colours: floating-point numbers, or whole ones beyond 16 bits.
    """
    try:
        with Image.open(path) as file:
            try:
                file.load()
            except _BROKEN as error:
                raise BadImage(path, "truncated", str(error)) from None
            try:
                return in_colour(displayed(file, size))
            except _BROKEN as error:
                raise BadImage(path, "mis-shaped", str(error)) from None
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise _unopened(path, error) from None


def displayed(image: Image.Image, size: tuple[int, int] | None = None) -> Image.Image:
    """An image turned as its EXIF data say, unless only the stored pixels have the wanted width and height.

    Some annotations were made on the stored pixels. `turn` says where a size cannot tell. Pillow gives a TIFF's as
    displayed, whatever is asked.

    Raises:
        ValueError: If neither has that size.
    """
    turned = ImageOps.exif_transpose(image)
    if size is None or turned.size == size:
        return turned
    if image.size != size:
        raise ValueError(f"{turned.width} x {turned.height} pixels instead of {size[0]} x {size[1]}")
    return image


def in_colour(image: Image.Image) -> Image.Image:
    """An image in RGB: greys of 16 bits keep their upper eight, what is transparent is laid on white.

    Raises:
        ValueError: If its pixels are no colours: floating-point numbers, or whole ones beyond 16 bits.
    """
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("values beyond 16 bits")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def read_image(path: str | Path, size: Size | None = None) -> Bytes:
    """The pixels of `open_image`, uint8 (H, W, 3)."""
    return np.asarray(open_image(path, size))


def displayed_size(path: str | Path) -> Size:
    """Width and height of an image as it is displayed, in pixels; its header alone is read.

    Raises:
        BadImage: If it is missing or unreadable.
    """
    (width, height), orientation = _header(path)
    return (height, width) if orientation > 4 else (width, height)


def turn(path: str | Path) -> Turn:
    """What its EXIF data do to an image: nothing, "any" that its size does not show, or "size", which they change.

    Its header alone is read.

    Raises:
        BadImage: If it is missing or unreadable.
    """
    (width, height), orientation = _header(path)
    return "" if orientation == 1 else "any" if orientation <= 4 or width == height else "size"


def _header(path: str | Path) -> tuple[Size, int]:
    """Width and height as stored, and EXIF's orientation, 1 to 8."""
    try:
        with Image.open(path) as file:
            orientation: Any = file.getexif().get(_ORIENTATION)
            if orientation not in range(2, 9):
                return file.size, 1
            width, height = file.size
            is_displayed = file.format == "TIFF" and orientation > 4  # Pillow has turned its size already
            return (height, width) if is_displayed else (width, height), orientation
    except (*_BROKEN, Image.DecompressionBombError) as error:
        raise _unopened(path, error) from None


def _unopened(path: str | Path, error: Exception) -> BadImage:
    if isinstance(error, BadImage):
        return error
    if isinstance(error, FileNotFoundError):
        return BadImage(path, "missing", "no such file")
    if isinstance(error, UnidentifiedImageError):
        return BadImage(path, "unreadable", "not an image")
    return BadImage(path, "unreadable", getattr(error, "strerror", None) or str(error))
