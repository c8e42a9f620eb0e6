"""From the best trial to what is handed in: retrain, submit, verify, predict, export."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from data.errors import UserError
from search.cli.ablate import ablate_briefly
from search.cli.options import (
    Address,
    Data,
    Out,
    Storage,
    StudyName,
    Weights,
    complaints,
    console,
    error_limit,
    loading,
    seen,
    write_text,
)
from search.cli.training import Gpus, Length, Trial, Workers, searched_trial, train
from search.format import digits, measured, named

if TYPE_CHECKING:
    from search.after.model import Facts, Loser, Model
    from search.after.training import FixedTraining, Judged, SearchedTrial
    from search.study import Study
    from search.submission.check.checks import Verdict

ModelFolder = Annotated[Path, typer.Argument(help="Folder of a model, as retrain leaves it, or of an unpacked zip.")]
Boxes = Annotated[
    Path | None,
    typer.Option(help="Where objects are: a csv with file, x, y, w, h, perhaps name; or COCO's json."),
]
ModelStudy = Annotated[str | None, typer.Option(help="The model's study, if studies/ has none of its name.")]


def retrain(
    study: StudyName,
    trial: Trial = None,
    best_: Annotated[
        bool, typer.Option("--best", help="The finished trial of the best value (as without it).")
    ] = False,
    best_under: Annotated[
        str | None, typer.Option(help="The best finished trial whose error is below this, e.g. 5 or 5px.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings to choose from, on the validation part.")] = 3,
    top: Annotated[
        int, typer.Option(min=1, help="Try up to so many trials that the search cannot tell apart, and keep the best.")
    ] = 1,
    epochs: Length = None,
    teacher: Annotated[Path | None, typer.Option(help="Folder of a model to learn from as well.")] = None,
    teacher_study: Annotated[str | None, typer.Option(help="The teacher's study, if it is another one.")] = None,
    workers: Workers = None,
    gpus_per_trial: Gpus = None,
    data: Data = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    address: Address = None,
    weights: Weights = None,
) -> None:
    """Train one trial in full with several seeds, side by side, and keep the best; go on where a last run stopped."""
    from search.after import retrain as full

    if trial is not None and (best_ or best_under is not None or top > 1):
        raise UserError("--trial names one trial, --best, --best-under and --top choose others; give one of them.")
    source = searched_trial(study, trial, data, out, storage, weights, under=best_under)
    length = epochs or source.final_epochs
    first, lost = None, None
    if top > 1 and len(sources := rivals(source, length, top, best_under)) > 1:
        source, first, lost = best_of(sources, length, (teacher, teacher_study), (workers, gpus_per_trial, address))
    training = full.full_training(source, length, seeds, teacher, teacher_study, first_seed=0 if first is None else 1)
    console.print(f"trial {source.trial.number}: {seeds} seed{'s' * (seeds > 1)} x {length} epochs")

    def finish(training: FixedTraining) -> Facts:
        return full.finish(training, first, lost)

    trained = first is not None and seeds == 1
    facts = finish(training) if trained else train(training, finish, workers, gpus_per_trial, address)
    show_model(facts, full.model_folder(training))


def rivals(source: SearchedTrial, epochs: int, top: int, under: str | None) -> list[SearchedTrial]:
    """The trials that a full training has to tell apart, the best first; says which."""
    from dataclasses import replace

    from search.after.top import candidates
    from search.results.view import View

    recorded = source.recorded
    if recorded is None:
        return [source]
    view, limit = seen(recorded), error_limit(under, "--best-under", source.study.task.unit)
    if limit is not None:
        below = view.only([e.number for e in view.entries if e.error is not None and e.error < limit])
        search = {name: value for name, value in view.attrs["search"].items() if name != "under"}
        view = View.of(view.name, view.objective, {**view.attrs, "search": search}, below.trials)
    chosen = candidates(recorded, view, source.study, epochs, top, limit)
    numbers = ", ".join(str(entry.number) for entry in chosen)
    if len(chosen) == 1:
        console.print(f"trial {numbers}: no other may be better after {epochs} epochs, as predicted")
    else:
        console.print(
            f"trials {numbers}: the search cannot tell which is the best after {epochs} epochs; one seed each"
        )
    return [replace(source, trial=entry) for entry in chosen]


def best_of(
    sources: list[SearchedTrial],
    epochs: int,
    teacher: tuple[Path | None, str | None],
    where: tuple[int | None, float | None, str | None],
) -> tuple[SearchedTrial, Judged, tuple[Loser, ...]]:
    """Train candidates and say which lost, by what.

    Args:
        sources: the candidates.
        epochs: of a full training.
        teacher: as retrain is given it, and its study.
        where: workers, GPUs and address, as retrain is given them.
    """
    from search.after import top

    number, first, lost = train(top.race(sources, epochs, *teacher), top.winner, *where)
    for loser in lost:
        after = "" if loser.error is None else f"{measured(loser.error, sources[0].study.task.unit)} "
        why = f"failed: {loser.reason}" if loser.behind is None else f"behind by {digits(loser.behind)}"
        console.print(f"trial {loser.trial} lost: {after}after {loser.epochs} of {epochs} epochs, {escape(why)}")
    return next(source for source in sources if source.trial.number == number), first, lost


def show_model(facts: Facts, folder: Path) -> None:
    """Print the errors of all seeds, and what the kept one costs."""
    for place, seed in enumerate(facts.seeds):
        errors = ", ".join(f"{kind} {digits(error)}" for kind, error in seed.errors.items())
        mark = f" [bold]kept: {seed.weights}[/]" if place == 0 else ""
        console.print(f"seed {seed.seed}: {errors} {facts.unit} on the validation part{mark}")
    score = f", score {facts.score:.5g}" if facts.score is not None else ""
    console.print(
        f"{named(facts.metric)} {measured(facts.error, facts.unit)}, {facts.params_count / 1e6:.4g} M, "
        f"{facts.flops / 1e9:.4g} G{score}"
    )
    console.print(f"Model: {folder}", soft_wrap=True)


def submit(
    study: StudyName,
    name: Annotated[str, typer.Option(help="The author, e.g. 'Ada Lovelace'.")],
    test: Annotated[
        Path, typer.Option(help="The test images: a folder of them, or the data set's with evaluation/rgb.")
    ],
    like: Annotated[Path | None, typer.Option(help="The organiser's sample csv, to follow.")] = None,
    boxes: Boxes = None,
    trial: Annotated[
        int | None, typer.Option(min=0, help="Whose models; without it, all. The best on the validation part is taken.")
    ] = None,
    model_: Annotated[
        Path | None, typer.Option("--model", help="Folder of the very model, as retrain leaves it.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The data set, to measure on its validation part.")] = None,
    to: Annotated[Path | None, typer.Option(help="Folder for what is handed in; OUT/STUDY/submission.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Without the brief ablation that is made where the trial has none.")
    ] = False,
    workers: Workers = None,
    out: Out = Path("runs"),
    storage: Storage = None,
) -> None:
    """Answer the test images, print the report, pack the zip; all of it or nothing.

    A study of the course's hands has a notebook in NAME_midterm_project.zip, too, which is run before it is packed;
    one of other points in photographs gives NAME_submission.zip with csv, weights, model.json and report.
    """
    from search import paths
    from search.load import load_study, study_file
    from search.submission.author import file_name

    if trial is not None and model_ is not None:
        raise UserError("--trial names a trial, whose best model is taken, and --model a model; give one of them.")
    file_name(name)
    if to is not None:
        paths.check_writable(to, "--to")
    file, root = str(study_file(study)), data.absolute() if data else None
    loaded = load_study(file, data=root)
    require_points(loaded, study)
    optuna_study = paths.recorded(study, out, storage)
    view, folder = seen(optuna_study), paths.folder_of(study, out)
    with loading():
        from search.after.retrain import load_model
        from search.submission import submit as packing
        from search.submission.report.typeset import unprintable
    under = math.inf if view.goal is None else view.goal.under
    study_id = optuna_study.user_attrs.get("id")
    model, among = load_model(folder, loaded, study_id, number=trial, place=model_, under=under)
    facts = model.facts
    best_ = f", the best of {among} that retrain has kept; --trial or --model names another" if among > 1 else ""
    console.print(
        f"{model.folder.name}: trial {facts.trial}, {facts.epochs} epochs, {facts.error:.4f} {facts.unit} on the "
        f"validation part{best_}",
        soft_wrap=True,
    )
    if not quick:
        seconds = statistics.mean(row["seconds"] for row in model.curves[0])
        number = model.facts.trial
        ablate_briefly(
            lambda: searched_trial(study, number, data, out, storage, None), folder, number, seconds, workers
        )
    done = packing.submit(
        model,
        view,
        name,
        test,
        model.study.task.folder(),
        to or folder / "submission",
        like=like,
        boxes=boxes,
        progress=lambda step: console.print(f"[dim]{escape(step)}[/]"),
    )
    if missing := unprintable(name):
        console.print(
            f"[yellow]no font has {escape(missing)!r}[/], of the author's name: Report.pdf shows a box instead."
        )
    what = "test images" if boxes is None else "objects in test images"
    console.print(f"{done.images:,} {what} answered, report of {done.pages} pages, {done.size_mb:.2f} MB")
    console.print(f"Submission: {done.zip.absolute()}", soft_wrap=True)
    console.print(f"Table for the competition: {done.csv.absolute()}", soft_wrap=True)


def require_points(study: Study, name: str) -> None:
    """Refuse a study whose task says that it finds no points in photographs; others are asked by a picture, later.

    Raises:
        UserError: it finds none.
    """
    task = study.task
    if not (getattr(task, "for_course", False) or task.edges or task.mirrored):
        raise UserError(
            f"submit packs what finds points in photographs, and {name} answers something else; `posefront export` "
            "gives its network and `posefront ensemble --predict FILE` a table, where the task has a test part."
        )


def verify(
    file: Annotated[Path, typer.Argument(help="The zip that submit made.", metavar="ZIP")],
    data: Annotated[Path | None, typer.Option(help="The data set; hands that are drawn are drawn again.")] = None,
    study: Annotated[str | None, typer.Option(help="Its study, if studies/ has none of its name.")] = None,
    test: Annotated[Path | None, typer.Option(help="The test images, to answer them again.")] = None,
    boxes: Boxes = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train again from the recorded seed; takes long.")] = False,
) -> None:
    """Check a submission: each number, cell, picture and page beside what its weights give anew.

    Ends with PASS and exit code 0, with FAIL and 1, or with "PASS with N warnings" and 3: what was not measured, as
    the csv without --test, or is odd and no proof, is named.
    """
    if not file.is_file():
        raise UserError(f"{file} is missing; `posefront submit` writes it.")
    with loading():
        from search.after.retrain import train_again
        from search.submission.check import verify as checks

    verdict = checks.verify(
        file,
        data.absolute() if data else None,
        study=study,
        test=test,
        boxes=boxes,
        retrain=(lambda facts: train_again(facts, study or facts.study, data)) if retrain else None,
        progress=lambda step: console.print(f"[dim]{escape(step)}[/]"),
    )
    show_verdict(verdict)
    if verdict.passed:
        again = "the chosen seed was trained again" if retrain else "--retrain trains the chosen seed again"
        console.print(
            "[dim]Taken from the record, in which it fits together, and not measured: the search's trials, learning "
            f"curves, other seeds, ablations, dates and machines; {again}.[/]",
            soft_wrap=True,
        )
    say_word(verdict)
    if not verdict.passed:
        raise typer.Exit(1)
    if verdict.warnings:
        raise typer.Exit(3)


def show_verdict(verdict: Verdict) -> None:
    """Print a line for each check, and why those failed that did."""
    table, marks = Table("", "claimed", "found", "differs"), []
    for line in verdict.lines:
        mark = "[green]ok[/]" if line.passed else "[yellow]WARNING[/]" if line.warning else "[red]FAIL[/]"
        marks.append(mark)
        table.add_row(
            f"{mark} {escape(line.name)}",
            escape(line.claimed),
            escape(line.measured),
            "" if line.difference_percent is None else f"{line.difference_percent:.3g} %",
        )
    console.print(table)
    for line, mark in zip(verdict.lines, marks, strict=True):
        if not line.passed:
            console.print(f"{mark} {escape(line.message)}", soft_wrap=True)


def say_word(verdict: Verdict) -> None:
    """Print the verdict's word."""
    colour = "red" if not verdict.passed else "yellow" if verdict.warnings else "green"
    console.print(f"[{colour}]{verdict.word}[/]")


def opened(folder: Path, study: str | None) -> Model:
    """The model of a folder as retrain leaves it, or of an unpacked submission."""
    from search.after import model as models

    is_packed = models.is_submission(folder)
    if not is_packed:
        models.read(folder / models.FACTS)  # says no before torch is imported
    with loading():
        from search.submission import unpacked
    return unpacked.load(folder, study) if is_packed else models.load(folder, study)


def predict(
    model: ModelFolder,
    images: Annotated[list[Path], typer.Argument(help="Photographs of any size, or folders of them.")],
    overlay: Annotated[Path | None, typer.Option(help="Folder for the photographs with their skeletons.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Keypoints as a table, pixels of each photograph.")] = None,
    json_: Annotated[
        Path | None, typer.Option("--json", help="Keypoints as JSON; to the screen without either.")
    ] = None,
    boxes: Boxes = None,
    study: ModelStudy = None,
) -> None:
    """Keypoints of any photograph, taken as one object, or of the objects in it."""
    from data.layouts import boxes as layout
    from data.layouts.image_files import photographs

    files = photographs(images)
    objects, notes = (None, ()) if boxes is None else layout.read(boxes, files)
    for note in notes:
        complaints.print(escape(note))  # standard output may be the answer
    loaded = opened(model, study)
    from search.after import predict as predicting

    predictions = predicting.predict(loaded, files, objects)
    if csv is not None:
        write_text(csv, predicting.as_csv(predictions))
    if json_ is not None or (csv is None and overlay is None):
        text = predicting.as_json(predictions, loaded.labels, loaded.edges)
        if json_ is not None:
            write_text(json_, text)
        else:
            typer.echo(text)
    if overlay is not None:
        predicting.overlays(predictions, loaded.edges, overlay)
        count = len({prediction.file for prediction in predictions})
        console.print(f"{count} photograph{'s' * (count > 1)} with skeletons in {overlay}", soft_wrap=True)


def export(
    model: ModelFolder,
    file: Annotated[Path | None, typer.Argument(help="ONNX file; MODEL/model.onnx without it.")] = None,
    study: ModelStudy = None,
) -> None:
    """The deployed network as ONNX, checked against torch.

    There is no TFLite beside it: the kept converters do not install with these packages (litert-torch needs pydantic
    below 2.12, onnx2tf 2 needs Python 3.12 and TensorFlow); onnx2tf in an environment of its own turns the file into
    one.
    """
    loaded = opened(model, study)
    from models import export as exporting

    target = file or model / "model.onnx"
    exported = exporting.onnx(loaded.net, loaded.config.arch.input_shape, target)
    console.print(
        f"ONNX: {target}; its answers differ from torch's by at most {exported.difference:.2g} of a side; opset "
        f"{exported.opset}",
        soft_wrap=True,
    )
