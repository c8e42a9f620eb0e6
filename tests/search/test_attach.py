"""What a search attaches, read back by Optuna's own dashboard and Optuna's own functions."""

import base64
import io
import itertools
import json
import logging
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import numpy as np
import optuna
import optuna_dashboard
import pytest
import torch
from markdown_it import MarkdownIt
from optuna.artifacts import FileSystemArtifactStore, download_artifact, get_all_artifact_meta
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import BaseTrial
from optuna_dashboard import get_note
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from PIL import Image

from data.storage.pack import Part
from models.net import Arch
from search.results import answers, skeleton
from search.results import example_sheet as sheet
from search.results.view import View
from search.run import attachments as attach
from search.run.attachments import Attachments
from search.run.note import OWN, code, note
from search.run.state.ledger import ROW, Ledger, open_storage
from search.run.training import checkpoint as weights
from search.study import Config, Study, Training

HOSTILE = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) ``| `"


@dataclass(frozen=True)
class Dots:
    """A task of three joined points, whose pictures are flat."""

    metric: str = "pixel_diff"
    unit: str = "px"
    each_unit: str = "px"
    labels: tuple[str, ...] = ("a", "b", HOSTILE)
    edges: tuple[tuple[int, int], ...] = ((0, 1), (1, 2))
    root: Path | None = None

    def errors(self, outputs: Any, part: Part) -> Any:
        return 224 * np.hypot(*np.moveaxis(outputs.astype(np.float64) - part.targets, -1, 0))

    def caption(self, output: Any, target: Any) -> str:  # noqa: ARG002
        return ""

    def picture(self, row: int) -> Any:  # noqa: ARG002
        return np.full((32, 32, 3), 128, np.uint8)


def space(trial: BaseTrial, _: Any) -> Config:
    arch = Arch(points=3, width=trial.suggest_float("width", 0.1, 0.5), stride=32, size=32, head="direct", neck=0)
    return Config(arch, Training(lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True)))


STUDY = Study(Dots(), space, trials=9, epochs=2, keep=2, bounds={"params_m": 6})  # type: ignore[arg-type]
FILE = Path("/somewhere/my study.py")


@pytest.fixture(params=["sqlite", "journal"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], BaseStorage]:
    if request.param == "sqlite":
        return lambda: open_storage(f"sqlite:///{tmp_path}/study.db")
    return lambda: JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(STUDY, "book", open_storage("sqlite:///:memory:"))


def trained(book: Ledger, folder: Path, errors: tuple[float, float]) -> int:
    """A trial that has had both its epochs, with what its worker writes; not told yet."""
    asked = book.ask()
    assert asked is not None
    number = asked.number
    for epoch, error in enumerate(errors, 1):
        book.report(number, dict.fromkeys(ROW, 1.0) | {"epoch": epoch, "error": error})
    points = np.random.default_rng(number).random((20, 3, 2)).astype(np.float32)
    valid = Part(np.zeros((20, 1, 1, 3), np.uint8), np.arange(20), points)
    found = answers.of(STUDY.task, points + np.float32(errors[-1] / 224 / 2**0.5), valid, 2)
    answers.save_pictures(found, STUDY.task, folder)
    answers.save(found, folder, number)
    net = {"w": torch.full((2,), float(number))}
    weights.save({"epoch": 2, "net": net, "ema": {}}, weights.path(folder / "weights", number))
    return number


def finished(attachments: Attachments, book: Ledger, folder: Path, error: float) -> int:
    number = trained(book, folder, (2 * error, error))
    attachments.finish(number)
    book.finish(number)
    attachments.keep_up()
    return number


def files(book: Ledger, number: int) -> list[str]:
    trial = book.optuna_study.trials[number]
    return sorted(meta.filename for meta in get_all_artifact_meta(trial, storage=book._storage))


def whole(number: int) -> list[str]:
    return [f"answers-{number}.json", f"examples-{number}.png", f"weights-{number}.pt"]


def get(app: Any, path: str) -> tuple[str, bytes]:
    environ: dict[str, Any] = {"PATH_INFO": path, "wsgi.errors": io.StringIO()}
    setup_testing_defaults(environ)
    told: list[str] = []
    body = app(environ, lambda status, _headers, _error=None: told.append(status))
    content = b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return told[0], content


def test_the_dashboard_shows_note_figure_and_files(storage: Callable[[], BaseStorage], tmp_path: Path) -> None:
    book = Ledger(STUDY, HOSTILE, storage())
    attachments = Attachments(book, FILE, tmp_path)
    attachments.begin()
    assert "## Best trials" not in get_note(book.optuna_study)
    assert not get_plotly_graph_objects(book._storage.get_study_system_attrs(book.optuna_study._study_id))
    numbers = [finished(attachments, book, tmp_path, error) for error in (9.0, 5.0, 7.0)]
    assert numbers == [0, 1, 2]
    attachments.end()

    def seen() -> Any:
        fresh = storage()  # as another process reads it
        study = optuna.load_study(study_name=HOSTILE, storage=fresh)
        plots = get_plotly_graph_objects(fresh.get_study_system_attrs(study._study_id))
        metas = [get_all_artifact_meta(trial, storage=fresh) for trial in study.trials]
        return get_note(study), plots, metas

    text, plots, metas = seen()
    assert list(plots) == ["pareto"]
    figure = json.loads(plots["pareto"])
    drawn = next(trace for trace in figure["data"] if trace["name"].startswith("finished"))
    y = drawn["y"]  # a typed array is written as base64
    values = np.frombuffer(base64.b64decode(y["bdata"]), y["dtype"]).tolist() if "bdata" in y else y
    assert sorted(values) == [5.0, 7.0, 9.0]
    assert text.split("## Best trials")[1].splitlines()[4].startswith(f"| {book.optuna_study.best_trial.number} | ")
    store = FileSystemArtifactStore(tmp_path / "artifacts")
    for number, trial in enumerate(metas):
        assert sorted(meta.filename for meta in trial) == whole(number)
        for meta in trial:
            download_artifact(
                artifact_store=store, artifact_id=meta.artifact_id, file_path=str(tmp_path / meta.filename)
            )
        kept = torch.load(tmp_path / f"weights-{number}.pt", weights_only=True)
        assert kept["w"].tolist() == [number, number]
        assert (tmp_path / f"answers-{number}.json").read_bytes() == answers.file(tmp_path, number).read_bytes()
        with Image.open(tmp_path / f"examples-{number}.png") as image:
            assert image.format == "PNG"
            assert 900 < image.width < 1600
            assert 700 < image.height < 1200

    app = optuna_dashboard.wsgi(storage(), artifact_store=store)
    status, said = get(app, f"/api/studies/{book.optuna_study._study_id}")
    assert status.startswith("200")
    detail = json.loads(said)
    assert detail["note"]["body"] == text
    assert [plot["id"] for plot in detail["plotly_graph_objects"]] == ["pareto"]
    for trial in detail["trials"]:
        assert sorted(shown["filename"] for shown in trial["artifacts"]) == whole(trial["number"])
        for shown in trial["artifacts"]:
            status, content = get(
                app, f"/artifacts/{book.optuna_study._study_id}/{trial['trial_id']}/{shown['artifact_id']}"
            )
            assert status.startswith("200")
            assert content == (tmp_path / shown["filename"]).read_bytes()

    # A second run of the same search adds nothing.
    attachments = Attachments(Ledger(STUDY, HOSTILE, storage()), FILE, tmp_path)
    attachments.begin()
    attachments.end()
    assert seen() == (text, plots, metas)
    assert len(list((tmp_path / "artifacts").iterdir())) == 9


@pytest.mark.parametrize("lost", [False, True])
def test_a_trial_attached_and_then_interrupted_has_each_file_once(
    storage: Callable[[], BaseStorage], tmp_path: Path, lost: bool
) -> None:
    dead = Ledger(STUDY, "book", storage())
    number = trained(dead, tmp_path, (8.0, 4.0))
    Attachments(dead, FILE, tmp_path).finish(number)  # killed here
    artifacts = tmp_path / "artifacts"
    ids = {file.name for file in artifacts.iterdir()}
    if lost:  # killed while a file was written: its name is known already
        for file in artifacts.iterdir():
            file.unlink()
        (artifacts / ".new").mkdir()
        (artifacts / ".new" / "leftover").touch()

    book = Ledger(STUDY, "book", storage())
    assert book.adopt() == 1
    asked = book.ask()
    assert asked is not None
    assert asked.number == number
    Attachments(book, FILE, tmp_path).finish(number)
    book.finish(number)
    assert files(book, number) == whole(number)
    assert {file.name for file in artifacts.iterdir()} == ids
    assert {file.stat().st_size > 0 for file in artifacts.iterdir()} == {True}


def test_weights_are_attached_to_the_best_few_as_things_stand(ledger: Ledger, tmp_path: Path) -> None:
    attachments = Attachments(ledger, FILE, tmp_path)
    for error in (9.0, 8.0, 20.0, 1.0):
        number = finished(attachments, ledger, tmp_path, error)
        expected = whole(number) if error != 20.0 else whole(number)[:2]
        assert files(ledger, number) == expected


def test_nothing_that_fails_ends_the_search_and_it_is_said_once(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attachments = Attachments(ledger, FILE, tmp_path)
    (tmp_path / "artifacts").touch()  # a file where the folder should be
    with caplog.at_level(logging.WARNING):
        for error in (3.0, 4.0):
            finished(attachments, ledger, tmp_path, error)
    assert len(caplog.records) == 1
    assert "attaching the files of trial 0 failed (" in caplog.text
    assert "the search goes on" in caplog.text
    assert ledger.finished == 2
    (tmp_path / "artifacts").unlink()
    answers.file(tmp_path, trained(ledger, tmp_path, (2.0, 2.0))).write_text("{")
    attachments.finish(2)
    assert files(ledger, 2) == [whole(2)[0], whole(2)[2]]  # what can be attached is


def test_the_figure_takes_a_hundredth_of_the_time_at_most(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, drawn = [1000.0], []

    def draw(_: Attachments) -> None:
        drawn.append(now[0])
        now[0] += 5.0

    monkeypatch.setattr(attach.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Attachments, "_plot", draw)
    attachments = Attachments(ledger, FILE, tmp_path)
    while now[0] < 5000:
        now[0] += 1.0
        attachments.keep_up()
    assert drawn[0] == 1060.0
    assert {b - a for a, b in itertools.pairwise(drawn)} == {505.0}


def view(count: int) -> View:
    rng = np.random.default_rng(count)
    trials = []
    for number in range(count):
        params_m, error = rng.uniform(0.1, 3), rng.uniform(3, 30)
        attrs = {"params_m": params_m, "gflops": 1.0, "pixel_diff": error, "epochs": 2}
        trial = optuna.create_trial(
            values=[float(np.log(params_m) + error)],
            user_attrs=attrs,
            intermediate_values={2: np.log(params_m) + error},
        )
        trial.number = number
        trials.append(trial)
    return View.of("many", "value", {"metric": "pixel_diff"}, trials)


def test_large_studies_show_front_best_and_newest() -> None:
    small = view(300)
    assert attach.thinned(small) is small
    many = view(2000)
    plane = [(entry.params_m or 0, entry.error or 0, entry.number) for entry in many.entries]
    front = {n for x, y, n in plane if not any(a <= x and b <= y and (a, b) != (x, y) for a, b, _ in plane)}
    best = {trial.number for trial in sorted(many.trials, key=lambda trial: trial.values[0])[:200]}
    shown = {entry.number for entry in attach.thinned(many).entries}
    assert shown == front | best | set(range(1900, 2000))


def test_what_a_study_says_is_text_in_its_note(tmp_path: Path) -> None:
    task = Dots(metric=HOSTILE, unit=HOSTILE)
    study = replace(STUDY, task=task, starts={HOSTILE: {"width": 0.2, "lr": 1e-3}})  # type: ignore[arg-type]
    book = Ledger(study, HOSTILE + "\n# big", open_storage("sqlite:///:memory:"))
    book.finish(trained(book, tmp_path, (2.0, 1.0)))
    tokens = MarkdownIt("commonmark").enable("table").parse(note(book, Path(f"/x/{HOSTILE}\n\n# big.py"), tmp_path))
    inner = [part for token in tokens for part in token.children or []]
    assert not {"html_block", "html_inline", "link_open", "image"} & {token.type for token in [*tokens, *inner]}
    spans = [part.content for part in inner if part.type == "code_inline"]
    assert spans.count(" ".join(HOSTILE.replace("|", "\u2223").split())) >= 3
    assert len([token for token in tokens if token.type == "td_open"]) == 6
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h1", *["h2"] * 4]


@pytest.mark.parametrize("text", ["a", "`", "``", "a``b`", "`a", "<b>", "a  b\nc", "", "\\`", "&lt;"])
def test_code_is_the_text_itself(text: str) -> None:
    (span,) = MarkdownIt("commonmark").parse(f"x {code(text)} y")[1].children[1:-1]  # type: ignore[index]
    assert span.type == "code_inline"
    assert span.content == (" ".join(text.split()) or "-")


def test_what_a_person_writes_into_the_note_stays(ledger: Ledger, tmp_path: Path) -> None:
    optuna_dashboard.save_note(ledger.optuna_study, "mine")
    attachments = Attachments(ledger, FILE, tmp_path)
    attachments.begin()
    assert get_note(ledger.optuna_study).endswith(f"{OWN}\n\nmine")
    optuna_dashboard.save_note(ledger.optuna_study, get_note(ledger.optuna_study) + "\nmore")
    finished(attachments, ledger, tmp_path, 4.0)
    attachments.end()
    assert get_note(ledger.optuna_study).endswith(f"{OWN}\n\nmine\nmore")
    assert "## Best trials" in get_note(ledger.optuna_study)


def test_the_note_says_what_is_searched(ledger: Ledger, tmp_path: Path) -> None:
    finished(Attachments(ledger, FILE, tmp_path), ledger, tmp_path, 4.0)
    said = note(ledger, FILE, tmp_path)
    for sentence in (
        "minimised: `ln Params[M] + ln FLOPs[G] + PixelDiff[px]`, the logarithm of",
        "`pixel_diff` in `px`",
        "9 trials of at most 2 epochs, seed 0",
        "asha, not before epoch 1, one in 3 survives a rung",
        "all but Params at most 6 M",
        "1 trials are over, 1 had all their epochs",
        "`width`: `0.1 to 0.5`",
        "    posefront search '/somewhere/my study.py'",
        f"`{tmp_path}` has `weights/`",
    ):
        assert sentence in said


def test_the_sheet_has_each_example_in_its_place(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(0.2, 0.8, (30, 3, 2)).astype(np.float32)
    valid = Part(np.zeros((30, 1, 1, 3), np.uint8), np.arange(30), points)
    found = answers.of(STUDY.task, points + np.linspace(0, 0.15, 30, dtype=np.float32)[:, None, None], valid, 2)
    answers.save_pictures(found, STUDY.task, tmp_path)
    missing = found.examples[5].row
    answers.picture(tmp_path, missing).unlink()
    paper = np.asarray(sheet.sheet(found, tmp_path, "title")).astype(int)

    def near(colour: str, x: float, y: float) -> bool:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        return bool((np.abs(paper[round(y), round(x)] - wanted) < 40).all())

    for index, example in enumerate(found.examples):
        left = sheet.LEFT + index % 4 * (sheet.SIDE + sheet.GAP)
        top = sheet.TOP + index // 4 * (sheet.SIDE + sheet.CAPTION + sheet.GAP)
        flat = statistics.median(paper[top : top + sheet.SIDE, left : left + sheet.SIDE, 0].ravel().tolist())
        assert flat == pytest.approx(0xD5 if example.row == missing else 128, abs=3)
        for x, y in example.answered:
            assert near(skeleton.ANSWERED, left + x * sheet.SIDE, top + y * sheet.SIDE)
        if example.rank == "worst":
            clear = [t for t in example.true if min(np.hypot(*np.subtract(t, a)) for a in example.answered) > 0.1]
            assert any(near(skeleton.TRUE, left + x * sheet.SIDE, top + y * sheet.SIDE) for x, y in clear)
    assert (paper[:, -sheet.GAP // 2 :] == 255).all()  # nothing runs over the edge


def test_the_sheet_of_few_images_and_of_none(tmp_path: Path) -> None:
    for count in (0, 1, 5):
        found = answers.of(STUDY.task, *some(max(count, 1)), 1)
        shown = replace(found, examples=found.examples[:count], edges=[])
        assert sheet.sheet(replace(shown, unit=HOSTILE), tmp_path, "t").size == sheet.sheet(found, tmp_path, "t").size
    shutil.rmtree(tmp_path)


def test_a_sheet_of_wide_pictures_with_words_and_points_that_are_not_known(tmp_path: Path) -> None:
    class Wide(Dots):
        def picture(self, row: int) -> Any:  # noqa: ARG002
            return np.full((90, 180, 3), 128, np.uint8)

        def caption(self, output: Any, target: Any) -> str:  # noqa: ARG002
            return "a long answer, " * 40

    outputs, valid = some(1)
    found = answers.of(Wide(), outputs - 0.5, valid, 1)  # type: ignore[arg-type]
    (example,) = found.examples
    found = replace(found, examples=[replace(example, true=[None, [0.2, 0.2], None])], edges=[[0, 1], [0, 2]])
    answers.save_pictures(found, Wide(), tmp_path)  # type: ignore[arg-type]
    paper = sheet.sheet(found, tmp_path, "t")
    assert paper.height == sheet.sheet(replace(found, examples=[example, example]), tmp_path, "t").height
    assert paper.height > sheet.sheet(replace(found, examples=[replace(example, said="")]), tmp_path, "t").height
    pixels = np.asarray(paper).astype(int)
    cell = pixels[sheet.TOP : sheet.TOP + sheet.SIDE, sheet.LEFT : sheet.LEFT + sheet.SIDE]
    grey = (np.abs(cell - 128) < 6).all(-1)
    rows, columns = np.flatnonzero(grey.any(1)), np.flatnonzero(grey.any(0))
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (sheet.SIDE / 2, sheet.SIDE)
    green = [int(skeleton.TRUE[i : i + 2], 16) for i in (1, 3, 5)]
    near = np.argwhere((np.abs(cell - green) < 40).all(-1))
    assert near.mean(0) == pytest.approx([sheet.SIDE / 4 + 0.2 * sheet.SIDE / 2, 0.2 * sheet.SIDE], abs=2)
    assert (pixels[:, sheet.LEFT + sheet.SIDE + 4 : sheet.LEFT + sheet.SIDE + sheet.GAP] == 255).all()


def some(count: int) -> tuple[Any, Part]:
    points = np.zeros((count, 3, 2), np.float32)
    return points + 1, Part(np.zeros((count, 1, 1, 3), np.uint8), np.arange(count), points)
