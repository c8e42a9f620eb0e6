"""A trained model as it is handed in: csv of the test images, report, weights, claims, for the course a notebook.

`search.submission.forms` says what a zip holds.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import torch
from torch import Tensor, nn

from data.errors import UserError
from data.storage.files import half_name, is_stale
from search import signals
from search.after.model import FACTS, PTH, Model
from search.after.model import digest as sha256
from search.paths import unwritable
from search.results.view import View
from search.submission import archive, claims, csv_table, sources
from search.submission.author import file_name
from search.submission.forms import CSV, REPORT, SOURCES, Answered, Form, form_of, numbers, outputs
from search.submission.notebook import build as notebook
from search.submission.notebook import network_source
from search.submission.report import typeset as report


@dataclass(frozen=True)
class Submission:
    """What was written."""

    zip: Path  # what is handed in
    csv: Path  # what a competition takes; the same as in the zip, as are report and notebook
    report: Path  # Report.pdf
    notebook: Path | None  # executed; None of a form without one
    pages: int  # of the report
    images: int  # test images, or objects in them
    size_mb: float  # of the zip, 10^6 bytes
    measured: dict[str, float]  # what the notebook measured, see `notebook.measured`; empty without one


def submit(
    model: Model,
    view: View,
    name: str,
    test: Path,
    data: Path,
    out: Path,
    *,
    like: Path | None = None,
    boxes: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Submission:
    """Answer the test images, run the notebook, print the report, pack the zip, as the task's form has it.

    All is made in a folder of its own inside `out` and moved when it is complete, the zip last: a zip in `out` belongs
    to the files beside it, and whatever goes wrong leaves `out` as it was.

    Args:
        model: what is handed in.
        view: the search that it comes from, for the report.
        name: the author's, see `file_name`.
        test: a folder of test images, see `Form.answered`.
        data: the data set's folder, whose validation images are measured on.
        out: a folder, made if need be.
        like: the organiser's sample csv, to follow.
        boxes: where the objects in the test images are; None to take each image as one.
        progress: told what is done next.

    Raises:
        UserError: a name, an image, a folder or a sample that will not do; a model that does not measure what it
            claims; a zip that is too large.
    """
    form = form_of(model.study.task)
    stem = file_name(name) + form.ending
    if form.notebook and boxes is not None:
        raise UserError("the course's test images show one hand each, which fills them; leave --boxes out.")
    _check_data(model, data)
    progress("answering the test images")
    net, weights = _handed_in(model, form)
    answered = form.answered(replace(model, net=net), test, data, boxes, progress)
    table = _table(answered, model, like)
    half = _begin(out, stem)
    try:
        csv_table.write(table, half / CSV)
        torch.save(weights, half / PTH)
        measured = {}
        if form.notebook:
            progress("executing the notebook on the validation images")
            layout = None if like is None else table.layout
            measured = _write_notebook(notebook.build(model, name, layout=layout), model, data, half / f"{stem}.ipynb")
        else:
            progress("measuring on the validation images")
            valid = model.study.task.split(model.config.arch.size).valid
            _check_measured(model, numbers(model, outputs(model, valid)), "the packed network")
        progress("printing the report")
        sources.write(sources.gathered(model, view), half / SOURCES)
        pages = report.write(sources.content(model, sources.read(half / SOURCES), name), half / REPORT)
        progress("packing")
        part = claims.Claims(
            author=name,
            members={member: sha256(half / member) for member in form.members(stem) if member != FACTS},
            facts_sha256=claims.digest(model.facts),
            test_images=len(answered.names),
            test_names_sha256=claims.names_digest(answered.names),
            csv_rows=len(table.rows),
            like_sample=like is not None,
            pages=pages,
            measured=measured,
        )
        claims.write(model.facts, part, half / FACTS)
        return _publish(half, out, stem, form, part)
    except OSError as error:
        raise unwritable(out, error, "--to") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _handed_in(model: Model, form: Form) -> tuple[nn.Module, dict[str, Tensor]]:
    """The network that answers the test images, and its weights: the plain one where a notebook builds it."""
    if not form.notebook:
        return model.net, {name: tensor.cpu() for name, tensor in model.net.state_dict().items()}
    plain = network_source.plain(network_source.source(model.net, model.config.arch.input_shape))
    weights = network_source.weights(model.net)
    plain.load_state_dict(weights)
    return plain, weights


def _table(answered: Answered, model: Model, like: Path | None) -> csv_table.Table:
    """The csv of answers."""
    if like is None:
        return csv_table.default(answered.names, answered.points)
    return csv_table.like(like, answered.names, answered.points, model.labels)


def _write_notebook(built: nbformat.NotebookNode, model: Model, data: Path, file: Path) -> dict[str, float]:
    """Execute a notebook in its folder, check what it measures, and write it. Returns what it measured."""
    claims.write(model.facts, None, file.parent / FACTS)
    run = notebook.execute(built, file.parent, data)
    measured = notebook.measured(run)
    _check_measured(model, {what: measured.get(key) for what, key in claims.NUMBERS.items()}, "the notebook")
    nbformat.write(run, file)
    return measured


def _publish(half: Path, out: Path, stem: str, form: Form, part: claims.Claims) -> Submission:
    """Pack the zip and move what is complete from `half` to `out`, the zip last."""
    packed, book = half / f"{stem}.zip", f"{stem}.ipynb"
    archive.pack([half / member for member in form.members(stem)], packed)
    size_mb = packed.stat().st_size / 1e6
    with signals.held():
        (out / packed.name).unlink(missing_ok=True)
        executed = (half / book).replace(out / book) if form.notebook else None
        csv, pdf, packed = ((half / member).replace(out / member) for member in (CSV, REPORT, packed.name))
    return Submission(packed, csv, pdf, executed, part.pages, part.test_images, size_mb, dict(part.measured))


def _check_data(model: Model, data: Path) -> None:
    """Refuse another data set, or another split of it, than the model was judged on."""
    task = model.study.task
    task = task if task.folder() == data else replace(task, root=data)  # type: ignore[type-var]
    if task.identity() != model.facts.data.get("identity"):
        raise UserError(
            f"{data} is not the data that {model.folder} was trained and judged on, or the study splits it otherwise "
            "now; give --data the folder that `posefront retrain` was given."
        )


def _check_measured(model: Model, measured: Mapping[str, float | None], by: str) -> None:
    """Refuse a model that does not measure what it claims."""
    for what, claim in claims.claimed(model.facts).items():
        value = measured.get(what)
        if claim is not None and not claims.difference(claim, value) <= claims.TOLERANCE:
            raise UserError(
                f"{by} measures {what} {value or math.nan:,.6g} and {model.folder / FACTS} claims {claim:,.6g}; make "
                f"the model anew with `posefront retrain {model.facts.study} --trial {model.facts.trial}`."
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
