"""The check must name everything that was spoiled; statistics against brute force."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from conftest import Painted, paint
from PIL import Image

from data.errors import Mistake
from data.freihand import FreiHand
from data.inspect import check, stats


def found(root: Path) -> set[tuple[str, str, str]]:
    return {(p.severity, p.kind, p.where.removeprefix(f"{root}/")) for p in check(root).problems}


def test_a_sound_folder(painted: Painted) -> None:
    done: list[tuple[int, int]] = []
    report = check(painted.root, lambda *state: done.append(state))
    assert report.problems == ()
    assert report.sound
    assert (report.images, report.hands) == (24, 24)
    assert done == [(number, 24) for number in range(1, 25)]
    assert str(report) == "24 images, 24 hands: nothing wrong"


def test_everything_wrong_is_named_at_once(tmp_path: Path) -> None:
    painted = paint(tmp_path / "hands", hands=16, copies=2)
    root = painted.root
    painted.image(3).unlink()
    painted.image(20).unlink()
    painted.image(31).write_bytes(painted.image(31).read_bytes()[:2000])
    painted.image(8).write_bytes(b"no image")
    Image.new("L", (224, 224)).save(painted.image(9))
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
    assert "640x480" in next(p.detail for p in report.problems if p.where.endswith("10.jpg"))


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
    with pytest.raises(Mistake, match="nowhere is no folder"):
        check(tmp_path / "nowhere")


def test_stats_against_brute_force(tmp_path: Path) -> None:
    painted = paint(tmp_path / "hands", hands=15, copies=2, seed=4)
    result = stats(painted.root)
    values = np.stack([np.asarray(Image.open(painted.image(index))) for index in range(30)]) / 255.0
    assert (result.images, result.hands) == (30, 15)
    np.testing.assert_allclose(result.mean, values.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(result.std, values.std((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(result.centre, painted.uv.mean((0, 1)), atol=1e-3)
    np.testing.assert_allclose(result.spread, painted.uv.std((0, 1)), rtol=1e-4)
    np.testing.assert_allclose(result.joint_spread, painted.uv.std(0), rtol=1e-4)

    mean = painted.uv.mean(0)
    total = sum(math.dist(mean[j], painted.uv[h, j]) for h in range(15) for j in range(21))
    assert result.mean_hand_px == pytest.approx(total / 315, rel=1e-5)

    task = FreiHand(painted.root)
    split = task.split(224)
    train, valid = ([int(row) % 15 for row in part.rows] for part in (split.train, split.valid))
    mean = painted.uv[train].mean(0)
    total = sum(math.dist(mean[j], painted.uv[h, j]) for h in valid for j in range(21))
    assert result.valid_mean_hand_px == pytest.approx(total / 21 / len(valid), rel=1e-5)
    assert task.baseline() == result.valid_mean_hand_px
