"""The learning rate's schedules, set anew for every step from its number alone."""

import math
import warnings
from collections.abc import Callable

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from search.study import Training

RISE = 0.3
"""Fraction of the training in which a one-cycle schedule rises, where no warm-up says so (torch's own default)."""

START = 25.0
"""A one-cycle schedule begins at this part of its peak (torch's own default)."""


def schedule(optimizer: Optimizer, training: Training, steps: int, epochs: int) -> Callable[[int], None]:
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
    return SHAPES[training.schedule](optimizer, training, total, warmup)


def cosine(optimizer: Optimizer, training: Training, total: int, warmup: int) -> Callable[[int], None]:
    """A linear rise in the first `warmup` of `total` steps, then half a cosine from the peak to `lr_end` of it."""
    peak, last = training.lr, training.lr * training.lr_end

    def fall(step: int) -> float:
        return last + 0.5 * (peak - last) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    return warmed_up(optimizer, training, warmup, fall)


def steps_down(optimizer: Optimizer, training: Training, total: int, warmup: int) -> Callable[[int], None]:
    """A linear rise in the first `warmup` of `total` steps, then the peak, times `decay` from each milestone on."""
    # Milestones count from the very first step, as the published recipes' do.
    falls = [round(stone * total) for stone in training.milestones]

    def fall(step: int) -> float:
        return training.lr * training.decay ** sum(step >= stone for stone in falls)

    return warmed_up(optimizer, training, warmup, fall)


def warmed_up(
    optimizer: Optimizer, training: Training, warmup: int, fall: Callable[[int], float]
) -> Callable[[int], None]:
    """What sets the rate before a step: a line from `warmup_from` of the peak to it, then what `fall` says."""
    first = training.lr * training.warmup_from

    def reach(step: int) -> None:
        rate = first + step * ((training.lr - first) / warmup) if step < warmup else fall(step)
        for group in optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # a recorded step reads it there
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    return reach


def one_cycle(optimizer: Optimizer, training: Training, total: int, warmup: int) -> Callable[[int], None]:
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


SHAPES = {"cosine": cosine, "step": steps_down, "constant": steps_down, "onecycle": one_cycle}
"""By the names of `search.study.SCHEDULES`."""
