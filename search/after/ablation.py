"""An ablation: one trial's configuration with one choice changed at a time, each with the same few seeds.

It is a training (.training) whose trials are a change and a seed each:

    OUT/STUDY/ablation/NNNNNN-EPOCHS-HASH/   storage, answers; HASH of the configuration and its changes
    OUT/STUDY/ablation/NNNNNN.json, .html    the result of the last ablation of trial NNNNNN (search.results.ablation)

All changes are trained with the same seeds as the trial as it is: the same order of images, the same random numbers
of their augmentation and, where the network is the same one, the same first weights. So differences are taken seed by
seed, which leaves out what a lucky seed adds to both.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from data.errors import UserError
from models.cost import cost
from models.net import Arch
from models.readings import read
from search.after.training import EMA, FixedTraining, SearchedTrial
from search.results.ablation import LEVEL, Ablation, Mean, Row
from search.variant import PARAMETER, Change, Variants, vary, vary_task

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from search.study import Config, Study, Task

BASE = "as it is"
"""The variant in which nothing is changed."""

CHOICES: Mapping[type, Mapping[str, tuple[str, ...]]] = {
    Arch: {"head": ("direct", "heatmap", "simcc"), "act": ("mixed", "relu", "hardswish", "silu")}
}
"""Choices of an architecture that can take one another's place under any loss, by its class and field."""

BRIEF: Mapping[str, int] = {"loss": 2, "head": 2, "act": 1, "augment": 1, "ema": 1, "schedule": 1}
"""What a brief ablation changes, and how many changes of each it tries at most."""
BRIEF_SEEDS = 3
"""Of a brief ablation: two pairs of trainings have intervals six times as wide."""
BRIEF_PART = 3
"""Into how many parts a trial's length is cut, one of which is a brief ablation's."""


def variants(study: Study, config: Config, names: Sequence[str] = ()) -> Variants:
    """The trial as it is and all changes that make a difference to it, by name.

    The study's own changes come first; then those that make sense for any configuration: each augmentation off and
    all of them, no running mean of the weights (one, where there is none), another schedule, no weight decay, warm-up,
    clipping or divergence, no pre-training, the task's other losses, the network's other heads and activations, and
    the next smaller and larger input.

    Args:
        study: whose trial it is.
        config: the trial's.
        names: of the changes that are wanted; empty for all.

    Raises:
        UserError: one of the study's changes does not fit the configuration, or is empty of effect; a name is not
            known; there is nothing to change.
    """
    seen: list[tuple[Config, Task]] = [(config, study.task)]
    changes: dict[str, Change] = {BASE: {}}

    def add(name: str, change: Change) -> None:
        varied = vary(config, change), vary_task(study.task, change)
        cost(varied[0].arch)  # raises where the network cannot be built
        if varied not in seen:
            seen.append(varied)
            changes[name] = dict(change)

    for name, change in study.changes.items():
        try:
            add(name, change)
        except (ValueError, TypeError) as error:
            raise UserError(
                f"the study's change {name!r} does not fit this trial: {error}; mend it in its file."
            ) from error
    for name, change in general_changes(study.task, config):
        try:
            add(name, change)
        except (ValueError, RuntimeError):
            continue  # this network has no such input or head
    if len(changes) == 1:
        raise UserError("nothing in this trial can be changed; give the study `changes` of its own.")
    return select(changes, names) if names else changes


def select(changes: Variants, names: Sequence[str]) -> Variants:
    """The base and the changes of these names.

    Raises:
        UserError: a name is not known.
    """
    known = [name for name in changes if name != BASE]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            meant = f"did you mean {' or '.join(near)}? " if near else ""
            raise UserError(f"there is no change {name!r} of this trial: {meant}known are {', '.join(known)}.")
    return {name: changes[name] for name in (BASE, *names)}


def brief(variants: Variants) -> Variants:
    """The base and the few changes that say most of what an error is owed to: BRIEF.

    Of augmentations it is the change that switches off the most of them.
    """
    parts: dict[str, list[str]] = {part: [] for part in BRIEF}
    for name, change in variants.items():
        turned = bool(change) and all(key.startswith("augment.") for key in change)
        parts.get("augment" if turned else name.partition("=")[0], []).append(name)
    parts["augment"].sort(key=lambda name: -len(variants[name]))
    chosen = [name for part, names in parts.items() for name in names[: BRIEF[part]]]
    return {name: variants[name] for name in (BASE, *chosen)}


def brief_length(epochs: int) -> int:
    """Epochs of a brief ablation of trials of so many."""
    return max(2, round(epochs / BRIEF_PART))


def general_changes(task: Task, config: Config) -> Iterator[tuple[str, Change]]:
    """Changes that make sense for any configuration, some of which may not fit this one."""
    training, arch = config.training, config.arch
    neutral = {name: off for name, off in switched_off(config.augment).items() if getattr(config.augment, name) != off}
    for name, off in neutral.items():
        yield f"{name}={off:g}", {f"augment.{name}": off}
    yield "augment=none", {f"augment.{name}": off for name, off in neutral.items()}
    ema = 0.0 if training.ema else EMA
    yield f"ema={ema:g}", {"training.ema": ema}
    if training.schedule == "constant" or (training.schedule == "cosine" and training.lr_end == 1):
        yield "schedule=cosine", {"training.schedule": "cosine", "training.lr_end": 0.01}
    elif training.schedule == "step":
        yield "schedule=constant", {"training.decay": 1.0}
    else:
        yield "schedule=constant", {"training.schedule": "constant"}
    yield "weight_decay=0", {"training.weight_decay": 0.0}
    if training.schedule != "onecycle":  # whose 0 is not none, but the usual rise
        yield "warmup=0", {"training.warmup": 0.0}
    yield "clip=0", {"training.clip": 0.0}
    yield "divergence=0", {"training.divergence": 0.0}
    yield "weights=none", {"training.weights": ""}
    for loss in task.losses:
        if loss != (training.loss or task.losses[0]):
            yield f"loss={loss}", {"training.loss": loss}
    for field, choices in CHOICES.get(type(arch), {}).items():
        for choice in choices:
            if choice != getattr(arch, field):
                yield f"{field}={choice}", {f"arch.{field}": choice}
    for size in neighbours(arch.size):
        yield f"size={spelt(size)}", {"arch.size": size}


def switched_off(augment: Any) -> dict[str, Any]:
    """What each number of an augmentation is where it changes nothing."""
    if not is_dataclass(augment):
        return {}
    return {
        field.name: type(value)(0)
        for field in fields(augment)
        if isinstance(value := getattr(augment, field.name), (bool, int, float))
    }


def neighbours(size: Any) -> tuple[Any, ...]:
    """The next smaller and larger input of the same shape.

    A square of side s changes by the largest power of two that is at most s / 4 (64 by 16, 224 by 32, 256 by 64), so
    that it stays a multiple of it; other shapes by half their greatest common divisor (256 x 192 to 128 x 96 and
    384 x 288).
    """
    if isinstance(size, int):
        step = 2 ** int(math.log2(max(size / 4, 1)))
        return size - step, size + step
    unit = math.gcd(*size)
    step = max(1, unit // 2)
    return tuple(tuple(side // unit * (unit + change) for side in size) for change in (-step, step))


def in_words(task: Task, config: Config, change: Change) -> str:
    """A change in words: 'rotate 30 to 0'."""
    parts = []
    for name, value in change.items():
        part, _, field = name.partition(".")
        before = getattr(task if part == "task" else getattr(config, part), field) if field else getattr(config, part)
        if name == "training.loss" and not before:
            before = task.losses[0]
        parts.append(f"{field or part} {spelt(before)} to {spelt(value)}")
    return ", ".join(parts)


def spelt(value: Any) -> str:
    """A value as people write it."""
    if isinstance(value, tuple) and value:
        return "x".join(map(spelt, value))
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
        return str(value) if value not in ("", None, ()) else "none"
    return f"{value:g}"


def ablation_training(source: SearchedTrial, epochs: int, seeds: int, variants: Variants) -> FixedTraining:
    """An ablation's training; one of another length, configuration or choice of changes has another folder.

    The trial as it is keeps no running mean that its search did not keep, and weights are not kept.
    """
    content = source.config, sorted((name, sorted(change.items())) for name, change in variants.items())
    digest = hashlib.blake2b(repr(content).encode(), digest_size=4).hexdigest()
    folder = source.folder / "ablation" / f"{source.trial.number:06d}-{epochs}-{digest}"
    return FixedTraining(source, folder, epochs, seeds, "ablation", variants, ema=0.0, keep_weights=False)


def summarise(training: FixedTraining) -> Ablation:
    """The result of an ablation all of whose trials are over; the weights of its trainings are deleted.

    Raises:
        UserError: no training of the trial as it is came to an end.
    """
    from search.run.training import checkpoint

    task, number = training.source.study.task, training.source.trial.number
    trials = list(training.trials().values())
    base = row(training, trials, BASE, None)
    if base.error is None:
        reason = (base.failed or ("nothing",))[-1]
        raise UserError(f"no training of trial {number} as it is came to an end; the last said: {reason}.")
    checkpoint.keep_only(training.folder / "weights", ())
    return Ablation(
        study=training.source.name,
        trial=number,
        metric=task.metric,
        unit=task.unit,
        epochs=training.epochs,
        seeds=training.seeds,
        base=base,
        rows=tuple(row(training, trials, name, base) for name in training.variants if name != BASE),
        made=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def row(training: FixedTraining, trials: Sequence[FrozenTrial], name: str, base: Row | None) -> Row:
    """One change's errors, beside those of the trial as it is; `trials` are all of the training."""
    source, change = training.source, training.variants[name]
    study, config, before = source.study, source.config, source.readings
    trials = [trial for trial in trials if trial.params.get(PARAMETER) == name]
    arch = vary(config, change).arch
    price, readings = cost(arch), before if arch == config.arch else read(study.readings, arch)
    errors = {
        str(trial.user_attrs["seed"]): float(trial.user_attrs[study.task.metric])
        for trial in trials
        if trial.state.name == "COMPLETE"
    }
    error = mean(list(errors.values()))
    pairs = [(errors[seed], base.errors[seed]) for seed in errors if seed in base.errors] if base else []
    value = study.objective.value
    score = study.objective.attributes(readings, error.mean).get("score") if error else None
    return Row(
        name=name,
        said=in_words(study.task, config, change),
        params=price.params,
        flops=price.flops,
        errors=errors,
        error=error,
        difference=mean([changed - as_it_is for changed, as_it_is in pairs]),
        value=mean([value(readings, changed) - value(before, as_it_is) for changed, as_it_is in pairs]),
        score=score if isinstance(score, float) and math.isfinite(score) else None,
        failed=tuple(_failure(trial) for trial in trials if trial.state.name == "FAIL"),
    )


def _failure(trial: FrozenTrial) -> str:
    """Why a training failed, in a line without a full stop."""
    text = str(trial.user_attrs.get("failed", "")).strip() or "no reason known"
    return text.splitlines()[0].rstrip(".")


def mean(values: Sequence[float]) -> Mean | None:
    """The mean of independent numbers and its 95 % interval by Student's t; None of none."""
    if not values:
        return None
    from scipy import stats  # type: ignore[import-untyped]

    count, middle = len(values), float(np.mean(values))
    if count == 1:
        return Mean(middle, None, None, 1)
    half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return Mean(middle, middle - half, middle + half, count)
