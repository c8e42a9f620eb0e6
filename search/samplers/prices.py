"""What candidates cost, about: a model of the readings of trials so far, since counting a network takes 0.1 s."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from models.plan import Architecture
from models.readings import Readings
from search.config_record import CLASS
from search.samplers.gaussian import Array, Gaussian, fitted

Traits = Mapping[str, Any]
"""What an architecture consists of: plain values by dotted names."""


def traits(arch: Architecture) -> Traits:
    """All that architectures are compared by."""
    return dict(_flat(arch, ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if is_dataclass(value) and not isinstance(value, type):
        parts = {part.name: getattr(value, part.name) for part in fields(value) if part.compare}
        yield from _flat({CLASS: f"{type(value).__module__}.{type(value).__qualname__}", **parts}, name)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}")
    elif isinstance(value, (tuple, list)):
        for place, part in enumerate(value):
            yield from _flat(part, f"{name}.{place}")
    else:
        yield name, value


def predicted(past: Sequence[tuple[Traits, Readings]], asked: Sequence[Traits], first: int) -> list[Readings]:
    """Readings of architectures, from those of others: a linear trend of logarithms and a Gaussian process.

    Args:
        past: at least one, in the order of the trials; all have the same readings.
        asked: at least one.
        first: how many of `past` trend and kernels are fitted to, so that these stay for a while.
    """
    names = sorted({name for each in asked for name in each})
    table = _columns([*(each for each, _ in past), *asked], names)
    known, wanted = table[: len(past)], table[len(past) :]
    few = slice(0, first)
    found: dict[str, Array] = {}
    for name in past[0][1]:
        y = np.array([math.log(readings[name]) for _, readings in past])
        slope = _trend(known[few], y[few])
        rest, base = np.asarray(y - _with_one(known) @ slope), np.asarray(_with_one(wanted) @ slope)
        if np.ptp(rest[few]) > 1e-9:
            base = base + Gaussian(known, rest, fitted(known[few], rest[few])).predict(wanted)[0]
        found[name] = np.asarray(np.exp(np.clip(base, -60, 60)), np.float64)
    return [{name: float(column[i]) for name, column in found.items()} for i in range(len(asked))]


def _columns(rows: Sequence[Traits], names: Sequence[str]) -> Array:
    """(rows, columns): a column for a number, as a logarithm, and one, 0 or 1, for every other value."""
    columns = []
    for name in names:
        values = [row.get(name) for row in rows]
        if all(value == values[0] for value in values):
            continue
        if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
            columns.append(np.arcsinh(np.array(values, float) * 10))  # as a logarithm above 0.1, and 0 is 0
        else:
            texts = list(map(str, values))
            columns += [np.array([float(text == kind) for text in texts]) for kind in sorted(set(texts))]
    return np.stack(columns, 1) if columns else np.zeros((len(rows), 1))


def _with_one(x: Array) -> Array:
    return np.concatenate([x, np.ones((len(x), 1))], 1)


def _trend(x: Array, y: Array) -> Array:
    """Slopes and a constant, by least squares that are held near 0."""
    inputs = _with_one(x)
    pull = np.diag([1e-2] * x.shape[1] + [1e-9])
    return np.asarray(np.linalg.solve(inputs.T @ inputs + pull, inputs.T @ y), np.float64)
