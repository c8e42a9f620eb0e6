"""A trained model as it is handed in: the zip, and the csv for the test images, which are read here alone."""

import math
import os
import re
import shutil
import socket
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import torch

from data.errors import UserError
from data.layouts.freihand import SIDE
from data.storage.files import is_stale
from data.storage.image import BadImage, read_image
from data.tasks.freihand import FreiHand
from search.after.model import FACTS, PTH, Model
from search.after.model import digest as sha256
from search.after.predict import answers as answered
from search.results import ablation, answers
from search.results.view import View
from search.submission import archive, claims, network, notebook, paper, table

CSV, REPORT = "submission.csv", "Report.pdf"
ENDING = "_midterm_project"
ENDINGS = (".jpg", ".jpeg", ".png")
LONGEST_NAME = 60

_AT_ONCE = 256  # images in memory: 39 MB
_NAMED = 3  # images that a message names

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Submission:
    """What was written.

    Attributes:
        zip: what is handed in.
        csv: what Kaggle takes; the same as in the zip, as are report and notebook.
        report: Report.pdf.
        notebook: executed.
        pages: of the report.
        images: test images.
        size_mb: of the zip, 10^6 bytes.
        measured: what the notebook measured, see `notebook.measured`.
    """

    zip: Path
    csv: Path
    report: Path
    notebook: Path
    pages: int
    images: int
    size_mb: float
    measured: dict[str, float]


def submit(
    model: Model,
    view: View,
    name: str,
    test: Path,
    data: Path,
    out: Path,
    *,
    like: Path | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> Submission:
    """Answer the test images, run the notebook, print the report, pack the zip.

    All is made in a folder of its own inside `out` and moved when it is complete, the zip last: a zip in `out`
    belongs to the files beside it, and whatever goes wrong leaves `out` as it was.

    Args:
        model: what is handed in.
        view: the search that it comes from, for the report.
        name: the author's, see `file_name`.
        test: a folder of test images (.jpg, .jpeg, .png), or FreiHAND's, whose evaluation/rgb holds them.
        data: FreiHAND's folder, whose validation images the notebook measures on.
        out: a folder, made if need be.
        like: the organiser's sample csv, to follow.
        device: where the test images are answered.
        progress: told what is done next.

    Raises:
        UserError: a name, an image, a folder or a sample that will not do; a model that does not measure what it
            claims; a zip that is too large.
    """
    stem = file_name(name) + ENDING
    own_data(model, data)
    files = test_images(test, data)
    written = network.source(model.net, model.config.arch.input_shape)
    plain = network.plain(written)
    weights = network.weights(model.net)
    plain.load_state_dict(weights)
    progress(f"answering {len(files):,} test images")
    points = locate(replace(model, net=plain), files, device)
    names = [file.name for file in files]
    filled = table.default(names, points) if like is None else table.like(like, names, points, FreiHand.labels)
    half = begin(out, stem)
    try:
        table.write(filled, half / CSV)
        torch.save(weights, half / PTH)
        claims.write(model.facts, None, half / FACTS)
        progress("executing the notebook on the validation images")
        built = notebook.build(model, name, layout=None if like is None else filled.layout)
        run = notebook.execute(built, half, data)
        measured = notebook.measured(run)
        check_measured(model, measured)
        nbformat.write(run, half / f"{stem}.ipynb")
        progress("printing the report")
        pages = paper.write(content(model, view, name), half / REPORT)
        progress("packing")
        others = [half / f"{stem}.ipynb", half / PTH, half / REPORT, half / CSV]
        claims.write(
            model.facts,
            claims.Claims(
                author=name,
                members={member.name: sha256(member) for member in others},
                facts_sha256=claims.digest(model.facts),
                test_images=len(files),
                test_names_sha256=claims.names_digest(files),
                csv_rows=len(filled.rows),
                like_sample=like is not None,
                pages=pages,
                measured=measured,
            ),
            half / FACTS,
        )
        packed = half / f"{stem}.zip"
        archive.pack([others[0], half / PTH, half / FACTS, half / REPORT, half / CSV], packed)
        size_mb = packed.stat().st_size / 1e6
        (out / packed.name).unlink(missing_ok=True)
        for member in (half / CSV, half / REPORT, others[0], packed):
            member.replace(out / member.name)
    except OSError as error:
        raise UserError(f"cannot write to {out} ({error.strerror or error}); give --out a folder of yours.") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    moved = [out / name for name in (packed.name, CSV, REPORT, others[0].name)]
    return Submission(moved[0], moved[1], moved[2], moved[3], pages, len(files), size_mb, measured)


def file_name(name: str) -> str:
    """A name as files are called by it: 'Zoë O'Brien-Smith' is Zoe_O'Brien-Smith.

    Args:
        name: letters that are Latin but for their accents, digits, spaces, hyphens, apostrophes; at least one letter
            and at most LONGEST_NAME characters.

    Raises:
        UserError: it is another.
    """
    shown = f"{name[:LONGEST_NAME]!r}"
    if len(name) > LONGEST_NAME:
        raise UserError(f"--name {shown}... has {len(name):,} characters, and {LONGEST_NAME} is the limit; shorten it.")
    split = unicodedata.normalize("NFKD", name.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    bare = "".join(letter for letter in split if unicodedata.category(letter) != "Mn").strip(" ")
    wrong = re.search(r"[^A-Za-z0-9 '-]", bare)
    if wrong:
        raise UserError(
            f"--name {shown} holds {wrong[0]!r}; a file is called by it, so write it with Latin letters, digits, "
            "spaces, hyphens and apostrophes."
        )
    if not re.search("[A-Za-z]", bare):
        raise UserError(f"--name {shown} holds no letter; give your English name.")
    return re.sub(" +", "_", bare)


def own_data(model: Model, data: Path) -> None:
    """Refuse another data set, or another split of it, than the model was judged on.

    Raises:
        UserError: it is another.
    """
    task = replace(model.study.task, root=data)  # type: ignore[type-var]
    if task.identity() != model.facts.data.get("identity"):
        raise UserError(
            f"{data} is not the data that {model.folder} was trained and judged on, or the study splits it otherwise "
            "now; give --data the folder that `posefront retrain` was given."
        )


def test_images(test: Path, data: Path | None) -> list[Path]:
    """The test images, by name.

    Args:
        test: as for `submit`.
        data: FreiHAND's folder, whose training images are no test images; None where hands are drawn.

    Raises:
        UserError: there are none, or they are training images.
    """
    inner = test / "evaluation" / "rgb"
    folder = inner if inner.is_dir() else test
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
    except OSError as error:
        raise UserError(
            f"--test {folder} cannot be listed ({error.strerror}); name the folder of test images."
        ) from error
    if not files:
        raise UserError(
            f"--test {folder} holds no .jpg, .jpeg or .png images; name the folder that does, or FreiHAND's own, whose "
            "evaluation/rgb holds them."
        )
    training = (data / "training").resolve() if data else None
    for file in files:
        if training and file.resolve().is_relative_to(training):
            raise UserError(f"--test {folder}: {file.name} is an image of {training}; test images are others.")
    return files


def locate(model: Model, files: list[Path], device: torch.device | str = "cpu") -> Array:
    """The joints in test images, each read once, as the notebook reads them.

    Args:
        model: answers them.
        files: of 224 x 224 pixels.
        device: where to compute.

    Returns:
        (N, P, 2), pixels, pixel centres at whole numbers, float64.

    Raises:
        UserError: some cannot be read or have another size; all are looked at, the first few named.
    """
    wrong: list[str] = []
    found: list[Array] = []
    for first in range(0, len(files), _AT_ONCE):
        read = []
        for file in files[first : first + _AT_ONCE]:
            try:
                read.append(pixels(file))
            except UserError as error:
                wrong.append(str(error))
        if not wrong:
            found.append(SIDE * answered(model, torch.stack(read), torch.device(device)) - 0.5)
    if wrong:
        more = f" and {len(wrong) - _NAMED:,} more" if len(wrong) > _NAMED else ""
        raise UserError(
            f"{len(wrong):,} of {len(files):,} test images in {files[0].parent} will not do: "
            f"{', '.join(wrong[:_NAMED])}{more}; fetch them again."
        )
    return np.concatenate(found)


def pixels(file: Path) -> torch.Tensor:
    """A test image, uint8 (224, 224, 3).

    Raises:
        UserError: it will not do; the message is its name and why, no whole sentence.
    """
    try:
        return torch.from_numpy(read_image(file, (SIDE, SIDE)).copy())
    except BadImage as bad:
        raise UserError(f"{file.name} ({bad.detail})") from None


def content(model: Model, view: View, name: str) -> paper.Content:
    """The report, with the answers and pictures that lie with the model, and its trial's ablation if there is one."""

    def picture(row: int) -> bytes | None:
        file = answers.picture(model.folder, row)
        return file.read_bytes() if file.is_file() else None

    study = model.folder.absolute().parent.parent  # it lies in STUDY/models/NNNNNN
    ablations, ablated = paper.ablations_of(ablation.load(study, model.facts.trial))
    found = answers.load(model.folder, model.facts.trial)
    return paper.content(model, view, found, picture, name, ablations=ablations, ablated=ablated)


def check_measured(model: Model, measured: dict[str, float]) -> None:
    """Refuse a model whose notebook does not measure what it claims.

    Raises:
        UserError: a number differs by more than TOLERANCE.
    """
    for what, claim in claims.claimed(model.facts).items():
        found = measured.get(claims.NUMBERS[what], math.nan)
        if claim is not None and not claims.difference(claim, found) <= claims.TOLERANCE:
            raise UserError(
                f"the notebook measures {what} {found:,.6g} and {model.folder / FACTS} claims {claim:,.6g}; make the "
                f"model anew with `posefront retrain {model.facts.study} --trial {model.facts.trial}`."
            )


def begin(out: Path, stem: str) -> Path:
    """A new folder inside `out` to work in; what killed runs left there is deleted.

    Raises:
        UserError: it cannot be made.
    """
    half = out / f"{stem}@{socket.gethostname()}@{os.getpid()}.half"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for found in out.glob("*@*@*.half"):
            if is_stale(found) or found == half:
                shutil.rmtree(found, ignore_errors=True)
        half.mkdir()
    except OSError as error:
        raise UserError(f"cannot write to {out} ({error.strerror}); give --out a folder of yours.") from error
    return half
