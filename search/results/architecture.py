"""A picture of an architecture: stages from the input image to the answer, with what each of them costs.

The SVG stands alone (no script, no link, no foreign object), so that it goes into a page and onto paper.
"""

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from models.plan import Plan, Stage
from search.format import of_log, shape_text
from search.results import shapes
from search.results.shapes import Shape

MARGIN = 12
COLUMN, WIDEST = 92, 136
"""Width of a stage's column: for words of 13 letters, and where there is room."""
TALLEST = 92
"""Height of the largest map; others by the square root of their side."""
THICKEST = 36
"""Thickness of the most channels; others by the square root of their number."""
LINE = 14.5
LETTER = 6.6
"""Width of a letter at 12 px, on the safe side for DejaVu Sans, the widest of the usual ones."""

STYLE = """
.arch-text { font: 12px sans-serif; fill: var(--ink, #1d2127); text-anchor: middle; }
.arch-strong { font: bold 12px sans-serif; fill: var(--ink, #1d2127); text-anchor: middle; }
.arch-small { font: 10.5px sans-serif; fill: var(--ink-2, #666d78); }
.arch-mark { font: bold 11px sans-serif; fill: var(--ink-2, #666d78); text-anchor: middle; }
.arch-note { font: 12px sans-serif; fill: var(--ink-2, #666d78); }
.arch-body { fill: #5b93c7; stroke: #2c5f8f; stroke-width: 0.75; stroke-linejoin: round; }
.arch-head { fill: #e2a04a; stroke: #a3661a; stroke-width: 0.75; stroke-linejoin: round; }
.arch-plain { fill: #9aa2ad; stroke: #666d78; stroke-width: 0.75; }
.arch-lit { fill: #ffffff; fill-opacity: 0.35; stroke: none; }
.arch-shade { fill: #000000; fill-opacity: 0.18; stroke: none; }
.arch-line { fill: none; stroke: var(--ink-2, #666d78); stroke-width: 1.2; }
.arch-skip { fill: none; stroke: var(--accent, #d6336c); stroke-width: 1.2; }
.arch-skip-tip { fill: var(--accent, #d6336c); stroke: none; }
.arch-tip { fill: var(--ink-2, #666d78); stroke: none; }
.arch-seam { fill: none; stroke: #ffffff; stroke-opacity: 0.8; stroke-width: 1; }
.arch-pale { fill: #ffffff; fill-opacity: 0.8; stroke: none; }
.arch-hot { fill: var(--accent, #d6336c); fill-opacity: 0.45; stroke: none; }
.arch-point { fill: var(--accent, #d6336c); stroke: none; }
.arch-limb { fill: none; stroke: var(--accent, #d6336c); stroke-width: 1.5; }
.arch-track { fill: var(--line, #d9dde3); stroke: none; }
.arch-params { fill: #3f9e6b; stroke: none; }
.arch-flops { fill: #8d6bb8; stroke: none; }
"""


@dataclass(frozen=True)
class Element:
    """A stage, the input or the answer as it is drawn."""

    shape: Shape  # its picture
    bold: str  # the first line below it
    words: tuple[str, ...]  # further lines, each broken where it doesn't fit
    cost: tuple[int, int] | None  # (params, flops), or None where nothing is computed
    mark: str = ""  # how the resolution changes on the way to it: '/2', 'x2', or empty
    shortcut: bool = False  # whether its input is added to its output

    def lines(self, column: float) -> list[str]:
        """The words in lines that fit."""
        return [line for words in self.words for line in wrapped(words, int((column - 4) / LETTER))]


def figure(plan: Plan) -> str:
    """The drawing for a page, laid out for two widths: the style sheet shows the one that fits."""
    drawn = (f'<div class="{name}">{svg(plan, width=width)}</div>' for name, width in _LAYOUTS)
    return f'<div class="architecture">{"".join(drawn)}</div>'


_LAYOUTS = (("wide", 1160), ("narrow", 620))


def svg(plan: Plan, *, width: int = 1160, standalone: bool = False) -> str:
    """The drawing as one <svg>; where the stages don't fit side by side it has several rows.

    Args:
        plan: from `models.stages.plan`.
        width: of the viewBox, at least 220; letters are 12 units high.
        standalone: plain colours instead of a page's CSS variables, and no caption, for paper.
    """
    elements = _elements(plan)
    room = width - 2 * MARGIN
    rows = math.ceil(len(elements) / (room // COLUMN))
    count = math.ceil(len(elements) / rows)
    column = min(WIDEST, room / count)
    left = MARGIN + (room - count * column) / 2
    parts, top = [], float(MARGIN)
    for start in range(0, len(elements), count):
        row = elements[start : start + count]
        high = max(element.shape.height for element in row)
        lines = max(len(element.lines(column)) for element in row)
        middle, below = top + 8 + high / 2, top + high + 28
        parts.append(_arrows(row, left, column, middle, start > 0, start + count < len(elements)))
        for place, element in enumerate(row):
            parts.append(_draw(element, plan, left + place * column, column, middle, below, lines))
        top = below + lines * LINE + 64
    for line in [] if standalone else wrapped(caption(plan), int(room / LETTER)):
        parts.append(f'<text class="arch-note" x="{MARGIN}" y="{top:.1f}">{escape(line)}</text>')
        top += 17
    style = re.sub(r"var\(--[\w-]+, (#\w+)\)", r"\1", STYLE) if standalone else STYLE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="arch" role="img" viewBox="0 0 {width} {top - 4:.0f}">'
        f"<title>Architecture</title><desc>{escape(described(plan))}</desc>"
        f"<style>{style}</style>{''.join(parts)}</svg>"
    )


def described(plan: Plan) -> str:
    """The drawing in words, a sentence a stage."""
    stages = (
        f"{stage.kind}{f', {stage.repeats} times' if stage.repeats > 1 else ''}: "
        f"{shape_text((stage.channels, *stage.sides))}, {percent(stage.params, plan.params)} of Params, "
        f"{percent(stage.flops, plan.flops)} of FLOPs."
        for stage in plan.stages
    )
    return " ".join([f"Input: {shape_text(plan.input_shape)}.", *stages, f"Answer: {' '.join(_answer(plan.answer))}."])


def percent(part: float, whole: float) -> str:
    """A share in two significant digits."""
    share = 100 * part / whole if whole else 0.0
    return "0 %" if share == 0 else "< 0.1 %" if share < 0.1 else f"{share:.1f} %" if share < 9.95 else f"{share:.0f} %"


def wrapped(words: str, letters: int) -> list[str]:
    """Lines of at most so many letters; no-break spaces hold where that can be, a longer word ends in an ellipsis."""
    lines = textwrap.wrap(words, letters, break_long_words=False, break_on_hyphens=False)
    if "\u00a0" in words and any(len(line) > letters for line in lines):
        return wrapped(words.replace("\u00a0", " "), letters)
    return [line if len(line) <= letters else f"{line[: letters - 1]}\u2026" for line in lines]


def _elements(plan: Plan) -> list[Element]:
    """All elements, from the input to the answer."""
    maps = [stage for stage in plan.stages if len(stage.sides) > 1]
    frame = plan.input_shape[1:]
    largest = max([max(frame, default=1), *(max(stage.sides) for stage in maps)])
    most = max((stage.channels for stage in maps), default=1)
    picture, channels = shapes.image(_high(frame, largest)), _counted(plan.input_shape[0], "channel")
    elements = [Element(picture, shape_text(frame), (channels, "input"), None)]
    before = frame
    for stage in plan.stages:
        shape = _shape(stage, plan, largest, most)
        bold, words = _words(stage, plan)
        elements.append(
            Element(shape, bold, words, (stage.params, stage.flops), _mark(before, stage), stage.shortcuts > 0)
        )
        before = stage.sides
    name, *rest = _answer(plan.answer)
    pointed = len(plan.answer) == 2 and plan.answer[1] in (2, 3)
    shape = shapes.points() if pointed else shapes.vector("arch-plain")
    return [*elements, Element(shape, name, tuple(rest), plan.decode if any(plan.decode) else None)]


def _high(sides: Sequence[int], largest: int) -> float:
    return max(9.0, TALLEST * math.sqrt(max(sides[-2:], default=1) / largest))


def _shape(stage: Stage, plan: Plan, largest: int, most: int) -> Shape:
    """The picture of a stage: maps as a box, distributions as bars, a vector as a column of numbers."""
    kind = "arch-head" if stage.head else "arch-body"
    if len(stage.sides) > 1:
        if stage is plan.stages[-1] and _is_answer(plan):
            return shapes.heatmaps(_high(stage.sides, largest))
        return shapes.box(
            max(4.0, THICKEST * math.sqrt(stage.channels / most)), _high(stage.sides, largest), kind, stage.repeats
        )
    return shapes.bars() if stage.sides else shapes.vector(kind)


def _is_answer(plan: Plan) -> bool:
    """Whether the last stage has one map or distribution for each point of the answer."""
    last = plan.stages[-1]
    return len(plan.answer) == 2 and bool(last.sides) and last.channels == plan.answer[0]


def _words(stage: Stage, plan: Plan) -> tuple[str, tuple[str, ...]]:
    """What stands below a stage: its size in bold, then channels, kind and repeats, and what is special."""
    kind = stage.kind.replace(" x ", " \u00d7 ")
    kind += f"\u00a0\u00d7\u00a0{stage.repeats}" if stage.repeats > 1 else ""
    special = [f"k{stage.kernel}"] if stage.kernel > 1 else []
    special += ["SE"] if stage.squeeze else []
    special += [stage.act] if stage.act else []
    extra = (", ".join(special),) if special else ()
    if not stage.sides:
        return str(stage.channels), ("numbers", kind, *extra)
    per_point = stage is plan.stages[-1] and _is_answer(plan)
    if len(stage.sides) == 1 and per_point:
        axes = plan.answer[1] if stage.sides[0] % plan.answer[1] == 0 else 1
        each = f"for each of {_counted(stage.channels, 'point')}"
        return f"{axes} \u00d7 {stage.sides[0] // axes} bins", (each, kind, *extra)
    if len(stage.sides) == 1:
        return shape_text((stage.channels, *stage.sides)), (kind, *extra)
    return shape_text(stage.sides), (_counted(stage.channels, "heatmap" if per_point else "channel"), kind, *extra)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _answer(shape: tuple[int, ...]) -> list[str]:
    """The answer in words."""
    if len(shape) == 2 and shape[1] in (2, 3):
        return [_counted(shape[0], "point"), "(x, y)" if shape[1] == 2 else "(x, y, score)"]
    if len(shape) == 1:
        return [str(shape[0]), "numbers", "answer"]
    return [shape_text(shape), "answer"] if shape else ["answer"]


def _mark(before: Sequence[int], stage: Stage) -> str:
    """How much the resolution falls or rises on the way to a stage."""
    if stage.up > 1:
        return f"\u00d7{stage.up}"
    if len(before) < 2 or len(stage.sides) < 2:
        return ""
    ratio = max(before) / max(stage.sides)
    return f"/{round(ratio)}" if ratio > 1.4 else f"\u00d7{round(1 / ratio)}" if ratio < 0.6 else ""


def _arrows(row: Sequence[Element], left: float, column: float, middle: float, enters: bool, leaves: bool) -> str:
    """Arrows from each column to the next, marked where the resolution changes; rows hang together by their ends."""
    edges = [
        (left + (i + 0.5) * column - element.shape.width / 2, left + (i + 0.5) * column + element.shape.width / 2)
        for i, element in enumerate(row)
    ]
    spans = [(a[1] + 4, b[0] - 4, element.mark) for (a, b), element in zip(pairwise(edges), row[1:], strict=True)]
    spans += [(left + 2, edges[0][0] - 4, row[0].mark)] if enters else []
    spans += [(edges[-1][1] + 4, left + len(row) * column - 2, "")] if leaves else []
    parts = []
    for start, end, mark in spans:
        tip = f"{end - 5:.1f},{middle - 3:.1f} {end:.1f},{middle:.1f} {end - 5:.1f},{middle + 3:.1f}"
        parts.append(
            f'<polyline class="arch-line" points="{start:.1f},{middle:.1f} {end - 4:.1f},{middle:.1f}"/>'
            f'<polygon class="arch-tip" points="{tip}"/>'
        )
        if mark:
            x = (start + end) / 2
            parts.append(f'<text class="arch-mark" x="{x:.1f}" y="{middle - 7:.1f}">{mark}</text>')
    return "".join(parts)


def _draw(element: Element, plan: Plan, left: float, column: float, middle: float, below: float, lines: int) -> str:
    """An element at its place; its bars stand below the words of its row's longest."""
    centre = left + column / 2
    parts = [
        f'<g transform="translate({centre:.1f} {middle:.1f})">{element.shape.source}</g>',
        _shortcut(element.shape, centre, middle) if element.shortcut else "",
        f'<text class="arch-strong" x="{centre:.1f}" y="{below:.1f}">{escape(element.bold)}</text>',
    ]
    for i, line in enumerate(element.lines(column), 1):
        y = below + i * LINE
        parts.append(f'<text class="arch-text" x="{centre:.1f}" y="{y:.1f}">{escape(line)}</text>')
    x, y, wide = left + 7, below + lines * LINE + 9, column - 14
    costs = zip(("Params", "FLOPs"), element.cost or (), (plan.params, plan.flops), strict=False)
    for i, (name, part, whole) in enumerate(costs):
        if not part:
            continue
        share, at = part / whole, y + 18 * i
        parts.append(
            f'<text class="arch-small" x="{x:.1f}" y="{at + 9:.1f}">{name} {escape(percent(part, whole))}</text>'
            f'<rect class="arch-track" x="{x:.1f}" y="{at + 12:.1f}" width="{wide:.1f}" height="3.5"/>'
            f'<rect class="arch-{name.lower()}" x="{x:.1f}" y="{at + 12:.1f}" width="{wide * share:.3f}" '
            'height="3.5"/>'
        )
    return f'<g class="arch-stage">{"".join(parts)}</g>'


def _shortcut(shape: Shape, centre: float, middle: float) -> str:
    """An arrow over a shape, from the line that enters it to the one that leaves it."""
    left, right = centre - shape.width / 2 - 3, centre + shape.width / 2 + 3
    top, end = middle - shape.height / 2 - 6, middle - 3
    return (
        f'<path class="arch-skip" d="M{left:.1f},{middle:.1f} V{top + 4:.1f} Q{left:.1f},{top:.1f} '
        f'{left + 4:.1f},{top:.1f} H{right - 4:.1f} Q{right:.1f},{top:.1f} {right:.1f},{top + 4:.1f} V{end - 4:.1f}"/>'
        f'<polygon class="arch-skip-tip" points="{right - 3:.1f},{end - 5:.1f} {right + 3:.1f},{end - 5:.1f} '
        f'{right:.1f},{end:.1f}"/>'
    )


def caption(plan: Plan) -> str:
    """Totals, and what the signs mean that occur."""
    elements = _elements(plan)
    signs = ["a box's height stands for resolution, its thickness for channels (square roots)"]
    signs += ["a slab for each repeat"] if any(stage.repeats > 1 for stage in plan.stages) else []
    signs += (
        ["an arrow over a box: its input is added to its output, in blocks that keep its shape"]
        if any(element.shortcut for element in elements)
        else []
    )
    signs += ["/2: half the resolution"] if any(element.mark == "/2" for element in elements) else []
    signs += ["k: side of the kernel"] if any(stage.kernel > 1 for stage in plan.stages) else []
    signs += ["SE: squeeze-excitation"] if any(stage.squeeze for stage in plan.stages) else []
    totals = f"Params {of_log(math.log(plan.params / 1e6))} M, FLOPs {of_log(math.log(plan.flops / 1e9))} G."
    return f"{totals} {'; '.join(signs)[:1].upper()}{'; '.join(signs)[1:]}."
