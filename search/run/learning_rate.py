"""The learning rate's schedules: timm's and torch's, set anew for every step from its number alone."""

import warnings
from collections.abc import Callable

from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.multistep_lr import MultiStepLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from search.study import Training

RISE = 0.3
"""Fraction of the training in which a one-cycle schedule rises, where no warm-up says so (torch's own default)."""

START = 25.0
"""A one-cycle schedule begins at this part of its peak (torch's own default)."""


def schedule(optimizer: Optimizer, training: Training, steps: int, epochs: int) -> Callable[[int], object]:
    """What sets an optimiser's learning rate before a step.

    'cosine' falls from the peak to `lr_end` of it (Loshchilov and Hutter 2017), 'step' is multiplied by `decay` at
    each milestone, 'constant' stays; each may be warmed up linearly. 'onecycle' rises and falls by cosines, with
    Adam's first beta falling and rising against it (Smith and Topin 2018).

    Args:
        optimizer: with the peak rate.
        training: which schedule.
        steps: of an epoch.
        epochs: of the whole training.

    Returns:
        To be called with the number of each step, from 0, ascending; the first call may be of any number.
    """
    total = max(1, steps * epochs)
    warmup = min(round(training.warmup * steps), total - 1)
    if training.schedule == "onecycle":
        return _onecycle(optimizer, training, total, warmup)
    common = {"warmup_t": warmup, "warmup_lr_init": training.lr * training.warmup_from, "t_in_epochs": False}
    if training.schedule == "cosine":
        cosine = CosineLRScheduler(
            optimizer, t_initial=total - warmup, lr_min=training.lr * training.lr_end, warmup_prefix=True, **common
        )
        return cosine.step_update  # type: ignore[no-any-return]
    # Milestones count from the very first step, as the published recipes' do.
    # timm's scheduler applies a milestone at the step before it.
    falls = [round(stone * total) + 1 for stone in training.milestones]
    steps_down = MultiStepLRScheduler(
        optimizer, decay_t=falls, decay_rate=training.decay, warmup_prefix=False, **common
    )
    return steps_down.step_update  # type: ignore[no-any-return]


def _onecycle(optimizer: Optimizer, training: Training, total: int, warmup: int) -> Callable[[int], object]:
    """Torch's OneCycleLR; training that goes on steps through what it has behind it (2 s for 100,000 steps)."""
    cycle = OneCycleLR(
        optimizer,
        max_lr=training.lr,
        total_steps=total + 1,
        pct_start=warmup / total if warmup else RISE,
        div_factor=START,
        cycle_momentum=any(name in optimizer.defaults for name in ("betas", "momentum")),
        final_div_factor=1 / (START * max(training.lr_end, 1e-6)),
    )

    def reach(step: int) -> None:
        with warnings.catch_warnings():
            # Before the first step of training that goes on, the optimiser has not been called yet: that is meant.
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            while cycle.last_epoch < step:
                cycle.step()

    return reach
