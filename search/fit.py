"""Training as a generator of epochs: who iterates decides when to stop."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import psutil
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from data.batches import batches
from data.pack import Part
from search.study import Config, Task

State = dict[str, Any]

JUDGED_AT_ONCE = 256
"""Images a validation batch; only memory depends on it."""


class DivergedError(Exception):
    """The loss or the error of a network is no longer a finite number."""


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

    def row(self) -> dict[str, float]:
        """The same as a plain dictionary."""
        return asdict(self)


def fit(
    task: Task,
    config: Config,
    *,
    epochs: int,
    seed: int,
    device: torch.device,
    state: State | None = None,
) -> Iterator[tuple[Epoch, Callable[[], State]]]:
    """Train one network, an epoch at a time.

    Every random source is set anew from (seed, epoch) at the start of an epoch, so that training continued from a
    state gives what training in one go would have given.

    Args:
        task: the data, the loss and the error.
        config: what to train, and how.
        epochs: length of the whole training; the learning rate's schedule spans it.
        seed: of the initial weights, the order of images and their augmentation.
        device: where to train. On a GPU in mixed precision if `config.training.amp`.
        state: go on after the epoch that this was taken after.

    Yields:
        An epoch's measurements, and a function that takes the training's state as tensors and plain numbers
        (to be called before the next epoch is asked for).

    Raises:
        DivergedError: the loss or the error is not finite.
    """
    training, size = config.training, config.arch.size
    split = task.split(size)
    torch.manual_seed(seed)
    net = config.arch.build().to(device).to(memory_format=torch.channels_last)
    optimizer = create_optimizer_v2(net, opt=training.optimizer, lr=training.lr, weight_decay=training.weight_decay)
    ema = ModelEmaV3(net, decay=training.ema, use_warmup=True) if training.ema else None
    half = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported(False) else torch.float16
    amp = training.amp and device.type == "cuda"
    scaler = torch.amp.GradScaler(device.type, enabled=amp and half is torch.float16)
    steps = max(1, len(split.train.rows) // training.batch)
    warmup = round(training.warmup * steps)
    schedule = CosineLRScheduler(
        optimizer,
        t_initial=max(1, epochs * steps - warmup),
        lr_min=training.lr * training.lr_end,
        warmup_t=warmup,
        warmup_lr_init=training.lr / 100,
        warmup_prefix=True,
        t_in_epochs=False,
    )
    first = 1
    if state is not None:
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        if ema is not None:
            ema.load_state_dict(state["ema"])
        first = state["epoch"] + 1

    memory = Memory(device)
    for epoch in range(first, epochs + 1):
        started = time.perf_counter()
        shuffle, random = seeded(seed, epoch, device)
        net.train()
        total = torch.zeros((), device=device)
        images = done = 0
        part = split.train
        for pixels, points in batches(part.pixels, part.rows, part.points, training.batch, device, shuffle):
            schedule.step_update((epoch - 1) * steps + done)
            inputs, targets = task.augment(pixels, points, size, config.augment, random)
            with torch.autocast(device.type, dtype=half, enabled=amp):
                loss, _ = task.loss(
                    net, inputs.contiguous(memory_format=torch.channels_last), targets, training.divergence
                )
            optimizer.zero_grad()
            torch.autograd.backward(scaler.scale(loss))
            if training.clip:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(net.parameters(), training.clip)
            scaler.step(optimizer)
            scaler.update()
            if ema is not None:
                ema.update(net, step=(epoch - 1) * steps + done)
            total += loss.detach()
            images += len(pixels)
            done += 1
            memory.sample()
        train_loss = float(total) / done
        train_seconds = time.perf_counter() - started
        if not np.isfinite(train_loss):
            raise DivergedError(f"the loss became {train_loss} in epoch {epoch} (learning rate {training.lr:g})")
        error, valid_loss = judge(task, net if ema is None else ema.module, config, split.valid, device)
        if not np.isfinite(error):
            raise DivergedError(f"the error became {error} in epoch {epoch} (learning rate {training.lr:g})")

        def taken(epoch: int = epoch) -> State:
            return {
                "epoch": epoch,
                "net": net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scaler": scaler.state_dict(),
                "ema": ema.state_dict() if ema is not None else {},
            }

        yield (
            Epoch(
                epoch=epoch,
                error=error,
                train_loss=train_loss,
                valid_loss=valid_loss,
                lr=optimizer.param_groups[0]["lr"],
                seconds=time.perf_counter() - started,
                train_seconds=train_seconds,
                images=images,
                memory_mb=memory.peak_mb(),
            ),
            taken,
        )


@torch.inference_mode()
def judge(task: Task, net: nn.Module, config: Config, part: Part, device: torch.device) -> tuple[float, float]:
    """The task's error over a whole part, judged once, and the mean loss."""
    net.eval()
    outputs, losses = [], torch.zeros((), device=device)
    for pixels, points in batches(part.pixels, part.rows, part.points, JUDGED_AT_ONCE, device):
        inputs = task.inputs(pixels, config.arch.size).contiguous(memory_format=torch.channels_last)
        loss, answered = task.loss(net, inputs, points, config.training.divergence)
        outputs.append(answered.float())
        losses += loss * len(pixels)
    return task.error(torch.cat(outputs).cpu().numpy(), part.points), float(losses) / len(part.rows)


def seeded(seed: int, epoch: int, device: torch.device) -> tuple[torch.Generator, torch.Generator]:
    """The order's and the augmentation's sources for one epoch; torch's global state is set as well."""
    order, augment, rest = np.random.SeedSequence([seed, epoch]).generate_state(3, np.uint64).tolist()
    torch.manual_seed(rest)
    return torch.Generator().manual_seed(order), torch.Generator(device).manual_seed(augment)


class Memory:
    """The largest memory that a trial held."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = device if device.type == "cuda" else None
        self._process = psutil.Process()
        self._peak = 0
        if self._gpu is not None:
            torch.cuda.reset_peak_memory_stats(self._gpu)

    def sample(self) -> None:
        """Look now. A GPU keeps its own record."""
        if self._gpu is None:
            self._peak = max(self._peak, self._process.memory_info().rss)

    def peak_mb(self) -> float:
        """Megabytes (10^6 bytes)."""
        peak = self._peak if self._gpu is None else torch.cuda.max_memory_allocated(self._gpu)
        return round(peak / 1e6, 1)
