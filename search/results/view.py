"""A study as it stood at one moment: what every figure and table of it is drawn from."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from models.readings import FLOPS, PARAMS
from search.format import compact, named, titled
from search.full_length import FullLength, Interval
from search.goal import Goal
from search.objective import Described, Reference
from search.results.leaderboard import ORDER, Entry, entries

if TYPE_CHECKING:
    from search.run.state.ledger import Row

KNOWN = {reading.name: (reading.title, reading.unit) for reading in (PARAMS, FLOPS)}
"""Title and unit of the readings of studies that do not keep them."""


@dataclass(frozen=True)
class Measure:
    """A reading as tables and axes call it."""

    name: str  # under which each trial keeps it
    title: str  # e.g. 'Params'.
    unit: str  # e.g. 'M'; empty for none.

    @property
    def label(self) -> str:
        """'Params [M]'."""
        return titled(self.title, self.unit)


@dataclass(frozen=True)
class View:
    """A study's trials at one moment."""

    name: str  # of the study
    objective: str  # what is minimised, as the storage names it
    # the study's own attributes: metric, unit, data, objective, readings, and how it searches (trials, epochs,
    # scheduler, grace, reduction)
    attrs: Mapping[str, Any]
    trials: tuple[FrozenTrial, ...]  # in the order of their numbers
    entries: tuple[Entry, ...]  # the same trials as lines of the board, best first; the same length as `trials`
    selected: frozenset[int] | None = None  # the numbers of these trials where they were picked; None for all

    @classmethod
    def of(cls, name: str, objective: str, attrs: Mapping[str, Any], trials: Sequence[FrozenTrial]) -> "View":
        """The view of a study's trials, given in any order."""
        ordered = tuple(sorted(trials, key=lambda trial: trial.number))
        empty = cls(name, objective, attrs, (), ())
        readings = [measure.name for measure in empty.readings]
        lines = entries(ordered, empty.metric, readings, empty.described.cost, empty.goal)
        return replace(empty, trials=ordered, entries=tuple(lines))

    @property
    def metric(self) -> str:
        """The error's name, e.g. 'pixel_diff'; each trial keeps its error under it."""
        return str(self.attrs.get("metric", "error"))

    @property
    def unit(self) -> str:
        """The error's unit, e.g. 'px'."""
        return str(self.attrs.get("unit", ""))

    @property
    def scored(self) -> bool:
        """Whether the value is the logarithm of a score, such as Params x FLOPs x e^PixelDiff."""
        return bool(self.described.score)

    @property
    def alone(self) -> bool:
        """Whether the study is ranked by its error, so that a value beside it would say the same twice."""
        return self.described.is_error

    @property
    def error_name(self) -> str:
        """What people call the error: 'PixelDiff'."""
        return named(self.metric)

    @property
    def error_title(self) -> str:
        """How an axis names the error: 'PixelDiff [px]', or 'log loss' of an error without a unit."""
        return titled(self.error_name, self.unit)

    @cached_property
    def described(self) -> Described:
        """What the study minimises."""
        return Described.of(self.attrs, self.objective)

    @cached_property
    def goal(self) -> Goal | None:
        """What the search aims at; None where it is the smallest value of all."""
        return Goal.of(self.attrs)

    def reached(self, entry: Entry) -> bool:
        """Whether a finished trial is predicted to be below the goal, fully trained; all are where there is none."""
        return entry.state == "finished" and not entry.order(self.goal)[0]

    @property
    def goal_title(self) -> str:
        """The goal in words: 'PixelDiff below 5 px after 300 epochs'; empty where there is none."""
        if self.goal is None:
            return ""
        limit = f"{compact(self.goal.under)} {self.unit}".strip()
        return f"{self.error_name} below {limit} after {self.full_length.epochs:,} epochs"

    @cached_property
    def full_length(self) -> FullLength:
        """What errors become in a full training."""
        return FullLength.of(self.attrs)

    def full(self, entry: Entry) -> Interval | None:
        """The error that a finished trial is predicted to have after a full training; None of others."""
        known = entry.error is not None and math.isfinite(entry.error) and self.full_length.epochs > 0
        if entry.state != "finished" or entry.error is None or not known:
            return None
        return self.full_length(entry.error, entry.budget or entry.epochs)

    @cached_property
    def readings(self) -> tuple[Measure, ...]:
        """What each trial's network was read for, in the order of the study."""
        kept = [Measure(**reading) for reading in self.attrs.get("readings", [])]
        names = {reading.name for reading in kept}
        needed = [name for name in (*(() if kept else KNOWN), *self.described.cost) if name not in names]
        return (*kept, *(Measure(name, *KNOWN.get(name, (name, ""))) for name in dict.fromkeys(needed)))

    @cached_property
    def cost(self) -> tuple[Measure, ...]:
        """The readings whose product is the price."""
        by_name = {reading.name: reading for reading in self.readings}
        return tuple(by_name[name] for name in self.described.cost)

    @property
    def cost_title(self) -> str:
        """How an axis names the price: 'Params [M] \u00d7 FLOPs [G]'."""
        return " \u00d7 ".join(reading.label for reading in self.cost)

    def price(self, entry: Entry) -> float:
        """The logarithm of a trial's price, the product of the cost readings; NaN where it is not known."""
        return math.log(entry.cost(self.described.cost))

    @property
    def reference(self) -> Reference | None:
        """The design that the study is measured against; None where it has none."""
        return self.described.reference

    @cached_property
    def by_number(self) -> Mapping[int, Entry]:
        """Lines of the board by the trial's number."""
        return {entry.number: entry for entry in self.entries}

    @cached_property
    def by_state(self) -> Mapping[str, Sequence[Entry]]:
        """Lines of the board in each state, best first."""
        return {state: [entry for entry in self.entries if entry.state == state] for state in ORDER}

    @cached_property
    def ended(self) -> Sequence[Entry]:
        """The trials that are over, in the order in which they ended; refused samples cost nothing and are left out."""
        over = [entry for state in ("finished", "stopped", "failed") for entry in self.by_state[state]]
        return sorted(over, key=lambda entry: (entry.ended or datetime.min, entry.number))

    def trial(self, number: int) -> FrozenTrial:
        """A trial by its number. Raises KeyError."""
        for trial in self.trials:
            if trial.number == number:
                return trial
        raise KeyError(number)

    @cached_property
    def curves(self) -> Mapping[int, "Sequence[Row]"]:
        """Rows an epoch, by the trial's number; only trials that were trained."""
        return {trial.number: trial.user_attrs["curve"] for trial in self.trials if trial.user_attrs.get("curve")}

    def only(self, numbers: Collection[int]) -> "View":
        """The same study with these trials alone."""
        chosen = frozenset(numbers)
        trials = tuple(trial for trial in self.trials if trial.number in chosen)
        return replace(
            self,
            trials=trials,
            entries=tuple(entry for entry in self.entries if entry.number in chosen),
            selected=frozenset(trial.number for trial in trials),
        )
