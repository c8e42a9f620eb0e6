"""How well points are found, from what a trial keeps of its errors: their quantiles."""

from collections.abc import Sequence


def levels(quantiles: Sequence[float]) -> list[float]:
    """The fraction that each quantile stands for: 0 to 1 in equal steps."""
    return [place / (len(quantiles) - 1) for place in range(len(quantiles))]


def fraction_within(quantiles: Sequence[float], distance: float) -> float:
    """The fraction of errors that are at most `distance`, between the quantiles by straight lines."""
    if distance < quantiles[0]:
        return 0.0
    level = levels(quantiles)
    above = next((place for place, value in enumerate(quantiles) if value > distance), None)
    if above is None:
        return 1.0
    low, high = quantiles[above - 1], quantiles[above]
    return level[above - 1] + (distance - low) / (high - low) * (level[above] - level[above - 1])


def area_under(quantiles: Sequence[float], limit: float) -> float:
    """Mean of `fraction_within` over the distances 0 to `limit`.

    The area over the curve is the mean error where errors above the limit count as the limit, so that no curve has
    to be integrated: 1 - mean(min(error, limit)) / limit, by the trapezium rule over the quantiles.
    """
    capped = [min(value, limit) for value in quantiles]
    mean = (sum(capped) - (capped[0] + capped[-1]) / 2) / (len(capped) - 1)
    return 1 - mean / limit


def within95(quantiles: Sequence[float]) -> float:
    """The 95th percentile."""
    return quantiles[round(0.95 * (len(quantiles) - 1))]
