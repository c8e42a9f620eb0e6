"""Expected improvement of the objective, with the error from a model of every curve and the price exact."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from models.readings import Reading, Readings
from search.config_record import record
from search.samplers.candidates import DrawnTrial
from search.samplers.gaussian import Array, Gaussian, fitted
from search.samplers.observations import Encoder, Observed, observed, rows
from search.samplers.prices import Traits, predicted, traits

if TYPE_CHECKING:
    from search.samplers import KnownCost
    from search.study import Config, Study

FIT, ROWS = 150, 800
"""Rows that a kernel is fitted to, and that errors are predicted from."""

PRICED = 250
"""Latest trials that prices are predicted from, beside the first ones, which trend and kernels are fitted to."""

EXACT = 4
"""Candidates that are counted exactly, at most, before one of them is taken."""

PARENTS = 5
"""Best trials whose neighbours are candidates."""

NODES = 16
"""Quantiles of the error's distribution over which the objective is averaged."""

DIMENSIONS = 64
"""Of the quasi-random sequence; parameters after the 64th are drawn."""


@dataclass
class Candidate:
    """A point of the space that may be sampled."""

    point: DrawnTrial
    config: Config
    traits: Traits
    readings: Readings = field(default_factory=dict)
    is_exact: bool = False


class KnownCostSampler(BaseSampler):
    """Samples the whole of a trial at once, conditional parameters included.

    A Gaussian process over parameters, logarithms of the readings and epoch models the logarithm of the error: errors
    are positive and heavy-tailed. It sees epochs of all trials, stopped and running ones' included. The objective is a
    known function of readings and error, and its improvement is averaged over the error's quantiles. Trials in training
    are believed to end as predicted. Counting a network takes 0.1 s: candidates are ranked by predicted readings first,
    and the best few are counted, until the best of all is one that was.

    Args:
        study: what is searched.
        seed: of everything random.
        settings: numbers.
    """

    def __init__(self, study: Study, seed: int, settings: KnownCost) -> None:
        self._study, self._settings = study, settings
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)
        self._chosen: DrawnTrial | None = None

    def infer_relative_search_space(  # noqa: D102
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        if "config" in trial.user_attrs:  # of a run that was killed: nothing is sampled any more
            return {}
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        fixed = {**self._settings.held, **trial.system_attrs.get("fixed_params", {}), **trial.params}
        self._chosen = self._choose(trial.number, others, fixed)
        return {} if self._chosen is None else self._chosen.distributions

    def sample_relative(self, *_: Any) -> dict[str, Any]:  # noqa: D102
        return {} if self._chosen is None else self._chosen.params

    def sample_independent(  # noqa: D102
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _choose(self, number: int, others: Sequence[FrozenTrial], fixed: Mapping[str, Any]) -> DrawnTrial | None:
        """The trial to sample; None where the space has nothing new."""
        past = [found for trial in others if (found := observed(trial, self._study.readings)) is not None]
        over = [trial for trial in past if trial.is_over and trial.curve]
        if len(over) < self._settings.startup:
            return self._quasi_random(number, fixed)
        known = {_key(trial.params) for trial in others if trial.params}
        candidates = self._candidates(over, fixed, known)
        if not candidates:
            return None
        first = self._settings.startup
        while first * 1.4 <= len(over):  # kernels are fitted anew as the trials become 1.4 times as many
            first = math.ceil(first * 1.4)
        self._predict_prices(candidates, past, first)
        return self._best(candidates, past, first)

    def _quasi_random(self, number: int, fixed: Mapping[str, Any]) -> DrawnTrial | None:
        """The point of a trial in a scrambled Sobol sequence, the study's own."""
        from scipy.stats import qmc  # type: ignore[import-untyped]

        sequence = qmc.Sobol(DIMENSIONS, rng=self._study.seed)
        if number:  # scipy cannot skip none
            sequence.fast_forward(number)
        point = DrawnTrial(self._rng, fixed, places=sequence.random(1)[0])
        return point if self._config(point) is not None else None

    def _config(self, point: DrawnTrial) -> Config | None:
        """What the space makes of a point; None where it refuses it."""
        try:
            return self._study.space(point, self._study.task)
        except Exception:  # noqa: BLE001 - the study file's own code; the ledger says so of a trial that is sampled
            return None

    def _candidates(
        self, over: Sequence[Observed], fixed: Mapping[str, Any], known: set[tuple[Any, ...]]
    ) -> list[Candidate]:
        """New points: half of them anywhere, half near the best trials so far."""
        best = sorted(over, key=lambda trial: (self._value(trial.readings, trial.curve[-1][1]), trial.number))[:PARENTS]
        found, seen = [], set(known)
        for i in range(self._settings.candidates):
            if i % 2:
                point = DrawnTrial(self._rng, fixed)
            else:
                change = float(self._rng.uniform(0.1, 0.6))
                point = DrawnTrial(self._rng, fixed, best[i // 2 % len(best)].params, change)
            config = self._config(point)
            key = _key(point.params)
            if config is not None and key not in seen:
                seen.add(key)
                found.append(Candidate(point, config, traits(config.arch)))
        return found

    def _predict_prices(self, candidates: Sequence[Candidate], past: Sequence[Observed], first: int) -> None:
        """Give all candidates about the readings that they have."""
        recent = [*past[:FIT], *past[FIT:][-PRICED:]]
        priced = [(self._traits(trial), trial.readings) for trial in recent]
        guesses = predicted(priced, [candidate.traits for candidate in candidates], min(first, FIT))
        for candidate, guess in zip(candidates, guesses, strict=True):
            candidate.readings = guess

    def _traits(self, trial: Observed) -> Traits:
        """Of a trial's architecture; nothing where the space no longer has it."""
        if trial.config is not None:
            return traits(trial.config["arch"])
        config = self._config(DrawnTrial(self._rng, trial.params))
        return {} if config is None else traits(config.arch)

    def _count(self, candidate: Candidate) -> bool:
        """Give a candidate the readings that it has, but those by the clock; whether that can be."""
        try:
            for reading in self._study.readings:
                if not reading.timed:
                    exact = {reading.name: _measured(reading, candidate.config.arch)}
                    candidate.readings = {**candidate.readings, **exact}
        except Exception:  # noqa: BLE001 - what cannot be counted is not sampled
            return False
        candidate.is_exact = True
        return True

    def _best(self, candidates: list[Candidate], past: Sequence[Observed], first: int) -> DrawnTrial | None:
        """The candidate of the largest expected improvement, once it is one whose price is exact."""
        model, encode = self._model(candidates, past, first)
        target = self._target(past, encode, model)
        left = [candidate for candidate in candidates if self._admits(candidate, 1.2)]
        gains = self._gains(left, encode, model, target)
        counted = 0
        while left:
            place = int(np.argmax(gains))
            chosen = left[place]
            if chosen.is_exact:
                return chosen.point
            if counted == EXACT and (exact := [i for i, one in enumerate(left) if one.is_exact]):
                return left[max(exact, key=lambda i: gains[i])].point
            if self._count(chosen) and self._admits(chosen, 1.0) and not self._is_repeated(chosen, past):
                counted += 1
                gains[place] = self._gains([chosen], encode, model, target)[0]
            else:
                del left[place]
                gains = np.delete(gains, place)
        return None

    def _admits(self, candidate: Candidate, slack: float) -> bool:
        """Whether it is within the bounds, times `slack`."""
        return all(candidate.readings[name] <= bound * slack for name, bound in self._study.bounds.items())

    def _is_repeated(self, candidate: Candidate, past: Sequence[Observed]) -> bool:
        """Whether a trial with other parameters has the same configuration."""
        alike = [trial for trial in past if trial.config is not None and trial.readings == candidate.readings]
        return bool(alike) and record(candidate.config) in [trial.config for trial in alike]

    def _model(self, candidates: Sequence[Candidate], past: Sequence[Observed], first: int) -> tuple[Gaussian, Encoder]:
        """The model of the error, with running trials believed to end as it predicts, and how its rows are made."""
        settings = self._settings
        names = [reading.name for reading in self._study.readings] if settings.known_cost else []
        encode = Encoder([trial.ranges for trial in past] + [each.point.distributions for each in candidates], names)
        seen = [trial for trial in past if trial.curve or trial.state is TrialState.FAIL]
        old = [trial for trial in seen if trial.is_over][:first]
        x, y = rows(self._near_best(seen), encode, self._answer, settings.every_epoch)
        old_x, old_y = rows(old, encode, self._answer, settings.every_epoch)
        if len(y) < 2:
            x, y = rows(seen, encode, self._answer)
        if len(old_y) < 2:
            old_x, old_y = x, y
        few = np.random.default_rng(len(old_y)).permutation(len(old_y))[:FIT]
        keep = np.random.default_rng(len(y)).permutation(len(y))[:ROWS]
        model = Gaussian(x[keep], y[keep], fitted(old_x[few], old_y[few]))
        waiting = [trial for trial in past if not trial.is_over]
        if waiting:
            model.believe(np.array([encode(trial.params, trial.readings) for trial in waiting]))
        return model, encode

    def _near_best(self, seen: Sequence[Observed]) -> Sequence[Observed]:
        """Of more trials than the model can hold: the better half of those that it can, and others at random."""
        most = ROWS // 4
        if len(seen) <= most:
            return seen
        ends = {trial.number: self._value(trial.readings, trial.curve[-1][1]) for trial in seen if trial.curve}
        order = sorted(seen, key=lambda trial: ends.get(trial.number, math.inf))
        others = order[most // 2 :]
        chosen = np.random.default_rng(len(seen)).choice(len(others), most - most // 2, replace=False)
        return [*order[: most // 2], *(others[i] for i in sorted(chosen))]

    def _answer(self, trial: Observed, error: float) -> float:
        """What is modelled of a trial's error."""
        if not self._settings.known_cost:
            return self._value(trial.readings, error)
        return math.log(max(error, 1e-6)) if self._settings.log_error else error

    def _value(self, readings: Readings, error: float) -> float:
        return self._study.objective.value(readings, error)

    def _values(self, readings: Readings, mean: float, std: float) -> Array:
        """The objective at the error's quantiles."""
        answers = mean + std * _quantiles()
        if not self._settings.known_cost:
            return answers
        errors = np.exp(np.clip(answers, -30, 30)) if self._settings.log_error else np.maximum(answers, 0.0)
        return np.array([self._value(readings, float(error)) for error in errors])

    def _gains(self, candidates: Sequence[Candidate], encode: Encoder, model: Gaussian, target: float) -> Array:
        """Expected improvements, (candidates,); where there are none, the smallest expected value is the largest."""
        if not candidates:
            return np.zeros(0)
        x = np.array([encode(candidate.point.params, candidate.readings) for candidate in candidates])
        gains = []
        for candidate, mean, std in zip(candidates, *model.predict(x), strict=True):
            values = self._values(candidate.readings, float(mean), float(std))
            gains.append(float(np.maximum(target - values, 0).mean()) - 1e-9 * float(values.mean()))
        return np.array(gains)

    def _target(self, past: Sequence[Observed], encode: Encoder, model: Gaussian) -> float:
        """The smallest value of a trial that had all its epochs; before there is one, the smallest predicted."""
        complete = [trial for trial in past if trial.state is TrialState.COMPLETE and trial.curve]
        if complete:
            return min(self._value(trial.readings, trial.curve[-1][1]) for trial in complete)
        seen = [trial for trial in past if trial.curve]
        means, _ = model.predict(np.array([encode(trial.params, trial.readings) for trial in seen]))
        return min(
            float(self._values(trial.readings, float(mean), 0.0)[0]) for trial, mean in zip(seen, means, strict=True)
        )


@lru_cache(4096)
def _measured(reading: Reading, arch: Any) -> float:
    return float(reading.measure(arch))


@lru_cache(1)
def _quantiles() -> Array:
    from scipy.stats import norm

    places: Array = norm.ppf((np.arange(NODES) + 0.5) / NODES)
    return places


def _key(params: Mapping[str, Any]) -> tuple[Any, ...]:
    """Equal for equal parameters."""
    return tuple(sorted((name, repr(value)) for name, value in params.items()))
