"""Animal pose: the task on drawn and on painted animals, its crops, augmentation, loss and error."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from data.drawn.animals import DrawnAnimals, draw
from data.errors import UserError
from data.layouts.annotations import partners
from data.layouts.coco import find, find_valid, read_file
from data.storage.pack import Part
from data.tasks.keypoints import Keypoints, animals
from data.tasks.losses import HARDEST, crop_loss, gaussians
from data.tasks.metrics import average_precision
from data.tasks.skeletons import AP10K, COCO, lower_half
from data.transforms import topdown
from data.transforms.augment import CONTEXT, AnimalAugment, levels, shape
from data.transforms.warp import inputs as shown_crops
from models.bodies import Body
from models.net import Arch
from search.samplers import KnownCost
from search.study import Training, replay
from studies import animals as study_file

HOW = Training(lr=1e-3)
STILL = AnimalAugment()
DRAWN = DrawnAnimals(count=20, seed=3)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def task(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Keypoints:
    monkeypatch.setenv("POSEFRONT_CACHE", str(cache))
    return animals(drawn=DRAWN)


def perfect(part: Part) -> np.ndarray:
    """The truth as answers, and 0.1 where nothing is labelled."""
    return np.where(part.targets[..., 2:] > 0, part.targets, [0.1, 0.1, 1]).astype(np.float32)


def test_drawn_animals_are_in_ap10ks_layout(task: Keypoints) -> None:
    root = task.folder()
    assert sorted(path.name for path in root.iterdir()) == ["annotations", "data"]
    tables = {
        side: json.loads((root / "annotations" / f"ap10k-{side}-split1.json").read_text()) for side in ("train", "val")
    }
    assert [entry["id"] for entry in tables["val"]["images"]] == [5, 10, 15, 20]
    for table in tables.values():
        assert set(table) == {"info", "licenses", "images", "annotations", "categories"}
        assert set(table["annotations"][0]) == {
            *("id", "image_id", "category_id", "bbox", "area", "iscrowd", "num_keypoints", "keypoints")
        }
        for category in table["categories"]:
            assert category["keypoints"] == list(AP10K.names)
            assert [(a - 1, b - 1) for a, b in category["skeleton"]] == list(AP10K.edges)
    coco = read_file(*find(root))
    sizes = set()
    for one in coco.instances:
        with Image.open(one.file) as image:
            assert image.size == (one.width, one.height)
            sizes.add(image.size)
        x, y, w, h = one.box
        assert x >= 0
        assert y >= 0
        assert x + w <= one.width
        assert y + h <= one.height
        seen = one.points[one.points[:, 2] > 0]
        assert len(seen) >= 6
        assert (one.points[one.points[:, 2] == 0] == 0).all()
        # A keypoint may stand a little outside of its silhouette, whose edge is soft.
        assert ((seen[:, :2] >= np.array([x, y]) - 8) & (seen[:, :2] <= np.array([x + w, y + h]) + 8)).all()
    assert len(sizes) > 5
    assert {0, 1, 2} == set(np.concatenate([one.points[:, 2] for one in coco.instances]).tolist())


def test_drawing_depends_on_seed_and_number_alone() -> None:
    image, found = draw(DRAWN, 4)
    again, same = draw(DrawnAnimals(count=10, seed=3), 4)
    assert image.tobytes() == again.tobytes()
    assert all(np.array_equal(a.points, b.points) for a, b in zip(found, same, strict=True))
    assert draw(DrawnAnimals(count=10, seed=4), 4)[0].tobytes() != image.tobytes()
    with pytest.raises(UserError, match="at least 10"):
        DrawnAnimals(count=9)
    with pytest.raises(IndexError):
        draw(DRAWN, 20)


def test_the_left_of_an_animal_that_faces_left_is_near() -> None:
    """Whoever looks at an animal facing left sees its left side: left points are seldom hidden."""
    left = [AP10K.names.index(f"left_{part}") for part in ("shoulder", "elbow", "hip", "knee")]
    right = [AP10K.names.index(f"right_{part}") for part in ("shoulder", "elbow", "hip", "knee")]
    near, far = [], []
    for index in range(12):
        for one in draw(DrawnAnimals(count=12, seed=1), index)[1]:
            nose, tail = one.points[2], one.points[4]
            if nose[2] and tail[2] and abs(nose[0] - tail[0]) > 50:
                sides = (left, right) if nose[0] < tail[0] else (right, left)
                near.append((one.points[sides[0], 2] == 2).mean())
                far.append((one.points[sides[1], 2] == 2).mean())
    assert len(near) >= 8
    assert np.mean(near) > 0.8
    assert np.mean(far) < np.mean(near) - 0.2


def test_the_split_is_the_files_and_the_test_file_is_never_opened(task: Keypoints) -> None:
    root = task.folder()
    (root / "annotations" / "ap10k-test-split1.json").write_text("no json at all")
    owned = animals(root)
    owned.prepare()
    split = owned.split(64)
    train, valid = read_file(*find(root)), read_file(*(find_valid(root) or ()))
    assert len(split.train.rows) == len(train.instances)
    assert len(split.valid.rows) == len(valid.instances)
    assert split.train.pixels.shape == (len(train.instances) + len(valid.instances), 112, 112, 3)
    assert split.valid.rows[0] == len(train.instances)
    assert owned.labels == AP10K.names
    assert owned.points == 17
    assert owned.edges == AP10K.edges
    assert owned.identity() == task.identity()
    assert owned.identity() != replace(owned, flip_test=False).identity()
    (root / "annotations" / "ap10k-test-split1.json").unlink()


def test_perfect_answers_have_no_error_and_the_mean_pose_has_a_large_one(task: Keypoints) -> None:
    part = task.split(64).valid
    assert task.error(perfect(part), part) == pytest.approx(0)
    assert task.precision(perfect(part), part)["AP"] == pytest.approx(1)
    assert 0.9 < task.baseline() <= 1
    moved = perfect(part)
    moved[..., 0] += 0.02
    assert 0 < task.error(moved, part) < 1
    errors = task.errors(moved, part)
    assert np.array_equal(np.isnan(errors), part.targets[..., 2] == 0)
    assert np.nanmax(np.abs(errors - 2.5)) < 1e-4  # per cent of the box: 0.02 x 1.25
    with pytest.raises(ValueError, match="differ in shape"):
        task.errors(moved[:-1], part)


def test_error_is_pycocotools_in_the_images_own_pixels(task: Keypoints) -> None:
    """Answers written in image pixels without the task's crops give the same precision."""
    part = task.split(64).valid
    rng = np.random.default_rng(0)
    answers = perfect(part)
    answers[..., :2] += rng.normal(0, 0.02, answers[..., :2].shape)
    answers[..., 2] = rng.random(answers.shape[:2])
    annotations, images = find_valid(task.folder()) or ()
    results = []
    for one, answer in zip(read_file(annotations, images).instances, answers.astype(np.float64), strict=True):
        x, y, w, h = one.box
        side = 1.25 * max(w, h)
        corner = np.array([x + w / 2, y + h / 2]) - side / 2
        flat = np.column_stack([answer[:, :2] * side + corner - 0.5, answer[:, 2]]).ravel().tolist()
        result = {"image_id": one.image_id, "category_id": one.category_id, "keypoints": flat}
        results.append({**result, "score": float(answer[:, 2].mean())})
    wanted = average_precision(json.loads(annotations.read_text()), results, AP10K.sigmas)
    found = task.precision(answers, part)
    assert max(abs(found[name] - wanted[name]) for name in wanted) < 1e-9
    assert 0 < found["AP"] < 1
    assert task.error(torch.from_numpy(answers), part) == 1 - found["AP"]


def painted(root: Path, crowd: bool = False) -> Path:
    """Twelve images of two objects with COCO's 17 keypoints; images 0-1, 2-3, ... are a video each."""
    rng = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    images, notes = [], []
    for number in range(12):
        images.append({"id": number, "file_name": f"{number}.png", "width": 90, "height": 70, "video": number // 2})
        Image.new("RGB", (90, 70), (number, 9, 9)).save(root / "images" / f"{number}.png")
        for corner in ((5, 5), (45, 20)):
            points = np.column_stack([rng.uniform(corner, np.add(corner, 40), (17, 2)), rng.integers(0, 3, 17)])
            entry = {"id": len(notes), "image_id": number, "category_id": 1, "bbox": [*corner, 40, 40]}
            notes.append({**entry, "keypoints": points.ravel().tolist(), "iscrowd": 0})
    if crowd:
        notes[0]["iscrowd"] = 1
        notes[1]["keypoints"] = [0] * 51
    kinds = [{"id": 1, "name": "person", "keypoints": list(COCO.names), "skeleton": [[1, 2]]}]
    table = {"images": images, "annotations": notes, "categories": kinds}
    (root / "annotations" / "train.json").write_text(json.dumps(table))
    return root


def test_without_validation_annotations_videos_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    root = painted(tmp_path / "data")
    seen = []
    for fold in range(3):
        task = animals(root, folds=3, fold=fold, seed=1)
        split = task.split(64)
        groups = [set((part.rows // 4).tolist()) for part in (split.train, split.valid)]
        assert not groups[0] & groups[1]
        assert len(split.train.rows) + len(split.valid.rows) == 24
        assert task.error(perfect(split.valid), split.valid) == pytest.approx(0)
        seen += split.valid.rows.tolist()
    assert sorted(seen) == list(range(24))
    assert task.actual_skeleton.sigmas == COCO.sigmas
    assert task.edges == ((0, 1),)
    assert task.picture(2).shape == (224, 224, 3)
    assert (task.picture(2) == (1, 9, 9)).all()
    with pytest.raises(UserError, match="cannot be split into 7 folds"):
        animals(root, folds=7).split(64)
    with pytest.raises(UserError, match="has other keypoints for 'person'"):
        animals(root, skeleton=AP10K).prepare()


def test_crowds_and_unlabelled_objects_are_neither_learnt_nor_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "cache"))
    root = painted(tmp_path / "data", crowd=True)
    for fold in range(2):
        split = animals(root, folds=2, fold=fold).split(64)
        assert len(split.train.rows) + len(split.valid.rows) == 22
        for part in (split.train, split.valid):  # the image that has them is in one of the two
            assert animals(root, folds=2, fold=fold).error(perfect(part), part) == pytest.approx(0)


def test_no_data_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no data: give a folder"):
        animals().prepare()
    with pytest.raises(UserError, match="is not a folder"):
        animals(tmp_path / "absent").prepare()
    with pytest.raises(ValueError, match="folds must be"):
        animals(folds=1)
    with pytest.raises(ValueError, match="margin must lie"):
        animals(margin=0.5)


def test_partners_and_lower_halves_come_from_names() -> None:
    for known in (AP10K, COCO):
        swapped = partners(known.names)
        for place, name in enumerate(known.names):
            other = name.replace("left", "X").replace("right", "left").replace("X", "right")
            assert known.names[swapped[place]] == other
    names = ("L_Eye", "R_Eye", "Nose", "L_F_Paw", "R_F_Paw", "R_B_Paw", "L_B_Paw", "leftEar", "rightEar")
    names += ("pillar", "left_lone")
    assert partners(names) == (1, 0, 2, 4, 3, 6, 5, 8, 7, 9, 10)
    assert [names[place] for place in lower_half(names)] == ["R_B_Paw", "L_B_Paw"]
    below = [AP10K.names[place] for place in lower_half(AP10K.names)]
    assert below == ["root_of_tail", *AP10K.names[11:]]
    assert [COCO.names[place] for place in lower_half(COCO.names)] == list(COCO.names[11:])
    assert lower_half(("p0", "p1")) == ()


def dots(side: int, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Packed crops with 17 soft dots each, dot p bright by p in red (green tells left ones), and where they are."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.linspace(0.2, 0.8, 5), np.linspace(0.2, 0.8, 4)), -1).reshape(-1, 2)[:17]
    places = grid + rng.uniform(-0.03, 0.03, (count, 17, 2))
    packed = (places - 0.5) / CONTEXT + 0.5
    cells = (np.arange(side) + 0.5) / side
    images = np.zeros((count, side, side, 3))
    for image, points in zip(images, packed, strict=True):
        for number, (x, y) in enumerate(points):
            blob = np.exp(-((cells - x) ** 2) / 3e-4)[None] * np.exp(-((cells - y) ** 2) / 3e-4)[:, None]
            image[..., 0] += blob * (100 + 9 * number)
    targets = np.concatenate([places, np.ones((count, 17, 1))], -1)
    return torch.from_numpy(images.round().clip(0, 255).astype(np.uint8)), torch.from_numpy(targets).float()


@pytest.mark.parametrize("size", [128, (128, 96), (96, 128)])
@pytest.mark.parametrize(
    "how",
    [STILL, AnimalAugment(rotate=30), AnimalAugment(scale=0.4), AnimalAugment(half_body=1.0), AnimalAugment(flip=1.0)],
)
def test_points_move_with_their_pixels(size: int | tuple[int, int], how: AnimalAugment) -> None:
    """At each labelled point of the result there is a dot, and it is that point's own, or its partner's in a mirror."""
    images, targets = dots(levels(size)[1], 6)
    mirrored, lower = partners(AP10K.names), lower_half(AP10K.names)
    shown, moved = topdown.augment(images, targets, size, how, torch.Generator().manual_seed(5), mirrored, lower)
    height, width = shape(size)
    assert shown.shape == (6, 3, height, width)
    red = (shown[:, 0] * 0.25 + 0.45) * 255
    at = topdown.to_input(moved[..., :2], size)
    checked = 0
    for image, points, flags in zip(red.numpy(), at.numpy(), moved[..., 2].numpy(), strict=True):
        for number, ((x, y), flag) in enumerate(zip(points, flags, strict=True)):
            assert flag == float(0 <= x <= 1 and 0 <= y <= 1)
            column, row = round(x * width - 0.5), round(y * height - 0.5)
            if flag and 2 < column < width - 3 and 2 < row < height - 3:
                near = image[row - 2 : row + 3, column - 2 : column + 3]
                own = mirrored[number] if how.flip else number
                assert near.max() == pytest.approx(100 + 9 * own, rel=0.16)
                weights = (near - near.min()).clip(0)
                middle = (weights.sum(0) @ np.arange(-2, 3), weights.sum(1) @ np.arange(-2, 3)) / weights.sum()
                assert np.abs(middle - np.array([x * width - 0.5 - column, y * height - 0.5 - row])).max() < 0.6
                checked += 1
    assert checked > (25 if how.half_body else 60)
    if how == STILL:
        assert torch.allclose(shown, shown_crops(images, size, CONTEXT), atol=1e-5)
        assert torch.allclose(moved, targets, atol=1e-5)


def test_half_bodies_show_one_half_from_eight_points_on() -> None:
    images, targets = dots(112, 64)
    mirrored, lower = partners(AP10K.names), list(lower_half(AP10K.names))
    upper = [place for place in range(17) if place not in lower]
    how = AnimalAugment(half_body=1.0)
    _, moved = topdown.augment(images, targets, 64, how, torch.Generator().manual_seed(0), mirrored, lower)
    shown = 0
    for before, after in zip(targets, moved, strict=True):
        # The half's mean is in the middle, and its larger extent is 1 / 1.5 of the view.
        fits = []
        for half in (upper, lower):
            extent = after[half, :2].amax(0) - after[half, :2].amin(0)
            fits.append(bool((after[half, :2].mean(0) - 0.5).abs().max() < 1e-4 and abs(extent.max() - 1 / 1.5) < 1e-4))
        assert sum(fits) == 1
        assert not torch.equal(before, after)
        shown += fits[0]
    assert 16 < shown < 48
    targets[:, 7:, 2] = 0  # seven labelled: the whole crop
    _, moved = topdown.augment(images, targets, 64, how, torch.Generator().manual_seed(0), mirrored, lower)
    assert torch.allclose(moved, targets, atol=1e-5)
    targets[:, 7, 2] = 1
    _, moved = topdown.augment(images, targets, 64, how, torch.Generator().manual_seed(0), mirrored, lower)
    assert not torch.isclose(moved[..., :2], targets[..., :2], atol=1e-3).all(-1).all(-1).any()
    _, moved = topdown.augment(images, targets, 64, how, torch.Generator().manual_seed(0), mirrored, ())
    assert torch.allclose(moved, targets, atol=1e-5)


def test_turns_and_sizes_have_the_published_spread() -> None:
    images = torch.zeros(4000, 8, 8, 3, dtype=torch.uint8)
    targets = torch.tensor([[0.5, 0.5, 1.0], [0.7, 0.5, 1.0]]).expand(4000, 2, 3)
    how = AnimalAugment(rotate=40, scale=0.5)
    _, moved = topdown.augment(images, targets, 8, how, torch.Generator().manual_seed(1), (0, 1), ())
    arm = moved[:, 1, :2] - moved[:, 0, :2]
    turn = torch.rad2deg(torch.atan2(arm[:, 1], arm[:, 0]))
    zoom = 0.2 / arm.norm(dim=1)
    still = turn.abs() < 1e-3
    assert 0.36 < still.float().mean() < 0.44
    assert turn.abs().max() == pytest.approx(80, abs=0.1)
    # a normal distribution cut off at two deviations has 0.96 x 40 with its cut-off mass at the ends
    assert turn[~still].square().mean().sqrt() == pytest.approx(38.4, rel=0.05)
    assert (zoom.min(), zoom.max()) == (pytest.approx(0.5, abs=1e-3), pytest.approx(1.5, abs=1e-3))
    for wrong in ({"rotate": 91}, {"scale": -0.1}, {"flip": 2}):
        with pytest.raises(ValueError, match="must lie in"):
            AnimalAugment(**wrong)


def test_levels_show_the_context() -> None:
    assert levels(64) == (224, 112)
    assert levels((128, 96)) == (224, 160)
    assert levels(96) == (224, 160)
    assert levels(256) == (384, 384)
    assert levels((256, 192)) == (384, 384)
    assert levels(512) == (384, 384)


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (64, 48), (16, 16)])
def test_targets_are_gaussians_whose_peaks_are_the_points(rows: int, columns: int) -> None:
    points = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    heat = gaussians(points, rows, columns)
    sigma = 2.0 if rows == 64 else 1.0
    y, x = 3, 7
    dx, dy = x + 0.5 - points[1, 2, 0] * columns, y + 0.5 - points[1, 2, 1] * rows
    assert heat[1, 2, y, x].item() == pytest.approx(math.exp(-(dx**2 + dy**2) / (2 * sigma**2)), rel=1e-4)
    found = Body("resnet18", 5, "heatmap", 64, upsample=3, deconv=8).build().decode(heat)
    off = (found[..., :2] - points).abs() * torch.tensor([columns, rows])
    assert off.max() <= 0.25 + 1e-4  # a quarter of a cell is the best that a quarter's shift can tell
    assert (found[..., 2] > 0.85).all()


class Fixed(nn.Module):
    """Heatmaps that are pixels: channel p of the input's pooled cells, so that a mirrored image has mirrored maps."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.kinds = torch.tensor([0 if "left" in name else 1 if "right" in name else 2 for name in names])
        self.gain = nn.Parameter(torch.ones(()))
        self.decode = Body("resnet18", 1, "heatmap", 32, upsample=3, deconv=8).build().decode

    def logits(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 4)[:, self.kinds] * self.gain


def test_heatmap_loss_is_the_mean_square_over_labelled_points() -> None:
    net = Fixed(AP10K.names)
    images, targets = torch.rand(2, 3, 64, 48), torch.rand(2, 17, 3)
    targets[..., 2] = (targets[..., 2] > 0.4).float()
    mirrored = partners(AP10K.names)
    found, answers = crop_loss(net, images, targets, HOW, mirrored, flip_test=True)  # training: no mirror
    heat, wanted = net.logits(images), gaussians(topdown.to_input(targets[..., :2], (64, 48)), 16, 12)
    each = torch.stack(
        [((heat[b, p] - wanted[b, p]) ** 2).mean() * targets[b, p, 2] for b in range(2) for p in range(17)]
    )
    assert found.item() == pytest.approx(each.mean().item(), rel=1e-5)
    assert answers.shape == (2, 17, 3)
    raw = net.decode(heat)
    assert torch.allclose(answers[..., 0], raw[..., 0])
    assert torch.allclose(answers[..., 1], (raw[..., 1] - 0.5) * 64 / 48 + 0.5)
    hard, _ = crop_loss(net, images, targets, replace(HOW, loss="hardest"), mirrored, flip_test=True)
    assert hard.item() == pytest.approx(each.view(2, 17).topk(HARDEST, 1).values.mean().item(), rel=1e-5)
    found.backward()
    assert net.gain.grad is not None
    assert net.gain.grad.abs() > 0
    with pytest.raises(ValueError, match="'nothing', but this task knows all, hardest"):
        crop_loss(net, images, targets, replace(HOW, loss="nothing"), mirrored, flip_test=True)
    with pytest.raises(ValueError, match="heatmaps have none"):
        crop_loss(net, images, targets, replace(HOW, divergence=0.1), mirrored, flip_test=True)


def test_flip_test_averages_heatmaps_of_the_mirror_image() -> None:
    """Colours are not mirrored, so the mirrored image's left answers come from what the right ones see."""
    torch.manual_seed(0)
    net = Fixed(AP10K.names).eval()
    images, targets = torch.rand(2, 3, 64, 64), torch.rand(2, 17, 3)
    mirrored = partners(AP10K.names)
    with torch.inference_mode():
        _, once = crop_loss(net, images, targets, HOW, mirrored, flip_test=False)
        _, both = crop_loss(net, images, targets, HOW, mirrored, flip_test=True)
        maps = net.logits(images)
        means = [(maps[:, place] + maps[:, partner]) / 2 for place, partner in enumerate(mirrored)]
        assert torch.allclose(both, net.decode(torch.stack(means, 1)), atol=1e-6)
        assert not torch.equal(once, both)
        middle = [place for place, partner in enumerate(mirrored) if place == partner]
        assert torch.allclose(once[:, middle], both[:, middle], atol=1e-6)


@pytest.mark.parametrize("head", ["direct", "heatmap", "simcc"])
def test_points_are_taught_their_distance_where_labelled(head: str) -> None:
    torch.manual_seed(0)
    net = Arch(points=17, width=0.2, stride=16, size=64, head=head).build()
    images, targets = torch.rand(3, 3, 64, 64), torch.rand(3, 17, 3)
    targets[..., 2] = (targets[..., 2] > 0.4).float()
    mirrored = partners(AP10K.names)
    net.eval()
    with torch.inference_mode():
        found, answers = crop_loss(net, images, targets, HOW, mirrored, flip_test=False)
        points = net(images)
        assert torch.allclose(answers[..., :2], points)
        assert (answers[..., 2] == 1).all()
        far = (points - targets[..., :2]).norm(dim=-1)[targets[..., 2] > 0]
        assert found.item() == pytest.approx(far.mean().item(), abs=0.5 / 224)
        _, both = crop_loss(net, images, targets, HOW, mirrored, flip_test=True)
        other = net(images.flip(-1))[:, list(mirrored)]
        other[..., 0] = 1 - other[..., 0]
        assert torch.allclose(both[..., :2], (points + other) / 2, atol=1e-6)
    net.train()
    value, answers = crop_loss(
        net, images, targets, replace(HOW, divergence=0.1, loss="hardest"), mirrored, flip_test=True
    )
    value.backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
    targets[..., 2] = 0
    assert crop_loss(net, images, targets, HOW, mirrored, flip_test=True)[0].item() == 0


def test_a_small_network_learns_a_few_animals(task: Keypoints) -> None:
    torch.manual_seed(0)
    part = task.split(64).train
    net = Body("resnet18", 17, "heatmap", 64, upsample=3, deconv=16).build()
    descent = torch.optim.Adam(net.parameters(), 2e-3)
    images, targets = torch.from_numpy(part.pixels[part.rows[:4]]), torch.from_numpy(part.targets[:4])
    inputs = task.inputs(images, 64)
    losses = []
    for _ in range(20):
        value, _ = task.loss(net, inputs, targets, HOW)
        descent.zero_grad()
        value.backward()
        descent.step()
        losses.append(value.item())
    assert losses[-1] < 0.7 * losses[0]


def test_published_recipes_are_what_they_say() -> None:
    study = study_file.study
    assert {"resnet50", "resnet152", "hrnet_w32", "hrnet_w32_256x192"} <= set(study.published)
    for name, params in {**study.published, **study.starts}.items():
        config, _ = replay(study, params)
        if name in study.starts:
            continue
        assert config.arch.outputs == 17
        assert config.arch.input_shape == ((3, 256, 192) if name.endswith("192") else (3, 256, 256))
        assert (config.training.optimizer, config.training.lr, config.training.batch) == ("adam", 5e-4, 64)
        assert config.training.milestones == (170 / 210, 200 / 210)
        assert (config.training.decay, config.training.warmup_from) == (0.1, 0.001)
        assert config.augment == AnimalAugment(rotate=40, scale=0.5, half_body=0.3, flip=0.5)
    assert study.final_epochs == 210
    assert study.sampler == KnownCost(held={"body": "small"})
