"""What each choice of a trial is worth: ablate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from data.errors import UserError
from search.cli.options import Address, Data, Out, Storage, StudyName, Weights, console, loading
from search.cli.training import Gpus, Length, Trial, Workers, searched_trial, train
from search.format import digits, duration, measured, named, titled

if TYPE_CHECKING:
    from search.after.training import SearchedTrial
    from search.results.ablation import Ablation, Mean, Row
    from search.variant import Variants


def ablate(
    study: StudyName,
    trial: Trial = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each change, paired with the trial's own.")] = 3,
    epochs: Length = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(help="Names of changes, one each time or several joined by commas; all that matter without it."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Say what can be changed, and train nothing.")] = False,
    workers: Workers = None,
    gpus_per_trial: Gpus = None,
    data: Data = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    address: Address = None,
    weights: Weights = None,
) -> None:
    """Change one choice of a trial at a time and say what each is worth; go on where a last run stopped."""
    source = searched_trial(study, trial, data, out, storage, weights)
    with loading():
        from search.after import ablation
    variants = ablation.variants(source.study, source.config, listed(changes))
    if list_:
        console.print(changes_table(source, variants))
        return
    length = epochs or source.study.epochs
    count = len(variants) - 1
    console.print(
        f"trial {source.trial.number}: as it is and with {count} change{'s' * (count > 1)}, {seeds} "
        f"seed{'s' * (seeds > 1)} each: {len(variants) * seeds} trainings of {length} epoch{'s' * (length > 1)}"
    )
    training = ablation.ablation_training(source, length, seeds, variants)
    result = train(training, ablation.summarise, workers, gpus_per_trial, address)
    show(result, source.folder)


def ablate_briefly(
    source: Callable[[], SearchedTrial], folder: Path, number: int, seconds: float, workers: int | None = None
) -> None:
    """A brief ablation of a trial of which none is kept, so that a report can say what its choices are worth.

    One that cannot be made is no error: that is said, and the report goes without.

    Args:
        source: makes the trial.
        folder: the study's.
        number: the trial's.
        seconds: that an epoch of its training takes.
        workers: trainings side by side.
    """
    from search.results.ablation import load

    if load(folder, number) is not None:
        return
    with loading():
        from search.after import ablation
    try:
        trial = source()
        variants = ablation.brief(ablation.variants(trial.study, trial.config))
        length, seeds = ablation.brief_length(trial.study.epochs), ablation.BRIEF_SEEDS
        console.print(
            f"trial {number} has no ablation yet: a brief one of {len(variants) - 1} changes, {seeds} seeds, {length} "
            f"epochs, about {duration(len(variants) * seeds * length * seconds)} of worker time; --quick leaves it out",
            soft_wrap=True,
        )
        training = ablation.ablation_training(trial, length, seeds, variants)
        result = train(training, ablation.summarise, workers, None, None)
    except UserError as error:
        console.print(f"[yellow]no ablation[/]: {escape(str(error))}", soft_wrap=True)
        return
    show(result, folder)


def listed(changes: list[str] | None) -> list[str]:
    """Names that are given one by one or joined by commas."""
    return [name.strip() for names in changes or () for name in names.split(",") if name.strip()]


def changes_table(source: SearchedTrial, variants: Variants) -> Table:
    """What can be changed in a trial."""
    from search.after.ablation import BASE, in_words

    table = Table("change", "what", box=None)
    for name, change in variants.items():
        if name != BASE:
            table.add_row(escape(name), escape(in_words(source.study.task, source.config, change)))
    return table


def show(result: Ablation, folder: Path) -> None:
    """Keep an ablation in the study's folder as a table and a picture, and print it."""
    from search.results import ablation
    from search.results.figures import ablation as page

    file = ablation.save(result, folder)
    picture = file.with_suffix(".html")
    page.write(result, picture)
    console.print(tabled(result))
    console.print(result.caution)
    for row in (result.base, *result.rows):
        for reason in row.failed:
            console.print(f"[red]failed[/] {escape(row.name)}: {escape(reason)}", soft_wrap=True)
    console.print(f"Table: {file}", soft_wrap=True)
    console.print(f"Picture: {picture}", soft_wrap=True)


def tabled(result: Ablation) -> Table:
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
        table.add_row(*row_texts(row, scored), style="bold" if row is result.base else None)
    return table


def row_texts(row: Row, scored: bool) -> list[str]:
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


def spread(value: Mean) -> str:
    """A mean and half its interval."""
    return measured(value.mean) + ("" if value.half is None else f" \u00b1 {digits(value.half)}")


def judged(value: Mean) -> str:
    """A difference with its interval; coloured where the interval leaves out 0."""
    sign = "+" if value.mean > 0 else ""
    text = f"{sign}{digits(value.mean)}"
    if value.low is not None and value.high is not None:
        text += f" ({digits(value.low)} to {digits(value.high)})"
    return f"[{'red' if value.mean > 0 else 'green'}]{text}[/]" if value.sure else text
