"""The command `posefront`: one function a word."""

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.errors import Mistake

app = typer.Typer(
    help="Find the smallest network that still sees a hand well.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)
data_app = typer.Typer(help="Draw, check and measure data sets in FreiHAND's layout.", no_args_is_help=True)
app.add_typer(data_app, name="data")

console = Console(highlight=False, width=None if sys.stdout.isatty() else 180)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)

StudyName = Annotated[str, typer.Argument(help="A study of studies/ by its name, or the path of a .py file.")]
Out = Annotated[Path, typer.Option("--out", help="Folder that holds a folder for each study.")]
Storage = Annotated[
    str | None, typer.Option("--storage", help="Any Optuna database URL instead of OUT/STUDY/study.db.")
]
Studies = Annotated[
    list[str] | None,
    typer.Argument(
        help="Studies by name or file; none for all that OUT, or the --storage, holds.", metavar="[STUDY]..."
    ),
]
WIDE = 130
"""Columns from which the leaderboard shows parameters."""

DataSet = Annotated[
    Path,
    typer.Argument(help="A folder in FreiHAND's layout: training/rgb, training_K.json, training_xyz.json."),
]


@app.command()
def search(
    study: StudyName,
    trials: Annotated[int | None, typer.Option(min=1, help="Finished trials the study is to have.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Stop after so long; the same command goes on.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Length of a full trial.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Trials side by side.")] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(min=0, help="A fraction lets trials share a GPU, e.g. 0.25; 0 trains on the CPU."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    address: Annotated[str | None, typer.Option(help="An existing Ray cluster, 'auto' or ray://HOST:PORT.")] = None,
) -> None:
    """Search: sample, train side by side, stop early what falls behind; go on where the last run stopped."""
    from search import engine, home, live
    from search.ledger import Ledger, open_storage
    from search.load import load_study, study_file

    file = study_file(study)
    root = data.absolute() if data else None
    chosen = load_study(str(file), trials=trials, epochs=epochs, seed=seed, data=root)
    folder = home.folder_of(study, out)
    with home.locked(folder):
        with live.progress(console, "preparing images") as show:
            chosen.task.prepare(show)
        storage_ = open_storage(home.url_of(folder, storage))
        ledger = Ledger(chosen, home.name_of(study), storage_, chosen.task.identity())
        adopted = ledger.adopt()
        if ledger.finished or adopted:
            console.print(f"going on: {ledger.finished} trials finished, {adopted} interrupted ones taken up again")
        if ledger.finished >= chosen.trials:
            console.print(f"{ledger.finished} of {chosen.trials} trials are finished; --trials asks for more.")
            summarise(study, out, storage, chosen)
            return
        console.print("starting the workers (their first trial takes some seconds to begin)")
        with live.watched(console, ledger) as view:
            outcome = engine.search(
                ledger,
                file,
                folder,
                data=root,
                workers=workers,
                gpus=gpus_per_trial,
                address=address,
                hours=hours,
                watch=view,
            )
    devices = outcome.devices
    console.print(
        f"{devices.workers} at a time on {devices.cpus:g} CPU and {devices.gpus:g} GPU each: start-up "
        f"{outcome.startup_s:.0f} s, search {outcome.search_s:.0f} s, of which trained "
        f"{outcome.trained_s / devices.workers:.0f} s a worker"
    )
    summarise(study, out, storage, chosen)
    if outcome.why:
        cause = f"--hours {hours:g} are over" if outcome.why == "time" else f"stopped by {outcome.why}"
        console.print(f"[yellow]{cause}[/]; trials in training: {outcome.waiting}. The same command goes on with them.")
        if outcome.why != "time":
            raise typer.Exit(130)


def summarise(study: str, out: Path, storage: str | None, chosen: Any) -> None:
    """The board, the baseline beside the best error, and the Pareto page."""
    from search import home, pareto
    from search.leaderboard import entries

    book = home.recorded(study, out, storage)
    found = entries(book.get_trials(deepcopy=False), book.user_attrs["metric"])
    console.print(board(found, book.user_attrs["unit"], 10))
    finished = [(entry.error, entry.number) for entry in found if entry.state == "finished" and entry.error is not None]
    if finished:
        mean, (least, number_) = chosen.task.baseline(), min(finished)
        unit = chosen.task.unit
        console.print(
            f"always answering the mean: {mean:.2f} {unit}; smallest error: {least:.2f} {unit} (trial {number_}), "
            f"{least / mean:.0%} of it"
        )
    page = home.folder_of(study, out) / "pareto.html"
    pareto.write(seen(book), page)
    console.print(f"Pareto page: {page}")


def seen(book: Any) -> Any:
    """A study of Optuna's as the pages see it."""
    from search.dashboard.view import View

    return View.of(
        book.study_name, (book.metric_names or ["value"])[0], book.user_attrs, book.get_trials(deepcopy=False)
    )


@app.command()
def best(
    study: StudyName,
    out: Out = Path("runs"),
    storage: Storage = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Lines of the table.")] = 20,
    all_states: Annotated[bool, typer.Option("--all", help="Also trials stopped, failed, refused, running.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Every trial, as JSON.")] = False,
) -> None:
    """The leaderboard, Pareto-optimal trials marked, and the Pareto page anew."""
    from search import home, pareto
    from search.leaderboard import entries

    book = home.recorded(study, out, storage)
    found = entries(book.get_trials(deepcopy=False), book.user_attrs["metric"])
    if as_json:
        typer.echo(
            json.dumps(
                [asdict(entry) for entry in found if all_states or entry.state == "finished"], indent=1, default=str
            )
        )
        return
    console.print(
        board(
            found if all_states else [e for e in found if e.state == "finished"],
            book.user_attrs["unit"],
            count,
        )
    )
    page = home.folder_of(study, out) / "pareto.html"
    pareto.write(seen(book), page)
    console.print(f"Pareto page: {page}")


@app.command()
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
) -> None:
    """Train one trial in full with several seeds, side by side, and keep the best; go on where a last run stopped."""
    from search import home, live
    from search import retrain as last
    from search.load import load_study, study_file

    if trial is not None and (best_ or best_under is not None):
        raise Mistake("--trial names one trial, --best and --best-under choose another; give one of them.")
    file = study_file(study)
    root = data.absolute() if data else None
    chosen = load_study(str(file), data=root)
    entry = last.choose(home.recorded(study, out, storage), trial, pixels(best_under))
    folder = home.folder_of(study, out)
    length = epochs or chosen.final_epochs or 5 * chosen.epochs
    console.print(f"trial {entry.number}: {seeds} seeds x {length} epochs")
    with live.progress(console, "preparing images") as show:
        chosen.task.prepare(show)
    room = last.room_of(folder, entry.number, length, teacher)
    with home.locked(room):
        final = last.final(teacher, teacher_study)
        ledger = last.ledger_of(chosen, home.name_of(study), room, entry, length, seeds)
        with live.watched(console, ledger) as view:
            outcome = last.train(
                ledger,
                room,
                file,
                final,
                data=root,
                workers=workers,
                gpus=gpus_per_trial,
                address=address,
                watch=view,
            )
        if outcome is not None and outcome.why:
            console.print(f"[yellow]stopped by {outcome.why}[/]; the same command goes on.")
            raise typer.Exit(130)
        facts = last.finish(ledger, room, folder, home.name_of(study), entry, final)
    for place, seed in enumerate(facts.seeds):
        both = ", ".join(f"{kind} {error:.3f}" for kind, error in seed.errors.items())
        mark = " [bold]kept[/]" if place == 0 else ""
        console.print(f"seed {seed.seed}: {both} {facts.unit} on the validation part{mark}")
    told = f"{facts.metric} {facts.error:.4f} {facts.unit}, {facts.params_count / 1e6:.4g} M, {facts.flops / 1e9:.4g} G"
    console.print(told + (f", score {facts.score:.5g}" if facts.score is not None else ""))
    console.print(f"Model: {last.model_folder(folder, entry.number)}", soft_wrap=True)


def pixels(text: str | None) -> float | None:
    """A limit as '5' or '5px'."""
    if text is None:
        return None
    try:
        return float(text.strip().lower().removesuffix("px"))
    except ValueError as error:
        raise Mistake(f"--best-under {text!r} is no number, e.g. 5 or 5px.") from error


@app.command()
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
    from search import home
    from search import retrain as last
    from search.load import study_file
    from search.submission import bundle

    book = home.recorded(study, out, storage)
    folder = home.folder_of(study, out)
    found = last.trained(folder, trial, str(study_file(study)), data.absolute() if data else None)
    console.print(
        f"model of trial {found.facts.trial}: {found.facts.error:.4f} {found.facts.unit} on the validation part"
    )
    done = bundle.submit(
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


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The zip that submit made.", metavar="ZIP")],
    data: Annotated[Path | None, typer.Option(help="FreiHAND's folder; drawn hands are drawn again.")] = None,
    study: Annotated[str | None, typer.Option(help="Its study, if studies/ has none of its name.")] = None,
    test: Annotated[Path | None, typer.Option(help="The test images, to answer them again.")] = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train again from the recorded seed; takes long.")] = False,
) -> None:
    """Check a submission: its rules, weights, numbers and table, each against a new measurement, within 1 per cent."""
    from search import retrain as last
    from search.submission import verify as verifying

    again = (lambda facts: last.again(facts, study or facts.study, data)) if retrain else None
    verdict = verifying.verify(file, data.absolute() if data else None, study=study, test=test, retrain=again)
    table = Table("", "claimed", "found", "differs")
    for line in verdict.lines:
        table.add_row(
            f"{'[green]ok[/]' if line.passed else '[red]FAIL[/]'} {escape(line.name)}",
            escape(line.claimed),
            escape(line.found),
            "" if line.difference_percent is None else f"{line.difference_percent:.3g} %",
        )
    console.print(table)
    for line in verdict.lines:
        if not line.passed:
            console.print(f"[red]FAIL[/] {escape(line.said)}", soft_wrap=True)
    console.print("[green]PASS[/]" if verdict.passed else "[red]FAIL[/]")
    if not verdict.passed:
        raise typer.Exit(1)


@app.command()
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
    from search import model as models
    from search import predict as predicting

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


def write_text(file: Path, text: str) -> None:
    """Write a whole file or nothing."""
    from search.atomic import replacing

    try:
        with replacing(file) as half:
            half.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Mistake(f"cannot write {file} ({error.strerror}); name another file.") from error


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="Folder of a model, as retrain leaves it.")],
    file: Annotated[Path | None, typer.Argument(help="ONNX file; MODEL/model.onnx without it.")] = None,
    study: Annotated[str | None, typer.Option(help="The model's study, if studies/ has none of its name.")] = None,
) -> None:
    """The deployed network as ONNX, checked against torch."""
    from models import export as exporting
    from search import model as models

    found = models.load(model, study)
    target = file or model / "model.onnx"
    largest = exporting.onnx(found.net, found.config.arch.input_shape, target)
    console.print(f"ONNX: {target}; its answers differ from torch's by at most {largest:.2g} of a side", soft_wrap=True)


@app.command()
def dashboard(
    studies: Studies = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
) -> None:
    """Watch a running or finished search in the browser, Optuna's own pages beside ours; nothing is ever written."""
    from search.dashboard import server
    from search.dashboard.source import sources

    found = sources(studies or [], out, storage)

    def ready(url: str) -> None:
        console.print(f"{', '.join(source.name for source in found)}: {url}", soft_wrap=True)
        console.print(f"Optuna's own pages: {url}dashboard. Ctrl-C ends this; a search goes on.", soft_wrap=True)
        if host not in server.LOCAL:
            complaints.print(f"[yellow]everyone who reaches {host} can read these studies[/]; there is no password.")

    server.serve(found, host, port, ready)


@app.command()
def report(
    studies: Studies = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    file: Annotated[Path | None, typer.Option(help="Instead of OUT/STUDY/report.html.")] = None,
) -> None:
    """The dashboard's pages as one file that opens offline, with the best trials' own pages."""
    from search.dashboard import report as paper
    from search.dashboard.source import sources

    found = sources(studies or [], out, storage)
    page = file or found[0].folder / "report.html"
    count = paper.write(found, page)
    console.print(f"Report: {page.absolute()} (pages of {count} trials)", soft_wrap=True)


def board(found: list[Any], unit: str, count: int) -> Table:
    """The leaderboard as a table; a star marks a Pareto-optimal trial. A narrow terminal goes without parameters."""
    from search.live import STYLES, brief

    wide = console.width >= WIDE
    scored = any(entry.score is not None for entry in found)
    note = "* no finished trial is both cheaper and more exact"
    table = Table(
        title=f"best {min(count, len(found))} of {len(found)} trials",
        caption=note if wide else f"{note}; a wider window adds parameters",
    )
    for column in ("", "trial", *(("score", "band") if scored else ("value",)), "P [M]", "F [G]", f"error \\[{unit}]"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("epochs", justify="right")
    table.add_column("state")
    if wide:
        table.add_column("parameters", overflow="fold")
    for entry in found[:count]:
        value = (number(entry.score), entry.band) if scored else (number(entry.value),)
        table.add_row(
            "*" if entry.pareto else "",
            f"{entry.number}" + (f" {escape(entry.name)}" if entry.name else ""),
            *value,
            number(entry.params_m),
            number(entry.gflops),
            "" if entry.error is None else f"{entry.error:.3f}",
            str(entry.epochs),
            f"[{STYLES[entry.state]}]{entry.state}[/]" if entry.state in STYLES else entry.state,
            *((escape(brief(entry.params)),) if wide else ()),
        )
    return table


def number(value: float | None) -> str:
    """Four significant digits."""
    return "" if value is None else f"{value:.4g}"


@app.command()
def score(
    params_m: Annotated[float, typer.Option(help="Parameters, millions.")],
    gflops: Annotated[float, typer.Option(help="Multiply-adds of one image, thousands of millions.")],
    pixel_diff: Annotated[float, typer.Option(help="Mean distance, pixels of the 224 x 224 image.")],
) -> None:
    """The course's score of a network: Params [M] x FLOPs [G] x e^PixelDiff, smaller is better."""
    from search import score as scoring

    try:
        log = scoring.log_score(params_m, gflops, pixel_diff)
    except ValueError as error:
        raise Mistake(f"{error}.") from error
    exact = scoring.score(log)
    typer.echo(f"score {f'e^{log:.9g}' if exact is None else f'{exact:.10g}'}, PixelDiff {scoring.band(pixel_diff)}")


@app.command()
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
    from search import home, price
    from search.load import load_study, study_file

    if trial is not None and start is not None:
        raise Mistake("--trial and --start name two networks; give one of them.")
    chosen = load_study(str(study_file(study)))
    recorded = home.recorded(study, out, storage) if trial is not None else None
    params = price.parameters(chosen, recorded, trial, start, values or [])
    console.print(price.table(chosen, params))


@data_app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="A folder to make; it must not exist or be empty.")],
    count: Annotated[int, typer.Option(min=1, help="Images.")] = 4000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same hands on every machine.")] = 0,
    difficulty: Annotated[float, typer.Option(min=0, max=1, help="0: one view of an upright hand; 1: any view.")] = 0.3,
) -> None:
    """Draw hands with their 21 joints, in FreiHAND's layout."""
    from data.drawn import Drawn
    from data.drawn import synth as draw
    from search import live

    with live.progress(console, "drawing hands") as show:
        draw(Drawn(count=count, seed=seed, difficulty=difficulty), folder, show)
    console.print(f"{count} hands drawn into {folder}")


@data_app.command()
def check(folder: DataSet) -> None:
    """Name every missing, unreadable, truncated or mis-shaped file and every impossible annotation."""
    from data import inspect
    from search import live

    with live.progress(console, "checking images") as show:
        report = inspect.check(folder, show)
    for problem in report.problems:
        console.print(escape(f"{problem.severity}: {problem.where}: {problem.kind}, {problem.detail}"), soft_wrap=True)
    console.print(escape(str(report)), soft_wrap=True)
    if not report.sound:
        raise typer.Exit(1)


@data_app.command()
def stats(folder: DataSet) -> None:
    """Per-channel mean and std, keypoint spread, and the error of always answering the mean hand."""
    from data import inspect
    from search import live

    with live.progress(console, "measuring images") as show:
        found = inspect.stats(folder, show)
    table = Table("", "value", title=f"{found.images} images of {found.hands} hands", show_header=False)
    table.add_row("mean of red, green, blue (0 to 1)", triple(found.mean, 4))
    table.add_row("std of red, green, blue (0 to 1)", triple(found.std, 4))
    table.add_row("middle of all joints, x y \\[px]", triple(found.centre, 1))
    table.add_row("std of all joints, x y \\[px]", triple(found.spread, 1))
    for joint, spread in enumerate(found.joint_spread):
        table.add_row(f"std of joint {joint}, x y \\[px]", triple(spread, 1))
    table.add_row("mean hand, on all hands \\[px]", f"{found.mean_hand_px:.2f}")
    table.add_row("mean hand of the training part, on the validation part \\[px]", f"{found.valid_mean_hand_px:.2f}")
    console.print(table)


def triple(values: Iterable[float], digits: int) -> str:
    """Numbers in a row."""
    return "  ".join(f"{value:.{digits}f}" for value in values)


def main(run: Callable[..., Any] = app) -> None:
    """Run the command; a user's mistake ends in one sentence and exit code 2, Ctrl-C in exit code 130."""
    warnings.filterwarnings("ignore", module="(ray|optuna|fvcore|torch|timm)")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    try:
        run()
    except Mistake as mistake:
        complaints.print(f"[red]posefront:[/] {escape(str(mistake))}")
        sys.exit(2)
    except KeyboardInterrupt:
        complaints.print("stopped; the same command goes on where this one was.")
        sys.exit(130)
