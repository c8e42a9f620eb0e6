"""The paper's words and tables: numbers made into sentences and rows."""

import math
import shlex
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from models.plan import Cost
from search.after.model import Facts, Model
from search.objective import REFERENCE, band
from search.results.accuracy import fraction_within, within95
from search.results.answers import Answers
from search.results.importance import Shares
from search.results.view import View
from search.submission.figures import RAISED, percent

LONG = 72
"""Letters of a name or a value that are printed."""

NAMES = {
    "arch": "network",
    "training": "training",
    "augment": "augmentation",
}
"""Parts of a configuration as the paper calls them."""


def line(said: object, most: int = LONG) -> str:
    """Any text on one line of at most `most` letters, without control characters."""
    words = " ".join("".join(c if c.isprintable() else " " for c in str(said)).split())
    return words if len(words) <= most else f"{words[: most - 1]}\u2026"


def digits(value: float) -> str:
    """Four significant digits, not in powers of ten unless it is tiny."""
    if value == 0 or not 1e-6 <= abs(value) < 1e15:
        return f"{value:.4g}"
    return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"


def score(log: float) -> str:
    """A score by its logarithm: 285.6, 9,817, 3.2 · 10¹²."""
    tens = log / math.log(10)
    if -3 <= tens < 9:
        return digits(math.exp(log)) if tens < 3 else f"{math.exp(log):,.0f}"
    power = math.floor(tens)
    return f"{10 ** (tens - power):.3f} \u00b7 10{str(power).translate(RAISED)}"


def date(made: str) -> str:
    """'21 November 2026' of an ISO 8601 time; what is none stays as it is."""
    try:
        when = datetime.fromisoformat(made)
    except ValueError:
        return line(made)
    return f"{when.day} {when:%B %Y}"


def summary(model: Model, view: View, called: str, log: float | None) -> str:
    """The result in a paragraph."""
    facts, price = model.facts, model.price
    shape = " \u00d7 ".join(map(str, model.config.arch.input_shape[1:]))
    counts = Counter(entry.state for entry in view.entries)
    states = [f"{counts[s]:,} {said}" for s, said in SEARCHED.items() if counts[s]]
    valid = facts.data.get("valid")
    images = f"{valid:,} validation images" if isinstance(valid, int) else "validation images"
    said = [
        f"A search over {len(view.trials):,} networks ({', '.join(states)}) led to trial {facts.trial}, whose network "
        f"has {digits(price.params / 1e6)} M parameters and takes {digits(price.flops / 1e9)} G multiply-adds for a "
        f"picture of {shape} pixels.",
        f"Trained {'once' if len(facts.seeds) == 1 else f'with {len(facts.seeds)} seeds'} for {facts.epochs:,} "
        f"epoch{'s' if facts.epochs != 1 else ''}, "
        f"its {called} on {images} is {facts.error:.3f} {facts.unit}".strip()
        + ("." if log is None else f", in the grade band {graded(facts.error)}; the score is {score(log)}."),
    ]
    if log is not None and view.metric == "pixel_diff":
        mine, theirs = price.params / 1e6 * price.flops / 1e9, REFERENCE.params_m * REFERENCE.gflops
        cheaper = f"{times(theirs / mine)} cheaper" if mine <= theirs else f"{times(mine / theirs)} dearer"
        off = facts.error - REFERENCE.pixel_diff
        better = log < math.log(REFERENCE.score)
        ratio = abs(math.log(REFERENCE.score) - log)
        factor = times(math.exp(ratio)) if ratio < 16 else f"{score(ratio)} times"
        said.append(
            f"Beside the {REFERENCE.name} (score {REFERENCE.score:g}) it is {cheaper} by Params \u00d7 FLOPs and "
            f"{abs(off):.2f} {facts.unit} {'less' if off > 0 else 'more'} exact, which makes its score {factor} "
            f"{'smaller, that is better' if better else 'larger, that is worse'}. The published "
            "error is one on FreiHAND, so that the two compare as far as the data do."
        )
    return line(" ".join(said), 2000)


SEARCHED = {
    "finished": "trained to the end",
    "stopped": "stopped early",
    "failed": "failed",
    "refused": "too dear to train",
    "running": "still in training",
    "waiting": "waiting",
}


def graded(error: float) -> str:
    """The grade band of an error."""
    return band(error).replace(">=", "\u2265")


def times(ratio: float) -> str:
    """'3.2 times' or '690 times'."""
    return f"{ratio:,.0f} times" if ratio >= 20 else f"{ratio:.2g} times"


def result(price: Cost, facts: Facts, log: float) -> tuple[tuple[str, str, str], ...]:
    """This network beside the published design."""
    here = (price.params / 1e6, price.flops / 1e9)
    product = math.log(REFERENCE.params_m * REFERENCE.gflops)
    return (
        ("Params [M]", digits(here[0]), f"{REFERENCE.params_m:g}"),
        ("FLOPs [G]", digits(here[1]), f"{REFERENCE.gflops:g}"),
        ("Params \u00d7 FLOPs", score(log - facts.error), score(product)),
        ("PixelDiff [px]", f"{facts.error:.3f}", f"{REFERENCE.pixel_diff:g}"),
        ("Score", score(log), f"{REFERENCE.score:g}"),
        ("Grade band", graded(facts.error), graded(REFERENCE.pixel_diff)),
    )


def how_measured(model: Model) -> str:
    """What the two losses are the losses of."""
    return (
        "The training loss is the mean over an epoch of augmented images, taken while the weights change; the "
        "validation loss is that of unaltered images at its end"
        + (", with averaged weights" if averaged(model) else "")
        + ", so that it may lie below the other."
    )


def averaged(model: Model) -> bool:
    """Whether a running mean of the weights was kept."""
    return any("averaged" in seed.errors for seed in model.facts.seeds)


def pareto(view: View, missing: int, trial: int) -> str:
    """How to read the picture of the search."""
    place = next((place for place, entry in enumerate(view.entries, 1) if entry.number == trial), None)
    finished = sum(entry.state == "finished" for entry in view.entries)
    own = view.by_number.get(trial)
    said = ["Every trial of the search by its price and its error after its last epoch"]
    said += ["; dotted lines join equal scores, and down and to the left is better"] if view.scored else []
    said += (
        [f"; {missing:,} trial{'s' if missing != 1 else ''} without an error or far above are not shown"]
        if missing
        else []
    )
    said += ["."]
    if place and own and own.state == "finished" and own.error is not None:
        said.append(
            f" In the search, trained for {own.epochs:,} epochs, this network had {own.error:.3f} {view.unit} and was "
            f"number {place:,} of {finished:,} trained to the end"
            f"{'; none was both cheaper and more exact' if own.pareto else ''}. The dashed line "
            "leads from there to its error now."
        )
    return "".join(said)


def importance(found: Sequence[tuple[str, Shares | str]]) -> str:
    """How to read the bars, and the strongest parameter of each target that is known."""
    told = []
    for title, one in found:
        if isinstance(one, str) or not one.shares:
            continue
        first = one.shares[0]
        if first.share > first.chance:
            told.append(f"{title}: {line(first.name, 30)} ({percent(first.share)})")
    strongest = f" The strongest: {'; '.join(told)}." if told else " None stands out from chance."
    return (
        "Share of the variance among the trials that each parameter explains alone (fANOVA). Dotted: what a shuffled "
        f"parameter reaches by chance; grey bars are no longer than that.{strongest}"
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


def seeded(facts: Facts) -> str:
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
    known = {place: error for place, error in enumerate(answers.errors) if error is not None}
    order = sorted(known, key=lambda place: known[place])
    middle, most = answers.quantiles[len(answers.quantiles) // 2], within95(answers.quantiles)
    said = [f"Half of all points are within {middle:.2f} {unit} of the truth and 95 % within {most:.1f} {unit}"]
    if unit == "px":
        within = ", ".join(f"{100 * fraction_within(answers.quantiles, t):.1f} % at {t} px" for t in (5, 10, 20))
        said.append(f" (PCK: {within})")
    low, high = order[0], order[-1]
    said.append(
        f". Easiest is {line(answers.labels[low], 30)} ({answers.errors[low]:.2f} {unit}), hardest "
        f"{line(answers.labels[high], 30)} ({answers.errors[high]:.2f} {unit})."
    )
    return "".join(said)


def ordinary(facts: Facts, author: str) -> tuple[str, ...]:
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
    rows = [(line(name, 34), value(searched)) for name, searched in facts.params.items()]
    config = asdict(model.config)
    rest = []
    for part, said in NAMES.items():
        fields = config.get(part)
        if isinstance(fields, dict):
            rest += [(f"{said}: {line(name, 24)}", value(v)) for name, v in fields.items() if name not in facts.params]
    return (*rows, *rest)


def value(found: Any) -> str:
    """A hyperparameter's value."""
    return line(f"{found:.6g}" if isinstance(found, float) else found, 40)


def origin(model: Model, view: View) -> tuple[tuple[str, str], ...]:
    """Where the result comes from: data, seed, versions, times."""
    facts = model.facts
    told: Mapping[str, Any] = facts.data
    spent = sum(row["seconds"] for rows in model.curves for row in rows)
    searched = sum(entry.seconds for entry in view.entries)
    sizes = [
        f"{told[part]:,} {said}"
        for part, said in (("train", "training"), ("valid", "validation"))
        if isinstance(told.get(part), int)
    ]
    rows = [
        ("seed", str(facts.seeds[0].seed)),
        ("data", line(told.get("identity", view.attrs.get("data", "unknown")))),
        ("images", ", ".join(sizes) or "unknown"),
        ("search", f"{len(view.trials):,} trials, {clock(searched)} of worker time"),
        ("training", f"{facts.epochs:,} epochs \u00d7 {len(model.curves)}, {clock(spent)} of worker time"),
        ("teacher", line(facts.teacher or "none")),
        *((line(name), line(version)) for name, version in facts.versions.items()),
        ("SHA-256 of the weights", line(facts.weights_sha256)),
    ]
    return tuple(rows)


def clock(seconds: float) -> str:
    """A time: '50 s', '12 min', '3 h 20 min'."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60:02d} min"
