"""Searching, and what a search has found: search, best, cost, score."""

import json
import os
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from data.errors import UserError
from search.cli.doctor import measured_share, share_of
from search.cli.options import (
    Address,
    Data,
    Out,
    Storage,
    StudyName,
    Weights,
    console,
    error_limit,
    loading,
    say_notes,
    seen,
)
from search.cli.streams import go_on_without_output
from search.signals import exit_code
from search.storage_url import file_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.storages import BaseStorage

    from search.results.leaderboard import Entry
    from search.results.view import View
    from search.run.engine import Outcome
    from search.run.state.ledger import Ledger
    from search.study import Study

WIDE = 130
"""Columns from which the leaderboard shows parameters."""


def search(
    study: StudyName,
    trials: Annotated[int | None, typer.Option(min=1, help="Finished trials the study is to have.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Stop after so long; the same command goes on.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of a full trial.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Trials side by side.")] = None,
    gpus_per_trial: Annotated[
        str | None,
        typer.Option(help="A fraction lets trials share a GPU, e.g. 0.25; 0: train on the CPU; auto: measured."),
    ] = None,
    data: Data = None,
    under: Annotated[
        str | None,
        typer.Option(help="The goal: the best trial whose error, fully trained, is below this, e.g. 5 or 5px."),
    ] = None,
    start: Annotated[
        list[str] | None, typer.Option(help="A published recipe of the study to try as well; may be given repeatedly.")
    ] = None,
    weights: Weights = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    address: Address = None,
) -> None:
    """Search: sample, train side by side, stop early what falls behind; go on where the last run stopped."""
    from search import paths
    from search.load import load_study, study_file, with_starts, with_weights

    go_on_without_output()
    # Everything that costs no import is checked first.
    file = study_file(study)
    paths.check_storage(storage)
    paths.check_writable(out / paths.name_of(study))
    paths.check_free(out / paths.name_of(study))
    gpus = None if gpus_per_trial in (None, "auto") else share_of(gpus_per_trial)
    root = data.absolute() if data else None
    with loading("loading the study"):
        chosen = load_study(str(file), trials=trials, epochs=epochs, seed=seed, data=root)
        chosen = with_goal(with_weights(with_starts(chosen, start or ()), weights), under)
    folder = paths.folder_of(study, out)
    with paths.locked(folder):
        from search.progress import progress
        from search.run import live
        from search.run.state.lease import leased
        from search.run.state.storage import open_storage

        with progress(console, "preparing images") as show:
            chosen.task.prepare(show)
        say_notes(chosen.task)
        url = paths.url_of(folder, storage)
        if (database := file_of(url)) and (doubt := paths.on_network(database)):
            console.print(f"[yellow]{escape(doubt)}[/]", soft_wrap=True)
        opened = open_storage(url)
        with leased(opened, paths.name_of(study), console.print) as lease:
            ledger = _open_ledger(chosen, file, folder, opened, url)
            ledger.check = lease.check
            outcome = None
            if not ledger.is_over:
                if gpus_per_trial == "auto":
                    gpus = measured_share(file, root, chosen, address)
                console.print("starting the workers (their first trial takes some seconds to begin)")
                from search.run import engine

                with live.watched(console, ledger) as view:
                    outcome = engine.search(
                        ledger,
                        file,
                        folder,
                        data=root,
                        workers=workers,
                        gpus=gpus,
                        address=address,
                        hours=hours,
                        watch=view,
                    )
    if outcome is None and ledger.finished >= chosen.trials:
        console.print(f"{ledger.finished} of {chosen.trials} trials are finished; --trials asks for more.")
    summarise(ledger, folder, storage, outcome)
    if outcome is not None and outcome.why:
        cause = f"--hours {hours:g} are over" if outcome.why == "time" else f"stopped by {outcome.why}"
        console.print(f"[yellow]{cause}[/]; trials in training: {outcome.waiting}. The same command goes on with them.")
        if outcome.why != "time":
            raise typer.Exit(exit_code(outcome.why))
    refuse_failures(ledger)


def with_goal(study: "Study", under: str | None) -> "Study":
    """The study with the goal that `--under` gives; its own without it.

    Raises:
        UserError: it is no error above 0.
    """
    limit = error_limit(under, "--under", study.task.unit)
    return study if limit is None else replace(study, under=limit)


def refuse_failures(ledger: "Ledger") -> None:
    """End with exit code 1 where no trial of a study was trained without failing, and say the commonest reason."""
    from search.run.state.ledger import is_finished

    over = [trial for trial in ledger.optuna_study.get_trials(deepcopy=False) if is_finished(trial)]
    reasons = Counter(trial.user_attrs["failed"].splitlines()[0] for trial in over if trial.user_attrs.get("failed"))
    if over and reasons.total() == len(over):
        reason, count = reasons.most_common(1)[0]
        console.print(
            f"[red]every trial of this search failed[/] ({len(over)}), {count} of them with: {escape(reason)}",
            soft_wrap=True,
        )
        raise typer.Exit(1)


def _open_ledger(chosen: "Study", file: Path, folder: Path, opened: "BaseStorage", url: str) -> "Ledger":
    """The study in its storage, with what a dead run left taken up again."""
    import optuna

    from search import paths
    from search.config_record import changes, differences
    from search.ownership import claim
    from search.run.state.ledger import Ledger
    from search.run.state.ranges import adapt

    name = paths.name_of(str(file))
    begun = optuna.load_study(study_name=name, storage=opened)
    chosen, added = adapt(chosen, begun)
    if added:
        console.print(f"choices added since the last run: {escape('; '.join(added))}")
    before = begun.user_attrs.get("search")
    ledger = Ledger(chosen, name, opened, chosen.task.identity(), file=paths.written(file))
    put = claim(folder, ledger.id, url)
    if put is not None:
        console.print(f"[yellow]{folder} held the results of another study {name!r}; they are now in {put}[/]")
    ledger.adopt()
    trials = [trial for trial in ledger.optuna_study.get_trials(deepcopy=False) if "budget" in trial.user_attrs]
    kept = [trial for trial in trials if "config" in trial.user_attrs]
    if kept:
        last, now = kept[-1], ledger.optuna_study.user_attrs["search"]
        told = differences(before or now, now | {"trials": (before or now)["trials"]})
        changed = "; ".join(filter(None, (told, changes(chosen, last.params, last.user_attrs["config"]))))
        if changed:
            console.print(
                f"[yellow]the study was changed since trial {last.number}[/]: {escape(changed)}. Trials to come follow "
                "it; those that are keep their own."
            )
    interrupted = sum(not trial.state.is_finished() for trial in trials)
    if ledger.finished or interrupted:
        console.print(f"going on: {ledger.finished} trials are over, {interrupted} interrupted ones are taken up again")
    return ledger


def summarise(ledger: "Ledger", folder: Path, storage: str | None, outcome: "Outcome | None" = None) -> None:
    """Where the time went, the board, the baseline beside the best error, and the Pareto page."""
    from search.format import measured, named

    if outcome is not None:
        devices = outcome.devices
        console.print(
            f"{devices.workers} at a time on {devices.cpus:g} CPU and {devices.gpus:g} GPU each: start-up "
            f"{outcome.startup_s:.0f} s, search {outcome.search_s:.0f} s, of which trained "
            f"{outcome.trained_s / devices.workers:.0f} s a worker"
        )
    if ledger.optuna_study.is_stopped:
        console.print(f"the study's sampler has ended the search after {ledger.finished} trials: nothing more to try")
    view, task = seen(ledger.optuna_study), ledger.study.task
    console.print(board(view.entries, view, 10))
    errors = [
        (entry.error, entry.number) for entry in view.entries if entry.state == "finished" and entry.error is not None
    ]
    if errors:
        mean, (least, trial) = task.baseline(), min(errors)
        console.print(
            f"always answering the mean: {measured(mean, task.unit)}; smallest {named(task.metric)}: "
            f"{measured(least, task.unit)} (trial {trial}){f', {least / mean:.0%} of it' if mean else ''}"
        )
    show_edges(view, ledger.study)
    _write_page(view, folder, storage)


def show_edges(view: "View", study: "Study | None") -> None:
    """Print at which ends of the ranges the best trials lie; a study's space says which of them are limits."""
    from search.results.edges import asking, edges, sentence

    for edge in edges(view, asking(study, view) if study else None):
        console.print(f"[yellow]at the edge[/]: {escape(sentence(edge))}")


def _write_page(view: "View", folder: Path, storage: str | None) -> None:
    """The Pareto page, unless it was written since the study's own file last changed: plotly takes a second."""
    page, database = folder / "pareto.html", folder / "study.db"
    changed = database.stat().st_mtime_ns if database.is_file() else None
    if storage or changed is None or not page.is_file() or page.stat().st_mtime_ns <= changed:
        from search.after import models
        from search.results.figures import pareto

        pareto.write(view, page, models.of(folder, view.attrs.get("id"), view).retrained)
        if storage and changed is not None:
            os.utime(page, ns=(changed, changed))  # not newer than the study of `database`, which it does not show
    console.print(f"Pareto page: {page}")


def best(
    study: StudyName,
    out: Out = Path("runs"),
    storage: Storage = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Lines of the table.")] = 20,
    all_states: Annotated[bool, typer.Option("--all", help="Also trials stopped, failed, refused, running.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Every trial, as JSON.")] = False,
) -> None:
    """The leaderboard, Pareto-optimal trials marked, and the Pareto page as the study stands."""
    from search import paths

    view = seen(paths.recorded(study, out, storage))
    shown = [entry for entry in view.entries if all_states or entry.state == "finished"]
    if as_json:
        typer.echo(json.dumps([flat(entry, view) for entry in shown], indent=1, default=str))
        return
    console.print(board(shown, view, count))
    show_bands(view, study, out, storage)
    show_edges(view, _loaded(study))
    _write_page(view, paths.folder_of(study, out), storage)


def _loaded(study: str) -> "Study | None":
    """The study of a name or file; None where that is gone, or broken: what was searched is shown without it."""
    from search.load import load_study

    try:
        return load_study(study)
    except UserError:
        return None


def show_bands(view: "View", study: str, out: Path, storage: str | None) -> None:
    """Print the best trial of each grade band, and what trains it in full; nothing where there are no bands."""
    from search.format import between, digits, named, titled
    from search.results.bands import best_of_bands, command, how_predicted

    best = best_of_bands(view)
    if not best:
        return
    table = Table(title="best of each grade band", caption=escape(how_predicted(view)))
    for title in ("band", "trial", "score", titled(named(view.metric), view.unit), "in full"):
        table.add_column(escape(title), justify="right", no_wrap=True)
    table.add_column("train it in full", overflow="fold")
    for label, entry in best.items():
        if entry is None:
            table.add_row(label, "", "", "", "", "no trial yet")
        else:
            numbers = (str(entry.number), digits(entry.score), digits(entry.error), between(view.full(entry)))
            table.add_row(label, *numbers, escape(command(view, entry.number, study, out, storage)))
    console.print(table)


def flat(entry: "Entry", view: "View") -> dict[str, Any]:
    """A trial for JSON, its readings and its predicted full training beside the rest."""
    fields: dict[str, Any] = asdict(entry)
    readings: dict[str, Any] = fields.pop("readings")
    full = view.full(entry)
    predicted = None if full is None else {"epochs": view.full_length.epochs, **full._asdict()}
    return fields | readings | {"full": predicted}


def board(entries: "Sequence[Entry]", view: "View", count: int) -> Table:
    """The leaderboard as a table; a star marks a Pareto-optimal trial. A narrow terminal goes without parameters."""
    from search.format import between, digits, named, params_text, titled
    from search.results.bands import how_predicted
    from search.run.live import STYLES

    wide = console.width >= WIDE
    scored = any(entry.score is not None for entry in entries)
    valued = any(entry.value != entry.error for entry in entries)  # a study may minimise the error itself
    notes = ["* no finished trial is both cheaper and more exact"]
    if view.goal is not None:
        notes.append(f"goal: {view.goal_title}, which {sum(map(view.reached, entries))} of these trials are to reach")
    notes += [how_predicted(view)] if wide else ["a wider window adds parameters"]
    table = Table(title=f"best {min(count, len(entries))} of {len(entries)} trials", caption=escape("\n".join(notes)))
    ranked = ("score", "band") if scored else ("value",) if valued else ()
    for column in ("", "trial", *ranked, "P [M]", "F [G]", escape(titled(named(view.metric), view.unit))):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("epochs", justify="right")
    table.add_column("state")
    if wide:
        table.add_column("in full", justify="right", no_wrap=True)
        table.add_column("parameters", overflow="fold")
    for entry in entries[:count]:
        value = (digits(entry.score), entry.band) if scored else (digits(entry.value),) if valued else ()
        table.add_row(
            "*" if entry.pareto else "",
            f"{entry.number}" + (f" {escape(entry.name)}" if entry.name else ""),
            *value,
            *map(digits, (entry.params_m, entry.gflops, entry.error)),
            str(entry.epochs),
            f"[{STYLES[entry.state]}]{entry.state}[/]" if entry.state in STYLES else entry.state,
            *((between(view.full(entry)), escape(params_text(entry.params))) if wide else ()),
        )
    return table


def score(
    params_m: Annotated[float, typer.Option(help="Parameters, millions.")],
    gflops: Annotated[float, typer.Option(help="Multiply-adds of one image, thousands of millions.")],
    pixel_diff: Annotated[float, typer.Option(help="Mean distance, pixels of the 224 x 224 image.")],
) -> None:
    """The course's score of a network: Params [M] x FLOPs [G] x e^PixelDiff, smaller is better."""
    from search import objective

    try:
        log = objective.log_score(params_m, gflops, pixel_diff)
    except ValueError as error:
        raise UserError(f"{error}.") from error
    exact = objective.score(log)
    typer.echo(f"score {f'e^{log:.9g}' if exact is None else f'{exact:.10g}'}, PixelDiff {objective.band(pixel_diff)}")


def cost(
    study: StudyName,
    trial: Annotated[int | None, typer.Option(min=0, help="A trial of the search so far.")] = None,
    start: Annotated[str | None, typer.Option(help="A starting trial of the study by its name.")] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of a parameter; may be given again.")
    ] = None,
    out: Out = Path("runs"),
    storage: Storage = None,
) -> None:
    """What a network costs, layer by layer: of a trial, a starting trial, or parameters of a study."""
    from search.cli.price import network_table

    if trial is not None and start is not None:
        raise UserError("--trial and --start name two networks; give one of them.")
    console.print(network_table(study, trial, start, values or [], out, storage))
