"""What chance does: how far errors differ from seed to seed, and which trials that leaves undecided.

The logarithm of an error is normal about its network's mean, with one standard deviation for all networks of a study.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from search.full_length import NOISE, Interval

if TYPE_CHECKING:
    from search.results.leaderboard import Entry
    from search.results.view import View

BELIEVED = 4.0
"""Degrees of freedom that NOISE, measured on other studies, counts for beside a study's own repeated trainings."""

CHANCE = 0.05
"""Two trials are told apart where it is less probable than this that repeated trainings would swap them, and an
interval of a mean misses it with this probability."""


@dataclass(frozen=True)
class Noise:
    """From seed to seed.

    Attributes:
        deviation: standard deviation of the logarithm of the error.
        freedom: degrees of freedom that this is known with.
        repeats: trainings of the study that repeated another one with another seed.
    """

    deviation: float = NOISE
    freedom: float = BELIEVED
    repeats: int = 0

    @classmethod
    def of(cls, groups: Iterable[Sequence[float]]) -> Noise:
        """From the errors of trainings that differ by their seeds alone, a group for each configuration."""
        total, repeats = BELIEVED * NOISE**2, 0
        for errors in groups:
            logs = [math.log(error) for error in errors if error > 0 and math.isfinite(error)]
            if len(logs) > 1:
                total += (len(logs) - 1) * statistics.variance(logs)
                repeats += len(logs) - 1
        freedom = BELIEVED + repeats
        return cls(math.sqrt(total / freedom), freedom, repeats)

    def quantile(self, probability: float) -> float:
        """Of Student's t distribution, to 0.3 %, without scipy, which takes half a second to import.

        The expansion of Cornish and Fisher about the normal one (Abramowitz and Stegun 26.7.5).
        """
        z, n = statistics.NormalDist().inv_cdf(probability), self.freedom
        return (
            z
            + (z**3 + z) / (4 * n)
            + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
            + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
        )

    def interval(self, errors: Sequence[float]) -> Interval:
        """The mean of some seeds' errors, and what the mean of very many lies between with probability 1 - CHANCE."""
        mean = statistics.fmean(errors)
        wide = math.exp(self.quantile(1 - CHANCE / 2) * self.deviation / math.sqrt(len(errors)))
        return Interval(mean / wide, mean, mean * wide)

    @property
    def words(self) -> str:
        """How large it is, and how that is known."""
        known = (
            f"from {self.repeats} repeated training{'s' * (self.repeats != 1)}" if self.repeats else "of other studies"
        )
        return f"seed noise {100 * self.deviation:.1f} % of the error, {known}"


class Retrained(NamedTuple):
    """A trial's full training."""

    trial: int
    epochs: int
    seeds: tuple[tuple[int, float, str], ...]  # seed, error, and which weights these are of; the best first
    mean: Interval  # of the seeds
    teacher: str  # what it learnt from; empty for nothing
    folder: str  # the model's
    lost: tuple[tuple[int, int, float | None, str], ...]  # other candidates: trial, epochs, value behind, why it failed


def repeated_trials(view: View) -> list[list[float]]:
    """Errors of finished trials of the same parameters and length, those that were repeated alone."""
    groups = defaultdict(list)
    for entry in view.by_state["finished"]:
        if entry.params and entry.error is not None:
            groups[repr(sorted(entry.params.items())), entry.budget].append(entry.error)
    return [errors for errors in groups.values() if len(errors) > 1]


def near_best(view: View, noise: Noise) -> list[Entry]:
    """The finished trials, without the best one, that seed noise does not tell apart from it; best first.

    Where a study minimises neither a score nor its error, what noise does to its value is not known: none.
    """
    finished = [e for e in view.by_state["finished"] if e.value is not None and e.error and math.isfinite(e.error)]
    if not finished or not (view.scored or view.alone):
        return []
    best, deviations = finished[0], noise.quantile(1 - CHANCE) * noise.deviation
    if view.reached(best):
        # Of ln P + ln F + error, as of the error itself, the deviation is that of the error: deviation x error.
        return [
            e
            for e in finished[1:]
            if view.reached(e)
            and (e.value or 0.0) - (best.value or 0.0) <= deviations * math.hypot(e.error or 0.0, best.error or 0.0)
        ]
    # None is below the goal: they are ranked by the logarithm of what they miss it by.
    first = best.order(view.goal)[1]
    return [e for e in finished[1:] if e.order(view.goal)[1] - first <= deviations * math.sqrt(2)]
