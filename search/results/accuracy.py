"""How well points are found, from what a trial keeps of its errors: their quantiles, and a skeleton's limbs."""

from collections.abc import Sequence


def limbs(points: int, edges: Sequence[Sequence[int]]) -> list[int]:
    """Which limb each point belongs to: the parts into which a skeleton falls when its branching points are taken out.

    Args:
        points: how many there are.
        edges: pairs of points that are joined.

    Returns:
        A number from 0 for each point in order of first appearance, -1 for a branching point (three edges or more)
        and where no edges are given.
    """
    near: dict[int, set[int]] = {point: set() for point in range(points)}
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
    found = [-1] * points
    count = 0
    for point in range(points):
        if found[point] >= 0 or not 0 < len(near[point]) < 3:
            continue
        rest = [point]
        while rest:
            place = rest.pop()
            if found[place] < 0 and len(near[place]) < 3:
                found[place] = count
                rest.extend(near[place])
        count += 1
    return found


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
