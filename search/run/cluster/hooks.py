"""What Ray calls in a search: each hook hands on to the ledger, and keeps nothing of its own."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from search.run.attachments import Attachments
from search.run.cluster.start import Devices
from search.run.settings import ON_GPU, ROW
from search.run.state.ledger import Ledger

RESTARTS = 2
"""How often a trial whose worker died is begun again from its last state; then it has failed."""


class SearchRun:
    """What Ray's hooks share in one search."""

    def __init__(
        self,
        ledger: Ledger,
        attachments: Attachments,
        states: Path,
        devices: Devices,
        stop: Callable[[], str],
        began: float,
        hours: float | None,
        watch: Callable[[], None],
    ) -> None:
        self.ledger, self.states, self.devices, self.watch = ledger, states, devices, watch
        self._attachments = attachments
        self.trouble: BaseException | None = None
        self.why = ""
        self._stop, self._began = stop, began
        self._deadline = None if hours is None else time.monotonic() + hours * 3600
        self._first = self._last = time.monotonic()
        self.trained_s = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its hooks into snapshots, which are not used."""
        return {}

    def ending(self) -> bool:
        """Whether no more training is wanted."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            self.why = self.why or "time"
        self.why = self.why or self._stop()
        return self.trouble is not None or bool(self.why)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Bring what the ledger raises out of Ray, which would wrap it or go on without it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again by engine.search()
            self.trouble = self.trouble or error

    def record(self, number: int, result: dict[str, Any]) -> None:
        """Enter one result of a worker."""
        self.ledger.check()
        self._last = time.monotonic()
        if "failed" in result:
            self.ledger.fail(number, result["failed"])
        else:
            row = {key: result[key] for key in ROW} | {key: result[key] for key in ON_GPU if key in result}
            if not self.trained_s:
                self._first = self._last - row["seconds"]
            self.trained_s += row["seconds"]
            self.ledger.place(number, f"{result['hostname']} {result['pid']}")
            self.ledger.report(number, row)
            if row["epoch"] >= result["length"]:
                self._attachments.finish(number)
                self.ledger.finish(number)
            elif result["done"]:
                self.ledger.stop(number)
        if number not in self.ledger.running:
            self.tidy()
            self._attachments.keep_up()

    def tidy(self) -> None:
        """Keep the weights of the best few and of those in training."""
        from search.run.training import checkpoint

        checkpoint.keep_only(self.states, {*self.ledger.best(self.ledger.study.keep), *self.ledger.running})

    @property
    def startup_s(self) -> float:
        """Seconds until the first epoch of training began."""
        return self._first - self._began

    @property
    def search_s(self) -> float:
        """Seconds from then until the last result."""
        return self._last - self._first


class LedgerSearcher(Searcher):
    """Hands trials from the ledger to Ray."""

    def __init__(self, run: SearchRun) -> None:
        super().__init__()
        self._run = run

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # noqa: ARG002
        """The next trial, None while every worker is busy, or 'FINISHED'."""
        run = self._run
        if len(run.ledger.running) >= run.devices.workers:
            return None  # Ray asks ahead; a sample is best taken when the results before it are in
        with run.guarded():
            trial = None if run.ending() else run.ledger.ask()
            if trial is not None:
                return {"trial": asdict(trial)}
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the last report of a trial reaches a callback alone."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


class LedgerCallback(tune.Callback):
    """Hands results from Ray to the ledger. Unlike a Searcher, a callback is told of a trial's last one too."""

    def __init__(self, run: SearchRun) -> None:
        self._run = run

    def on_trial_result(self, *, trial: Trial, result: dict[str, Any], **_: Any) -> None:  # type: ignore[override]
        """One epoch, or the end of a trial that cannot go on."""
        with self._run.guarded():
            self._run.record(trial.config["trial"]["number"], result)

    def on_trial_error(self, *, trial: Trial, **_: Any) -> None:  # type: ignore[override]
        """A trial whose worker died too often."""
        reason = f"its worker died {RESTARTS + 1} times: {trial.get_pickled_error() or trial.get_error()}"
        with self._run.guarded():
            self._run.record(trial.config["trial"]["number"], {"failed": reason})

    def on_step_end(self, **_: Any) -> None:  # type: ignore[override]
        """Several times a second."""
        with self._run.guarded():
            self._run.ledger.check()
        self._run.watch()


class Stopper(tune.Stopper):
    """Ends the search, never a single trial."""

    def __init__(self, run: SearchRun) -> None:
        self._run = run

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def stop_all(self) -> bool:
        """Whether no more training is wanted."""
        return self._run.ending()
