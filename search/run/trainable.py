"""Ray's side of a worker. It imports no torch: the driver, which needs the class alone, does so when it must."""

from collections.abc import Iterator
from typing import Any

import ray
from ray import tune

from search.run.settings import TrialAssignment, WorkerSettings


class Worker(tune.Trainable):
    """Trains one trial after another in a process that lives as long as the search."""

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

            from search.run.worker import work

            device = torch.device("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")
            self._rows = work(self._settings, trial, device)
        row = next(self._rows)
        if "failed" in row:
            return {**row, "done": True}
        return {**row, "length": trial.epochs, "done": row["epoch"] >= trial.epochs}
