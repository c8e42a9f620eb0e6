"""The pages: which figures, tables and texts each of them has.

A page is plain data (see `blocks`). The same data goes to a browser that asks for it and into a report.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from threading import Lock
from typing import Any, cast

from data.errors import UserError
from search.after.models import by_trial
from search.dashboard import notes
from search.dashboard.filters import matching
from search.dashboard.parts import (
    colour,
    compare,
    contour,
    curves,
    decision,
    errors,
    fronts,
    gallery,
    gpu,
    hardest,
    now,
    progress,
    retrained,
    trial,
    why,
)
from search.dashboard.parts.blocks import (
    Block,
    board,
    figure,
    html,
    later,
    note,
    together,
)
from search.dashboard.parts.now import Machine
from search.dashboard.parts.progress import Against
from search.dashboard.request import WHOLE, Request
from search.dashboard.source import Source
from search.format import compact, duration, measured
from search.results import ablation as ablations
from search.results import answers, architecture, bands, noise
from search.results.figures import ablation, pareto
from search.results.importance import Target, distributions, tenths
from search.results.view import View

Choices = Mapping[str, str]
Href = Callable[[int], str]
"""Where the picture of a data-set row is to be had."""

PAGES = (
    ("pareto", "Pareto"),
    ("compare", "Compare"),
    ("progress", "Progress"),
    ("why", "Why"),
    ("curves", "Curves"),
    ("now", "Now"),
)
"""Key and title of each page that a study has; a trial's own page is beside them."""

SEVERAL = ("progress", "compare")
"""Pages that show other studies, too."""

DRAWING = Lock()
"""Held while figures are made and written as JSON: plotly imports its parts at their first use, which two threads at
once may spoil, and must not meet a half imported pandas."""

BUILDING = Lock()
"""Held by the one request that builds a network: torch.fx changes modules for everybody while it traces."""

REPORT = Request(other=WHOLE)
"""What a report has of a page."""

AGAINST = (("trials", "trials"), ("seconds", "device time"))

LATER = ("network", "layers", "importance", "hardest", "edges")
"""What is asked for by itself, since it takes long: two parts of a trial's page, two of 'why', and one of 'pareto'."""


class AbsentError(Exception):
    """There is no such study, page or trial. Not a KeyError, which is a fault of ours and must not pass for one."""


def page(
    source: Source,
    views: Mapping[str, View],
    name: str,
    *,
    number: int | None = None,
    request: Request = REPORT,
    href: Href,
    machine: Machine,
    lives: bool | None = None,
) -> dict[str, Any]:
    """A page in its frame: title, the study in figures, blocks or a sentence.

    The name is one of PAGES, or 'trial'; `lives` says whether the search's driver is at work, see
    `workers.driver_lives`.

    Raises:
        AbsentError: there is no such page.
    """
    if name != "trial" and name not in dict(PAGES):
        raise AbsentError(name)
    view = views[source.key]
    running = len(view.by_state["running"])
    frame: dict[str, Any] = {
        "title": titled(source.name, name, number),
        "facts": facts(view),
        "live": running > 0 and lives is not False,
        "status": source.reader.stale or status(running, lives),
    }
    if not view.entries:
        return frame | {
            "sentence": "This study has no trials yet; they appear here as soon as the first one is asked for."
        }
    if name == "trial":
        if number not in view.by_number:
            return frame | {"sentence": f"There is no trial {number}; this study has {len(view.entries)} trials."}
        return frame | {"blocks": trial_page(source, view, number or 0, href)}
    if name == "now":
        return frame | {"blocks": now.page(view, source.key, machine, request, lives)}
    if name == "compare":
        return frame | compare_page(source, views, request, href)
    filtered, shown, wrong = narrowed(view, request)
    frame |= {"shown": len(shown.entries), "wrong": wrong}
    if sentence := trouble(view):
        reason = html("trouble", "", f'<p class="sentence">{escape(sentence)}</p>')
        return frame | {"blocks": [reason, board(shown, "trials", order=request.order("trials"))]}
    if name == "progress":
        return frame | progress_page(shown, [v for key, v in views.items() if key != source.key], request.choices)
    if name == "why":
        return frame | why_page(source, filtered, shown, request.choices)
    if name == "curves":
        return frame | {"blocks": [figure("learning", curves.learning(shown), 620)]}
    return frame | pareto_page(source, view, filtered, shown, request)


def status(running: int, lives: bool | None) -> str:
    """What the search is doing; of trials whose search was killed the storage goes on saying that they run."""
    if not running:
        return "nothing runs"
    return f"{running} interrupted, no search is at work" if lives is False else f"{running} running"


def pareto_page(source: Source, view: View, filtered: View, shown: View, request: Request) -> dict[str, Any]:
    """Price against error, and what is to be decided.

    Of a selection the plane shows the other trials, too, as faint points; what the filter leaves out is not there.
    """
    models = source.models(view)
    near, ties = ({e.number for e in noise.near_best(each, models.noise)} for each in (filtered, shown))
    means = {number: runs[-1].mean for number, runs in by_trial(models.retrained).items()}
    listed = choice(request.choices, "colour", "colour by", colour.options(view), above="pareto")
    drawn = colour.coloured(pareto.figure(filtered, models.retrained, near), view, listed["value"])
    plane = figure("pareto", drawn, 560, selects=True)
    table_of_models = retrained.html(source.key, shown, models)
    blocks = [
        *decision.strip(source, shown, models, ties),
        plane,
        *([html("retrained", "Trained in full", table_of_models)] if table_of_models else []),
        board(shown, "trials", order=request.order("trials"), near=ties, means=means, ticks=True),
    ]
    return {"choices": [listed], "blocks": blocks}


def titled(study: str, name: str, number: int | None) -> str:
    """What the browser's tab is called."""
    what = f"Trial {number}" if name == "trial" else dict(PAGES)[name]
    return f"{what} - {study} - posefront"


def narrowed(view: View, request: Request) -> tuple[View, View, str]:
    """The trials that the filter line leaves; those of them that are selected; and what is wrong with the line.

    A wrong line leaves all.
    """
    wrong = ""
    try:
        view = matching(view, request.filter)
    except UserError as mistake:
        wrong = capital(mistake)
    return view, view if request.chosen is None else view.only(request.chosen), wrong


def part(source: Source, view: View, what: str, number: int, href: Href) -> dict[str, Any]:
    """One of LATER: a drawing of trial `number`'s network, its layers, importances, or the images that most fail at.

    Raises:
        AbsentError: there is no such trial.
    """
    if what == "importance":
        with DRAWING:
            return {"figure": why.importance_figure(view)}
    if what == "edges":
        return {"html": decision.at_edges(view)}
    if what == "hardest":
        return {"html": hardest.html(view, source.folder, href)}
    if number not in view.by_number:
        raise AbsentError(number)
    with BUILDING:
        try:
            network = source.network(view, number)
        except UserError as mistake:
            return {"html": f"<p>{escape(capital(mistake))}</p>"}
        return {"html": trial.cost_table(network.cost) if what == "layers" else architecture.figure(network.plan)}


def capital(mistake: UserError) -> str:
    """A mistake as a sentence of its own, which in a terminal stands behind the command's name."""
    return str(mistake)[:1].upper() + str(mistake)[1:]


def choice(
    choices: Choices, name: str, label: str, options: Sequence[tuple[str, str]], above: str = ""
) -> dict[str, Any]:
    """One of a page's lists; it is set to the first of its options where it isn't, or is to none of them.

    It stands above a block, or on top of the page.
    """
    chosen = choices.get(name, "")
    value = chosen if chosen in dict(options) else options[0][0]
    return {"name": name, "label": label, "options": options, "value": value, "above": above}


def compare_page(source: Source, views: Mapping[str, View], request: Request, href: Href) -> dict[str, Any]:
    """Trials of a study side by side, and studies in one plane, which have a front in common."""
    view = views[source.key]
    shown = compare.blocks(source, view, None if request is REPORT else request.ticked, href)
    others = {key: other for key, other in views.items() if key != source.key}
    alike = {key: other for key, other in others.items() if not progress.unlike([view, other])}
    alike = {key: other for key, other in alike.items() if other.cost_title == view.cost_title}
    if not alike:
        return {"blocks": [*shown, *unlike_note(len(others))]}
    listed = choice(
        request.choices, "with", "common front with", [("", "all studies"), *((k, alike[k].name) for k in alike)]
    )
    beside = {source.key: view} | (alike if not listed["value"] else {listed["value"]: alike[listed["value"]]})
    studies = [
        figure("fronts", fronts.figure(beside), 460),
        html("common", "Trials on the common front", fronts.listed(beside)),
    ]
    several = len(request.ticked) < 2  # where trials are ticked these come first
    blocks = [*studies, *shown] if several else [*shown, *studies]
    return {"choices": [listed], "blocks": [*unlike_note(len(others) - len(alike)), *blocks]}


def unlike_note(count: int) -> list[Block]:
    """How many studies are not shown beside others; nothing where there are none."""
    studies = "1 other study is" if count == 1 else f"{count} other studies are"
    return [html("others", "", note(f"{studies} judged by another number and not shown here."))] if count else []


def progress_page(view: View, others: Sequence[View], choices: Choices) -> dict[str, Any]:
    """Whether the search is getting anywhere; all studies that are judged by the same number in one picture each."""
    alike = [other for other in others if not progress.unlike([view, other])]
    views, unlike = [view, *alike], len(others) - len(alike)
    listed = choice(choices, "against", "against", AGAINST)
    against = cast("Against", listed["value"])
    blocks = [
        figure("best", progress.best_so_far(views, against), 430),
        figure("hypervolume", progress.hypervolume(views, against), 400, width="half"),
        figure("edf", progress.edf(views), 400, width="half"),
    ]
    return {"choices": [listed], "blocks": [*unlike_note(unlike), *blocks]}


def why_page(source: Source, filtered: View, view: View, choices: Choices) -> dict[str, Any]:
    """Which parameters matter, and how.

    Parallel coordinates have all that the filter leaves: the page's script shows what of it is selected.
    """
    listed = choice(choices, "target", "slices and contour of", why.targets(view))
    target = cast("Target", listed["value"])
    over = contour_over(view, target, choices)
    blocks = [
        later("importance", "", f"{source.key}/importance/{tenths(view)}", height=380),
        figure("slices", why.slices(view, target), 520),
        *([figure("contour", contour.figure(view, target, *(each["value"] for each in over)), 520)] if over else []),
        figure("parallel", why.parallel(filtered), 460, brushes=True),
        later("hardest", "Images that most trials fail at", f"{source.key}/hardest/{tenths(view)}"),
    ]
    return {"choices": [listed, *over], "blocks": blocks}


def contour_over(view: View, target: Target, choices: Choices) -> list[dict[str, Any]]:
    """The lists of the contour's two parameters, the most important first; none where there are no two."""
    names = why.by_importance(view, target, list(distributions(view.trials)))
    if len(names) < 2:
        return []
    across = choice(choices, "x", "contour over", [(name, name) for name in names], above="contour")
    others = [(name, name) for name in names if name != across["value"]]
    return [across, choice(choices, "y", "and", others, above="contour")]


def trial_page(source: Source, view: View, number: int, href: Href) -> list[Block]:
    """The page of a trial, which must be in the view."""
    answered = answers.load(source.folder, number, view.unit)
    command = bands.command(view, number, source.given, source.out, source.storage)
    pictures = gallery.gallery(answered, href, lambda row: answers.sides(source.folder, row))
    blocks: list[Block] = [
        notes.block(view, number, source.folder, source.reader.study_id),
        html("facts", "What it is", trial.parameters(view, number), width="third"),
        figure("one", curves.of_trial(view, number), 620, width="two-thirds"),
        *gpu.blocks(view, gpu.measured(view, [view.by_number[number]])),
        html("command", "Train it in full", f'<pre tabindex="0">{escape(command)}</pre>'),
        *trained_in_full(source, view, number),
        later("network", "The network", f"{source.key}/network/{number}"),
        html("gallery", "Best, median and worst validation images", pictures),
    ]
    if answered is not None:
        compared = {f"trial {number}": answered}
        # Beside the best other trial.
        finished = [entry.number for entry in view.by_state["finished"]]
        best = next((other for other in finished if other != number), None)
        if best is not None and (kept := answers.load(source.folder, best, view.unit)) is not None:
            compared[f"trial {best} (best{' other' if finished[0] == number else ''})"] = kept
        blocks += [
            figure("joints", errors.joints(answered), 520, width="half"),
            figure("pck", errors.pck(compared), 520, width="half"),
        ]
    if (ablated := ablations.load(source.folder, number)) is not None:
        blocks.append(figure("ablation", ablation.figure(ablated), 420))
    return [*blocks, later("layers", "What each layer costs", f"{source.key}/layers/{number}")]


def trained_in_full(source: Source, view: View, number: int) -> list[Block]:
    """A trial's full trainings: their seeds' errors and curves; nothing where there is none."""
    models, trainings = source.models(view), retrained.going(source.folder, view, number)
    found = retrained.html(source.key, view, models, number) + retrained.going_html(trainings)
    if not found:
        return []
    runs = retrained.curves_of([each for each in models.retrained if each.trial == number], trainings)
    return [html("retrained", "Trained in full", found), *together("seeds", curves.together(view, runs))]


def facts(view: View) -> list[dict[str, Any]]:
    """The study in a line of figures."""
    wanted, over = view.attrs.get("search", {}).get("trials"), len(view.ended)
    shown: list[dict[str, Any]] = [{"name": "trials", "value": f"{over} of {wanted}" if wanted else str(over)}]
    shown += [
        {"name": state, "value": f"{len(entries):,}", "filter": f"state={state}"}
        for state, entries in view.by_state.items()
        if entries
    ]
    finished = [entry for entry in view.by_state["finished"] if entry.error is not None]
    if finished:
        best, least = finished[0], min(finished, key=lambda entry: entry.error or 0.0)
        value = best.score if view.scored else best.value
        if value is not None and not view.alone:
            name = f"{'best' if view.reached(best) else 'nearest'} {'score' if view.scored else 'value'}"
            shown.append({"name": name, "value": compact(value), "trial": best.number})
        error = measured(least.error or 0.0, view.unit)
        shown.append({"name": f"smallest {view.error_name}", "value": error, "trial": least.number})
        count = sum(entry.pareto for entry in finished)
        shown.append({"name": "Pareto front", "value": f"{count} trial{'s' * (count != 1)}", "filter": "front=yes"})
    if starred := sum(entry.star for entry in view.entries):
        shown.append({"name": "starred", "value": str(starred), "filter": "star=yes"})
    if view.goal is not None:
        reached = sum(map(view.reached, finished))
        shown.append({"name": f"goal: {view.goal_title}", "value": f"{reached} trials are to reach it"})
    shown.append({"name": "device time", "value": duration(sum(entry.seconds for entry in view.entries))})
    return shown


def trouble(view: View) -> str:
    """What to say where nothing has been trained, or an empty text."""
    if any(entry.epochs for entry in view.entries):
        return ""
    if view.by_state["running"]:
        return "No trial has ended its first epoch yet."
    if failed := view.by_state["failed"]:
        last = max(failed, key=lambda entry: entry.number)
        reason = last.reason.splitlines()[0] if last.reason else "gave no reason"
        return f"All {len(failed)} trials that were tried failed; the last one, trial {last.number}: {reason}"
    return "No trial has been trained yet."
