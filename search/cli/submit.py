"""From the best trial to what is handed in: retrain, submit, verify, predict, export."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from data.errors import UserError
from search.cli.options import Out, Storage, StudyName, Weights, console, seen, write_text
from search.cli.training import trained


def retrain(
    study: StudyName,
    trial: Annotated[int | None, typer.Option(min=0, help="A trial of the search; without it, the best one.")] = None,
    best_: Annotated[
        bool, typer.Option("--best", help="The finished trial of the best value (as without it).")
    ] = False,
    best_under: Annotated[
        str | None, typer.Option(help="The best finished trial whose error is below this, e.g. 5 or 5px.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings to choose from, on the validation part.")] = 3,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length; the study's own without it.")] = None,
    teacher: Annotated[Path | None, typer.Option(help="Folder of a model to learn from as well.")] = None,
    teacher_study: Annotated[str | None, typer.Option(help="The teacher's study, if it is another one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Seeds side by side.")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(min=0, help="As for search.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    address: Annotated[str | None, typer.Option(help="An existing Ray cluster, 'auto' or ray://HOST:PORT.")] = None,
    weights: Weights = None,
) -> None:
    """Train one trial in full with several seeds, side by side, and keep the best; go on where a last run stopped."""
    from search import paths as home
    from search.after import retrain as last
    from search.format import digits, measured, named
    from search.load import load_study, study_file
    from search.run import initial, live

    if trial is not None and (best_ or best_under is not None):
        raise UserError("--trial names one trial, --best and --best-under choose another; give one of them.")
    file = study_file(study)
    root = data.absolute() if data else None
    chosen = load_study(str(file), data=root)
    weights = initial.checked(chosen, weights)
    entry = last.choose(home.recorded(study, out, storage), trial, pixels(best_under))
    folder = home.folder_of(study, out)
    length = epochs or chosen.final_epochs or 5 * chosen.epochs
    console.print(f"trial {entry.number}: {seeds} seed{'s' * (seeds > 1)} x {length} epochs")
    with live.progress(console, "preparing images") as show:
        chosen.task.prepare(show)
    room = last.room_of(folder, entry.number, length, teacher)
    with home.locked(room):
        final = last.final(teacher, teacher_study)
        ledger = last.ledger_of(chosen, home.name_of(study), room, entry, length, seeds)
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
        facts = last.finish(ledger, room, folder, home.name_of(study), entry, final)
    for place, seed in enumerate(facts.seeds):
        both = ", ".join(f"{kind} {digits(error)}" for kind, error in seed.errors.items())
        mark = f" [bold]kept: {seed.weights}[/]" if place == 0 else ""
        console.print(f"seed {seed.seed}: {both} {facts.unit} on the validation part{mark}")
    error = f"{named(facts.metric)} {measured(facts.error, facts.unit)}"
    told = f"{error}, {facts.params_count / 1e6:.4g} M, {facts.flops / 1e9:.4g} G"
    console.print(told + (f", score {facts.score:.5g}" if facts.score is not None else ""))
    console.print(f"Model: {last.model_folder(folder, entry.number)}", soft_wrap=True)


def pixels(text: str | None) -> float | None:
    """A limit as '5' or '5px'."""
    if text is None:
        return None
    try:
        return float(text.strip().lower().removesuffix("px"))
    except ValueError as error:
        raise UserError(f"--best-under {text!r} is no number, e.g. 5 or 5px.") from error


def submit(
    study: StudyName,
    name: Annotated[str, typer.Option(help="The author, e.g. 'Ada Lovelace'.")],
    test: Annotated[Path, typer.Option(help="The test images: a folder of them, or FreiHAND's with evaluation/rgb.")],
    like: Annotated[Path | None, typer.Option(help="The organiser's sample csv, to follow.")] = None,
    trial: Annotated[
        int | None, typer.Option(min=0, help="Whose model; without it, the one of the least value.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="FreiHAND's folder, to measure on its validation part.")] = None,
    to: Annotated[Path | None, typer.Option(help="Folder for what is handed in; OUT/STUDY/submission.")] = None,
    out: Out = Path("runs"),
    storage: Storage = None,
) -> None:
    """Answer the test images, run the notebook, print the report, pack the zip; all of it or nothing."""
    from search import paths as home
    from search.after import retrain as last
    from search.load import study_file
    from search.submission import submit as packing

    book = home.recorded(study, out, storage)
    folder = home.folder_of(study, out)
    found = last.trained(folder, trial, str(study_file(study)), data.absolute() if data else None)
    if not getattr(found.study.task, "for_course", False):
        raise UserError(
            f"submit packs what FreiHAND's course wants, and {study} is another task; `posefront export` gives its "
            "network and `posefront ensemble --predict FILE` a table, where the task has a test part."
        )
    console.print(
        f"model of trial {found.facts.trial}: {found.facts.error:.4f} {found.facts.unit} on the validation part"
    )
    done = packing.submit(
        found,
        seen(book),
        name,
        test,
        last.data_of(found),
        to or folder / "submission",
        like=like,
        progress=lambda step: console.print(f"[dim]{escape(step)}[/]"),
    )
    console.print(f"{done.images:,} test images answered, report of {done.pages} pages, {done.size_mb:.2f} MB")
    console.print(f"Submission: {done.zip.absolute()}", soft_wrap=True)
    console.print(f"Table for the competition: {done.csv.absolute()}", soft_wrap=True)


def verify(
    file: Annotated[Path, typer.Argument(help="The zip that submit made.", metavar="ZIP")],
    data: Annotated[Path | None, typer.Option(help="FreiHAND's folder; drawn hands are drawn again.")] = None,
    study: Annotated[str | None, typer.Option(help="Its study, if studies/ has none of its name.")] = None,
    test: Annotated[Path | None, typer.Option(help="The test images, to answer them again.")] = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train again from the recorded seed; takes long.")] = False,
) -> None:
    """Check a submission: its rules, weights, numbers and table, each against a new measurement, within 1 per cent."""
    from search.after import retrain as last
    from search.submission import verify as verifying

    again = (lambda facts: last.again(facts, study or facts.study, data)) if retrain else None
    verdict = verifying.verify(file, data.absolute() if data else None, study=study, test=test, retrain=again)
    table = Table("", "claimed", "found", "differs")
    for line in verdict.lines:
        table.add_row(
            f"{'[green]ok[/]' if line.passed else '[red]FAIL[/]'} {escape(line.name)}",
            escape(line.claimed),
            escape(line.measured),
            "" if line.difference_percent is None else f"{line.difference_percent:.3g} %",
        )
    console.print(table)
    for line in verdict.lines:
        if not line.passed:
            console.print(f"[red]FAIL[/] {escape(line.message)}", soft_wrap=True)
    console.print("[green]PASS[/]" if verdict.passed else "[red]FAIL[/]")
    if not verdict.passed:
        raise typer.Exit(1)


def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a model, as retrain leaves it.")],
    images: Annotated[list[Path], typer.Argument(help="Photographs of any size, or folders of them.")],
    overlay: Annotated[Path | None, typer.Option(help="Folder for the photographs with their skeletons.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Keypoints as a table, pixels of each photograph.")] = None,
    json_: Annotated[
        Path | None, typer.Option("--json", help="Keypoints as JSON; to the screen without either.")
    ] = None,
    study: Annotated[str | None, typer.Option(help="The model's study, if studies/ has none of its name.")] = None,
) -> None:
    """Keypoints of any photograph."""
    from search.after import model as models
    from search.after import predict as predicting

    found = models.load(model, study)
    files = predicting.photographs(images)
    predictions = predicting.predict(found, files)
    task = found.study.task
    if csv is not None:
        write_text(csv, predicting.as_csv(predictions))
    if json_ is not None or csv is None:
        text = predicting.as_json(predictions, task.labels, task.edges)
        if json_ is not None:
            write_text(json_, text)
        elif overlay is None:
            typer.echo(text)
    if overlay is not None:
        predicting.overlays(predictions, task.edges, overlay)
        console.print(f"{len(predictions)} photographs with skeletons in {overlay}", soft_wrap=True)


def export(
    model: Annotated[Path, typer.Argument(help="Folder of a model, as retrain leaves it.")],
    file: Annotated[Path | None, typer.Argument(help="ONNX file; MODEL/model.onnx without it.")] = None,
    study: Annotated[str | None, typer.Option(help="The model's study, if studies/ has none of its name.")] = None,
) -> None:
    """The deployed network as ONNX, checked against torch."""
    from models import export as exporting
    from search.after import model as models

    found = models.load(model, study)
    target = file or model / "model.onnx"
    largest = exporting.onnx(found.net, found.config.arch.input_shape, target)
    console.print(f"ONNX: {target}; its answers differ from torch's by at most {largest:.2g} of a side", soft_wrap=True)
