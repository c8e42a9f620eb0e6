"""One configuration trained once a fold, and all folds' models together: ensemble."""

from pathlib import Path
from typing import Annotated

import typer

from data.errors import UserError
from search.cli.options import Address, Data, Out, Storage, StudyName, Weights, console, write_text
from search.cli.training import Gpus, Length, Trial, Workers, searched_trial, train
from search.format import measured, named


def ensemble(
    study: StudyName,
    trial: Trial = None,
    epochs: Length = None,
    predict: Annotated[Path | None, typer.Option(help="A csv to write: the test part, by all folds together.")] = None,
    like: Annotated[Path | None, typer.Option(help="The organiser's sample csv, to follow.")] = None,
    workers: Workers = None,
    gpus_per_trial: Gpus = None,
    data: Data = None,
    weights: Weights = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    address: Address = None,
) -> None:
    """Train one trial in full once a fold, and predict the test part by the mean of all; go on where it stopped."""
    from search.after import ensemble as folds

    if like is not None and predict is None:
        raise UserError("--like says how the csv is to look; give --predict FILE to have it written.")
    check = folds.folds_of if predict is None else folds.predicting  # before all that is trained for it
    source = searched_trial(study, trial, data, out, storage, weights, check=lambda loaded: check(loaded.task))
    number, length = source.trial.number, epochs or source.final_epochs
    training = folds.folds_training(source, length)
    console.print(f"trial {number}: {len(training.variants)} folds x {length} epochs")
    facts = train(training, folds.finish, workers, gpus_per_trial, address)
    for place, fold in enumerate(facts):
        error = measured(fold.error, fold.unit)
        console.print(f"fold {place}: {named(fold.metric)} {error} ({fold.seeds[0].weights} weights)")
    mean = sum(fold.error for fold in facts) / len(facts)
    console.print(f"mean of {len(facts)} folds: {measured(mean, facts[0].unit)}")
    if predict is not None:
        write_text(predict, folds.predict(training, like))
        console.print(f"predicted: {predict}", soft_wrap=True)
    console.print(f"Models: {folds.ensemble_folder(training)}", soft_wrap=True)
