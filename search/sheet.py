"""A trial's examples on one sheet of paper: its best, median and worst images with true and answered skeletons."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from search.answers import EACH, RANKS, Answers, Example, picture

SIDE = 256
"""Of a picture on the sheet, pixels; drawn twice as large and reduced, for smooth lines."""

GAP, LEFT, TOP, CAPTION = 16, 96, 64, 34
INK, MUTED, PAPER = "#1c2126", "#6b7178", "#ffffff"
TRUE, ANSWERED = "#35d07f", "#ff4d8d"
HALO = "#101418"


def sheet(answers: Answers, folder: Path, title: str, unit: str) -> Image.Image:
    """The sheet, white, 1184 x 982 pixels.

    Args:
        answers: the examples, and which points are joined.
        folder: the study's, which holds the pictures; one that is missing there is left grey.
        title: what stands above.
        unit: of the errors.
    """
    width, step = LEFT + EACH * (SIDE + GAP), SIDE + CAPTION + GAP
    paper = Image.new("RGB", (width, TOP + len(RANKS) * step), PAPER)
    pen = ImageDraw.Draw(paper)
    pen.text((GAP, TOP / 2), title, INK, font(22), anchor="lm")
    legend(pen, width - GAP)
    for line, rank in enumerate(RANKS):
        top = TOP + line * step
        pen.text((GAP, top + SIDE / 2), rank, INK, font(20), anchor="lm")
        for place, example in enumerate([found for found in answers.examples if found.rank == rank][:EACH]):
            left = LEFT + place * (SIDE + GAP)
            paper.paste(drawn(example, answers.edges, folder), (left, top))
            below = top + SIDE + 6
            pen.text((left, below), f"{example.error:.3g} {unit}", INK, font(17))
            pen.text((left + SIDE, below + 2), f"image {example.row}", MUTED, font(14), anchor="ra")
    return paper


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own, the same on every machine."""
    return ImageFont.load_default(size)


def legend(pen: ImageDraw.ImageDraw, right: float) -> None:
    """Which skeleton is which, at the upper right."""
    for word, colour in (("answered", ANSWERED), ("true", TRUE)):
        left = right - pen.textlength(word, font(17))
        pen.text((left, TOP / 2), word, INK, font(17), anchor="lm")
        pen.line((left - 38, TOP / 2, left - 8, TOP / 2), colour, 4)
        pen.ellipse((left - 28, TOP / 2 - 5, left - 18, TOP / 2 + 5), colour)
        right = left - 58


def drawn(example: Example, edges: Sequence[Sequence[int]], folder: Path) -> Image.Image:
    """One picture with both skeletons."""
    large = 2 * SIDE
    try:
        with Image.open(picture(folder, example.row)) as opened:
            image = opened.convert("RGB").resize((large, large), Image.Resampling.BILINEAR)
    except OSError:
        image = Image.new("RGB", (large, large), "#d5d8dc")
    pen = ImageDraw.Draw(image)
    for points, colour, width in ((example.true, TRUE, 7), (example.answered, ANSWERED, 4)):
        ends = [(x * large, y * large) for x, y in points]
        bones = [(*ends[a], *ends[b]) for a, b in edges] if ends else []
        for ink, wider in ((HALO, 3), (colour, 0)):
            for bone in bones:
                pen.line(bone, ink, width + wider)
            for x, y in ends:
                r = width + wider / 2
                pen.ellipse((x - r, y - r, x + r, y + r), ink)
    return image.reduce(2)
