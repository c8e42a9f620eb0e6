"""What retrain, ablate and ensemble share: their options, and how they train one trial of a search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.markup import escape

from search.cli.options import console, error_limit, loading, say_notes
from search.cli.streams import go_on_without_output
from search.signals import exit_code

if TYPE_CHECKING:
    from search.after.training import FixedTraining, SearchedTrial
    from search.study import Study

Trial = Annotated[int | None, typer.Option(min=0, help="A trial of the search; without it, the best one.")]
Length = Annotated[int | None, typer.Option(min=1, help="Length of each training; the study's own without it.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Trainings side by side.")]
Gpus = Annotated[float | None, typer.Option(min=0, help="As for search.")]

Result = TypeVar("Result")


def searched_trial(
    study: str,
    trial: int | None,
    data: Path | None,
    out: Path,
    storage: str | None,
    weights: str | None,
    *,
    under: str | None = None,
    check: Callable[[Study], object] = lambda _: None,
) -> SearchedTrial:
    """The trial that is meant, whatever is wrong with the options being said before torch is imported.

    `under` is what `--best-under` gives, and `check` raises a UserError if the study will not do.

    Raises:
        UserError: there is no such study, search or trial, or the weights do not fit it.
    """
    from search import paths
    from search.after.training import SearchedTrial, choose_trial
    from search.config_record import changes
    from search.load import load_study, study_file, weights_place

    file = study_file(study)
    root = data.absolute() if data else None
    loaded = load_study(str(file), data=root)
    check(loaded)
    optuna_study = paths.recorded(study, out, storage)
    meant = choose_trial(optuna_study, trial, error_limit(under, "--best-under", loaded.task.unit))
    if meant.config is not None and (changed := changes(loaded, meant.params, meant.config, False)):
        console.print(
            f"[yellow]the study was changed since trial {meant.number}[/]: {escape(changed)}. The trial keeps its own."
        )
    place = None if weights is None else weights_place(weights)
    name, folder, study_id = paths.name_of(study), paths.folder_of(study, out), optuna_study.user_attrs.get("id")
    source = SearchedTrial(loaded, name, file, folder, meant, root, place, study_id, optuna_study)
    if place is not None:
        with loading():
            from search.network import build
        build(source.config)
    return source


def train(
    training: FixedTraining,
    finish: Callable[[FixedTraining], Result],
    workers: int | None,
    gpus: float | None,
    address: str | None,
) -> Result:
    """Prepare the data, train what is not yet trained, show it, and answer what `finish` makes of it.

    Ends the command where the training was stopped; the same command goes on with it. For the other arguments see
    `search.run.engine.search`.
    """
    from search import paths

    go_on_without_output()
    with loading():
        from search.progress import progress
        from search.run import live
    with progress(console, "preparing the data") as show:
        training.source.study.task.prepare(show)
    say_notes(training.source.study.task)
    with paths.locked(paths.make_folder(training.folder)):
        with live.watched(console, training.ledger) as view:
            outcome = training.train(workers, gpus, address, view)
        if outcome is not None and outcome.why:
            console.print(f"[yellow]stopped by {outcome.why}[/]; the same command goes on.")
            raise typer.Exit(exit_code(outcome.why))
        return finish(training)
