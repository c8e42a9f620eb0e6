"""A trained model as it is handed in: csv of the test images, notebook, report, weights, claims, in one zip."""

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import torch
from torch import Tensor

from data.errors import UserError
from data.storage.files import half_name, is_stale
from search import signals
from search.after.model import FACTS, PTH, Model
from search.after.model import digest as sha256
from search.paths import unwritable
from search.results.view import View
from search.submission import archive, claims, csv_table, network_source, notebook, report, sources
from search.submission.author import file_name
from search.submission.course_images import locate, test_images

CSV, REPORT, SOURCES = "submission.csv", "Report.pdf", "report.json"
ENDING = "_midterm_project"


@dataclass(frozen=True)
class Submission:
    """What was written."""

    zip: Path  # what is handed in
    csv: Path  # what Kaggle takes; the same as in the zip, as are report and notebook
    report: Path  # Report.pdf
    notebook: Path  # executed
    pages: int  # of the report
    images: int  # test images
    size_mb: float  # of the zip, 10^6 bytes
    measured: dict[str, float]  # what the notebook measured, see `notebook.measured`


def submit(
    model: Model,
    view: View,
    name: str,
    test: Path,
    data: Path,
    out: Path,
    *,
    like: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Submission:
    """Answer the test images, run the notebook, print the report, pack the zip.

    All is made in a folder of its own inside `out` and moved when it is complete, the zip last: a zip in `out` belongs
    to the files beside it, and whatever goes wrong leaves `out` as it was.

    Args:
        model: what is handed in.
        view: the search that it comes from, for the report.
        name: the author's, see `file_name`.
        test: a folder of test images, see `test_images`.
        data: FreiHAND's folder, whose validation images the notebook measures on.
        out: a folder, made if need be.
        like: the organiser's sample csv, to follow.
        progress: told what is done next.

    Raises:
        UserError: a name, an image, a folder or a sample that will not do; a model that does not measure what it
            claims; a zip that is too large.
    """
    stem = file_name(name) + ENDING
    _check_data(model, data)
    files = test_images(test, data)
    progress(f"answering {len(files):,} test images")
    table, weights = _answered(model, files, like)
    half = _begin(out, stem)
    try:
        csv_table.write(table, half / CSV)
        torch.save(weights, half / PTH)
        progress("executing the notebook on the validation images")
        layout = None if like is None else table.layout
        measured = _write_notebook(notebook.build(model, name, layout=layout), model, data, half / f"{stem}.ipynb")
        progress("printing the report")
        sources.write(sources.gathered(model, view), half / SOURCES)
        pages = report.write(sources.content(model, sources.read(half / SOURCES), name), half / REPORT)
        progress("packing")
        members = [half / member for member in members_of(stem) if member != FACTS]
        part = claims.Claims(
            author=name,
            members={member.name: sha256(member) for member in members},
            facts_sha256=claims.digest(model.facts),
            test_images=len(files),
            test_names_sha256=claims.names_digest(files),
            csv_rows=len(table.rows),
            like_sample=like is not None,
            pages=pages,
            measured=measured,
        )
        claims.write(model.facts, part, half / FACTS)
        return _publish(half, out, stem, part)
    except OSError as error:
        raise unwritable(out, error, "--to") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _answered(model: Model, files: list[Path], like: Path | None) -> tuple[csv_table.Table, dict[str, Tensor]]:
    """What the deployed network answers for the test images, and its weights."""
    plain = network_source.plain(network_source.source(model.net, model.config.arch.input_shape))
    weights = network_source.weights(model.net)
    plain.load_state_dict(weights)
    points = locate(replace(model, net=plain), files)
    names = [file.name for file in files]
    if like is None:
        return csv_table.default(names, points), weights
    return csv_table.like(like, names, points, model.labels), weights


def _write_notebook(built: nbformat.NotebookNode, model: Model, data: Path, file: Path) -> dict[str, float]:
    """Execute a notebook in its folder, check what it measures, and write it. Returns what it measured."""
    claims.write(model.facts, None, file.parent / FACTS)
    run = notebook.execute(built, file.parent, data)
    measured = notebook.measured(run)
    _check_measured(model, measured)
    nbformat.write(run, file)
    return measured


def members_of(stem: str) -> tuple[str, ...]:
    """The names of a submission's members, in the zip's order; `stem` is the zip's without '.zip'."""
    return f"{stem}.ipynb", PTH, FACTS, REPORT, SOURCES, CSV


def _publish(half: Path, out: Path, stem: str, part: claims.Claims) -> Submission:
    """Pack the zip and move what is complete from `half` to `out`, the zip last."""
    packed = half / f"{stem}.zip"
    archive.pack([half / member for member in members_of(stem)], packed)
    size_mb = packed.stat().st_size / 1e6
    with signals.held():
        (out / packed.name).unlink(missing_ok=True)
        csv, pdf, executed, packed = (
            (half / member).replace(out / member) for member in (CSV, REPORT, f"{stem}.ipynb", packed.name)
        )
    return Submission(packed, csv, pdf, executed, part.pages, part.test_images, size_mb, dict(part.measured))


def _check_data(model: Model, data: Path) -> None:
    """Refuse another data set, or another split of it, than the model was judged on."""
    task = replace(model.study.task, root=data)  # type: ignore[type-var]
    if task.identity() != model.facts.data.get("identity"):
        raise UserError(
            f"{data} is not the data that {model.folder} was trained and judged on, or the study splits it otherwise "
            "now; give --data the folder that `posefront retrain` was given."
        )


def _check_measured(model: Model, measured: dict[str, float]) -> None:
    """Refuse a model whose notebook does not measure what it claims."""
    for what, claim in claims.claimed(model.facts).items():
        value = measured.get(claims.NUMBERS[what], math.nan)
        if claim is not None and not claims.difference(claim, value) <= claims.TOLERANCE:
            raise UserError(
                f"the notebook measures {what} {value:,.6g} and {model.folder / FACTS} claims {claim:,.6g}; make the "
                f"model anew with `posefront retrain {model.facts.study} --trial {model.facts.trial}`."
            )


def _begin(out: Path, stem: str) -> Path:
    """A new folder inside `out` to work in; what killed runs left there is deleted."""
    half = out / half_name(stem)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for folder in out.glob("*@*@*.half"):
            if is_stale(folder) or folder == half:
                shutil.rmtree(folder, ignore_errors=True)
        half.mkdir()
    except OSError as error:
        raise unwritable(out, error, "--to") from error
    return half
