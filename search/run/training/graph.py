"""A training step as one CUDA graph: one launch instead of some two thousand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache

import torch

Step = Callable[[torch.Tensor, torch.Tensor, torch.Generator], torch.Tensor]
"""From pixels, targets and a source of randomness to the loss; what else it does, it does to tensors in their place."""

WARM_UP = 3
"""Steps before the recording, which lets libraries choose their kernels and reserve memory (torch asks for it)."""


@cache
def recording_stream() -> torch.cuda.Stream:
    """The process's stream for recordings: cuBLAS keeps some 70 MB for each stream that was ever used."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


class GraphedStep:
    """The same step, replayed from a recording once a few have gone as usual.

    A network of 0.2 M FLOPs took 25 ms a step on an H200, of which its kernels took 9 ms or less in 2,400 launches:
    the rest was Python. Where a step cannot be recorded, it goes on as usual.

    Args:
        step: must always be given tensors of the same shapes and the same source of randomness, and do nothing that
            waits for the device. What it reads of the host is read once, at the recording.
        clear: takes the gradients away, so that the recording has memory of its own for them.
        less: called when a step cannot be recorded; what to record in its place, or None for nothing.
    """

    def __init__(self, step: Step, clear: Callable[[], None], less: Callable[[], Step | None]) -> None:
        self._step, self._clear, self._less = step, clear, less
        self._stream = recording_stream()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._steps = 0
        self._pixels = self._targets = self._loss = torch.empty(0)

    @property
    def is_replayed(self) -> bool:
        """Whether steps are replayed."""
        return self._graph is not None

    def __call__(self, pixels: torch.Tensor, targets: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """One step's loss; pixels (B, ...) and targets (B, ...)."""
        self._steps += 1
        if self._steps == WARM_UP + 1:
            self._clear()
            self._record(pixels, targets, random)
        if self._graph is None:
            return self._beside(pixels, targets, random)
        self._pixels.copy_(pixels)
        self._targets.copy_(targets)
        self._graph.replay()
        return self._loss

    def _beside(self, pixels: torch.Tensor, targets: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """As usual, on the stream that is recorded later."""
        if self._steps > WARM_UP:
            return self._step(pixels, targets, random)
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            loss = self._step(pixels, targets, random)
        torch.cuda.current_stream().wait_stream(self._stream)
        return loss

    def _record(self, pixels: torch.Tensor, targets: torch.Tensor, random: torch.Generator) -> None:
        """Record a step without doing it."""
        self._pixels, self._targets = pixels.clone(), targets.clone()
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(random)
        try:
            # A thread pins the next batch meanwhile, which is no concern of this one's recording.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._loss = self._step(self._pixels, self._targets, random)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            logging.getLogger(__name__).warning("a training step cannot be recorded as a CUDA graph: %s", reason)
            less = self._less()
            if less is not None:
                self._step = less
                self._clear()
                self._record(pixels, targets, random)
            return
        self._graph = graph
