"""The task against hand-made projections, brute force and every mistake a folder can hold."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from data.drawn.hands import DrawnHands
from data.errors import UserError
from data.storage.pack import Part
from data.tasks.freihand import FreiHand
from search.study import Training
from tests.conftest import Painted, paint

ROOT = Path(__file__).parent.parent.parent


def test_points_are_projected_and_dots_lie_there(painted: Painted) -> None:
    split = FreiHand(painted.root).split(224)
    matrices = json.loads((painted.root / "training_K.json").read_text())
    skeletons = json.loads((painted.root / "training_xyz.json").read_text())
    for part in (split.train, split.valid):
        assert part.targets.dtype == np.float32
        assert part.rows.dtype == np.int64
        for row, points in zip(part.rows, part.targets, strict=True):
            (fx, _, cx), (_, fy, cy), _ = matrices[row]
            for joint, (x, y, z) in enumerate(skeletons[row]):
                u, v = fx * x / z + cx, fy * y / z + cy
                assert points[joint] == pytest.approx([(u + 0.5) / 224, (v + 0.5) / 224], abs=1e-6)
                pixel = part.pixels[row, round(v), round(u)].astype(int)
                close = [np.abs(pixel - colour).max() for colour in painted.colours]
                # Another joint's dot may cover this one; mostly it is its own colour.
                assert min(close) < 60
    assert split.train.targets.shape[1:] == (FreiHand.points, 2)


def test_copies_show_the_same_hand_and_stay_together(tmp_path: Path) -> None:
    painted = paint(tmp_path / "four", hands=12, copies=4)
    seen: list[int] = []
    for fold in range(3):
        split = FreiHand(painted.root, folds=3, fold=fold, blocks=6).split(56)
        train, valid = ({int(row) % 12 for row in part.rows} for part in (split.train, split.valid))
        assert not train & valid
        assert len(split.valid.rows) == 4 * len(valid)
        assert len(split.train.rows) == 4 * len(train)
        for part in (split.train, split.valid):
            assert (np.diff(part.rows) > 0).all()
            expected = (painted.uv[part.rows % 12] + 0.5) / 224
            np.testing.assert_allclose(part.targets, expected, atol=1e-5)
        assert split.train.pixels.shape == (48, 56, 56, 3)
        seen += sorted(valid)
    assert sorted(seen) == list(range(12))  # every hand is judged once


@pytest.mark.parametrize(("count", "folds"), [(5, 5), (24, 4), (583, 5), (4000, 5), (32560, 10), (32560, 30)])
def test_splits_are_whole_blocks_with_a_gap(count: int, folds: int) -> None:
    judged = np.zeros(count, int)
    for fold in range(folds):
        task = FreiHand(folds=folds, fold=fold)
        train, valid = task.hands(count)
        judged[valid] += 1
        assert not set(train) & set(valid)
        assert len(train) > 0.7 * (1 - 1 / folds) * count
        runs = np.split(valid, np.flatnonzero(np.diff(valid) > 1) + 1)
        block = count // max(20, folds, count // 300)
        assert all(len(run) >= block for run in runs)
        gap = min(5, block // 4)
        nearest = min(int(np.abs(train - end).min()) for run in runs for end in (run[0], run[-1]))
        assert nearest == gap + 1
        again = task.hands(count)
        assert np.array_equal(again[0], train)
    assert (judged == 1).all()
    assert not np.array_equal(FreiHand(seed=1).hands(4000)[1], FreiHand(seed=0).hands(4000)[1])


def test_a_worker_process_reads_the_same_and_never_opens_the_evaluation_part(painted: Painted) -> None:
    (painted.root / "evaluation" / "rgb").mkdir(parents=True)
    (painted.root / "evaluation_K.json").write_text("[]")
    task = FreiHand(painted.root)
    task.prepare()
    split = task.split(96)
    code = f"""
import sys
from pathlib import Path
opened = []
events = ("open", "os.scandir", "os.listdir")
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event in events else None)
from data.tasks.freihand import FreiHand
from data.layouts.detect import check, stats
root = Path({str(painted.root)!r})
split = FreiHand(root).split(96)
print(split.train.rows.tolist(), split.valid.rows.tolist(), float(split.valid.targets.sum()), split.train.pixels.sum())
check(root), stats(root)
print(sum("training" in path for path in opened) > 0, [path for path in opened if "evaluation" in path])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    rows = f"{split.train.rows.tolist()} {split.valid.rows.tolist()}"
    first = f"{rows} {float(split.valid.targets.sum())} {split.train.pixels.sum()}"
    assert done.stdout.splitlines() == [first, "True []"]


@pytest.mark.usefixtures("cache")
def test_drawn_hands_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    task = FreiHand(drawn=DrawnHands(count=10, seed=3))
    done: list[tuple[int, int]] = []
    task.prepare(lambda *state: done.append(state))
    split = task.split(112)
    assert len(split.train.pixels) == 10
    assert done[-1] == (10, 10)
    monkeypatch.setattr("data.drawn.hands.synth", lambda *_: pytest.fail("drawn again"))
    task.prepare()
    assert np.array_equal(FreiHand(drawn=DrawnHands(count=10, seed=3)).split(112).valid.targets, split.valid.targets)
    assert FreiHand(drawn=DrawnHands(count=10, seed=3)).folder() == task.folder()


def test_a_folder_wins_over_drawn_hands_and_none_is_a_mistake(painted: Painted) -> None:
    assert FreiHand(painted.root, DrawnHands(count=10)).folder() == painted.root
    with pytest.raises(UserError, match="--data DIR"):
        FreiHand().prepare()


def test_error_is_the_mean_distance_in_pixels() -> None:
    rng = np.random.default_rng(0)
    outputs, points = rng.random((7, 21, 2)), rng.random((7, 21, 2))
    total = 0.0
    for image in range(7):
        for joint in range(21):
            (a, b), (c, d) = outputs[image, joint], points[image, joint]
            total += math.hypot(224 * a - 224 * c, 224 * b - 224 * d)
    task = FreiHand()
    assert task.error(outputs, truth(points)) == pytest.approx(total / 147, rel=1e-12)
    assert task.error(torch.from_numpy(outputs).float(), truth(points)) == pytest.approx(total / 147, rel=1e-5)
    assert math.isnan(task.error(np.full((2, 21, 2), np.nan), truth(np.zeros((2, 21, 2)))))
    with pytest.raises(ValueError, match="differ in shape"):
        task.error(outputs[:3], truth(points))


def truth(points: np.ndarray) -> Part:
    return Part(np.zeros((len(points), 1, 1, 3), np.uint8), np.arange(len(points)), points)


class Fixed:
    """A head that answers its input."""

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def decode(self, logits: torch.Tensor) -> torch.Tensor:
        return logits

    def divergence(self, logits: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        return (logits - points).abs().max()


def test_loss_is_the_error_but_for_its_rounding() -> None:
    points, answer = torch.rand(4, 21, 2), torch.rand(4, 21, 2, requires_grad=True)
    task = FreiHand()
    plain, answered = task.loss(Fixed(), answer, points, Training(1.0))
    assert torch.equal(answered, answer)
    assert 224 * plain.item() == pytest.approx(task.error(answer, truth(points.numpy())), abs=0.5)
    assert 224 * plain.item() < task.error(answer, truth(points.numpy()))
    farthest = (answer - points).abs().max().item()
    assert task.loss(Fixed(), answer, points, Training(1.0, divergence=0.3))[0].item() == pytest.approx(
        plain.item() + 0.3 * farthest, rel=1e-5
    )
    same = points.clone().requires_grad_()
    at_rest, _ = task.loss(Fixed(), same, points, Training(1.0))
    at_rest.backward()
    assert at_rest.item() == pytest.approx(0, abs=1e-7)
    assert same.grad is not None
    assert same.grad.abs().max() == 0
    for kind in ("mse", "smooth_l1"):
        other, _ = task.loss(Fixed(), answer, points, Training(1.0, loss=kind))
        assert other.item() != pytest.approx(plain.item())
    squares, _ = task.loss(Fixed(), answer, points, Training(1.0, loss="mse"))
    assert squares.item() == pytest.approx(((answer - points) ** 2).mean().item())
    with pytest.raises(ValueError, match="'wing', but this task knows distance, smooth_l1, mse"):
        task.loss(Fixed(), answer, points, Training(1.0, loss="wing"))
    half, _ = task.loss(Fixed(), answer.bfloat16(), points, Training(1.0))
    assert half.dtype == torch.float32


def damage(painted: Painted, kind: str) -> Path:
    """Spoil one thing; answers the folder to give."""
    root = painted.root
    path = root / "training_xyz.json"
    xyz = json.loads(path.read_text())
    if kind == "no folder":
        return root / "elsewhere"
    if kind in ("no K", "no xyz"):
        (root / f"training_{kind[3:]}.json").unlink()
    elif kind == "no images":
        for image in (root / "training" / "rgb").iterdir():
            image.unlink()
    elif kind == "a gap":
        painted.image(7).unlink()
    elif kind == "an image too many":
        painted.image(24).write_bytes(painted.image(0).read_bytes())
    elif kind == "truncated image":
        painted.image(5).write_bytes(painted.image(5).read_bytes()[:1500])
    elif kind == "no JSON":
        path.write_text(path.read_text()[:-100])
    else:
        if kind == "lengths":
            xyz = xyz[:-1]
        elif kind == "empty":
            xyz = []
        elif kind == "ragged":
            xyz[3] = xyz[3][:-1]
        elif kind == "shape":
            xyz = [hand[:-1] for hand in xyz]
        elif kind == "words":
            xyz[2][0][0] = "left"
        elif kind == "NaN":
            xyz[4][9][1] = math.nan
        elif kind == "infinite":
            xyz[4][9][1] = math.inf
        elif kind == "behind":
            xyz[4][9][2] *= -1
        path.write_text(json.dumps(xyz))
    return root


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no folder", r"elsewhere/training/rgb cannot be listed"),
        ("no K", r"training_K\.json is missing"),
        ("no xyz", r"training_xyz\.json is missing"),
        ("no images", r"training/rgb holds no \.jpg images"),
        ("a gap", r"00000007\.jpg is missing"),
        ("an image too many", r"has 25 images, not a whole multiple of the 24"),
        ("truncated image", r"00000005\.jpg is truncated"),
        ("no JSON", r"training_xyz\.json is not a JSON list"),
        ("lengths", r"training_K\.json has 24 entries and training_xyz\.json 23"),
        ("empty", r"training_xyz\.json has the shape \(0,\)"),
        ("ragged", r"training_xyz\.json is not a JSON list of 21x3"),
        ("shape", r"training_xyz\.json has the shape \(24, 20, 3\)"),
        ("words", r"training_xyz\.json is not a JSON list"),
        ("NaN", r"joint 9 of entry 4 is not finite"),
        ("infinite", r"joint 9 of entry 4 is not finite"),
        ("behind", r"joint 9 of entry 4 is not finite or behind the camera"),
    ],
)
def test_mistakes_name_the_file_and_the_mend(painted: Painted, cache: Path, kind: str, message: str) -> None:
    root = damage(painted, kind)
    with pytest.raises(UserError, match=message) as caught:
        FreiHand(root).prepare()
    text = str(caught.value)
    assert str(painted.root) in text
    assert "\n" not in text
    assert ": " in text
    assert text.endswith(".")
    assert not list(cache.rglob("*.tmp"))


def test_a_mended_folder_is_read_again(painted: Painted) -> None:
    task = FreiHand(painted.root)
    before = task.split(56).valid.targets
    xyz = np.array(json.loads((painted.root / "training_xyz.json").read_text()))
    xyz[..., 0] += 0.01
    (painted.root / "training_xyz.json").write_text(json.dumps(xyz.tolist()))
    task.prepare()
    assert not np.allclose(task.split(56).valid.targets, before)


def test_too_few_hands_and_wrong_settings(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="3 hands cannot be split into 5"):
        FreiHand().hands(3)
    for wrong in ({"folds": 1}, {"fold": 5}, {"gap": -1}, {"blocks": 3}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            FreiHand(**wrong)
    assert FreiHand(Path("here")).root == Path.cwd() / "here"
    assert hash(FreiHand(tmp_path)) == hash(FreiHand(tmp_path))
