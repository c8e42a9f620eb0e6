"""Training as a generator of epochs: who iterates decides when to stop."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch
from torch import nn

from data.storage.batches import batches
from data.storage.pack import Part
from search.network import build
from search.run.settings import Epoch as Epoch
from search.run.training.graph import GraphedStep, Step
from search.run.training.update import Update
from search.study import Config, Task

State = dict[str, Any]
Array = np.ndarray[Any, np.dtype[Any]]

TINY = 1e-8
"""Keeps a distance's gradient finite where it is nothing: a ten-thousandth of a side, squared."""

JUDGED_AT_ONCE = 256
"""Images a validation batch; only memory depends on it."""

LOOK_S = 0.5
"""Seconds between two looks at how busy a GPU is."""


class DivergedError(Exception):
    """The loss or the error of a network is no longer a finite number."""


class Reached(NamedTuple):
    """What one epoch came to.

    Attributes:
        epoch: its measurements.
        take: takes the training's state as tensors and plain numbers; to be called before the next epoch is asked for.
        outputs: what the network answered for the validation part, float32 (N, ...), in the part's order.
        judge: what the same weights answer for another part, and the mean loss; to be called as `take` is.
    """

    epoch: Epoch
    take: Callable[[], State]
    outputs: Array
    judge: Callable[[Part], tuple[Array, float]]


class Teacher(NamedTuple):
    """A trained network whose answers are learnt beside the true points (distillation, Hinton et al. 2015).

    Attributes:
        net: in evaluation mode, on the training's device.
        size: of its input, pixels.
        weight: of its answers in the loss, 0 to 1.
    """

    net: nn.Module
    size: Any
    weight: float


def fit(
    task: Task,
    config: Config,
    *,
    epochs: int,
    seed: int,
    device: torch.device,
    state: State | None = None,
    teacher: Teacher | None = None,
) -> Iterator[Reached]:
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
        teacher: a network to learn from beside the data.

    Yields:
        What each epoch came to.

    Raises:
        DivergedError: the loss or the error is not finite.
    """
    split = task.split(config.arch.size)
    # A teacher sees its own, larger inputs: both are made from images that are large enough for either.
    part = split.train if teacher is None else task.split(larger(config.arch.size, teacher.size)).train
    learner = Learner(task, config, part, epochs=epochs, seed=seed, device=device, teacher=teacher)
    if state is not None:
        learner.load(state)
    memory = Memory(device)
    reached = state["epoch"] if state is not None else 0
    for epoch in range(reached + 1, epochs + 1):
        yield learner.run_epoch(epoch, split.valid, memory)


class Learner:
    """A network in training, with everything that training changes."""

    def __init__(
        self,
        task: Task,
        config: Config,
        part: Part,
        *,
        epochs: int,
        seed: int,
        device: torch.device,
        teacher: Teacher | None = None,
    ) -> None:
        """Freshly initialised; `part` is what it learns from, the rest as for `fit`."""
        training = config.training
        self._teacher = teacher
        self._task, self._config, self._part, self._seed, self._device = task, config, part, seed, device
        torch.manual_seed(seed)
        self.net = build(config).to(device).to(memory_format=torch.channels_last)
        on_gpu = device.type == "cuda"
        self._half = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported(False) else torch.float16
        self._amp = training.amp and on_gpu
        self._steps = max(1, len(part.rows) // training.batch)
        self._update = Update(self.net, training, self._steps, epochs, self._half if self._amp else None)
        self._random = torch.Generator(device)
        self._step: Step = self._whole if self._update.is_recordable else self._gradients
        if on_gpu and teacher is None:
            self._step = GraphedStep(self._step, self._update.clear, self._less)

    @property
    def judged(self) -> nn.Module:
        """The network that is judged: the running mean of the weights where one is kept."""
        return self.net if self._update.ema is None else self._update.ema.module

    @property
    def is_recorded(self) -> bool:
        """Whether steps are replayed from a recording."""
        return isinstance(self._step, GraphedStep) and self._step.is_replayed

    def state(self, epoch: int) -> State:
        """Everything needed to go on after `epoch`; it shares memory with the network."""
        return {"epoch": epoch, "net": self.net.state_dict(), **self._update.state()}

    def load(self, state: State) -> None:
        """Be as the network was when `state` was taken."""
        self.net.load_state_dict(state["net"])
        self._update.load(state)

    def run_epoch(self, epoch: int, valid: Part, memory: "Memory") -> Reached:
        """Train for one epoch, and judge on the validation part.

        Raises:
            DivergedError: the loss or the error is not finite.
        """
        started = time.perf_counter()
        train_loss, images = self.train(epoch, memory.sample)
        train_seconds = time.perf_counter() - started
        self._check_finite("loss", train_loss, epoch)
        answer = partial(judge, self._task, self.judged, self._config, device=self._device)
        outputs, valid_loss = answer(valid)
        error = self._task.error(outputs, valid)
        self._check_finite("error", error, epoch)
        measured = Epoch(
            epoch=epoch,
            error=error,
            train_loss=train_loss,
            valid_loss=valid_loss,
            lr=self._update.lr,
            seconds=time.perf_counter() - started,
            train_seconds=train_seconds,
            images=images,
            memory_mb=memory.peak_mb(),
            gpu_mb=memory.held_mb(),
            gpu_use=memory.busy(),
        )
        return Reached(measured, partial(self.state, epoch), outputs, answer)

    def _check_finite(self, what: str, value: float, epoch: int) -> None:
        if not np.isfinite(value):
            peak = self._config.training.lr
            raise DivergedError(f"the {what} became {value} in epoch {epoch} (learning rate {peak:g})")

    def train(self, epoch: int, after_step: Callable[[], None]) -> tuple[float, int]:
        """One epoch: the mean loss over its steps, and the images it saw."""
        training, part = self._config.training, self._part
        shuffle = seeded(self._seed, epoch, self._random)
        self.net.train()
        total = torch.zeros((), device=self._device)
        images = done = 0
        for pixels, true in batches(part.pixels, part.rows, part.targets, training.batch, self._device, shuffle):
            step = (epoch - 1) * self._steps + done
            self._update.prepare(step)
            loss = self._step(pixels, true, self._random)
            if not self._update.is_recordable:
                self._update.apply()
            total += loss
            images += len(pixels)
            done += 1
            after_step()
        return float(total) / done, images

    def _less(self) -> Step | None:
        """What of a step to record where the whole cannot be; None where that was tried."""
        return self._gradients if self._update.leave_out() else None

    def _whole(self, pixels: torch.Tensor, true: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """A batch's loss; the network has learnt from it."""
        loss = self._gradients(pixels, true, random)
        self._update.apply()
        return loss

    def _gradients(self, pixels: torch.Tensor, true: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """A batch's loss; the parameters have its gradients."""
        self._update.clear()
        before = None if self._teacher is None else random.get_state()
        inputs, targets = self._task.augment(pixels, true, self._config.arch.size, self._config.augment, random)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, dtype=self._half, enabled=self._amp):
            loss, answers = self._task.loss(self.net, inputs, targets, self._config.training)
            if self._teacher is not None and before is not None:
                lesson = self._taught(self._teacher, pixels, true, before)
                distance = (answers.float() - lesson).square().sum(-1).add(TINY).sqrt().mean()
                loss = (1 - self._teacher.weight) * loss + self._teacher.weight * distance
        torch.autograd.backward(self._update.scaler.scale(loss))
        return loss.detach()

    @torch.no_grad()
    def _taught(
        self, teacher: Teacher, pixels: torch.Tensor, targets: torch.Tensor, before: torch.Tensor
    ) -> torch.Tensor:
        """The teacher's answers for a batch changed as the network's own inputs are, at the teacher's size."""
        random = torch.Generator(self._device)
        random.set_state(before)
        inputs, true = self._task.augment(pixels, targets, teacher.size, self._config.augment, random)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        _, answers = self._task.loss(teacher.net, inputs, true, self._config.training)
        return answers.float()


@torch.inference_mode()
def judge(task: Task, net: nn.Module, config: Config, part: Part, device: torch.device) -> tuple[Array, float]:
    """What the network answers for a whole part, float32 (N, ...), and the mean loss."""
    net.eval()
    outputs, losses = [], torch.zeros((), device=device)
    for pixels, targets in batches(part.pixels, part.rows, part.targets, JUDGED_AT_ONCE, device):
        inputs = task.inputs(pixels, config.arch.size).contiguous(memory_format=torch.channels_last)
        loss, answers = task.loss(net, inputs, targets, config.training)
        outputs.append(answers.float())
        losses += loss * len(pixels)
    return torch.cat(outputs).cpu().numpy(), float(losses) / len(part.rows)


def settle(threads: int, device: torch.device) -> None:
    """Threads, and kernels that give the same answer twice."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Read at the first allocation: less of a shared card is held in pieces that nothing fits into.
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")


def larger(first: Any, second: Any) -> Any:
    """The larger of two input sizes, sides of squares or (height, width): of the latter the one with more pixels."""
    return max(first, second, key=lambda size: np.prod(size if isinstance(size, tuple) else (size, size)))


def seeded(seed: int, epoch: int, random: torch.Generator) -> torch.Generator:
    """Set the augmentation's source, and torch's global one, for an epoch; the source of the order of images."""
    order, augment, rest = np.random.SeedSequence([seed, epoch]).generate_state(3, np.uint64).tolist()
    torch.manual_seed(rest)
    random.manual_seed(augment)
    return torch.Generator().manual_seed(order)


class Memory:
    """The largest memory that a trial held, and how busy its GPU is."""

    def __init__(self, device: torch.device) -> None:
        self._gpu = device if device.type == "cuda" else None
        self._process = psutil.Process()
        self._peak = 0
        self._busy: list[int] = []
        self._looked, self._said = 0.0, torch.version.hip is None
        if self._gpu is not None:
            torch.cuda.reset_peak_memory_stats(self._gpu)

    def sample(self) -> None:
        """Look now. A GPU keeps its own record of memory; of its use the driver is asked twice a second."""
        if self._gpu is None:
            self._peak = max(self._peak, self._process.memory_info().rss)
        elif self._said and time.monotonic() - self._looked > LOOK_S:
            self._look(self._gpu)

    def peak_mb(self) -> float:
        """Megabytes (10^6 bytes)."""
        peak = self._peak if self._gpu is None else torch.cuda.max_memory_allocated(self._gpu)
        return round(peak / 1e6, 1)

    def held_mb(self) -> float | None:
        """GPU memory that torch holds now, free blocks of its own included, in 10^6 bytes; None on a CPU."""
        return None if self._gpu is None else round(torch.cuda.memory_reserved(self._gpu) / 1e6, 1)

    def busy(self) -> float | None:
        """How busy the card was since the last call, mean of what the driver said [%]; None where it does not say."""
        if self._gpu is not None and self._said and not self._busy:
            self._look(self._gpu)
        mean = round(sum(self._busy) / len(self._busy), 1) if self._busy else None
        self._busy.clear()
        return mean

    def _look(self, gpu: torch.device) -> None:
        """Ask the driver, which for a part of a card (MIG) does not say; without NVML's package nobody is asked."""
        try:
            import pynvml
        except ImportError:
            self._said = False
            return
        self._looked = time.monotonic()
        try:
            self._busy.append(torch.cuda.utilization(gpu))
        except (pynvml.NVMLError, ImportError, RuntimeError):
            self._said = False
