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
from optuna.trial import FrozenTrial

from data.errors import UserError
from models.readings import Reading, Readings
from search.config_record import rebuild, record
from search.goal import Ends, Goal, order
from search.samplers.candidates import DrawnTrial
from search.samplers.error_model import ErrorModel
from search.samplers.gaussian import Array
from search.samplers.observations import Observed, observed
from search.samplers.prices import Traits, predicted, traits

if TYPE_CHECKING:
    from search.samplers import KnownCost
    from search.study import Config, Study

FIT = 150
"""First trials that the trend of prices, and its kernel, are fitted to, at most."""

PRICED = 250
"""Latest trials that prices are predicted from, beside these first ones."""

EXACT, COUNTS = 4, 12
"""Candidates that are counted exactly before one of them is taken, and those too dear among them, at most."""

PARENTS = 5
"""Best trials, and then best candidates, whose neighbours are candidates."""

DIMENSIONS = 64
"""Of the quasi-random sequence; parameters after the 64th are drawn."""


Seen = tuple[Observed | None, tuple[Any, ...]]
"""A trial, None where nothing is learnt from it, and the key of its parameters."""


@dataclass
class Candidate:
    """A point of the space that may be sampled."""

    point: DrawnTrial
    config: Config
    traits: Traits
    readings: Readings = field(default_factory=dict)
    is_exact: bool = False

    @property
    def priced(self) -> tuple[Mapping[str, Any], Readings]:
        """Parameters and readings."""
        return self.point.params, self.readings


class KnownCostSampler(BaseSampler):
    """Samples the whole of a trial at once, conditional parameters included.

    The objective is a known function of readings and error: its improvement is averaged over the error's distribution,
    which `search.samplers.error_model` predicts. Counting a network takes 0.1 s: candidates are ranked by readings that
    `search.samplers.prices` predicts, and the best few are counted, until the best of all is one that was. A third of
    the candidates lie near the best trials, a third anywhere, and a third near the best of these two.

    Args:
        study: what is searched.
        seed: of everything random.
        settings: numbers.
        over: what earlier suggestions made of trials that are over, by number; filled.

    Attributes:
        gain: by how much the study's value is expected to fall by the trial that was chosen last, or, until one is
            below the study's goal, ln(error); None where nothing was expected of it.
    """

    def __init__(self, study: Study, seed: int, settings: KnownCost, over: dict[int, Seen] | None = None) -> None:
        self.gain: float | None = None
        self._over = {} if over is None else over
        self._study, self._settings, self._seed = study, settings, seed
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)
        self._past: list[Observed] = []
        self._known: list[tuple[Traits, Readings]] = []
        self._tried: set[tuple[Any, ...]] = set()
        self._fixed: dict[str, Any] = {}
        self._chosen: DrawnTrial | None = None
        self._goal: Goal | None = None

    def infer_relative_search_space(  # noqa: D102
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        if "config" in trial.user_attrs:  # of a run that was killed: nothing is sampled any more
            return {}
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        self._goal = Goal.of(study.user_attrs)
        ends = None if self._goal is None else Ends(others)
        seen = [self._seen(other, ends) for other in others]
        self._past = [found for found, _ in seen if found is not None]
        tried = {key for _, key in seen if key}
        held = {**self._settings.held, **trial.system_attrs.get("fixed_params", {})}
        self._chosen = self._choose(trial.number, held, tried)
        # Of a run that was killed between two parameters the rest is what it would have been; where others have ended
        # since, it is what goes with the parameters that are there.
        if self._chosen is None or not trial.params.items() <= self._chosen.params.items():
            self._chosen = self._choose(trial.number, {**held, **trial.params}, tried)
        return {} if self._chosen is None else self._chosen.distributions

    def _seen(self, trial: FrozenTrial, ends: Ends | None) -> Seen:
        """What is learnt from a trial, and its key; of one that is over it stays, but where it is heading."""
        if ends is None and trial.number in self._over:
            return self._over[trial.number]
        found = observed(trial, self._study.readings, ends), _key(trial.params)
        if ends is None and trial.state.is_finished():
            self._over[trial.number] = found
        return found

    def sample_relative(self, *_: Any) -> dict[str, Any]:  # noqa: D102
        return {} if self._chosen is None else self._chosen.params

    def sample_independent(  # noqa: D102
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _choose(self, number: int, fixed: dict[str, Any], tried: set[tuple[Any, ...]]) -> DrawnTrial | None:
        """The trial to sample, of which some is `fixed`; None where the space has nothing but what was tried."""
        self.gain = None
        self._rng, self._fixed, self._tried = np.random.default_rng(self._seed), fixed, set(tried)
        over = [trial for trial in self._past if trial.is_over and trial.curve]
        if len(over) < self._settings.startup:
            return self._quasi_random(number)
        first = self._settings.startup
        while first * 1.4 <= len(over):  # kernels are fitted anew as the trials become 1.4 times as many
            first = math.ceil(first * 1.4)
        best = sorted(over, key=self._order)
        third = self._settings.candidates // 3
        near = self._candidates([trial.params for trial in best[:PARENTS]], third)
        candidates = self._priced(near + self._candidates([], self._settings.candidates - 2 * third), first)
        if not candidates:
            return None
        spaces = [candidate.point.distributions for candidate in candidates]
        model = ErrorModel(self._study, self._settings, self._past, spaces, first, self._goal)
        order = np.argsort(-model.gains([candidate.priced for candidate in candidates]), kind="stable")
        nearer = self._candidates([candidates[i].point.params for i in order[:PARENTS]], third)
        return self._best(candidates + self._priced(nearer, first), model)

    def _order(self, trial: Observed) -> tuple[bool, float]:
        """What trials with curves are sorted by, the best first."""
        value = self._study.objective.value(trial.readings, trial.end)
        return order(self._goal, value, trial.end, self._study.epochs)

    def _quasi_random(self, number: int) -> DrawnTrial | None:
        """The point of a trial in a scrambled Sobol sequence, the study's own."""
        from scipy.stats import qmc  # type: ignore[import-untyped]

        sequence = qmc.Sobol(DIMENSIONS, rng=self._study.seed)
        if number:  # scipy cannot skip none
            sequence.fast_forward(number)
        point = DrawnTrial(self._rng, self._fixed, places=sequence.random(1)[0])
        return point if self._config(point) is not None else None

    def _config(self, point: DrawnTrial) -> Config | None:
        """What the space makes of a point; None where it refuses it."""
        try:
            return self._study.space(point, self._study.task)
        except Exception:  # noqa: BLE001 - the study file's own code; the ledger says so of a trial that is sampled
            return None

    def _candidates(self, parents: Sequence[Mapping[str, Any]], count: int) -> list[Candidate]:
        """New points near others, or anywhere where there are no others; at most `count`."""
        found = []
        for i in range(count):
            near = parents[i % len(parents)] if parents else None
            point = DrawnTrial(self._rng, self._fixed, near, float(self._rng.uniform(0.1, 0.6)))
            config = self._config(point)
            key = _key(point.params)
            if config is not None and key not in self._tried:
                self._tried.add(key)
                found.append(Candidate(point, config, traits(config.arch)))
        return found

    def _priced(self, candidates: Sequence[Candidate], first: int) -> list[Candidate]:
        """Those that are within the bounds, with the readings that they have; about, where no formula gives them."""
        for candidate in candidates:
            arch = candidate.config.arch
            candidate.readings = {reading.name: reading.formula(arch) for reading in self._study.readings}
            candidate.is_exact = not any(map(math.isnan, candidate.readings.values()))
        unknown = [candidate for candidate in candidates if not candidate.is_exact]
        if unknown:
            if not self._known:
                recent = [*self._past[:FIT], *self._past[FIT:][-PRICED:]]
                self._known = [(self._traits(trial), trial.readings) for trial in recent]
            guesses = predicted(self._known, [candidate.traits for candidate in unknown], min(first, FIT))
            for candidate, guess in zip(unknown, guesses, strict=True):
                candidate.readings = guess
        return [candidate for candidate in candidates if self._admits(candidate)]

    def _traits(self, trial: Observed) -> Traits:
        """Of a trial's architecture; nothing where the space no longer has it."""
        try:
            config = (
                self._config(DrawnTrial(self._rng, trial.params)) if trial.config is None else rebuild(trial.config)
            )
        except UserError:
            config = None
        return {} if config is None else traits(config.arch)

    def _count(self, candidate: Candidate) -> bool:
        """Give a candidate the readings that it has, but those by the clock; whether that can be."""
        try:
            arch, readings = candidate.config.arch, self._study.readings
            exact = {reading.name: _measured(reading, arch) for reading in readings if not reading.timed}
        except Exception:  # noqa: BLE001 - what cannot be counted is not sampled
            return False
        candidate.readings, candidate.is_exact = {**candidate.readings, **exact}, True
        return True

    def _best(self, left: list[Candidate], model: ErrorModel) -> DrawnTrial | None:
        """The candidate of the largest expected improvement, once it is one whose price is exact."""
        gains = model.gains([candidate.priced for candidate in left])
        counts = counted = 0
        while left:
            if counted == EXACT or counts == COUNTS:
                exact = [i for i in range(len(left)) if left[i].is_exact]
                return self._taken(left, gains, max(exact, key=lambda i: gains[i])) if exact else None
            place = int(np.argmax(gains))
            chosen = left[place]
            if not self._is_repeated(chosen):
                if chosen.is_exact:
                    return self._taken(left, gains, place)
                counts += 1
                if self._count(chosen) and self._admits(chosen):
                    counted += 1
                    gains[place] = model.gains([chosen.priced])[0]
                    continue
            del left[place]
            gains = np.delete(gains, place)
        return None

    def _taken(self, left: Sequence[Candidate], gains: Array, place: int) -> DrawnTrial:
        """A candidate as the trial, what is expected of it noted."""
        self.gain = max(0.0, float(gains[place]))
        return left[place].point

    def _admits(self, candidate: Candidate) -> bool:
        """Whether it is within the bounds."""
        return all(candidate.readings[name] <= bound for name, bound in self._study.bounds.items())

    def _is_repeated(self, candidate: Candidate) -> bool:
        """Whether a trial with other parameters has the same configuration."""
        return record(candidate.config) in [trial.config for trial in self._past]


@lru_cache(4096)
def _measured(reading: Reading, arch: Any) -> float:
    return float(reading.measure(arch))


def _key(params: Mapping[str, Any]) -> tuple[Any, ...]:
    """Equal for equal parameters."""
    return tuple(sorted((name, repr(value)) for name, value in params.items()))
