"""A submission checked by what it says: nothing in the zip is run, and every number is measured again.

The network is rebuilt from the study and the recorded parameters, the packed weights are loaded into the source that
this version writes for it, and the validation part is answered anew.
"""

import math
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from data.errors import UserError
from data.tasks.freihand import FreiHand
from models.cost import cost
from models.plan import CostError
from models.readings import read as read_all
from search.after.model import FACTS, PTH, Facts, Model
from search.after.model import digest as sha256
from search.load import load_study
from search.study import replay
from search.submission import archive, bundle, network, notebook, table
from search.submission.bundle import CSV, ENDING, REPORT
from search.submission.checks import Check, Verdict, failed, first_line, number, truth
from search.submission.claims import NUMBERS, Claims, claimed, digest, names_digest, read
from search.submission.layout import named, recognised
from search.submission.opening import error_of, load, opened_notebook

PIXELS = 0.25
"""By which an answer for a test image may differ on another machine; a GPU's convolutions have ten bits."""

PAGES = (2, 6)
"""Of the report, from and to."""

_ROUNDED = 1e-4  # per cent by which numbers that were computed from one another may differ
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".npy", ".npz", ".json", ".csv")


@dataclass(frozen=True)
class Opened:
    """An unpacked submission.

    Attributes:
        folder: with its members.
        stem: the zip's name without '.zip'.
        facts: of the model.
        claims: of the submission.
        data: FreiHAND's folder; None for the study's own.
        device: where to compute.
    """

    folder: Path
    stem: str
    facts: Facts
    claims: Claims
    data: Path | None
    device: torch.device


def verify(
    file: Path,
    data: Path | None,
    *,
    study: str | None = None,
    test: Path | None = None,
    retrain: Callable[[Facts], float] | None = None,
    device: torch.device | str = "cpu",
) -> Verdict:
    """Check a submission against its claims.

    Args:
        file: the zip.
        data: FreiHAND's folder; None for the study's own, whose hands are then drawn again.
        study: the study, by name or file; None for studies/NAME.py by the recorded name. A file that the submission
            names is never run.
        test: the test images, to answer them again; None leaves it.
        retrain: trains again as recorded and answers the error, where all else is right; None leaves it.
        device: where to compute.

    Raises:
        UserError: the zip cannot be opened or could do harm, or the study, the data or the test images are not there.
    """
    lines: list[Check] = []
    with tempfile.TemporaryDirectory(prefix="posefront-") as private:
        folder, stem = Path(private), file.name.removesuffix(".zip")
        wanted = (f"{stem}.ipynb", PTH, FACTS, REPORT, CSV)
        found = archive.unpack(file, folder, wanted)
        lines += form(file, stem, wanted, found)
        missing = [name for name in wanted if not (folder / name).is_file()]
        if missing:
            return Verdict(lines)
        try:
            facts, claims = read(folder / FACTS)
        except UserError as error:
            return Verdict([*lines, failed("model.json", error)])
        opened = Opened(folder, stem, facts, claims, data, torch.device(device))
        lines += unchanged(opened)
        lines += consistent(opened)
        model, plain, more = rebuilt(opened, study)
        lines += more
        if model is not None:
            lines += split(opened, model)
            lines += code(opened, model)
        if model is not None and plain is not None:
            lines += measured_again(opened, model, plain)
            lines += answers(opened, replace(model, net=plain), test)
        else:
            lines += answers(opened, None, None)
        if retrain is not None and all(line.passed for line in lines):
            lines.append(number("PixelDiff, trained again", facts.error, retrain(facts)))
    return Verdict(lines)


def form(file: Path, stem: str, wanted: tuple[str, ...], found: list[str]) -> Iterator[Check]:
    """The zip's own name, its members and its size."""
    name = stem.removesuffix(ENDING)
    right = file.name == f"{name}{ENDING}.zip" and re.fullmatch(r"[A-Za-z0-9'_-]*[A-Za-z][A-Za-z0-9'_-]*", name)
    yield truth("file name", bool(right), file.name, f"{file.name} must be called English_Name{ENDING}.zip; rename it.")
    missing = [name for name in wanted if name not in found]
    yield truth("members", not missing, f"{len(found)}", f"{file.name} lacks {', '.join(missing)}; pack it again.")
    others = [name for name in found if name not in wanted]
    data = [name for name in others if name.lower().endswith(_PICTURES)]
    what = f"{data[0]!r}, which is data" if data else f"{others[0]!r}, which has no place in it" if others else ""
    yield truth("no data inside", not others, f"{len(others)} others", f"{file.name} holds {what}; take it out.")
    size = f"{file.stat().st_size / 1e6:.2f} MB"
    yield truth("size", True, size, "", f"at most {archive.MOST_MB} MB")  # `unpack` has refused a larger one


def unchanged(opened: Opened) -> Iterator[Check]:
    """Every member and the claims themselves are as they were packed."""
    members = {f"{opened.stem}.ipynb", PTH, REPORT, CSV}
    for name in sorted(members):
        there, said = sha256(opened.folder / name), opened.claims.members.get(name, "")
        text = f"{name} was changed after it was packed, or is another submission's; pack it again."
        yield truth(f"{name} as packed", there == said, there[:12], text, said[:12])
    there, said = digest(opened.facts), opened.claims.facts_sha256
    text = "a claim in model.json was changed after it was packed; pack it again."
    yield truth("model.json as packed", there == said, there[:12], text, said[:12])
    try:
        own = bundle.file_name(opened.claims.author) + ENDING
    except UserError as error:
        yield failed("author", error)
        return
    text = f"{opened.stem}.zip is called otherwise than its author {opened.claims.author!r}; pack it again."
    yield truth("author", own == opened.stem, opened.stem, text, own)


def consistent(opened: Opened) -> Iterator[Check]:
    """The claimed numbers fit one another, and the report is one."""
    facts = opened.facts
    if facts.score is not None:
        log = math.log(facts.params_count / 1e6) + math.log(facts.flops / 1e9) + facts.error
        there = math.exp(log) if log < 709 else None
        yield number("score of the claimed numbers", facts.score, there, _ROUNDED)
    report = (opened.folder / REPORT).read_bytes()
    pages = len(re.findall(rb"/Type\s*/Page\b", report)) if report.startswith(b"%PDF-") else 0
    right = pages == opened.claims.pages and PAGES[0] <= pages <= PAGES[1]
    text = f"{REPORT} has {pages} pages instead of {opened.claims.pages}, of {PAGES[0]} to {PAGES[1]}; pack it again."
    yield truth("pages of the report", right, str(pages), text, str(opened.claims.pages))


def rebuilt(opened: Opened, study: str | None) -> tuple[Model | None, nn.Module | None, list[Check]]:
    """The recorded network, and the plain one with the packed weights; None for what cannot be made.

    Raises:
        UserError: the study is not known here.
    """
    facts, where = opened.facts, opened.folder
    if study is None and not re.fullmatch(r"[\w-]+", facts.study):
        raise UserError(f"the submission's study {facts.study!r} is no name; give its file with --study.")
    chosen = load_study(study or facts.study, data=opened.data)
    try:
        config, asked = replay(chosen, facts.params)
        unknown = sorted(facts.params.keys() - asked.keys())
        if unknown:
            raise ValueError(f"{unknown[0]} is none of its parameters")
        net, price = config.arch.build().eval(), cost(config.arch)
        plain = network.plain(network.source(net, config.arch.input_shape))
    except (ValueError, TypeError, KeyError, OverflowError, RuntimeError, CostError) as error:
        reason = first_line(error)
        text = f"the recorded parameters make no network of the study {facts.study!r} ({reason}); pack it again."
        return None, None, [truth("network rebuilt", False, "none", text)]
    model = Model(where, facts, [], chosen, config, net, price)
    lines = [truth("network rebuilt", True, f"{price.params:,} params", "")]
    wrong = load(plain, where / PTH)
    lines.append(truth("weights fit it", not wrong, wrong or "all finite", f"{PTH}: {wrong}; pack it again."))
    return model, None if wrong else plain, lines


def split(opened: Opened, model: Model) -> Iterator[Check]:
    """The data and their split are those of the claim."""
    said, task = opened.facts.data, model.study.task
    there = task.identity()
    text = (
        f"{opened.data or task.root} holds other data than the claim is about, or the study splits them otherwise now."
    )
    yield truth("data and split", there == said["identity"], there, text, said["identity"])
    rows = task.split(model.config.arch.size).valid.rows.tolist()
    text = "the recorded validation images are not the study's validation part."
    yield truth("validation images", rows == said["valid_rows"], f"{len(rows):,}", text, f"{len(said['valid_rows']):,}")


def code(opened: Opened, model: Model) -> Iterator[Check]:
    """The notebook is this network's, was run from start to end, and measured what is claimed."""
    try:
        given = opened_notebook(opened.folder / f"{opened.stem}.ipynb")
        layout = None
        if opened.claims.like_sample:
            csv = opened.folder / CSV
            written = table.read(csv)
            layout = recognised(written.header, written.rows, csv, len(FreiHand.labels), FreiHand.labels)
        wanted = notebook.build(model, opened.claims.author, layout=layout)
        measured = notebook.measured(given)
    except UserError as error:
        yield failed("notebook", error, opened.folder)
        return
    cells, own = ([cell for cell in book.cells if cell.cell_type == "code"] for book in (given, wanted))
    source = next(cell.source for cell in own if "class Net(nn.Module)" in cell.source)
    made = opened.facts.versions
    packed = f"it was packed by posefront {made.get('posefront')!r} with torch {made.get('torch')!r}"
    text = f"the notebook's network is not what this version writes for the recorded parameters ({packed})."
    yield truth("notebook's network", source in [cell.source for cell in cells], "this network's", text)
    text = f"the notebook's code is not what this version writes ({packed})."
    same = [cell.source for cell in cells] == [cell.source for cell in own]
    yield truth("notebook's code", same, f"{len(cells)} cells", text, f"{len(own)} cells")
    runs = [cell.get("execution_count") for cell in cells]
    text = "the notebook was not run from start to end; pack it again."
    yield truth("notebook was run", runs == list(range(1, len(cells) + 1)), "start to end", text)
    for what, claim in claimed(opened.facts).items():
        if claim is not None:
            yield number(f"{what} in the notebook", claim, measured.get(NUMBERS[what]))
    same = measured == dict(opened.claims.measured)
    text = "model.json repeats other numbers than the notebook printed; pack it again."
    yield truth("notebook's numbers in model.json", same, f"{len(measured)}", text, f"{len(opened.claims.measured)}")


def measured_again(opened: Opened, model: Model, plain: nn.Module) -> Iterator[Check]:
    """PixelDiff, params, FLOPs and score of the packed weights on the validation part."""
    found = error_of(plain, model, opened.device)
    attributes = model.study.objective.attributes(read_all(model.study.readings, model.config.arch), found)
    there = {
        "PixelDiff": found,
        "params": sum(parameter.numel() for parameter in plain.parameters()),
        "FLOPs": model.price.flops,
        "score": attributes.get("score"),
    }
    for what, claim in claimed(opened.facts).items():
        value = there[what]
        yield number(what, claim, None if isinstance(value, str) else value)


def answers(opened: Opened, model: Model | None, test: Path | None) -> Iterator[Check]:
    """The csv: its rows, its numbers, and with test images its answers."""
    csv, count = opened.folder / CSV, len(FreiHand.labels)
    try:
        given = table.read(csv)
        yield number("rows of the csv", opened.claims.csv_rows, len(given.rows), 0)
        layout = recognised(given.header, given.rows, csv, count, FreiHand.labels)
        keys = {named(layout, row) for row in given.rows}
        text = f"{CSV} names a row twice; pack it again."
        yield truth("rows are named once", len(keys) == len(given.rows), f"{len(keys):,} names", text)
        images = len({image for image, _, _ in keys})
        yield number("images in the csv", opened.claims.test_images, images, 0)
        wrong = next((row for row in given.rows if not all(is_finite(row[i]) for i in layout.columns)), None)
        text = f"{CSV}: the row of {named(layout, wrong)[0]!r} holds what is no finite number." if wrong else ""
        yield truth("coordinates are finite", wrong is None, f"{len(given.rows):,} rows", text)
        if test is None or model is None or wrong is not None:
            return
        files = bundle.test_images(test, opened.data or model.study.task.root)
        same = names_digest(files) == opened.claims.test_names_sha256
        text = f"{test} holds other test images than the csv was made for."
        yield truth("test images", same, f"{len(files):,}", text, f"{opened.claims.test_images:,}")
        points = bundle.locate(model, files, opened.device)
        again = table.like(csv, [file.name for file in files], points, FreiHand.labels)
    except UserError as error:
        if not str(error).startswith(str(csv)):  # of the test images
            raise
        yield failed("csv", error, opened.folder)
        return
    worst, name = max(
        (abs(float(row[i]) - float(own[i])), named(layout, row)[0])
        for row, own in zip(given.rows, again.rows, strict=True)
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
