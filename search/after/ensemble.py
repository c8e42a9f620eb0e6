"""One trial's configuration trained once a fold, and the predictions of all folds' models together.

OUT/STUDY/folds/NNNNNN-EPOCHS/     storage, states, answers of the folds of trial NNNNNN
OUT/STUDY/ensembles/NNNNNN/        ensemble.json, and a model of search.after.model in fold-0, fold-1, ...
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from data.errors import UserError
from data.storage.batches import batches
from data.storage.files import replacing
from data.storage.pack import Part
from search.after import model, retrain
from search.results.leaderboard import Entry
from search.run.fit import JUDGED_AT_ONCE
from search.run.ledger import Ledger
from search.run.settings import FinalTraining
from search.study import Study, Task
from search.variant import PARAMETER, Variants, vary_task

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


def variants_of(task: Task) -> Variants:
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


def room_of(folder: Path, number: int, epochs: int) -> Path:
    """The folder of the folds' training."""
    return folder / "folds" / f"{number:06d}-{epochs}"


def folder_of(folder: Path, number: int) -> Path:
    """The folder of the ensemble."""
    return folder / "ensembles" / f"{number:06d}"


def finish(
    ledger: Ledger, study: Study, room: Path, folder: Path, name: str, entry: Entry, final: FinalTraining
) -> list[model.Facts]:
    """Keep a model a fold, each judged on the part that it did not see, and the folds' errors together.

    Args:
        ledger: of the folds' training.
        study: the search's.
        room: of the folds' training.
        folder: of the study.
        name: of the study.
        entry: the trial.
        final: how it was trained, its variants the folds.

    Raises:
        UserError: a fold did not come to its end.
    """
    ended = set(ledger.best(ledger.finished))  # one that failed half-way has left its state, too
    numbers = {
        trial.params[PARAMETER]: [trial.number] if trial.number in ended else []
        for trial in ledger.optuna_study.get_trials(deepcopy=False)
    }
    target = folder_of(folder, entry.number)
    facts = []
    for place, (variant, change) in enumerate(final.variants.items()):
        own = replace(study, task=vary_task(study.task, change))
        judged = retrain.judge_all(ledger, room, own, entry, numbers[variant])
        facts.append(retrain.keep(ledger, own, judged, target / f"fold-{place}", name, entry, final))
    errors = [one.error for one in facts]
    said = {
        "study": name,
        "trial": entry.number,
        "metric": study.task.metric,
        "unit": study.task.unit,
        "errors": errors,
        "mean": statistics.mean(errors),
        "deviation": statistics.stdev(errors),
    }
    with replacing(target / FACTS) as half:
        half.write_text(json.dumps(said, indent=1), encoding="utf-8")
    return facts


def predict(
    study: Study, facts: Sequence[model.Facts], target: Path, file: str, data: Path | None, like: Path | None
) -> str:
    """The csv for the test part: every fold's network answers it, and the task puts their answers together.

    Args:
        study: whose task has a test part.
        facts: of the folds' models.
        target: the ensemble's folder.
        file: of the study.
        data: replaces the task's folder.
        like: the organiser's sample csv, to follow.

    Raises:
        UserError: the task has no test part, or it is missing or broken.
    """
    task = predicting(study.task)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    root: Path = task.folder()  # type: ignore[attr-defined]
    outputs: list[Array] = []
    part: Any = None
    for place in range(len(facts)):
        found = model.load(target / f"fold-{place}", file, data)
        size = found.config.arch.size
        part = part or task.test_part(root, size)
        own = replace(task, fold=place)  # type: ignore[type-var]
        outputs.append(answered(own, found.net.to(device), part, size, device))
    return task.table(root, outputs, part, like)


@torch.inference_mode()
def answered(task: Any, net: torch.nn.Module, part: Part, size: Any, device: torch.device) -> Array:
    """What a network answers for a part without truth, float32 (N, ...)."""
    net.eval()
    empty = np.zeros(len(part.rows), np.float32)
    outputs = []
    for pixels, _ in batches(part.pixels, part.rows, empty, JUDGED_AT_ONCE, device):
        inputs = task.inputs(pixels, size).contiguous(memory_format=torch.channels_last)
        outputs.append(task.answer(net, inputs).float())
    return torch.cat(outputs).cpu().numpy()
