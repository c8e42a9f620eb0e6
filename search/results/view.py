"""A study as it stood at one moment: what every figure and table of the dashboard is drawn from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from search.format import named, titled
from search.objective import Described, Reference
from search.results.leaderboard import Entry, entries

if TYPE_CHECKING:
    from search.run.ledger import Row


@dataclass(frozen=True)
class View:
    """A study's trials at one moment.

    Attributes:
        name: of the study.
        objective: what is minimised, as the storage names it.
        attrs: the study's own attributes: metric, unit, data, and how it searches (trials, epochs, scheduler, grace,
            reduction) and which design it is measured against where it says so.
        trials: in the order of their numbers.
        entries: the same trials as lines of the board, best first; the same length as `trials`.
    """

    name: str
    objective: str
    attrs: Mapping[str, Any]
    trials: tuple[FrozenTrial, ...]
    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, name: str, objective: str, attrs: Mapping[str, Any], trials: Sequence[FrozenTrial]) -> "View":
        """The view of a study's trials, given in any order."""
        ordered = tuple(sorted(trials, key=lambda trial: trial.number))
        return cls(name, objective, attrs, ordered, tuple(entries(ordered, attrs.get("metric", "error"))))

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

    @property
    def reference(self) -> Reference | None:
        """The design that the study is measured against; None where it has none."""
        return self.described.reference

    @cached_property
    def by_number(self) -> Mapping[int, Entry]:
        """Lines of the board by the trial's number."""
        return {entry.number: entry for entry in self.entries}

    @cached_property
    def curves(self) -> Mapping[int, "Sequence[Row]"]:
        """Rows an epoch, by the trial's number; only trials that were trained."""
        return {trial.number: trial.user_attrs["curve"] for trial in self.trials if trial.user_attrs.get("curve")}

    def only(self, numbers: Collection[int]) -> "View":
        """The same study with these trials alone."""
        chosen = set(numbers)
        return replace(
            self,
            trials=tuple(trial for trial in self.trials if trial.number in chosen),
            entries=tuple(entry for entry in self.entries if entry.number in chosen),
        )
