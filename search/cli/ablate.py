"""What each choice of a trial is worth: ablate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from search.cli.options import Out, Storage, StudyName, Weights, console
from search.cli.training import trained
from search.format import digits, measured, named, titled

if TYPE_CHECKING:
    from search.results.ablation import Ablation, Mean, Row


def ablate(
    study: StudyName,
    trial: Annotated[int | None, typer.Option(min=0, help="A trial of the search; without it, the best one.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each change, paired with the trial's own.")] = 3,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of each training; the search's without it.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(help="Names of changes, one each time or several joined by commas; all that matter without it."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Say what can be changed, and train nothing.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Trainings side by side.")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(min=0, help="As for search.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    address: Annotated[str | None, typer.Option(help="An existing Ray cluster, 'auto' or ray://HOST:PORT.")] = None,
    weights: Weights = None,
) -> None:
    """Change one choice of a trial at a time and say what each is worth; go on where a last run stopped."""
    from search import paths as home
    from search.after import ablate as ablating
    from search.after import retrain
    from search.after.changes import BASE, said, variants
    from search.load import check_weights, load_study, study_file
    from search.results import ablation
    from search.results.figures import ablation as drawing
    from search.run import live

    file = study_file(study)
    root = data.absolute() if data else None
    weights = check_weights(load_study(str(file), data=root), weights)
    chosen = load_study(str(file), data=root, weights=weights)  # so that beginning without them is a change
    entry = retrain.choose(home.recorded(study, out, storage), trial, None)
    name, folder = home.name_of(study), home.folder_of(study, out)
    config = ablating.config_of(chosen, entry)
    wanted = [part.strip() for one in changes or () for part in one.split(",") if part.strip()]
    found = variants(chosen, config, wanted)
    if list_:
        table = Table("change", "what", box=None)
        for key, change in found.items():
            if key != BASE:
                table.add_row(escape(key), escape(said(chosen.task, config, change)))
        console.print(table)
        return
    length = epochs or chosen.epochs
    count = len(found) - 1
    console.print(
        f"trial {entry.number}: as it is and with {count} change{'s' * (count > 1)}, {seeds} seed{'s' * (seeds > 1)} "
        f"each: {len(found) * seeds} trainings of {length} epoch{'s' * (length > 1)}"
    )
    with live.progress(console, "preparing the data") as show:
        chosen.task.prepare(show)
    room = ablating.room_of(folder, entry.number, length, config, found)
    with home.locked(room):
        ledger = ablating.ledger_of(chosen, name, room, entry, length, seeds, found)
        trained(
            ledger,
            room,
            file,
            ablating.final(found),
            data=root,
            workers=workers,
            gpus=gpus_per_trial,
            address=address,
            weights=weights,
        )
        result = ablating.found(chosen, name, entry, found, ledger, room, seeds)
    told = ablation.save(result, folder)
    drawing.write(result, told.with_suffix(".html"))
    console.print(tabled(result))
    console.print(result.caution)
    for row in (result.base, *result.rows):
        for reason in row.failed:
            console.print(f"[red]failed[/] {escape(row.name)}: {escape(reason)}", soft_wrap=True)
    console.print(f"Table: {told}", soft_wrap=True)
    console.print(f"Picture: {told.with_suffix('.html')}", soft_wrap=True)


def tabled(result: "Ablation") -> Table:
    """The table of an ablation: the trial as it is, then its changes, the most harmful first."""
    scored = result.base.score is not None
    table = Table(title=f"trial {result.trial} of {escape(result.study)}, {result.epochs} epochs", title_justify="left")
    for column in ("change", "what"):
        table.add_column(column, overflow="fold")
    columns = [escape(titled(named(result.metric), result.unit)), "difference"]
    for column in [*columns, *(["score", "times"] if scored else []), "Params [M]", "FLOPs [G]", "seeds"]:
        table.add_column(column, justify="right", no_wrap=True)
    lost = tuple(row for row in result.rows if row.difference is None)
    for row in (result.base, *result.ranked, *lost):
        table.add_row(*cells(row, scored), style="bold" if row is result.base else None)
    return table


def cells(row: "Row", scored: bool) -> list[str]:
    """One row in words."""
    score = "" if row.score is None else digits(row.score)
    factor = "" if row.factor is None else f"{row.factor:.3g}"
    return [
        escape(row.name),
        escape(row.said if len(row.said) < 80 else f"{row.said[:79]}\u2026"),
        "failed" if row.error is None else spread(row.error),
        "" if row.difference is None else judged(row.difference),
        *([score, factor] if scored else []),
        f"{row.params / 1e6:.4g}",
        f"{row.flops / 1e9:.4g}",
        str(len(row.errors)),
    ]


def spread(found: "Mean") -> str:
    """A mean and half its interval."""
    return measured(found.mean) + ("" if found.half is None else f" \u00b1 {digits(found.half)}")


def judged(found: "Mean") -> str:
    """A difference with its interval; coloured where the interval leaves out 0."""
    sign = "+" if found.mean > 0 else ""
    said = f"{sign}{digits(found.mean)}"
    if found.low is not None and found.high is not None:
        said += f" ({digits(found.low)} to {digits(found.high)})"
    return f"[{'red' if found.mean > 0 else 'green'}]{said}[/]" if found.sure else said
