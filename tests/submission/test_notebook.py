"""The notebook against the project's own numbers, in a process of its own."""

import ast
import base64
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from nbformat import NotebookNode, v4
from PIL import Image

from data.errors import UserError
from search.after import model as models
from search.after.predict import predict
from search.load import load_study
from search.run.training.fit import judge
from search.study import replay
from search.submission import csv_table
from search.submission.notebook import network_source
from search.submission.notebook.build import build, execute, measured
from search.submission.report.markdown import plain
from tests.conftest import Painted, paint
from tests.submission.test_submission import facts

STUDY = """
from optuna.trial import BaseTrial
from data.tasks.freihand import FreiHand
from models.net import Arch
from search.study import Config, Study, Training

task = FreiHand(root={root!r}, folds=3, blocks=6, gap=0)

def space(trial: BaseTrial, task: FreiHand) -> Config:
    head = trial.suggest_categorical("head", ["direct", "heatmap", "simcc"])
    width = trial.suggest_float("width", 0.1, 1.0)
    size = trial.suggest_int("size", 32, 96)
    return Config(Arch(21, width, 32, size, head, neck=32, deconv=32), Training(lr=1e-3))

study = Study(task, space, trials=1, epochs=1)
"""


pytestmark = pytest.mark.usefixtures("cache")


def trained(folder: Path, hands: Painted, head: str, size: int = 48) -> models.Model:
    """A model on disk as the project leaves it, with random weights and statistics, judged by the project itself."""
    file = folder / "painted_study.py"
    file.write_text(STUDY.format(root=str(hands.root)))
    study = load_study(str(file))
    params = {"head": head, "width": 0.15, "size": size}
    config, _ = replay(study, params)
    torch.manual_seed(1)
    net = config.arch.build()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    part = study.task.split(size).valid
    outputs, _ = judge(study.task, net, config, part, torch.device("cpu"))
    error = study.task.error(outputs, part)
    row = {"epoch": 1, "train_loss": 0.5, "valid_loss": 0.6, "error": error, "lr": 1e-3}
    told = facts(file, params, config, models.Seed(7, error, "last", {"last": error}), part)
    models.save(folder / "model", told, net.state_dict(), [[row]])
    return models.load(folder / "model", study=str(file))


def packed(model: models.Model, folder: Path) -> Path:
    """A folder as the notebook wants it."""
    folder.mkdir()
    (folder / "model.json").write_bytes((model.folder / "model.json").read_bytes())
    torch.save(network_source.weights(model.net), folder / "model.pth")
    return folder


def imports(notebook: NotebookNode) -> set[str]:
    """The packages that a notebook's code imports."""
    found: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Import):
                    found |= {name.name.split(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom):
                    found.add(str(node.module).split(".")[0])
    return found


def some_images(hands: Painted, folder: Path) -> list[Path]:
    """A folder of test images: five of the training ones, which they are not."""
    folder.mkdir()
    for file in sorted((hands.root / "training" / "rgb").iterdir())[:5]:
        (folder / file.name).write_bytes(file.read_bytes())
    return sorted(folder.iterdir())


def disguise(hands: Painted) -> None:
    """Some images as other programs and cameras write them: turned by EXIF, transparent, 16-bit grey."""
    for place, turn in ((1, 3), (2, 2), (3, 6)):
        image = Image.open(hands.image(place))
        image.load()
        exif = image.getexif()
        exif[0x0112] = turn
        image.save(hands.image(place), "JPEG", exif=exif)
    for place in range(4, 8):
        image = Image.open(hands.image(place))
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(hands.image(place), "PNG")
    for place in range(8, 12):
        grey = np.asarray(Image.open(hands.image(place)).convert("L")).astype(np.uint16)
        Image.fromarray(grey * 256 + 77).save(hands.image(place), "PNG")


def check_numbers(found: dict[str, float], model: models.Model) -> None:
    assert found["pixel_diff"] == pytest.approx(model.facts.error, rel=1e-5)
    assert found["params"] == model.price.params
    assert found["flops"] == pytest.approx(model.price.flops, rel=1e-3)
    assert found["score"] == pytest.approx(model.facts.score, rel=1e-3)
    assert found["difference_percent"] < 0.1


def check_csv(file: Path, wanted: csv_table.Table) -> None:
    written = csv_table.read(file)
    assert written.header == wanted.header
    assert [row[0] for row in written.rows] == [row[0] for row in wanted.rows]
    numbers = [np.array([row[1:] for row in found.rows], float) for found in (written, wanted)]
    np.testing.assert_allclose(*numbers, atol=2e-3)


def test_it_measures_what_the_project_measured(tmp_path: Path) -> None:
    hands = paint(tmp_path / "hands", hands=12, copies=2)
    model = trained(tmp_path, hands, "direct", 96)
    folder, files = packed(model, tmp_path / "packed"), some_images(hands, tmp_path / "test")
    built = build(model, "Jürgen *Müller* <b>")
    run = execute(built, folder, hands.root, tmp_path / "test", timeout_s=200)
    assert not any(cell.get("outputs") for cell in built.cells)
    nbformat.validate(run)
    check_numbers(measured(run), model)
    outputs = [output for cell in run.cells for output in cell.get("outputs", [])]
    pictures = [output["data"]["image/jpeg"] for output in outputs if "image/jpeg" in output.get("data", {})]
    assert [base64.b64decode(picture)[:3] for picture in pictures] == [b"\xff\xd8\xff"] * 3
    points = np.stack([found.points for found in predict(model, files)])
    check_csv(folder / "submission.csv", csv_table.default([file.name for file in files], points))


@pytest.mark.parametrize("head", ["heatmap", "simcc"])
def test_its_cells_with_other_heads_and_an_organisers_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], head: str
) -> None:
    hands = paint(tmp_path / "hands", hands=12, copies=2)
    disguise(hands)
    model = trained(tmp_path, hands, head, 48)
    folder, files = packed(model, tmp_path / "packed"), some_images(hands, tmp_path / "test")
    sample = tmp_path / "sample.csv"  # ids are numbers, a row a coordinate, in an order of its own
    ids = [f"{image}_{joint}_{axis}" for axis in "yx" for joint in range(1, 22) for image in (4, 0, 2, 1, 3)]
    sample.write_text("\n".join(["id,value", *(f"{name},0" for name in ids)]))
    points = np.stack([found.points for found in predict(model, files)])
    wanted = csv_table.like(sample, [file.name for file in files], points, model.study.task.labels)
    csv_table.write(csv_table.Table(wanted.header, tuple((name, "0") for name in ids)), folder / "submission.csv")

    built = build(model, "A", layout=wanted.layout)
    assert imports(built) - sys.stdlib_module_names == {"torch", "numpy", "PIL", "IPython"}
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NOTEBOOK_DATA", str(hands.root))
    monkeypatch.setenv("NOTEBOOK_TEST", str(tmp_path / "test"))
    names: dict[str, Any] = {}
    for cell in built.cells:
        if cell.cell_type == "code":
            exec(cell.source, names)  # noqa: S102 - it is our own
            cell.outputs = [v4.new_output("stream", text=capsys.readouterr().out)]
    check_numbers(measured(built), model)
    check_csv(folder / "submission.csv", wanted)

    names["claimed"]["error"] *= 0.98
    with pytest.raises(AssertionError, match=r"a number differs from model.json by \d+\.\d\d %"):
        exec(next(cell.source for cell in built.cells if "assert worst" in cell.source), names)  # noqa: S102


def test_a_cell_that_fails(tmp_path: Path) -> None:
    failing = v4.new_notebook(cells=[v4.new_code_cell("assert 1 > 2, 'a number differs by 2 %'")])
    with pytest.raises(UserError, match=r"the notebook stops \(AssertionError: a number differs by 2 %\); mend"):
        execute(failing, tmp_path, tmp_path, timeout_s=100)


def test_a_model_that_does_not_say_what_it_was_judged_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained(tmp_path, paint(tmp_path / "hands", hands=6), "direct", 32)
    monkeypatch.setitem(model.facts.data, "valid_rows", [])  # type: ignore[arg-type]
    with pytest.raises(UserError, match="names no validation images"):
        build(model, "A")


def test_numbers_are_read_from_the_outputs_alone() -> None:
    said = '{"pixel_diff": 5.5, "params": 10, "score": null}'
    output = v4.new_output("stream", text=f"a table\n{said}\n")
    cell = v4.new_code_cell(f"print('{said}')")
    with pytest.raises(UserError, match="no measured numbers"):
        measured(v4.new_notebook(cells=[cell]))
    cell.outputs = [output]
    assert measured(v4.new_notebook(cells=[cell])) == {"pixel_diff": 5.5, "params": 10.0}


def test_text_is_shown_as_it_is() -> None:
    assert plain("<b> *x* | [a](b)") == r"&lt;b&gt; \*x\* \| \[a\]\(b\)"
