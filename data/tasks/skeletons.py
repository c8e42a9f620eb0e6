"""Sets of keypoints: their names, what a drawing joins, how exactly people place them, and what a mirror swaps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.layouts.annotations import Category

SIGMA = 0.05
"""Of a keypoint whose own is not known: between COCO's eyes (0.025) and its shoulders (0.079)."""
_LOWER = {"hip", "knee", "ankle", "foot", "heel", "toe", "tail", "tailbase", "back", "hind", "b"}
_UPPER = {"front", "fore", "f"}


@dataclass(frozen=True)
class Skeleton:
    """A kind of object by its keypoints.

    Raises:
        ValueError: If there are not as many sigmas as names, or one is not above 0.
    """

    names: tuple[str, ...]  # Of the P points
    edges: tuple[tuple[int, int], ...]  # Pairs of them that a drawing joins
    # How far annotators spread about each, as a fraction of the square root of the object's area; OKS falls to
    # exp(-1/8) at that distance
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.sigmas) != len(self.names) or not all(sigma > 0 for sigma in self.sigmas):
            raise ValueError(f"{len(self.names)} keypoints need as many sigmas above 0, not {self.sigmas}")

    @classmethod
    def of(cls, category: Category) -> Skeleton:
        """A category's, with the sigmas of COCO, AP-10K or AnimalPose where the names are theirs, else `SIGMA`."""
        published = next((s for s in (COCO, AP10K, ANIMALPOSE) if s.names == category.keypoints), None)
        sigmas = published.sigmas if published else (SIGMA,) * len(category.keypoints)
        return cls(category.keypoints, category.edges, sigmas)


def _set(names: str, edges: str, sigmas: tuple[float, ...]) -> Skeleton:
    """From names, pairs counted from 1 as in the annotations, and sigmas."""
    joined = (pair.split("-") for pair in edges.split())
    return Skeleton(tuple(names.split()), tuple((int(a) - 1, int(b) - 1) for a, b in joined), sigmas)


# Sigmas: pycocotools' own (cocodataset.org, "Keypoint Evaluation").
COCO = _set(
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
    "16-14 14-12 17-15 15-13 12-13 6-12 7-13 6-7 6-8 7-9 8-10 9-11 2-3 1-2 1-3 2-4 3-5 4-6 5-7",
    (0.026, *(s for s in (0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089) for _ in "lr")),
)
# Sigmas: the authors' code (github.com/AlexTheBad/AP-10K, configs/_base_/datasets/ap10k.py). A later copy in MMPose
# has the same numbers in COCO's order, which gives an elbow the shoulder's.
AP10K = _set(
    "left_eye right_eye nose neck root_of_tail left_shoulder left_elbow left_front_paw right_shoulder right_elbow "
    "right_front_paw left_hip left_knee left_back_paw right_hip right_knee right_back_paw",
    "1-2 1-3 2-3 3-4 4-5 4-6 6-7 7-8 4-9 9-10 10-11 5-12 12-13 13-14 5-15 15-16 16-17",
    (0.025, 0.025, 0.026, 0.035, 0.035, *(0.079, 0.072, 0.062) * 2, *(0.107, 0.087, 0.089) * 2),
)
# Sigmas: MMPose (configs/_base_/datasets/animalpose.py); its paper gives none.
ANIMALPOSE = _set(
    "L_Eye R_Eye L_EarBase R_EarBase Nose Throat TailBase Withers L_F_Elbow R_F_Elbow L_B_Elbow R_B_Elbow L_F_Knee "
    "R_F_Knee L_B_Knee R_B_Knee L_F_Paw R_F_Paw L_B_Paw R_B_Paw",
    "1-2 1-3 2-4 1-5 2-5 5-6 6-8 7-8 6-9 9-13 13-17 6-10 10-14 14-18 7-11 11-15 15-19 7-12 12-16 16-20",
    (0.025, 0.025, 0.026, 0.035, 0.035, *(0.10,) * 3, *(0.107,) * 4, *(0.087,) * 4, *(0.089,) * 4),
)


def lower_half(names: Sequence[str]) -> tuple[int, ...]:
    """The points of the hind or lower body by their names: hips, knees, tail, what is called back; not front paws."""
    words = [set(re.split(r"[^a-z]+", name.lower())) for name in names]
    return tuple(n for n, found in enumerate(words) if found & _LOWER and not found & _UPPER)
