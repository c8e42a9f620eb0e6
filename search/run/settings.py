"""What the driver tells its workers: plain data, read without torch."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from search.variant import Variants


@dataclass(frozen=True)
class Epoch:
    """What one epoch measured.

    Attributes:
        epoch: 1 for the first.
        error: over the whole validation set, in the task's unit.
        train_loss: mean over the epoch's steps.
        valid_loss: mean over the validation set.
        lr: the learning rate of the last step.
        seconds: training and judging together.
        train_seconds: training alone.
        images: images trained on.
        memory_mb: largest memory of the trial so far; on a GPU what torch allocated there, on a CPU the
            process's resident memory, sampled after every step.
        gpu_mb: GPU memory that the process holds at the epoch's end; None on a CPU.
        gpu_use: how busy that card was, its other programs included, mean of the epoch [%]; None on a CPU, or where its
            driver does not say.
    """

    epoch: int
    error: float
    train_loss: float
    valid_loss: float
    lr: float
    seconds: float
    train_seconds: float
    images: int
    memory_mb: float
    gpu_mb: float | None = None
    gpu_use: float | None = None

    def row(self) -> Row:
        """The same as a plain dictionary, without what is not known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


Row = dict[str, float]
"""An `Epoch` as a dictionary."""

ROW = tuple(field.name for field in fields(Epoch) if field.default is MISSING)
"""Its keys."""

ON_GPU = ("gpu_mb", "gpu_use")
"""Those that it has beside them on a GPU."""

CLEAN_ERROR, CLEAN_LOSS = "clean_error", "clean_loss"
"""What some rows of a final training's curve have beside them, see search.run.training.clean."""


Owner = dict[str, str | int | None]
"""Whose a trial's training state is: 'study' (its id; None in a study begun before there were any), 'trial' (the
number) and 'config' (the digest of its configuration)."""


@dataclass(frozen=True)
class TrialAssignment:
    """A trial to train.

    Attributes:
        number: the trial's number in the study.
        params: what was sampled.
        config: its configuration, as search.config_record keeps it.
        owner: whose its files are; see `Owner`.
        seed: of its training.
        epochs: length of its training.
        last: what its last epoch measured in an earlier run; None for a fresh trial.
    """

    number: int
    params: dict[str, Any]
    config: dict[str, Any]
    owner: Owner
    seed: int
    epochs: int
    last: Row | None


@dataclass(frozen=True)
class FinalTraining:
    """How a last training differs from a trial's.

    Attributes:
        teacher: configuration of a network whose answers are learnt beside the true points, as search.config_record
            keeps it; None for none.
        weights: the teacher's, a .safetensors file.
        study: the teacher's study, by name or file; None where its configuration needs none.
        weight: of the teacher's answers in the loss, 0 to 1; the rest is the true points'.
        variants: what is changed in which trial, as search.variant has it; empty for nothing in any.
        clean: whether the error on training images without augmentation is measured now and then, see
            search.run.training.clean.
    """

    teacher: dict[str, Any] | None = None
    weights: str = ""
    study: str | None = None
    weight: float = 0.5
    variants: Variants = field(default_factory=dict)
    clean: bool = False


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker must know beyond the trial itself; the same for a whole search.

    Attributes:
        study: the study's file.
        data: the folder that replaces the task's own; None to leave it.
        folder: the study's folder; training states, answers and pictures are written in it.
        threads: CPU threads a trial.
        final: of a last training; None in a search.
        token: of the driver, by which a worker on another machine knows the folder again, and the actor that keeps it;
            None where all is on one machine.
    """

    study: str
    data: str | None
    folder: str
    threads: int
    final: FinalTraining | None = None
    token: str | None = None
