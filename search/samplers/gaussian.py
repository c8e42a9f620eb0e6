"""Gaussian processes (scikit-learn): kernels that are fitted to few rows, and predictions from many."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


class Gaussian:
    """A Gaussian process of numbers, given rows of inputs (scikit-learn's own factors each matrix twice).

    Args:
        x: (rows, columns), each column about 0 to 1.
        y: (rows,).
        kernel: as `fitted` gives it.
    """

    def __init__(self, x: Array, y: Array, kernel: Any) -> None:
        self._kernel, self._noise = kernel.k1, kernel.k2.noise_level + 1e-8
        self._x, self._middle, self._scale = x, float(y.mean()), float(y.std()) or 1.0
        self._y = (y - self._middle) / self._scale
        self._factor = _factored(self._kernel(x), self._noise)
        self._weigh()

    def _weigh(self) -> None:
        from scipy.linalg import cho_solve  # type: ignore[import-untyped]

        self._weights = cho_solve((self._factor, True), self._y, check_finite=False)

    def believe(self, pending: Array) -> None:
        """Take points in training as answered as predicted (kriging believer, Ginsbourger et al. 2010)."""
        old, corner = self._solved(pending), self._kernel(pending)
        below = np.concatenate([old.T, _factored(corner - old.T @ old, self._noise)], 1)
        above = np.concatenate([self._factor, np.zeros((len(self._x), len(pending)))], 1)
        believed = self._kernel(pending, self._x) @ self._weights
        self._factor = np.concatenate([above, below])
        self._x, self._y = np.concatenate([self._x, pending]), np.concatenate([self._y, believed])
        self._weigh()

    def _solved(self, x: Array) -> Array:
        from scipy.linalg import solve_triangular

        solved: Array = solve_triangular(self._factor, self._kernel(self._x, x), lower=True, check_finite=False)
        return solved

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, (rows,) each, without the noise of a single observation."""
        mean = self._kernel(x, self._x) @ self._weights
        variance = self._kernel.diag(x) - (self._solved(x) ** 2).sum(0)
        return mean * self._scale + self._middle, np.sqrt(np.maximum(variance, 1e-10)) * self._scale


def _factored(matrix: Array, noise: float) -> Array:
    """The lower factor of a covariance with noise."""
    from scipy.linalg import cholesky

    factor: Array = cholesky(matrix + noise * np.eye(len(matrix)), lower=True, check_finite=False)
    return factor


def fitted(x: Array, y: Array) -> Any:
    """A Matern kernel with a length for each column, and noise, at the largest marginal likelihood."""
    return _fitted(x.tobytes(), y.tobytes(), len(y))


@lru_cache(32)
def _fitted(x_bytes: bytes, y_bytes: bytes, rows: int) -> Any:
    """The same, by the bytes of its arguments: a search asks for one kernel many times."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    x, y = np.frombuffer(x_bytes).reshape(rows, -1), np.frombuffer(y_bytes)
    kernel = ConstantKernel(1.0, (0.05, 20)) * Matern(np.ones(x.shape[1]), (0.05, 20), nu=2.5)
    kernel += WhiteKernel(1e-2, (1e-5, 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        process = GaussianProcessRegressor(kernel, alpha=1e-8, optimizer=_maximum)
        return process.fit(x, (y - y.mean()) / (y.std() or 1.0)).kernel_


def _maximum(function: Any, start: Array, bounds: Array) -> tuple[Array, float]:
    """A few steps of scikit-learn's own optimiser: more of them gain nothing, and each takes milliseconds."""
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    found = minimize(function, start, method="L-BFGS-B", jac=True, bounds=bounds, options={"maxiter": 15})
    return found.x, found.fun
