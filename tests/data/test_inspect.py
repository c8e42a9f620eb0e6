"""The check must name everything that was spoiled; statistics against brute force."""

import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from data.drawn.faces import DrawnFaces
from data.drawn.robot_hand import DrawnRobot
from data.drawn.sets import synth
from data.errors import UserError
from data.layouts import freihand, keypoints, robot_hand
from data.layouts import gestures as gesture_layout
from data.layouts.check import check
from data.layouts.detect import layout
from data.layouts.stats import stats
from data.tasks.freihand import FreiHand
from data.tasks.keypoints import faces
from data.tasks.robot_hand import RobotHand
from search.cli.app import app
from tests.conftest import Painted, paint


def found(root: Path) -> set[tuple[str, str, str]]:
    return {(p.severity, p.kind, p.where.removeprefix(f"{root}/")) for p in check(root).problems}


def test_a_sound_folder(painted: Painted) -> None:
    done: list[tuple[int, int]] = []
    report = check(painted.root, lambda *state: done.append(state))
    assert report.problems == ()
    assert report.sound
    assert (report.images, report.objects, report.called) == (24, 24, "hands")
    assert done == [(number, 24) for number in range(1, 25)]
    assert str(report) == "24 images, 24 hands: nothing wrong"


def test_everything_wrong_is_named_at_once(tmp_path: Path) -> None:
    painted = paint(tmp_path / "hands", hands=16, copies=2)
    root = painted.root
    painted.image(3).unlink()
    painted.image(20).unlink()
    painted.image(31).write_bytes(painted.image(31).read_bytes()[:2000])
    painted.image(8).write_bytes(b"no image")
    Image.new("F", (224, 224)).save(painted.image(9), "TIFF")
    Image.new("RGB", (640, 480)).save(painted.image(10))
    (root / "training" / "rgb" / "extra.jpg").write_bytes(painted.image(0).read_bytes())
    (root / "training" / "rgb" / "notes.txt").write_text("not looked at")
    xyz = json.loads((root / "training_xyz.json").read_text())
    xyz[1][4][0] = math.nan
    xyz[2] = [[math.nan] * 3] * 21
    xyz[5][0][2] = -0.5
    xyz[6][20][0] += 3.0
    xyz[7] = xyz[7][:20]
    (root / "training_xyz.json").write_text(json.dumps(xyz))
    matrices = json.loads((root / "training_K.json").read_text())
    matrices[11][0][0] = math.inf
    (root / "training_K.json").write_text(json.dumps(matrices))

    images, joints = "training/rgb", "training_xyz.json entry"
    assert found(root) == {
        ("warning", "copies", str(root)),  # extra.jpg is image 0
        ("fault", "missing", f"{images}/00000003.jpg"),
        ("fault", "missing", f"{images}/00000020.jpg"),
        ("fault", "truncated", f"{images}/00000031.jpg"),
        ("fault", "unreadable", f"{images}/00000008.jpg"),
        ("fault", "mis-shaped", f"{images}/00000009.jpg"),
        ("fault", "mis-shaped", f"{images}/00000010.jpg"),
        ("fault", "mismatch", f"{images}/extra.jpg"),
        ("fault", "mismatch", images),
        ("fault", "non-finite", f"{joints} 1 joint 4"),
        *(("fault", "non-finite", f"{joints} 2 joint {joint}") for joint in range(21)),
        ("fault", "behind camera", f"{joints} 5 joint 0"),
        ("warning", "off-image", f"{joints} 6 joint 20"),
        ("fault", "mis-shaped", f"{joints} 7"),
        ("fault", "non-finite", "training_K.json entry 11 row 0"),
    }
    report = check(root)
    assert not report.sound
    assert report.counts["non-finite"] == 23
    assert report.counts["missing"] == 2
    assert "23 non-finite" in str(report)
    assert "640 x 480" in next(p.detail for p in report.problems if p.where.endswith("10.jpg"))


def test_off_image_joints_are_warnings_only(painted: Painted) -> None:
    xyz = json.loads((painted.root / "training_xyz.json").read_text())
    matrices = json.loads((painted.root / "training_K.json").read_text())
    (fx, _, cx), _, _ = matrices[0]
    for joint, u in enumerate((-0.4, -0.6, 223.4, 223.6)):  # the image's edges lie at -0.5 and 223.5
        xyz[0][joint][0] = (u - cx) / fx * xyz[0][joint][2]
    (painted.root / "training_xyz.json").write_text(json.dumps(xyz))
    report = check(painted.root)
    assert report.sound
    assert [problem.where.split()[-1] for problem in report.problems] == ["1", "3"]
    assert report.counts == {"off-image": 2}


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda root: (root / "training_K.json").unlink(), {("fault", "missing", "training_K.json")}),
        (lambda root: (root / "training_K.json").write_text("[[1"), {("fault", "unreadable", "training_K.json")}),
        (lambda root: (root / "training_K.json").write_text("{}"), {("fault", "mis-shaped", "training_K.json")}),
        (
            lambda root: (root / "training").rename(root / "elsewhere"),
            {("fault", "missing", "training/rgb")}
            | {("fault", "missing", f"training/rgb/{index:08d}.jpg") for index in range(24)},
        ),
        (
            lambda root: (root / "training_K.json").write_text(
                json.dumps(json.loads((root / "training_K.json").read_text())[:12])
            ),
            {("fault", "mismatch", "training_K.json")},
        ),
    ],
)
def test_whole_files_and_folders(painted: Painted, spoil: object, expected: set[tuple[str, str, str]]) -> None:
    spoil(painted.root)  # type: ignore[operator]
    assert found(painted.root) == expected


def test_no_folder_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere is no folder"):
        check(tmp_path / "nowhere")


def test_stats_against_brute_force(tmp_path: Path) -> None:
    painted = paint(tmp_path / "hands", hands=15, copies=2, seed=4)
    result = stats(painted.root)
    values = np.stack([np.asarray(Image.open(painted.image(index))) for index in range(30)]) / 255.0
    assert (result["images"], result["hands"]) == (30, 15)
    np.testing.assert_allclose(result["mean"], values.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(result["std"], values.std((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(result["centre"], painted.uv.mean((0, 1)), atol=1e-3)
    np.testing.assert_allclose(result["spread"], painted.uv.std((0, 1)), rtol=1e-4)
    np.testing.assert_allclose(result["joint_spread"], painted.uv.std(0), rtol=1e-4)

    mean = painted.uv.mean(0)
    total = sum(math.dist(mean[j], painted.uv[h, j]) for h in range(15) for j in range(21))
    assert result["mean_hand_px"] == pytest.approx(total / 315, rel=1e-5)

    task = FreiHand(painted.root)
    split = task.split(224)
    train, valid = ([int(row) % 15 for row in part.rows] for part in (split.train, split.valid))
    mean = painted.uv[train].mean(0)
    total = sum(math.dist(mean[j], painted.uv[h, j]) for h in valid for j in range(21))
    assert result["baseline"] == pytest.approx(total / 21 / len(valid), rel=1e-5)
    assert task.baseline() == result["baseline"]


COCO = {
    "images": [
        {"id": 1, "file_name": "a.png", "width": 40, "height": 30, "video": "x"},
        {"id": 2, "file_name": "b.png", "width": 40, "height": 30},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 7, "keypoints": [1, 2, 2, 10, 20, 1], "bbox": [0, 0, 20, 25]},
        {"id": 2, "image_id": 2, "category_id": 7, "keypoints": [5, 5, 2, 0, 0, 0], "bbox": [2, 2, 30, 20]},
        {"id": 3, "image_id": 2, "category_id": 9, "bbox": [0, 0, 5, 5]},
    ],
    "categories": [
        {"id": 7, "name": "cat", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]},
        {"id": 9, "name": "box"},
    ],
}


def objects(root: Path) -> Path:
    """Two cats of two keypoints each, in two images."""
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    for number, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (40, 30), (50 * number, 100, 200)).save(root / "images" / name)
    (root / "annotations" / "train.json").write_text(json.dumps(COCO))
    return root


def test_the_layout_is_told_from_the_folder(tmp_path: Path, painted: Painted) -> None:
    (tmp_path / "robot" / "train" / "X").mkdir(parents=True)
    (tmp_path / "gestures").mkdir()
    (tmp_path / "gestures" / "hand_gesture_pose.csv").touch()
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "person.json").write_text(json.dumps(COCO))
    for root, module in (
        (painted.root, freihand),
        (tmp_path / "robot", robot_hand),
        (tmp_path / "gestures", gesture_layout),
        (tmp_path / "beside", keypoints),
        (objects(tmp_path / "coco"), keypoints),
    ):
        assert layout(root) is module
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "package.json").write_text("{}")
    with pytest.raises(UserError, match=r"photos has no known layout.*training_K.json.*train/X.*pose.csv.*annotations"):
        check(tmp_path / "photos")


def test_coco_keypoints_that_are_sound(tmp_path: Path) -> None:
    report = check(objects(tmp_path / "cats"))
    box, few = report.problems  # the annotation of a box alone
    assert (few.severity, few.kind) == ("warning", "few")
    assert (box.severity, box.kind, box.detail) == ("warning", "unused", "1 annotations without keypoints: 3")
    assert (report.images, report.objects, report.called) == (2, 2, "objects")


def test_everything_wrong_in_coco_keypoints(tmp_path: Path) -> None:
    root = objects(tmp_path / "cats")
    table = json.loads(json.dumps(COCO))
    good = table["annotations"][0]

    def wrong(number: int, **changed: object) -> None:
        table["annotations"].append({**good, "id": number, **changed})

    wrong(10, image_id=99)
    wrong(11, category_id=9)
    wrong(12, keypoints=[1, 2, 2])
    wrong(13, keypoints=[1, 2, 2, float("nan"), 3, 2])
    wrong(14, keypoints=[1, 2, 3, 4, 5, 2])
    wrong(15, keypoints=[39.4, 2, 2, 39.6, 2, 2])  # the image's edge lies at 39.5
    wrong(16, bbox=[0, 0, -3, 5])
    wrong(17, bbox=[50, 0, 5, 5])
    wrong(18, bbox=[30, 0, 20, 5])
    wrong(19, bbox=[0, 0, 5])
    wrong(20, num_keypoints=1)
    wrong(21, area=0)
    wrong(1)
    table["annotations"].append("nothing")
    for entry in (
        {"id": 3, "file_name": "gone.png", "width": 40, "height": 30},
        {"id": 4, "file_name": "cut.png", "width": 40, "height": 30},
        {"id": 5, "file_name": "a.png", "width": 40, "height": 0},
        {"id": 2, "file_name": "b.png", "width": 40, "height": 31},
    ):
        table["images"].append(entry)
    table["categories"].append({"id": 8, "name": "dog", "keypoints": ["nose", "tail", "ear"], "skeleton": [[1, 4]]})
    whole = (root / "images" / "a.png").read_bytes()
    (root / "images" / "cut.png").write_bytes(whole[: len(whole) - 30])

    wrong(22, image_id=3)
    wrong(23, image_id=4)
    of = "annotations/train.json"
    (root / "annotations" / "train.json").write_text(json.dumps(table))
    assert found(root) == {
        ("warning", "few", str(root)),
        ("warning", "unused", of),
        ("fault", "mismatch", f"{of} annotation 10"),
        ("fault", "mismatch", f"{of} annotation 11"),
        ("fault", "mis-shaped", f"{of} annotation 12"),
        ("fault", "non-finite", f"{of} annotation 13 keypoint 1"),
        ("fault", "mismatch", f"{of} annotation 14 keypoint 0"),
        ("warning", "off-image", f"{of} annotation 15 keypoint 1"),
        ("fault", "negative", f"{of} annotation 16"),
        ("fault", "mismatch", f"{of} annotation 17"),
        ("warning", "off-image", f"{of} annotation 18"),
        ("fault", "mis-shaped", f"{of} annotation 19"),
        ("warning", "mismatch", f"{of} annotation 20"),
        ("warning", "implausible area", of),
        ("fault", "duplicate", f"{of} annotation 1"),
        ("fault", "mis-shaped", f"{of} annotation at place 16"),
        ("fault", "duplicate", f"{of} image 2"),
        ("fault", "mis-shaped", f"{of} image 5"),
        ("warning", "copies", of),
        ("fault", "mismatch", f"{of} category 8"),
        ("fault", "mismatch", f"{of} categories"),
        ("fault", "missing", "images/gone.png"),
        ("fault", "truncated", "images/cut.png"),
        ("fault", "mis-shaped", "images/b.png"),
    }
    (root / "annotations" / "train.json").write_text("[1")
    assert ("fault", "unreadable", of) in found(root)


def test_stats_of_coco_keypoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    result = stats(objects(tmp_path / "cats"))
    assert (result["images"], result["objects"], result["groups"]) == (2, 2, 2)
    assert result["categories"] == {"cat": 2}
    np.testing.assert_allclose(result["mean"], (25 / 255, 100 / 255, 200 / 255), rtol=1e-9)
    np.testing.assert_allclose(result["std"], (25 / 255, 0, 0), atol=1e-9)
    assert result["labelled"].tolist() == [1, 0.5]
    assert result["visible"].tolist() == [1, 0]
    # Noses at 1.5/20 and 3.5/30 of the boxes' widths, 2.5/25 and 3.5/20 of their heights; one tail.
    nose = np.array([[1.5 / 20, 2.5 / 25], [3.5 / 30, 3.5 / 20]]) * 100
    np.testing.assert_allclose(result["centre"], [nose.mean(0), (52.5, 82)])
    np.testing.assert_allclose(result["spread"], [nose.std(0), (0, 0)], atol=1e-9)
    assert isinstance(result["baseline"], UserError)  # two images are too few to be split
    told = {name: value for table in result.tables for name, value, *_ in table.rows}
    assert told["image sizes [px]"] == "40 x 30"
    assert "cannot be split into 5 folds" in told["always answering the mean, ap_error"]


def test_stats_of_faces_have_their_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    synth(DrawnFaces(50), tmp_path / "faces")
    result = stats(tmp_path / "faces")
    assert result["groups"] == 5
    assert result["baseline"] == faces(tmp_path / "faces").baseline()


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    """Six samples and two without labels, of plain colours and depths."""
    root = tmp_path / "robot"
    for number in range(8):
        part = root / ("train" if number < 6 else "test")
        place = part / "X" / str(number)
        (place / "rgb").mkdir(parents=True)
        for view in range(3):
            Image.new("RGB", (224, 224), (10 * number, 20 * view, 200)).save(place / "rgb" / f"{view}.png")
        depth = np.full((3, 224, 224), 500 + number, np.float32)
        depth[1, :112] = 0
        np.save(place / "depth.npy", depth)
        (place / "field_id.pkl").write_bytes(pickle.dumps(f"s{number}"))
        if number < 6:
            (part / "Y").mkdir(exist_ok=True)
            np.save(part / "Y" / f"{number}.npy", np.linspace(0, 0.11, 12) + 0.01 * number)
    return root


class Trap:
    """What a stranger's pickle may do."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it was unpickled')",)


def test_everything_wrong_in_a_robot_hand_folder(robot: Path) -> None:
    assert check(robot).problems == ()
    assert str(check(robot)) == "24 images, 8 samples: nothing wrong"
    samples, labels = robot / "train" / "X", robot / "train" / "Y"
    (samples / "0" / "rgb" / "1.png").unlink()
    Image.new("RGB", (10, 10)).save(samples / "0" / "rgb" / "2.png")
    np.save(samples / "1" / "depth.npy", np.zeros((3, 224, 200)))
    depth = np.ones((3, 224, 224))
    depth[0, 0, :3], depth[2] = (np.nan, -1, 70000), 0
    np.save(samples / "2" / "depth.npy", depth)
    raw = (samples / "3" / "depth.npy").read_bytes()
    (samples / "3" / "depth.npy").write_bytes(raw[:5000])
    (samples / "3" / "field_id.pkl").write_bytes(pickle.dumps(Trap()))
    (samples / "4" / "field_id.pkl").write_bytes(pickle.dumps("s5"))
    (robot / "test" / "X" / "7" / "field_id.pkl").write_bytes(pickle.dumps("s6"))
    (robot / "test" / "X" / "6" / "depth.npy").unlink()
    np.save(labels / "0.npy", np.zeros(11))
    np.save(labels / "1.npy", np.full(12, np.inf))
    np.save(labels / "2.npy", np.full(12, 120.0))
    (labels / "3.npy").unlink()
    np.save(labels / "77.npy", np.zeros(12))
    x, y = "train/X", "train/Y"
    assert found(robot) == {
        ("fault", "missing", f"{x}/0/rgb/1.png"),
        ("fault", "mis-shaped", f"{x}/0/rgb/2.png"),
        ("fault", "mis-shaped", f"{x}/1/depth.npy"),
        ("fault", "non-finite", f"{x}/2/depth.npy"),
        ("fault", "negative", f"{x}/2/depth.npy"),
        ("fault", "implausible", f"{x}/2/depth.npy"),
        ("warning", "implausible", f"{x}/2/depth.npy"),
        ("fault", "unreadable", f"{x}/3/depth.npy"),
        ("fault", "not plain", f"{x}/3/field_id.pkl"),
        ("warning", "duplicate", f"{x}/4/field_id.pkl"),
        ("fault", "duplicate", "test/X/6/field_id.pkl"),
        ("fault", "missing", "test/X/6/depth.npy"),
        ("fault", "mis-shaped", f"{y}/0.npy"),
        ("fault", "non-finite", f"{y}/1.npy"),
        ("warning", "implausible", f"{y}/2.npy"),
        ("fault", "missing", f"{y}/3.npy"),
        ("fault", "mismatch", f"{y}/77.npy"),
    }


def test_stats_of_a_robot_hand_folder(robot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    result = stats(robot)
    assert (result["samples"], result["tests"]) == (6, 2)
    np.testing.assert_allclose(result["mean"], [[25 / 255, 20 * view / 255, 200 / 255] for view in range(3)])
    np.testing.assert_allclose(result["std"][:, 0], np.std([0, 10, 20, 30, 40, 50]) / 255)
    np.testing.assert_allclose(result["depth"], [[500, 502.5, 505]] * 3, rtol=1e-6)
    np.testing.assert_allclose(result["missed"], (0, 0.5, 0))
    np.testing.assert_allclose(result["centre"], np.linspace(0, 0.11, 12) + 0.025, atol=1e-8)
    assert result["baseline"] == RobotHand(robot).baseline()
    assert [len(table.rows) for table in result.tables] == [3, 3, 12]


@pytest.fixture
def gestures(tmp_path: Path) -> Path:
    return write_gestures(tmp_path / "gestures")


def write_gestures(root: Path) -> Path:
    """Two classes of three folders with two frames each, and one folder for the test."""
    root.mkdir()
    lines = ["pose_id,gesture_type,pose_name,hand_type", "3,a,fist,right", "5,a,palm,left"]
    (root / "hand_gesture_pose.csv").write_text("\n".join(lines))
    (root / "sample_submission.csv").write_text("Image_Path,Label_3,Label_5\n./test/6,0,0\n")
    for number in range(7):
        place = root / ("train" if number < 6 else "test") / str(number)
        place.mkdir(parents=True)
        for frame in range(2):
            Image.new("RGB", (64, 48), (20 * number, 100, 0)).save(place / f"{frame}.png")
        points = [[10 + joint, 5 + joint, 0] for joint in range(21)]
        table = {
            "actor": {"id": number % 3},
            "action": [(3, 5)[number % 2], ("fist", "palm")[number % 2]],
            "annotations": [{"image_id": frame, "data": [[0, 0, 0]] * 21 + points} for frame in range(2)],
        }
        if number == 6:
            del table["action"], table["actor"]
        (place / f"{number}.json").write_text(json.dumps(table))
    return root


def test_everything_wrong_in_a_folder_of_gestures(gestures: Path) -> None:
    assert check(gestures).problems == ()
    assert str(check(gestures)) == "14 images, 7 folders: nothing wrong"
    train = gestures / "train"

    def change(number: int, **changed: object) -> None:
        path = train / str(number) / f"{number}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))

    good = json.loads((train / "0" / "0.json").read_text())["annotations"]
    (train / "0" / "1.png").unlink()
    change(1, action=[4, "palm"])
    change(2, action=[3, "palm"])
    change(3, annotations=[good[0], {"image_id": 0, "data": [[1, 2, 3], [70, 2, 3]]}])
    change(4, annotations=[{"image_id": 0, "data": [[1, math.nan, 3]]}, {"image_id": 1, "data": [[1]]}, 7])
    (train / "5" / "5.json").write_text("{")
    Image.new("RGB", (64, 40)).save(train / "5" / "1.png")
    (train / "9").mkdir()
    with (gestures / "hand_gesture_pose.csv").open("a") as file:
        file.write("\n5,a,palm,both\nsix,a,palm,left\n7,a,wave,third\n8,a,wave,any\n")
    with (gestures / "sample_submission.csv").open("a") as file:
        file.write("./test/8,0,0\n./test/6,0,0\n")
    assert found(gestures) == {
        ("fault", "missing", "train/0/1.*"),
        ("fault", "mismatch", "train/1/1.json"),
        ("warning", "mismatch", "train/2/2.json"),
        ("fault", "duplicate", "train/3/3.json image_id 0"),
        ("warning", "missing", "train/3/3.json image_id 1"),
        ("warning", "off-image", "train/3/3.json image_id 0"),
        ("fault", "non-finite", "train/4/4.json image_id 0 point 0"),
        ("fault", "mis-shaped", "train/4/4.json image_id 1 point 0"),
        ("fault", "mis-shaped", "train/4/4.json annotation at place 2"),
        ("fault", "unreadable", "train/5/5.json"),
        ("fault", "missing", "train/9"),
        ("fault", "missing", "train/9/9.json"),
        ("fault", "duplicate", "hand_gesture_pose.csv line 4"),
        ("fault", "mis-shaped", "hand_gesture_pose.csv line 5"),
        ("fault", "mismatch", "hand_gesture_pose.csv line 6"),
        ("warning", "missing", "hand_gesture_pose.csv"),
        ("fault", "mismatch", "sample_submission.csv id 8"),
        ("fault", "duplicate", "sample_submission.csv id 6"),
    }


def test_stats_of_a_folder_of_gestures(gestures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    result = stats(gestures)
    assert (result["folders"], result["frames"].tolist()) == (6, [2] * 6)
    assert result["actors"] == {"0": 2, "1": 2, "2": 2}
    assert result["classes"] == {"fist (right)": 3, "palm (left)": 3}
    assert result["seen"] == 0.5
    np.testing.assert_allclose(result["mean"], (50 / 255, 100 / 255, 0))
    np.testing.assert_allclose(result["std"][0], np.std([0, 20, 40, 60, 80, 100]) / 255)
    assert [table.title for table in result.tables] == ["12 images in 6 folders", "classes", "actors"]


@pytest.mark.parametrize("kind", ["gestures", "animals", "faces"])
def test_what_is_drawn_is_sound(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    result = CliRunner().invoke(app, ["data", "synth", str(folder), "--layout", kind, "--count", "10"])
    assert result.exit_code == 0, result.output
    assert "10 " in result.output
    report = check(folder)
    assert report.sound, report.problems
    assert report.objects >= 10
    again = CliRunner().invoke(app, ["data", "synth", str(folder), "--layout", kind])
    assert isinstance(again.exception, UserError)


def test_a_drawn_robot_hand_is_sound(tmp_path: Path) -> None:
    synth(DrawnRobot(2, tests=1), tmp_path / "drawn")
    assert str(check(tmp_path / "drawn")) == "9 images, 3 samples: 1 few"
