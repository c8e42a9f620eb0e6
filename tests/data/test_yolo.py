"""YOLO's keypoint folders against COCO's of the same objects."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from data.errors import UserError
from data.layouts import coco, keypoints, yolo
from data.layouts.annotations import AnnotationSet
from data.layouts.check import check
from data.layouts.problems import Problem
from data.tasks.keypoints import Keypoints, animals

NAMES = ["nose", "left_ear", "right_ear"]


def annotated(folder: Path, count: int, seed: int) -> dict:
    """Images of different sizes in `folder`, an object in each, one of them without a labelled left ear."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    images, objects = [], []
    for number in range(count):
        size = (int(rng.integers(30, 60)), int(rng.integers(30, 60)))
        Image.new("RGB", size, (9 * number, 99, 9)).save(folder / f"{seed}-{number:02d}.png")
        points = np.column_stack([rng.uniform(2, 28, (3, 2)), rng.integers(1, 3, 3)])
        points[1] *= number != 2
        images.append({"id": number, "file_name": f"{seed}-{number:02d}.png", "width": size[0], "height": size[1]})
        box = [1.0, 2.0, float(rng.uniform(9, 28)), float(rng.uniform(9, 27))]
        keypoints = points.ravel().tolist()
        objects.append(
            {"id": number, "image_id": number, "category_id": number % 2, "bbox": box, "keypoints": keypoints}
        )
    kinds = [{"id": number, "name": name, "keypoints": NAMES} for number, name in enumerate(("cat", "dog"))]
    return {"images": images, "annotations": objects, "categories": kinds}


def as_yolo(table: dict, root: Path, part: str, dimensions: int = 3) -> None:
    """Write labels/PART as Ultralytics converts COCO's annotations."""
    (root / "labels" / part).mkdir(parents=True)
    for image, entry in zip(table["images"], table["annotations"], strict=True):
        size = np.array([image["width"], image["height"]])
        x, y, w, h = entry["bbox"]
        box = [(x + w / 2) / size[0], (y + h / 2) / size[1], w / size[0], h / size[1]]
        points = np.reshape(entry["keypoints"], (-1, 3))[:, :dimensions] / (*size, 1)[:dimensions]
        line = " ".join(repr(float(value)) for value in [*box, *points.ravel()])
        (root / "labels" / part / image["file_name"]).with_suffix(".txt").write_text(f"{entry['category_id']} {line}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that COCO's reader and YOLO's know, in two parts; the test part is damaged."""
    root = tmp_path / "set"
    (root / "annotations").mkdir(parents=True)
    for seed, (part, count) in enumerate((("train", 7), ("val", 3))):
        table = annotated(root / "images" / part, count, seed)
        (root / "annotations" / f"{part}.json").write_text(json.dumps(table))
        as_yolo(table, root, part)
    (root / "labels" / "test").mkdir()
    (root / "labels" / "test" / "x.txt").write_text("damaged")
    describe(root)
    return root


def describe(root: Path, **changed: object) -> None:
    """Write data.yaml; None takes an entry away."""
    table = {
        "path": "elsewhere on another machine",
        "train": "images/train",
        "val": "images/val",
        "test": "images/test",
        "names": {0: "cat", 1: "dog"},
        "kpt_shape": [3, 3],
        "flip_idx": [0, 2, 1],
        "kpt_names": {0: NAMES, 1: NAMES},
        **changed,
    }
    (root / "data.yaml").write_text(yaml.safe_dump({key: value for key, value in table.items() if value is not None}))


def assert_same(one: AnnotationSet, other: AnnotationSet, *, visible: bool = True) -> None:
    assert [(c.name, c.keypoints) for c in one.categories] == [(c.name, c.keypoints) for c in other.categories]
    assert one.mirrored == other.mirrored
    assert len(one.instances) == len(other.instances)
    for a, b in zip(one.instances, other.instances, strict=True):
        assert (a.file, a.width, a.height, a.category_id) == (b.file, b.width, b.height, b.category_id)
        np.testing.assert_allclose(a.box, b.box, atol=1e-9)
        np.testing.assert_allclose(a.points[:, :2], b.points[:, :2], atol=1e-9)
        assert (
            (a.points[:, 2] == b.points[:, 2]).all()
            if visible
            else ((a.points[:, 2] > 0) == (b.points[:, 2] > 0)).all()
        )


def test_both_formats_give_the_same(root: Path) -> None:
    found, wanted = yolo.read(root), coco.read(root)
    assert found.valid is not None
    assert wanted.valid is not None
    assert_same(found.train, wanted.train)
    assert_same(found.valid, wanted.valid)
    assert found.train.mirrored == (0, 2, 1)
    assert keypoints.read(root).train.files[0] == root / "data.yaml"
    assert check(root).problems == ()
    before = found.train.content()
    (root / "labels" / "train" / "0-00.txt").write_text("")
    assert found.train.content() != before


def test_points_of_two_numbers(root: Path) -> None:
    for part in ("train", "val"):
        table = json.loads((root / "annotations" / f"{part}.json").read_text())
        for file in (root / "labels" / part).iterdir():
            file.unlink()
        (root / "labels" / part).rmdir()
        as_yolo(table, root, part, dimensions=2)
    describe(root, kpt_shape=[3, 2])
    assert_same(yolo.read(root).train, coco.read(root).train, visible=False)


def test_names_and_partners_may_be_left_out(root: Path) -> None:
    describe(root, names=["cat", "dog"], kpt_names=None, flip_idx=None)
    found = yolo.read(root).train
    assert found.keypoints == ("0", "1", "2")
    assert found.mirrored == (0, 1, 2)
    assert [category.name for category in found.categories] == ["cat", "dog"]


def test_a_task_mirrors_as_the_folder_says(root: Path) -> None:
    describe(root, kpt_names=None)
    assert animals(root).mirrored == (0, 2, 1)


def test_a_model_knows_its_points_where_the_folder_is_gone(root: Path) -> None:
    given = Keypoints(root)
    recorded = Keypoints().with_points(given.labels, given.edges, given.mirrored)
    assert (recorded.labels, recorded.edges, recorded.mirrored) == (given.labels, given.edges, given.mirrored)
    assert recorded.has_pairs
    assert Keypoints().labels != given.labels  # else nothing was shown
    assert given.with_points(("a",), (), None) is given


@pytest.mark.usefixtures("cache")
def test_roboflows_folders_and_lists_of_files(root: Path) -> None:
    whole = yolo.read(root).train
    (root / "train").mkdir()
    for kind in ("images", "labels"):
        (root / kind / "train").rename(root / "train" / kind)
    describe(root, path=None, train="../train/images", val="../valid/images", test="../test/images")
    found = keypoints.read(root)
    assert found.valid is None
    assert [one.points.tolist() for one in found.train.instances] == [one.points.tolist() for one in whole.instances]
    (problem,) = check(root).problems
    assert problem.detail == "no images in its val, '../valid/images', so part of train is judged on"
    assert any(note.endswith(problem.detail) for note in Keypoints(root, metric="nme").notes())
    lines = sorted(str(path.relative_to(root)) for path in (root / "train" / "images").iterdir())
    (root / "lists").mkdir()
    for spelt in (lines[:4], [f".\\{line}".replace("/", "\\") for line in lines[:4]]):
        (root / "lists" / "some.txt").write_text("\n".join(spelt))
        describe(root, train="lists\\some.txt", val=None)
        assert len(keypoints.read(root).train.instances) == 4
    (problem,) = [problem for problem in check(root).problems if problem.kind == "unused"]
    assert problem.detail.endswith(": " + ", ".join(f"train/labels/0-{number:02d}.txt" for number in (4, 5, 6)))


def test_images_that_lie_on_their_sides(root: Path) -> None:
    """Fractions of the sides as they are displayed; whether that was meant, no size tells."""
    for number, orientation in ((1, 6), (2, 3)):
        file = root / "images" / "train" / f"0-{number:02d}.png"
        with Image.open(file) as image:
            image.getexif()[0x0112] = orientation
            image.save(file, exif=image.getexif())
            size = image.size
        one = next(one for one in yolo.read(root).train.instances if one.file == str(file))
        assert (one.width, one.height) == (size[::-1] if orientation == 6 else size)
    (problem,) = check(root).problems
    assert problem.detail.startswith("2 images are turned or mirrored")
    assert problem.detail.endswith(": 0-01.png, 0-02.png")


def test_what_is_not_used_is_told(root: Path) -> None:
    (root / "labels" / "train" / "0-03.txt").unlink()
    line = (root / "labels" / "train" / "0-04.txt").read_text().split()
    (root / "labels" / "train" / "0-04.txt").write_text(" ".join([*line[:5], *["0"] * 9]))
    describe(root, val="images/train")
    problems: list[Problem] = []
    assert yolo.read(root, problems.append).valid is None
    assert {problem.severity for problem in problems} == {"warning"}
    assert sorted(problem.detail.partition(",")[0] for problem in problems) == [
        f"1 images of {root}/images/train without a file in labels/: 0-03.png",
        "1 objects without a labelled keypoint: 3",
        "2 images without an object that can be used: " + f"{root}/images/train/0-03.png",
        "its val is its train",
    ]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("0 0.5 0.5 0.2", "mis-shaped"),
        ("0 " + "x " * 13, "mis-shaped"),
        ("7 0.5 0.5 0.2 0.2" + " 0.5 0.5 2" * 3, "mismatch"),
        ("0 0.5 0.5 0.2 0.2" + " 0.5 0.5 3" * 3, "mismatch"),
        ("0 0.5 0.5 0.2 0.2" + " nan 0.5 2" * 3, "non-finite"),
        ("0 0.5 0.5 inf 0.2" + " 0.5 0.5 2" * 3, "non-finite"),
        ("0 0.5 0.5 -0.2 0.2" + " 0.5 0.5 2" * 3, "negative"),
        ("0 25 25 10 10" + " 25 25 2" * 3, "mismatch"),  # pixels instead of fractions
    ],
)
def test_damaged_lines_are_named_and_refused(root: Path, line: str, kind: str) -> None:
    file = root / "labels" / "train" / "0-01.txt"
    file.write_text(f"{file.read_text()}\n{line}\n")
    report = check(root)
    faults = [problem for problem in report.problems if problem.severity == "fault"]
    assert {problem.kind for problem in faults} == {kind}
    assert all(problem.where.startswith(f"{file} line 3") for problem in faults)
    assert report.objects == 10
    with pytest.raises(UserError, match=r"0-01\.txt line 3"):
        animals(root).prepare()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kpt_shape": None}, "its kpt_shape is None"),
        ({"kpt_shape": [3, 4]}, "its kpt_shape is"),
        ({"names": None}, "its names are None"),
        ({"flip_idx": [0, 2, 2]}, "its flip_idx is"),
        ({"flip_idx": [0, 1]}, "its flip_idx is"),
        ({"kpt_names": {0: ["nose"]}}, r"its kpt_names are \['nose'\], not 3 names"),
        ({"kpt_names": {0: NAMES, 1: NAMES[::-1]}}, "keypoints of 'dog' are right_ear"),
        ({"train": "nowhere"}, "no images in its train, 'nowhere'"),
    ],
)
def test_wrong_descriptions(root: Path, changed: dict, said: str) -> None:
    describe(root, **changed)
    with pytest.raises(UserError, match=said) as caught:
        animals(root).prepare()
    assert str(root / "data.yaml") in str(caught.value)
    assert not check(root).sound


def test_a_task_trains_on_it(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    task = animals(root)
    split = task.split(56)
    assert (len(split.train.rows), len(split.valid.rows)) == (7, 3)
    before = task.identity()
    (root / "data.yaml").unlink()
    task.prepare()
    of_coco = task.split(56)
    np.testing.assert_allclose(of_coco.train.targets, split.train.targets, atol=1e-6)
    assert np.array_equal(of_coco.valid.pixels, split.valid.pixels)
    assert task.identity() != before
