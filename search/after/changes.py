"""What can be changed in a trial, one choice at a time, so that each change makes a difference."""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from data.errors import UserError
from models.cost import cost
from models.net import Arch
from search.study import Config, Study, Task
from search.variant import Change, Variants, vary, vary_task

BASE = "as it is"
"""The variant in which nothing is changed."""

HEADS: Mapping[type, tuple[str, ...]] = {Arch: ("direct", "heatmap", "simcc")}
"""Heads that answer the same, so that one can take the other's place under any loss, by architecture."""


def variants(study: Study, config: Config, names: Sequence[str] = ()) -> Variants:
    """The trial as it is and all changes that make a difference to it, by name.

    The study's own changes come first; then those that make sense for any configuration: each augmentation off and
    all of them, no running mean of the weights, another schedule, no weight decay, warm-up, clipping or divergence, no
    pre-training, the task's other losses, the network's other heads, and the next smaller and larger input.

    Args:
        study: whose trial it is.
        config: the trial's.
        names: of the changes that are wanted; empty for all.

    Raises:
        UserError: one of the study's changes does not fit the configuration, or is empty of effect; a name is not
            known; there is nothing to change.
    """
    seen: list[tuple[Config, Task]] = [(config, study.task)]
    found: dict[str, Change] = {BASE: {}}
    for name, change in study.changes.items():
        try:
            made = vary(config, change), vary_task(study.task, change)
            cost(made[0].arch)
        except (ValueError, TypeError) as error:
            raise UserError(
                f"the study's change {name!r} does not fit this trial: {error}; mend it in its file."
            ) from error
        if made not in seen:
            seen.append(made)
            found[name] = dict(change)
    for name, change in derived(study.task, config):
        try:
            made = vary(config, change), study.task
            cost(made[0].arch)
        except (ValueError, RuntimeError):
            continue  # this network has no such input or head
        if made not in seen:
            seen.append(made)
            found[name] = change
    if len(found) == 1:
        raise UserError("nothing in this trial can be changed; give the study `changes` of its own.")
    return chosen(found, names) if names else found


def chosen(found: Variants, names: Sequence[str]) -> Variants:
    """The base and the changes of these names.

    Raises:
        UserError: a name is not known.
    """
    known = [name for name in found if name != BASE]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            meant = f"did you mean {' or '.join(near)}? " if near else ""
            raise UserError(f"there is no change {name!r} of this trial: {meant}known are {', '.join(known)}.")
    return {name: found[name] for name in (BASE, *names)}


def derived(task: Task, config: Config) -> Iterator[tuple[str, Change]]:
    """Changes that make sense for any configuration, some of which may not fit this one."""
    training, arch = config.training, config.arch
    on = {name: off for name, off in switched_off(config.augment).items() if getattr(config.augment, name) != off}
    for name, off in on.items():
        yield f"{name}={off:g}", {f"augment.{name}": off}
    yield "augment=none", {f"augment.{name}": off for name, off in on.items()}
    yield "ema=0", {"training.ema": 0.0}
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
    for head in HEADS.get(type(arch), ()):
        if head != getattr(arch, "head", head):
            yield f"head={head}", {"arch.head": head}
    for size in neighbours(arch.size):
        yield f"size={spelt(size)}", {"arch.size": size}


def switched_off(augment: Any) -> dict[str, Any]:
    """What each number of an augmentation is where it changes nothing."""
    if not is_dataclass(augment):
        return {}
    return {
        one.name: type(value)(0)
        for one in fields(augment)
        if isinstance(value := getattr(augment, one.name), (bool, int, float))
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


def said(task: Task, config: Config, change: Change) -> str:
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
        return "x".join(spelt(one) for one in value)
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
        return str(value) if value not in ("", None, ()) else "none"
    return f"{value:g}"
