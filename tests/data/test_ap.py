"""Average precision against pycocotools itself, and against OKS and AP written out with numpy."""

import contextlib
import copy
import io

import numpy as np
import pytest
from pycocotools.coco import COCO as Index  # noqa: N811
from pycocotools.cocoeval import COCOeval, Params

from data.layouts.annotations import Category
from data.tasks.metrics import average_precision
from data.tasks.skeletons import ANIMALPOSE, AP10K, COCO, SIGMA, Skeleton

NAMES = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")


def case(keypoints: Skeleton, seed: int, images: int = 6, categories: int = 2) -> tuple[dict, list[dict]]:
    """Objects of all sizes, crowds and unlabelled ones among them, and answers near, far, double and to nothing."""
    rng = np.random.default_rng(seed)
    count = len(keypoints.names)
    truth: dict = {
        "images": [{"id": n} for n in range(images)],
        "categories": [{"id": 10 + c, "name": f"kind {c}"} for c in range(categories)],
        "annotations": [],
    }
    results = []
    for image in range(images):
        for _ in range(rng.integers(1, 4)):
            x, y, w, h = *rng.uniform(0, 200, 2), *rng.uniform(15, 180, 2)
            points = np.column_stack([rng.uniform(x, x + w, count), rng.uniform(y, y + h, count)])
            flags = rng.choice([0, 1, 2], count, p=[0.3, 0.2, 0.5]) * (rng.random() < 0.85)
            number = 100 + len(truth["annotations"])
            entry = {"id": number, "image_id": image, "category_id": 10 + int(rng.integers(categories))}
            entry |= {"bbox": [x, y, w, h], "area": w * h * 0.6, "iscrowd": int(rng.random() < 0.1)}
            entry |= {"num_keypoints": int((flags > 0).sum())}
            entry["keypoints"] = np.column_stack([points * (flags > 0)[:, None], flags]).ravel().tolist()
            truth["annotations"].append(entry)
            for _ in range(rng.integers(0, 3)):
                near = points + rng.normal(0, rng.uniform(0.005, 0.12) * np.sqrt(w * h), points.shape)
                answer = {"image_id": image, "category_id": entry["category_id"], "score": float(rng.random())}
                answer["keypoints"] = np.column_stack([near, np.ones(count)]).ravel().tolist()
                results.append(answer)
    return truth, results


def directly(truth: dict, results: list[dict], sigmas: tuple[float, ...]) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        index = Index()
        index.dataset = copy.deepcopy({"info": {}, **truth})
        index.createIndex()
        judge = COCOeval(index, index.loadRes(copy.deepcopy(results)), "keypoints")
        judge.params.kpt_oks_sigmas = np.array(sigmas)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return dict(zip(NAMES, judge.stats, strict=True))


def oks(entry: dict, answer: dict, sigmas: np.ndarray) -> float:
    """Object keypoint similarity, from its definition; for an object without labels the distance to twice its box."""
    true, found = (np.array(one["keypoints"]).reshape(-1, 3) for one in (entry, answer))
    labelled = true[:, 2] > 0
    if labelled.any():
        squared = ((true - found)[labelled, :2] ** 2).sum(1)
        sigmas = sigmas[labelled]
    else:
        x, y, w, h = entry["bbox"]
        low, high = np.array([x - w, y - h]), np.array([x + 2 * w, y + 2 * h])
        outside = np.maximum(low - found[:, :2], 0) + np.maximum(found[:, :2] - high, 0)
        squared = (outside**2).sum(1)
    return float(np.exp(-squared / (2 * entry["area"] * (2 * sigmas) ** 2)).mean())


def by_hand(truth: dict, results: list[dict], sigmas: tuple[float, ...], threshold: float) -> float:
    """AP at one threshold over 101 recalls, the mean of the categories that have an object."""
    found = []
    for category in truth["categories"]:
        entries = [one for one in truth["annotations"] if one["category_id"] == category["id"]]
        counted = [one for one in entries if one["num_keypoints"] and not one["iscrowd"]]
        answers = [one for one in results if one["category_id"] == category["id"]]
        judged, taken = [], set()
        for answer in sorted(answers, key=lambda one: -one["score"]):
            here = [one for one in entries if one["image_id"] == answer["image_id"]]
            likeness = {one["id"]: oks(one, answer, np.array(sigmas)) for one in here}
            free = [
                one for one in here if likeness[one["id"]] >= threshold and (one["id"] not in taken or one["iscrowd"])
            ]
            real = [one for one in free if one in counted] or free
            if not real:
                judged.append(False)
                continue
            best = max(real, key=lambda one: likeness[one["id"]])
            taken.add(best["id"])
            if best in counted:
                judged.append(True)
        if not counted:
            continue
        right = np.cumsum(judged)
        recall, precision = right / len(counted), right / (np.arange(len(judged)) + 1)
        wanted = np.linspace(0, 1, 101)
        found.append(np.mean([precision[recall >= r].max(initial=0) for r in wanted]) if len(judged) else 0.0)
    return float(np.mean(found))


@pytest.mark.parametrize("keypoints", [COCO, AP10K, ANIMALPOSE, Skeleton(("a", "b", "c"), (), (SIGMA,) * 3)])
@pytest.mark.parametrize("seed", [1, 2])
def test_agrees_with_pycocotools_and_says_nothing(
    keypoints: Skeleton, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, results = case(keypoints, seed)
    found = average_precision(truth, results, keypoints.sigmas)
    wanted = directly(truth, results, keypoints.sigmas)
    assert found.keys() == wanted.keys()
    assert max(abs(found[name] - wanted[name]) for name in NAMES) < 1e-9
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_a_count_by_hand(seed: int) -> None:
    truth, results = case(AP10K, seed)
    found = average_precision(truth, results, AP10K.sigmas)
    each = [by_hand(truth, results, AP10K.sigmas, threshold) for threshold in np.arange(0.5, 0.96, 0.05)]
    assert found["AP"] == pytest.approx(np.mean(each), abs=1e-9)
    assert found["AP50"] == pytest.approx(each[0], abs=1e-9)
    assert found["AP75"] == pytest.approx(each[5], abs=1e-9)
    assert 0 < found["AP"] < 1


def test_perfect_answers_have_one_and_none_have_nothing() -> None:
    truth, _ = case(AP10K, 3)
    answers = [
        {key: one[key] for key in ("image_id", "category_id", "keypoints")} | {"score": 1.0}
        for one in truth["annotations"]
        if one["num_keypoints"] and not one["iscrowd"]
    ]
    assert average_precision(truth, answers, AP10K.sigmas)["AP"] == pytest.approx(1)
    assert average_precision(truth, [], AP10K.sigmas)["AP"] == 0


def test_an_annotation_numbered_0_counts() -> None:
    truth, results = case(AP10K, 4)
    wanted = average_precision(truth, results, AP10K.sigmas)
    for number, entry in enumerate(truth["annotations"]):
        entry["id"] = number
    assert average_precision(truth, results, AP10K.sigmas) == wanted
    assert truth["annotations"][0]["id"] == 0  # left as it was
    assert "area" not in results[0]


def test_what_cannot_be_judged_raises() -> None:
    truth, results = case(AP10K, 5)
    with pytest.raises(ValueError, match="not finite"):
        average_precision(truth, [{**results[0], "score": float("nan")}], AP10K.sigmas)
    with pytest.raises(ValueError, match="image that the truth has not"):
        average_precision(truth, [{**results[0], "image_id": 99}], AP10K.sigmas)
    for entry in truth["annotations"]:
        entry["iscrowd"] = 1
    with pytest.raises(ValueError, match="no object with a labelled keypoint"):
        average_precision(truth, results, AP10K.sigmas)


def test_known_sets_are_recognised_by_their_names() -> None:
    assert np.allclose(COCO.sigmas, Params("keypoints").kpt_oks_sigmas)
    for known in (COCO, AP10K, ANIMALPOSE):
        assert Skeleton.of(Category(1, "x", known.names, known.edges)) == known
        assert max(map(max, known.edges)) == len(known.names) - 1
    other = Skeleton.of(Category(1, "face", ("p0", "p1"), ((0, 1),)))
    assert other.sigmas == (SIGMA, SIGMA)
    by_name = dict(zip(AP10K.names, AP10K.sigmas, strict=True))
    human = dict(zip(COCO.names, COCO.sigmas, strict=True))
    for paw, part in (("left_front_paw", "left_wrist"), ("right_back_paw", "right_ankle"), ("left_hip", "left_hip")):
        assert by_name[paw] == human[part]
    with pytest.raises(ValueError, match="2 keypoints need as many sigmas"):
        Skeleton(("a", "b"), (), (0.1,))
