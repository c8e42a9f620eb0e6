"""Trials side by side, a few of one study: in what they differ, their curves, their errors, the same images."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from search.after.models import Models, by_trial
from search.dashboard.parts import curves, errors
from search.dashboard.parts.blocks import Block, figure, html, link, note, plain_table, together
from search.dashboard.parts.errors import COLOURS
from search.dashboard.parts.gallery import card, signs
from search.dashboard.request import COMPARED
from search.dashboard.source import Source
from search.format import between, compact, digits, measured, percent, value_text
from search.results import answers, noise
from search.results.answers import Answers, Example
from search.results.leaderboard import Entry
from search.results.view import View

UNTOLD = 3
"""Trials that are compared where none is ticked: so many of the best."""

IMAGES = 10
"""Images that are shown side by side."""


def compared(view: View, ticked: Sequence[int]) -> list[Entry]:
    """The trials that are ticked and that there are; beside a single one, and where there is none, the best ones."""
    chosen = [view.by_number[number] for number in ticked if number in view.by_number][:COMPARED]
    if len(chosen) > 1:
        return chosen
    best = [entry for entry in view.by_state["finished"] if entry not in chosen]
    return [*chosen, *best][: max(UNTOLD - len(chosen), 2)]


def blocks(source: Source, view: View, ticked: Sequence[int] | None, href: Callable[[int], str]) -> list[Block]:
    """The comparison of some trials.

    Args:
        source: of the study.
        view: all of its trials.
        ticked: trials that are asked for; None where nobody can ask.
        href: where the picture of a row of the data set is to be had.
    """
    chosen, models = compared(view, ticked or ()), source.models(view)
    told = _told(view, chosen, ticked, models)
    if len(chosen) < 2:
        return [html("differences", "Compare", told)]
    loaded = {e.number: answers.load(source.folder, e.number, view.unit) for e in chosen}
    answered = {f"trial {number}": found for number, found in loaded.items() if found is not None}
    runs = {f"trial {e.number}": view.curves[e.number] for e in chosen if e.number in view.curves}
    colours = {e.number: colour for e, colour in zip(chosen, COLOURS, strict=False)}
    drawn = curves.together(view, runs, [colours[e.number] for e in chosen if e.number in view.curves])
    compared_blocks = [
        html("differences", "In what they differ", told + differences(source.key, view, chosen, models)),
        *together("together", drawn),
    ]
    if answered:
        # Each in the colour that it has everywhere on this page.
        own = [colours[number] for number, found in loaded.items() if found is not None]
        compared_blocks += [
            figure("joints", errors.joints_together(answered, own), 520, width="half"),
            figure("pck", errors.pck(answered, own), 520, width="half"),
        ]
    pictures = side_by_side(loaded, source, href)
    return [*compared_blocks, html("images", "The same validation images", pictures)]


def _told(view: View, chosen: Sequence[Entry], ticked: Sequence[int] | None, models: Models) -> str:
    """Which trials these are, and which of them seed noise does not tell apart, as HTML."""
    parts = []
    if absent := [number for number in ticked or () if number not in view.by_number]:
        parts.append(f"This study has no trial {', '.join(map(str, absent))}.")
    if ticked is not None and sum(number in view.by_number for number in ticked) < 2:
        parts.append(
            f"Tick two to {COMPARED} trials in the table of the Pareto page, or click their points with the shift key."
            + (" Until then the best are shown." if len(chosen) > 1 else "")
        )
    among = view.only([entry.number for entry in chosen])
    finished = [entry for entry in among.by_state["finished"] if entry.value is not None]
    if len(finished) > 1 and (view.scored or view.alone):
        near = noise.near_best(among, models.noise)
        which = f"trial{'s' * (len(near) != 1)} {' and '.join(str(entry.number) for entry in near)}"
        undecided = f"{which} may be as good" if near else "no other one is as good"
        parts.append(f"Trial {finished[0].number} is the best of these; {undecided} ({models.noise.words}).")
    return note(" ".join(parts)) if parts else ""


def differences(key: str, view: View, chosen: Sequence[Entry], models: Models) -> str:
    """Results, and the parameters that differ, as an HTML table, a column a trial; others are measured by the first."""
    heads = "".join(
        f'<th scope="col" class="right"><span class="chip" style="background: {colour}"></span>'
        f"{link(key, e.number)} {escape(e.name)}</th>"
        for e, colour in zip(chosen, COLOURS, strict=False)
    )
    rows = [_numbers(title, values) for title, values in _results(view, chosen) if any(v is not None for v in values)]
    means = by_trial(models.retrained)
    if any(entry.number in means for entry in chosen):
        cells = [between(means[e.number][-1].mean) if e.number in means else "" for e in chosen]
        rows.append(_row(f"retrained [{view.unit}]" if view.unit else "retrained", cells))
    if any(view.full(entry) is not None for entry in chosen):
        rows.append(_row("in full, predicted", [between(view.full(entry)) for entry in chosen]))
    rows.append(_row("state", [entry.state for entry in chosen]))
    params = list(dict.fromkeys(name for entry in chosen for name in entry.params))
    differing = [name for name in params if len({repr(entry.params.get(name)) for entry in chosen}) > 1]
    rows += [
        _row(name, [value_text(e.params[name]) if name in e.params else "\N{EM DASH}" for e in chosen], "differs")
        for name in differing
    ]
    same = [f"{name} = {value_text(chosen[0].params[name])}" for name in params if name not in differing]
    alike = f"Per cent are against trial {chosen[0].number}." + (
        f" The same in all: {', '.join(same)}." if same else ""
    )
    head = f'<th scope="col">trial</th>{heads}'
    return plain_table("in what they differ", head, "".join(rows), "compared") + note(alike)


def _results(view: View, chosen: Sequence[Entry]) -> list[tuple[str, list[float | None]]]:
    """Titles of what trials came to, and each one's number; all better where they are smaller."""
    found: list[tuple[str, list[float | None]]] = []
    if view.scored:
        found.append(("score", [entry.score for entry in chosen]))
    elif not view.alone:
        found.append((view.described.name, [entry.value for entry in chosen]))
    found.append((view.error_title, [entry.error for entry in chosen]))
    found += [(r.label, [entry.readings.get(r.name) for entry in chosen]) for r in view.readings]
    return [*found, ("epochs", [entry.epochs for entry in chosen]), ("trained [s]", [e.seconds for e in chosen])]


def _numbers(title: str, values: Sequence[float | None]) -> str:
    """A row of numbers, the smallest in bold, each beside its difference from the first in per cent."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    least, first = min(known, default=None), values[0]
    cells = []
    for place, value in enumerate(values):
        text = "" if value is None else escape(compact(value))
        if value is not None and value == least and title not in ("epochs", "trained [s]") and max(known) > value:
            text = f"<strong>{text}</strong>"
        if place and value is not None and first and math.isfinite(value / first) and value != first:
            text += f' <span class="note">{escape(_against(value / first))}</span>'
        cells.append(text)
    return f'<tr><th scope="row">{escape(title)}</th>{"".join(f"<td class=right>{cell}</td>" for cell in cells)}</tr>'


def _against(ratio: float) -> str:
    """A number against another one."""
    return percent(ratio - 1, signed=True) if ratio < 10 else f"{digits(ratio)} times"


def _row(title: str, cells: Sequence[str], kind: str = "") -> str:
    """A row of texts, which are escaped."""
    inner = "".join(f'<td class="right">{escape(cell)}</td>' for cell in cells)
    return f'<tr class="{kind}"><th scope="row">{escape(title)}</th>{inner}</tr>'


def side_by_side(loaded: Mapping[int, Answers | None], source: Source, href: Callable[[int], str]) -> str:
    """The images that at least two trials kept their answers to, a row each, as HTML.

    First those that all trials of a study answer, then those that most of these trials were best or worst at.
    """
    held: dict[int, dict[int, Example]] = {}
    shared = []
    for number, found in loaded.items():
        for example in found.pictured if found is not None else ():
            held.setdefault(example.row, {})[number] = example
            if example.rank == "shared":
                shared.append(example.row)
    rows = [row for row, by in held.items() if len(by) > 1]
    rows.sort(key=lambda row: (row not in shared, -len(held[row]), -max(e.error for e in held[row].values())))
    if not rows:
        return note(
            "No image was kept by two of these trials: each keeps its own best, median and worst ones, and in searches "
            f"begun since there are such {answers.SHARED} that all have."
        )
    first = next(found for found in loaded.values() if found is not None)
    shown = []
    for row in rows[:IMAGES]:
        cards = [_card(number, held[row].get(number), row, first, source, href) for number in loaded]
        shown.append(
            f'<section class="gallery-row"><h3>row {row}</h3><div class="cards">{"".join(cards)}</div></section>'
        )
    legend = signs([example for row in rows[:IMAGES] for example in held[row].values()])
    return f'<div class="gallery">{legend}{"".join(shown)}</div>'


def _card(
    number: int, example: Example | None, row: int, first: Answers, source: Source, href: Callable[[int], str]
) -> str:
    """A trial's answer to an image."""
    if example is None:
        return f'<figure class="card"><figcaption>trial {number} did not keep its answer</figcaption></figure>'
    error = measured(example.error, first.unit)
    alt = f"trial {number}, validation image, row {row}, {error}"
    below = f"<strong>{escape(error)}</strong> trial {number}"
    return card(example, first.edges, href(row), answers.sides(source.folder, row), alt, below)
