"""What was done to make the network accurate, and what each choice is worth by measurement: the report's methods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from data.tasks.losses import POINT_LOSSES
from models.config import MobileNetConfig
from models.heads import Heatmap, SimCC
from search.after.ablation import mean
from search.after.model import Facts, Model
from search.format import compact, digits, line, measured, shape_text, value_text
from search.results import ablation as kept
from search.results.view import View
from search.submission.report.data import Loss, Method
from search.submission.report.text import shorter_trial

LABELS = {
    "act": "activation",
    "augment": "augmentation",
    "ema": "running mean of the weights, decay",
    "size": "input size",
    "weights": "pre-trained weights",
    "divergence": "weight of the divergence",
    "weight_decay": "weight decay",
}
"""Choices that an ablation calls otherwise than people do."""

HEADS = {
    "direct": "one linear layer answers the coordinates; the fewest parameters",
    "heatmap": "soft-argmax of one small heatmap a point: finer than a cell, and the loss is taken on the points",
    "simcc": "a distribution over bins along each axis; its mean is the coordinate",
}
ACTS = {
    "mixed": "ReLU in the first three stages, where maps are large and it is cheap, then hardswish, as MobileNetV3",
    "relu": "max(0, x), the cheapest",
    "hardswish": "x \u00b7 min(max(x + 3, 0), 6) / 6, smooth but for two bends",
    "silu": "x / (1 + e\u207b\u02e3), smooth everywhere",
}
LOSSES = {
    "distance": "it is the error that is judged, rounded off below half a pixel so that its gradient fades at the goal",
    "smooth_l1": "linear far off, so that a few large misses do not rule, and square near the goal",
    "mse": "the usual squared error; large misses rule",
}
TURNS = {
    "rotate": "turns up to \u00b1{:g}\u00b0",
    "scale": "size \u00b1{:.0%}",
    "shift": "shifts \u00b1{:.0%} of the side",
    "flip": "mirrored with probability {:g}",
    "colour": "brightness, contrast, saturation \u00b1{:.0%}",
    "erase": "a rectangle covered with probability {:g}",
}
PARTS = {
    "loss": ("loss", "divergence"),
    "head": ("head",),
    "activation": ("act",),
    "input": ("size",),
    "optimiser": ("weight_decay", "clip"),
    "schedule": ("schedule", "warmup"),
    "averaging": ("ema",),
    "pre-training": ("weights",),
}
"""Which parts of an ablation belong to which choice; what changes augmentation alone belongs to it, too."""


def loss(model: Model) -> Loss:
    """What training descended."""
    training, study = model.config.training, model.study
    known = tuple(getattr(study.task, "losses", ()))
    kind = training.loss or (known[0] if known else "")
    points = known == POINT_LOSSES
    terms = [kind] if points and kind in POINT_LOSSES else []
    head = getattr(model.net, "head", None)
    if training.divergence:
        terms += ["js"] * isinstance(head, Heatmap) + ["kl"] * isinstance(head, SimCC)
    terms += ["teacher"] * (model.facts.teacher is not None)
    unit = "" if not points else "sides\u00b2" if kind == "mse" else "sides of the image"
    whole = kind + (f" + {compact(training.divergence)} \u00d7 divergence" if training.divergence else "")
    whole += " + the distance to a teacher" if model.facts.teacher else ""
    return Loss(
        line(whole),
        tuple(terms),
        compact(training.divergence),
        unit,
        f"{LOSSES[kind][0].upper()}{LOSSES[kind][1:]}." if points else "",
    )


def methods(model: Model, view: View, ablation: kept.Ablation | None) -> tuple[Method, ...]:
    """A row a choice: what was used, why, and by what the error changes without it."""
    rows = ablation.ranked if ablation is not None else ()
    found = list(_choices(model))
    parts = {name: PARTS.get(name, ()) for name, _, _ in found}
    parts["augmentation"] = ("augment", *_fields(model.config.augment))
    belongs = {part: name for name, owned in parts.items() for part in owned}
    effects: dict[str, list[str]] = {name: [] for name, _, _ in found}
    others: list[str] = []
    for row in rows:
        own = belongs.get(row.part)
        effects.get(own or "", others).append(effect(row, model.facts.unit))
    for name, text in _measured(model, view):
        effects[name].insert(0, text)
    table = [Method(name, used, why, "; ".join(effects[name])) for name, used, why in found]
    if others:
        table.append(Method("others", "", "changes that the study or the command named", "; ".join(others)))
    return tuple(table)


def _choices(model: Model) -> Iterator[tuple[str, str, str]]:
    """(choice, what was used, why)."""
    facts, config, training = model.facts, model.config, model.config.training
    arch: Any = config.arch
    told = loss(model)
    yield "loss", told.name, LOSSES.get(told.terms[0] if told.terms else "", "")
    if isinstance(arch, MobileNetConfig):
        yield (
            "body",
            _body(arch),
            "inverted residuals are the cheapest blocks known to train well; their sizes were searched",
        )
    if (head := getattr(arch, "head", "")) in HEADS:
        yield "head", head, HEADS[head]
    if (act := getattr(arch, "act", "")) in ACTS:
        yield "activation", act, ACTS[act]
    yield "normalisation", "BatchNorm after each convolution", "trains at high rates, and costs nothing when folded"
    branches = getattr(arch, "branches", 0)
    yield (
        "folding",
        f"{f'{branches} branches a convolution and ' if branches else ''}BatchNorm merged into the convolutions",
        "the same answers by fewer parameters and products",
    )
    yield (
        "input",
        f"{shape_text(arch.input_shape[1:])} px",
        "price rises with its square; it was searched",
    )
    decay = f", weight decay {compact(training.weight_decay)}" if training.weight_decay else ""
    clip = f", gradients clipped at {compact(training.clip)}" if training.clip else ""
    yield (
        "optimiser",
        f"{training.optimizer}, rate {compact(training.lr)}, {training.batch} images a step{decay}{clip}",
        "adapts the step of each weight",
    )
    yield "schedule", _schedule(model), "a high rate first, and small steps at the end"
    ema = next((seed for seed in facts.seeds if "averaged" in seed.errors), None)
    if ema is not None:
        yield (
            "averaging",
            f"running mean of the weights{_decay(training.ema)}",
            "averages out the noise of single steps",
        )
    if turns := turned(config.augment):
        yield "augmentation", turns, "every image is another one in every epoch"
    if facts.teacher:
        yield (
            "distillation",
            f"half of the loss is the distance to {line(facts.teacher)}",
            "a larger network's answers are learnt, too",
        )
    if training.weights:
        yield "pre-training", line(training.weights, 40), "features learnt on other images"
    yield "length", f"{facts.epochs:,} epochs", "the schedule is stretched over all of them"


def _decay(ema: float) -> str:
    return f", decay {ema:g}" if ema else ""


def _body(arch: MobileNetConfig) -> str:
    """The body in words."""
    return (
        f"MobileNetV3-small's table: {arch.stages} of 7 stages, channels \u00d7 {arch.width:.3g}, total stride "
        f"{arch.stride}, squeeze-excitation {arch.squeeze:g}"
    )


def _schedule(model: Model) -> str:
    """The learning rate in words."""
    training = model.config.training
    ends = training.lr * training.lr_end
    words = {
        "cosine": f"cosine from {compact(training.lr)} to {compact(ends) if ends else 0}",
        "onecycle": f"one cycle, up to {compact(training.lr)}",
        "step": f"steps from {compact(training.lr)}, \u00d7 {compact(training.decay)} each",
        "constant": f"constant at {compact(training.lr)}",
    }[training.schedule]
    return words + (f", warm-up of {training.warmup:g} epochs" if training.warmup else "")


def turned(augment: Any) -> str:
    """An augmentation in words; empty where it changes nothing."""
    return ", ".join(
        TURNS[name].format(value) if name in TURNS else f"{name} {value_text(value)}"
        for name, value in _fields(augment).items()
        if value
    )


def _fields(augment: Any) -> Mapping[str, Any]:
    return asdict(augment) if is_dataclass(augment) and not isinstance(augment, type) else {}


def _measured(model: Model, view: View) -> Iterator[tuple[str, str]]:
    """Effects that the final trainings and the price themselves show, by choice."""
    facts, price, unit = model.facts, model.price, model.facts.unit
    pairs = [
        seed.errors["last"] - seed.errors["averaged"]
        for seed in facts.seeds
        if {"last", "averaged"} <= seed.errors.keys()
    ]
    if (gain := mean(pairs)) is not None:
        yield "averaging", _with_interval("last weights of the final trainings", gain, unit)
    if price.trained != price.params:
        yield "folding", f"parameters {price.trained:,} to {price.params:,}"
    own = shorter_trial(facts, view)
    if own is not None and own.error is not None:
        here = mean([seed.error for seed in facts.seeds])
        if here is not None:
            off = _signed(own.error - here.mean, unit)
            yield "length", f"{own.epochs:,} epochs, once, in the search: {off}"


def effect(row: kept.Row, unit: str) -> str:
    """What a change does to the error, in a few words; a star where that is beyond seed noise."""
    part, _, after = row.name.partition("=")
    name = (
        after
        if part in ("loss", "head", "act", "schedule", "augment") and after
        else f"{LABELS.get(part, part)} {after}"
    )
    return _with_interval(line(name.strip(), 40), row.difference, unit) if row.difference else ""


def _with_interval(name: str, value: kept.Mean, unit: str) -> str:
    span = "" if value.low is None or value.high is None else f" ({_signed(value.low)} to {_signed(value.high)})"
    return f"{name}: {_signed(value.mean, unit)}{span}{' *' if value.sure else ''}"


def _signed(value: float, unit: str = "") -> str:
    sign = "+" if value >= 0 else "\N{MINUS SIGN}"
    return f"{sign}{_short(value)} {unit}".strip()


def _short(value: float) -> str:
    """The size of a number, with three significant digits where it has a usual size."""
    size = abs(value)
    return f"{size:#.3g}".rstrip(".") if 1e-4 <= size < 999.5 else digits(size)


def helped(ablation: kept.Ablation | None, facts: Facts) -> tuple[str, ...]:
    """Which choices helped beyond seed noise, which did not, and how that was measured, a paragraph each."""
    if ablation is None or ablation.base.error is None or not ablation.ranked:
        return (
            f"No ablation of trial {facts.trial} was made, so that what its single choices are worth was not measured; "
            "`posefront submit` makes a brief one unless it is given --quick, and `posefront ablate` a longer one.",
        )
    rows = [row for row in ablation.ranked if row.difference is not None]
    better = [row for row in rows if row.difference and row.difference.sure and row.difference.mean > 0]
    worse = [row for row in rows if row.difference and row.difference.sure and row.difference.mean < 0]
    unsure = [row for row in rows if row not in better and row not in worse]
    told = []
    if better:
        told.append(f"Beyond seed noise it helped to have {_listed(better, ablation.unit)}.")
    else:
        told.append("No choice was shown to help beyond seed noise.")
    if worse:
        short = ablation.epochs < facts.epochs
        when = f"After {ablation.epochs:,} epoch{'s' * (ablation.epochs > 1)} a" if short else "A"
        told.append(f"{when} change was better than the choice that was made: {_listed(worse, ablation.unit, True)}.")
        if short and any(_is_late(row) for row in worse):
            told.append(
                "Schedules, running means and augmentation pay in long trainings: of "
                f"{facts.epochs:,} epochs this says nothing."
            )
    if unsure:
        told.append(f"Not told apart from chance: {'; '.join(line(row.name, 40) for row in unsure)}.")
    return " ".join(told), how(ablation, facts)


def _is_late(row: kept.Row) -> bool:
    """Whether what is changed pays in long trainings alone."""
    return row.part in ("schedule", "warmup", "ema", "augment", *TURNS)


def _listed(rows: Sequence[kept.Row], unit: str, changed: bool = False) -> str:
    return "; ".join(phrase(row, unit, changed) for row in rows)


def phrase(row: kept.Row, unit: str, changed: bool = False) -> str:
    """'loss distance instead of mse (2.31 px, 0.90 to 3.70)'; turned round where the change is the better one."""
    before, after = row.said.removeprefix(f"{row.part} "), row.name.partition("=")[2] or row.name
    if before.count(" to ") == 1 and "," not in before:
        before, _, after = before.partition(" to ")
    else:
        before = "the one that it has"
    first, second = (after, before) if changed else (before, after)
    found = row.difference
    assert found is not None  # noqa: S101 - for the type checker
    low, high = sorted(abs(end) for end in (found.low, found.high) if end is not None)
    size = f"{_short(found.mean)} {unit}".strip() + f", {_short(low)} to {_short(high)}"
    score = f"; score \u00d7 {_short(row.factor if changed else 1 / row.factor)}" if row.factor else ""
    return f"{LABELS.get(row.part, row.part)} {line(first, 40)} instead of {line(second, 40)} ({size}{score})"


def how(ablation: kept.Ablation, facts: Facts) -> str:
    """How the ablation was measured, and how far it goes."""
    error = ablation.base.error
    assert error is not None  # noqa: S101 - for the type checker
    spread = "" if error.half is None else f" \u00b1 {measured(error.half)}"
    shorter = (
        f", shorter than the final training's {facts.epochs:,}, so that a choice that pays late is not seen"
        if ablation.epochs < facts.epochs
        else ""
    )
    return (
        f"One choice was changed at a time and trained for {ablation.epochs:,} epoch{'s' * (ablation.epochs > 1)}"
        f"{shorter}; as it is, the error is then {measured(error.mean)}{spread} {ablation.unit}".strip()
        + f" over {error.n} seed{'s' * (error.n > 1)}. {line(ablation.caution, 1500)}"
    )
