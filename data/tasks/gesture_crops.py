"""From keypoints to square crops of frames: which points belong to the acting hand, and what is cut around them.

The crop's geometry is the same for every frame in units of its tight square, the square about the points: so a batch of
crops can be cut anew with other margins without knowing a single box.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.layouts.gestures import Clip
from data.storage.crops import Square
from data.transforms.augment import CONTEXT

HAND = 21
"""Joints of one hand."""
FAR, LONE = 8.0, 2.5
"""Points further from a frame's middle than `FAR` times the usual distance, or further than `LONE` times it from any
other point, are another hand's or nobody's. On drawn hands a stretched index finger's tip lies at up to 5.2, and no
joint's neighbour further than 1.9; two points alone lie at 1 and 2."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Margins:
    """What is cut beyond the tight square, as fractions of its side; the crop is made square about its middle."""

    left: float = 0.25
    top: float = 0.25
    right: float = 0.25
    bottom: float = 0.45

    def __post_init__(self) -> None:
        if min(self.left, self.top, self.right, self.bottom) < 0:
            raise ValueError(f"margins must be at least 0, not {self}")

    @property
    def side(self) -> float:
        """Side of the crop over the side of the tight square."""
        return 1 + max(self.left + self.right, self.top + self.bottom)

    @property
    def middle(self) -> tuple[float, float]:
        """The crop's middle from the tight square's, in sides of the latter."""
        return (self.right - self.left) / 2, (self.bottom - self.top) / 2


def acting(points: Array) -> Array:
    """Which points are the acting hand's, bool (T, P), by a rule that needs no class, as at the test.

    1. Points that are NaN or at (0, 0) are placeholders. 2. Of two hands (2 x 21 points), one that is seen (half of its
    points or more) in fewer than half as many frames as the other has passed by: it is left out. 3. In each frame,
    points are left out that lie too far from the median, or from every other point: see `FAR` and `LONE`.

    Args:
        points: (T, P, 3) of a folder.
    """
    place = points[..., :2]
    seen: Array = np.isfinite(place).all(-1) & (place != 0).any(-1)
    if points.shape[1] == 2 * HAND:
        times = (seen.reshape(-1, 2, HAND).sum(-1) * 2 >= HAND).sum(0)
        for hand in (0, 1):
            if 2 * times[hand] < times[1 - hand]:
                seen[:, hand * HAND : (hand + 1) * HAND] = False
    for frame in np.flatnonzero(seen.any(1)):
        here = np.flatnonzero(seen[frame])
        xy = place[frame, here]
        away = np.linalg.norm(xy - np.median(xy, axis=0), axis=1)
        apart = np.linalg.norm(xy[:, None] - xy, axis=2)
        np.fill_diagonal(apart, np.inf if len(here) > 1 else 0)
        usual = np.median(away)
        seen[frame, here] = (away <= FAR * usual) & (apart.min(1) <= LONE * usual)
    return seen


def tight(clip: Clip) -> Array:
    """The tight square of each frame, float64 (T, 3): its middle and its side in pixels.

    The side is the longer one of the points' box, but never less than the folder's median: two finger tips that meet
    do not fill the picture. A frame without points has its nearest neighbour's; points outside count at its edge.
    """
    seen = acting(clip.points)
    known = np.flatnonzero(seen.any(1))
    width, height = clip.size
    if not len(known):  # nothing to go by: the whole frame
        return np.tile([width / 2, height / 2, float(max(width, height))], (len(seen), 1))
    squares = np.zeros((len(seen), 3))
    for frame in known:
        here = clip.points[frame, seen[frame], :2]
        here = np.clip(here, 0, (width - 1, height - 1))
        low, high = here.min(0), here.max(0)
        squares[frame] = (*((low + high) / 2 + 0.5), max(high - low))  # a pixel's middle lies at + 0.5 from its edge
    squares[:, 2] = np.maximum(squares[:, 2], max(np.median(squares[known, 2]), 8))
    nearest = known[np.abs(known[None] - np.arange(len(seen))[:, None]).argmin(1)]
    filled: Array = squares[nearest]
    return filled


def chosen(length: int, frames: int) -> Array:
    """`frames` evenly spaced numbers out of 0 to length - 1, int64, ascending; of fewer frames some come again."""
    return np.floor((np.arange(frames) + 0.5) * length / frames).astype(np.int64)


def squares(clips: Sequence[Clip], frames: int, margins: Margins) -> list[Square]:
    """What is packed: `frames` of each folder, in order, each `CONTEXT` times the crop about the crop's middle."""
    found = []
    for clip in clips:
        boxes = tight(clip)
        for frame in chosen(len(clip.frames), frames):
            x, y, side = boxes[frame]
            half = CONTEXT * margins.side * side / 2
            dx, dy = margins.middle
            corner = float(x + dx * side - half), float(y + dy * side - half)
            found.append(Square(clip.frames[frame], *clip.size, *corner, float(2 * half)))
    return found
