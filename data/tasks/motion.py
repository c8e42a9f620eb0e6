"""Motion over a folder's frames, to tell apart two gestures that look alike in every single one.

A finger held up is 'one', waved it is 'no'; a fist is a fist, pushed forward it is a warning. A rule looks at one
number that says how much something moved, compares it with a threshold, and moves probability between the two classes
of a pair: Bayes' theorem with the shares of the training folders of either class on that side of the threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.tasks.gesture_crops import HAND, acting

MOTIONS = ("finger", "shift", "size", "turn")
"""What `motions` measures."""
PALM = (0, 1, 5, 9, 13, 17)
"""Joints that move with the palm: wrist and the first of each finger."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Rule:
    """How two gestures are told apart."""

    # pairs of classes, left and right hand's for one; the first of each pair is the one gesture
    pairs: tuple[tuple[int, int], ...]
    motion: int  # place in MOTIONS of the number that is looked at
    threshold: float  # a folder is above it or not
    # for below and above, the share of either gesture's training folders there (never 0)
    shares: tuple[tuple[float, float], tuple[float, float]]


def motions(points: Array) -> Array:
    """How much a hand moves over a folder's frames, float64 (4,); NaN where fewer than two frames show it.

    The palm is six joints of a 21-joint hand (of two hands the one that is seen more), or all points of another layout;
    its size is the root mean square distance of its points from their middle. All four are median distances from the
    median over the frames, which a stray keypoint leaves alone: of the point that moves most as the palm sees it, in
    palm sizes ('finger'); of the palm's middle, in its median size ('shift'); of the logarithm of its size ('size');
    of its direction in radians ('turn').

    Args:
        points: (T, P, 3), x and y in pixels; NaN or (0, 0) where not seen.
    """
    seen, place = acting(points), points[..., :2]
    if points.shape[1] == 2 * HAND:
        second = seen[:, HAND:].sum() > seen[:, :HAND].sum()
        half = slice(HAND, None) if second else slice(HAND)
        seen, place = seen[:, half], place[:, half]
    palm = np.array(PALM) if place.shape[1] == HAND else np.arange(place.shape[1])
    whole = seen[:, palm].all(1)
    if whole.sum() < 2 or len(palm) < 2:
        return np.full(len(MOTIONS), np.nan)
    seen, place = seen[whole], place[whole]
    middle = place[:, palm].mean(1)
    shape = place[:, palm] - middle[:, None]
    size = np.sqrt((shape**2).sum(-1).mean(-1)).clip(1e-6)
    # The turn against the first frame that fits best (Procrustes), as complex numbers.
    flat = shape[..., 0] + 1j * shape[..., 1]
    angle = np.unwrap(np.angle((flat * flat[0].conj()).sum(1)))
    relative = place - middle[:, None]
    upright = (relative[..., 0] + 1j * relative[..., 1]) * (np.exp(-1j * angle) / size)[:, None]
    paths = [upright[seen[:, joint], joint, None] for joint in range(place.shape[1])]
    finger = max((_spread(path) for path in paths if 2 * len(path) > len(place)), default=0.0)
    shift = _spread(middle) / np.median(size)
    return np.array([finger, shift, _spread(np.log(size)[:, None]), _spread(angle[:, None])])


def _spread(path: Array) -> float:
    """Median distance of places (T, D), real or complex, from their median."""
    middle = np.median(path.real, axis=0) + (1j * np.median(path.imag, axis=0) if np.iscomplexobj(path) else 0)
    return float(np.median(np.linalg.norm(path - middle, axis=1)))


def fit(values: Array, classes: Array, pairs: Sequence[tuple[tuple[int, int], ...]]) -> tuple[Rule, ...]:
    """Rules for those pairs that they help to tell apart.

    Of all motions and thresholds the most likely one is taken. Left out each folder in turn, such rules must give the
    true class more than one half: the mean gain in log probability must exceed its standard error; else there is no
    rule. (Of 100 pairs of noise, 20 folders each, 8 got one; of 100 that were 3.3 standard deviations apart, 95.)

    Args:
        values: (F, 4) `motions` of the training folders.
        classes: int64 (F,).
        pairs: the classes to tell apart; those that belong together get one rule.
    """
    rules = []
    for together in pairs:
        firsts, seconds = (np.isin(classes, places) for places in zip(*together, strict=True))
        rows = (firsts | seconds) & np.isfinite(values).all(1)
        moved, second = values[rows], seconds[rows]
        if min(second.sum(), (~second).sum()) < 3:  # with one left out there must be two
            continue
        kept = ~np.eye(len(second), dtype=bool)
        tried = [_best(moved[some], second[some], together) for some in kept]
        gains = [np.log(2 * _posterior(rule, moved[n], int(second[n]))) for n, rule in enumerate(tried)]
        if np.mean(gains) > max(np.std(gains) / np.sqrt(len(gains)), 1e-9):
            rules.append(_best(moved, second, together))
    return tuple(rules)


def apply(rules: Sequence[Rule], probabilities: Array, values: Array) -> Array:
    """Move probability between the classes of each rule's pair; all others, and folders without motion, stay.

    Args:
        rules: from `fit`.
        probabilities: (F, classes).
        values: (F, 4) `motions` of the same folders.
    """
    answer = np.array(probabilities, dtype=np.float64)
    for rule in rules:
        known = np.isfinite(values[:, rule.motion])
        above = (values[known, rule.motion] > rule.threshold).astype(int)
        for pair in rule.pairs:
            cells = np.ix_(known, np.array(pair))
            both = answer[cells]
            weighed = both * np.array(rule.shares)[above]
            total = weighed.sum(1, keepdims=True)
            answer[cells] = weighed * (both.sum(1, keepdims=True) / np.where(total > 0, total, 1))
    return answer


def _posterior(rule: Rule, moved: Array, which: int) -> float:
    """What the rule gives class `which` of its pair where both were as likely before."""
    shares = rule.shares[int(moved[rule.motion] > rule.threshold)]
    return shares[which] / sum(shares)


def _best(moved: Array, second: Array, pairs: tuple[tuple[int, int], ...]) -> Rule:
    """The rule that gives the true classes the highest likelihood; of equals the one with the widest gap.

    Args:
        moved: (n, 4).
        second: bool (n,), which are of a pair's second class.
        pairs: the classes.
    """
    totals = np.array([(~second).sum(), second.sum()])
    best: tuple[tuple[float, float], Rule] | None = None
    for motion in range(moved.shape[1]):
        order = np.argsort(moved[:, motion], kind="stable")
        ranked = moved[order, motion]
        gaps = np.diff(ranked)
        low = np.cumsum(np.stack([~second[order], second[order]], 1), axis=0)[:-1]
        counts = np.stack([low, totals - low], 1)  # (n - 1 thresholds, below and above, first and second)
        shares = (counts + 0.5) / (totals + 1)
        likely = (counts * np.log(shares / shares.sum(2, keepdims=True))).sum((1, 2))
        for cut in np.flatnonzero((gaps > 0) & (likely > likely.max(where=gaps > 0, initial=-np.inf) - 1e-9)):
            rank = round(float(likely[cut]), 9), float(gaps[cut] / np.ptp(ranked))
            if best is None or rank > best[0]:
                below, above = ((float(a), float(b)) for a, b in shares[cut])
                middle = float(ranked[cut] + ranked[cut + 1]) / 2
                best = rank, Rule(pairs, motion, middle, (below, above))
    return best[1] if best else Rule(pairs, 0, 0.0, ((0.5, 0.5), (0.5, 0.5)))
