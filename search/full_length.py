"""What a trial's error becomes in its full training, which is longer than the search's trials.

A schedule ends with a rate of about 0, so that a longer training is another curve and no continuation of a trial's own.
Errors are taken to fall as a power of the length: error x (length / longer) ^ exponent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

EXPONENT = 0.2
"""Before a study has retrained models. Small networks on drawn hands: 0.31 to 0.37 from 9 to 27 epochs, 0.11 to 0.37
from about 25 to 54 or 72; the longer the training, the smaller."""

BETWEEN_STUDIES, BETWEEN_NETWORKS = 0.09, 0.06
"""Standard deviations of the exponent: of a study's mean, and within a study."""

NOISE = 0.05
"""Standard deviation of the logarithm of an error from seed to seed, of one training against another."""

SHARE = 0.8
"""Of full trainings that are to end within a predicted interval."""

NORMAL = 1.2816
"""Standard deviations on either side that hold SHARE of a normal distribution."""

SHORTEST = math.log(1.5)
"""A training that is less than half again as long says too little of what a longer one brings."""

RETRAINED = "retrained "
"""Begins the study's attributes that say how a trial's full training ended."""


class Interval(NamedTuple):
    """A predicted error and the two that it lies between with probability SHARE."""

    low: float
    error: float
    high: float


@dataclass(frozen=True)
class FullLength:
    """How errors fall with the length of the training.

    Attributes:
        epochs: of a full training.
        exponent: its mean.
        spread: its standard deviation, for want of knowledge and between networks.
        models: full trainings of this study that it was learnt from.
    """

    epochs: int
    exponent: float = EXPONENT
    spread: float = math.hypot(BETWEEN_STUDIES, BETWEEN_NETWORKS)
    models: int = 0

    @classmethod
    def of(cls, attributes: Mapping[str, Any], without: int | None = None) -> FullLength:
        """That of a study, by its attributes: what `search` did, and what was `retrained`.

        Args:
            attributes: of a study; one that says nothing of its lengths has 0 epochs.
            without: a trial whose own full training is left out, to say what was predicted of it.
        """
        searched = int(attributes.get("search", {}).get("epochs", 0))
        epochs = int(attributes.get("final_epochs") or 5 * searched)
        found = [each for key, each in attributes.items() if key.startswith(RETRAINED)]
        return cls.learnt(epochs, [each for each in found if each["trial"] != without])

    @classmethod
    def learnt(cls, epochs: int, retrained: Iterable[Mapping[str, float]]) -> FullLength:
        """From full trainings: the mean of the exponent is normal, and so is what each of them has beside it.

        Args:
            epochs: of a full training.
            retrained: of each its 'error' and 'epochs', and 'searched_error' and 'searched_epochs' of its trial.
        """
        weight, total, models = BETWEEN_STUDIES**-2, EXPONENT * BETWEEN_STUDIES**-2, 0
        for each in retrained:
            stretch = math.log(each["epochs"] / each["searched_epochs"])
            if stretch < SHORTEST or not each["error"] > 0 or not each["searched_error"] > 0:
                continue
            own = (BETWEEN_NETWORKS**2 + 2 * (NOISE / stretch) ** 2) ** -1
            total += own * math.log(each["searched_error"] / each["error"]) / stretch
            weight, models = weight + own, models + 1
        return cls(epochs, total / weight, math.sqrt(1 / weight + BETWEEN_NETWORKS**2), models)

    def factor(self, epochs: int) -> float:
        """What an error after a whole trial of so many epochs is multiplied by."""
        return math.exp(-self.exponent * self._stretch(epochs))

    def __call__(self, error: float, epochs: int) -> Interval:
        """The error of a full training.

        Args:
            error: of a trial after all its epochs.
            epochs: how many these were.
        """
        wide = NORMAL * math.hypot(self.spread * self._stretch(epochs), NOISE)
        middle = error * self.factor(epochs)
        return Interval(middle * math.exp(-wide), middle, middle * math.exp(wide))

    def between_networks(self, error: float, epochs: int) -> Interval:
        """The same, but for what is not known and the same for all networks of a study: to compare them."""
        return replace(self, spread=BETWEEN_NETWORKS)(error, epochs)

    def _stretch(self, epochs: int) -> float:
        """ln(epochs of a full training / epochs), at least 0: none is believed to end worse for being longer."""
        return math.log(max(1.0, self.epochs / max(epochs, 1)))
