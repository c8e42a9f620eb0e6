"""Early stopping: Ray's schedulers, with a memory of what earlier runs reported."""

import math
from dataclasses import dataclass, field
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from search.run.ledger import ROW, Ledger
from search.study import Study

GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Past:
    """What a scheduler needs of a trial that is over."""

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
        for number, epochs, values in ledger.past():
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
        chosen = (epochs, bracket(number, epochs, self._ledger.study))
        if chosen not in self._inner:
            self._inner[chosen] = scheduler(self._ledger.study, *chosen)
        return self._inner[chosen]

    def _judged(self, trial: Trial, row: dict[str, Any]) -> dict[str, Any]:
        """What is compared."""
        number = trial.config["trial"]["number"]
        return {"epoch": row["epoch"], "value": self._ledger.value(number, {key: row[key] for key in ROW})}

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


def scheduler(study: Study, epochs: int, bracket: int) -> TrialScheduler:
    """Ray's scheduler for trials of `epochs` epochs in a bracket.

    ASHA: Li et al. 2018, https://arxiv.org/abs/1810.05934. Median stopping rule: Golovin et al. 2017, Vizier.
    """
    judged: dict[str, Any] = {"time_attr": "epoch", "metric": "value", "mode": "min"}
    if study.scheduler in ("asha", "hyperband"):
        grace = min(study.grace * study.reduction**bracket, epochs)
        return ASHAScheduler(max_t=epochs, grace_period=grace, reduction_factor=study.reduction, **judged)
    if study.scheduler == "median":
        # Without an infinite slice it would pause a trial whenever another one is still starting.
        return MedianStoppingRule(grace_period=study.grace, **judged, min_time_slice=math.inf)  # type: ignore[arg-type]
    return FIFOScheduler()  # type: ignore[no-untyped-call]


def bracket(number: int, epochs: int, study: Study) -> int:
    """Which bracket a trial belongs to; bracket s leaves its trials alone for grace x reduction^s epochs.

    'asha' has one. 'hyperband' has as many as there are rungs, shared out as in HyperBand (Li et al. 2018,
    https://arxiv.org/abs/1603.06560, algorithm 1), and a trial's own depends on its number alone: Ray's draws it at
    random, so that a resumed search would put the same trial elsewhere.
    """
    if study.scheduler != "hyperband":
        return 0
    halvings = int(math.log(max(1, epochs / study.grace)) / math.log(study.reduction) + 1e-9)
    sizes = [math.ceil((halvings + 1) / (s + 1) * study.reduction**s) for s in range(halvings, -1, -1)]
    place = (number * GOLDEN) % 1 * sum(sizes)
    for chosen, size in enumerate(sizes):
        place -= size
        if place < 0:
            return chosen
    return halvings
