"""The paper's figures: what was measured, as SVG."""

import base64
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.objective import BANDS, REFERENCE
from search.results.answers import Answers, Example
from search.results.importance import Shares
from search.results.leaderboard import unbeaten
from search.results.pareto import plane
from search.results.skeleton import limbs, svg
from search.results.style import ACCENT, BAND_COLOURS, MUTED, REFERENCE_COLOUR, SERIES, STATES
from search.results.view import View
from search.run.ledger import Row
from search.submission.bars import Bars, bars
from search.submission.figures import (
    RIGHT,
    Axis,
    Band,
    Dots,
    Line,
    Shape,
    Words,
    drawing,
    percent,
    plot,
    written,
)
from search.submission.intervals import Interval, intervals

if TYPE_CHECKING:
    from search.submission.paper import Ablation

HALF, WHOLE = 236.0, 482.0
"""Widths of figures, points: the paper's text is `WHOLE` wide."""
TRAINED, JUDGED = SERIES[0], SERIES[1]
OTHERS = 0.25
"""Opacity of the seeds that were not chosen."""

MOST = 40
"""Points whose errors are drawn."""

SHAPES: dict[str, Shape] = {
    "finished": "dot",
    "stopped": "ring",
    "running": "diamond",
    "waiting": "diamond",
    "failed": "cross",
}

OVER = """
.halo { fill: none; stroke: #10131a; stroke-opacity: 0.55; stroke-width: 4.4; stroke-linecap: round; }
.true { fill: none; stroke: #8fe3ff; stroke-width: 2; stroke-linecap: round; }
.answered { fill: none; stroke: #ff5c93; stroke-width: 2.6; stroke-linecap: round; }
.miss { fill: none; stroke: #ffe066; stroke-width: 1.6; stroke-linecap: round; }
.true-point { fill: #8fe3ff; stroke: #10131a; stroke-width: 0.9; }
.answered-point { fill: #ff5c93; stroke: #10131a; stroke-width: 0.9; }
"""
"""The gallery's colours, on paper."""


def losses(curves: Sequence[Sequence[Row]]) -> str:
    """Training and validation loss of the chosen seed, those of the others pale behind."""
    values = [row[name] for rows in curves for row in rows for name in ("train_loss", "valid_loss")]
    log = min(values) > 0 and max(values) / min(values) > 10
    marks = [
        Line(epochs(rows), column(rows, name), colour, width=0.7, opacity=OTHERS)
        for rows in curves[1:]
        for name, colour in (("train_loss", TRAINED), ("valid_loss", JUDGED))
    ]
    rows = curves[0]
    best = min(rows, key=lambda row: row["valid_loss"])
    marks += [
        Line(epochs(rows), column(rows, "train_loss"), TRAINED, "training"),
        Line(epochs(rows), column(rows, "valid_loss"), JUDGED, "validation"),
    ]
    dot = Dots([best["epoch"]], [best["valid_loss"]], JUDGED, f"lowest, epoch {best['epoch']:.0f}", "ring", 3)
    return plot(along(curves), span("loss", values, log=log), [*marks, dot], WHOLE, 158)


def ablation(found: "Sequence[Ablation]", called: str, unit: str) -> str:
    """What each change did to the error, with its interval; nothing where there are none."""
    rows = [
        Interval(
            f"{one.name}: {one.change}",
            f"+{written(one.mean, 3)}" if one.mean > 0 else written(one.mean, 3),
            one.mean,
            one.low,
            one.high,
            MUTED if one.low is None or one.high is None or one.low <= 0 <= one.high else told(one.mean),
        )
        for one in found
    ]
    title = f"difference of {called}{f' [{unit}]' if unit else ''}, right is worse"
    return intervals(rows, title, WHOLE) if rows else ""


def told(difference: float) -> str:
    """The colour of a change for the worse or the better."""
    return SERIES[3] if difference > 0 else SERIES[2]


def errors(curves: Sequence[Sequence[Row]], title: str) -> str:
    """The error on the validation part after every epoch."""
    values = [row["error"] for rows in curves for row in rows]
    marks = [Line(epochs(rows), column(rows, "error"), JUDGED, width=0.7, opacity=OTHERS) for rows in curves[1:]]
    marks.append(Line(epochs(curves[0]), column(curves[0], "error"), JUDGED))
    log = min(values) > 0 and max(values) / min(values) > 8
    return plot(along(curves), span(title, values, log=log), marks, HALF, 112)


def rates(rows: Sequence[Row]) -> str:
    """The learning rate at the end of every epoch."""
    values = column(rows, "lr")
    # In thousandths, for the axis to have short numbers.
    scaled = [1000 * value for value in values]
    axis = Axis("learning rate [10\u207b\u00b3]", 0, 1.06 * max(scaled) or 1.0)
    return plot(along([rows]), axis, [Line(epochs(rows), scaled, SERIES[4])], HALF, 112)


def pareto(view: View, cost: float, error: float, trial: int, height: float = 236) -> tuple[str, int]:
    """Price against error of the whole search and of this network, and how many trials are not in the picture.

    Args:
        view: of the study.
        cost: ln(Params [M] x FLOPs [G]) of this network.
        error: of this network.
        trial: whose network it is; a dashed line comes from the error that it had in the search.
        height: of the figure, points.
    """
    shown_plane = plane(view, [(cost, error)])
    top = shown_plane.ceiling
    priced = [(entry, view.price(entry)) for entry in view.entries if not math.isnan(view.price(entry))]
    known = [(entry, x, entry.error) for entry, x in priced if entry.error is not None and math.isfinite(entry.error)]
    shown = [(entry, x, y) for entry, x, y in known if y <= top]
    xs = [cost, *(x for _, x, _ in shown)]
    reference = math.log(REFERENCE.params_m * REFERENCE.gflops)
    scored = view.scored and view.metric == "pixel_diff"
    wide = max(max(xs) - min(xs), 1.0)
    if scored and min(xs) <= reference + wide and reference <= max(xs) + wide:
        xs.append(reference)
        wide = max(max(xs) - min(xs), 1.0)
    left, right = min(xs) - 0.08 * wide, max(xs) + 0.05 * wide
    least = min([error, *(y for _, _, y in shown)])
    low = 0.0 if view.scored else max(0.0, least - 0.1 * (top - least))
    marks: list[Band | Line | Dots | Words] = []
    if view.scored:
        marks += bands(right, low, top) + diagonals(left, right, low, top)
    whole = [(x, y) for entry, x, y in shown if entry.state == "finished"]
    front = sorted({point for point, optimal in zip(whole, unbeaten(whole), strict=True) if optimal})
    if len(front) > 1:
        marks.append(Line([x for x, _ in front], [y for _, y in front], STATES["finished"][0], "front", stairs=True))
    for state, (colour, _, _) in STATES.items():
        some = [(x, y) for entry, x, y in shown if entry.state == state]
        if some:
            said = f"{state} ({len(some):,})"
            size = 2.4 if len(shown) <= 150 else 1.6
            marks.append(Dots([x for x, _ in some], [y for _, y in some], colour, said, SHAPES.get(state, "dot"), size))
    if scored and reference in xs and REFERENCE.pixel_diff <= top:
        marks.append(Dots([reference], [REFERENCE.pixel_diff], REFERENCE_COLOUR, REFERENCE.name, "star", 5))
    own = view.by_number.get(trial)
    if own and own.error is not None and math.isfinite(own.error):
        marks.append(Line([cost, cost], [min(own.error, top), error], ACCENT, width=0.9, dash="2 1.5"))
    marks.append(Dots([cost], [error], ACCENT, f"this network (trial {trial})", "diamond", 5))
    drawn = plot(
        Axis(shown_plane.x_title, left, right),
        Axis(shown_plane.y_title, low, top),
        marks,
        WHOLE,
        height,
        beside=46 if view.scored else RIGHT,
    )
    return drawn, len(view.entries) - len(shown)


def bands(right: float, low: float, top: float) -> list[Band | Line | Dots | Words]:
    """The grade bands, named beside the frame where there is room."""
    marks: list[Band | Line | Dots | Words] = []
    for start, end, colour in zip((0.0, *BANDS), BANDS, BAND_COLOURS, strict=False):
        if start >= top:
            break
        marks.append(Band(max(start, low), min(end, top), colour))
        if min(end, top) - start >= (top - low) / 20:
            said = f"< {end:g} px" if start == 0 else f"{start:g} to {end:g} px"
            marks.append(Words(right, (start + min(end, top)) / 2, said, colour, 4, 2.5))
    return marks


def diagonals(left: float, right: float, low: float, top: float) -> list[Band | Line | Dots | Words]:
    """Lines of equal score, named where they enter at the left or at the top."""
    marks: list[Band | Line | Dots | Words] = []
    first, last = (math.ceil((left + low) / math.log(10)), math.floor((right + top) / math.log(10)))
    step = max(1, math.ceil((last - first) / 9))
    for power in range(first, last + 1):
        log = power * math.log(10)
        x0, x1 = max(left, log - top), min(right, log - low)
        if power % step or x1 - x0 < 0.02 * (right - left):
            continue
        marks.append(Line([x0, x1], [log - x0, log - x1], MUTED, width=0.6, dash="1.5 2"))
        if log - x0 > low + 0.06 * (top - low) and x0 < right - 0.12 * (right - left):
            marks.append(Words(x0, log - x0, f"score {written(10.0**power)}", MUTED, 3, 9 if x0 > left else -1.5))
    return marks


def importance(found: Sequence[tuple[str, Shares | str]], most: int = 10) -> str:
    """What each parameter explains alone, a panel a target; empty where nothing is known of any target.

    Args:
        found: a title and the shares, or the sentence why they are not known.
        most: parameters shown, those with the largest share of any target.
    """
    largest: dict[str, float] = {}
    for _, one in found:
        for share in () if isinstance(one, str) else one.shares:
            largest[share.name] = max(largest.get(share.name, 0.0), share.share)
    if not largest:
        return ""
    names = sorted(largest, key=lambda name: -largest[name])[:most]
    panels = []
    for (title, one), colour in zip(found, (ACCENT, SERIES[1], SERIES[4]), strict=False):
        if isinstance(one, str):
            panels.append(Bars(title, [None] * len(names), [""] * len(names), [colour] * len(names), note=one))
            continue
        shares = {share.name: share for share in one.shares}
        rows = [shares.get(name) for name in names]
        panels.append(
            Bars(
                f"{title}, {one.trials:,} trials",
                [row.share if row else None for row in rows],
                [percent(row.share) if row else "" for row in rows],
                [MUTED if row and row.share <= row.chance else colour for row in rows],
                mark=max((share.chance for share in one.shares if share.trials == one.trials), default=0.0),
            )
        )
    return bars(names, panels, WHOLE)


def joints(answers: Answers, unit: str) -> str:
    """The mean error at each point, in the colour of its limb; of more than `MOST` points the largest."""
    known = {place: error for place, error in enumerate(answers.errors) if error is not None}
    order = sorted(known, key=lambda place: -known[place])[:MOST]
    chosen = sorted(order) if len(known) <= MOST else order
    values = [known[place] for place in chosen]
    limb = limbs(len(answers.labels), answers.edges)
    colours = [MUTED if limb[i] < 0 else SERIES[limb[i] % len(SERIES)] for i in chosen]
    panel = Bars(f"mean error [{unit}]", values, [f"{value:.2f}" for value in values], colours)
    return bars([answers.labels[i] for i in chosen], [panel], HALF, row=10)


def correct(answers: Answers, unit: str, height: float = 218) -> str:
    """PCK: the share of all points that are no farther off than a threshold, against the threshold."""
    shares = [100 * i / (len(answers.quantiles) - 1) for i in range(len(answers.quantiles))]
    reach = max(answers.quantiles[round(0.97 * (len(shares) - 1))], 1e-9)
    inside = [i for i, value in enumerate(answers.quantiles) if value <= reach]
    # A threshold below the least error has no point within it.
    xs = [0.0, answers.quantiles[0], *(answers.quantiles[i] for i in inside)]
    ys = [0.0, 0.0, *(shares[i] for i in inside)]
    line = Line(xs, ys, SERIES[2])
    return plot(Axis(f"threshold [{unit}]", 0, reach), Axis("points within it [%]", 0, 100), [line], HALF, height)


def hand(picture: bytes | None, kind: str, example: Example, edges: Sequence[Sequence[int]]) -> str:
    """A validation image with the predicted and the true points; on grey where its picture is not there."""
    side = 240
    ground = f'<rect width="{side}" height="{side}" fill="#3a4049"/>'
    if picture is not None:
        coded = base64.b64encode(picture).decode()
        ground = f'<image width="{side}" height="{side}" preserveAspectRatio="none" href="data:{kind};base64,{coded}"/>'
    over = svg(example, edges).replace("<svg ", f'<svg width="{side}" height="{side}" ', 1)
    return drawing(side, side, f"<style>{OVER}</style>{ground}{over}")


def epochs(rows: Sequence[Row]) -> list[float]:
    """Abscissae of a curve."""
    return column(rows, "epoch")


def column(rows: Sequence[Row], name: str) -> list[float]:
    """One reading of each epoch."""
    return [row[name] for row in rows]


def along(curves: Sequence[Sequence[Row]]) -> Axis:
    """The axis of epochs."""
    last = max(row["epoch"] for rows in curves for row in rows)
    first = min(row["epoch"] for rows in curves for row in rows)
    return Axis("epoch", min(first, last - 1), last, whole=True)


def span(title: str, values: Sequence[float], log: bool = False) -> Axis:
    """An axis with a little room around the values."""
    low, high = min(values), max(values)
    if log:
        return Axis(title, low / 1.15, high * 1.15, log=True)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(title, max(0.0, low - room) if low >= 0 else low - room, high + room)
