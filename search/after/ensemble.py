"""One trial's configuration trained once a fold, and the predictions of all folds' models together.

OUT/STUDY/folds/NNNNNN-EPOCHS/     storage, states, answers of the folds of trial NNNNNN
OUT/STUDY/ensembles/NNNNNN-EPOCHS/ ensemble.json, and a model of search.after.model in fold-0, fold-1, ...
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from data.errors import UserError
from data.storage.files import replacing
from search.after import model
from search.after.training import FixedTraining, SearchedTrial
from search.variant import PARAMETER, Variants, vary_task

if TYPE_CHECKING:
    import torch

    from data.storage.pack import Part
    from search.study import Task

FACTS = "ensemble.json"

Array = np.ndarray[Any, np.dtype[Any]]


@runtime_checkable
class Predicting(Protocol):
    """A task with a test part that networks are to answer for. The test part is opened here and nowhere else."""

    def test_part(self, folder: Path, size: Any) -> Any:
        """The test part below the data set's folder: a Part whose targets are unknown, and what else `table` needs.

        Raises:
            UserError: it is missing or broken.
        """

    def answer(self, net: Any, inputs: torch.Tensor) -> torch.Tensor:
        """What a network answers for a batch of inputs, as `loss` gives it where the truth is known."""

    def table(self, folder: Path, outputs: Sequence[Array], part: Any, like: Path | None) -> str:
        """What the networks of folds 0, 1, ... answer for the test part, put together, as the csv that is asked for.

        Raises:
            UserError: the sample does not fit the test part.
        """


def folds_of(task: Task) -> Variants:
    """A variant a fold.

    Raises:
        UserError: the task has no folds.
    """
    folds = getattr(task, "folds", 0)
    if folds < 2 or not hasattr(task, "fold"):
        raise UserError(f"{type(task).__name__} has no folds to train a model each on.")
    return {f"fold {fold}": {"task.fold": fold} for fold in range(folds)}


def predicting(task: Task) -> Predicting:
    """The task, if it has a test part.

    Raises:
        UserError: it has none.
    """
    if not isinstance(task, Predicting):
        raise UserError(f"{type(task).__name__} has no test part to predict.")
    return task


def folds_training(source: SearchedTrial, epochs: int) -> FixedTraining:
    """A trial's training in folds of so many epochs each.

    Raises:
        UserError: the task has no folds.
    """
    folder = source.folder / "folds" / f"{source.trial.number:06d}-{epochs}"
    return FixedTraining(source, folder, epochs, 1, "in folds", folds_of(source.study.task))


def ensemble_folder(training: FixedTraining) -> Path:
    """The folder of the ensemble of a trial's training in folds."""
    return training.source.folder / "ensembles" / training.folder.name


def finish(training: FixedTraining) -> list[model.Facts]:
    """Keep a model a fold, each judged on the part that it did not see, and the folds' errors together.

    Raises:
        UserError: a fold did not come to its end.
    """
    ended = set(training.ledger.best(training.ledger.finished))  # one that failed half-way has left its state, too
    numbers = {
        trial.params[PARAMETER]: [number] if number in ended else [] for number, trial in training.trials().items()
    }
    source = training.source
    target = ensemble_folder(training)
    facts = []
    for place, (variant, change) in enumerate(training.variants.items()):
        task = vary_task(source.study.task, change)
        facts.append(training.save_best(task, training.judge(task, numbers[variant]), target / f"fold-{place}"))
    errors = [fold.error for fold in facts]
    record = {
        "study": source.name,
        "trial": source.trial.number,
        "metric": source.study.task.metric,
        "unit": source.study.task.unit,
        "errors": errors,
        "mean": statistics.mean(errors),
        "deviation": statistics.stdev(errors),
    }
    with replacing(target / FACTS) as half:
        half.write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")
    return facts


def predict(training: FixedTraining, like: Path | None) -> str:
    """The csv for the test part: every fold's network answers it, and the task puts their answers together.

    It follows `like`, the organiser's sample csv, where there is one.

    Raises:
        UserError: the task has no test part, or it is missing or broken.
    """
    study = training.source.study
    task = predicting(study.task)
    device = model.best_device()
    root: Path = task.folder()  # type: ignore[attr-defined]
    target = ensemble_folder(training)
    outputs: list[Array] = []
    part: Any = None
    for place, change in enumerate(training.variants.values()):
        loaded = model.load(target / f"fold-{place}", study)
        size = loaded.config.arch.size
        part = part or task.test_part(root, size)
        outputs.append(answer(vary_task(study.task, change), loaded.net.to(device), part, size, device))
    return task.table(root, outputs, part, like)


def answer(task: Any, net: torch.nn.Module, part: Part, size: Any, device: torch.device) -> Array:
    """What a network answers for a part without truth, float32 (N, ...)."""
    import torch

    from data.storage.batches import batches
    from search.run.training.fit import JUDGED_AT_ONCE

    net.eval()
    empty = np.zeros(len(part.rows), np.float32)
    outputs = []
    with torch.inference_mode():
        for pixels, _ in batches(part.pixels, part.rows, empty, JUDGED_AT_ONCE, device):
            inputs = task.inputs(pixels, size).contiguous(memory_format=torch.channels_last)
            outputs.append(task.answer(net, inputs).float())
    answers: Array = torch.cat(outputs).cpu().numpy()
    return answers
