"""The report's words and tables: numbers made into sentences and rows."""

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from models.plan import Cost
from search.after.model import Facts, Model
from search.format import between, duration, line, of_log, percent, shape_text, times, value_text
from search.full_length import SHARE, FullLength
from search.objective import Reference, band
from search.results.accuracy import fraction_within, within95
from search.results.answers import Answers
from search.results.importance import Shares
from search.results.view import View

NAMES = {"arch": "network", "training": "training", "augment": "augmentation"}
"""Parts of a configuration as the report calls them."""


def date(iso: str) -> str:
    """'21 November 2026' of an ISO 8601 time; what is none stays as it is."""
    try:
        when = datetime.fromisoformat(iso)
    except ValueError:
        return line(iso)
    return f"{when.day} {when:%B %Y}"


def _amount(value: float) -> str:
    """A number of any size above 0, without an 'e'."""
    return of_log(math.log(value)) if value > 0 else "0"


def formula(price: Cost, error: float, log: float) -> tuple[str, str, str, str]:
    """(Params [M], FLOPs [G], PixelDiff [px], score), the score by its logarithm."""
    return _amount(price.params / 1e6), _amount(price.flops / 1e9), f"{error:.3f}", of_log(log)


def summary(model: Model, view: View, log: float | None) -> str:
    """The result in a paragraph; `log` is the score's logarithm where the study is ranked by a score."""
    facts, price = model.facts, model.price
    shape = shape_text(model.config.arch.input_shape[1:])
    counts = {words: len(view.by_state[state]) for state, words in SEARCHED.items()}
    states = ", ".join(f"{count:,} {words}" for words, count in counts.items() if count)
    valid = facts.data.get("valid")
    images = f"{valid:,} validation images" if isinstance(valid, int) else "validation images"
    seeds = "once" if len(facts.seeds) == 1 else f"with {len(facts.seeds)} seeds"
    graded = "" if log is None else f", in the grade band {_band(facts.error)}; the score is {of_log(log)}"
    parts = [
        f"A search over {len(view.trials):,} networks ({states}) led to trial {facts.trial}, whose network has "
        f"{_amount(price.params / 1e6)} M parameters and takes {_amount(price.flops / 1e9)} G multiply-adds for a "
        f"picture of {shape} pixels. Trained {seeds} for {facts.epochs:,} epoch{'s' * (facts.epochs != 1)}, its "
        f"{view.error_name} on {images} is {f'{facts.error:.3f} {facts.unit}'.strip()}{graded}."
    ]
    if log is not None and view.reference is not None:
        parts.append(_compared(price, facts, log, view.reference))
    return line(" ".join(parts), 2000)


def _compared(price: Cost, facts: Facts, log: float, reference: Reference) -> str:
    """This network beside the design that the study is measured against, in sentences."""
    mine, theirs = price.params / 1e6 * price.flops / 1e9, reference.params_m * reference.gflops
    cheaper = f"{times(theirs / mine)} cheaper" if mine <= theirs else f"{times(mine / theirs)} dearer"
    off = facts.error - reference.pixel_diff
    better = log < math.log(reference.score)
    ratio = abs(math.log(reference.score) - log)
    factor = times(math.exp(ratio)) if ratio < 16 else f"{of_log(ratio)} times"
    return (
        f"Beside the {reference.name} (score {reference.score:g}) it is {cheaper} by Params \u00d7 FLOPs and "
        f"{abs(off):.2f} {facts.unit} {'less' if off > 0 else 'more'} exact, which makes its score {factor} "
        f"{'smaller, that is better' if better else 'larger, that is worse'}. The published "
        "error is one on FreiHAND, so that the two compare as far as the data do."
    )


SEARCHED = {
    "finished": "trained to the end",
    "stopped": "stopped early",
    "failed": "failed",
    "refused": "too dear to train",
    "running": "still in training",
    "waiting": "waiting",
}


def _band(error: float) -> str:
    """The grade band of an error."""
    return band(error).replace(">=", "\u2265")


def result(price: Cost, facts: Facts, log: float, reference: Reference) -> tuple[tuple[str, str, str], ...]:
    """A row a reading: its name, this network's, the reference's."""
    here = (price.params / 1e6, price.flops / 1e9)
    product = math.log(reference.params_m * reference.gflops)
    return (
        ("Params [M]", _amount(here[0]), f"{reference.params_m:g}"),
        ("FLOPs [G]", _amount(here[1]), f"{reference.gflops:g}"),
        ("Params \u00d7 FLOPs", of_log(log - facts.error), of_log(product)),
        ("PixelDiff [px]", f"{facts.error:.3f}", f"{reference.pixel_diff:g}"),
        ("Score", of_log(log), f"{reference.score:g}"),
        ("Grade band", _band(facts.error), _band(reference.pixel_diff)),
    )


def how_measured(model: Model) -> str:
    """What the two losses are the losses of."""
    return (
        "The training loss is the mean over an epoch of augmented images, taken while the weights change; the "
        "validation loss is that of unaltered images at its end"
        + (", with averaged weights" if any("averaged" in seed.errors for seed in model.facts.seeds) else "")
        + ", so that it may lie below the other."
    )


def pareto(view: View, missing: int, facts: Facts) -> str:
    """How to read the picture of the search."""
    trial, error, epochs = facts.trial, facts.error, facts.epochs
    place = next((place for place, entry in enumerate(view.entries, 1) if entry.number == trial), None)
    finished = len(view.by_state["finished"])
    own = view.by_number.get(trial)
    parts = ["Every trial of the search by its price and its error after its last epoch"]
    parts += ["; dotted lines join equal scores, and down and to the left is better"] if view.scored else []
    if missing:
        parts.append(f"; {missing:,} trial{'s' * (missing != 1)} without an error or far above are not shown")
    parts.append(".")
    if view.goal is not None:
        parts.append(f" It aimed at the smallest score with {view.goal_title}.")
    if place and own and own.state == "finished" and own.error is not None:
        full = replace(FullLength.of(view.attrs, without=trial), epochs=epochs)(own.error, own.epochs)
        parts.append(
            f" In the search, trained for {own.epochs:,} epochs, this network had {own.error:.3f} {view.unit} and was "
            f"number {place:,} of {finished:,} trained to the end"
            f"{'; none was both cheaper and more exact' if own.pareto else ''}. The dashed line "
            f"leads from there to its error now, {error:.3f} after {epochs:,}; predicted for that was {between(full)}, "
            f"with the interval that holds {SHARE:.0%} of trainings."
        )
    return "".join(parts)


def importance(targets: Sequence[tuple[str, Shares | str]]) -> str:
    """How to read the bars, and the strongest parameter of each target that is known."""
    first = [(title, shares.shares[0]) for title, shares in targets if not isinstance(shares, str) and shares.shares]
    strongest = "; ".join(
        f"{title}: {line(share.name, 30)} ({percent(share.share)})"
        for title, share in first
        if share.share > share.chance
    )
    return (
        "Share of the variance among the trials that each parameter explains alone (fANOVA). Dotted: what a shuffled "
        "parameter reaches by chance; grey bars are no longer than that. "
        f"{f'The strongest: {strongest}.' if strongest else 'None stands out from chance.'}"
    )


def seeds(facts: Facts) -> tuple[tuple[str, ...], ...]:
    """A row a training: seed, error with averaged and with last weights, which of them counts."""
    return tuple(
        (
            str(seed.seed),
            *(f"{seed.errors[kind]:.3f}" if kind in seed.errors else "\u2013" for kind in ("averaged", "last")),
            line(seed.weights),
        )
        for seed in facts.seeds
    )


def seeds_note(facts: Facts) -> str:
    """Mean and spread of the seeds."""
    errors = [seed.error for seed in facts.seeds]
    if len(errors) < 2:
        return "One training; how much the error depends on its seed was not measured."
    spread = statistics.stdev(errors)
    return (
        f"{len(errors)} trainings that differ by their seed alone: {statistics.mean(errors):.3f} \u00b1 {spread:.3f} "
        f"{facts.unit} (mean and standard deviation), from {min(errors):.3f} to {max(errors):.3f}. The best one on the "
        "validation part was taken, which flatters it a little."
    )


def accuracy(answers: Answers, unit: str) -> str:
    """The error's distribution, and where it is large and small."""
    errors = {place: error for place, error in enumerate(answers.errors) if error is not None}
    low, high = (
        f"{line(answers.labels[i], 30)} ({errors[i]:.2f} {unit})"
        for i in (min(errors, key=lambda place: errors[place]), max(errors, key=lambda place: errors[place]))
    )
    middle, most = answers.quantiles[len(answers.quantiles) // 2], within95(answers.quantiles)
    pck = ", ".join(f"{100 * fraction_within(answers.quantiles, t):.1f} % at {t} px" for t in (5, 10, 20))
    return (
        f"Half of all points are within {middle:.2f} {unit} of the truth and 95 % within {most:.1f} {unit}"
        f"{f' (PCK: {pck})' if unit == 'px' else ''}. Easiest is {low}, hardest {high}."
    )


def commands(facts: Facts, author: str) -> tuple[str, ...]:
    """The commands that make the submission."""
    study = shlex.quote(facts.study)
    count = f" --seeds {len(facts.seeds)}" if len(facts.seeds) > 1 else ""
    return tuple(
        line(command, 110)
        for command in (
            f"posefront search {study} --data DIR",
            f"posefront retrain {study} --trial {facts.trial}{count}",
            f"posefront submit {study} --name {shlex.quote(author)} --test TEST_DIR",
            "posefront verify ZIP --data DIR",
        )
    )


def settings(model: Model) -> tuple[tuple[str, str], ...]:
    """All hyperparameters: those that were searched, then the others of the configuration, by part."""
    facts = model.facts
    rows = [(line(name, 34), line(value_text(value), 40)) for name, value in facts.params.items()]
    config = asdict(model.config)
    rest = []
    for part, title in NAMES.items():
        fields = config.get(part)
        if isinstance(fields, dict):
            rest += [
                (f"{title}: {line(name, 24)}", line(value_text(value), 40))
                for name, value in fields.items()
                if name not in facts.params
            ]
    return (*rows, *rest)


def origin(model: Model, view: View) -> tuple[tuple[str, str], ...]:
    """Where the result comes from: data, seed, versions, times."""
    facts = model.facts
    data: Mapping[str, Any] = facts.data
    spent = sum(row["seconds"] for rows in model.curves for row in rows)
    searched = sum(entry.seconds for entry in view.entries)
    sizes = [
        f"{data[part]:,} {words}"
        for part, words in (("train", "training"), ("valid", "validation"))
        if isinstance(data.get(part), int)
    ]
    rows = [
        ("seed", str(facts.seeds[0].seed)),
        ("data", line(data.get("identity", view.attrs.get("data", "unknown")))),
        ("images", ", ".join(sizes) or "unknown"),
        ("search", f"{len(view.trials):,} trials, {duration(searched)} of worker time"),
        ("training", f"{facts.epochs:,} epochs \u00d7 {len(model.curves)}, {duration(spent)} of worker time"),
        ("teacher", line(facts.teacher or "none")),
        *((line(name), line(version)) for name, version in facts.versions.items()),
        ("SHA-256 of the weights", line(facts.weights_sha256)),
    ]
    return tuple(rows)
