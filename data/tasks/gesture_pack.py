"""A data set of gestures, read and packed: what trials share."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data.layouts.gestures import Clip, Gesture, read_clips, read_gestures, unsized
from data.layouts.problems import Noted, Problem
from data.storage.crops import pack_of
from data.storage.pack import Pack
from data.tasks import motion
from data.tasks.gesture_crops import Margins, squares

Array = np.ndarray[Any, np.dtype[Any]]


class Packed(NamedTuple):
    """Folders of frames.

    Attributes:
        pack: their frames' crops, as many of each folder, in order.
        ids: names of the F folders.
        classes: int64 (F,), places among the gestures; -1 in test/.
        actors: (F,) names.
        motions: float64 (F, 4), `data.tasks.motion.motions`.
        stamp: a short name of all that was read.
        problems: warnings about it.
        unsized: frames whose width and height no file says.
    """

    pack: Pack
    ids: tuple[str, ...]
    classes: Array
    actors: Array
    motions: Array
    stamp: str
    problems: tuple[Problem, ...]
    unsized: frozenset[str]


@lru_cache(maxsize=4)
def gestures(root: Path) -> tuple[Gesture, ...]:
    """The classes of a data set, read once."""
    return read_gestures(root)


@lru_cache(maxsize=4)  # a worker process asks once a trial
def training(root: Path, cache: Path, frames: int, margins: Margins, side: int) -> Packed:
    """The training folders; nothing is decoded yet.

    Args:
        root: the data set's folder.
        cache: the cache folder of today; another one is another answer.
        frames: how many of each folder are packed.
        margins: of the crops.
        side: of the packed crops in pixels.
    """
    del cache
    problems = Noted()
    clips = read_clips(root, "train", gestures(root), problems)
    return packed(clips, frames, margins, side, tuple(problems))


def packed(
    clips: Sequence[Clip], frames: int, margins: Margins, side: int, problems: tuple[Problem, ...] = ()
) -> Packed:
    """Folders, to be packed; nothing is decoded yet."""
    stamp = hashlib.blake2b(digest_size=10)
    for clip in clips:
        stamp.update(f"{clip.id} {clip.actor} {clip.gesture} {len(clip.frames)}".encode() + clip.points.tobytes())
    return Packed(
        pack_of(squares(clips, frames, margins), side),
        tuple(clip.id for clip in clips),
        np.array([clip.gesture for clip in clips]),
        np.array([clip.actor for clip in clips]),
        np.stack([motion.motions(clip.points) for clip in clips]),
        stamp.hexdigest(),
        problems,
        unsized(clips),
    )
