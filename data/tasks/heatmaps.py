"""The loss of keypoint networks that look at crops: heatmaps about the labelled points, or the points themselves."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from data.tasks.points import How, chosen
from data.transforms.topdown import from_input, to_input

LOSSES = ("all", "hardest")
"""What `loss` can be asked for."""
HARDEST = 8
"""Keypoints of an instance that the loss "hardest" looks at (Chen et al. 2018, "Cascaded Pyramid Network")."""
SIGMA, CELLS = 2.0, 64
"""A target's standard deviation in cells, of a heatmap with so many along its longer side; never below 1 cell."""

_SOFT = 0.5 / 224  # of a crop: below it a distance is rounded off


class Network(Protocol):
    """What the loss needs of a network."""

    def logits(self, images: Tensor) -> Tensor:
        """The head's raw output for images (B, C, H, W)."""

    def decode(self, logits: Tensor) -> Tensor:
        """Points (B, P, 2) from that output, or points and scores (B, P, 3) from heatmaps (B, P, h, w)."""


def loss(
    net: Network, images: Tensor, targets: Tensor, how: How, mirrored: Sequence[int], flip_test: bool
) -> tuple[Tensor, Tensor]:
    """The mean over labelled keypoints, and the answers.

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
        mirrored: `data.transforms.topdown.partners` of the points.
        flip_test: See above.

    Returns:
        A scalar, float32, and the answers (B, P, 3), float32: x and y in crops, and scores.

    Raises:
        ValueError: If the loss is not known, or heatmaps shall have a divergence.
    """
    kind = chosen(how.loss, LOSSES)
    size = (images.shape[2], images.shape[3])
    true, weight = to_input(targets[..., :2], size), targets[..., 2]
    logits = net.logits(images).float()
    answer = net.decode(logits)
    heat = answer.shape[-1] == 3
    if flip_test and not cast(torch.nn.Module, net).training:
        again, places = net.logits(images.flip(-1)).float(), list(mirrored)
        if heat:
            logits = (logits + again.flip(-1)[:, places]) / 2
            answer = net.decode(logits)
        else:
            other = net.decode(again)[:, places]
            answer = (answer + torch.stack([1 - other[..., 0], other[..., 1]], -1)) / 2
    if heat:
        each = (logits - gaussians(true, *logits.shape[-2:])).square().mean((2, 3)) * weight
    else:
        far = from_input(answer, size) - targets[..., :2]
        each = (far.square().sum(-1).add(_SOFT**2).sqrt() - _SOFT) * weight
    counted = torch.ones_like(weight) if heat else weight
    if kind == "hardest":
        most = each.topk(min(HARDEST, each.shape[1]), 1)
        each, counted = most.values, counted.gather(1, most.indices)
    total = each.sum() / counted.sum().clamp(min=1)
    if how.divergence:
        if heat:
            raise ValueError(f"Training.divergence is {how.divergence}, but heatmaps have none: 0")
        aim = torch.where(weight[..., None] > 0, true, answer.detach())
        total = total + how.divergence * cast(Any, net).divergence(logits, aim)
    score = answer[..., 2:] if heat else torch.ones_like(answer[..., :1])
    return total, torch.cat([from_input(answer[..., :2], size), score], -1)


def gaussians(points: Tensor, rows: int, columns: int) -> Tensor:
    """Target heatmaps: (B, P, 2) fractions of the input to (B, P, rows, columns), 1 at the point.

    The point is not rounded to a cell first (as the code of Xiao et al. 2018 does): cell i's middle is at (i + 0.5)
    / columns, and the maximum's neighbours say on which side of it the point is.
    """
    sigma = max(1.0, SIGMA * max(rows, columns) / CELLS)
    x, y = (
        (torch.arange(cells, device=points.device) + 0.5 - points[..., axis, None] * cells).div(sigma).square()
        for axis, cells in ((0, columns), (1, rows))
    )
    return torch.exp(-0.5 * (y[..., :, None] + x[..., None, :]))
