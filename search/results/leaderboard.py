"""A study's trials, best first, and which of them nothing beats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from models.readings import FLOPS, PARAMS
from search.goal import Goal, order

READINGS = (PARAMS.name, FLOPS.name)
"""Readings of a study that says nothing of its own."""

STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
ORDER = ("finished", "stopped", "running", "waiting", "failed", "refused")
"""Of the states on a board."""


@dataclass(frozen=True)
class Entry:
    """One trial."""

    number: int  # the trial's number in the study
    name: str  # of a starting trial, else empty
    state: str  # 'finished', 'stopped' (early, by the scheduler), 'failed', 'running', 'waiting' or 'refused'
    value: float | None  # what the study minimises, after the last epoch
    error: float | None  # in the task's unit, after the last epoch
    readings: dict[str, float]  # what is known of the network before training, by the reading's name
    score: float | None  # Params x FLOPs x e^PixelDiff, where the study is ranked so and a float holds it
    band: str  # the grade band
    epochs: int  # trained
    budget: int  # epochs it may train at the most; 0 where that is not known yet
    seconds: float  # of training and judging
    images_per_s: float | None  # trained
    peak_memory_mb: float | None  # 10^6 bytes
    pareto: bool  # whether no finished trial is both cheaper (product of the cost readings) and more exact
    reason: str  # why it failed, was refused or stopped, where that is known; else empty
    params: dict[str, Any]  # as sampled
    config: dict[str, Any] | None  # what was trained, as search.config_record keeps it; None where it was not kept
    worker: str  # host and process that trained it last, else empty
    started: datetime | None  # local time
    ended: datetime | None  # local time
    star: bool = False  # that someone gave it on the dashboard
    note: str = ""  # likewise

    @property
    def params_m(self) -> float | None:
        """Parameters, millions."""
        return self.readings.get(PARAMS.name)

    @property
    def gflops(self) -> float | None:
        """Multiply-adds, thousands of millions."""
        return self.readings.get(FLOPS.name)

    def order(self, goal: Goal | None) -> tuple[bool, float]:
        """What trials in one state are sorted by, the best first."""
        value = math.inf if self.value is None else self.value
        if goal is None or self.state != "finished":
            return False, value
        return order(goal, value, math.nan if self.error is None else self.error, self.budget or self.epochs)

    def cost(self, names: Sequence[str]) -> float:
        """The product of the readings `names`; NaN where one of them is missing or 0, or none is named."""
        values = [self.readings.get(name) or math.nan for name in names]
        return math.prod(values) if values else math.nan


def entries(
    trials: Sequence[FrozenTrial],
    metric: str,
    readings: Sequence[str] = READINGS,
    cost: Sequence[str] = READINGS,
    goal: Goal | None = None,
) -> list[Entry]:
    """All trials of a study: finished ones by value, then the others by state and value.

    With a goal, the finished ones that are predicted to be below it come first, and the others by how far they miss it.

    Each keeps its error under the attribute `metric`, and its readings under their names; the price is the product of
    those named in `cost`.
    """
    lines = [entry(trial, metric, readings) for trial in trials]
    # A study that another program began may lack the error or a reading.
    priced = [e for e in lines if e.state == "finished" and e.error is not None and not math.isnan(e.cost(cost))]
    optimal = unbeaten([(e.cost(cost), e.error or 0.0) for e in priced])
    front = {e.number for e, best in zip(priced, optimal, strict=True) if best}
    lines = [replace(e, pareto=True) if e.number in front else e for e in lines]
    return sorted(lines, key=lambda e: (ORDER.index(e.state), e.order(goal), e.number))


def entry(trial: FrozenTrial, metric: str, readings: Sequence[str] = READINGS) -> Entry:
    """One trial as a line of the board; whether it is on the front is not known yet."""
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
        pareto=False,
        reason=attrs.get("failed") or attrs.get("refused") or attrs.get("stopped", ""),
        params=dict(trial.params),
        config=attrs.get("config"),
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
    best, lowest = set(), math.inf
    for x, y in sorted(set(plane)):
        if y < lowest:
            best.add((x, y))
            lowest = y
    return [point in best for point in plane]
