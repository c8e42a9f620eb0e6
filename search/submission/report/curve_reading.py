"""What the learning curves say: sentences that are chosen by their numbers, and say only what follows from these."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from search.format import measured, percent
from search.run.settings import CLEAN_ERROR, CLEAN_LOSS, Row

FEWEST = 6
"""Epochs below which curves are not read."""
RISEN = 0.03
"""Part by which the validation error must have risen from its lowest to be called risen."""
FLAT = 0.02
"""Part by which a curve must have changed over the last third of the epochs to be called moving."""
MOSTLY = (0.2, 0.5)
"""Gap, as a part of the validation error, up to which an error is mostly one of fit, and from which it is mostly one of
generalisation."""

Verdict = Literal["not measured", "fit", "both", "generalisation", "overfitting"]


@dataclass(frozen=True)
class Kept:
    """The weights that a curve led to, judged."""

    error: float  # on the validation part
    train_error: float | None  # of the same weights on training images without augmentation; None where not measured
    train_images: int  # how many these are
    valid_images: int  # of the validation part
    unit: str  # of the errors
    averaged: bool  # whether they are a running mean


@dataclass(frozen=True)
class Reading:
    """A training's curves, read."""

    gap: float | None  # validation minus training error of the kept weights, like for like; None where not measured
    share: float | None  # the gap as a part of the validation error
    # the same gap after the first and the last measured epoch of the last third; None where it was measured but once
    moved: tuple[float, float] | None
    best: int  # epoch of the lowest validation error
    # by what part the validation error ended above its lowest, both as means over a twentieth of the epochs
    risen: float
    # by what part training loss and validation error fell over the last third, by straight lines
    fell: tuple[float, float]
    verdict: Verdict  # what the validation error is made of
    text: tuple[str, ...]  # the reading in paragraphs


def read(rows: Sequence[Row], kept: Kept, loss: str = "", shorter: str = "") -> Reading:
    """Read the curves of one training.

    Args:
        rows: an epoch each, at least one; some of them have the clean error.
        kept: the weights that it led to.
        loss: what the loss is, in a few words with its unit.
        shorter: what a shorter training of the same configuration had reached, a sentence.
    """
    epoch, train, error = (np.array([row[name] for row in rows]) for name in ("epoch", "train_loss", "error"))
    third = slice(-max(2, len(rows) // 3), None)
    window = max(1, len(rows) // 20)
    smooth = np.convolve(error, np.ones(window) / window, "valid")
    risen = float(smooth[-1] - smooth.min()) / max(abs(smooth.min()), 1e-12)
    fell = _fallen(epoch[third], train[third]), _fallen(epoch[third], error[third])
    gap = None if kept.train_error is None else kept.error - kept.train_error
    share = None if gap is None else gap / max(kept.error, 1e-12)
    at = [(int(row["epoch"]), row["error"] - row[CLEAN_ERROR]) for row in rows[third] if CLEAN_ERROR in row]
    moved = (at[0][1], at[-1][1]) if len(at) > 1 else None
    verdict = judged(share, moved, risen)
    best = int(epoch[int(np.argmin(error))])
    text = (
        _losses(rows, kept, loss),
        _gap(kept, gap, share, at, verdict, risen),
        f"{_course(rows[third], best, risen, fell) if len(rows) >= FEWEST else SHORT} {shorter}".strip(),
    )
    return Reading(gap, share, moved, best, risen, fell, verdict, text)


SHORT = f"Fewer than {FEWEST} epochs say nothing of how the curves go on."


def judged(share: float | None, moved: tuple[float, float] | None, risen: float) -> Verdict:
    """What a validation error is made of; arguments as in `Reading`."""
    if share is None:
        return "not measured"
    if risen > RISEN and moved is not None and moved[1] > moved[0] and share > MOSTLY[0]:
        return "overfitting"
    return "fit" if share <= MOSTLY[0] else "both" if share < MOSTLY[1] else "generalisation"


MEANT: dict[Verdict, str] = {
    "not measured": "The error on training images without augmentation was not measured for this model, so nothing is "
    "said here of how much of the error is a lack of fit and how much is owed to new images.",
    "fit": "So {rest} of the error is there on images that it was trained on, too: what limits it is the fit (the size "
    "of the network, the length of its training, the images themselves) far more than overfitting. Doing as well on "
    "new images as on those would win {gap}.",
    "both": "So {rest} of the error is there on images that it was trained on, too, and {share} is owed to images "
    "being new: both a better fit and less overfitting can make it smaller.",
    "generalisation": "So {share} of the error is owed to images being new: it overfits more than it underfits, and "
    "more data, stronger augmentation or a smaller network are the first to try.",
    "overfitting": "So {share} of the error is owed to images being new, a part that grew while the validation error "
    "rose by {risen} from its lowest: it overfits, and fewer epochs, stronger augmentation or more data are the first "
    "to try.",
}


def _losses(rows: Sequence[Row], kept: Kept, loss: str) -> str:
    """What the two losses are, and why their difference is no measure of overfitting."""
    last = rows[-1]
    clean = next((row for row in reversed(rows) if CLEAN_LOSS in row), None)
    like = (
        f" Measured as the validation loss is, on training images without augmentation and after epoch "
        f"{clean['epoch']:.0f}, it is {clean[CLEAN_LOSS]:.4g} beside {clean['valid_loss']:.4g}."
        if clean
        else ""
    )
    return (
        f"After epoch {last['epoch']:.0f} the training loss is {last['train_loss']:.4g} and the validation loss "
        f"{last['valid_loss']:.4g}{f' ({loss})' if loss else ''}. They are not measured alike: the first is the mean "
        "over an epoch of augmented images, taken while the weights change; the second is that of unaltered images at "
        f"its end{', with averaged weights' if kept.averaged else ''}. So it may lie below the other, and their "
        f"difference says nothing of overfitting.{like}"
    )


def _gap(
    kept: Kept,
    gap: float | None,
    share: float | None,
    at: Sequence[tuple[int, float]],
    verdict: Verdict,
    risen: float,
) -> str:
    """The gap like for like, and what follows from it."""
    if gap is None or share is None or kept.train_error is None:
        return MEANT[verdict]
    moved = ""
    if len(at) > 1:
        (first, before), (last, after) = at[0], at[-1]
        moved = (
            f" Over the last third of the epochs it went from {_signed(before, kept.unit)} (epoch {first}) to "
            f"{_signed(after, kept.unit)} (epoch {last})."
        )
    won, rose = f"{gap:.3g} {kept.unit}".strip(), percent(risen)
    meant = MEANT[verdict].format(rest=percent(1 - share), share=percent(share), gap=won, risen=rose)
    if gap <= 0:
        meant = "So none of the error is owed to images being new: it underfits, if anything."
    return (
        f"Like for like, the same weights in the same mode have {measured(kept.train_error, kept.unit)} on "
        f"{kept.train_images:,} training images without augmentation and {measured(kept.error, kept.unit)} on the "
        f"{kept.valid_images:,} validation images: a gap of {_signed(gap, kept.unit)}, "
        f"{percent(share, signed=True)} of the validation error.{moved} {meant}"
    )


def _course(last_third: Sequence[Row], best: int, risen: float, fell: tuple[float, float]) -> str:
    """How the curves went, and what the end of the schedule has to do with it."""
    first, last = last_third[0], last_third[-1]
    rose = (
        f"of {last['epoch']:.0f} and ended {percent(risen)} above it"
        if risen > RISEN
        else f"of {last['epoch']:.0f} and rose by less than {percent(RISEN)} since"
        if best < last["epoch"]
        else "\N{EN DASH} the last one"
    )
    moves = [
        f"the {name} {'fell' if part > 0 else 'rose'} by {percent(abs(part))}"
        if abs(part) >= FLAT
        else f"the {name} changed by less than {percent(FLAT)}"
        for name, part in zip(("training loss", "validation error"), fell, strict=True)
    ]
    low = last["lr"] < 0.5 * first["lr"]
    why = (
        f" Meanwhile the learning rate fell from {first['lr']:.2g} to {last['lr']:.2g}: curves flatten at the end of "
        "any such schedule, so that this says nothing of what a longer one would reach."
        if low
        else ""
    )
    return (
        f"The validation error was lowest after epoch {best} {rose}. Over the last third of the "
        f"epochs {' and '.join(moves)}.{why}"
    )


def _signed(value: float, unit: str) -> str:
    """A difference with its sign and two significant digits or more."""
    return f"{value:+.3g} {unit}".strip().replace("-", "\N{MINUS SIGN}")


Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]


def _fallen(x: Numbers, y: Numbers) -> float:
    """By what part of its first value y fell along the straight line of least squares."""
    return -change(x, y) / max(abs(float(y[0])), 1e-12)


def change(x: Numbers, y: Numbers) -> float:
    """From the first to the last x along the straight line of least squares."""
    return float(np.polyfit(x, y, 1)[0] * (x[-1] - x[0])) if len(x) > 1 else 0.0
