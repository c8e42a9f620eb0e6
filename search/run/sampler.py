"""One sampler a trial, and one a parameter: what is sampled depends on the trial's number and on the past alone."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState


def derived(*seeds: int) -> int:
    """A seed from seeds, 0 to 2^32 - 1."""
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])


class TrialSampler(BaseSampler):
    """The study's sampler, made anew for one trial.

    A sampler that lives on hands its first suggestions out again once a killed search is resumed. And a trial that was
    killed between two of its parameters would get another value for the second one: it would be the first to be drawn.
    So each parameter that is sampled by itself has a sampler of its own.

    Args:
        make: makes a sampler from a seed.
        seed: of the study.
        number: of the trial.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int, number: int) -> None:
        self._make, self._seed, self._number = make, seed, number
        self._inner = make(derived(seed, number))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: D102
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(  # noqa: D102
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(  # noqa: D102
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        own = self._make(derived(self._seed, self._number, zlib.crc32(param_name.encode())))
        return own.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:  # noqa: D102
        self._inner.before_trial(study, trial)

    def after_trial(  # noqa: D102
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._inner.after_trial(study, trial, state, values)
