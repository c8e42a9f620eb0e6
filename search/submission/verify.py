"""A submission checked by what it says: nothing in the zip is run, and every number is measured again.

The network is rebuilt from the recorded configuration, the packed weights are loaded into the source that this version
writes for it, and the validation part is answered anew.
"""

import math
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from nbformat import NotebookNode
from torch import nn

from data.errors import UserError
from data.storage.batches import batches
from models.cost import cost
from models.readings import read as read_all
from search.after.model import FACTS, PTH, Facts, Model
from search.after.model import digest as sha256
from search.config_record import config_of
from search.load import load_study
from search.objective import log_score, score
from search.study import Study, Task, replay
from search.submission import archive, csv_table, network_source, notebook
from search.submission.author import file_name
from search.submission.checks import Check, Verdict, failed, first_line, number, truth
from search.submission.claims import NUMBERS, Claims, claimed, digest, names_digest, read
from search.submission.course_images import locate, test_images
from search.submission.csv_layout import Layout, named, recognised
from search.submission.forms import COURSE, CSV, REPORT, SOURCES

PIXELS = 0.25
"""By which an answer for a test image may differ on another machine; a GPU's convolutions have ten bits."""

PAGES = (2, 6)
"""Of the report, from and to."""

_ROUNDED = 1e-4  # per cent by which numbers that were computed from one another may differ
_BATCH = 256
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".npy", ".npz", ".json", ".csv")


@dataclass(frozen=True)
class Opened:
    """An unpacked submission."""

    folder: Path  # with its members
    stem: str  # the zip's name without '.zip'
    facts: Facts  # of the model
    claims: Claims  # of the submission
    data: Path | None  # FreiHAND's folder; None for the study's own


def verify(
    file: Path,
    data: Path | None,
    *,
    study: str | None = None,
    test: Path | None = None,
    retrain: Callable[[Facts], float] | None = None,
) -> Verdict:
    """Check a submission against its claims.

    Args:
        file: the zip.
        data: FreiHAND's folder; None for the study's own, whose hands are then drawn again.
        study: the study, by name or file; None for studies/NAME.py by the recorded name. A file that the submission
            names is never run.
        test: the test images, to answer them again; None leaves it.
        retrain: trains again as recorded and answers the error, where all else is right; None leaves it.

    Raises:
        UserError: the zip cannot be opened or could do harm, or the study, the data or the test images are not there.
    """
    with tempfile.TemporaryDirectory(prefix="posefront-") as private:
        folder, stem = Path(private), file.name.removesuffix(".zip")
        wanted = (f"{stem}.ipynb", PTH, FACTS, REPORT, SOURCES, CSV)
        members = archive.unpack(file, folder, wanted)
        lines = list(form(file, stem, wanted, members))
        if not all((folder / name).is_file() for name in wanted):
            return Verdict(lines)
        try:
            facts, claims = read(folder / FACTS)
        except UserError as error:
            return Verdict([*lines, failed("model.json", error)])
        opened = Opened(folder, stem, facts, claims, data)
        lines += content(opened, recorded(opened, study), test)
        if retrain is not None and all(line.passed for line in lines):
            lines.append(number("PixelDiff, trained again", facts.error, retrain(facts)))
    return Verdict(lines)


def content(opened: Opened, study: Study, test: Path | None) -> Iterator[Check]:
    """All checks of an unpacked submission, but those of its form."""
    yield from unchanged(opened)
    yield from consistent(opened)
    model, plain, lines = rebuilt(opened, study)
    yield from lines
    if model is not None:
        yield from split(opened, model)
        yield from code(opened, model)
    if model is not None and plain is not None:
        yield from measured_again(opened, model, plain)
        yield from answers(opened, study.task, replace(model, net=plain), test)
    else:
        yield from answers(opened, study.task, None, None)


def form(file: Path, stem: str, wanted: tuple[str, ...], members: list[str]) -> Iterator[Check]:
    """The zip's own name, its members and its size."""
    name = stem.removesuffix(COURSE.ending)
    right = file.name == f"{name}{COURSE.ending}.zip" and re.fullmatch(r"[A-Za-z0-9'_-]*[A-Za-z][A-Za-z0-9'_-]*", name)
    yield truth(
        "file name", bool(right), file.name, f"{file.name} must be called English_Name{COURSE.ending}.zip; rename it."
    )
    missing = [name for name in wanted if name not in members]
    yield truth("members", not missing, f"{len(members)}", f"{file.name} lacks {', '.join(missing)}; pack it again.")
    others = [name for name in members if name not in wanted]
    data = [name for name in others if name.lower().endswith(_PICTURES)]
    what = f"{data[0]!r}, which is data" if data else f"{others[0]!r}, which has no place in it" if others else ""
    yield truth("no data inside", not others, f"{len(others)} others", f"{file.name} holds {what}; take it out.")
    size = f"{file.stat().st_size / 1e6:.2f} MB"
    yield truth("size", True, size, "", f"at most {archive.MOST_MB} MB")  # `unpack` has refused a larger one


def unchanged(opened: Opened) -> Iterator[Check]:
    """Every member and the claims themselves are as they were packed."""
    members = {f"{opened.stem}.ipynb", PTH, REPORT, SOURCES, CSV}
    for name in sorted(members):
        there, claim = sha256(opened.folder / name), opened.claims.members.get(name, "")
        text = f"{name} was changed after it was packed, or is another submission's; pack it again."
        yield truth(f"{name} as packed", there == claim, there[:12], text, claim[:12])
    there, claim = digest(opened.facts), opened.claims.facts_sha256
    text = "a claim in model.json was changed after it was packed; pack it again."
    yield truth("model.json as packed", there == claim, there[:12], text, claim[:12])
    try:
        own = file_name(opened.claims.author) + COURSE.ending
    except UserError as error:
        yield failed("author", error)
        return
    text = f"{opened.stem}.zip is called otherwise than its author {opened.claims.author!r}; pack it again."
    yield truth("author", own == opened.stem, opened.stem, text, own)


def consistent(opened: Opened) -> Iterator[Check]:
    """The claimed numbers fit one another, and the report is one."""
    facts = opened.facts
    if facts.score is not None:
        log = log_score(facts.params_count / 1e6, facts.flops / 1e9, facts.error)
        yield number("score of the claimed numbers", facts.score, score(log), _ROUNDED)
    report = (opened.folder / REPORT).read_bytes()
    pages = len(re.findall(rb"/Type\s*/Page\b", report)) if report.startswith(b"%PDF-") else 0
    right = pages == opened.claims.pages and PAGES[0] <= pages <= PAGES[1]
    text = f"{REPORT} has {pages} pages instead of {opened.claims.pages}, of {PAGES[0]} to {PAGES[1]}; pack it again."
    yield truth("pages of the report", right, str(pages), text, str(opened.claims.pages))


def recorded(opened: Opened, study: str | None) -> Study:
    """The study that a submission is of.

    Raises:
        UserError: it is not known here.
    """
    name = opened.facts.study
    if study is None and not re.fullmatch(r"[\w-]+", name):
        raise UserError(f"the submission's study {name!r} is no name; give its file with --study.")
    return load_study(study or name, data=opened.data)


def rebuilt(opened: Opened, study: Study) -> tuple[Model | None, nn.Module | None, list[Check]]:
    """The recorded network, and the plain one with the packed weights; None for what cannot be built."""
    facts, folder = opened.facts, opened.folder
    try:
        config = config_of(study, facts.params, facts.config)
        if facts.config is None and (unknown := facts.params.keys() - replay(study, facts.params)[1].keys()):
            raise ValueError(f"{min(unknown)} is none of its parameters")
        net, price = config.arch.build().eval(), cost(config.arch)
        plain = network_source.plain(network_source.source(net, config.arch.input_shape))
    except (ValueError, TypeError, KeyError, OverflowError, RuntimeError, UserError) as error:
        reason = first_line(error)
        text = f"the recorded parameters make no network of the study {facts.study!r} ({reason}); pack it again."
        return None, None, [truth("network rebuilt", False, "none", text)]
    model = Model(folder, facts, [], study, config, net, price)
    lines = [truth("network rebuilt", True, f"{price.params:,} params", "")]
    wrong = archive.load_weights(plain, folder / PTH)
    lines.append(truth("weights fit it", not wrong, wrong or "all finite", f"{PTH}: {wrong}; pack it again."))
    return model, None if wrong else plain, lines


def split(opened: Opened, model: Model) -> Iterator[Check]:
    """The data and their split are those of the claim."""
    claim, task = opened.facts.data, model.study.task
    there = task.identity()
    text = (
        f"{opened.data or task.root} holds other data than the claim is about, or the study splits them otherwise now."
    )
    yield truth("data and split", there == claim["identity"], there, text, claim["identity"])
    rows = task.split(model.config.arch.size).valid.rows.tolist()
    text = "the recorded validation images are not the study's validation part."
    yield truth(
        "validation images", rows == claim["valid_rows"], f"{len(rows):,}", text, f"{len(claim['valid_rows']):,}"
    )


def code(opened: Opened, model: Model) -> Iterator[Check]:
    """The notebook is this network's, was run from start to end, and measured what is claimed."""
    try:
        packed = archive.read_notebook(opened.folder / f"{opened.stem}.ipynb")
        layout = None
        if opened.claims.like_sample:
            csv = opened.folder / CSV
            table = csv_table.read(csv)
            layout = recognised(table.header, table.rows, csv, model.study.task.labels)
        own = notebook.build(model, opened.claims.author, layout=layout)
        measured = notebook.measured(packed)
    except UserError as error:
        yield failed("notebook", error, opened.folder)
        return
    yield from same_code(opened, packed, own)
    for what, claim in claimed(opened.facts).items():
        if claim is not None:
            yield number(f"{what} in the notebook", claim, measured.get(NUMBERS[what]))
    same = measured == dict(opened.claims.measured)
    text = "model.json repeats other numbers than the notebook printed; pack it again."
    yield truth("notebook's numbers in model.json", same, f"{len(measured)}", text, f"{len(opened.claims.measured)}")


def same_code(opened: Opened, packed: NotebookNode, own: NotebookNode) -> Iterator[Check]:
    """A packed notebook's code is what this version writes, and was run from start to end."""
    ours, theirs = ([cell for cell in each.cells if cell.cell_type == "code"] for each in (own, packed))
    source = next(cell.source for cell in ours if "class Net(nn.Module)" in cell.source)
    versions = opened.facts.versions
    by = f"it was packed by posefront {versions.get('posefront')!r} with torch {versions.get('torch')!r}"
    text = f"the notebook's network is not what this version writes for the recorded parameters ({by})."
    yield truth("notebook's network", source in [cell.source for cell in theirs], "this network's", text)
    text = f"the notebook's code is not what this version writes ({by})."
    same = [cell.source for cell in theirs] == [cell.source for cell in ours]
    yield truth("notebook's code", same, f"{len(theirs)} cells", text, f"{len(ours)} cells")
    runs = [cell.get("execution_count") for cell in theirs]
    text = "the notebook was not run from start to end; pack it again."
    yield truth("notebook was run", runs == list(range(1, len(theirs) + 1)), "start to end", text)


def measured_again(opened: Opened, model: Model, plain: nn.Module) -> Iterator[Check]:
    """PixelDiff, params, FLOPs and score of the packed weights on the validation part."""
    error = error_of(plain, model)
    attributes = model.study.objective.attributes(read_all(model.study.readings, model.config.arch), error)
    there = {
        "PixelDiff": error,
        "params": sum(parameter.numel() for parameter in plain.parameters()),
        "FLOPs": model.price.flops,
        "score": attributes.get("score"),
    }
    for what, claim in claimed(opened.facts).items():
        value = there[what]
        yield number(what, claim, None if isinstance(value, str) else value)


@torch.inference_mode()
def error_of(plain: nn.Module, model: Model) -> float:
    """The error of a network on the validation part."""
    task, size = model.study.task, model.config.arch.size
    part, cpu = task.split(size).valid, torch.device("cpu")
    outputs = [
        plain(task.inputs(pixels, size).contiguous(memory_format=torch.channels_last)).float()
        for pixels, _ in batches(part.pixels, part.rows, part.targets, _BATCH, cpu)
    ]
    return task.error(torch.cat(outputs).numpy(), part)


def answers(opened: Opened, task: Task, model: Model | None, test: Path | None) -> Iterator[Check]:
    """The csv: its rows, its numbers, and with test images its answers."""
    csv = opened.folder / CSV
    try:
        table = csv_table.read(csv)
        yield number("rows of the csv", opened.claims.csv_rows, len(table.rows), 0)
        layout = recognised(table.header, table.rows, csv, task.labels)
        keys = {named(layout, row) for row in table.rows}
        text = f"{CSV} names a row twice; pack it again."
        yield truth("rows are named once", len(keys) == len(table.rows), f"{len(keys):,} names", text)
        yield number("images in the csv", opened.claims.test_images, len({image for image, _, _ in keys}), 0)
        wrong = next((row for row in table.rows if not all(is_finite(row[i]) for i in layout.columns)), None)
        text = f"{CSV}: the row of {named(layout, wrong)[0]!r} holds what is no finite number." if wrong else ""
        yield truth("coordinates are finite", wrong is None, f"{len(table.rows):,} rows", text)
        if test is not None and model is not None and wrong is None:
            yield from answered_again(opened, table, layout, model, test)
    except UserError as error:
        if not str(error).startswith(str(csv)):  # of the test images
            raise
        yield failed("csv", error, opened.folder)


def answered_again(opened: Opened, table: csv_table.Table, layout: Layout, model: Model, test: Path) -> Iterator[Check]:
    """The test images are those of the csv, and the packed weights answer what it says."""
    files = test_images(test, opened.data or model.study.task.root)
    same = names_digest([file.name for file in files]) == opened.claims.test_names_sha256
    text = f"{test} holds other test images than the csv was made for."
    yield truth("test images", same, f"{len(files):,}", text, f"{opened.claims.test_images:,}")
    points = locate(model, files)
    again = csv_table.like(opened.folder / CSV, [file.name for file in files], points, model.study.task.labels)
    worst, name = max(
        (abs(float(row[i]) - float(own[i])), named(layout, row)[0])
        for row, own in zip(table.rows, again.rows, strict=True)
        for i in layout.columns
    )
    text = f"{CSV}: the row of {name!r} is {worst:.2f} px from what the packed weights answer."
    yield truth("answers for the test images", worst <= PIXELS, f"{worst:.4f} px", text, f"within {PIXELS:g} px")


def is_finite(cell: str) -> bool:
    """Whether a cell is a finite number."""
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
