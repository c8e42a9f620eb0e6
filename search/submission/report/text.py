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
from search.after.model import about as of_task
from search.format import between, duration, line, of_log, percent, shape_text, times, value_text
from search.full_length import SHARE, FullLength
from search.objective import Reference, band
from search.results.accuracy import fraction_within, within95
from search.results.answers import Answers
from search.results.importance import Shares
from search.results.leaderboard import Entry
from search.results.view import View
from search.run.settings import CLEAN_ERROR

ALONE = "Without posefront: the notebook, with TRAIN = True in its first cell, trains it with the same random numbers."
"""What a report says of the notebook."""
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
    searched = f"{len(view.trials):,} network{'s' * (len(view.trials) != 1)}"
    seeds = "once" if len(facts.seeds) == 1 else f"with {len(facts.seeds)} seeds"
    graded = "" if log is None else f", in the grade band {_band(facts.error)}; the score is {of_log(log)}"
    return line(
        f"A search over {searched}{f' ({states})' if states else ''} led to trial {facts.trial}, whose network has "
        f"{_amount(price.params / 1e6)} M parameters and takes {_amount(price.flops / 1e9)} G multiply-adds for a "
        f"picture of {shape} pixels. Trained {seeds} for {facts.epochs:,} epoch{'s' * (facts.epochs != 1)}, its "
        f"{view.error_name} on {_validation(facts)} is {f'{facts.error:.3f} {facts.unit}'.strip()}{graded}.",
        2000,
    )


def _validation(facts: Facts) -> str:
    valid, what = facts.data.get("valid"), facts.data.get("about") or {}
    drawn = " that are drawn" if what.get("kind") == "drawn" else ""
    return f"{valid:,} validation images{drawn}" if isinstance(valid, int) else f"validation images{drawn}"


def about(model: Model) -> Mapping[str, str]:
    """What the data are: as the model recorded it; of an older one, as its study says."""
    kept = model.facts.data.get("about")
    return kept if isinstance(kept, dict) else of_task(model.study.task)


def comparison(model: Model, reference: Reference) -> str:
    """How far a network can be compared with the design that its study is measured against."""
    price, what = model.price, about(model)
    mine, theirs = price.params / 1e6 * price.flops / 1e9, reference.params_m * reference.gflops
    cheaper = f"{times(theirs / mine)} cheaper" if mine <= theirs else f"{times(mine / theirs)} dearer"
    own = "drawn hands" if what.get("kind") == "drawn" else "the images named below"
    return (
        f"The {reference.name}'s error and score were measured on photographs of FreiHAND, this network's on {own}: "
        "they are of different images and must not be compared. Prices do not depend on images: by Params \u00d7 FLOPs "
        f"this network is {cheaper}."
    )


def data(model: Model) -> tuple[tuple[str, str], ...]:
    """What the images are, how they are split and prepared, and what is done with the test images."""
    facts, what, size = model.facts, about(model), model.config.arch.size
    counts = [
        f"{facts.data[part]:,} {words}"
        for part, words in (("train", "to train on"), ("valid", "to judge on"))
        if isinstance(facts.data.get(part), int)
    ]
    drawn = ", drawn by posefront: no photograph is among them" if what.get("kind") == "drawn" else ""
    shape = shape_text((size, size) if isinstance(size, int) else size)
    rows = [
        ("Images", f"{what.get('source', 'not recorded')}{drawn}."),
        ("Split", f"{', '.join(counts)}: {what.get('split', 'not recorded')}."),
    ]
    if facts.preprocessing is not None:
        rows.append(("Preprocessing", preprocessed(shape, facts.preprocessing.mean, facts.preprocessing.std)))
    rows.append(
        ("Test images", "answered once, when this report was made; nothing was trained, chosen or measured on them.")
    )
    return tuple((name, line(text, 900)) for name, text in rows)


def preprocessed(shape: str, mean: float, std: float) -> str:
    """How a picture becomes an input, and what the reduction is worth."""
    return (
        f"RGB; reduced to {shape} pixels with antialiasing (triangle filter to the next of five sizes, then bilinear), "
        f"in training and judging alike; (x \u2212 {mean:g}) / {std:g} of 0 to 1. The reduction matters: another "
        "network on drawn hands, its weights unchanged, had 7.8 % more PixelDiff without antialiasing, 22 % more by "
        "nearest pixels."
    )


def selection(facts: Facts, view: View, log: float | None) -> str:
    """What the reported error was chosen from, and what it would be without the last choice."""
    judged = sum(len(seed.errors) for seed in facts.seeds)
    finished = len(view.by_state["finished"])
    parts = []
    if judged > 1:
        weights = " with its last and its averaged weights" if judged > len(facts.seeds) else ""
        seeds = f"{len(facts.seeds)} training{'s' * (len(facts.seeds) > 1)}"
        parts.append(
            f"The error of {_unit(facts.error, facts)} is the smallest of {judged} that were measured on the "
            f"validation part: {seeds}{f', each{weights}' if weights else ''}."
        )
    expected, spread = unchosen(facts)
    if len(facts.seeds) > 1:
        kind = "averaged" if _averaged(facts) else "better"
        scored = (
            "" if log is None else f", which scores {of_log(log + expected - facts.error)} instead of {of_log(log)}"
        )
        parts.append(
            f"Without that choice it is {_unit(expected, facts)} \u00b1 {spread:.3f} (mean and standard deviation of "
            f"the {kind} weights over the seeds){scored}."
        )
    else:
        parts.append("It was trained with one seed; how much the error depends on it was not measured.")
    if facts.lost:
        others = ", ".join(str(loser.trial) for loser in facts.lost)
        parts.append(f"Before that, its first seed was preferred to those of the trials {others}, on the same part.")
    place = next((place for place, entry in enumerate(view.entries, 1) if entry.number == facts.trial), None)
    if place and finished > 1:
        parts.append(
            f"The trial itself was number {place} of {finished:,} that the search had trained to the end and judged on "
            "the same part."
        )
    parts.append(
        "Every such choice makes the error on this part smaller than that to be expected on new images; by how much "
        "was not measured."
    )
    return " ".join(parts)


def _unit(value: float, facts: Facts) -> str:
    return f"{value:.3f} {facts.unit}".strip()


def _averaged(facts: Facts) -> bool:
    return all("averaged" in seed.errors for seed in facts.seeds)


def unchosen(facts: Facts) -> tuple[float, float]:
    """Mean and standard deviation of the error over the seeds, of the averaged weights where all have them."""
    errors = [seed.errors["averaged"] if _averaged(facts) else seed.error for seed in facts.seeds]
    return statistics.mean(errors), statistics.stdev(errors) if len(errors) > 1 else 0.0


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


def result(price: Cost, facts: Facts, log: float, reference: Reference) -> tuple[tuple[str, ...], ...]:
    """Headings, then a row a reading: its name, this network's, that of the seeds' mean, the reference's."""
    here = (price.params / 1e6, price.flops / 1e9)
    product = math.log(reference.params_m * reference.gflops)
    mean, _ = unchosen(facts)
    own = of_log(log - facts.error)
    rows = [
        ("", "this network", "mean of its seeds", f"{reference.name}, on FreiHAND"),
        ("Params [M]", _amount(here[0]), "", f"{reference.params_m:g}"),
        ("FLOPs [G]", _amount(here[1]), "", f"{reference.gflops:g}"),
        ("Params \u00d7 FLOPs", own, "", of_log(product)),
        ("PixelDiff [px]", f"{facts.error:.3f}", f"{mean:.3f}", f"{reference.pixel_diff:g}"),
        ("Score", of_log(log), of_log(log + mean - facts.error), f"{reference.score:g}"),
        ("Grade band", _band(facts.error), _band(mean), _band(reference.pixel_diff)),
    ]
    return tuple(row if len(facts.seeds) > 1 else (row[0], row[1], row[3]) for row in rows)


def parameters(model: Model) -> tuple[tuple[str, str], ...]:
    """Trainable and non-trainable parameters, those that are deployed, and their sizes."""
    still = sum(buffer.numel() for buffer in model.net.buffers() if buffer.is_floating_point())
    trained = sum(parameter.numel() for parameter in model.net.parameters())
    rows = (
        ("Trainable parameters", trained, "while it is trained, each BatchNorm's scale and shift among them"),
        ("Non-trainable parameters", still, "BatchNorm's running means and variances"),
        ("Total", trained + still, "while it is trained"),
        ("Deployed parameters", model.price.params, "BatchNorm folded: this is the ranked number"),
    )
    return tuple((name, f"{count:,} ({4 * count / 1e6:.3f} MB as float32), {what}") for name, count, what in rows)


def shorter_trial(facts: Facts, view: View) -> Entry | None:
    """The trial of a model as the search has it, where it was trained to an end, and for less; else None."""
    own = view.by_number.get(facts.trial)
    ended = own is not None and own.state == "finished" and own.error is not None and 0 < own.epochs < facts.epochs
    return own if ended else None


def shorter(model: Model, view: View) -> str:
    """What the same configuration had reached in the search, where it was trained for less; else empty."""
    facts, own = model.facts, shorter_trial(model.facts, view)
    if own is None or own.error is None:
        return ""
    mean, _ = unchosen(facts)
    over = f", the mean of {len(facts.seeds)} seeds" if len(facts.seeds) > 1 else ""
    return (
        f"Length was measured: with {own.epochs:,} epochs, in the search, the same configuration had "
        f"{_unit(own.error, facts)}; with {facts.epochs:,} it has {_unit(mean, facts)}{over}."
    )


def losses_note(model: Model) -> str:
    """What the figure of the losses shows."""
    others = " Pale: the other seeds." if len(model.curves) > 1 else ""
    return f"The loss by epoch, of the training whose weights are handed in.{others}"


def errors_note(model: Model) -> str:
    """What the two smaller figures of the curves show."""
    measured = any(CLEAN_ERROR in row for row in model.curves[0])
    others = "; other seeds pale" if len(model.curves) > 1 else ""
    clean = " and, every few epochs, on training images without augmentation" if measured else ""
    return f"Left: the error on the validation part{clean}, by the same weights{others}. Right: the learning rate."


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


def commands(model: Model, author: str) -> tuple[str, ...]:
    """The commands that make the submission; data that are drawn need no folder."""
    facts, study = model.facts, shlex.quote(model.facts.study)
    where = "" if about(model).get("kind") == "drawn" else " --data DIR"
    options = f" --seeds {len(facts.seeds)} --epochs {facts.epochs}" + (" --teacher MODEL" if facts.teacher else "")
    return tuple(
        line(command, 110)
        for command in (
            f"posefront search {study}{where}",
            f"posefront retrain {study} --trial {facts.trial}{options}{where}",
            f"posefront submit {study} --name {shlex.quote(author)} --test TEST_DIR{where}",
            f"posefront verify ZIP --test TEST_DIR{where}",
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
                (f"{title}: {line(name, 24)}", line(value_text(value), 40) or "\u2013")
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
