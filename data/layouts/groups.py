"""Which images belong together, so that no copy of one is learnt from and another judged on; and what is said of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.layouts.annotations import Instance
from data.layouts.problems import Problem, counted, unused
from data.storage.copies import Groups, Look, firsts, merged
from data.storage.image import displayed_size

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def stated(instances: Sequence[Instance], by_number: bool = False) -> Groups:
    """The groups that the annotations name, int64 (N,) in a fixed order of their own: another is another split.

    Args:
        instances: N of them.
        by_number: Numbers are in their own order, not in that of their digits.
    """
    names = [instance.group if by_number else str(instance.group) for instance in instances]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def together(instances: Sequence[Instance], groups: Groups, seen: Mapping[str, Look]) -> Groups:
    """Groups of objects made one where their images are one file, equal pixel by pixel, or copies of one original."""
    files = [instance.file for instance in instances]
    pixels = [seen[file].pixels if file in seen else None for file in files]
    known = {name for instance in instances for name in instance.originals}
    bases = [file.rpartition("/")[2] for file in files]  # an original may lie beside its copies
    first = [(*i.originals, base if base in known else None)[0] for i, base in zip(instances, bases, strict=True)]
    second = [(*instance.originals, None, None)[1] for instance in instances]
    return merged(groups, files, pixels, first, second)


def unlike(learnt: Sequence[Instance], judged: Sequence[Instance], seen: Mapping[str, Look]) -> Mask:
    """Which of the objects to learn from are of no image that is judged on, nor of a copy of one, bool (N,)."""
    alike = together((*learnt, *judged), np.arange(len(learnt) + len(judged)), seen)
    return ~np.isin(alike[: len(learnt)], alike[len(learnt) :])


def left_out(where: Path, learnt: Sequence[Instance], kept: Mask, judged: Path) -> Iterator[Problem]:
    """What is said of objects that `unlike` leaves out; where it would leave none, the validation part is left out."""
    names = sorted({Path(one.file).name for one, is_kept in zip(learnt, kept, strict=True) if not is_kept})
    if names and kept.any():
        yield counted("copies", where, f"training images are left out, as {judged.name} has copies of them", names)
    elif names:
        what = "validation files, as they hold the images to train on and no others"
        yield unused(where, what, [judged.name])


def copies(where: Path, instances: Sequence[Instance], seen: Mapping[str, Look]) -> Iterator[Problem]:
    """What is said of copies, and of images that may be turned otherwise than their annotations."""
    files = dict.fromkeys(instance.file for instance in instances)
    unsized = {instance.file for instance in instances if not instance.sized}
    yield from seen_twice(where, {file: seen[file] for file in files if file in seen}, unsized)
    sizes = {i.file: (i.width, i.height) for i in instances if i.file in seen and seen[i.file].turn == "size"}
    lying = [Path(file).name for file, size in sizes.items() if displayed_size(file) != size]
    if lying:
        what = "images are annotated and learnt as they are stored, not as displayed and as predict sees them"
        yield counted("orientation", where, what, lying)
    copied = defaultdict[str, set[str]](set)
    for instance in instances:
        for name in instance.originals:
            copied[name].add(instance.file)
    several = [f"{name} ({len(same)} images)" for name, same in copied.items() if len(same) > 1]
    if several:
        yield counted("copies", where, "originals of several images, which stay on one side of a split", several)


def seen_twice(where: Path, seen: Mapping[str, Look], unsized: Container[str] = ()) -> Iterator[Problem]:
    """What is said of image files that equal others, and of such that may be turned otherwise than annotated.

    Args:
        where: What is said to have them.
        seen: What they show.
        unsized: Files whose width and height no annotation says.
    """
    twice = [f"{Path(file).name} as {Path(first).name}" for file, first in firsts(seen).items()]
    if twice:
        yield counted("copies", where, "images equal others and stay with them on one side of a split", twice)
    unsure = [file for file, each in seen.items() if each.turn == "any" or (each.turn and file in unsized)]
    if unsure:
        what = "images are turned or mirrored as their EXIF data say, and no size tells whether annotations are, too"
        yield counted("orientation", where, what, [Path(file).name for file in unsure])
