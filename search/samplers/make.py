"""From what a study names as its sampler to one of Optuna's for a trial."""

from optuna.samplers import BaseSampler

from search.samplers import KnownCost
from search.samplers.known_cost import KnownCostSampler, Seen
from search.study import Study


def make_sampler(study: Study, seed: int, over: dict[int, Seen] | None = None) -> BaseSampler:
    """A study's sampler for one trial.

    Args:
        study: what is searched.
        seed: of the trial.
        over: what the samplers of earlier trials made of those that are over; see `KnownCostSampler`.
    """
    if isinstance(study.sampler, KnownCost):
        return KnownCostSampler(study, seed, study.sampler, over)
    return study.sampler(seed)
