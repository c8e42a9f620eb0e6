"""How well points are found, from what a trial keeps of its errors: their quantiles."""

from collections.abc import Sequence

import numpy as np


def levels(quantiles: Sequence[float]) -> list[float]:
    """The fraction that each quantile stands for: 0 to 1 in equal steps."""
    return [place / (len(quantiles) - 1) for place in range(len(quantiles))]


def fraction_within(quantiles: Sequence[float], distance: float) -> float:
    """The fraction of errors that are at most `distance`, between the quantiles by straight lines."""
    return float(np.interp(distance, quantiles, levels(quantiles), left=0.0))


def area_under(quantiles: Sequence[float], limit: float) -> float:
    """Mean of `fraction_within` over the distances 0 to `limit`.

    The area over the curve is the mean error where errors above the limit count as the limit, so that no curve has
    to be integrated: 1 - mean(min(error, limit)) / limit, by the trapezium rule over the quantiles.
    """
    return 1 - float(np.trapezoid(np.minimum(quantiles, limit))) / (len(quantiles) - 1) / limit


def within95(quantiles: Sequence[float]) -> float:
    """The 95th percentile."""
    return quantiles[round(0.95 * (len(quantiles) - 1))]
