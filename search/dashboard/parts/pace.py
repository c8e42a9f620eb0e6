"""How fast a search goes, and when it will have all its trials."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

from search.dashboard.parts.blocks import note
from search.format import compact, duration
from search.results.leaderboard import Entry
from search.results.view import View

RECENT = 50
"""Trials, the last to end, whose mean length is that of those to come."""


@dataclass(frozen=True)
class Pace:
    """What is left of a search."""

    wanted: int  # trials in all
    over: int  # of these
    waiting: int  # that nobody trains yet
    workers: int  # trials in training side by side
    trained_s: (
        float | None
    )  # seconds that a trial trains in the mean, stopped and failed ones too; None: none has ended
    of: int  # trials in that mean
    left_s: float | None  # of training until the last is over, summed over workers; None where that is not known
    images_per_s: float  # trained by all workers together, in their last epochs

    @property
    def until_s(self) -> float | None:
        """Seconds until the last trial is over; None where nothing runs, or where they are not known."""
        return self.left_s / self.workers if self.left_s is not None and self.workers else None


def pace(view: View, running: Sequence[Entry]) -> Pace | None:
    """How a search goes whose trials `running` are in training; None where it is not known how many it is to have."""
    wanted = view.attrs.get("search", {}).get("trials")
    if not isinstance(wanted, int):
        return None
    recent = view.ended[-RECENT:]
    mean = sum(entry.seconds for entry in recent) / len(recent) if recent else None
    waiting = max(0, wanted - len(view.ended) - len(running))
    left = None
    if mean is not None or not waiting:
        ahead = [ahead_s(entry, mean) for entry in running]
        if None not in ahead:
            left = waiting * (mean or 0.0) + sum(each or 0.0 for each in ahead)
    fast = images_per_s(view, running)
    return Pace(wanted, len(view.ended), waiting, len(running), mean, len(recent), left, fast)


def ahead_s(entry: Entry, mean: float | None) -> float | None:
    """Seconds that a running trial still trains: to the mean length, and one that has outlived it to its last epoch."""
    whole = seconds_left(entry)
    if mean is None or mean <= entry.seconds:
        return whole
    return mean - entry.seconds if whole is None else min(whole, mean - entry.seconds)


def speed(view: View, entry: Entry) -> float | None:
    """Images a second in a trial's last epoch."""
    epoch = view.curves[entry.number][-1] if entry.number in view.curves else None
    return epoch["images"] / epoch["train_seconds"] if epoch and epoch["train_seconds"] else None


def images_per_s(view: View, running: Sequence[Entry]) -> float:
    """Of all workers together, in their last epochs."""
    return sum(speed(view, entry) or 0.0 for entry in running)


def seconds_left(entry: Entry) -> float | None:
    """Until a trial has had all its epochs, at its pace so far; None before its first one."""
    return (entry.budget - entry.epochs) * entry.seconds / entry.epochs if entry.epochs and entry.budget else None


def html(view: View, running: Sequence[Entry], gone: Collection[int]) -> str:
    """The search in a few figures as HTML.

    Args:
        view: the study.
        running: trials that are being trained.
        gone: of those that are said to be, the trials whose process is no more.
    """
    values: list[tuple[str, str]] = []
    known = pace(view, running)
    if known is not None:
        values = [("trials over", f"{known.over:,} of {known.wanted:,}")]
        if known.workers or known.waiting:
            values += [("in training", f"{known.workers:,}"), *_left(known)]
        else:
            values.append(("left", "nothing: it has all its trials"))
    if running:
        fast = known.images_per_s if known is not None else images_per_s(view, running)
        values.append(
            ("all workers together", f"{compact(round(fast))} images/s" if fast else "no epoch has ended yet")
        )
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in values)
    words = ""
    if gone:
        which = ", ".join(map(str, sorted(gone)[:8])) + (", \u2026" if len(gone) > 8 else "")
        words = note(
            f"Said to be in training, but by no process any more: trial{'s' * (len(gone) > 1)} {which}. "
            "The search was killed; started again, it goes on with them."
        )
    return f'{words}<dl class="facts-of-trial">{listed}</dl>' if listed else words


def _left(known: Pace) -> list[tuple[str, str]]:
    """What is left, in words."""
    if known.until_s is not None:
        left = f"about {duration(known.until_s)}"
    elif known.workers:
        left = "known once a trial has ended"
    elif known.left_s is not None:
        left = f"nothing runs; about {duration(known.left_s)} of training"
    else:
        left = "nothing runs"
    values = [("time left of the search", left)]
    if known.trained_s is not None:
        mean = f" (mean of the last {known.of:,})" if known.of > 1 else ""
        values.append((f"a trial trains{mean}", duration(known.trained_s)))
    return values
