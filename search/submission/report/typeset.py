"""Report.pdf: what was searched, trained and measured, on two to six pages."""

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from data.errors import UserError
from data.storage.files import writing
from models.stages import plan
from search.after.model import Model
from search.format import line, titled
from search.objective import log_score
from search.results import ablation as kept
from search.results.answers import Answers, Example
from search.results.architecture import caption, described
from search.results.architecture import svg as drawing
from search.results.importance import Target, shares
from search.results.view import View
from search.submission.forms import form_of
from search.submission.notebook import network_source
from search.submission.report import figures, methods, text
from search.submission.report.curve_reading import Kept, read
from search.submission.report.data import Ablation, Content, Loss, Picture
from search.submission.report.layer_table import layers, note, printed

TEMPLATE = Path(__file__).with_name("report.typ")
CJK = "manimgx_fonts_cjk"
"""A package with Noto Sans CJK."""
UNICODE = "a-2u"
"""A standard of PDF in which a letter without a glyph is an error."""


def write(content: Content, file: Path) -> int:
    """Typeset a report; `file` is whole or as it was. Returns the number of its pages.

    Text is passed as data and printed as it is. A letter that no font has becomes a box, see `unprintable`.

    Raises:
        UserError: the file cannot be written.
    """
    import typst

    given: Any = {"ignore_system_fonts": True, "font_paths": fonts()}
    given["sys_inputs"] = {"content": json.dumps(asdict(content), allow_nan=False)}
    document = typst.compile(TEMPLATE, **given)
    pages = typst.query(TEMPLATE, "<pages>", field="value", one=True, **given)
    with writing(file, "give --out a folder of yours") as half:
        half.write_bytes(document)
    return int(json.loads(pages))


def fonts() -> list[Path]:
    """Folders of fonts for what typst's own (Latin, Greek, Cyrillic and some more) lack: Chinese, Japanese and Korean.

    The package is one of data and is not imported.
    """
    found = find_spec(CJK)
    return [] if found is None else [Path(place) for place in found.submodule_search_locations or ()]


def unprintable(text: str) -> str:
    """The first letters of a text that no font has, so that they would be boxes; empty where all can be printed."""
    import typst

    try:
        given: Any = {"ignore_system_fonts": True, "font_paths": fonts(), "pdf_standards": UNICODE}
        typst.compile(b"#sys.inputs.text", sys_inputs={"text": text}, **given)
    except typst.TypstError as error:
        found = re.search('the text `"(.+?)"` could not be displayed', str(error))
        return found[1] if found else ""
    return ""


def content(
    model: Model,
    view: View,
    answers: Answers | None,
    pictures: Callable[[int], bytes | None],
    author: str,
    ablation: kept.Ablation | None = None,
) -> Content:
    """Gather a report of a trained network and the study that it comes from; without answers their part is left out.

    `pictures` has the JPEG or PNG of a row of the data set, None where there is none; the ablation is of the model's
    trial; the author is any text.

    Raises:
        UserError: a picture cannot be read.
    """
    facts, price, unit = model.facts, model.price, model.facts.unit
    log = log_score(price.params / 1e6, price.flops / 1e9, facts.error) if view.scored else None
    rows, stages, names = layers(price), plan(model.config.arch), network_source.names(model.net)
    reference, descended = None if log is None else view.reference, methods.loss(model)
    notebook = form_of(model.study.task).notebook
    return Content(
        title=_title(view, facts.study),
        author=line(author),
        date=text.date(facts.made),
        study=f"{line(facts.study, 50)}, trial {facts.trial}",
        summary=text.summary(model, view, log),
        formula=() if log is None else text.formula(price, facts.error, log),
        result=() if log is None or reference is None else text.result(price, facts, log, reference),
        comparison="" if reference is None else text.comparison(model, reference),
        selection=text.selection(facts, view, log),
        data=text.data(model),
        architecture=drawing(stages, width=880, standalone=True),
        architecture_alt=described(stages),
        architecture_note=f"The network as it is deployed. {caption(stages)}",
        layers=tuple(printed(row, names) for row in rows),
        totals=tuple(f"{total:,}" for total in (price.params, price.flops_m, price.flops_ma)),
        parameters=text.parameters(model),
        layers_note=note(price, len(rows), notebook),
        losses=figures.svg(figures.losses(model.curves, _loss_title(descended))),
        losses_note=text.losses_note(model),
        errors=figures.svg(figures.errors(model.curves, view.error_title)),
        curves_text=read(model.curves[0], _kept(model), _loss_title(descended), text.shorter(model, view)).text,
        errors_note=text.errors_note(model),
        rates=figures.svg(figures.rates(model.curves[0])),
        pareto=_pareto(model, view),
        importance=_importance(view),
        seeds=text.seeds(facts),
        loss=descended,
        methods=methods.methods(model, view, ablation),
        helped=methods.helped(ablation, facts),
        ablations=ablations_of(ablation),
        ablation_figure=_ablation(ablation, view),
        joints=figures.svg(figures.joints(answers, unit)) if answers else "",
        correct=figures.svg(figures.correct(answers, unit)) if answers else "",
        accuracy=text.accuracy(answers, unit) if answers else "",
        best=_examples("best", answers, pictures, unit),
        worst=_examples("worst", answers, pictures, unit),
        commands=text.commands(model, author),
        alone=text.ALONE if notebook else "",
        settings=text.settings(model),
        origin=text.origin(model, view),
        unit=unit,
    )


def _loss_title(descended: Loss) -> str:
    """The loss as an axis names it."""
    return titled(f"loss ({descended.name})" if descended.name else "loss", descended.unit)


def _kept(model: Model) -> Kept:
    """What the weights that are handed in reach."""
    facts = model.facts
    seed = facts.seeds[0]
    valid = facts.data.get("valid")
    return Kept(
        error=facts.error,
        train_error=facts.train_error,
        train_images=facts.train_images or 0,
        valid_images=valid if isinstance(valid, int) else 0,
        unit=facts.unit,
        averaged="averaged" in seed.errors,
    )


def ablations_of(ablation: kept.Ablation | None) -> tuple[Ablation, ...]:
    """A trial's ablation as it is printed, the most harmful change first."""
    return tuple(
        Ablation(line(row.part), line(row.said.removeprefix(f"{row.part} ")), m.mean, m.low, m.high, row.factor)
        for row in (ablation.ranked if ablation and ablation.base.error else ())
        if (m := row.difference) is not None
    )


def _title(view: View, study: str) -> str:
    if view.metric == "pixel_diff":
        return "A small network for hand keypoints"
    return f"A network for {line(study, 40)}"


def _pareto(model: Model, view: View) -> Picture:
    """The search as price against error."""
    cost = log_score(model.price.params / 1e6, model.price.flops / 1e9, 0.0)
    drawn, missing = figures.pareto(view, cost, model.facts.error, model.facts.trial)
    return Picture(figures.svg(drawn), text.pareto(view, missing, model.facts))


def _importance(view: View) -> Picture:
    """What each parameter explains; without a drawing the sentence that says why."""
    titles: list[tuple[str, Target]] = [(view.error_name, "error"), ("ln(Params \u00d7 FLOPs)", "cost")]
    if view.scored:
        titles.insert(0, ("ln(score)", "value"))
    targets = [(title, shares(view, target)) for title, target in titles]
    known = [(title, found) for title, found in targets if not isinstance(found, str)]
    drawn = figures.importance(known)
    if drawn is None:
        return Picture("", str(targets[0][1]))
    unknown = [f"{title}: {found}" for title, found in targets if isinstance(found, str)]
    return Picture(figures.svg(drawn), " ".join([text.importance(known), *unknown[:1]]))


def _ablation(ablation: kept.Ablation | None, view: View) -> Picture:
    """The ablation drawn."""
    drawn = figures.ablation(ablations_of(ablation), view.error_name, view.unit)
    caption = "Mean difference from the trial as it is and its 95 % interval; red is worse, green better, grey neither."
    return Picture(figures.svg(drawn), caption) if drawn else Picture("", "")


def _examples(
    rank: str, answers: Answers | None, pictures: Callable[[int], bytes | None], unit: str
) -> tuple[Picture, ...]:
    if answers is None:
        return ()
    shown = [example for example in answers.examples if example.rank == rank and example.true]
    return tuple(_example(example, answers.edges, pictures(example.row), unit) for example in shown)


def _example(example: Example, edges: Sequence[Sequence[int]], picture: bytes | None, unit: str) -> Picture:
    """A validation image with both skeletons."""
    media_type = ""
    if picture is not None:
        try:
            with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG")) as opened:
                opened.load()
                media_type = f"image/{str(opened.format).lower()}"
        except (OSError, SyntaxError) as error:
            raise UserError(
                f"the kept picture of image {example.row} is neither JPEG nor PNG, or cut off; delete it, and the "
                "report is made without it."
            ) from error
    drawn = figures.hand(picture, media_type, example, edges)
    return Picture(drawn, f"image {example.row}: {example.error:.2f} {unit}")
