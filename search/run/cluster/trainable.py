"""Ray's side of a worker. It imports no torch: the driver, which needs the class alone, does so when it must."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import ray
from ray import tune

from search.run.settings import TrialAssignment, WorkerSettings
from search.run.training.home import Away, Home, is_seen


def home_of(settings: WorkerSettings) -> Home:
    """Where this process's files belong."""
    folder, token = Path(settings.folder), settings.token
    if token is None or is_seen(folder, token):
        return Home(folder)
    keeper, wait = ray.get_actor(token), cast("Any", ray.get)
    return Away(lambda *asked: wait(keeper.begin.remote(*asked)), lambda *sent: wait(keeper.write.remote(*sent)))


class Worker(tune.Trainable):
    """Trains one trial after another in a process that lives as long as the search."""

    _home: Home | None = None

    def setup(self, config: dict[str, Any]) -> None:  # noqa: D102
        self._assignment = config["trial"]
        self._settings: WorkerSettings = config["settings"]
        self._rows: Iterator[dict[str, Any]] | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:  # noqa: D102
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """One epoch."""
        trial = TrialAssignment(**self._assignment)
        if self._rows is None:
            import torch

            from search.run.training.worker import work

            device = torch.device("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")
            self._home = self._home or home_of(self._settings)
            self._rows = work(self._settings, trial, device, self._home)
        row = next(self._rows)
        if "failed" in row:
            return {**row, "done": True}
        return {**row, "length": trial.epochs, "done": row["epoch"] >= trial.epochs}
