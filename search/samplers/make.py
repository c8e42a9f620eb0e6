"""From what a study names as its sampler to one of Optuna's for a trial."""

from optuna.samplers import BaseSampler

from search.samplers import KnownCost
from search.samplers.known_cost import KnownCostSampler
from search.study import Study


def make_sampler(study: Study, seed: int) -> BaseSampler:
    """A study's sampler for one trial.

    Args:
        study: what is searched.
        seed: of the trial.
    """
    if isinstance(study.sampler, KnownCost):
        return KnownCostSampler(study, seed, study.sampler)
    return study.sampler(seed)
