"""Submissions that were made up with care: all digests are right, and yet something is not what its weights give.

What a notebook or a PDF file may differ in is in test_compare.py.
"""

import base64
import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
import typst
from nbformat import NotebookNode, v4
from typer.testing import CliRunner

from data.errors import UserError
from search import config_record
from search.cli.app import app
from search.results.style import SERIES
from search.submission import sources
from search.submission.check import verify as verifying
from search.submission.check.checks import Check, Verdict
from search.submission.notebook import build as notebook
from search.submission.report import typeset as report
from tests.submission.test_submission import (
    BOOK,
    NAME,
    Handed,
    all_weights,
    claim,
    members,
    refused,
    rehashed,
    repacked,
    replaced,
    row_changed,
    saved,
    scaled,
    submission_claim,
    weights_with,
)

Change = Callable[[bytes], bytes]


def tampered(handed: Handed, folder: Path, **changes: Change) -> Path:
    """The zip with members changed and all digests with them; a member is named by its first letters."""
    contents = members(handed.done.zip)
    for begins, change in changes.items():
        name = next(name for name in contents if name.replace(".", "_").startswith(begins))
        before = contents[name]
        contents[name] = change(before)
        assert contents[name] != before
    return repacked(handed.done.zip, folder, rehashed(contents))


def record(change: Callable[[Any], object]) -> Change:
    """A change of what a JSON file says."""

    def changed(content: bytes) -> bytes:
        said = json.loads(content)
        change(said)
        return json.dumps(said).encode()

    return changed


def cell(change: Callable[[Any], object], holding: str) -> Change:
    """A change of the notebook's first cell that holds a text."""

    def changed(content: bytes) -> bytes:
        book = json.loads(content)
        change(next(cell for cell in book["cells"] if holding in json.dumps(cell)))
        return json.dumps(book).encode()

    return changed


def test_the_test_images_are_needed_for_a_plain_pass(handed: Handed, tmp_path: Path) -> None:
    whole = handed.check(handed.done.zip, test=handed.test)
    assert (whole.word, whole.warnings) == ("PASS", [])
    for change in (
        row_changed(lambda row: [[row[0], "100.0000", *row[2:]]]),
        row_changed(lambda row: [[row[0], *row[1:][::-1]]]),
        exchanged,
    ):
        file = tampered(handed, tmp_path, submission_csv=change)
        without, with_images = handed.check(file), handed.check(file, test=handed.test)
        assert without.word == "PASS with 1 warning"
        assert [line.message for line in without.warnings] == [
            "csv not answered again: give --test, the folder of the test images."
        ]
        assert list(refused(with_images)) == ["answers for the test images"]
        assert with_images.word == "FAIL"
    said = refused(handed.check(tampered(handed, tmp_path, submission_csv=moved), test=handed.test))
    assert said == {"answers for the test images": "submission.csv: row 1 is another image's."}


def exchanged(content: bytes) -> bytes:
    """The answers of two rows, one for the other's."""
    header, first, second, *rest = csv.reader(io.StringIO(content.decode()))
    first[1:], second[1:] = second[1:], first[1:]
    return table([header, first, second, *rest])


def moved(content: bytes) -> bytes:
    """Two rows, each in the other's place."""
    header, first, second, *rest = csv.reader(io.StringIO(content.decode()))
    return table([header, second, first, *rest])


def table(rows: list[list[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    return written.getvalue().encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content + b"\n",
        lambda content: content.replace(b",", b", ", 1),
        row_changed(lambda row: [[row[0], "1e2", *row[2:]]]),
        row_changed(lambda row: [[row[0], "1_00.0000", *row[2:]]]),
        row_changed(lambda row: [[row[0], row[1] + "00001", *row[2:]]]),
        lambda content: content.replace(b"id,x0", b"image,x0"),
    ],
)
def test_a_csv_that_is_written_otherwise(handed: Handed, tmp_path: Path, change: Change) -> None:
    assert "csv as it is written" in refused(handed.check(tampered(handed, tmp_path, submission_csv=change)))


def fewer_epochs(said: Any) -> None:
    said["curves"] = [rows[:2] for rows in said["curves"]]


def other_curve(said: Any) -> None:
    for row in said["curves"][0]:
        row["train_loss"] *= 0.5


def one_seed(said: Any) -> None:
    said["seeds"] = said["seeds"][:1]


def other_error(said: Any) -> None:
    said["answers"]["errors"][3] *= 0.5


def other_point(said: Any) -> None:
    said["answers"]["examples"][0]["answered"][0][0] += 0.01


def other_image(said: Any) -> None:
    said["answers"]["examples"][0]["row"] = 0


def other_rank(said: Any) -> None:
    examples = said["answers"]["examples"]
    examples[0], examples[-1] = {**examples[-1], "rank": "best"}, {**examples[0], "rank": "worst"}


def other_trial(said: Any) -> None:
    said["search"]["trials"][1]["params"]["lr"] = 1e-4


def other_search(said: Any) -> None:
    said["search"]["trials"][0]["attributes"]["pixel_diff"] = 80.0


def an_ablation(said: Any) -> None:
    error = {"mean": 50.0, "low": None, "high": None, "n": 1}
    row = {"name": "as it is", "said": "", "params": 1, "flops": 1, "errors": {"1": 50.0}, "error": error}
    row |= {"difference": None, "value": None, "score": None, "failed": []}
    other = {**row, "name": "act=relu", "said": "act relu", "difference": {**error, "mean": 3.0}}
    study = {"study": "painted", "trial": 3, "metric": "pixel_diff", "unit": "px", "epochs": 1, "seeds": 1}
    said["ablation"] = {**study, "base": row, "rows": [other], "made": "2026", "format": 1}


HALF = "half of all joints"
SHOWN = v4.new_output("display_data", data={"text/html": "<b>4.9 px</b>"})
HTML = {"text/html": ["<script>alert(1)</script>"]}
PIXEL = {
    "image/jpeg": base64.b64encode(
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9"
    ).decode()
}


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"model_json": claim(epochs=2)}, "epochs of the curves"),
        ({"model_json": claim(epochs=2), "report_json": record(fewer_epochs)}, "error of seed"),
        ({"model_json": record(one_seed)}, "a curve for each seed"),
        ({"model_json": record(one_seed), "report_json": record(lambda it: it["curves"].pop())}, "notebook's cells"),
        ({"model_json": record(lambda it: it["seeds"][1].update(error=1.0))}, "best seed"),
        ({"model_json": record(lambda it: it["seeds"].reverse())}, "best seed"),
        ({"model_json": record(lambda it: it["data"].update(train=3000))}, "data and split"),
        ({"model_json": scaled("train_error", 0.98)}, "PixelDiff on training images"),
        ({"model_json": claim(train_images=9)}, "training images judged"),
        ({"model_json": claim(labels=["a"] * 21)}, "names and preprocessing"),
        ({"model_json": record(lambda it: it["preprocessing"].update(context=2.0))}, "names and preprocessing"),
        ({"model_json": record(lambda it: it["edges"].pop())}, "names and preprocessing"),
        ({"model_json": claim(teacher="another network")}, "notebook's cells"),
        ({"model_json": claim(made="2020-01-01")}, "report"),
        ({"report_json": record(lambda it: it["curves"][1].pop())}, "epochs of the curves"),
        ({"report_json": record(lambda it: it["curves"][1][-1].update(error=1.0))}, "error of seed"),
        ({"report_json": record(lambda it: it["curves"][0][1].pop("lr"))}, "epochs of the curves"),
        ({"report_json": record(other_curve)}, "notebook's cells"),
        ({"report_json": record(other_error)}, "answers in the report"),
        ({"report_json": record(other_point)}, "answers in the report"),
        ({"report_json": record(other_image)}, "answers in the report"),
        ({"report_json": record(other_rank)}, "answers in the report"),
        ({"report_json": record(other_trial)}, "trial of the search"),
        ({"report_json": record(lambda it: it["search"]["attributes"].update(unit="mm"))}, "search of the model"),
        ({"report_json": record(other_search)}, "report"),
        ({"report_json": record(an_ablation)}, "report"),
        ({"report_json": record(lambda it: it["search"]["trials"][0].update(state="DONE"))}, "report"),
        ({"report_json": record(lambda it: it["search"]["trials"][0]["distributions"].update(lr="[]"))}, "report"),
        ({"report_json": record(lambda it: it.update(more=1))}, "records"),
        ({"report_json": lambda content: content.replace(b"{", b'{"format":1,', 1)}, "records"),
        ({"model_pth": weights_with(all_weights)}, "PixelDiff"),
        ({"model_pth": lambda content: content + bytes(500_000)}, "weights fit it"),
        ({BOOK[:3]: cell(lambda it: it.update(source=["# A large network"]), "# Hand keypoints")}, "notebook's cells"),
        ({BOOK[:3]: cell(lambda it: it.update(attachments={}), "# Hand keypoints")}, "notebook's cells"),
        ({BOOK[:3]: replaced("| 3 | ", "| 4 | ")}, "notebook's cells"),
        ({BOOK[:3]: cell(lambda it: it["metadata"].update(tags=["hide-input"]), "class Net")}, "notebook's cells"),
        ({BOOK[:3]: record(lambda it: it["cells"].insert(0, v4.new_raw_cell("4.9 px", id="x")))}, "notebook's cells"),
        ({BOOK[:3]: record(lambda it: it["metadata"].update(title="4.9 px"))}, "notebook's cells"),
        ({BOOK[:3]: lambda content: content.replace(b"{", b'{"cells": [],', 1)}, "notebook"),
        ({BOOK[:3]: cell(lambda it: it["outputs"][0].update(text="PixelDiff 4.9 px"), HALF)}, "notebook's answers"),
        ({BOOK[:3]: cell(lambda it: it["outputs"].append(SHOWN), HALF)}, "notebook's answers"),
        ({BOOK[:3]: cell(lambda it: it["outputs"][1]["data"].update(HTML), "best: ")}, "notebook's answers"),
        ({BOOK[:3]: cell(lambda it: it["outputs"].reverse(), "best: ")}, "notebook's answers"),
        ({BOOK[:3]: cell(lambda it: it["outputs"][1]["data"].update(PIXEL), "best: ")}, "notebook's answers"),
        ({"Report": lambda _: b"%PDF-1.7 unreadable"}, "report"),
        ({"Report": lambda _: typst.compile(b"A better network")}, "report"),
        ({"Report": lambda content: content + b"% more"}, "report"),
    ],
)
def test_made_up(handed: Handed, tmp_path: Path, changes: dict[str, Change], wrong: str) -> None:
    found = refused(handed.check(tampered(handed, tmp_path, **changes)))
    assert any(name == wrong or (wrong == "error of seed" and name.startswith(wrong)) for name in found), found
    assert not any(name.endswith("as packed") for name in found)
    assert all(len(said) < 400 for said in found.values())


def test_another_authors(handed: Handed, tmp_path: Path) -> None:
    """Zip, claims and notebook are renamed, the last with a name that only looks alike, or the report is left."""
    contents, other = members(handed.done.zip), "Bob_midterm_project"
    book = renamed(handed, contents[BOOK], "Bob")
    for name, said in (("Bob", "report"), ("B\N{CYRILLIC SMALL LETTER O}b", "notebook's cells")):
        spoilt = {f"{other}.ipynb": book, **{key: value for key, value in contents.items() if key != BOOK}}
        claimed = json.loads(submission_claim(author=name)(contents["model.json"]))
        claimed["submission"]["members"] = {key: "0" * 64 for key in spoilt if key != "model.json"}
        spoilt["model.json"] = json.dumps(claimed).encode()
        file = repacked(Path(f"{other}.zip"), tmp_path, rehashed(spoilt))
        assert said in refused(handed.check(file))
    for name in ("Zoe O'Brien-Smith", f"{NAME} "):  # whose file has the same name
        found = refused(handed.check(tampered(handed, tmp_path, model_json=submission_claim(author=name))))
        assert list(found) == ["notebook's cells"]
        assert "where" in found["notebook's cells"]


def renamed(handed: Handed, content: bytes, name: str) -> bytes:
    """The notebook as it would be another author's."""
    book: NotebookNode = nbformat.reads(content.decode(), as_version=4)
    own = notebook.build(handed.model, name)
    for cell, other in zip(book.cells, own.cells, strict=True):
        cell.source = other.source
    book.metadata = own.metadata
    return nbformat.writes(book).encode()


def test_a_report_with_other_drawings(handed: Handed, tmp_path: Path) -> None:
    """The words are the same: it fails where it should be the same bytes, and is a warning where it need not be."""
    kept = sources.gathered(handed.model, handed.view)
    printed = sources.content(handed.model, kept, NAME)
    assert SERIES[0] in printed.losses
    report.write(replace(printed, losses=printed.losses.replace(SERIES[0], "#000000")), tmp_path / "other.pdf")
    other = (tmp_path / "other.pdf").read_bytes()
    found = refused(handed.check(tampered(handed, tmp_path, Report=lambda _: other)))
    assert list(found) == ["report"]
    assert "drawings, or something hidden, differ" in found["report"]
    changes = {"Report": lambda _: other, "report_json": record(lambda it: it["printed_with"].update(typst="0.1"))}
    verdict = handed.check(tampered(handed, tmp_path, **changes), test=handed.test)
    assert verdict.word == "PASS with 1 warning"
    assert "printed with typst 0.1" in verdict.warnings[0].message


def test_a_seed_that_is_left_out(handed: Handed, tmp_path: Path) -> None:
    """The better of two is handed in as the second seed's, and the first one's training is not told of."""

    def change(said: Any) -> None:
        said["seeds"] = [{**said["seeds"][0], "seed": said["seeds"][1]["seed"]}]

    verdict = handed.check(tampered(handed, tmp_path, model_json=record(change)), test=handed.test)
    assert "failed or was left out" in next(line.message for line in verdict.warnings)
    assert verdict.word == "FAIL"


def test_other_words_about_the_data(handed: Handed, tmp_path: Path) -> None:
    said = record(lambda it: it["data"]["about"].update(source="the folder 'elsewhere', photographs of 10,000 hands"))
    verdict = handed.check(tampered(handed, tmp_path, model_json=said))
    assert "photographs of 10,000 hands" in next(line.message for line in verdict.warnings if "words" in line.name)


def test_weights_that_are_a_program(handed: Handed, tmp_path: Path) -> None:
    for change, said in (
        (lambda _: saved(print), "it holds print where tensors belong"),
        (lambda _: b"cos\nsystem\n(S'true'\ntR.", "it cannot be read"),
        (lambda content: content[:2000], "it cannot be read"),
    ):
        found = refused(handed.check(tampered(handed, tmp_path, model_pth=change)))["weights fit it"]
        assert said in found
        assert "weights_only=False" not in found
        assert "weights_only" not in found


@pytest.mark.parametrize("where", ["threads", "size", "divergence", "kernel", "loss"])
def test_a_record_that_would_become_code(handed: Handed, tmp_path: Path, where: str) -> None:
    """The notebook is built of the record and run: nothing of a stranger's may be more than a number there."""
    mark = tmp_path / "mark"
    code = f"__import__('pathlib').Path({str(mark)!r}).write_text('1') or 1"

    def change(said: Any) -> None:
        if where == "threads":
            said["versions"]["threads"] = code
            return
        said["config"] = json.loads(json.dumps(config_record.record(handed.model.config)))
        part = said["config"]["training" if where in ("divergence", "loss") else "arch"]
        part[where] = code

    file = tampered(handed, tmp_path, model_json=record(change))
    found = refused(verifying.verify(file, handed.hands.root, study=str(handed.study)))
    assert {"records", "network rebuilt", "notebook", "notebook's code"} & found.keys(), found
    assert not mark.exists()


def test_weights_with_something_hidden(handed: Handed, tmp_path: Path) -> None:
    def larger(tensors: dict[str, torch.Tensor]) -> None:
        name = next(iter(tensors))
        storage = torch.zeros(tensors[name].numel() + 100_000)
        storage[: tensors[name].numel()] = tensors[name].flatten()
        tensors[name] = storage[: tensors[name].numel()].view(tensors[name].shape)

    found = refused(handed.check(tampered(handed, tmp_path, model_pth=weights_with(larger))))
    assert "bytes beside its numbers" in found["weights fit it"]


def test_a_zip_with_something_hidden(handed: Handed, tmp_path: Path) -> None:
    file = tmp_path / handed.done.zip.name
    shutil.copy(handed.done.zip, file)
    with zipfile.ZipFile(file, "a") as opened:
        opened.comment = b"trained on the test images"
    assert "holds a comment" in refused(handed.check(file))["nothing hidden"]
    file.write_bytes(b"#!/bin/sh\n" + b" " * 5000 + handed.done.zip.read_bytes())
    assert "bytes beside its members" in refused(handed.check(file))["nothing hidden"]
    contents = members(handed.done.zip)
    for odd in (
        "Model.json",
        "MODEL.PTH",
        "report.pdf",
        "\N{CYRILLIC SMALL LETTER ES}ubmission.csv",
        "a/",
        "model.json ",
    ):
        found = refused(handed.check(repacked(handed.done.zip, tmp_path, contents | {odd: b""})))
        assert list(found) == ["no data inside"]


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b'"trial":', b'"trial": 5, "trial":'),
        lambda content: content.replace(b'"author":', b'"author": "Bob", "author":'),
        lambda content: content.replace(b'"unit": "px"', b'"unit": NaN'),
        claim(more=1),
        submission_claim(more=1),
        claim(epochs=3.5),
    ],
)
def test_claims_that_readers_see_differently(handed: Handed, tmp_path: Path, change: Change) -> None:
    contents = members(handed.done.zip)
    spoilt = contents | {"model.json": change(contents["model.json"])}
    assert spoilt != contents
    assert list(refused(handed.check(repacked(handed.done.zip, tmp_path, spoilt)))) == ["records"]


def test_a_zip_of_an_older_version(handed: Handed, tmp_path: Path) -> None:
    contents = members(handed.done.zip)
    del contents["report.json"]
    assert (
        "lacks report.json; pack it again"
        in refused(handed.check(repacked(handed.done.zip, tmp_path, contents)))["members"]
    )
    found = refused(handed.check(tampered(handed, tmp_path, model_json=submission_claim(format=1))))
    assert "it was packed by another version of posefront; pack it again" in found["records"]


def test_a_notebook_that_no_longer_runs(handed: Handed, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_: object) -> None:
        raise UserError("the notebook stops (OSError: no data); mend that and build it anew.")

    monkeypatch.setattr(notebook, "execute", stops)
    found = refused(verifying.verify(handed.done.zip, handed.hands.root, study=str(handed.study)))
    assert "the notebook stops" in found["notebook's answers"]


def test_nothing_of_this_machine_is_packed(handed: Handed) -> None:
    kept = members(handed.done.zip)["report.json"].decode()
    assert not any(word in kept for word in ("of mine", "host 7", "/home/a", str(handed.hands.root)))
    again = sources.Search.of(handed.view).view()
    assert [replace(entry, worker="host 7") for entry in again.entries] == list(handed.view.entries)


VERDICTS = [(True, False, 0, "PASS"), (False, True, 3, "PASS with 1 warning"), (False, False, 1, "FAIL")]


@pytest.mark.parametrize(("passed", "warning", "code", "word"), VERDICTS)
def test_exit_codes(
    handed: Handed, monkeypatch: pytest.MonkeyPatch, passed: bool, warning: bool, code: int, word: str
) -> None:
    line = Check("[a]", "", "", None, passed, "" if passed else "it is [b]odd.", warning)
    monkeypatch.setattr(verifying, "verify", lambda *_, **__: Verdict([line]))
    ran = CliRunner().invoke(app, ["verify", str(handed.done.zip)])
    assert (ran.exit_code, ran.output.splitlines()[-1]) == (code, word)
    assert ("[b]odd" in ran.output) == (code > 0)
    assert '"PASS with N warnings" and 3' in " ".join(CliRunner().invoke(app, ["verify", "--help"]).output.split())
