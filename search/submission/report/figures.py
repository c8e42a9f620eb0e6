"""The report's figures, drawn with matplotlib and written as SVG in which letters are shapes. Sizes are points."""

import base64
import io
import textwrap
import warnings
from collections.abc import Sequence
from contextlib import ContextDecorator
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from search.format import compact, line, percent, powers
from search.results import skeleton
from search.results.answers import Answers, Example
from search.results.importance import Shares, largest_shares
from search.results.pareto import Plane, plane
from search.results.skeleton import limbs
from search.results.style import ACCENT, MUTED, REFERENCE_COLOUR, SERIES, STATES
from search.results.view import View
from search.run.settings import CLEAN_ERROR, CLEAN_LOSS, Row
from search.submission.report.data import Ablation

HALF, WHOLE = 236.0, 482.0
"""Widths of figures: the report's text is `WHOLE` wide."""
MOST = 40
"""Points whose errors are drawn."""
INK, PALE, GRID = "#1d2127", "#666d78", "#e3e6ea"

STYLE: dict[str, Any] = {
    **dict.fromkeys(("axes.axisbelow", "axes.grid", "figure.constrained_layout.use"), True),
    **dict.fromkeys(("axes.spines.right", "axes.spines.top", "legend.frameon", "text.parse_math"), False),
    **dict.fromkeys((f"{axis}tick.{kind}.size" for axis in "xy" for kind in ("major", "minor")), 0),
    **dict.fromkeys(("axes.edgecolor", "legend.labelcolor", "xtick.color", "ytick.color"), PALE),
    **dict.fromkeys(("axes.labelcolor", "text.color"), INK),
    **dict.fromkeys(("figure.constrained_layout.h_pad", "figure.constrained_layout.w_pad"), 0.02),
    "axes.formatter.limits": (-4, 6),
    "axes.formatter.useoffset": False,
    "axes.linewidth": 0.7,
    "axes.titlesize": "medium",
    "font.family": ["STIXGeneral", "DejaVu Sans"],  # both come with matplotlib
    "font.size": 7.5,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "legend.borderaxespad": 0.3,
    "legend.borderpad": 0.2,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.0,
    "svg.fonttype": "path",
    "svg.hashsalt": "posefront",
}

OVERLAY = """
.halo { fill: none; stroke: #10131a; stroke-opacity: 0.55; stroke-width: 4.4; stroke-linecap: round; }
.true { fill: none; stroke: #8fe3ff; stroke-width: 2; stroke-linecap: round; }
.answered { fill: none; stroke: #ff5c93; stroke-width: 2.6; stroke-linecap: round; }
.miss { fill: none; stroke: #ffe066; stroke-width: 1.6; stroke-linecap: round; }
.true-point { fill: #8fe3ff; stroke: #10131a; stroke-width: 0.9; }
.answered-point { fill: #ff5c93; stroke: #10131a; stroke-width: 0.9; }
"""
"""The gallery's colours, on paper."""

MARKERS = {"circle": "o", "diamond": "D", "x": "x", "line-ns": "|"}
"""The symbols of `STATES` as matplotlib calls them; '-open' is left to the face's colour."""

_styled: ContextDecorator = style.context(["default", STYLE])
"""Decorates a function that draws: by STYLE, whatever matplotlib's own settings are."""


@_styled
def svg(figure: Figure) -> str:
    """A figure as SVG, the same for the same figure; a letter that no font has is a box."""
    written = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return written.getvalue()


@_styled
def losses(curves: Sequence[Sequence[Row]], title: str = "loss") -> Figure:
    """Training and validation loss of the chosen seed, its lowest validation loss, and pale the other seeds.

    Dots are the loss on training images without augmentation where it was measured.
    """
    figure, axes = _frame(WHOLE, 169, "epoch", "")
    axes.set_ylabel(textwrap.fill(line(title, 100), 34))
    _draw_curves(axes, curves, "train_loss", SERIES[0], "training (augmented images)")
    _draw_curves(axes, curves, "valid_loss", SERIES[1], "validation")
    _draw_clean(axes, curves[0], CLEAN_LOSS)
    best = min(curves[0], key=lambda row: row["valid_loss"])
    label = f"lowest, epoch {best['epoch']:.0f}"
    axes.plot(best["epoch"], best["valid_loss"], "o", ms=6, mfc="none", mec=SERIES[1], ls="", label=label)
    _scale(axes, [row[name] for rows in curves for row in rows for name in ("train_loss", "valid_loss")], 10)
    _legend(axes, 4)
    return figure


@_styled
def errors(curves: Sequence[Sequence[Row]], title: str) -> Figure:
    """The error on the validation part after every epoch, and dots for that on training images without augmentation."""
    figure, axes = _frame(HALF, 124, "epoch", title)
    _draw_curves(axes, curves, "error", SERIES[1], "validation")
    _draw_clean(axes, curves[0], CLEAN_ERROR)
    _scale(axes, [row[name] for rows in curves for row in rows for name in ("error", CLEAN_ERROR) if name in row], 8)
    _legend(axes, 2)
    return figure


def _draw_clean(axes: Axes, rows: Sequence[Row], name: str) -> None:
    """What was measured on training images without augmentation."""
    found = [(row["epoch"], row[name]) for row in rows if name in row]
    if found:
        x, y = zip(*found, strict=True)
        axes.plot(
            x, y, "s", ms=3.2, mfc="white", mec=SERIES[0], mew=1.0, label="training images, not augmented", zorder=3
        )


@_styled
def rates(rows: Sequence[Row]) -> Figure:
    """The learning rate at the end of every epoch, in thousandths, so that the axis has short numbers."""
    figure, axes = _frame(HALF, 124, "epoch", "learning rate [10\u207b\u00b3]")
    _draw_curves(axes, [[{**row, "lr": 1000 * row["lr"]} for row in rows]], "lr", SERIES[4])
    axes.set_ylim(0, 1060 * max(row["lr"] for row in rows) or 1.0)
    return figure


@_styled
def pareto(view: View, cost: float, error: float, trial: int) -> tuple[Figure, int]:
    """Price against error of the whole search and of this network, and how many trials are not in the picture.

    `cost` is ln(Params [M] x FLOPs [G]) and `error` the error of the network of `trial`; a dashed line comes from the
    error that it had in the search.
    """
    shown = plane(view, [(cost, error)])
    figure, axes = _frame(WHOLE, 258, shown.x_title, shown.y_title)
    axes.set(xlim=shown.x, ylim=shown.y)
    _draw_scores(axes, shown)
    if len(shown.front) > 1:
        x, y = zip(*shown.front, strict=True)
        axes.plot(x, y, color=STATES["finished"][0], drawstyle="steps-post", label="front")
    count = _draw_trials(axes, shown)
    if shown.reference is not None and shown.reference.inside and shown.reference.y <= shown.ceiling:
        at = shown.reference
        label = f"{line(at.name, 40)} (its error is on FreiHAND)"
        axes.plot(at.x, at.y, "*", ms=9, mew=0, color=REFERENCE_COLOUR, ls="", label=label)
    own = next((p.y for points in shown.points.values() for p in points if p.entry.number == trial), None)
    if own is not None:
        axes.plot([cost, cost], [min(own, shown.ceiling), error], color=ACCENT, lw=0.9, ls=(0, (2, 1.5)))
    label = f"this network (trial {trial})"
    axes.plot(cost, error, "D", ms=6.5, mew=0, color=ACCENT, ls="", label=label, clip_on=False, zorder=4)
    _legend(axes, 5)
    return figure, len(view.entries) - count


def _draw_trials(axes: Axes, shown: Plane) -> int:
    """The trials by their state; how many they are."""
    inside = {
        state: [(p.x, p.y) for p in points if p.y is not None and p.y <= shown.ceiling]
        for state, points in shown.points.items()
    }
    count = sum(map(len, inside.values()))
    for state, points in inside.items():
        colour, symbol, _ = STATES[state]
        if points:
            x, y = zip(*points, strict=True)
            look: dict[str, Any] = {
                "mfc": "none" if symbol.endswith("-open") else colour,
                "ms": 4.4 if count <= 150 else 2.8,
                "mew": 0.8,
            }
            marker, label = MARKERS[symbol.removesuffix("-open")], f"{state} ({len(points):,})"
            axes.plot(x, y, marker, color=colour, label=label, clip_on=False, **look)
    return count


def _draw_scores(axes: Axes, shown: Plane) -> None:
    """The grade bands, named beside the frame where there is room, and lines of equal score with their labels."""
    low, high = shown.y
    last = low - (high - low)
    for band in shown.bands:
        start, end = max(band.low, low), min(band.high, high)
        axes.axhspan(start, end, color=band.colour, alpha=0.1, lw=0, zorder=0.5)
        # A label beside a narrow band stands a line above the one below it.
        last = max((start + end) / 2, last + (high - low) / 25)
        place, where = (1.0, last), ("axes fraction", "data")
        axes.annotate(band.label, place, (4, 0), where, "offset points", color=band.colour, va="center")
    for diagonal in shown.diagonals:
        x, y = (diagonal.x0, diagonal.x1), (diagonal.y0, diagonal.y1)
        colour = ACCENT if diagonal.best else MUTED
        axes.plot(x, y, color=colour, lw=0.7, ls=(0, (3, 2)) if diagonal.best else (0, (1.5, 2)), zorder=1.5)
        above = diagonal.y0 < high - 0.05 * (high - low)  # else the label stands below the line, inside the frame
        if diagonal.labelled and diagonal.x1 - diagonal.x0 > 0.2 * (shown.x[1] - shown.x[0]):
            axes.text(
                diagonal.x0,
                diagonal.y0 + (0.004 if above else -0.012) * (high - low),
                f" {powers(diagonal.label)}",
                rotation=-45,  # in the axes' units, where x + y is the same all along it
                rotation_mode="anchor",
                transform_rotates_text=True,
                va="bottom" if above else "top",
                color=colour,
                zorder=1.6,
            )


@_styled
def importance(targets: Sequence[tuple[str, Shares | str]]) -> Figure | None:
    """What each parameter explains alone; None where nothing is known of any target.

    A target has a panel: its title, and the shares or the sentence why they are not known. The ten parameters with the
    largest share of any target are shown.
    """
    largest = largest_shares(shares for _, shares in targets)
    if not largest:
        return None
    names = sorted(largest, key=lambda name: -largest[name])[:10]
    figure, panels = _bar_frame([line(name, 34) for name in names], len(targets), WHOLE, 11)
    for axes, (title, shares), colour in zip(panels, targets, (ACCENT, SERIES[1], SERIES[4]), strict=False):
        if isinstance(shares, str):
            axes.set_title(title, loc="left")
            axes.text(0, 1, textwrap.fill(shares, 36), transform=axes.transAxes, color=PALE, va="top")
            continue
        axes.set_title(f"{title}, {shares.trials:,} trials", loc="left")
        rows = {share.name: share for share in shares.shares}
        chance = shares.chance
        for place, name in enumerate(names):
            if name in rows:
                share = rows[name]
                look = colour if share.share > share.chance else MUTED
                _bar(axes, place, share.share, percent(share.share), look, chance)
        axes.axvline(chance, color=PALE, lw=0.7, ls=(0, (1, 2)))
        axes.set_xlim(0, 1.25 * max([chance, 1e-12, *(rows[name].share for name in names if name in rows)]))
    return figure


@_styled
def joints(answers: Answers, unit: str) -> Figure:
    """The mean error at each point, in the colour of its limb; of more than `MOST` points the largest."""
    errors = {place: error for place, error in enumerate(answers.errors) if error is not None}
    order = sorted(errors, key=lambda place: -errors[place])[:MOST]
    chosen = sorted(order) if len(errors) <= MOST else order
    limb = limbs(len(answers.labels), answers.edges)
    figure, (axes,) = _bar_frame([line(answers.labels[i], 30) for i in chosen], 1, HALF, 9.5)
    for place, i in enumerate(chosen):
        _bar(axes, place, errors[i], f"{errors[i]:.2f}", MUTED if limb[i] < 0 else SERIES[limb[i] % len(SERIES)])
    axes.set_title(line(f"mean error [{unit}]"), loc="left")
    axes.set_xlim(0, 1.18 * max([*errors.values(), 1e-12]))
    return figure


@_styled
def correct(answers: Answers, unit: str) -> Figure:
    """PCK: the share of all points that are no farther off than a threshold, against the threshold."""
    last = len(answers.quantiles) - 1
    reach = max(answers.quantiles[round(0.97 * last)], 1e-9)
    inside = [place for place, value in enumerate(answers.quantiles) if value <= reach]
    # A threshold below the least error has no point within it.
    x = [0.0, answers.quantiles[0], *(answers.quantiles[place] for place in inside)]
    y = [0.0, 0.0, *(100 * place / last for place in inside)]
    figure, axes = _frame(HALF, 220, f"threshold [{unit}]", "points within it [%]")
    axes.plot(x, y, color=SERIES[2])
    axes.set(xlim=(0, reach), ylim=(0, 100))
    return figure


@_styled
def ablation(changes: Sequence[Ablation], error: str, unit: str) -> Figure | None:
    """What each change did to an error of this name and unit, with its interval; None where there are none."""
    if not changes:
        return None
    title = f"difference of {error}{f' [{unit}]' if unit else ''}, right is worse"
    figure, axes = _frame(WHOLE, 12 * len(changes) + 36, title, "")
    for place, change in enumerate(changes):
        low, high = change.low, change.high
        where = ("axes fraction", "data")
        label = f"{change.mean:+.3g}".replace("-", "\N{MINUS SIGN}")
        label += "" if change.score is None else f", score \u00d7 {compact(change.score)}"
        axes.annotate(label, (1.0, place), (4, 0), where, "offset points", color=PALE, va="center")
        if low is None or high is None:
            axes.plot(change.mean, place, "o", mfc="white", mec=MUTED)
            continue
        colour = MUTED if low <= 0 <= high else SERIES[3] if change.mean > 0 else SERIES[2]
        reach = [[change.mean - low], [high - change.mean]]
        axes.errorbar(change.mean, place, xerr=reach, fmt="o", color=colour, capsize=2, elinewidth=1.1)
    axes.axvline(0, color=PALE, lw=0.9, ls=(0, (2, 2)), zorder=1)
    _name_rows(axes, [line(f"{change.name}: {change.change}", 44) for change in changes])
    axes.spines["left"].set_visible(False)
    return figure


def hand(picture: bytes | None, media_type: str, example: Example, edges: Sequence[Sequence[int]]) -> str:
    """A validation image, a file of this media type, with the predicted and the true points; on grey without it."""
    side = 240
    ground = f'<rect width="{side}" height="{side}" fill="#3a4049"/>'
    if picture is not None:
        data = f"data:{media_type};base64,{base64.b64encode(picture).decode()}"
        ground = f'<image width="{side}" height="{side}" preserveAspectRatio="none" href="{data}"/>'
    over = skeleton.svg(example, edges).replace("<svg ", f'<svg width="{side}" height="{side}" ', 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}pt" height="{side}pt" viewBox="0 0 {side} {side}">'
        f"<style>{OVERLAY}</style>{ground}{over}</svg>"
    )


def _frame(width: float, height: float, x: str, y: str) -> tuple[Figure, Axes]:
    """A figure of so many points with one pair of axes."""
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.subplots()
    axes.set(xlabel=line(x), ylabel=line(y))
    return figure, axes


def _bar_frame(names: Sequence[str], panels: int, width: float, row: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure with panels of horizontal bars side by side, a row for each name."""
    figure = Figure(figsize=(width / 72, (row * max(len(names), 1) + 16) / 72))
    axes = list(figure.subplots(1, panels, sharey=True, squeeze=False)[0])
    for panel in axes:
        panel.grid(visible=False)
        panel.spines["bottom"].set_visible(False)
        panel.tick_params(labelbottom=False)
    _name_rows(axes[0], names)
    return figure, axes


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Rows from above to below, each with its name."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.grid(visible=False, axis="y")


def _bar(axes: Axes, place: int, value: float, label: str, colour: str, dotted: float = 0.0) -> None:
    """A bar with its number behind it, not on the dotted line at `dotted`."""
    axes.barh(place, value, 0.68, color=colour)
    end = max(value, dotted) if value < 1.1 * dotted else value
    axes.annotate(label, (end, place), (3, 0), textcoords="offset points", color=PALE, va="center_baseline")


def _draw_curves(axes: Axes, curves: Sequence[Sequence[Row]], name: str, colour: str, label: str = "") -> None:
    """One reading by epoch: the first curve, pale the others."""
    for place, rows in reversed(list(enumerate(curves))):
        x, y = [row["epoch"] for row in rows], [row[name] for row in rows]
        if place:
            axes.plot(x, y, color=colour, lw=0.7, alpha=0.25)
        else:
            axes.plot(x, y, color=colour, label=label, marker="" if len(rows) > 1 else "o")
    reached = [row["epoch"] for rows in curves for row in rows]
    axes.set_xlim(min(min(reached), max(reached) - 1), max(reached))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _scale(axes: Axes, values: Sequence[float], ratio: float) -> None:
    """Room around the values; an axis of logarithms where they are positive and span more than a ratio."""
    low, high = min(values), max(values)
    if low > 0 and high / low > ratio:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_ylim(low / 1.15, high * 1.15)
        return
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(max(0.0, low - room) if low >= 0 else low - room, high + room)


def _legend(axes: Axes, columns: int) -> None:
    """The legend above the frame."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns)
