"""A trial's examples on one sheet of paper: its best, median and worst images, with the true and answered points."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from search.format import measured
from search.results.answers import EACH, RANKS, Answers, Example, picture
from search.results.skeleton import ANSWERED, TRUE, paint

SIDE = 256
"""Of a picture's longer side on the sheet, pixels."""

GAP, LEFT, TOP, CAPTION, WORDS = 16, 96, 64, 34, 22
INK, MUTED, PAPER = "#1c2126", "#6b7178", "#ffffff"


def sheet(answers: Answers, folder: Path, title: str) -> Image.Image:
    """The sheet, white, 1184 x 982 pixels; 66 higher where the pictures have words below them.

    The pictures lie in the study's folder; one that is missing there is left grey.
    """
    worded = any(example.said for example in answers.examples)
    width, step = LEFT + EACH * (SIDE + GAP), SIDE + CAPTION + GAP + (WORDS if worded else 0)
    paper = Image.new("RGB", (width, TOP + len(RANKS) * step), PAPER)
    pen = ImageDraw.Draw(paper)
    pen.text((GAP, TOP / 2), title, INK, font(22), anchor="lm")
    if answers.pointed:
        legend(pen, width - GAP)
    for line, rank in enumerate(RANKS):
        top = TOP + line * step
        pen.text((GAP, top + SIDE / 2), rank, INK, font(20), anchor="lm")
        for place, example in enumerate([example for example in answers.examples if example.rank == rank][:EACH]):
            left = LEFT + place * (SIDE + GAP)
            image = drawn(example, answers.edges, folder)
            paper.paste(image, (left + (SIDE - image.width) // 2, top + (SIDE - image.height) // 2))
            below = top + SIDE + 6
            pen.text((left, below), measured(example.error, answers.unit), INK, font(17))
            pen.text((left + SIDE, below + 2), f"image {example.row}", MUTED, font(14), anchor="ra")
            if example.said:
                pen.text((left, below + WORDS + 2), within(pen, example.said, SIDE), INK, font(14))
    return paper


def within(pen: ImageDraw.ImageDraw, text: str, width: float) -> str:
    """The text on one line, cut to what `width` pixels hold."""
    line = " ".join(text.split())
    if pen.textlength(line, font(14)) <= width:
        return line
    while line and pen.textlength(f"{line}...", font(14)) > width:
        line = line[:-1]
    return f"{line}..."


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
    """One picture in its own shape with both skeletons, drawn twice as large and reduced, for smooth lines."""
    try:
        with Image.open(picture(folder, example.row)) as opened:
            scale = SIDE / max(opened.size)
            wide, high = (2 * max(1, round(scale * side)) for side in opened.size)
            image = opened.convert("RGB").resize((wide, high), Image.Resampling.BILINEAR)
    except OSError:
        image = Image.new("RGB", (2 * SIDE, 2 * SIDE), "#d5d8dc")
    paint(image, example, edges)
    return image.reduce(2)
