"""Horizontal bars as SVG for paper, a row for each name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.submission.figures import INK, LETTER, PALE, drawing, measured, path, text


@dataclass(frozen=True)
class Bars:
    """A column of horizontal bars.

    Attributes:
        title: above it.
        values: at least 0; None where there is none.
        said: what stands at each bar's end.
        colours: of each.
        mark: a dotted line at this value, 0 for none.
        note: what stands there instead, where there are no bars.
    """

    title: str
    values: Sequence[float | None]
    said: Sequence[str]
    colours: Sequence[str]
    mark: float = 0.0
    note: str = ""


def bars(names: Sequence[str], panels: Sequence[Bars], width: float, row: float = 11.0) -> str:
    """Panels of horizontal bars side by side, a row for each name.

    Raises:
        ValueError: a value is negative or not finite.
    """
    left = min(max(map(measured, names), default=0) + 10, width / 3)
    side = (width - left) / max(1, len(panels))
    titled = 14.0 if any(panel.title for panel in panels) else 2.0
    height = titled + row * max(len(names), 1) + 4
    parts = [
        text(left - 5, titled + row * (i + 0.5) + 2.5, shortened(name, left - 8), INK, "end")
        for i, name in enumerate(names)
    ]
    for place, panel in enumerate(panels):
        start = left + place * side
        known = [value for value in panel.values if value is not None]
        if any(not math.isfinite(value) or value < 0 for value in known):
            raise ValueError(f"bars of {panel.title!r} must be finite and at least 0: {known}")
        room = side - 8 - max(map(measured, panel.said), default=0)
        scale = room / max([*known, panel.mark, 1e-12])
        parts.append(text(start, 8, panel.title, INK))
        if panel.note:
            parts += [text(start, titled + 8 + 10 * i, line) for i, line in enumerate(wrapped(panel.note, side - 10))]
            continue
        parts.append(path(f"M{start:.2f} {titled:.2f}V{height - 4:.2f}", PALE, 0.7))
        for i, (value, said, colour) in enumerate(zip(panel.values, panel.said, panel.colours, strict=True)):
            if value is None:
                continue
            top = titled + row * i + 0.16 * row
            parts.append(
                f'<rect x="{start:.2f}" y="{top:.2f}" width="{value * scale:.2f}" height="{0.68 * row:.2f}" '
                f'fill="{colour}"/>'
            )
            # Not on the dotted line.
            end = max(value, panel.mark) if value < 1.1 * panel.mark else value
            parts.append(text(start + end * scale + 3, top + 0.34 * row + 2.5, said))
        if panel.mark:
            parts.append(path(f"M{start + panel.mark * scale:.2f} {titled:.2f}V{height - 4:.2f}", PALE, 0.7, "1 2"))
    return drawing(width, height, "".join(parts))


def shortened(said: str, room: float) -> str:
    """Words that fit, ending in an ellipsis where they were cut."""
    said = " ".join(said.split())
    if measured(said) <= room:
        return said
    while said and measured(said) > room - 0.6 * LETTER:
        said = said[:-1]
    return f"{said}\u2026"


def wrapped(said: str, room: float) -> list[str]:
    """Words in lines that fit; a longer word has a line of its own."""
    lines = [""]
    for word in said.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if measured(longer) <= room or not lines[-1] else [*lines, word]
    return lines
