"""Early stopping: Ray's schedulers, with a memory of what earlier runs reported."""

from dataclasses import dataclass, field
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from search.run.cluster.look_ahead import LookAheadScheduler
from search.run.state.ledger import ROW, Ledger
from search.schedulers import LookAhead


@dataclass(frozen=True)
class Past:
    """What Ray's schedulers read of a trial that is over.

    There is no public way to tell them of trials they did not see: pyproject.toml bounds Ray's version, and
    tests/search/test_rungs.py compares what they make of these with what they make of trials of their own.
    """

    trial_id: str
    config: dict[str, Any] = field(compare=False)


class ResumableScheduler(FIFOScheduler):
    """One of Ray's schedulers for each length of training and each bracket.

    Trials are compared with trials of the same length alone, since the learning rate's schedule spans it. What
    finished trials of earlier runs reported is entered before anything runs, so that a resumed search stops what an
    uninterrupted one would have stopped.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger
        self._inner: dict[tuple[int, int], Any] = {}
        self._added: set[str] = set()
        for number, epochs, values in ledger.ranking.past():
            past = Past(f"past-{number}", {"trial": {"number": number, "epochs": epochs}})
            results = [{"epoch": epoch, "value": value} for epoch, value in sorted(values.items())]
            inner = self._of(past)
            inner.on_trial_add(None, past)
            for result in results:
                inner.on_trial_result(None, past, result)
            inner.on_trial_complete(None, past, results[-1])

    def _of(self, trial: Trial | Past) -> Any:
        """The scheduler that decides on a trial."""
        number, epochs = trial.config["trial"]["number"], trial.config["trial"]["epochs"]
        scheduler = self._ledger.study.scheduler
        chosen = (epochs, scheduler.bracket(number, epochs))
        if chosen not in self._inner:
            inner = scheduler.make(*chosen)
            if isinstance(scheduler, LookAhead):
                inner = LookAheadScheduler(self._ledger, scheduler, epochs, inner)
            self._inner[chosen] = inner
        return self._inner[chosen]

    def _judged(self, trial: Trial, row: dict[str, Any]) -> dict[str, Any]:
        """What is compared."""
        number = trial.config["trial"]["number"]
        value = self._ledger.aim(number, {key: row[key] for key in ROW})
        return {"epoch": row["epoch"], "error": row["error"], "value": value}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Called again when a trial's worker died and it begins anew; its curve is entered once."""
        inner = self._of(trial)
        inner.on_trial_add(tune_controller, trial)
        if trial.trial_id in self._added:
            return
        self._added.add(trial.trial_id)
        # Without the last epoch: the earlier run ended before the answer to it was carried out, and the worker
        # hands it over again.
        for row in self._ledger.curves[trial.config["trial"]["number"]][:-1]:
            inner.on_trial_result(tune_controller, trial, self._judged(trial, row))

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:  # noqa: D102
        decision: str = self._of(trial).on_trial_result(tune_controller, trial, self._judged(trial, result))
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:  # noqa: D102
        if "failed" in result:
            self.on_trial_remove(tune_controller, trial)
        else:
            self._of(trial).on_trial_complete(tune_controller, trial, self._judged(trial, result))

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:  # noqa: D102
        self._of(trial).on_trial_remove(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:  # noqa: D102
        self._of(trial).on_trial_error(tune_controller, trial)
