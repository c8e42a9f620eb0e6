"""Sets of keypoints, and average precision by object keypoint similarity (OKS) as COCO counts it."""

import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import coco
from pycocotools.cocoeval import COCOeval

from data.layouts.annotations import Category

SIGMA = 0.05
"""Of a keypoint whose own is not known: between COCO's eyes (0.025) and its shoulders (0.079)."""

_NAMES = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")


@dataclass(frozen=True)
class Keypoints:
    """What is looked for.

    Attributes:
        names: Of the P points.
        edges: Pairs of them that a drawing joins.
        sigmas: How far annotators spread about each, as a fraction of the square root of the object's area; OKS falls
            to exp(-1/8) at that distance.

    Raises:
        ValueError: If there are not as many sigmas as names, or one is not above 0.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.sigmas) != len(self.names) or not all(sigma > 0 for sigma in self.sigmas):
            raise ValueError(f"{len(self.names)} keypoints need as many sigmas above 0, not {self.sigmas}")

    @classmethod
    def of(cls, category: Category) -> "Keypoints":
        """A category's, with the sigmas of COCO, AP-10K or AnimalPose where the names are theirs, else `SIGMA`."""
        known = next((known for known in (COCO, AP10K, ANIMALPOSE) if known.names == category.keypoints), None)
        sigmas = known.sigmas if known else (SIGMA,) * len(category.keypoints)
        return cls(category.keypoints, category.edges, sigmas)


def _set(names: str, edges: str, sigmas: tuple[float, ...]) -> Keypoints:
    """From names, pairs counted from 1 as in the annotations, and sigmas."""
    joined = (pair.split("-") for pair in edges.split())
    return Keypoints(tuple(names.split()), tuple((int(a) - 1, int(b) - 1) for a, b in joined), sigmas)


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


def average_precision(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], sigmas: Sequence[float]
) -> dict[str, float]:
    """Average precision and recall of keypoints at OKS 0.50 to 0.95 in steps of 0.05, by pycocotools.

    With several categories each is judged by itself and the mean is taken. Crowds, objects without a labelled
    keypoint, at most 20 answers an image, and area ranges follow pycocotools' rules.

    Args:
        truth: In COCO's form: images, annotations and categories. Where an annotation has no `num_keypoints`, its
            labelled ones are counted; where it has no `area`, its box's is taken. Annotations are renumbered from 1,
            for pycocotools takes number 0 for no match.
        results: One an answer: image_id, category_id, keypoints (3 P numbers) and score.
        sigmas: P of them.

    Returns:
        AP, AP50, AP75, AP_medium, AP_large and AR, AR50, AR75, AR_medium, AR_large, each from 0 to 1, or -1 where a
        range of areas has no object.

    Raises:
        ValueError: If there is nothing to find, or an answer is not finite or of an image that is not in the truth.
    """
    answers = [dict(result) for result in results]
    if not all(np.isfinite([*answer["keypoints"], answer["score"]]).all() for answer in answers):
        raise ValueError("an answer has a number that is not finite")
    known = {image["id"] for image in truth["images"]}
    if not known.issuperset(answer["image_id"] for answer in answers):
        raise ValueError("an answer is of an image that the truth has not")
    annotations = [_whole(number, entry) for number, entry in enumerate(truth["annotations"], 1)]
    if all(entry["iscrowd"] or not entry["num_keypoints"] for entry in annotations):
        raise ValueError("there is no object with a labelled keypoint to find")
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its tables
        index = _index({**truth, "annotations": annotations})
        found = index.loadRes(answers) if answers else _index({**truth, "annotations": []})
        judge = COCOeval(index, found, "keypoints")
        judge.params.kpt_oks_sigmas = np.asarray(sigmas, dtype=np.float64)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return dict(zip(_NAMES, map(float, judge.stats), strict=True))


def _whole(number: int, entry: Mapping[str, Any]) -> dict[str, Any]:
    labelled = sum(flag > 0 for flag in entry["keypoints"][2::3])
    box = entry["bbox"]
    fallback = {"iscrowd": 0, "num_keypoints": labelled, "area": box[2] * box[3]}
    return {**fallback, **copy.deepcopy(dict(entry)), "id": number}


def _index(table: dict[str, Any]) -> coco.COCO:
    index = coco.COCO()
    index.dataset = {"info": {}, **table}
    index.createIndex()
    return index
