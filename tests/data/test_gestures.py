import csv
import io
import json
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import log_loss
from torch import nn

from data.drawn.gestures import GESTURES, HEIGHT, WIDTH, DrawnGestures, sequence
from data.drawn.sets import synth
from data.errors import UserError
from data.layouts import gestures as layout
from data.layouts.gestures import Clip, Gesture, labels, pairs, partners, read_clips, read_gestures
from data.tasks.gesture_crops import Margins, acting, chosen, squares, tight
from data.tasks.gestures import Gestures
from data.transforms.augment import CONTEXT, GestureAugment
from data.transforms.gestures import augment
from data.transforms.warp import inputs
from search.load import load_study
from search.study import Training

ROWS = (  # pose_id, gesture_type, pose_name, hand_type
    (0, "mine", "one", "right"),
    (1, "mine", "one", "left"),
    (4, "mine", "no", "right"),
    (5, "mine", "no", "left"),
    (9, "mine", "open", "any"),
)
SIZE = (64, 48)


def write(root: Path, folders: int = 20, frames: int = 5, tests: int = 4) -> Path:
    """A data set of flat frames whose colour is the class; 'no' moves to the right, all others stay."""
    rng = np.random.default_rng(0)
    root.mkdir()
    with (root / layout.CSV).open("w", newline="", encoding="utf-8-sig") as file:
        lines = csv.writer(file)
        lines.writerow(["pose_id", "gesture_type", "pose_name", "hand_type"])
        lines.writerows(ROWS)
    for number in range(folders + tests):
        part = "train" if number < folders else "test"
        pose, _, name, _ = ROWS[number % 5]
        folder = root / part / str(number)
        folder.mkdir(parents=True)
        place = rng.uniform(0, 20, (21, 2)) + np.array([10, 15])
        annotations = []
        for frame in range(frames):
            colour = (20 + 40 * (number % 5), 90, int(rng.integers(60, 120)))
            Image.new("RGB", SIZE, colour).save(folder / f"{frame}.png")
            moved = place + np.array([4 * frame * (name == "no"), 0]) + rng.normal(0, 0.1, (21, 2))
            annotations.append({"image_id": frame, "data": [[x, y, 0.0] for x, y in moved.tolist()]})
        read = {"actor": {"id": number // 5}, "image": {"width": 64, "height": 48}, "annotations": annotations}
        if part == "train":
            read["action"] = [pose, name]
        (folder / f"{number}.json").write_text(json.dumps(read))
    with (root / "sample_submission.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["Image_Path", *(f"Label_{row[0]}" for row in ROWS)])
        lines.writerows([f".\\test\\{number}", 0, 0, 0, 0, 0] for number in range(folders, folders + tests))
    return root


NAMES = (("one", "no"),)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("gestures") / "set")


@pytest.fixture(scope="module")
def task(root: Path) -> Gestures:
    return Gestures(root, frames=3, side=80, pairs=NAMES)


# What is on disk


def test_classes_and_folders_are_read_as_they_are(root: Path) -> None:
    gestures = read_gestures(root)
    assert [(g.pose_id, *g.kind, g.name, g.hand) for g in gestures] == list(ROWS)
    assert labels(gestures) == ("one (right)", "one (left)", "no (right)", "no (left)", "open")
    clips = read_clips(root, "train", gestures)
    assert [clip.id for clip in clips] == [str(number) for number in range(20)]  # by number, not by name
    assert [clip.gesture for clip in clips] == [number % 5 for number in range(20)]
    assert clips[7].actor == "1"
    assert clips[7].size == SIZE
    assert [Path(frame).name for frame in clips[7].frames] == [f"{frame}.png" for frame in range(5)]
    read = json.loads((root / "train" / "7" / "7.json").read_text())
    np.testing.assert_allclose(clips[7].points, [entry["data"] for entry in read["annotations"]])


def test_what_the_file_leaves_out(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "train" / "3", tmp_path / "train" / "12")
    file = tmp_path / "train" / "12" / "3.json"
    read = json.loads(file.read_text())
    del read["image"]
    read["actor"] = 7
    read["annotations"] = [read["annotations"][3], {"image_id": 1, "data": [[5, 6], [7, 8, 9]]}]
    file.with_name("12.json").write_text(json.dumps(read))
    (clip,) = read_clips(tmp_path, "train", read_gestures(root))
    assert (clip.actor, clip.size, clip.points.shape) == ("7", SIZE, (5, 21, 3))
    np.testing.assert_array_equal(clip.points[1, :2], [[5, 6, np.nan], [7, 8, 9]])
    assert np.isnan(clip.points[[0, 2, 4]]).all()
    assert np.isfinite(clip.points[3]).all()


def test_a_mirror_makes_left_hands_right_ones() -> None:
    gestures = [
        Gesture(0, "one", "left", ("mine",)),
        Gesture(3, "promise", "left", ("mine",)),
        Gesture(4, "promise", "left", ("mine",)),
        Gesture(7, "one", "right", ("yours",)),
        Gesture(8, "one", "right", ("mine",)),
        Gesture(10, "heart", "both", ("mine",)),
        Gesture(11, "open", "any", ("mine",)),
        Gesture(20, "promise", "right", ("mine",)),
        Gesture(22, "promise", "right", ("mine",)),
        Gesture(30, "fist", "right", ("mine",)),
        Gesture(31, "fist", "right", ("mine",)),
        Gesture(32, "fist", "left", ("mine",)),
    ]
    assert partners(gestures) == (4, 7, 8, -1, 0, 5, 6, 1, 2, -1, -1, -1)
    assert labels(gestures)[1:3] == ("promise (left) #3", "promise (left) #4")
    assert pairs(gestures, [("one", "promise"), ("fist", "one"), ("none", "one")]) == (
        ((0, 1), (0, 2), (4, 7), (4, 8)),
        ((9, 4), (10, 4), (11, 0)),
    )


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda root: (root / layout.CSV).unlink(), "--data must name the folder"),
        (lambda root: (root / layout.CSV).write_text("pose_id,pose_name\n1,a\n2,b\n"), "no column 'hand_type'"),
        (lambda root: names(root, "1,a,up\n"), "line 2: its hand_type"),
        (lambda root: names(root, "x,a,any\n"), "line 2 is mis-shaped .its pose_id"),
        (
            lambda root: names(root, "1,a,any\n1,b,any\n"),
            "pose_id 1 is there already; each",
        ),
        (lambda root: shutil.rmtree(root / "train"), "cannot be listed"),
        (lambda root: (root / "train/2/2.json").unlink(), "2.json is missing"),
        (lambda root: (root / "train/2/2.json").write_text("{"), "2.json is unreadable .no JSON"),
        (lambda root: [frame.unlink() for frame in (root / "train/2").glob("*.png")], "holds no frames"),
        (lambda root: change(root, 2, action=[3, "three"]), "pose_id 3 of its action"),
        (lambda root: change(root, 2, annotations=[{"image_id": 0, "data": [[1, 2, 3, 4]]}]), "is no point"),
        (lambda root: Image.new("RGB", (9, 9)).save(root / "train/2/2.png"), "2.png is mis-shaped"),
        (lambda root: (root / "train/2/2.png").write_bytes(b"no image"), "2.png is unreadable"),
    ],
)
def test_mistakes(root: Path, tmp_path: Path, harm: object, says: str) -> None:
    shutil.copytree(root, tmp_path / "set")
    harm(tmp_path / "set")  # type: ignore[operator]
    with pytest.raises(UserError, match=says):
        Gestures(tmp_path / "set", side=56).prepare()


def names(root: Path, lines: str) -> None:
    (root / layout.CSV).write_text(f"pose_id,pose_name,hand_type\n{lines}")


def change(root: Path, number: int, **values: object) -> None:
    file = root / "train" / str(number) / f"{number}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_wrong_values() -> None:
    for wrong in ({"fold": 5}, {"folds": 1}, {"group": "hand"}, {"frames": 0}, {"side": 40}):
        with pytest.raises(ValueError, match="must be"):
            Gestures(**wrong)  # type: ignore[arg-type]
    for name in ("flip", "rotate", "scale", "shift", "perspective", "colour", "margin"):
        with pytest.raises(ValueError, match=name):
            GestureAugment(**{name: -0.1})
    with pytest.raises(ValueError, match="at least 0"):
        Margins(left=-1)
    with pytest.raises(UserError, match="--data"):
        Gestures().prepare()


# What is cut out


def fingers() -> np.ndarray:
    """A hand with a stretched finger: 21 joints (21, 3)."""
    joints = np.array([[x, y, 1.0] for y in (0, 6, 12, 18) for x in (0, 7, 14, 21, 28)] + [[14, 24, 1.0]])
    joints[0, :2], joints[1, :2] = (7, -8), (7, -20)
    return joints + np.array([60, 60, 0])


def test_points_of_nobody_are_left_out() -> None:
    clip = np.zeros((6, 42, 3))
    clip[:, :21] = fingers()
    seen = np.zeros((6, 42), bool)
    seen[:, :21] = True
    np.testing.assert_array_equal(acting(clip), seen)
    clip[1, 4] = (150, 10, 0)  # a stray joint
    clip[2, 5], seen[2, 5] = np.nan, False
    clip[3, 21:] = fingers() + np.array([100, 0, 0])  # another hand, seen once
    seen[1, 4] = False
    np.testing.assert_array_equal(acting(clip), seen)
    clip[:, 21:] = fingers() + np.array([100, 0, 0])  # and always: both act
    seen[:, 21:] = True
    assert acting(clip)[[0, 2, 3, 4, 5]].sum() == seen[[0, 2, 3, 4, 5]].sum()
    tips = np.array([[[10, 10, 0], [90, 60, 0]], [[10, 10, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]], np.float64)
    np.testing.assert_array_equal(acting(tips), [[True, True], [True, False], [False, False]])


def test_the_tight_square_by_hand() -> None:
    points = np.full((5, 2, 3), np.nan)
    points[0, :, :2] = (10, 20), (40, 30)  # 30 wide
    points[1, :, :2] = (24, 20), (26, 20)  # two that nearly meet
    points[3, :, :2] = (-20, 20), (20, 40)  # out on the left
    clip = Clip("0", "a", 0, ("",) * 5, (100, 80), points)
    np.testing.assert_allclose(
        tight(clip), [[25.5, 25.5, 30], [25.5, 20.5, 20], [25.5, 20.5, 20], [10.5, 30.5, 20], [10.5, 30.5, 20]]
    )
    none = replace(clip, points=points * np.nan)
    np.testing.assert_allclose(tight(none), [[50, 40, 100]] * 5)
    (square, *_) = squares([clip], 5, Margins(0.2, 0.1, 0.4, 0.5))
    side = CONTEXT * 30 * 1.6
    assert square[1:] == pytest.approx((100, 80, 25.5 + 0.1 * 30 - side / 2, 25.5 + 0.2 * 30 - side / 2, side))


def test_frames_are_evenly_spaced() -> None:
    assert chosen(7, 7).tolist() == list(range(7))
    assert chosen(50, 5).tolist() == [5, 15, 25, 35, 45]
    assert chosen(2, 5).tolist() == [0, 0, 1, 1, 1]
    assert chosen(9, 1).tolist() == [4]


# Augmentation, on images whose red is x and whose green is y: what is seen says where it was

MARGINS = Margins(0.3, 0.2, 0.3, 0.6)
SWAPPED = torch.tensor([1, 0, 2, -1])


def ramps(count: int, side: int = 224) -> torch.Tensor:
    y, x = np.mgrid[0:side, 0:side] / side * 255
    image = np.stack([x, y, x * 0 + 100], -1).round().astype(np.uint8)
    return torch.from_numpy(np.repeat(image[None], count, 0))


def places(seen: torch.Tensor) -> np.ndarray:
    """Where in the pack each place of an input was, (B, S, S, 2), in sides of the crop about the crop's middle."""
    value = (seen.double().numpy() * 0.25 + 0.45)[:, :2].transpose(0, 2, 3, 1)
    return (value * 255 / 255 + 0.5 / 224 - 0.5) * CONTEXT


def draw(how: GestureAugment, count: int = 40, seed: int = 0, size: int = 48) -> tuple[np.ndarray, torch.Tensor]:
    targets = torch.arange(count) % 4
    generator = torch.Generator().manual_seed(seed)
    seen, classes = augment(ramps(count), targets, size, how, MARGINS, SWAPPED, generator)
    return places(seen), classes


def grid(size: int = 48) -> np.ndarray:
    along = (np.arange(size) + 0.5) / size - 0.5
    return np.stack(np.meshgrid(along, along), -1)


def test_nothing_changes_where_nothing_is_asked_for() -> None:
    seen, classes = augment(
        ramps(4), torch.arange(4), 48, GestureAugment(), MARGINS, SWAPPED, torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(seen, inputs(ramps(4), 48, CONTEXT), atol=1e-5, rtol=0)
    assert classes.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(places(seen), np.broadcast_to(grid(), (4, 48, 48, 2)), atol=0.01)
    assert seen[0, 2].numpy() == pytest.approx((100 / 255 - 0.45) / 0.25, abs=0.02)


def test_a_mirror_swaps_hands_as_often_as_asked() -> None:
    where, classes = draw(GestureAugment(flip=0.3), 2000, size=16)
    mirrored = where[:, 8, 0, 0] > 0
    np.testing.assert_allclose(where[mirrored], np.broadcast_to(grid(16)[:, ::-1], where[mirrored].shape), atol=0.01)
    np.testing.assert_allclose(where[~mirrored], np.broadcast_to(grid(16), where[~mirrored].shape), atol=0.01)
    before = np.arange(2000) % 4
    assert (classes.numpy() == np.where(mirrored, np.array([1, 0, 2, -1])[before], before)).all()
    assert not mirrored[before == 3].any()  # nobody knows what it would become
    assert mirrored[before != 3].mean() == pytest.approx(0.3, abs=0.05)


def fitted(where: np.ndarray) -> tuple[np.ndarray, float]:
    """The affine map (2, 3) that fits best from the input's places to the crop's, and how far it is off."""
    size = where.shape[0]
    ones = np.concatenate([grid(size).reshape(-1, 2), np.ones((size * size, 1))], 1)
    answer, *_ = np.linalg.lstsq(ones, where.reshape(-1, 2), rcond=None)
    return answer.T, float(np.abs(ones @ answer - where.reshape(-1, 2)).max())


def test_turns_scales_and_shifts_stay_in_their_ranges() -> None:
    turns, factors = [], []
    for where in draw(GestureAugment(rotate=20))[0]:
        found, off = fitted(where)
        assert off < 0.02
        np.testing.assert_allclose(found[:, :2] @ found[:, :2].T, np.eye(2), atol=0.02)
        assert np.linalg.det(found[:, :2]) > 0
        np.testing.assert_allclose(found[:, 2], 0, atol=0.01)
        turns.append(math.degrees(math.atan2(found[1, 0], found[0, 0])))
    assert 15 < max(turns) < 21
    assert -21 < min(turns) < -15
    for where in draw(GestureAugment(scale=0.25))[0]:
        found, _ = fitted(where)
        np.testing.assert_allclose(found, np.array([[1, 0, 0], [0, 1, 0]]) * found[0, 0], atol=0.01)
        factors.append(1 / found[0, 0])
    assert 1.15 < max(factors) < 1.27
    assert 0.74 < min(factors) < 0.85
    shifts = np.array([fitted(where)[0][:, 2] for where in draw(GestureAugment(shift=0.1))[0]])
    assert (np.abs(shifts) < 0.105).all()
    assert (np.abs(shifts).max(0) > 0.08).all()


def test_perspective_is_a_homography_and_no_affine_map() -> None:
    leans = []
    for where in draw(GestureAugment(perspective=0.25))[0]:
        # u (1 + a x + b y) = x and v (1 + a x + b y) = y, in half sides: two linear equations in a and b.
        x, y = 2 * grid().reshape(-1, 2).T
        u, v = 2 * where.reshape(-1, 2).T
        inside = np.abs(np.stack([u, v])).max(0) < CONTEXT - 0.05  # beyond, the pack's border is repeated
        x, y, u, v = (value[inside] for value in (x, y, u, v))
        left = np.concatenate([np.stack([u * x, u * y], 1), np.stack([v * x, v * y], 1)])
        lean, *_ = np.linalg.lstsq(left, np.concatenate([x - u, y - v]), rcond=None)
        seen = np.stack([x, y], 1) / (1 + lean[0] * x + lean[1] * y)[:, None]
        np.testing.assert_allclose(seen, np.stack([u, v], 1), atol=0.03)
        leans.append(lean)
    assert (np.abs(leans) < 0.26).all()
    assert (np.abs(leans).max(0) > 0.18).all()


def test_each_margin_is_drawn_by_itself_and_the_points_stay_in_view() -> None:
    sides = []
    for where in draw(GestureAugment(margin=0.5), 200)[0]:
        found, off = fitted(where)
        assert off < 0.02
        assert found[0, 0] == pytest.approx(found[1, 1], abs=0.01)  # square pixels
        # Edges of the crop in tight squares, measured from the tight square's own middle.
        low, high = ((found @ np.array([edge, edge, 1])) * MARGINS.side + MARGINS.middle for edge in (-0.5, 0.5))
        sides.append([*(-0.5 - low), *(high - 0.5)])
    drawn = np.array(sides)  # left, top, right, bottom; the narrower axis is widened to the square
    wanted = np.array([MARGINS.left, MARGINS.top, MARGINS.right, MARGINS.bottom])
    assert (drawn > 0.5 * wanted - 0.02).all()
    wide, high = drawn[:, 0] + drawn[:, 2], drawn[:, 1] + drawn[:, 3]
    np.testing.assert_allclose(wide, high, atol=0.02)
    assert wide.max() <= 1.5 * 0.8 + 0.02
    assert abs(np.corrcoef(drawn[:, 1], drawn[:, 3])[0, 1]) < 0.9
    assert drawn[:, 3].std() > 0.1


def test_all_randomness_is_the_generators() -> None:
    how = GestureAugment(0.5, 20, 0.2, 0.1, 0.2, 0.3, 1)
    (one, first), (same, again), (other, _) = draw(how), draw(how), draw(how, seed=1)
    np.testing.assert_array_equal(one, same)
    assert first.tolist() == again.tolist()
    assert np.abs(one - other).max() > 0.1


# The task


def test_every_folder_is_judged_once_and_classes_are_spread(task: Gestures) -> None:
    seen = []
    for fold in range(5):
        split = replace(task, fold=fold).split(48)
        train, valid = split.train.rows // 3, split.valid.rows // 3
        assert not set(train) & set(valid)
        assert sorted({*train, *valid}) == list(range(20))
        assert (np.diff(split.train.rows) > 0).all()
        assert split.valid.targets.dtype == np.int64
        np.testing.assert_array_equal(split.valid.targets, valid % 5)
        # The frame's red is its class: pixels, rows and targets belong together.
        red = split.train.pixels[split.train.rows, 40, 40, 0]
        np.testing.assert_allclose(red, 20 + 40 * split.train.targets, atol=1)
        seen += sorted(set(valid))
    assert sorted(seen) == list(range(20))
    assert [len(set(replace(task, fold=f, folds=4).split(48).valid.targets)) for f in range(4)] == [5] * 4


def test_no_actor_is_on_both_sides(task: Gestures) -> None:
    for fold in range(4):
        split = replace(task, folds=4, fold=fold, group="actor").split(48)
        assert not set(split.train.rows // 15) & set(split.valid.rows // 15)  # five folders of three frames an actor
    with pytest.raises(UserError, match="folders or actors cannot be split into 5 folds"):
        replace(task, group="actor").split(48)


def test_only_training_folders_are_opened(root: Path, tmp_path: Path) -> None:
    bad = tmp_path / "set"
    shutil.copytree(root, bad, ignore=shutil.ignore_patterns("test"))
    (bad / "test" / "20").mkdir(parents=True)
    (bad / "test" / "20" / "20.json").write_text("nothing that can be read")
    task = Gestures(bad, frames=2, side=56)
    task.prepare()
    task.split(48)
    with pytest.raises(UserError, match="holds no frames"):
        task.test_part(bad, 48)


def scores(seed: int, rows: int, classes: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (rows, classes)).astype(np.float32)


def softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values.astype(np.float64))
    return raised / raised.sum(1, keepdims=True)


def test_the_error_is_the_log_loss_over_folders(task: Gestures) -> None:
    still = replace(task, motion=False)
    part = still.split(48).valid
    outputs = scores(0, len(part.rows))
    wanted = np.stack([softmax(outputs[n : n + 3]).mean(0) for n in range(0, len(outputs), 3)])
    np.testing.assert_allclose(still.folder_probabilities(outputs, part), wanted)
    truth = part.targets[::3]
    assert still.error(outputs, part) == pytest.approx(log_loss(truth, wanted, labels=range(5)))
    assert still.error(outputs, part) == pytest.approx(-np.log(wanted[np.arange(len(truth)), truth]).mean())
    assert still.error(outputs * 1e4, part) < 40  # clipped: finite however wrong and sure


def test_errors_are_of_the_true_class_alone(task: Gestures) -> None:
    part = task.split(48).valid
    outputs = scores(1, len(part.rows))
    errors = task.errors(outputs, part)
    assert errors.shape == outputs.shape
    for row, target in enumerate(part.targets):
        assert np.flatnonzero(np.isfinite(errors[row])).tolist() == [target]
        assert errors[row, target] == pytest.approx(-math.log(softmax(outputs)[row, target]))
    assert np.nanmax(task.errors(outputs * 1e4, part)) < 40


def test_motion_tells_the_pair_apart(task: Gestures) -> None:
    part = task.split(48).valid
    (rule,) = task.rules()
    assert rule.pairs == ((0, 2), (1, 3))
    pose = np.array([0, 1, 0, 1, 2])  # a network that sees the hand and the pose, and no motion
    outputs = 8.0 * (pose[part.targets][:, None] == pose)
    blind, seeing = replace(task, motion=False).error(outputs, part), task.error(outputs, part)
    pairs = np.mean(part.targets < 4)
    assert blind == pytest.approx(pairs * math.log(2), abs=0.01)
    assert seeing < 0.1
    assert replace(task, pairs=(("open", "nothing"),)).rules() == ()


def test_the_baseline_is_the_prior(task: Gestures) -> None:
    split = task.split(48)
    train, valid = split.train.targets[::3], split.valid.targets[::3]
    wanted = -np.mean([math.log((train == target).mean()) for target in valid])
    assert task.baseline() == pytest.approx(wanted)


def test_losses(task: Gestures) -> None:
    logits, targets = torch.from_numpy(scores(2, 8)), torch.arange(8) % 5
    net = type("Net", (), {"logits": staticmethod(lambda _: logits)})()
    log = np.log(softmax(logits.numpy()))
    right = -log[np.arange(8), targets.numpy()].mean()
    loss, answer = task.loss(net, torch.zeros(8), targets, Training(lr=1))
    assert float(loss) == pytest.approx(right, rel=1e-5)
    assert answer is logits or torch.equal(answer, logits)
    smooth, _ = task.loss(net, torch.zeros(8), targets, Training(lr=1, loss="smooth"))
    assert float(smooth) == pytest.approx(0.9 * right - 0.1 * log.mean(), rel=1e-5)
    with pytest.raises(ValueError, match="cross_entropy, smooth"):
        task.loss(net, torch.zeros(8), targets, Training(lr=1, loss="mse"))


def test_words_pictures_and_names(task: Gestures) -> None:
    assert task.caption(np.array([0, 0, 9.0, 0, 0]), np.int64(0)) == "no (right) 100 %, true: one (right)"
    picture = task.picture(4)
    assert picture.shape == (54, 54, 3)
    assert picture[20, 20, 0] == pytest.approx(60, abs=1)
    names = {replace(task, **other).identity() for other in ({}, {"fold": 1}, {"motion": False}, {"frames": 2})}
    assert len(names) == 4
    assert replace(task).identity() in names
    assert task.outputs == 5


def test_the_test_part_and_what_is_handed_in(task: Gestures, root: Path, tmp_path: Path) -> None:
    part = task.test_part(root, 48)
    assert part.ids == ("20", "21", "22", "23")
    assert (part.targets == -1).all()
    np.testing.assert_allclose(part.pixels[part.rows, 40, 40, 0], 20 + 40 * (np.arange(12) // 3), atol=1)
    outputs = [scores(fold, 12) for fold in range(5)]
    each = [replace(task, fold=fold).folder_probabilities(outputs[fold], part) for fold in range(5)]
    mean = np.mean(each, axis=0)
    blind = np.stack([softmax(outputs[0])[n : n + 3].mean(0) for n in range(0, 12, 3)])
    np.testing.assert_allclose(each[0].sum(1), 1)
    np.testing.assert_allclose(each[0][:, 4], blind[:, 4])
    assert (each[0][2:, 2] / each[0][2:, 0] > blind[2:, 2] / blind[2:, 0]).all()  # folders 22 and 23 are 'no'
    lines = list(csv.reader(io.StringIO(task.table(root, outputs, part))))
    sample = list(csv.reader(io.StringIO((root / "sample_submission.csv").read_text())))
    assert lines[0] == sample[0]
    assert [line[0] for line in lines] == [line[0] for line in sample]
    np.testing.assert_allclose(np.array([line[1:] for line in lines[1:]], float), mean, rtol=1e-6)

    # Another order of rows and columns, and a class that is not asked for.
    like = tmp_path / "sample.csv"
    like.write_text("id,9,1,0,4\n./test/22,0,0,0,0\n./test/20,0,0,0,0\n./test/23,0,0,0,0\n./test/21,0,0,0,0\n")
    lines = list(csv.reader(io.StringIO(task.table(root, outputs, part, like))))
    kept = mean[[2, 0, 3, 1]][:, [4, 1, 0, 2]]
    wanted = kept / kept.sum(1, keepdims=True)
    np.testing.assert_allclose(np.array([line[1:] for line in lines[1:]], float), wanted, rtol=1e-6)
    for text, says in (
        ("id,9,1\n20,0,0\n", "do not fit"),
        ("id,9,3\n20,0,0\n", "'3' names no pose_id"),
        ("id,9,9\n20,0\n21,0\n22,0\n23,0\n", "something twice"),
        ("", "cannot be read"),
    ):
        like.write_text(text)
        with pytest.raises(UserError, match=says):
            task.table(root, outputs, part, like)


# Drawn gestures and the studies


def test_drawn_gestures_are_in_the_layout_and_the_same_each_time(tmp_path: Path) -> None:
    drawn = DrawnGestures(folders=10, frames=2, tests=2, actors=3)
    synth(drawn, tmp_path / "a")
    assert read_gestures(tmp_path / "a") == GESTURES
    clips = read_clips(tmp_path / "a", "train", GESTURES)
    assert [clip.gesture for clip in clips] == list(range(10))
    assert {clip.actor for clip in clips} == {"0", "1", "2"}
    again = sequence(drawn, 6)
    np.testing.assert_array_equal(again.points, clips[6].points)
    for number, frame in enumerate(again.frames):
        np.testing.assert_array_equal(np.asarray(Image.open(clips[6].frames[number])), frame)
    assert len(read_clips(tmp_path / "a", "test", GESTURES)) == 2
    assert "action" not in json.loads((tmp_path / "a/test/10/10.json").read_text())
    for clip in clips:
        hand = acting(clip.points)
        assert hand.sum(1).min() >= 20  # all but a stray joint
        left = hand[:, :21].sum() > hand[:, 21:].sum()
        assert GESTURES[clip.gesture].hand in ("any", "left" if left else "right")
        assert ((clip.points[hand][:, :2] > -5) & (clip.points[hand][:, :2] < (WIDTH + 5, HEIGHT + 5))).all()
    with pytest.raises(UserError, match="exists already"):
        synth(drawn, tmp_path / "a")
    with pytest.raises(UserError, match="frames is 1"):
        DrawnGestures(frames=1)


def test_drawn_labels_are_known_before_anything_is_drawn(cache: Path) -> None:
    task = Gestures(drawn=DrawnGestures())
    assert task.outputs == len(task.labels) == len(set(task.labels)) == 10
    assert layout.partners(task.gestures) == (1, 0, 3, 2, 5, 4, 7, 6, 8, 9)
    assert layout.pairs(task.gestures, task.pairs) == (((0, 2), (1, 3)), ((4, 6), (5, 7)))
    assert not cache.exists()


@dataclass(frozen=True)
class Colour:
    """Class scores from the mean colour."""

    def build(self) -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))


def test_the_batch_that_is_learnt_from_teaches(task: Gestures) -> None:
    """Colours say the class; augmented batches, targets and loss bring a linear layer to it."""
    torch.manual_seed(0)
    part, net = task.split(48).train, Colour().build()
    net.logits = net.forward
    steps = torch.optim.Adam(net.parameters(), 0.2)
    generator = torch.Generator().manual_seed(0)
    pixels, truth = torch.from_numpy(part.pixels[part.rows]), torch.from_numpy(part.targets)
    how = GestureAugment(rotate=10, scale=0.1, margin=0.5)
    for _ in range(80):
        images, targets = task.augment(pixels, truth, 32, how, generator)
        steps.zero_grad()
        task.loss(net, images, targets, Training(lr=1))[0].backward()
        steps.step()
    valid = task.split(48).valid
    outputs = net(task.inputs(torch.from_numpy(valid.pixels[valid.rows]), 32)).detach().numpy()
    assert task.error(outputs, valid) < 0.5 * task.baseline()


@pytest.mark.parametrize("name", ["gestures", "gestures_regnetx", "gestures_regnety", "gestures_by_actor"])
def test_studies_ask_the_data_how_many_classes_there_are(name: str, root: Path) -> None:
    study = load_study(name, data=root)
    assert study.task.outputs == 5
    assert load_study(name).task.outputs == 10
