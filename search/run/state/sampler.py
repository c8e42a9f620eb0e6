"""One sampler a trial, and one a parameter: what is sampled depends on the trial's number and on the past alone."""

import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GridSampler, QMCSampler
from optuna.trial import FrozenTrial, TrialState

from data.errors import UserError

STOPPED = "stopped"
"""The study's attribute that says whether its sampler, or its space, has ended the search."""


class SamplerError(UserError):
    """The study's own sampler cannot go on."""


def derived(*seeds: int) -> int:
    """A seed from seeds, 0 to 2^32 - 1."""
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])


class StoppableStudy(Study):
    """A study of Optuna's that can be stopped outside `optimize`, too: by its sampler or its space, for good.

    Attributes:
        is_stopped: whether it was, in this run or, until `ask_again`, in an earlier one.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.is_stopped = bool(self.user_attrs.get(STOPPED))

    def stop(self) -> None:
        """Sample nothing more; what is in training comes to its end."""
        if not self.is_stopped:
            self.is_stopped = True
            self.set_user_attr(STOPPED, True)

    def ask_again(self, sampler: BaseSampler) -> None:
        """Whether the sampler stops again that stopped an earlier run; a larger grid, say, has more to try."""
        over = [trial for trial in self.get_trials(deepcopy=False) if trial.state.is_finished()]
        if not self.is_stopped or not over:
            return
        self.is_stopped = False
        last = max(over, key=lambda trial: (trial.datetime_complete or trial.datetime_start, trial.number))
        sampler.after_trial(self, last, last.state, last.values)
        if not self.is_stopped:
            self.set_user_attr(STOPPED, False)


class TrialSampler(BaseSampler):
    """The study's sampler, made anew for one trial.

    A sampler that lives on hands its first suggestions out again once a killed search is resumed. And a trial that was
    killed between two of its parameters would get another value for the second one: it would be the first to be drawn.
    So each parameter that is sampled by itself has a sampler of its own.

    Points of a grid or of a quasi-random sequence are numbered, in an order that the seed decides: such a sampler has
    the same seed for all trials.

    Args:
        make: makes a sampler from a seed.
        seed: of the study.
        number: of the trial.
        seen: the study as it is to be sampled for, where it is not the one that asks.

    Raises:
        SamplerError: `make` fails, or makes no sampler.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int, number: int, seen: Study | None = None) -> None:
        self._make, self._seed, self._number, self._study = make, seed, number, seen
        self._inner = self._made()

    def _made(self, *salt: int) -> BaseSampler:
        with blamed(), warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            sampler = self._make(derived(self._seed, self._number, *salt))
            if _is_numbered(sampler):
                sampler = self._make(derived(self._seed))
            if not isinstance(sampler, BaseSampler):
                raise TypeError(f"{sampler!r} is none of Optuna's samplers")
        return sampler

    @property
    def gain(self) -> float | None:
        """What the sampler expects of the trial that it chose, see `KnownCostSampler.gain`; None if it does not say."""
        return getattr(self._inner, "gain", None)

    def is_exhausted(self, study: Study) -> bool:
        """Whether all points of a grid are over or in training; Optuna's would begin those in training once more."""
        if not isinstance(self._inner, GridSampler):
            return False
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return {*self._inner._get_unvisited_grid_ids(study)} <= {trial.system_attrs.get("grid_id") for trial in running}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: D102
        with blamed():
            return self._inner.infer_relative_search_space(self._study or study, trial)

    def sample_relative(  # noqa: D102
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        with blamed():
            return self._inner.sample_relative(self._study or study, trial, search_space)

    def sample_independent(  # noqa: D102
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        own = self._made(zlib.crc32(param_name.encode()))
        with blamed():
            return own.sample_independent(self._study or study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:  # noqa: D102
        with blamed():
            self._inner.before_trial(study, trial)

    def after_trial(  # noqa: D102
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        if isinstance(self._inner, GridSampler) and "grid_id" not in trial.system_attrs:
            return  # a starting trial is no point of the grid, and Optuna fails on it when one point is left
        with blamed():
            self._inner.after_trial(study, trial, state, values)


def _is_numbered(sampler: BaseSampler) -> bool:
    """Whether its points are numbered; also within a sampler that holds some parameters (PartialFixedSampler)."""
    return isinstance(getattr(sampler, "_base_sampler", sampler), (GridSampler, QMCSampler))


@contextmanager
def blamed() -> Iterator[None]:
    """Say that it was the sampler that failed.

    Raises:
        SamplerError: it did.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise SamplerError(
            f"the study's sampler failed ({type(error).__name__}: {error}); mend `sampler` in the study's file."
        ) from error
