"""What the learning curves say, in a sentence that is chosen by their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search.format import percent
from search.run.ledger import Row

FEWEST = 6
"""Epochs below which curves are not read."""
RISEN = 0.03
"""Part by which the validation loss must have risen from its lowest to be called overfitting."""
WIDENED = 0.05
"""Part of the validation loss by which the gap must have grown over the last third to be called widening."""
APART = 0.25
"""Gap, as a part of the validation loss, from which the losses are called far apart."""
FALLING = 0.05
"""Part by which both losses must still have fallen over the last third to be called unfinished."""

Verdict = Literal["too short", "overfitting", "beginning to overfit", "memorising", "underfitting", "neither"]


@dataclass(frozen=True)
class Reading:
    """A training's losses, read."""

    gap: float  # validation minus training loss after the last epoch
    share: float  # the gap as a part of the validation loss
    trend: float  # how much the gap grew over the last third of the epochs, by the straight line through it
    best: int  # epoch of the lowest validation loss
    # by what part the validation loss ended above its lowest, both as means over a twentieth of the epochs
    risen: float
    # by what part the training and the validation loss fell over the last third, by straight lines
    fell: tuple[float, float]
    verdict: Verdict  # which case it is
    text: str  # the reading as a sentence or two


def read(rows: Sequence[Row]) -> Reading:
    """Read the losses of one training.

    Args:
        rows: an epoch each, at least one; losses may be negative but not all zero.
    """
    epoch, train, valid = (np.array([row[name] for row in rows]) for name in ("epoch", "train_loss", "valid_loss"))
    third = slice(-max(2, len(rows) // 3), None)
    level = max(abs(valid[-1]), 1e-12)
    gap, lowest = float(valid[-1] - train[-1]), int(np.argmin(valid))
    window = max(1, len(rows) // 20)
    smooth = np.convolve(valid, np.ones(window) / window, "valid")
    share, risen = gap / level, float(smooth[-1] - smooth.min()) / max(abs(smooth.min()), 1e-12)
    trend = change(epoch[third], (valid - train)[third])
    fell = (
        -change(epoch[third], train[third]) / max(abs(train[third][0]), 1e-12),
        -change(epoch[third], valid[third]) / max(abs(valid[third][0]), 1e-12),
    )
    verdict = judged(len(rows), share, trend / level, risen, fell)
    best, last = int(epoch[lowest]), int(epoch[-1])
    moved = (
        f", which {'widened' if trend * gap > 0 else 'narrowed'} by {abs(trend):.2g} over the last third of the epochs"
    )
    numbers = (
        f"After epoch {last} the validation loss is {valid[-1]:.4g} and the training loss {train[-1]:.4g}: a gap of "
        f"{gap:+.2g} ({percent(share, signed=True)} of the validation loss)"
        f"{moved if len(rows) >= FEWEST else ''}. The validation loss was lowest in epoch {best} of {last}."
    ).replace("-", "\u2212")
    meant = MEANT[verdict].format(risen=percent(risen), train=percent(fell[0]), valid=percent(fell[1]))
    return Reading(gap, share, trend, best, risen, fell, verdict, f"{numbers} {meant}")


def judged(count: int, share: float, widened: float, risen: float, fell: tuple[float, float]) -> Verdict:
    """Which case it is; arguments as in `Reading`, `widened` the trend as a part of the validation loss."""
    if count < FEWEST:
        return "too short"
    if risen > RISEN and widened > 0:
        return "overfitting"
    if share > APART:
        return "beginning to overfit" if widened > WIDENED else "memorising"
    if min(fell) > FALLING:
        return "underfitting"
    return "neither"


MEANT: dict[Verdict, str] = {
    "too short": "That is too few epochs to tell over- from underfitting.",
    "overfitting": "It overfits: the validation loss has risen by {risen} since, while the training loss went on "
    "falling; more augmentation or weight decay, or fewer epochs, should help.",
    "beginning to overfit": "It begins to overfit: the losses are far apart and part further, though the validation "
    "loss has not risen; stronger augmentation would be the first thing to try.",
    "memorising": "It knows the training images better than new ones, but the gap no longer widens and the validation "
    "loss has not risen, so that training on did no harm.",
    "underfitting": "It underfits rather than overfits: both losses were still falling, by {train} (training) "
    "and {valid} (validation) over the last third, so that more epochs or a larger network should help.",
    "neither": "It neither over- nor underfits: the losses have levelled off close together, so that longer training "
    "would change little, and only another network or other data would.",
}


def change(x: np.ndarray[tuple[int], np.dtype[np.float64]], y: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """From the first to the last x along the straight line of least squares."""
    return float(np.polyfit(x, y, 1)[0] * (x[-1] - x[0])) if len(x) > 1 else 0.0
