"""What becomes of image files of every kind: the same pixels for check, training, predict and submit."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.storage.image import BadImage, displayed_size, open_image, read_image, turn

ORIENTATION = 0x0112
RAMP = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3)  # 6 wide, 4 high


def turned(path: Path, orientation: int) -> Path:
    image = Image.fromarray(RAMP)
    exif = image.getexif()
    exif[ORIENTATION] = orientation
    image.save(path, exif=exif)
    return path


def test_a_photograph_of_a_large_sensor_is_read_without_a_warning(tmp_path: Path) -> None:
    Image.new("1", (12000, 9000)).save(tmp_path / "a.png")  # warnings are errors here; Pillow's own bound is 89 million
    assert displayed_size(tmp_path / "a.png") == (12000, 9000)
    assert open_image(tmp_path / "a.png").size == (12000, 9000)


@pytest.mark.parametrize(
    ("orientation", "displayed"),
    [
        (1, RAMP),
        (2, RAMP[:, ::-1]),
        (3, RAMP[::-1, ::-1]),
        (4, RAMP[::-1]),
        (5, RAMP.transpose(1, 0, 2)),
        (6, np.rot90(RAMP, -1)),
        (7, np.rot90(RAMP, 2).transpose(1, 0, 2)),
        (8, np.rot90(RAMP)),
    ],
)
@pytest.mark.parametrize("ending", ["png", "tif"])  # Pillow turns a TIFF by itself, and its size before
def test_pixels_are_as_displayed(tmp_path: Path, orientation: int, displayed: np.ndarray, ending: str) -> None:
    path = turned(tmp_path / f"a.{ending}", orientation)
    size = (displayed.shape[1], displayed.shape[0])
    assert np.array_equal(read_image(path), displayed)
    assert np.array_equal(read_image(path, size), displayed)
    assert displayed_size(path) == size
    assert turn(path) == ("" if orientation == 1 else "any" if size == (6, 4) else "size")


def test_annotations_of_the_stored_pixels_get_these(tmp_path: Path) -> None:
    path = turned(tmp_path / "a.png", 6)
    assert np.array_equal(read_image(path, (4, 6)), np.rot90(RAMP, -1))
    assert np.array_equal(read_image(path, (6, 4)), RAMP)
    with pytest.raises(BadImage, match="4 x 6 pixels instead of 5 x 6") as caught:
        read_image(path, (5, 6))
    assert caught.value.kind == "mis-shaped"


def test_every_mode_becomes_colour(tmp_path: Path) -> None:
    grey = RAMP[..., 0]
    deep = (grey.astype(np.uint16) << 8) + 200
    see_through = np.dstack([RAMP, np.full((4, 6), 255, np.uint8)])
    see_through[0, 0, 3], see_through[0, 1] = 0, (0, 100, 200, 128)
    white = RAMP.copy()
    white[0, 0], white[0, 1] = 255, (127, 177, 227)
    palette = Image.fromarray(RAMP).quantize(24)
    glass = palette.copy()
    glass.info["transparency"] = palette.getpixel((0, 0))
    on_white = np.asarray(palette.convert("RGB")).copy()
    on_white[np.asarray(palette) == palette.getpixel((0, 0))] = 255
    faint = np.round(grey * 0.2 + 255 * 0.8)
    for name, image, wanted in (
        ("grey.png", Image.fromarray(grey), np.dstack([grey] * 3)),
        ("deep.png", Image.fromarray(deep), np.dstack([grey] * 3)),
        ("deep.tif", Image.fromarray(deep.astype(np.int32)), np.dstack([grey] * 3)),
        ("alpha.png", Image.fromarray(see_through), white),
        ("palette.png", palette, np.asarray(palette.convert("RGB"))),
        ("glass.png", glass, on_white),
        ("faint.png", Image.fromarray(np.dstack([grey, np.full_like(grey, 51)]), "LA"), np.dstack([faint] * 3)),
        (
            "print.tif",
            Image.fromarray(RAMP).convert("CMYK"),
            np.asarray(Image.fromarray(RAMP).convert("CMYK").convert("RGB")),
        ),
        ("line.png", Image.fromarray(grey > 30), np.dstack([(grey > 30) * np.uint8(255)] * 3)),
    ):
        image.save(tmp_path / name)
        opened = open_image(tmp_path / name, (6, 4))
        assert opened.mode == "RGB", name
        assert np.array_equal(np.asarray(opened), wanted), name


def test_what_is_no_colour_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 6), np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((4, 6), 70_000, np.int32)).save(tmp_path / "wide.tif")
    for name, said in (("float.tif", "floating-point"), ("wide.tif", "beyond 16 bits")):
        with pytest.raises(BadImage, match=said) as caught:
            read_image(tmp_path / name)
        assert caught.value.kind == "mis-shaped"


def test_sizes_of_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    for name, kind in (("none.png", "missing"), ("text.png", "unreadable")):
        with pytest.raises(BadImage) as caught:
            displayed_size(tmp_path / name)
        assert caught.value.kind == kind
