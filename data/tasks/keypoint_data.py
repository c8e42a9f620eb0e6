"""What a task of annotated keypoints learns from and is judged on: objects, their targets, and how they are split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data.errors import UserError
from data.layouts import keypoints as layout
from data.layouts.groups import copies, left_out, stated, together, unlike
from data.layouts.problems import Noted, Problem, unused, warning
from data.storage.copies import looks
from data.storage.crops import fractions, frames

if TYPE_CHECKING:
    from data.layouts.annotations import AnnotationSet, Instance, KeypointSet
    from data.tasks.keypoints import Keypoints

Array = np.ndarray[Any, np.dtype[Any]]


class KeypointData(NamedTuple):
    """A folder's annotations.

    Attributes:
        train: To train on.
        valid: To judge on, where the folder has such and they are wanted.
        usable: The objects that are answered, N of them.
        trained: How many of them, the first ones, are of `train`.
        targets: float32, (N, P, 3): x and y as fractions of the crop, 1 where labelled, else 0; or (N, P, 2): NaN where
            not labelled.
        partly: Some point of some object is not labelled.
        problems: Warnings.
    """

    train: AnnotationSet
    valid: AnnotationSet | None
    usable: tuple[Instance, ...]
    trained: int
    targets: Array
    partly: bool
    problems: tuple[Problem, ...]


class Rows(NamedTuple):
    """A split.

    Attributes:
        train: Rows to train on, int64, ascending.
        valid: Rows to judge on, likewise.
        copies: What the split owes to copies among the images; empty where there are none.
        problems: What is to be said of copies.
    """

    train: Array
    valid: Array
    copies: bytes
    problems: tuple[Problem, ...]


def forget() -> None:
    """Read the files again when they are next asked for."""
    for kept in (_parsed, _loaded, rows):
        kept.cache_clear()


def load(task: Keypoints, root: Path, cache: Path) -> KeypointData:
    """A task's annotations, checked; no image is opened, and folds of one task read them once."""
    return _loaded(replace(task, folds=2, fold=0, seed=0), root, cache)


@lru_cache(maxsize=2)
def _parsed(root: Path) -> tuple[KeypointSet, tuple[Problem, ...]]:
    problems = Noted()
    return layout.read(root, problems), tuple(problems)


@lru_cache(maxsize=8)  # a worker process asks once a trial
def _loaded(task: Keypoints, root: Path, cache: Path) -> KeypointData:
    del cache  # another cache folder is another answer
    found, problems = _parsed(root)
    train, valid = found.train, found.valid
    if valid and not task.own_split:
        what = "validation images, as this study splits the training annotations"
        problems, valid = (*problems, unused(valid.files[0], what, [Path(file).name for file in valid.sizes])), None
    names = task.skeleton.names if task.skeleton else train.categories[0].keypoints
    learnt, judged = (_usable(task, names, annotated) if annotated else () for annotated in (train, valid))
    usable = learnt + judged
    points = np.stack([instance.points for instance in usable]) if usable else np.zeros((0, 1, 3))
    labelled = points[..., 2:] > 0
    blank = np.nan if task.complete else 0.5
    places = np.where(labelled, fractions(points[..., :2], frames(usable, task.margin)), blank)
    targets = (places if task.complete else np.concatenate([places, labelled], -1)).astype(np.float32)
    return KeypointData(train, valid, usable, len(learnt), targets, not labelled.all(), problems)


def _usable(task: Keypoints, names: Sequence[str], annotated: AnnotationSet) -> tuple[Instance, ...]:
    """Objects with a labelled keypoint; crowds are left out."""
    for category in annotated.categories:
        # Only average precision knows a point by its name: by its sigma.
        same = category.keypoints == names or (task.metric != "ap_error" and len(category.keypoints) == len(names))
        if not same:
            wanted = f"each category must have {', '.join(names)}"
            raise UserError(f"{annotated.files[0]} has other keypoints for {category.name!r}: {wanted}.")
    return tuple(instance for instance in annotated.instances if instance.usable)


@lru_cache(maxsize=8)
def rows(task: Keypoints, root: Path, cache: Path) -> Rows:
    """A task's split. The images are looked at once a machine.

    Raises:
        UserError: If an image cannot be used, or there is too little to split.
    """
    data = load(task, root, cache)
    if data.valid is not None and not 0 < data.trained < len(data.usable):
        file = (data.valid if data.trained else data.train).files[0]
        raise UserError(f"{file} has no object with a labelled keypoint: give annotations that have.")
    seen, where = looks(instance.file for instance in data.usable), data.train.files[0]
    learnt, judged = data.usable[: data.trained], data.usable[data.trained :]
    said, own = list(copies(where, learnt, seen)), b""
    if data.valid is not None:
        kept = unlike(learnt, judged, seen)
        said += left_out(where, learnt, kept, data.valid.files[0])
        if kept.any():
            train, valid = np.flatnonzero(kept), np.arange(data.trained, len(data.usable))
            detail = f"{len(valid)} objects are judged on, {len(train)} of {where} are learnt from"
            said.append(warning("validation", data.valid.files[0], detail))
            return Rows(train, valid, b"" if kept.all() else kept.tobytes(), tuple(said))
        own = repr((task.folds, task.fold, task.seed)).encode()
    named = stated(learnt, by_number=task.complete)  # as the splits of faces always were
    groups = together(learnt, named, seen)
    train, valid = _fold(task, learnt, groups)
    return Rows(train, valid, own if (groups == named).all() else own + groups.tobytes(), tuple(said))


def _fold(task: Keypoints, instances: Sequence[Instance], groups: Array) -> tuple[Array, Array]:
    numbers = np.unique(groups)
    if task.fewer_folds and task.fold < len(numbers) < task.folds and len(numbers) > 1:
        judged = groups == numbers[task.fold]
        return np.flatnonzero(~judged), np.flatnonzero(judged)
    alone = all(instance.group == instance.image_id for instance in instances)
    return task.fold_rows(groups, "images" if alone else "videos")
