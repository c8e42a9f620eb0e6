"""Points in a picture, as a task answers them: the loss that is descended and the error that is judged."""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Array = np.ndarray[Any, np.dtype[Any]]

LOSSES = ("distance", "smooth_l1", "mse")
"""What `loss` can be asked for."""

_BEND = 0.02  # of a side: where smooth L1 turns from a square into a line


class Network(Protocol):
    """What the loss needs of a network."""

    def logits(self, images: Tensor) -> Tensor:
        """The head's raw output for images (B, C, H, W)."""

    def decode(self, logits: Tensor) -> Tensor:
        """Points (B, P, 2) from that output."""

    def divergence(self, logits: Tensor, points: Tensor) -> Tensor:
        """How far the head's distributions are from ones about the true points: a scalar."""


class How(Protocol):
    """What the loss needs of a training."""

    @property
    def loss(self) -> str:
        """Which of the losses; empty for the first."""

    @property
    def divergence(self) -> float:
        """Weight of the head's own distribution loss."""


def chosen(kind: str, known: tuple[str, ...]) -> str:
    """The loss that is meant; the first where none is named.

    Raises:
        ValueError: it is not known.
    """
    if kind and kind not in known:
        raise ValueError(f"Training.loss is {kind!r}, but this task knows {', '.join(known)}")
    return kind or known[0]


def loss(net: Network, images: Tensor, points: Tensor, how: How, side: int) -> tuple[Tensor, Tensor]:
    """How far the answers are from the points, and the answers.

    The first loss is the mean Euclidean distance as a fraction of the side, rounded off below half a pixel: that is
    the error itself but for the rounding, without which the gradient's length would stay the same however close a
    point is. 'smooth_l1' (Girshick 2015) and 'mse' are those of torch over the coordinates.

    Args:
        net: the network; its raw output is computed once.
        images: float (B, C, H, W).
        points: float (B, P, 2), fractions of the side.
        how: which loss, and the weight of the head's own.
        side: of the frame of the error, pixels.

    Returns:
        A scalar, float32, and the network's answers (B, P, 2), float32.
    """
    kind = chosen(how.loss, LOSSES)
    logits = net.logits(images).float()
    answers = net.decode(logits)
    if kind == "smooth_l1":
        far = functional.smooth_l1_loss(answers, points, beta=_BEND)
    elif kind == "mse":
        far = functional.mse_loss(answers, points)
    else:
        soft = 0.5 / side  # half a pixel
        far = (answers - points).square().sum(-1).add(soft**2).sqrt().mean() - soft
    if how.divergence:
        far = far + how.divergence * net.divergence(logits, points)
    return far, answers


def distances(outputs: Tensor | Array, points: Tensor | Array, side: float) -> Array:
    """Euclidean distance of each answer from its point, float64 (N, P), in pixels of a frame of `side` pixels.

    Args:
        outputs: (N, P, 2), fractions of the side.
        points: (N, P, 2), the truth.
        side: of the frame, pixels.
    """
    answered, true = (
        (value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value).astype(np.float64)
        for value in (outputs, points)
    )
    if answered.shape != true.shape:
        raise ValueError(f"outputs {answered.shape} and points {true.shape} differ in shape")
    found: Array = side * np.sqrt(((answered - true) ** 2).sum(-1))
    return found
