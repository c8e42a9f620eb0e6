"""The pages: which figures, tables and texts each of them has.

A page is plain data: blocks with a `kind` ('figure', 'table', 'html', or 'later' for what takes long), a `width`
('half', 'third', 'two-thirds', else the whole row) and what belongs to the kind. The same data goes to a browser that
asks for it and into a report.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from html import escape
from threading import Lock
from types import MappingProxyType
from typing import Any, cast

import plotly.graph_objects as go

from data.errors import UserError
from search.dashboard import ablation, curves, detail, drawing, gallery, hardest, pareto, progress, why
from search.dashboard.now import Machine, left, seconds_left
from search.dashboard.progress import Against
from search.dashboard.source import Source
from search.format import measured
from search.results import ablation as ablations
from search.results import answers
from search.results.importance import Target
from search.results.leaderboard import Entry
from search.results.view import View

Block = dict[str, Any]
Choices = Mapping[str, str]

PAGES = (("pareto", "Pareto"), ("progress", "Progress"), ("why", "Why"), ("curves", "Curves"), ("now", "Now"))
"""Key and title of each page that a study has; a trial's own page is beside them."""

DRAWING = Lock()
"""Held while figures are made: plotly imports its parts at their first use, which two threads at once may spoil."""

BUILDING = Lock()
"""Held by the one request that builds a network: torch.fx changes modules for everybody while it traces."""

ROWS = 500
"""Lines of a table that are sent; a selection shows the others."""

AGAINST = (("trials", "trials"), ("seconds", "device time"))

LATER = ("network", "layers", "importance", "hardest")
"""What is asked for by itself, since it takes seconds: two parts of a trial's page, and two of the page 'why'."""


class AbsentError(Exception):
    """There is no such study, page or trial. Not a KeyError, which is a fault of ours and must not pass for one."""


def page(
    source: Source,
    views: Mapping[str, View],
    name: str,
    *,
    number: int | None = None,
    chosen: Collection[int] | None = None,
    choices: Choices = MappingProxyType({}),
    href: Callable[[int], str],
    machine: Machine,
) -> dict[str, Any]:
    """A page in its frame: title, the study in figures, blocks or a sentence.

    Args:
        source: the study.
        views: the studies by key, the page's own among them.
        name: one of PAGES, or 'trial'.
        number: of the trial.
        chosen: the trials that a selection leaves; None for all.
        choices: what the page's lists are set to.
        href: where the picture of a data-set row is to be had.
        machine: for the page 'now'.

    Raises:
        AbsentError: there is no such page.
    """
    view = views[source.key]
    shown = view if chosen is None else view.only(chosen)
    running = sum(entry.state == "running" for entry in view.entries)
    made: dict[str, Any] = {
        "title": f"{source.name} - posefront",
        "facts": facts(view),
        "live": running > 0,
        "status": source.reader.stale or (f"{running} running" if running else "nothing runs"),
    }
    if name != "trial" and name not in dict(PAGES):
        raise AbsentError(name)
    if not view.entries:
        return made | {
            "sentence": "This study has no trials yet; they appear here as soon as the first one is asked for."
        }
    if name == "trial":
        if number not in view.by_number:
            return made | {"sentence": f"There is no trial {number}; this study has {len(view.entries)} trials."}
        return made | {"blocks": trial_page(source, view, number or 0, href)}
    if name == "now":
        return made | {"blocks": now_page(view, machine)}
    said = trouble(view)
    if said:
        return made | {
            "blocks": [html("trouble", "", f'<p class="sentence">{escape(said)}</p>'), board(view, "trials")]
        }
    if name == "pareto":
        return made | {"blocks": pareto_page(view, shown)}
    if name == "progress":
        against = choice(choices, "against", AGAINST)
        compared = [shown if key == source.key else other for key, other in views.items()]
        alike = [other for other in compared if not progress.unlike([shown, other])]
        return made | {
            "choices": [{"name": "against", "label": "against", "options": AGAINST, "value": against}],
            "blocks": progress_page(alike, cast("Against", against), len(compared) - len(alike)),
        }
    if name == "why":
        targets = [("error", view.error_name), ("cost", "cost")]
        if not view.alone:
            targets.insert(0, ("value", "score" if view.scored else "value"))
        target = choice(choices, "target", targets)
        return made | {
            "choices": [{"name": "target", "label": "slices of", "options": targets, "value": target}],
            "blocks": why_page(source, shown, cast("Target", target)),
        }
    return made | {"blocks": curves_page(shown)}


def choice(choices: Choices, name: str, options: Sequence[tuple[str, str]]) -> str:
    """What one of a page's lists is set to; the first of its options where it isn't, or is none of them."""
    chosen = choices.get(name, "")
    return chosen if chosen in dict(options) else options[0][0]


def part(source: Source, view: View, what: str, number: int, href: Callable[[int], str]) -> dict[str, Any]:
    """One of LATER.

    Args:
        source: the study.
        view: its trials, or those of them that are chosen.
        what: the drawing of trial `number`'s network, the table of its layers, the parameters' importance, or the
            images that most trials fail at.
        number: of the trial.
        href: where the picture of a data-set row is to be had.

    Raises:
        AbsentError: there is no such trial.
    """
    if what == "importance":
        with DRAWING:
            return {"figure": why.importance_figure(view)}
    if what == "hardest":
        return {"html": hardest.html(view, source.folder, href)}
    if number not in view.by_number:
        raise AbsentError(number)
    with BUILDING:
        try:
            arch, price = source.network(view, number)
        except UserError as mistake:
            return {"html": f"<p>{escape(capital(mistake))}</p>"}
        if what == "layers":
            return {"html": detail.cost_table(price)}
        from models.stages import plan  # here, for it imports torch

        return {"html": drawing.figure(plan(arch))}


def capital(mistake: UserError) -> str:
    """A mistake as a sentence of its own, which in a terminal stands behind the command's name."""
    return str(mistake)[:1].upper() + str(mistake)[1:]


def tenths(view: View) -> int:
    """Grows by one whenever a tenth more trials have finished: then importances are worth their seconds again."""
    finished = sum(entry.state == "finished" for entry in view.entries)
    return int(math.log(finished) / math.log(1.1)) + 1 if finished else 0


def pareto_page(view: View, part: View) -> list[Block]:
    """Price against error, and the board of the chosen part."""
    plane = figure("pareto", pareto.figure(view), 560, selects=True)
    return [plane, board(part, "trials")]


def progress_page(views: Sequence[View], against: Against, others: int) -> list[Block]:
    """Whether the search is getting anywhere; all studies that are judged by the same number in one picture each.

    Args:
        views: these studies.
        against: what the x axis counts.
        others: how many studies beside them are judged by another number.
    """
    said = "1 other study is" if others == 1 else f"{others} other studies are"
    left_out = f'<p class="note">{said} judged by another number and not shown here.</p>'
    return [
        *([html("others", "", left_out)] if others else []),
        figure("best", progress.best_so_far(views, against), 430),
        figure("hypervolume", progress.hypervolume(views, against), 400, width="half"),
        figure("edf", progress.edf(views), 400, width="half"),
    ]


def why_page(source: Source, view: View, target: Target) -> list[Block]:
    """Which parameters matter, and how."""
    return [
        later("importance", "", f"{source.key}/importance/{tenths(view)}", height=380),
        figure("slices", why.slices(view, target), 520),
        figure("parallel", why.parallel(view), 460),
        later("hardest", "Images that most trials fail at", f"{source.key}/hardest/{tenths(view)}"),
    ]


def curves_page(view: View) -> list[Block]:
    """Every trial's error, epoch by epoch."""
    return [figure("learning", curves.learning(view), 620)]


def now_page(view: View, machine: Machine) -> list[Block]:
    """What is being trained, on what, and how long it will take."""
    running = [entry for entry in view.entries if entry.state == "running"]
    use = machine.workers(running)
    rows = []
    for entry in sorted(running, key=lambda entry: entry.number):
        done = entry.epochs / entry.budget if entry.budget else None
        rate = view.curves[entry.number][-1] if entry.number in view.curves else None
        cpu, memory = use.get(entry.number, (None, None))
        rows.append(
            [
                entry.number,
                entry.name,
                done,
                f"{entry.epochs} of {entry.budget or '?'}",
                entry.error,
                rate["images"] / rate["train_seconds"] if rate and rate["train_seconds"] else None,
                left(seconds_left(entry)),
                entry.worker,
                cpu,
                memory,
            ]
        )
    training: Block = {
        "kind": "table",
        "id": "training",
        "title": "In training",
        "columns": [
            column("trial"),
            column("name", text=True),
            {"title": "progress", "right": False, "progress": True},
            column("epochs"),
            measure(view.error_title),
            column("images/s", 0),
            column("time left"),
            column("host, process", text=True),
            column("CPU [%]", 0),
            column("memory [MB]", 0),
        ],
        "rows": rows,
        "trial": 0,
        "none": "No trial is being trained.",
    }
    ended = sorted(
        (entry for entry in view.entries if entry.ended is not None), key=lambda e: e.ended or 0, reverse=True
    )
    last = board(view, "recent", "The last ten to end", ended[:10])
    devices: Block = {"kind": "html", "id": "devices", "title": "This machine", "html": machine.html()}
    return [training, devices, last]


def trial_page(source: Source, view: View, number: int, href: Callable[[int], str]) -> list[Block]:
    """One trial.

    Args:
        source: where the study lies.
        view: the study.
        number: the trial's; it must be in the view.
        href: where the picture of a data-set row is to be had.
    """
    entry, unit = view.by_number[number], view.unit
    answered = answers.load(source.folder, number)
    compared = {} if answered is None else {f"trial {number}": answered}
    best = next((e for e in view.entries if e.state == "finished" and e.number != number), None)
    if best is not None and compared:
        other = answers.load(source.folder, best.number)
        compared |= (
            {} if other is None else {f"trial {best.number} (best{' other' if leads(view, entry) else ''})": other}
        )
    command = detail.command(view, number, source.given, source.out, source.storage)
    shown = gallery.gallery(answered, href, unit, lambda row: answers.sides(source.folder, row))
    blocks: list[Block] = [
        html("facts", "What it is", detail.parameters(view, number), width="third"),
        figure("one", curves.one(view, number), 620, width="two-thirds"),
        html("command", "Train it in full", f"<pre>{escape(command)}</pre>"),
        later("network", "The network", f"{source.key}/network/{number}"),
        html("gallery", "Best, median and worst validation images", shown),
    ]
    if answered is not None:
        blocks += [
            figure("joints", detail.joints(answered, unit), 520, width="half"),
            figure("pck", detail.pck(compared, unit), 520, width="half"),
        ]
    if (ablated := ablations.load(source.folder, number)) is not None:
        blocks.append(figure("ablation", ablation.figure(ablated), 420))
    return [*blocks, later("layers", "What each layer costs", f"{source.key}/layers/{number}")]


def leads(view: View, entry: Entry) -> bool:
    """Whether a trial is the best of its study."""
    return bool(view.entries) and view.entries[0] is entry and entry.state == "finished"


def facts(view: View) -> list[dict[str, Any]]:
    """The study in a line of figures."""
    counts = {
        state: sum(entry.state == state for entry in view.entries)
        for state in ("finished", "stopped", "running", "waiting", "failed", "refused")
    }
    wanted = view.attrs.get("search", {}).get("trials")
    over = counts["finished"] + counts["stopped"] + counts["failed"]
    shown: list[dict[str, Any]] = [{"name": "trials", "value": f"{over} of {wanted}" if wanted else str(over)}]
    shown += [{"name": state, "value": f"{count:,}"} for state, count in counts.items() if count]
    finished = [entry for entry in view.entries if entry.state == "finished" and entry.error is not None]
    if finished:
        best = finished[0]
        value = best.score if view.scored else best.value
        least = min(finished, key=lambda entry: entry.error or 0.0)
        if value is not None and not view.alone:
            shown.append(
                {"name": "best score" if view.scored else "best value", "value": f"{value:,.4g}", "trial": best.number}
            )
        least_error = measured(least.error or 0.0, view.unit)
        shown.append({"name": f"smallest {view.error_name}", "value": least_error, "trial": least.number})
        shown.append({"name": "Pareto front", "value": f"{sum(entry.pareto for entry in finished)} trials"})
    trained = sum(entry.seconds for entry in view.entries)
    shown.append({"name": "device time", "value": left(trained)})
    return shown


def trouble(view: View) -> str:
    """What to say where nothing has been trained, or an empty text."""
    if any(entry.epochs for entry in view.entries):
        return ""
    if any(entry.state == "running" for entry in view.entries):
        return "No trial has ended its first epoch yet."
    failed = [entry for entry in view.entries if entry.state == "failed"]
    if failed:
        last = max(failed, key=lambda entry: entry.number)
        reason = last.reason.splitlines()[0] if last.reason else "gave no reason"
        return f"All {len(failed)} trials that were tried failed; the last one, trial {last.number}: {reason}"
    return "No trial has been trained yet."


def board(view: View, key: str, title: str = "Trials", entries: Sequence[Entry] | None = None) -> Block:
    """The leaderboard as a table, parameters included."""
    found = list(view.entries if entries is None else entries)
    names = list(dict.fromkeys(name for entry in found for name in entry.params))
    measured = [
        column("trial"),
        column("name", text=True),
        column("state", text=True),
        *((column("score"), column("band", text=True)) if view.scored else () if view.alone else (column("value"),)),
        measure(view.error_title),
        column("Params [M]"),
        column("FLOPs [G]"),
        column("front", text=True),
        column("epochs"),
        column("trained [s]", 0),
        column("images/s", 0),
    ]
    rows = []
    for entry in found[:ROWS]:
        value = (entry.score, entry.band) if view.scored else () if view.alone else (entry.value,)
        rows.append(
            [
                entry.number,
                entry.name,
                entry.state,
                *value,
                entry.error,
                entry.params_m,
                entry.gflops,
                "front" if entry.pareto else "",
                entry.epochs,
                entry.seconds,
                entry.images_per_s,
                *(plain(entry.params.get(name)) for name in names),
                entry.reason.splitlines()[0][:200] if entry.reason else "",
            ]
        )
    return {
        "kind": "table",
        "id": key,
        "title": title,
        "columns": [*measured, *(column(name) for name in names), column("reason", text=True)],
        "rows": rows,
        "trial": 0,
        "none": "No trials.",
        "more": f"the first {ROWS} of {len(found):,}; select points to see others" if len(found) > ROWS else "",
    }


def plain(value: Any) -> Any:
    """A parameter's value as JSON has it."""
    return value if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) else str(value)


def column(title: str, digits: int | None = None, *, text: bool = False) -> dict[str, Any]:
    """A table's column; `digits` after the point, four significant ones where none are given."""
    return {"title": title, "right": not text} | ({} if digits is None else {"digits": digits})


def measure(title: str) -> dict[str, Any]:
    """A column of errors, whose digits are those of `search.format.digits`."""
    return {"title": title, "right": True, "measured": True}


def figure(key: str, drawn: go.Figure, height: int, *, width: str = "", selects: bool = False) -> Block:
    """A figure; `selects` where choosing points in it filters everything else."""
    return {
        "kind": "figure",
        "id": key,
        "figure": drawn,
        "height": drawn.layout.height or height,
        "width": width,
        "selects": selects,
    }


def html(key: str, title: str, source: str, *, width: str = "") -> Block:
    """A text with what belongs to a study escaped."""
    return {"kind": "html", "id": key, "title": title, "html": source, "width": width}


def later(key: str, title: str, path: str, *, height: int = 0) -> Block:
    """What is asked for by itself, under `path`."""
    return {"kind": "later", "id": key, "title": title, "path": path, "height": height}
