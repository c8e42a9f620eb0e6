"""Report.pdf: what was searched, trained and measured, on two to six pages."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typst
from PIL import Image

from data.errors import UserError
from data.storage.files import replacing
from models.stages import plan
from search.after.model import Model
from search.format import digits
from search.objective import log_score
from search.results.ablation import Ablation as Measured
from search.results.answers import Answers, Example
from search.results.architecture import described, svg
from search.results.importance import Target, shares
from search.results.view import View
from search.submission import charts, sentences
from search.submission.layers import counted, layer, layers
from search.submission.reading import read
from search.submission.sentences import line

LAYOUT = Path(__file__).with_name("paper.typ")


@dataclass(frozen=True)
class Ablation:
    """One change to the network or its training, and what it did to the error.

    Attributes:
        name: of what was changed.
        change: how.
        mean: the error's change, in its unit; above 0 is worse.
        low: lower end of its interval; None where one pair of trainings has none.
        high: upper end.
        score: by what it multiplies the score; None where there is none.
    """

    name: str
    change: str
    mean: float
    low: float | None
    high: float | None
    score: float | None = None


@dataclass(frozen=True)
class Picture:
    """A drawing with what stands below it."""

    svg: str
    said: str


@dataclass(frozen=True)
class Content:
    """All that is printed, as plain values; an empty one leaves its part out.

    Attributes:
        title: of the paper.
        author: as given.
        date: as printed.
        study: the study's name and the trial's number, for the foot of the pages.
        summary: the result in a paragraph.
        formula: (Params [M], FLOPs [G], PixelDiff [px], score) as printed, where there is a score.
        result: a row for each reading: its name, this network's, the published design's; empty for none.
        architecture: the drawing (SVG).
        described: the drawing in words.
        layers: a row a layer: name, type, output shape, Params, FLOPs M, FLOPs M+A.
        totals: Params, M, M+A.
        counted: what the rows and totals are.
        losses: curves of training and validation loss (SVG).
        reading: what they say.
        errors: curve of the error (SVG).
        rates: curve of the learning rate (SVG).
        pareto: the search as price against error, and what it says.
        importance: bars of what each parameter explains, and how to read them.
        seeds: a row a training, the chosen one first: seed, errors with averaged and with last weights, which counts.
        seeded: their mean and spread as a sentence.
        ablations: changes and what they did, the most harmful one first.
        ablated: the same drawn, and how to read it.
        joints: bars of the error at each point (SVG).
        correct: PCK (SVG).
        accuracy: both in words.
        best: validation images with the smallest errors.
        worst: with the largest.
        commands: what makes all of this again, one after another.
        settings: names and values of the hyperparameters.
        origin: names and values of data, machine, versions, times.
        unit: of the errors.
    """

    title: str
    author: str
    date: str
    study: str
    summary: str
    formula: tuple[str, ...]
    result: tuple[tuple[str, str, str], ...]
    architecture: str
    described: str
    layers: tuple[tuple[str, ...], ...]
    totals: tuple[str, ...]
    counted: str
    losses: str
    reading: str
    errors: str
    rates: str
    pareto: Picture
    importance: Picture
    seeds: tuple[tuple[str, ...], ...]
    seeded: str
    ablations: tuple[Ablation, ...]
    ablated: Picture
    joints: str
    correct: str
    accuracy: str
    best: tuple[Picture, ...]
    worst: tuple[Picture, ...]
    commands: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    origin: tuple[tuple[str, str], ...]
    unit: str


def ablations_of(found: Measured | None) -> tuple[tuple[Ablation, ...], str]:
    """A trial's ablation as it is printed, and how it was measured; nothing of None."""
    if found is None or not found.ranked or found.base.error is None:
        return (), ""
    rows = tuple(
        Ablation(line(row.part), line(row.said.removeprefix(f"{row.part} ")), one.mean, one.low, one.high, row.factor)
        for row in found.ranked
        if (one := row.difference) is not None
    )
    spread = "" if found.base.error.half is None else f" \u00b1 {digits(found.base.error.half)}"
    as_it_is = f"{digits(found.base.error.mean)}{spread} {found.unit}".strip()
    return rows, (
        f"One choice changed at a time, {found.epochs:,} epoch{'s' * (found.epochs > 1)} each; as it is, the error is "
        f"{as_it_is} over {found.base.error.n} seed{'s' * (found.base.error.n > 1)}. {found.caution}"
    )


def write(content: Content, file: Path) -> int:
    """Typeset a paper; `file` is whole or as it was. Returns the number of its pages.

    Text is passed as data and printed as it is. A letter that the fonts of typst lack (Latin, Greek and Cyrillic are
    there, Chinese is not) becomes a box.

    Raises:
        UserError: the file cannot be written.
    """
    said = {"content": json.dumps(asdict(content), allow_nan=False)}
    printed = typst.compile(LAYOUT, ignore_system_fonts=True, sys_inputs=said)
    pages = typst.query(LAYOUT, "<pages>", field="value", one=True, ignore_system_fonts=True, sys_inputs=said)
    try:
        with replacing(file) as half:
            half.write_bytes(printed)
    except OSError as error:
        raise UserError(f"cannot write {file} ({error.strerror}); give --out a folder of yours.") from error
    return int(json.loads(pages))


def content(
    model: Model,
    view: View,
    answers: Answers | None,
    pictures: Callable[[int], bytes | None],
    author: str,
    *,
    title: str = "",
    commands: Sequence[str] = (),
    ablations: Sequence[Ablation] = (),
    ablated: str = "",
) -> Content:
    """Gather a paper.

    Args:
        model: the trained network.
        view: the study that it comes from.
        answers: its own for the validation part; None leaves out what is drawn from them.
        pictures: JPEG or PNG of a row of the data set, None where there is none.
        author: any text.
        title: any text; a general one where empty.
        commands: what makes the submission again; the ordinary ones where empty.
        ablations: measured ones.
        ablated: how they were measured, a sentence.

    Raises:
        UserError: a picture cannot be read.
    """
    facts, price, unit = model.facts, model.price, model.facts.unit
    scored, named = view.scored, "PixelDiff" if view.scored else "error"
    params_m, gflops = price.params / 1e6, price.flops / 1e9
    cost = log_score(params_m, gflops, 0.0)
    log = cost + facts.error if scored else None
    drawn, rows = plan(model.config.arch), layers(price)
    searched, missing = charts.pareto(view, cost, facts.error, facts.trial)
    targets: list[tuple[str, Target]] = [(named, "error"), ("ln(Params \u00d7 FLOPs)", "cost")]
    if scored:
        targets.insert(0, ("ln(score)", "value"))
    found = [(said, shares(view, target)) for said, target in targets]
    importance = charts.importance(found)
    cards: dict[str, list[Picture]] = {"best": [], "worst": []}
    for example in answers.examples if answers else ():
        if answers and example.rank in cards and example.true:
            cards[example.rank].append(card(example, answers, pictures(example.row), unit))
    return Content(
        title=line(title)
        or (
            "A small network for hand keypoints"
            if view.metric == "pixel_diff"
            else f"A network for {line(facts.study, 40)}"
        ),
        author=line(author),
        date=sentences.date(facts.made),
        study=f"{line(facts.study, 50)}, trial {facts.trial}",
        summary=sentences.summary(model, view, named, log),
        formula=()
        if log is None
        else (*map(sentences.digits, (params_m, gflops)), f"{facts.error:.3f}", sentences.score(log)),
        result=sentences.result(price, facts, log) if log is not None and view.metric == "pixel_diff" else (),
        architecture=svg(drawn, width=840, standalone=True),
        described=described(drawn),
        layers=tuple(map(layer, rows)),
        totals=tuple(f"{total:,}" for total in (price.params, price.flops_m, price.flops_ma)),
        counted=counted(price, len(rows)),
        losses=charts.losses(model.curves),
        reading=f"{read(model.curves[0]).said} {sentences.how_measured(model)}",
        errors=charts.errors(model.curves, f"validation {view.error_title}"),
        rates=charts.rates(model.curves[0]),
        pareto=Picture(searched, sentences.pareto(view, missing, facts.trial)),
        importance=Picture(importance, sentences.importance(found) if importance else str(found[0][1])),
        seeds=sentences.seeds(facts),
        seeded=sentences.seeded(facts),
        ablations=tuple(ablations),
        ablated=Picture(charts.ablation(ablations, named, unit), line(ablated, 2000)),
        joints=charts.joints(answers, unit) if answers else "",
        correct=charts.correct(answers, unit) if answers else "",
        accuracy=sentences.accuracy(answers, unit) if answers else "",
        best=tuple(cards["best"]),
        worst=tuple(cards["worst"]),
        commands=tuple(line(command, 110) for command in commands) or sentences.ordinary(facts, author),
        settings=sentences.settings(model),
        origin=sentences.origin(model, view),
        unit=unit,
    )


def card(example: Example, answers: Answers, picture: bytes | None, unit: str) -> Picture:
    """A validation image with both skeletons.

    Raises:
        UserError: the picture is neither JPEG nor PNG.
    """
    kind = ""
    if picture is not None:
        try:
            with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG")) as opened:
                opened.load()
                kind = f"image/{str(opened.format).lower()}"
        except (OSError, SyntaxError) as error:
            raise UserError(
                f"the kept picture of image {example.row} is neither JPEG nor PNG, or cut off; delete it, and the "
                "report is made without it."
            ) from error
    drawn = charts.hand(picture, kind, example, answers.edges)
    return Picture(drawn, f"image {example.row}: {example.error:.2f} {unit}")
