"""Which samples are trained: within the study's bounds, and past its gate."""

import math
from collections.abc import Sequence

import optuna

from models.readings import Reading, Readings
from search.format import digits
from search.gate import Gate
from search.goal import Goal
from search.study import Study
from search.target import ended, target


def bounded(study: Study) -> list[tuple[Reading, float]]:
    """The readings that have a bound."""
    return [(reading, study.bounds[reading.name]) for reading in study.readings if reading.name in study.bounds]


def broken(study: Study, readings: Readings) -> str:
    """Which bounds these readings break, in words; empty for none."""
    return ", ".join(
        f"{reading.title} {digits(readings[reading.name])} {reading.unit} > {bound:g} {reading.unit}"
        for reading, bound in bounded(study)
        if readings.get(reading.name, 0.0) > bound
    )


def refusal(study: Study, trial: optuna.Trial, readings: Readings) -> str:
    """Why a trial is not trained; empty where it is. Its bounds are kept with it as constraints, for samplers."""
    constraints = trial.constraints
    for reading, bound in bounded(study):
        if reading.title not in constraints and reading.name in readings:
            trial.set_constraint(reading.title, math.log(readings[reading.name] / bound))
    return broken(study, readings) or shut_out(study, trial, readings)


def shut_out(study: Study, trial: optuna.Trial, readings: Readings) -> str:
    """Why the gate refuses a trial; empty where it does not.

    A trial that someone named is trained, and one whose training had begun goes on. So is one in several that the gate
    would refuse: its attribute 'gate' says so.
    """
    stored = trial.user_attrs
    if study.gate is None or stored.get("name") or stored.get("curve"):
        return ""
    finished = ended(study, trial.study.get_trials(deepcopy=False))
    reason = too_dear(study, study.gate, readings, finished, Goal.of(trial.study.user_attrs))
    if reason and trial.number % study.gate.anyway == 0:
        trial.set_user_attr("gate", f"trained to try the gate, {reason}")
        return ""
    return reason


def too_dear(
    study: Study, gate: Gate, readings: Readings, finished: Sequence[tuple[Readings, float]], goal: Goal | None = None
) -> str:
    """Why a candidate cannot win, in words; empty where it can.

    Args:
        study: what is searched.
        gate: what says how small an error is to be expected.
        readings: of the candidate.
        finished: readings and last error of each trial that had all its epochs.
        goal: what the search aims at; None for the smallest value.
    """
    if len(finished) < gate.enough:
        return ""
    needed = target(study, finished, goal).needed_error(study.objective, readings)
    floor = gate.floor([error for _, error in finished])
    if needed >= floor:
        return ""
    unit = f" {study.task.unit}".rstrip()
    wanted = f"below {needed:.4g}{unit}" if needed > 0 else "below 0"
    return f"too dear: it would be the best {wanted} alone, and the smallest error to be expected is {floor:.4g}{unit}"
