"""A configuration with some of its choices changed: an ablation's variants, the folds of an ensemble.

A change is written as dotted names with their new values: {"training.schedule": "constant", "augment.rotate": 0,
"arch.head": "direct", "task.fold": 1}. Which variant a trial is stands among its parameters, so that storage, workers
and dashboard need nothing else to know it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from search.study import Config, Study, Task

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Change = Mapping[str, Any]
Variants = Mapping[str, Change]

PARAMETER = "variant"
"""The parameter that says which variant a trial is."""

PARTS = ("arch", "training", "augment")


def vary(config: Config, change: Change) -> Config:
    """The configuration with other choices; those of the task are left out.

    Args:
        config: of a trial.
        change: dotted names, beginning with 'arch', 'training', 'augment' or 'task', and values; 'augment' alone
            replaces the whole.

    Raises:
        ValueError: a name is not one of the configuration's, or a value is out of its range.
    """
    for name in change:
        if name.partition(".")[0] not in (*PARTS, "task"):
            raise ValueError(f"{name!r} must begin with {', '.join(PARTS)} or task")
    parts = {part: change.get(part, getattr(config, part)) for part in PARTS}
    return replace(config, **{part: altered(before, part, change) for part, before in parts.items()})


def vary_task(task: Task, change: Change) -> Task:
    """The task with other choices, e.g. another fold; the same object where nothing changes.

    Raises:
        ValueError: a name is not one of the task's, or a value is out of its range.
    """
    changed: Task = altered(task, "task", change)
    return changed


def altered(before: Any, part: str, change: Change) -> Any:
    """A dataclass with all the fields replaced, at once, that a change names behind `part` and a dot."""
    new = {name.partition(".")[2]: value for name, value in change.items() if name.startswith(f"{part}.")}
    if not new:
        return before
    names = [field.name for field in fields(before)] if is_dataclass(before) else []
    for name in new:
        if name not in names:
            kind, has = type(before).__name__, ", ".join(names) or "nothing"
            raise ValueError(f"there is no '{part}.{name}' to change; {kind} has {has}")
    return replace(before, **new)


def varied(study: Study, variants: Variants) -> Study:
    """The study whose trials have a variant each, as one more parameter of the space.

    Args:
        study: whose space is widened.
        variants: by name; empty for the study as it is.
    """
    if not variants:
        return study

    def space(trial: BaseTrial, task: Task) -> Config:
        name = trial.suggest_categorical(PARAMETER, list(variants))
        return vary(study.space(trial, task), variants[name])

    return replace(study, space=space)


def change_of(params: Mapping[str, Any], variants: Variants) -> Change:
    """What a trial's parameters say is changed in it."""
    return variants[params[PARAMETER]] if variants else {}
