"""One configuration trained once a fold, and all folds' models together: ensemble."""

from pathlib import Path
from typing import Annotated

import typer

from data.errors import UserError
from search.cli.options import Out, Storage, StudyName, Weights, console, write_text
from search.cli.training import trained


def ensemble(
    study: StudyName,
    trial: Annotated[int | None, typer.Option(min=0, help="A trial of the search; without it, the best one.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length; the study's own without it.")] = None,
    predict: Annotated[Path | None, typer.Option(help="A csv to write: the test part, by all folds together.")] = None,
    like: Annotated[Path | None, typer.Option(help="The organiser's sample csv, to follow.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Folds side by side.")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(min=0, help="As for search.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    weights: Weights = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    address: Annotated[str | None, typer.Option(help="An existing Ray cluster, 'auto' or ray://HOST:PORT.")] = None,
) -> None:
    """Train one trial in full once a fold, and predict the test part by the mean of all; go on where it stopped."""
    from search import paths as home
    from search.after import ensemble as folds
    from search.after import retrain as last
    from search.format import measured, named
    from search.load import check_weights, load_study, study_file
    from search.run import live
    from search.run.settings import FinalTraining

    if like is not None and predict is None:
        raise UserError("--like says how the csv is to look; give --predict FILE to have it written.")
    file = study_file(study)
    root = data.absolute() if data else None
    chosen = load_study(str(file), data=root)
    if predict is not None:
        folds.predicting(chosen.task)  # before all that is trained for it
    weights = check_weights(chosen, weights)
    entry = last.choose(home.recorded(study, out, storage), trial, None)
    variants = folds.variants_of(chosen.task)
    folder, name = home.folder_of(study, out), home.name_of(study)
    length = epochs or chosen.final_epochs or 5 * chosen.epochs
    console.print(f"trial {entry.number}: {len(variants)} folds x {length} epochs")
    with live.progress(console, "preparing images") as show:
        chosen.task.prepare(show)
    room = home.make_folder(folds.room_of(folder, entry.number, length))
    final = FinalTraining(last.EMA, variants=variants)
    with home.locked(room):
        ledger = last.ledger_of(chosen, name, room, entry, length, 1, variants, "in folds")
        trained(
            ledger,
            room,
            file,
            final,
            data=root,
            workers=workers,
            gpus=gpus_per_trial,
            address=address,
            weights=weights,
        )
        facts = folds.finish(ledger, chosen, room, folder, name, entry, final)
    for place, fact in enumerate(facts):
        console.print(
            f"fold {place}: {named(fact.metric)} {measured(fact.error, fact.unit)} ({fact.seeds[0].weights} weights)"
        )
    mean = sum(fact.error for fact in facts) / len(facts)
    console.print(f"mean of {len(facts)} folds: {measured(mean, facts[0].unit)}")
    target = folds.folder_of(folder, entry.number)
    if predict is not None:
        write_text(predict, folds.predict(chosen, facts, target, str(file), root, like))
        console.print(f"predicted: {predict}", soft_wrap=True)
    console.print(f"Models: {target}", soft_wrap=True)
