"""What the driver tells its workers: plain data, read without torch."""

from dataclasses import dataclass, field
from typing import Any

from search.variant import Variants

Row = dict[str, float]
"""One epoch's measurements: search.run.fit.Epoch as a dictionary."""

ROW = ("epoch", "error", "train_loss", "valid_loss", "lr", "seconds", "train_seconds", "images", "memory_mb")
"""Its keys."""


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
        teacher: folder of a model (search.after.model) whose answers are learnt beside the true points; None for none.
        study: the teacher's study, by name or file.
        weight: of the teacher's answers in the loss, 0 to 1; the rest is the true points'.
        variants: what is changed in which trial, as search.variant has it; empty for nothing in any.
    """

    teacher: str | None = None
    study: str | None = None
    weight: float = 0.5
    variants: Variants = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker must know beyond the trial itself; the same for a whole search.

    Attributes:
        study: the study's file.
        data: the folder that replaces the task's own; None to leave it.
        folder: the study's folder; training states, answers and pictures are written in it.
        threads: CPU threads a trial.
        final: of a last training; None in a search.
    """

    study: str
    data: str | None
    folder: str
    threads: int
    final: FinalTraining | None = None
