"""A study: a task, a space to search, and how long to search it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from data.task import Task as Task
from models.plan import Architecture as Architecture
from models.readings import FLOPS, PARAMS, Reading
from search.format import range_text
from search.gate import Gate
from search.objective import CourseScore, Objective
from search.samplers import KnownCost
from search.schedulers import Asha, Scheduler

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import BaseTrial

    Space = Callable[[BaseTrial, Any], "Config"]
    """Turns an Optuna trial and the study's task into a Config; pure."""


SCHEDULES = ("cosine", "step", "onecycle", "constant")


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        lr: peak learning rate, above 0.
        batch: images a step, at least 2 (BatchNorm needs two).
        optimizer: a name that timm's create_optimizer_v2 knows.
        weight_decay: at least 0; biases and BatchNorm are left out.
        betas: of Adam and its kin; None for the optimiser's own.
        schedule: of the learning rate: 'cosine', 'step', 'onecycle' or 'constant'; see
            search.run.training.learning_rate.
        lr_end: 'cosine' and 'onecycle' end at this fraction of `lr`; 1 keeps a cosine constant.
        milestones: 'step': where the rate falls, as ascending fractions of the whole training, so that a short trial
            falls where the full training does.
        decay: 'step': what the rate is multiplied by at each milestone.
        warmup: epochs in which the rate rises linearly; of 'onecycle' the rise itself, 0 for 0.3 of the training.
        warmup_from: the fraction of `lr` that a warm-up begins at.
        ema: decay of the running mean of the weights that is judged instead of them; 0 for none.
        clip: the largest norm of a step's gradient; 0 for no limit.
        loss: one of the task's; empty for its first.
        divergence: weight of the head's distribution loss beside the loss on points.
        weights: pre-trained ones to begin with: a file, 'timm' for what timm has in this machine's cache, or empty.
        amp: mixed precision on a GPU (bfloat16 where the card has it, else float16 with a scaled loss).
    """

    lr: float
    batch: int = 64
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    betas: tuple[float, float] | None = None
    schedule: Literal["cosine", "step", "onecycle", "constant"] = "cosine"
    lr_end: float = 0.01
    milestones: tuple[float, ...] = ()
    decay: float = 0.1
    warmup: float = 0.0
    warmup_from: float = 0.01
    ema: float = 0.0
    clip: float = 0.0
    loss: str = ""
    divergence: float = 0.0
    weights: str = ""
    amp: bool = True

    def __post_init__(self) -> None:
        falls = self.milestones
        for name, is_valid, wanted in (
            ("lr", self.lr > 0, "above 0"),
            ("batch", self.batch >= 2, "at least 2"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("schedule", self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
            ("lr_end", 0 <= self.lr_end <= 1, "from 0 to 1"),
            (
                "milestones",
                all(0 < fall < 1 for fall in falls) and list(falls) == sorted(falls),
                "ascending in 0..1",
            ),
            ("milestones", bool(falls) == (self.schedule == "step"), "given for the schedule 'step' and no other"),
            ("decay", 0 < self.decay <= 1, "above 0, at most 1"),
            ("warmup", self.warmup >= 0, "at least 0"),
            ("warmup_from", 0 <= self.warmup_from <= 1, "from 0 to 1"),
            ("ema", 0 <= self.ema < 1, "from 0 to below 1"),
            ("clip", self.clip >= 0, "at least 0"),
            ("divergence", self.divergence >= 0, "at least 0"),
        ):
            if not is_valid:
                raise ValueError(f"Training.{name} must be {wanted}, not {getattr(self, name)!r}")


def _no_augment() -> Any:
    from data.transforms.augment import Augment

    return Augment()


@dataclass(frozen=True)
class Config:
    """One trial: an architecture, how it is trained, and what happens to its images, as the task understands it."""

    arch: Architecture
    training: Training
    augment: Any = field(default_factory=_no_augment)


def replay(study: Study, params: Mapping[str, Any]) -> tuple[Config, dict[str, Any]]:
    """Rebuild a Config from recorded parameters, and which ranges the space gave each of those it asked for.

    Raises:
        ValueError: the space asks for a parameter that is missing, or one is outside its range.
    """
    import warnings

    from optuna.trial import FixedTrial, create_trial

    trial = FixedTrial(dict(params))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Optuna warns of what is an error here
        config = study.space(trial, study.task)
    for name, distribution in trial.distributions.items():
        try:
            create_trial(params={name: params[name]}, distributions={name: distribution}, value=0.0)
        except ValueError as error:
            raise ValueError(f"{name} = {params[name]!r} is outside {range_text(distribution)}") from error
    return config, trial.distributions


def tpe(seed: int) -> BaseSampler:
    """Optuna's default sampler: ten random trials, then tree-structured Parzen estimators."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed)


@dataclass(frozen=True)
class Study:
    """A search, complete.

    Attributes:
        task: what is learnt.
        space: turns an Optuna trial and the task into a Config; pure, so that a trial's parameters alone rebuild it.
        trials: how many finished trials the study is to have, at least 1.
        epochs: length of a full trial, at least 1.
        starts: named parameters to try before anything is sampled.
        published: named parameters of recipes that others published; tried where the command asks for them.
        changes: named changes of a configuration that an ablation tries beside its own, as search.variant has them.
        objective: what is minimised.
        readings: what is known of each network before it is trained, and kept with its trial.
        bounds: the largest readings to train with, by their names; a dearer sample is refused untrained.
        sampler: one of search.samplers, which know the study; or makes one of Optuna's from a seed, such as `tpe`.
            It is called anew for every trial, so that a resumed search samples what an uninterrupted one would have; a
            sampler that must keep one seed ignores its argument.
        scheduler: when a trial is stopped early.
        seed: of everything random.
        gpus: GPUs a trial, a fraction to share one; used where there are GPUs.
        keep: how many finished trials keep their weights.
        final_epochs: length of the last training, `posefront retrain`; 0 for five times `epochs`.
        under: the goal: the smallest objective among trials whose error, fully trained, is below this, in the task's
            unit; None for the smallest objective of all.
        gate: refuses what is too dear to be the best, untrained; None for none.

    Raises:
        ValueError: a number is out of its range, or a bound is on something that is not read.
        TypeError: the scheduler is none of search.schedulers.
    """

    task: Task
    space: Space
    trials: int
    epochs: int
    starts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    objective: Objective = CourseScore()
    readings: tuple[Reading, ...] = (PARAMS, FLOPS)
    bounds: Mapping[str, float] = field(default_factory=dict)
    sampler: Callable[[int], BaseSampler] | KnownCost = KnownCost()
    scheduler: Scheduler = Asha()
    seed: int = 0
    gpus: float = 1.0
    keep: int = 3
    final_epochs: int = 0
    under: float | None = None
    gate: Gate | None = None

    def __post_init__(self) -> None:
        names = [reading.name for reading in self.readings]
        if isinstance(self.scheduler, str):
            raise TypeError(
                f"Study.scheduler is now an object with its numbers, not {self.scheduler!r}: write Asha(grace=3), or "
                "another of search.schedulers"
            )
        for name, is_valid, wanted in (
            ("space", callable(self.space), "a function of a trial and the task"),
            ("trials", self.trials >= 1, "at least 1"),
            ("epochs", self.epochs >= 1, "at least 1"),
            (
                "sampler",
                callable(self.sampler) or isinstance(self.sampler, KnownCost),
                "a function that makes a sampler from a seed, or one of search.samplers",
            ),
            ("scheduler", hasattr(self.scheduler, "make"), "one of search.schedulers, e.g. Asha(grace=3)"),
            ("readings", len(set(names)) == len(names), "of different names"),
            ("bounds", set(self.bounds) <= set(names), f"on readings of the study: {', '.join(names)}"),
            ("bounds", all(bound > 0 for bound in self.bounds.values()), "above 0"),
            ("gpus", self.gpus >= 0, "at least 0"),
            ("keep", self.keep >= 0, "at least 0"),
            ("final_epochs", self.final_epochs >= 0, "at least 0"),
            ("under", self.under is None or 0 < self.under < math.inf, "an error above 0"),
        ):
            if not is_valid:
                raise ValueError(f"Study.{name} must be {wanted}, not {getattr(self, name)!r}")

    @property
    def full_epochs(self) -> int:
        """Length of the last training."""
        return self.final_epochs or 5 * self.epochs
