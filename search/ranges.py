"""What a parameter was sampled from, in words."""

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


def spelt(distribution: BaseDistribution) -> str:
    """A range in words."""
    if isinstance(distribution, CategoricalDistribution):
        return f"the choices {', '.join(map(str, distribution.choices))}"
    if isinstance(distribution, (IntDistribution, FloatDistribution)):
        steps = f" in steps of {distribution.step}" if distribution.step not in (None, 1) else ""
        return f"{distribution.low} to {distribution.high}{steps}"
    return str(distribution)
