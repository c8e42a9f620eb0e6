"""A study with a goal as its sampler sees it: one more constraint, on the error that a trial is heading for."""

import copy
from collections.abc import Container

from optuna.trial import FrozenTrial, TrialState

from search.goal import Ends, Goal
from search.run.state.sampler import StoppableStudy

CONSTRAINT = "final error, ln(error / goal)"

UNKNOWN = 10.0
"""The constraint's value of a trial without an error, such as a refused one: e^10 times the goal."""


class AimedStudy(StoppableStudy):
    """The same study, each of whose trials that are over has one more constraint.

    It is not stored, since it changes: with the goal, and with what is known of how errors fall. TPE, NSGA-II and
    Optuna's Gaussian process know what to do with constraints: what misses one comes after all that does not, in the
    order in which it misses it. They ask for trials by `_get_trials`, which has no public twin of the same use.

    Args:
        study: as it is stored; what is done to this one is done to it.
        goal: what it aims at.
    """

    def __init__(self, study: StoppableStudy, goal: Goal) -> None:
        self.__dict__ = study.__dict__
        self._goal, self._known = goal, dict[int, FrozenTrial]()
        self._ends: Ends | None = None

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        every = super()._get_trials(deepcopy=False, use_cache=use_cache)
        if self._ends is None:
            self._ends = Ends(every)
        trials = [self._told(trial, self._ends) for trial in every if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def _told(self, trial: FrozenTrial, ends: Ends) -> FrozenTrial:
        if not trial.state.is_finished():
            return trial
        if trial.number not in self._known:
            told = copy.copy(trial)
            told.system_attrs = dict(trial.system_attrs)
            told.set_constraint(CONSTRAINT, excess(trial, self._goal, ends))
            self._known[trial.number] = told
        return self._known[trial.number]


def excess(trial: FrozenTrial, goal: Goal, ends: Ends) -> float:
    """By how much a trial that is over misses a goal; at most 0 where it does not."""
    curve, epochs = trial.user_attrs.get("curve"), trial.user_attrs.get("budget")
    if not curve or not epochs:
        return UNKNOWN
    found = goal.excess(ends(curve[-1]["error"], int(curve[-1]["epoch"]), epochs), epochs)
    return min(found if found < 0 else max(found, 1e-12), UNKNOWN)
