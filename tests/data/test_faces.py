"""Drawn faces and the task of their landmarks: layout, split, mirror and error, against hand counts."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.drawn.faces import FRAMES, DrawnFaces, draw
from data.drawn.head import FACE_EDGES, LANDMARKS, MIRRORED, landmarks, person
from data.drawn.sets import synth
from data.errors import UserError
from data.layouts import coco
from data.layouts.check import check
from data.storage.pack import Part
from data.tasks.keypoints import Keypoints, faces
from data.transforms.affine import augment
from data.transforms.augment import Augment
from data.transforms.warp import inputs
from models.net import Arch
from search.results import answers as answer_file
from search.run.training.fit import fit
from search.study import Config, Training


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces") / "set"
    synth(DrawnFaces(8 * FRAMES, seed=3), folder)
    return folder


@pytest.fixture
def task(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keypoints:
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    return faces(drawn)


def test_landmarks_are_named_and_joined_as_ibug_numbers_them() -> None:
    assert len(LANDMARKS) == len(set(LANDMARKS)) == 68
    # The figure of 300-W, counted from 0: chin, nose tip, outer corner of the right eye, corners of the mouth.
    assert [LANDMARKS[n] for n in (0, 8, 30, 36, 48, 54)] == [
        "jaw 1",
        "jaw 9",
        "nose bridge 4",
        "right eye 1",
        "outer lip 1",
        "outer lip 7",
    ]
    lines = {(n, n + 1) for a, b in ((0, 16), (17, 21), (22, 26), (27, 30), (31, 35)) for n in range(a, b)}
    for first, last in ((36, 41), (42, 47), (48, 59), (60, 67)):
        lines |= set(pairwise(range(first, last + 1))) | {(last, first)}
    assert set(FACE_EDGES) == lines
    assert len(FACE_EDGES) == 63


def test_a_mirror_swaps_left_and_right() -> None:
    assert [MIRRORED[MIRRORED[n]] for n in range(68)] == list(range(68))
    rng = np.random.default_rng(5)
    for _ in range(20):
        points = landmarks(person(rng))
        np.testing.assert_allclose(points[list(MIRRORED)] * (-1, 1, 1), points, atol=1e-9)
        assert points[8, 1] == points[:, 1].max()  # the chin is lowest, y being down
        assert points[36, 0] < points[39, 0] < 0 < points[42, 0] < points[45, 0]
        assert points[30, 2] == points[27:36, 2].max()  # the nose's tip stands out


def test_a_face_depends_on_seed_and_number_alone() -> None:
    few, many = DrawnFaces(12, seed=4), DrawnFaces(30, seed=4)
    for index in (0, 11):
        for one, other in zip(draw(few, index), draw(many, index), strict=True):
            np.testing.assert_array_equal(one, other)
    assert not np.array_equal(draw(few, 0)[1], draw(few, 1)[1])
    with pytest.raises(IndexError):
        draw(few, 12)
    with pytest.raises(UserError, match="count is 0"):
        DrawnFaces(0)


def test_landmarks_lie_where_the_face_is_painted() -> None:
    """Lips are redder than the bridge of the nose, and the iris is darker than the skin below the eye."""
    redder, darker = [], []
    for index in range(0, 400, FRAMES):
        image, points = draw(DrawnFaces(400, seed=9), index)
        shown = np.asarray(image, np.float64) + 1

        def at(x: float, y: float, shown: np.ndarray = shown) -> np.ndarray:  # type: ignore[type-arg]
            row, column = (int(np.clip(v, 0, side - 1)) for v, side in zip((y, x), shown.shape, strict=False))
            return shown[row, column]

        lip, bridge = at(*(points[57] + points[66]) / 2), at(*points[28])
        redder.append(lip[0] / lip[1] > bridge[0] / bridge[1])
        for first in (36, 42):
            eye, open_ = points[first : first + 6].mean(0), points[first + 4, 1] - points[first + 1, 1]
            if open_ > 3:
                darker.append(at(*eye).sum() < at(eye[0], eye[1] + 2.5 * open_).sum())
    assert np.mean(redder) > 0.85
    assert len(darker) > 30
    assert np.mean(darker) > 0.85


def test_the_set_is_coco_keypoints_in_videos(drawn: Path, tmp_path: Path) -> None:
    annotations, images = coco.find(drawn)
    assert (annotations, images) == (drawn / "annotations" / "train.json", drawn / "images")
    data = coco.read_file(annotations, images, keypoints=LANDMARKS)
    assert data.categories[0].keypoints == LANDMARKS
    assert data.categories[0].edges == FACE_EDGES
    assert len(data.instances) == 80
    assert {instance.group: 0 for instance in data.instances} == dict.fromkeys(range(8), 0)
    for index in (0, 37):
        face, (image, points) = data.instances[index], draw(DrawnFaces(80, seed=3), index)
        with Image.open(face.file) as file:
            assert file.size == image.shape[1::-1] == (face.width, face.height)
        assert face.box == (0, 0, face.width, face.height)
        # A keypoint is a pixel's number, half a pixel less than the distance from the image's corner.
        np.testing.assert_allclose(face.points[:, :2], points - 0.5, atol=0.006)
        assert (face.points[:, 2] == 2).all()
    with pytest.raises(UserError, match="exists already"):
        synth(DrawnFaces(1), drawn)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        synth(DrawnFaces(1), tmp_path / "file" / "set")
    assert not [path for path in drawn.parent.iterdir() if path != drawn]


def test_no_video_is_on_both_sides_and_each_is_judged_once(task: Keypoints) -> None:
    judged = []
    for fold in range(5):
        split = replace(task, fold=fold).split(64)
        train, valid = (set((part.rows // FRAMES).tolist()) for part in (split.train, split.valid))
        assert not train & valid
        assert len(split.train.rows) + len(split.valid.rows) == 80
        assert split.train.pixels.shape == (80, 80, 80, 3)
        judged += split.valid.rows.tolist()
    assert sorted(judged) == list(range(80))
    assert task.identity() != replace(task, fold=1).identity()
    assert task.identity() == faces(task.root).identity()


def test_a_box_that_is_not_square_is_not_stretched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    root = one_face(tmp_path / "one", size=(100, 60), box=(20, 10, 50, 40))
    task = faces(root, folds=2)
    pack, points = task._pack(224), task._read().targets
    # The box's middle is (45, 30) and its longer side 50: the crop begins at (20, 5). Pixel numbers are 0.5 less.
    np.testing.assert_allclose(points[0, 0], ((7 + 0.5 - 20) / 50, (3 + 0.5 - 5) / 50), rtol=1e-6)
    np.testing.assert_allclose(points[0, 5], ((12 + 0.5 - 20) / 50, (3 + 0.5 - 5) / 50), rtol=1e-6)
    assert pack.pixels(224).shape == (2, 224, 224, 3)
    part = Part(pack.pixels(224), np.arange(2), points)
    moved = points.astype(np.float64) + np.array((3, 4)) / 50  # five pixels of the image
    assert task.error(moved, part) == pytest.approx(5 * 224 / 50, rel=1e-5)
    assert task.errors(moved, part).shape == (2, 68)


def one_face(root: Path, size: tuple[int, int], box: tuple[int, ...], lacking: int = 0, crowd: int = 0) -> Path:
    """Two images of a face each; point n lies at (7 + n, 3)."""
    for name in ("annotations", "images"):
        (root / name).mkdir(parents=True)
    marks = [number for n in range(68) for number in (7 + n, 3, 0 if n < lacking else 2)]
    entries = []
    for number in (0, 1):
        Image.new("RGB", size, (200, 10 * number, 0)).save(root / "images" / f"{number}.png")
        entries.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "keypoints": marks,
                "bbox": box,
                "iscrowd": crowd,
            }
        )
    images = [{"id": n, "file_name": f"{n}.png", "width": size[0], "height": size[1]} for n in (0, 1)]
    category = {"id": 1, "name": "face", "keypoints": list(LANDMARKS), "skeleton": []}
    table = {"images": images, "annotations": entries, "categories": [category]}
    (root / "annotations" / "train.json").write_text(json.dumps(table))
    return root


def test_a_mirrored_face_keeps_its_names(task: Keypoints) -> None:
    split = task.split(64)
    images, points = torch.from_numpy(split.train.pixels[:4].copy()), torch.from_numpy(split.train.targets[:4])
    changed, moved = task.augment(images, points, 64, Augment(flip=1.0), torch.Generator().manual_seed(0))
    torch.testing.assert_close(changed, inputs(images.flip(2), 64), atol=2e-4, rtol=0)
    for n, other in enumerate(MIRRORED):
        torch.testing.assert_close(moved[:, n, 0], 1 - points[:, other, 0])
        torch.testing.assert_close(moved[:, n, 1], points[:, other, 1])
    # Switching the mirror on leaves all other changes alone: for faces that are not mirrored nothing differs.
    how = Augment(rotate=20, scale=0.1, shift=0.1)
    plain, still = task.augment(images, points, 64, how, torch.Generator().manual_seed(1))
    mixed, some = task.augment(images, points, 64, replace(how, flip=0.5), torch.Generator().manual_seed(1))
    same = [n for n in range(4) if torch.equal(some[n], still[n])]
    assert 0 < len(same) < 4
    torch.testing.assert_close(mixed[same], plain[same])
    generator = torch.Generator().manual_seed(1)
    torch.rand(4, generator=generator)  # the mirror's own draws
    torch.testing.assert_close(augment(images, points, 64, how, generator)[1], still)


def test_baseline_against_brute_force(task: Keypoints) -> None:
    split = task.split(64)
    mean = split.train.targets.astype(np.float64).mean(0)
    far = [np.hypot(*(224 * (mean[p] - true[p]))) for true in split.valid.targets for p in range(68)]
    assert task.baseline() == pytest.approx(np.mean(far), rel=1e-6)
    assert task.picture(5).shape == (224, 224, 3)
    assert task.caption(mean, mean) == ""


def test_a_small_network_learns_it(task: Keypoints) -> None:
    """Six videos are too few for other people's faces, but the loss on these must fall well below the mean face's."""
    torch.set_num_threads(1)
    arch = Arch(points=task.points, width=0.2, stride=16, size=48, head="heatmap")
    config = Config(arch, Training(lr=1.5e-2, batch=8))
    *_, last = fit(task, config, epochs=20, seed=0, device=torch.device("cpu"))
    train = task.split(48).train
    mean = task.error(np.broadcast_to(train.targets.mean(0), train.targets.shape), train)
    assert 224 * last.epoch.train_loss < 0.6 * mean
    assert np.isfinite(last.epoch.error)


def test_partly_labelled_faces_count_where_they_are_labelled(tmp_path: Path, cache: Path) -> None:
    """Masked in loss, error and baseline; a network learns nothing of them and is judged by the others alone."""
    root = one_face(tmp_path / "some", (80, 80), (0, 0, 80, 80))
    file = root / "annotations" / "train.json"
    table = json.loads(file.read_text())
    table["annotations"][0]["keypoints"][3 * 5 : 3 * 8] = [0, 0, 0] * 3
    file.write_text(json.dumps(table))
    assert check(root).sound
    task = faces(root, folds=2)
    task.prepare()
    split = task.split(64)
    (first,) = (part for part in (split.train, split.valid) if part.rows[0] == 0)
    (whole,) = (part for part in (split.train, split.valid) if part.rows[0] == 1)
    assert np.isnan(first.targets[0]).all(1).nonzero()[0].tolist() == [5, 6, 7]
    assert np.isfinite(whole.targets).all()
    answers = whole.targets + np.array((3, 4)) / 80  # 5 pixels away
    answers[0, 6] = 9, 9
    assert task.error(answers, first) == pytest.approx(5 * 224 / 80, rel=1e-5)
    assert task.error(answers, whole) > 20
    assert np.isnan(task.errors(answers, first)[0]).nonzero()[0].tolist() == [5, 6, 7]
    assert np.isfinite(task.baseline())

    class Net:
        def logits(self, images: torch.Tensor) -> torch.Tensor:
            return images

        decode = logits

    raw = torch.tensor(answers, dtype=torch.float32, requires_grad=True)
    known = torch.isfinite(torch.from_numpy(first.targets)).all(-1)
    off = (raw.detach() - torch.from_numpy(first.targets))[known]
    for loss, wanted in (
        ("distance", ((off.square().sum(-1) + (0.5 / 224) ** 2).sqrt() - 0.5 / 224).mean()),
        ("mse", off.square().mean()),
        ("smooth_l1", torch.where(off.abs() < 0.02, off**2 / 0.04, off.abs() - 0.01).mean()),
    ):
        raw.grad = None
        lost, _ = task.loss(Net(), raw, torch.from_numpy(first.targets), Training(lr=1, loss=loss))
        assert float(lost.detach()) == pytest.approx(float(wanted), rel=1e-5)
        lost.backward()
        assert raw.grad is not None
        assert (raw.grad[~known] == 0).all()
        assert (raw.grad[known] != 0).any(-1).all()
    images, points = torch.from_numpy(first.pixels[:1].copy()), torch.from_numpy(first.targets)
    _, moved = task.augment(images, points, 64, Augment(flip=1.0, rotate=20), torch.Generator().manual_seed(0))
    assert torch.isnan(moved[0, :, 0]).nonzero().ravel().tolist() == sorted(MIRRORED[n] for n in (5, 6, 7))
    assert answer_file.of(task, answers, first, 1).examples[0].true[5:9].count(None) == 3
    both = torch.from_numpy(np.concatenate([first.targets, whole.targets]))
    net = Arch(points=68, width=0.2, stride=16, size=48, head="simcc").build().train()
    lost, _ = task.loss(
        net, task.inputs(torch.from_numpy(first.pixels[:2].copy()), 48), both, Training(1, divergence=1)
    )
    lost.backward()
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in net.parameters())
    assert cache.exists()


def test_what_cannot_be_used_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="--data DIR"):
        faces().prepare()
    with pytest.raises(UserError, match="crowd"):
        faces(one_face(tmp_path / "crowd", (80, 80), (0, 0, 80, 80), crowd=1)).prepare()
    with pytest.raises(UserError, match="2 images cannot be split into 5"):
        faces(one_face(tmp_path / "two", (80, 80), (0, 0, 80, 80))).split(64)
    with pytest.raises(ValueError, match="fold below it"):
        faces(folds=3, fold=3)
