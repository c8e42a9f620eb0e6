"""A study's trials, best first, and which of them nothing beats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from models.readings import FLOPS, PARAMS

READINGS = (PARAMS.name, FLOPS.name)
"""Readings of a study that says nothing of its own."""

STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class Entry:
    """One trial.

    Attributes:
        number: the trial's number in the study.
        name: of a starting trial, else empty.
        state: 'finished', 'stopped' (early, by the scheduler), 'failed', 'running', 'waiting' or 'refused'.
        value: what the study minimises, after the last epoch.
        error: in the task's unit, after the last epoch.
        readings: what is known of the network before training, by the reading's name.
        score: Params x FLOPs x e^PixelDiff, where the study is ranked so and a float holds it.
        band: the grade band.
        epochs: trained.
        budget: epochs it may train at the most; 0 where that is not known yet.
        seconds: of training and judging.
        images_per_s: trained.
        peak_memory_mb: 10^6 bytes.
        pareto: whether no finished trial is both cheaper (product of the cost readings) and more exact.
        reason: why it failed or was refused, else empty.
        params: as sampled.
        worker: host and process that trained it last, else empty.
        started: local time.
        ended: local time.
    """

    number: int
    name: str
    state: str
    value: float | None
    error: float | None
    readings: dict[str, float]
    score: float | None
    band: str
    epochs: int
    budget: int
    seconds: float
    images_per_s: float | None
    peak_memory_mb: float | None
    pareto: bool
    reason: str
    params: dict[str, Any]
    worker: str
    started: datetime | None
    ended: datetime | None

    @property
    def params_m(self) -> float | None:
        """Parameters, millions."""
        return self.readings.get(PARAMS.name)

    @property
    def gflops(self) -> float | None:
        """Multiply-adds, thousands of millions."""
        return self.readings.get(FLOPS.name)

    def cost(self, names: Sequence[str]) -> float:
        """The product of the readings `names`; NaN where one of them is missing or 0, or none is named."""
        values = [self.readings.get(name) or math.nan for name in names]
        return math.prod(values) if values else math.nan


def entries(
    trials: Sequence[FrozenTrial], metric: str, readings: Sequence[str] = READINGS, cost: Sequence[str] = READINGS
) -> list[Entry]:
    """All trials: finished ones by value, then the others by state and value.

    Args:
        trials: of one study.
        metric: the attribute under which each keeps its error.
        readings: names of the readings that each keeps.
        cost: names of those whose product is the price.
    """
    lines = [entry(trial, metric, False, readings) for trial in trials]
    # A study that another program began may lack the error or a reading.
    priced = [e for e in lines if e.state == "finished" and e.error is not None and not math.isnan(e.cost(cost))]
    optimal = unbeaten([(e.cost(cost), e.error or 0.0) for e in priced])
    front = {e.number for e, best in zip(priced, optimal, strict=True) if best}
    lines = [replace(e, pareto=True) if e.number in front else e for e in lines]
    order = ["finished", "stopped", "running", "waiting", "failed", "refused"]
    return sorted(
        lines, key=lambda e: (order.index(e.state), e.value if e.value is not None else float("inf"), e.number)
    )


def entry(trial: FrozenTrial, metric: str, pareto: bool, readings: Sequence[str] = READINGS) -> Entry:
    """One trial as a line of the board."""
    attrs = trial.user_attrs
    curve = attrs.get("curve", [])
    last = curve[-1] if curve else {}
    return Entry(
        number=trial.number,
        name=attrs.get("name", ""),
        state="refused" if attrs.get("refused") else STATES[trial.state],
        value=_value(trial),
        error=attrs.get(metric, last.get("error")),
        readings={name: attrs[name] for name in readings if name in attrs},
        score=attrs.get("score"),
        band=attrs.get("band", ""),
        epochs=int(last.get("epoch", 0)),
        budget=attrs.get("budget", 0),
        seconds=attrs.get("seconds", sum(row["seconds"] for row in curve)),
        images_per_s=attrs.get("images_per_s"),
        peak_memory_mb=attrs.get("peak_memory_mb"),
        pareto=pareto,
        reason=attrs.get("failed") or attrs.get("refused", ""),
        params=dict(trial.params),
        worker=attrs.get("worker", ""),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
    )


def _value(trial: FrozenTrial) -> float | None:
    """What the study minimises after the last epoch: of a trial that has had all of them its own value."""
    if trial.state is TrialState.COMPLETE and trial.values:
        return float(trial.values[0])
    steps = trial.intermediate_values
    return steps[max(steps)] if steps else None


def unbeaten(plane: Sequence[tuple[float, float]]) -> list[bool]:
    """Which points of a plane are Pareto-optimal, both coordinates to be small.

    A point is beaten by one that is no larger in both and smaller in one; equal points do not beat each other.
    """
    best, lowest = set(), float("inf")
    for x, y in sorted(set(plane)):
        if y < lowest:
            best.add((x, y))
            lowest = y
    return [point in best for point in plane]
