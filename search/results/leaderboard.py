"""A study's trials, best first, and which of them nothing beats."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

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
        params_m: parameters, millions.
        gflops: multiply-adds, thousands of millions.
        score: Params x FLOPs x e^PixelDiff, where the study is ranked so and a float holds it.
        band: the grade band.
        epochs: trained.
        budget: epochs it may train at the most; 0 where that is not known yet.
        seconds: of training and judging.
        images_per_s: trained.
        peak_memory_mb: 10^6 bytes.
        pareto: whether no finished trial is both cheaper (Params x FLOPs) and more exact.
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
    params_m: float | None
    gflops: float | None
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


def entries(trials: Sequence[FrozenTrial], metric: str) -> list[Entry]:
    """All trials: finished ones by value, then the others by state and value.

    Args:
        trials: of one study.
        metric: the attribute under which each keeps its error.
    """
    # A study that another program began may lack them.
    needed = {"params_m", "gflops", metric}
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE and needed <= trial.user_attrs.keys()]
    plane = [
        (trial.user_attrs["params_m"] * trial.user_attrs["gflops"], trial.user_attrs[metric]) for trial in complete
    ]
    optimal = {trial.number for trial, best in zip(complete, unbeaten(plane), strict=True) if best}
    order = ["finished", "stopped", "running", "waiting", "failed", "refused"]
    found = [entry(trial, metric, trial.number in optimal) for trial in trials]
    return sorted(
        found,
        key=lambda e: (order.index(e.state), e.value if e.value is not None else float("inf"), e.number),
    )


def entry(trial: FrozenTrial, metric: str, pareto: bool) -> Entry:
    """One trial as a line of the board."""
    kept = trial.user_attrs
    curve = kept.get("curve", [])
    last = curve[-1] if curve else {}
    return Entry(
        number=trial.number,
        name=kept.get("name", ""),
        state="refused" if "refused" in kept else STATES[trial.state],
        value=trial.intermediate_values[max(trial.intermediate_values)] if trial.intermediate_values else None,
        error=kept.get(metric, last.get("error")),
        params_m=kept.get("params_m"),
        gflops=kept.get("gflops"),
        score=kept.get("score"),
        band=kept.get("band", ""),
        epochs=int(last.get("epoch", 0)),
        budget=kept.get("budget", 0),
        seconds=kept.get("seconds", sum(row["seconds"] for row in curve)),
        images_per_s=kept.get("images_per_s"),
        peak_memory_mb=kept.get("peak_memory_mb"),
        pareto=pareto,
        reason=kept.get("failed", kept.get("refused", "")),
        params=dict(trial.params),
        worker=kept.get("worker", ""),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
    )


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
