"""A sampler that knows its prices: what a network costs is known before it is trained, only its error must be learnt."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from models.readings import Readings, read

if TYPE_CHECKING:
    import optuna

    from search.study import Study

Array = np.ndarray[Any, np.dtype[np.float64]]

STARTUP = 8
"""Trials drawn at random before there is something to learn from."""

FIT, ROWS = 150, 1200
"""Rows that the kernel is fitted to, and that predictions are made from."""

QUANTILES = 16
"""Of the error's distribution, over which the objective is averaged."""


class DrawnTrial(FixedTrial):
    """A point of a space: drawn at random, or near another one."""

    def __init__(self, rng: np.random.Generator, near: Mapping[str, Any] | None = None, change: float = 1.0) -> None:
        """`near` holds values to keep, each with probability 1 - `change`; a changed number moves by a small step."""
        super().__init__({})
        self._rng, self._near, self._change = rng, near or {}, change
        self._drawn: dict[str, Any] = {}
        self._ranges: dict[str, BaseDistribution] = {}

    @property
    def params(self) -> dict[str, Any]:  # noqa: D102
        return self._drawn

    @property
    def distributions(self) -> dict[str, BaseDistribution]:  # noqa: D102
        return self._ranges

    def suggest_float(  # noqa: D102
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._suggest(name, FloatDistribution(low, high, log, step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:  # noqa: D102
        return int(self._suggest(name, IntDistribution(low, high, log, step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # type: ignore[override]  # noqa: D102
        return self._suggest(name, CategoricalDistribution(choices))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._drawn:
            return self._drawn[name]
        near = self._near.get(name)
        if near is not None and self._rng.random() >= self._change:
            value = near
        elif isinstance(distribution, CategoricalDistribution):
            value = distribution.choices[self._rng.integers(len(distribution.choices))]
        else:
            place = self._rng.random()
            if near is not None:
                place = float(np.clip(scaled(near, distribution) + self._rng.normal(0, 0.15), 0, 1))
            value = unscaled(place, distribution)
        self._drawn[name], self._ranges[name] = value, distribution
        return value


def scaled(value: float, distribution: Any) -> float:
    """A number's place in its range, 0 to 1."""
    low, high = distribution.low, distribution.high
    if low == high:
        return 0.5
    if distribution.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def unscaled(place: float, distribution: Any) -> float:
    """The number at a place of a range."""
    low, high = distribution.low, distribution.high
    if distribution.log:
        value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
    else:
        step = distribution.step
        value = low + place * (high - low)
        if step is not None:
            count = int(round((high - low) / step))
            return type(low)(low + min(int(place * (count + 1)), count) * step)
    value = min(max(value, low), high)
    return round(value) if isinstance(distribution, IntDistribution) else value


class KnownCostSampler(BaseSampler):
    """Expected improvement of the objective, with the error from a model of every curve and the price exact.

    A Gaussian process (scikit-learn) over parameters, logarithms of the readings and epoch models the logarithm of the
    error: errors are positive and heavy-tailed. Each epoch that any trial reported is seen, stopped and running ones'
    included. The objective is a known function of readings and error, and is averaged over the error's quantiles.
    """

    def __init__(self, study: Study, seed: int, candidates: int = 500, use_cost: bool = True, curves: bool = True) -> None:
        self._study, self._rng = study, np.random.default_rng(seed)
        self._candidates = candidates
        self._random = RandomSampler(seed=seed)
        self._chosen: DrawnTrial | None = None
        self._use_cost, self._curves = use_cost, curves

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Choose the whole trial at once, conditional parameters included."""
        trials = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        self._chosen = self._choose(trials)
        return {} if self._chosen is None else self._chosen.distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The chosen trial."""
        return {} if self._chosen is None else self._chosen.params

    def sample_independent(  # noqa: D102
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _price(self, trial: DrawnTrial) -> tuple[Any, Readings]:
        arch = self._study.space(trial, self._study.task).arch
        return arch, read(self._study.readings, arch)

    def _choose(self, trials: list[FrozenTrial]) -> DrawnTrial | None:
        seen = [t for t in trials if t.user_attrs.get("curve")]
        over = [t for t in seen if t.state.is_finished()]
        if len(over) < STARTUP:
            return None
        waiting = [t for t in trials if not t.state.is_finished() and self._has_readings(t)]
        parents = [dict(t.params) for t in sorted(over, key=self._last_value)[:5]]
        drawn, readings, known = [], [], {self._key(t.params) for t in trials}
        for i in range(self._candidates):
            point = (
                DrawnTrial(self._rng)
                if i % 2 or not parents
                else DrawnTrial(self._rng, parents[i // 2 % len(parents)], float(self._rng.uniform(0.1, 0.6)))
            )
            try:
                _, read_ = self._price(point)
            except Exception:  # noqa: BLE001 - a combination the space refuses
                continue
            key = self._key(point.params)
            if key in known or any(read_.get(n, 0) > b for n, b in self._study.bounds.items()):
                continue
            known.add(key)
            drawn.append(point)
            readings.append(read_)
        if not drawn:
            return None
        encode = Encoder([t.distributions for t in seen] + [p.distributions for p in drawn], self._study.readings)
        grid = [STARTUP * 1.4**k for k in range(40)]
        first = max(int(g) for g in grid if g <= len(over))
        old = [t for t in over if t.number < first] or over
        rows = self._observations(old, encode)
        few = np.random.default_rng(len(old)).permutation(len(rows[1]))[:FIT]
        kernel = fitted_kernel(rows[0][few], rows[1][few])
        x, y = self._observations(seen, encode)
        keep = np.random.default_rng(len(y)).permutation(len(y))[:ROWS]
        model = Surrogate(x[keep], y[keep], kernel)
        end = 1.0
        if waiting:
            pending = np.stack([encode(t.params, t.distributions, t.user_attrs, end) for t in waiting])
            model = model.given(pending)
        best = self._incumbent(seen, encode, model)
        mean, std = model.predict(np.stack([encode(p.params, p.distributions, r, end) for p, r in zip(drawn, readings)]))
        gain = [self._gain(r, m, s, best) for r, m, s in zip(readings, mean, std, strict=True)]
        return drawn[int(np.argmax(gain))]

    def _has_readings(self, t: FrozenTrial) -> bool:
        return all(r.name in t.user_attrs for r in self._study.readings)

    @staticmethod
    def _key(params: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(sorted((k, str(v)) for k, v in params.items()))

    def _last_value(self, t: FrozenTrial) -> float:
        return self._value(t.user_attrs, t.user_attrs["curve"][-1]["error"])

    def _value(self, readings: Mapping[str, Any], error: float) -> float:
        return self._study.objective.value({r.name: readings[r.name] for r in self._study.readings}, error)

    def _observations(self, seen: list[FrozenTrial], encode: Encoder) -> tuple[Array, Array]:
        rows, errors = [], []
        for t in seen:
            curve, epochs = t.user_attrs["curve"], t.user_attrs["budget"]
            keep = {len(curve) - 1}
            if self._curves:
                rung = 1.0
                while rung <= len(curve):
                    keep.add(int(rung) - 1)
                    rung = max(rung * 2.0, rung + 1)
            elif t.state is not TrialState.COMPLETE:
                pass
            for i in sorted(keep):
                place = math.log(curve[i]["epoch"]) / math.log(epochs) if epochs > 1 else 1.0
                rows.append(encode(t.params, t.distributions, t.user_attrs, place))
                errors.append(math.log(max(curve[i]["error"], 1e-9)))
        return np.stack(rows), np.array(errors)

    def _incumbent(self, seen: list[FrozenTrial], encode: Encoder, model: Surrogate) -> float:
        """The smallest value of a trial that had all its epochs; before there is one, the smallest predicted."""
        complete = [self._last_value(t) for t in seen if t.state is TrialState.COMPLETE]
        if complete:
            return min(complete)
        mean, _ = model.predict(np.stack([encode(t.params, t.distributions, t.user_attrs, 1.0) for t in seen]))
        return min(self._value(t.user_attrs, math.exp(m)) for t, m in zip(seen, mean, strict=True))

    def _gain(self, readings: Readings, mean: float, std: float, best: float) -> float:
        """Expected improvement; ties, where none is left, go to the smallest expected value."""
        values = np.array([self._study.objective.value(readings, math.exp(mean + std * z)) for z in NODES])
        return float(np.maximum(best - values, 0).mean()) - 1e-9 * float(values.mean())


def _nodes() -> Array:
    from scipy.stats import norm

    places: Array = norm.ppf((np.arange(QUANTILES) + 0.5) / QUANTILES)
    return places


NODES = _nodes()


class Encoder:
    """Turns parameters, readings and an epoch into a row of numbers."""

    def __init__(self, spaces: Sequence[Mapping[str, BaseDistribution]], readings: Sequence[Any]) -> None:
        self._readings = readings
        self._found: dict[str, BaseDistribution] = {}
        for space in spaces:
            self._found.update(space)

    def __call__(
        self, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution], readings: Mapping[str, Any], end: float
    ) -> Array:
        row: list[float] = []
        for name, distribution in sorted(self._found.items()):
            value = params.get(name)
            if isinstance(distribution, CategoricalDistribution):
                row += [0.7 * (value is not None and str(value) == str(choice)) for choice in distribution.choices]
            else:
                row.append(0.5 if value is None else scaled(value, distribution))
        row += [math.log(readings[reading.name]) / 4 for reading in self._readings]
        row.append(end)
        return np.array(row)


class Surrogate:
    """A Gaussian process of log error.

    Its kernel is fitted to few rows, and again only where these have changed: at 1,000 trials a fit to all of them
    would take minutes.
    """

    def __init__(self, x: Array, y: Array, kernel: Any) -> None:
        from sklearn.gaussian_process import GaussianProcessRegressor

        self.x, self.y, self.kernel = x, y, kernel
        self._middle, self._scale = float(y.mean()), float(y.std()) or 1.0
        self._gp = GaussianProcessRegressor(kernel, alpha=1e-8, optimizer=None).fit(x, (y - self._middle) / self._scale)

    def given(self, pending: Array) -> Surrogate:
        """With points that are being trained taken as their own prediction (kriging believer, Ginsbourger et al. 2010)."""
        mean, _ = self.predict(pending)
        return Surrogate(np.concatenate([self.x, pending]), np.concatenate([self.y, mean]), self.kernel)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of log error, without the noise of a single training."""
        mean, std = self._gp.predict(x, return_std=True)
        std = np.sqrt(np.maximum(std**2 - self.kernel.k2.noise_level, 1e-10))
        return mean * self._scale + self._middle, std * self._scale


_fitted: dict[bytes, Any] = {}
"""Kernels by the data that they were fitted to."""


def fitted_kernel(x: Array, y: Array) -> Any:
    """A Matern kernel with a length for each column, and noise, at the largest marginal likelihood."""
    key = hashlib.sha256(x.tobytes() + y.tobytes()).digest()
    if key not in _fitted:
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        kernel = ConstantKernel(1.0, (0.05, 20)) * Matern(np.ones(x.shape[1]), (0.05, 20), nu=2.5)
        kernel += WhiteKernel(1e-2, (1e-4, 0.5))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            gp = GaussianProcessRegressor(kernel, alpha=1e-8, optimizer=_lbfgs)
            _fitted[key] = gp.fit(x, (y - y.mean()) / (y.std() or 1.0)).kernel_
    return _fitted[key]


def _lbfgs(function: Any, start: Array, bounds: Array) -> tuple[Array, float]:
    from scipy.optimize import minimize

    found = minimize(function, start, method="L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": 15})
    return found.x, found.fun
