"""How an image file becomes pixels: for check, training, predict, submit and the notebook alike."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data.storage.files import BadFile

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Size = tuple[int, int]  # width and height, pixels

_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)  # of EXIF


class BadImage(BadFile):
    """An image file that cannot be used; `kind` is "missing", "unreadable", "truncated" or "mis-shaped"."""


def open_image(path: str | Path, size: Size | None = None) -> Image.Image:
    """Decode an image as it is displayed.

    It is turned as its EXIF data say, unless only the stored pixels have the wanted size: some annotations were made
    on these. Greys of 16 bits keep their upper eight, what is transparent is laid on white, all else becomes RGB.

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
                displayed = ImageOps.exif_transpose(file)
                image = displayed if size is None or displayed.size == size else file
                if size is not None and image.size != size:
                    wide, high = displayed.size
                    raise BadImage(path, "mis-shaped", f"{wide} x {high} pixels instead of {size[0]} x {size[1]}")
                return _in_colour(path, image)
            except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise on broken streams
                raise BadImage(path, "truncated", str(error)) from None
    except FileNotFoundError:
        raise BadImage(path, "missing", "no such file") from None
    except UnidentifiedImageError:
        raise BadImage(path, "unreadable", "not an image") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadImage(path, "unreadable", getattr(error, "strerror", None) or str(error)) from None


def read_image(path: str | Path, size: Size | None = None) -> Bytes:
    """The pixels of `open_image`, uint8 (H, W, 3)."""
    return np.asarray(open_image(path, size))


def displayed_size(path: str | Path) -> Size:
    """Width and height of an image as it is displayed, in pixels; its header alone is read.

    Raises:
        BadImage: If it is missing or unreadable.
    """
    try:
        with Image.open(path) as file:
            width, height = file.size
            return (height, width) if file.getexif().get(_ORIENTATION) in _ON_ITS_SIDE else (width, height)
    except FileNotFoundError:
        raise BadImage(path, "missing", "no such file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadImage(path, "unreadable", getattr(error, "strerror", None) or "not an image") from None


def _in_colour(path: str | Path, image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise BadImage(path, "mis-shaped", "values beyond 16 bits")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise BadImage(path, "mis-shaped", "floating-point pixels")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
