"""What keypoint networks descend: distances of points, or heatmaps about them.

A network has `logits(images)`, the head's raw output; `decode(logits)`, points (B, P, 2) or, from heatmaps
(B, P, h, w), points and scores (B, P, 3); and, unless it answers heatmaps, `divergence(logits, points)`, how far its
distributions are from ones about the points. `how` is a `search.study.Training`: its `loss` (empty for the first) and
its `divergence`, the weight of the network's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

POINT_LOSSES = ("distance", "smooth_l1", "mse")
"""What `point_loss` can be asked for."""
CROP_LOSSES = ("all", "hardest")
"""What `crop_loss` can be asked for."""
HARDEST = 8
"""Keypoints of an instance that the loss "hardest" looks at (Chen et al. 2018, "Cascaded Pyramid Network")."""
SIGMA, CELLS = 2.0, 64
"""A target's standard deviation in cells, of a heatmap with so many along its longer side; never below 1 cell."""

BEND = 0.02  # of a side: where smooth L1 turns from a square into a line


def pick(kind: str, losses: tuple[str, ...]) -> str:
    """The loss that is meant; the first where none is named.

    Raises:
        ValueError: It is none of these.
    """
    if kind and kind not in losses:
        raise ValueError(f"Training.loss is {kind!r}, but this task knows {', '.join(losses)}")
    return kind or losses[0]


def point_loss(
    net: Any, images: Tensor, points: Tensor, how: Any, side: int, partly: bool = False
) -> tuple[Tensor, Tensor]:
    """How far the answers are from the points, and the answers.

    The first loss is the mean Euclidean distance as a fraction of the side, rounded off below half a pixel: that is
    the error itself but for the rounding, without which the gradient's length would stay the same however close a
    point is. 'smooth_l1' (Girshick 2015) and 'mse' are those of torch over the coordinates.

    Args:
        net: The network; its raw output is computed once.
        images: float (B, C, H, W).
        points: float (B, P, 2), fractions of the side.
        how: Which loss, and the weight of the head's own.
        side: Of the frame of the error, pixels.
        partly: Some points are NaN: not labelled. They count nothing.

    Returns:
        A scalar, float32, and the network's answers (B, P, 2), float32.
    """
    import torch

    kind = pick(how.loss, POINT_LOSSES)
    logits = net.logits(images).float()
    answers = net.decode(logits)
    if partly:
        known = points.isfinite().all(-1)
        share = known.float().mean().clamp(min=1 / known.numel())
        points = torch.where(known[..., None], points, answers.detach())  # where it is off by nothing
    far = FAR[kind](answers, points, side)
    if partly:
        far = far / share
    if how.divergence:
        far = far + how.divergence * net.divergence(logits, points)
    return far, answers


def mean_distance(answers: Tensor, points: Tensor, side: int) -> Tensor:
    """Mean Euclidean distance of answers (B, P, 2) from points, in sides, rounded off below half a pixel."""
    return rounded_distance(answers - points, 0.5 / side).mean()


def smooth_l1(answers: Tensor, points: Tensor, side: int) -> Tensor:  # noqa: ARG001 - every loss is called alike
    """Smooth L1 loss over coordinates, which turns from a square into a line at `BEND` of a side."""
    from torch.nn import functional

    return functional.smooth_l1_loss(answers, points, beta=BEND)


def mean_square(answers: Tensor, points: Tensor, side: int) -> Tensor:  # noqa: ARG001 - every loss is called alike
    """Mean squared error over coordinates, in sides."""
    from torch.nn import functional

    return functional.mse_loss(answers, points)


FAR = {"distance": mean_distance, "smooth_l1": smooth_l1, "mse": mean_square}
"""How far answers are from points, by the names of `POINT_LOSSES`."""


def crop_loss(
    net: Any, images: Tensor, targets: Tensor, how: Any, mirrored: Sequence[int], flip_test: bool
) -> tuple[Tensor, Tensor]:
    """The mean over labelled keypoints of crops, and the answers.

    A network that answers points and scores is taught its heatmaps: the squared difference from a Gaussian about the
    point, averaged over all cells and keypoints, those not labelled with weight 0 (Xiao et al. 2018). One that
    answers points alone is taught the Euclidean distance in crops, rounded off below half a pixel of 224; its scores
    are 1.

    In judging, with `flip_test`, the answer is the mean for a crop and its mirror image: of heatmaps before their
    maxima are looked for, else of points. A cell's middle and a pixel's mirror themselves about the same line here, so
    nothing is shifted.

    Args:
        net: The network; its raw output is computed once, twice with `flip_test`.
        images: float (B, C, H, W).
        targets: float (B, P, 3), x and y in crops, 1 where labelled, else 0.
        how: `loss`: "all" keypoints, or the `HARDEST` of each instance; `divergence`: weight of the distribution loss
            of a head that has one. What is not labelled is there taken to be where the network says.
        mirrored: For each point the one that a mirror shows in its place.
        flip_test: See above.

    Returns:
        A scalar, float32, and the answers (B, P, 3), float32: x and y in crops, and scores.

    Raises:
        ValueError: If the loss is not known, or heatmaps shall have a divergence.
    """
    import torch

    from data.transforms.topdown import from_input, to_input

    kind = pick(how.loss, CROP_LOSSES)
    size = (images.shape[2], images.shape[3])
    true, weight = to_input(targets[..., :2], size), targets[..., 2]
    logits = net.logits(images).float()
    answer = net.decode(logits)
    heat = answer.shape[-1] == 3
    if flip_test and not net.training:
        logits, answer = _with_mirror(net, images, logits, answer, mirrored)
    if heat:
        each = (logits - gaussians(true, *logits.shape[-2:])).square().mean((2, 3)) * weight
    else:
        each = rounded_distance(from_input(answer, size) - targets[..., :2], 0.5 / 224) * weight
    counted = torch.ones_like(weight) if heat else weight
    if kind == "hardest":
        most = each.topk(min(HARDEST, each.shape[1]), 1)
        each, counted = most.values, counted.gather(1, most.indices)
    total = each.sum() / counted.sum().clamp(min=1)
    if how.divergence:
        if heat:
            raise ValueError(f"Training.divergence is {how.divergence}, but heatmaps have none: 0")
        aim = torch.where(weight[..., None] > 0, true, answer.detach())
        total = total + how.divergence * net.divergence(logits, aim)
    score = answer[..., 2:] if heat else torch.ones_like(answer[..., :1])
    return total, torch.cat([from_input(answer[..., :2], size), score], -1)


def gaussians(points: Tensor, rows: int, columns: int) -> Tensor:
    """Target heatmaps: (B, P, 2) fractions of the input to (B, P, rows, columns), 1 at the point.

    The point is not rounded to a cell first (as the code of Xiao et al. 2018 does): cell i's middle is at (i + 0.5)
    / columns, and the maximum's neighbours say on which side of it the point is.
    """
    import torch

    sigma = max(1.0, SIGMA * max(rows, columns) / CELLS)
    x, y = (
        (torch.arange(cells, device=points.device) + 0.5 - points[..., axis, None] * cells).div(sigma).square()
        for axis, cells in ((0, columns), (1, rows))
    )
    return torch.exp(-0.5 * (y[..., :, None] + x[..., None, :]))


def _with_mirror(
    net: Any, images: Tensor, logits: Tensor, answer: Tensor, mirrored: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Raw output and answer for a batch, averaged with those for its mirror images."""
    import torch

    again, places = net.logits(images.flip(-1)).float(), list(mirrored)
    if answer.shape[-1] == 3:
        logits = (logits + again.flip(-1)[:, places]) / 2
        return logits, net.decode(logits)
    other = net.decode(again)[:, places]
    return logits, (answer + torch.stack([1 - other[..., 0], other[..., 1]], -1)) / 2


def rounded_distance(off: Tensor, soft: float) -> Tensor:
    """Length of (..., 2), rounded off below `soft`."""
    return off.square().sum(-1).add(soft**2).sqrt() - soft
