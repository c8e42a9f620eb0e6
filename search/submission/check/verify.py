"""A submission checked by what it says: nothing in the zip is run, and every number is measured again.

The network is rebuilt from the recorded configuration, the packed weights are loaded into the source that this version
writes for it, and the validation part is answered anew. Where all is right so far, this version's own notebook is run
on these weights, and its own report is printed; what is packed must be the same.
"""

import copy
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import torch
from nbformat import NotebookNode
from pydantic import TypeAdapter
from torch import nn

from data.errors import UserError
from data.storage.batches import batches
from data.storage.pack import Part
from models.cost import cost
from search.after.model import FACTS, PTH, Facts, Model
from search.after.model import digest as sha256
from search.config_record import OWN, config_of
from search.format import named
from search.load import load_study
from search.objective import log_score, score
from search.run.training import clean
from search.study import Config, Study, replay
from search.submission import archive, claims, sources
from search.submission.author import file_name
from search.submission.check import compare, csv_check, history
from search.submission.check.checks import Check, Verdict, failed, first_line, number, truth
from search.submission.check.csv_check import Test
from search.submission.claims import NUMBERS, Claims
from search.submission.forms import CSV, REPORT, SOURCES, Form, form_of, form_of_file, numbers, outputs
from search.submission.notebook import build as notebook
from search.submission.notebook import network_source
from search.submission.report import typeset as report
from search.submission.sources import Sources

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
    sources: Sources  # of the report
    data: Path | None  # the data set's folder; None for the study's own

    @property
    def form(self) -> Form:
        """What it is to hold."""
        return form_of_file(self.stem)

    @property
    def notebook(self) -> Path:
        """The packed notebook."""
        return self.folder / f"{self.stem}.ipynb"


@dataclass(frozen=True)
class Rebuilt:
    """The network of a submission."""

    model: Model  # as recorded, with fresh weights and the packed curves
    net: nn.Module  # with the packed weights: as deployed where a notebook builds it


def verify(
    file: Path,
    data: Path | None,
    *,
    study: str | None = None,
    test: Path | None = None,
    boxes: Path | None = None,
    retrain: Callable[[Facts], float] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Check a submission against its claims.

    Args:
        file: the zip.
        data: the data set's folder; None for the study's own, whose images are drawn again if they are drawn.
        study: the study, by name or file; None for studies/NAME.py by the recorded name. A file that the submission
            names is never run.
        test: the test images, to answer them again; None leaves it, with a warning.
        boxes: where the objects in them are, where `submit` was told.
        retrain: trains again as recorded and answers the error, where all else is right; None leaves it.
        progress: told what is done next.

    Raises:
        UserError: the zip cannot be opened or could do harm, or the study, the data or the test images are not there.
    """
    with tempfile.TemporaryDirectory(prefix="posefront-") as private:
        folder, stem = Path(private), file.name.removesuffix(".zip")
        wanted = form_of_file(stem).members(stem)
        members = archive.unpack(file, folder, wanted)
        verdict = Verdict(list(form(file, stem, wanted, members)))
        if not all((folder / name).is_file() for name in wanted):
            return verdict
        try:
            facts, part = claims.read(folder / FACTS)
            opened = Opened(folder, stem, facts, part, sources.read(folder / SOURCES), data)
        except UserError as error:
            return Verdict([*verdict.lines, failed("records", error)])
        progress("measuring the packed weights on the validation images")
        network = contents(opened, recorded(opened, study), test, boxes, verdict.lines)
        if network is not None and verdict.passed:
            verdict.lines.extend(made_again(opened, network, progress))
        if retrain is not None and verdict.passed:
            progress("training again")
            verdict.lines.append(number(f"{named(facts.metric)}, trained again", facts.error, retrain(facts)))
    return verdict


def contents(opened: Opened, study: Study, test: Path | None, boxes: Path | None, lines: list[Check]) -> Rebuilt | None:
    """Add all checks of an unpacked submission but for its form and what is made again; its network if it is right."""
    lines += unchanged(opened)
    wanted = form_of(study.task)
    text = f"a submission of the study {opened.facts.study!r} is called English_Name{wanted.ending}.zip; pack it again."
    lines.append(truth("kind of submission", wanted is opened.form, opened.form.ending, text))
    lines += consistent(opened)
    model, net, found = rebuilt(opened, study)
    lines += found
    if model is not None:
        told = Verdict(list(history.checks(opened.facts, opened.sources, study, model.config)))
        lines += told.lines
        lines += cells(opened, model) if told.passed and opened.form.notebook else []  # which prints what is told
    network = Rebuilt(model, net) if model is not None and net is not None else None
    if network is not None:
        lines += measured_again(opened, network)
    lines += csv_check.checks(
        opened.folder / CSV,
        opened.claims,
        study.task,
        None if network is None else replace(network.model, net=network.net),
        None if test is None else Test(opened.form, test, opened.data, boxes),
    )
    return network


def form(file: Path, stem: str, wanted: tuple[str, ...], members: list[str]) -> Iterator[Check]:
    """The zip's own name, its members and its size."""
    ending = form_of_file(stem).ending
    right = file.name == f"{stem}.zip" and stem.endswith(ending) and stem != ending
    yield truth("file name", right, file.name, f"{file.name} must be called English_Name{ending}.zip; rename it.")
    missing = [name for name in wanted if name not in members]
    yield truth("members", not missing, f"{len(members)}", f"{file.name} lacks {', '.join(missing)}; pack it again.")
    others = [name for name in members if name not in wanted]
    data = [name for name in others if name.lower().endswith(_PICTURES)]
    what = f"{data[0]!r}, which is data" if data else f"{others[0]!r}, which has no place in it" if others else ""
    yield truth("no data inside", not others, f"{len(others)} others", f"{file.name} holds {what}; take it out.")
    more = archive.hidden(file)
    yield truth("nothing hidden", not more, more or "nothing", f"{file.name} holds {more}; pack it again.")
    size = f"{file.stat().st_size / 1e6:.2f} MB"
    yield truth("size", True, size, "", f"at most {archive.MOST_MB} MB")  # `unpack` has refused a larger one


def unchanged(opened: Opened) -> Iterator[Check]:
    """Every member and the claims themselves are as they were packed, by the author whose name the zip has."""
    members = set(opened.form.members(opened.stem)) - {FACTS}
    for name in sorted(members):
        there, claim = sha256(opened.folder / name), opened.claims.members.get(name, "")
        text = f"{name} was changed after it was packed, or is another submission's; pack it again."
        yield truth(f"{name} as packed", there == claim, there[:12], text, claim[:12])
    others = sorted(opened.claims.members.keys() - members)
    text = f"model.json names {', '.join(others)[:80]!r} as members, which are none; pack it again."
    there, claim = claims.digest(opened.facts), opened.claims.facts_sha256
    text = "a claim in model.json was changed after it was packed; pack it again." if not others else text
    yield truth("model.json as packed", there == claim and not others, there[:12], text, claim[:12])
    try:
        own = file_name(opened.claims.author) + opened.form.ending
    except UserError as error:
        yield failed("author", error)
        return
    text = f"{opened.stem}.zip is called otherwise than its author {opened.claims.author!r}; pack it again."
    yield truth("author", own == opened.stem, opened.stem, text, own)


def consistent(opened: Opened) -> Iterator[Check]:
    """The claimed numbers fit one another."""
    facts = opened.facts
    if facts.score is not None:
        log = log_score(facts.params_count / 1e6, facts.flops / 1e9, facts.error)
        yield number("score of the claimed numbers", facts.score, score(log), _ROUNDED)


def recorded(opened: Opened, study: str | None) -> Study:
    """The study that a submission is of.

    Raises:
        UserError: it is not known here.
    """
    return load_study(study or claims.study_name(opened.facts), data=opened.data)


def rebuilt(opened: Opened, study: Study) -> tuple[Model | None, nn.Module | None, list[Check]]:
    """The recorded network, and the one of `Rebuilt.net`; None for what cannot be built."""
    facts, folder = opened.facts, opened.folder
    try:
        config = config_of(study, facts.params, facts.config)
        check_types(config)
        if facts.config is None and (unknown := facts.params.keys() - replay(study, facts.params)[1].keys()):
            raise ValueError(f"{min(unknown)} is none of its parameters")
        net, price = config.arch.build().eval(), cost(config.arch)
        handed = copy.deepcopy(net)
        if opened.form.notebook:
            handed = network_source.plain(network_source.source(net, config.arch.input_shape))
    except (ValueError, TypeError, KeyError, OverflowError, RuntimeError, AttributeError, UserError) as error:
        reason = first_line(error)
        text = f"the recorded parameters make no network of the study {facts.study!r} ({reason}); pack it again."
        return None, None, [truth("network rebuilt", False, "none", text)]
    model = Model(folder, facts, opened.sources.curves, study, config, net, price)
    lines = [truth("network rebuilt", True, f"{price.params:,} params", "")]
    wrong = archive.load_weights(handed, folder / PTH)
    lines.append(truth("weights fit it", not wrong, wrong or "all finite", f"{PTH}: {wrong}; pack it again."))
    return model, None if wrong else handed, lines


def check_types(config: Config) -> None:
    """Refuse a configuration whose fields are of other types than they are declared: the notebook's code is made of it.

    Raises:
        ValueError: it names the field.
    """
    for part in (config.arch, config.training, config.augment):
        if is_dataclass(part) and type(part).__module__.partition(".")[0] in OWN:
            kept = {field.name: getattr(part, field.name) for field in fields(part)}
            TypeAdapter(type(part)).validate_json(json.dumps(kept), strict=True)


def cells(opened: Opened, model: Model) -> Iterator[Check]:
    """The notebook but for its answers is this version's for this network; it was run, and measured what is claimed."""
    try:
        packed, content = archive.read_notebook(opened.notebook)
        measured = notebook.measured(packed)
        own = own_notebook(opened, model)
    except UserError as error:
        yield failed("notebook", error, opened.folder)
        return
    yield from same_code(opened, packed, own)
    yield differing("notebook's cells", unanswered(content), unanswered(as_json(own)))
    for what, claim in claims.claimed(opened.facts).items():
        if claim is not None:
            yield number(f"{what} in the notebook", claim, measured.get(NUMBERS[what]))
    same = measured == dict(opened.claims.measured)
    text = "model.json repeats other numbers than the notebook printed; pack it again."
    yield truth("notebook's numbers in model.json", same, f"{len(measured)}", text, f"{len(opened.claims.measured)}")


def own_notebook(opened: Opened, model: Model) -> NotebookNode:
    """The notebook that this version builds for the packed network and csv.

    Raises:
        UserError: the csv follows no sample, though it is said to; or there is no such notebook.
    """
    layout = csv_check.layout(opened.folder / CSV, model.study.task) if opened.claims.like_sample else None
    try:
        return notebook.build(model, opened.claims.author, layout=layout)
    except UserError:
        raise
    except Exception as error:  # whatever a stranger's record makes of a notebook is said
        raise UserError(f"model.json makes no notebook ({first_line(error)[:200]}); pack it again.") from error


def as_json(book: NotebookNode) -> Any:
    """A notebook as its file has it."""
    return json.loads(nbformat.writes(book))


def unanswered(content: Any) -> Any:
    """A notebook's JSON without what its cells answered."""
    bare = copy.deepcopy(content)
    for cell in bare["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return bare


def differing(name: str, packed: Any, own: Any) -> Check:
    """Whether a packed notebook is our own; the message names the first place where it is not."""
    places = list(compare.notebooks(packed, own))
    where, what = places[0] if places else ((), "")
    more = f" ({len(places) - 1} more)" if len(places) > 1 else ""
    text = f"the notebook, {compare.shown(where)}: {what}{more}; pack it again.".replace("\n", " ")
    return truth(name, not places, f"{len(own['cells'])} cells", text)


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


def measured_again(opened: Opened, network: Rebuilt) -> Iterator[Check]:
    """The error, params, FLOPs, score and answers of the packed weights on the validation part."""
    model, net, facts = network.model, network.net, opened.facts
    task, plain = model.study.task, opened.form.notebook
    split = task.split(model.config.arch.size)
    answer = (lambda part: outputs_of(net, model, part)) if plain else partial(outputs, replace(model, net=net))
    answered = answer(split.valid)
    there = numbers(model, answered)
    if plain:
        there["params"] = sum(parameter.numel() for parameter in net.parameters())
    for what, claim in claims.claimed(facts).items():
        yield number(what, claim, there.get(what))
    if facts.train_error is not None:
        part = clean.sample(split)
        error = task.error(answer(part), part)
        yield number(f"{named(facts.metric)} on training images", facts.train_error, error)
        yield number("training images judged", facts.train_images, len(part.rows), 0)
    if opened.sources.answers is not None:
        yield history.answered(opened.sources.answers, answered, task, model.config, facts.epochs)


@torch.inference_mode()
def outputs_of(plain: nn.Module, model: Model, part: Part) -> Any:
    """What a network answers for a part, an array in its order."""
    task, size, cpu = model.study.task, model.config.arch.size, torch.device("cpu")
    answered = [
        plain(task.inputs(pixels, size).contiguous(memory_format=torch.channels_last)).float()
        for pixels, _ in batches(part.pixels, part.rows, part.targets, _BATCH, cpu)
    ]
    return torch.cat(answered).numpy()


def made_again(opened: Opened, network: Rebuilt, progress: Callable[[str], None]) -> Iterator[Check]:
    """This version's notebook run on the packed weights, and its report, beside those that are packed."""
    if opened.form.notebook:
        progress("executing the notebook again")
        yield run_again(opened, network.model)
    progress("printing the report again")
    yield printed_again(opened, network.model)


def run_again(opened: Opened, model: Model) -> Check:
    """The answers of the notebook's cells."""
    with tempfile.TemporaryDirectory(prefix="posefront-") as private:
        claims.write(opened.facts, None, Path(private) / FACTS)
        shutil.copy(opened.folder / PTH, private)
        try:
            run = notebook.execute(own_notebook(opened, model), Path(private), opened.data or model.study.task.folder())
        except UserError as error:
            return failed("notebook's answers", error, opened.folder)
    _, content = archive.read_notebook(opened.notebook)
    return differing("notebook's answers", content, as_json(run))


def printed_again(opened: Opened, model: Model) -> Check:
    """The report: the same bytes where it is printed with the same versions, else the same text."""
    name, packed = "report", (opened.folder / REPORT).read_bytes()
    file = opened.folder / f"own {REPORT}"
    try:
        pages = report.write(sources.content(model, opened.sources, opened.claims.author), file)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's record makes of a report is said
        return truth(name, False, "", f"report.json makes no report ({first_line(error)}); pack it again.")
    own = file.read_bytes()
    if packed == own:
        text = f"model.json says that {REPORT} has {opened.claims.pages} pages, and it has {pages}; pack it again."
        return truth(name, pages == opened.claims.pages, f"{pages} pages, the same bytes", text)
    wrong, there, here = compare.pages(packed, own), opened.sources.printed_with, sources.printers()
    if not wrong and there != here:
        other = (
            ", ".join(f"{key} {value[:20]}" for key, value in there.items() if here.get(key) != value)[:200] or "others"
        )
        text = f"{REPORT} has the right words; its drawings were not compared, for it was printed with {other}."
        return truth(name, False, "the same words", text, warning=True)
    text = f"{REPORT} is not what this version prints: {wrong or 'its drawings, or something hidden, differ'}."
    return truth(name, False, "", text.replace("\n", " "))
