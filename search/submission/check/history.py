"""What a submission says of how its model came about: whether its parts agree, and with the study and the weights.

None of it can be measured again but by training: a record that agrees with itself may still be made up.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from data.storage.pack import Part
from search.after.model import Facts, described
from search.after.training import judged_on
from search.results import answers
from search.results.answers import Answers
from search.run.state.sampler import derived
from search.study import Config, Study, Task, replay
from search.submission.check import compare
from search.submission.check.checks import Check, number, truth
from search.submission.claims import PIXELS, TOLERANCE, difference
from search.submission.course_images import SIDE
from search.submission.sources import Sources

ABOUT = "about"
"""The part of a model's `data` that is words."""


def checks(facts: Facts, sources: Sources, study: Study, config: Config) -> Iterator[Check]:
    """Seeds, epochs, search and names."""
    yield from trainings(facts, sources, study)
    yield from search(facts, sources)
    yield from names(facts, study, config)


def trainings(facts: Facts, sources: Sources, study: Study) -> Iterator[Check]:
    """Every training that is told of has its curve, of so many epochs, that ends where it is said to."""
    curves, seeds = sources.curves, facts.seeds
    text = f"model.json tells of {len(seeds)} trainings and report.json of {len(curves)}; pack it again."
    same = len({seed.seed for seed in seeds}) == len(seeds) == len(curves)
    yield truth("a curve for each seed", same, f"{len(curves)}", text, f"{len(seeds)}")
    epochs = list(range(1, facts.epochs + 1))
    odd = [rows for rows in curves if [row.get("epoch") for row in rows] != epochs or not_rows(rows)]
    text = f"a learning curve has {len(odd[0]):,} epochs and not {facts.epochs:,}, or a row is none." if odd else ""
    yield truth("epochs of the curves", not odd, f"{len(curves[0]) if curves else 0:,}", text, f"{facts.epochs:,}")
    if not odd and len(seeds) == len(curves):
        for seed, rows in zip(seeds, curves, strict=True):
            last = rows[-1]["error"]
            nearest = min((seed.error, *seed.errors.values()), key=lambda error: difference(error, last))
            yield number(f"error of seed {seed.seed}, last in its curve", nearest, last)
    chosen = [seed.error == seed.errors.get(seed.weights) == least(seed.errors.values()) for seed in seeds]
    best = all(chosen) and facts.error == seeds[0].error == min(seed.error for seed in seeds)
    text = "model.json's error is not the smallest of its seeds with their better weights; pack it again."
    yield truth("best seed", bool(best), f"{facts.error:.7g}", text)
    wanted = {derived(study.seed, place) for place in range(len(seeds))}
    missing = wanted - {seed.seed for seed in seeds}
    text = (
        f"the {len(seeds)} seeds are not the study's first {len(seeds)}: the training with seed "
        f"{min(missing, default=0)} failed or was left out."
    )
    yield truth("no seed left out", not missing, f"{len(seeds)}", text, warning=True)


def least(errors: Iterable[float]) -> float:
    """The smallest of errors, some of which may be no number."""
    return min((error for error in errors if math.isfinite(error)), default=math.nan)


def not_rows(rows: list[dict[str, float]]) -> bool:
    """Whether a row of a curve lacks an epoch's readings."""
    return any({"epoch", "train_loss", "valid_loss", "error", "lr", "seconds"} - row.keys() for row in rows)


def search(facts: Facts, sources: Sources) -> Iterator[Check]:
    """The search of report.json holds the model's trial, with its parameters, on its data."""
    kept = sources.search
    trials = [trial for trial in kept.trials if trial.number == facts.trial]
    same = [plain(trial.params) for trial in trials] == [plain(facts.params)]
    text = f"the search in report.json has no trial {facts.trial} of these parameters; pack it again."
    yield truth("trial of the search", same, f"{len(kept.trials):,} trials", text, f"trial {facts.trial}")
    searched = trials[0].attributes.get("config") if trials else None
    same = searched is None or facts.config is None or plain(searched) == plain(facts.config)
    text = f"trial {facts.trial} had another configuration in the search, such as other pre-trained weights."
    yield truth("configuration of the trial", same, "the trial's", text, warning=True)
    claims = {"data": facts.data.get("identity"), "metric": facts.metric, "unit": facts.unit, "id": facts.study_id}
    odd = [name for name, value in claims.items() if kept.attributes.get(name, value) != value]
    text = f"the search in report.json has another {', '.join(odd)} than model.json; pack it again."
    yield truth("search of the model", not odd, kept.name, text)


def names(facts: Facts, study: Study, config: Config) -> Iterator[Check]:
    """What model.json says of the network's answers and of the data is what the study says."""
    told = Facts(
        **{**vars(facts), **described(study.task, config), "metric": study.task.metric, "unit": study.task.unit}
    )
    claim, own = plain(facts.record()), plain(told.record())
    odd = [name for name, value in own.items() if claim.get(name) not in (None, value)]
    text = f"model.json's {', '.join(odd)} is not what the study {facts.study!r} says of its network."
    yield truth("names and preprocessing", not odd, f"{len(own)} fields", text)
    yield from data(claim["data"], plain(judged_on(study.task, config.arch.size)), facts.study)
    try:
        made = plain(replay(study, facts.params)[0]) == plain(config)
    except (ValueError, TypeError, KeyError, OverflowError, RuntimeError, AttributeError, ArithmeticError):
        made = False
    text = (
        f"the study {facts.study!r} makes another network or training of the recorded parameters than was recorded: "
        "its file was changed since, or they were."
    )
    yield truth("parameters", made, f"{len(facts.params)}", text, warning=True)


def data(claim: dict[str, Any], own: dict[str, Any], study: str) -> Iterator[Check]:
    """What model.json says of the data is what the study says."""
    odd = [name for name, value in claim.items() if name != ABOUT and own.get(name) != value]
    text = f"model.json's {', '.join(odd)} is not what the study {study!r} has: other data, or another split."
    yield truth("data and split", not odd, own["identity"], text, str(claim["identity"]))
    words, wanted = (unnamed(each.get(ABOUT)) for each in (claim, own))
    text = f"the data are described as {str(words)[:300]}, and this version says {str(wanted)[:300]}."
    yield truth("words about the data", ABOUT not in claim or words == wanted, "the study's", text, warning=True)


def unnamed(about: Any) -> Any:
    """What is said of data without the name of the folder that they lie in, which is another one elsewhere."""
    folder = r"the folder '[\w .+-]{0,60}'"
    if not isinstance(about, dict):
        return about
    return {key: re.sub(folder, "a folder", each) if isinstance(each, str) else each for key, each in about.items()}


def answered(claim: Answers, outputs: Any, task: Task, config: Config, epochs: int) -> Check:
    """The report's answers for the validation part are those of the packed weights.

    Args:
        claim: of report.json.
        outputs: of the packed weights for the validation part, in its order.
        task: whose data they are.
        config: of the model.
        epochs: that it was trained for.
    """
    part = task.split(config.arch.size).valid
    wrong = next(_wrong_answers(claim, answers.of(task, outputs, part, epochs), outputs, task, part), "")
    return truth("answers in the report", not wrong, f"{len(outputs):,} images", f"report.json {wrong}; pack it again.")


def _wrong_answers(claim: Answers, own: Answers, outputs: Any, task: Task, part: Part) -> Iterator[str]:
    """Each way in which answers are not our own; images with all but the same error may stand for one another."""
    if (claim.labels, claim.edges, claim.unit, claim.epoch) != (own.labels, own.edges, own.unit, own.epoch):
        yield "names other points or epochs than the study"
    if not (near(claim.errors, own.errors) and near(claim.quantiles, own.quantiles)):
        yield "has other errors than the packed weights"
    there = own.pictured if claim.shared else own.examples  # models of before there were shared ones have none
    if [example.rank for example in claim.pictured] != [example.rank for example in there]:
        yield "shows other images than the best, median and worst"
    place = {int(row): i for i, row in enumerate(part.rows)}
    means, count = answers.averages(task.errors(outputs, part), 1), len(own.labels)
    for shown, ranked in zip(claim.pictured, there, strict=False):
        i = place.get(shown.row)
        if i is None:
            yield f"shows image {shown.row}, which is not of the validation part"
        elif not near([shown.error] * 2, [ranked.error, means[i]]):
            yield f"ranks image {shown.row} by another error than the packed weights have"
        elif (
            plain(shown.true) != plain(answers.known_places(part.targets[i], count))
            or not near(shown.answered, answers.places(outputs[i], count), PIXELS / SIDE)
            or compare.text(shown.said, task.caption(outputs[i], part.targets[i]))
        ):
            yield f"shows other points in image {shown.row} than the data or the packed weights have"


def near(claim: Any, there: Any, away: float = PIXELS) -> bool:
    """Whether numbers are the same but for another machine's: within a hundredth, or closer than `away`."""
    here, own = (np.array(plain(numbers), dtype=float) for numbers in (claim, there))
    return here.shape == own.shape and bool(np.allclose(here, own, rtol=TOLERANCE / 100, atol=away, equal_nan=True))


def plain(value: Any) -> Any:
    """As JSON has it."""
    return json.loads(json.dumps(value, default=_fields))


def _fields(value: Any) -> Any:
    return {"": type(value).__name__, **vars(value)}
