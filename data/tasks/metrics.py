"""Errors of keypoints: distances, and average precision by object keypoint similarity (OKS) as COCO counts it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from data.layouts.annotations import AnnotationSet

Array = np.ndarray[Any, np.dtype[Any]]

_NAMES = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")


def as_float64(values: Tensor | Array) -> Array:
    """A tensor of any device, or an array, as float64 numpy."""
    array: Array = values if isinstance(values, np.ndarray) else values.detach().cpu().numpy()
    return array.astype(np.float64)


def distances(outputs: Tensor | Array, points: Tensor | Array, side: float) -> Array:
    """Euclidean distance of each answer from its point, float64 (N, P), in pixels of a frame of `side` pixels.

    Args:
        outputs: (N, P, 2) or more, x and y as fractions of the side first.
        points: The truth, of the same shape.
        side: Of the frame, pixels.
    """
    answered, true = as_float64(outputs), as_float64(points)
    if answered.shape != true.shape:
        raise ValueError(f"outputs {answered.shape} and points {true.shape} differ in shape")
    far: Array = side * np.sqrt(((answered - true)[..., :2] ** 2).sum(-1))
    return far


def average_precision(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], sigmas: Sequence[float]
) -> dict[str, float]:
    """Average precision and recall of keypoints at OKS 0.50 to 0.95 in steps of 0.05, by pycocotools.

    With several categories each is judged by itself and the mean is taken. Crowds, objects without a labelled
    keypoint, at most 20 answers an image, and area ranges follow pycocotools' rules.

    Args:
        truth: Of `coco_truth`. Annotations are renumbered from 1, for pycocotools takes number 0 for no match.
        results: One an answer: image_id, category_id, keypoints (3 P numbers) and score.
        sigmas: P of them.

    Returns:
        AP, AP50, AP75, AP_medium, AP_large and AR, AR50, AR75, AR_medium, AR_large, each from 0 to 1, or -1 where a
        range of areas has no object.

    Raises:
        ValueError: If there is nothing to find, or an answer is not finite or of an image that is not in the truth.
    """
    from pycocotools.cocoeval import COCOeval

    answers = [dict(result) for result in results]
    if not all(np.isfinite([*answer["keypoints"], answer["score"]]).all() for answer in answers):
        raise ValueError("an answer has a number that is not finite")
    known = {image["id"] for image in truth["images"]}
    if not known.issuperset(answer["image_id"] for answer in answers):
        raise ValueError("an answer is of an image that the truth has not")
    annotations = [{**entry, "id": number} for number, entry in enumerate(truth["annotations"], 1)]
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


def coco_truth(annotated: AnnotationSet, images: set[int]) -> dict[str, Any]:
    """Some images' annotations in COCO's form, crowds and all."""
    return {
        "images": [{"id": number} for number in sorted(images)],
        "categories": [{"id": category.id, "name": category.name} for category in annotated.categories],
        "annotations": [
            {
                "id": instance.id,
                "image_id": instance.image_id,
                "category_id": instance.category_id,
                "keypoints": instance.points.ravel().tolist(),
                "num_keypoints": instance.labelled,
                "bbox": list(instance.box),
                "area": instance.area,
                "iscrowd": int(instance.crowd),
            }
            for instance in annotated.instances
            if instance.image_id in images
        ],
    }


def _index(table: dict[str, Any]) -> Any:
    from pycocotools import coco

    index = coco.COCO()
    index.dataset = {"info": {}, **table}
    index.createIndex()
    return index
