"""Ray's scheduler of `search.schedulers.LookAhead`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.forecast import forecast
from search.run.state.ledger import Ledger
from search.schedulers import LookAhead
from search.target import ended, target


class LookAheadScheduler(FIFOScheduler):
    """Stops what another scheduler stops, and what is unlikely to be the best.

    What it decides itself follows from the curves in the study's storage alone, in any order, so that a resumed search
    stops what an uninterrupted one would have stopped. Why a trial was stopped is kept with it.

    Args:
        ledger: of the study.
        settings: numbers.
        epochs: length of the trials.
        first: the other one; it is told of everything.
    """

    def __init__(self, ledger: Ledger, settings: LookAhead, epochs: int, first: TrialScheduler) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger, self._settings, self._epochs, self._first = ledger, settings, epochs, first

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:  # noqa: D102
        self._first.on_trial_add(tune_controller, trial)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:  # noqa: D102
        self._first.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:  # noqa: D102
        self._first.on_trial_remove(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:  # noqa: D102
        self._first.on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Whether a trial goes on; nobody asks that of an earlier run's results, which have no 'error'."""
        decision: str = self._first.on_trial_result(tune_controller, trial, result)
        number, epoch = trial.config["trial"]["number"], result["epoch"]
        self._ledger.reasons.pop(number, None)
        if number not in self._ledger.readings or epoch >= self._epochs:
            return decision
        complete = self._complete()
        has_begun = len(complete) >= self._settings.enough
        reason = ""
        if decision == TrialScheduler.STOP and (self._settings.asha or not has_begun):
            reason = f"not among the best 1 in {self._settings.reduction} after epoch {epoch}"
        elif has_begun and epoch in self._settings.looks(self._epochs):
            reason = self._unlikely(complete, number, epoch, result["error"])
        if not reason:
            return TrialScheduler.CONTINUE
        self._ledger.reasons[number] = reason
        return TrialScheduler.STOP

    def _complete(self) -> Sequence[FrozenTrial]:
        """Trials of this length that had all their epochs."""
        complete = self._ledger.optuna_study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [
            trial
            for trial in complete
            if trial.user_attrs["budget"] == self._epochs == len(trial.user_attrs.get("curve", ()))
        ]

    def _unlikely(self, complete: Sequence[FrozenTrial], number: int, epoch: int, error: float) -> str:
        """Why a trial is to be stopped; empty where it goes on."""
        study = self._ledger.study
        finished = ended(study, complete)
        goal = target(study, finished, self._ledger.ranking.goal)
        needed = goal.needed_error(study.objective, self._ledger.readings[number])
        then = [float(trial.user_attrs["curve"][epoch - 1]["error"]) for trial in complete]
        probability = forecast(then, [last for _, last in finished], error).probability_below(needed)
        if not probability < self._settings.probability:  # what cannot be told goes on
            return ""
        unit = f" {study.task.unit}".rstrip()
        bar = f"{needed:.4g}{unit}" if needed > 0 else "any error"
        best = f"{goal.value:.4g}" if math.isfinite(goal.value) else "not below the goal"
        return (
            f"{probability:.2g} is the probability that it ends below {bar}, as it must to be the best; it had "
            f"{error:.4g}{unit} after epoch {epoch}, and the best of {len(complete)} finished trials {best}"
        )
