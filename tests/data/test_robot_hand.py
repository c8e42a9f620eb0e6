"""The robot-hand task against hand counts, a ray through each fingertip, and every damage a folder can hold."""

import math
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.drawn.robot_hand import CAMERAS, TIP, DrawnRobot, draw
from data.errors import UserError
from data.layouts.robot_hand import decode, fixed, identifier, samples
from data.storage.pack import Part
from data.tasks.robot_hand import RobotHand
from data.transforms.augment import RobotAugment
from data.transforms.robot_hand import packed, planes, prepared
from data.transforms.warp import resized
from models.bodies import Body
from search.load import load_study
from search.run.training.fit import fit
from search.study import Config, Training, replay

ROOT = Path(__file__).parent.parent.parent
CPU = torch.device("cpu")


def write(root: Path, count: int = 6, tests: int = 3, seed: int = 0) -> np.ndarray:
    """A folder of noise in the layout; answers the depths (count, 3, 224, 224) in millimetres, tenths among them."""
    rng = np.random.default_rng(seed)
    depths = []
    for part, total in (("train", count), ("test", tests)):
        for i in range(total):
            folder = root / part / "X" / str(i)
            (folder / "rgb").mkdir(parents=True)
            for view in range(3):
                pixels = rng.integers(0, 256 - 40 * view, (224, 224, 3), np.uint8)
                Image.fromarray(pixels).save(folder / "rgb" / f"{view}.png", compress_level=0)
            depth = rng.uniform(300, 900, (3, 224, 224)).round(1).astype(np.float32)
            np.save(folder / "depth.npy", depth)
            (folder / "field_id.pkl").write_bytes(pickle.dumps(f"{part}-{i}" if i % 2 else i + 1000, protocol=i % 6))
            if part == "train":
                (root / "train" / "Y").mkdir(exist_ok=True)
                np.save(root / "train" / "Y" / f"{i}.npy", rng.normal(0.05, 0.03, 12))
                depths.append(depth)
    return np.stack(depths)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """One folder for all tests that leave it as it is, and its depths."""
    root = tmp_path_factory.mktemp("robot")
    return root, write(root, count=11)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder that a test may spoil."""
    write(tmp_path / "robot", count=2, tests=1)
    return tmp_path / "robot"


@pytest.fixture(scope="module")
def drawn() -> RobotHand:
    task = RobotHand(drawn=DrawnRobot(count=40, tests=2))
    task.prepare()
    return task


def test_what_is_written_is_read(noise: tuple[Path, np.ndarray]) -> None:
    root, depths = noise
    task = RobotHand(root)
    split = task.split(224)
    rows = np.concatenate([split.train.rows, split.valid.rows])
    assert sorted(rows) == list(range(11))
    assert split.train.pixels.shape == (11, 224, 224, 18)
    for part in (split.train, split.valid):
        assert part.targets.dtype == np.float32
        for row, target in zip(part.rows, part.targets, strict=True):
            np.testing.assert_array_equal(target, np.load(root / f"train/Y/{row}.npy").astype(np.float32))
            seen = planes(torch.from_numpy(np.array(part.pixels[row : row + 1])))[0].numpy()
            for view in range(3):
                picture = np.asarray(Image.open(root / f"train/X/{row}/rgb/{view}.png"))
                np.testing.assert_allclose(seen[3 * view : 3 * view + 3].transpose(1, 2, 0) * 255, picture, atol=1e-4)
                np.testing.assert_array_equal(task.picture(row)[:, 224 * view : 224 * view + 224], picture)
            assert np.abs(seen[9:] - depths[row]).max() <= 1 / 512 + 1e-4
        assert [task._read()[1][row] for row in (0, 1, 2)] == ["1000", "train-1", "1002"]


def test_depths_are_kept_to_a_512th_of_a_millimetre_and_whole_ones_exactly() -> None:
    whole = np.arange(65536)
    kept = planes(torch.from_numpy(np.tile(fixed(whole)[None, :, None], (1, 1, 1, 6))))[0, 9, :, 0]
    np.testing.assert_array_equal(kept.numpy(), whole)
    depth = np.random.default_rng(0).uniform(0, 65535, 1000)
    by_hand = [(int(a) * 65536 + int(b) * 256 + int(c)) / 256 for a, b, c in fixed(depth)]
    assert np.abs(depth - by_hand).max() <= 1 / 512


def test_levels_are_resampled_as_numbers_not_as_bytes(noise: tuple[Path, np.ndarray]) -> None:
    root, depths = noise
    level = planes(torch.from_numpy(np.array(RobotHand(root).split(100).valid.pixels[3:5])))
    assert level.shape == (2, 12, 112, 112)
    # Independent: Pillow's own antialiased reduction of the float picture.
    for row in (3, 4):
        for view in range(3):
            wanted = np.asarray(Image.fromarray(depths[row, view]).resize((112, 112), Image.Resampling.BILINEAR))
            assert np.abs(level[row - 3, 9 + view].numpy() - wanted).max() < 0.01
    kept = planes(packed(level))
    assert (kept - level).abs().max() == 0


@pytest.mark.parametrize("signed", [False, True])
def test_inputs_are_normalised_by_the_training_part_alone(noise: tuple[Path, np.ndarray], signed: bool) -> None:
    root, depths = noise
    task = RobotHand(root, fold=1, signed=signed)
    split = task.split(224)
    seen = task.inputs(torch.from_numpy(np.array(split.train.pixels[split.train.rows])), 224).double().numpy()
    assert seen.shape == (len(split.train.rows), 12, 224, 224)
    pictures = np.stack([task.picture(row) for row in split.train.rows]).reshape(-1, 224, 3, 224, 3) / 255
    for view in range(3):
        for colour in range(3):
            values = pictures[:, :, view, :, colour]
            wanted = (values - values.mean()) / values.std()
            np.testing.assert_allclose(seen[:, 3 * view + colour], wanted, atol=2e-5)
    known = depths[split.train.rows]
    wanted = (known - known.min()) / (known.max() - known.min())
    np.testing.assert_allclose(seen[:, 9:], 2 * wanted - 1 if signed else wanted, atol=1e-4)
    # Another validation sample changes nothing: what it holds is no part of the measures.
    assert seen[:, :9].mean((0, 2, 3)) == pytest.approx(np.zeros(9), abs=1e-5)
    assert seen[:, :9].std((0, 2, 3)) == pytest.approx(np.ones(9), abs=1e-5)


def test_rmse_and_the_errors_of_each_number_by_hand(noise: tuple[Path, np.ndarray]) -> None:
    task = RobotHand(noise[0])
    part = task.split(56).valid
    outputs = part.targets + np.float32(0.01) * np.arange(12, dtype=np.float32)
    outputs[0] -= 0.5
    total = 0.0
    for answered, true in zip(outputs.tolist(), part.targets.tolist(), strict=True):
        total += sum((a - t) ** 2 for a, t in zip(answered, true, strict=True))
    assert task.error(outputs, part) == pytest.approx(math.sqrt(total / (12 * len(outputs))), rel=1e-9)
    errors = task.errors(outputs, part)
    assert errors.shape == (len(outputs), len(task.labels)) == (len(outputs), 12)
    assert errors[1] == pytest.approx(0.01 * np.arange(12), abs=1e-6)
    with pytest.raises(ValueError, match="differ in shape"):
        task.error(outputs[:1], part)
    assert task.caption(part.targets[0] + np.repeat([0.003, 0, 0.001, 0], 3) / 3**0.5, part.targets[0]) == (
        "off by tip 1 3.0 mm, tip 2 0.0 mm, tip 3 1.0 mm, tip 4 0.0 mm"
    )
    train = task.split(56).train.targets.astype(float)
    far = [(t - m) ** 2 for row in part.targets.astype(float) for t, m in zip(row, train.mean(0), strict=True)]
    assert task.baseline() == pytest.approx(math.sqrt(sum(far) / len(far)))


class Fixed(torch.nn.Module):
    """A network that answers its input."""

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        return images


def test_losses_are_those_of_standardised_targets_and_answers_are_metres(noise: tuple[Path, np.ndarray]) -> None:
    task = RobotHand(noise[0])
    split = task.split(56)
    known = split.train.targets.astype(float)
    said = torch.randn(len(split.valid.rows), 12, dtype=torch.float32)
    wanted = (split.valid.targets.astype(float) - known.mean(0)) / known.std(0)
    far = np.abs(said.numpy() - wanted)
    by_hand = {"mse": (far**2).mean(), "smooth_l1": np.where(far < 1, far**2 / 2, far - 0.5).mean()}
    for kind, value in {**by_hand, "": by_hand["mse"]}.items():
        loss, answers = task.loss(Fixed(), said, torch.from_numpy(split.valid.targets), Training(0.1, loss=kind))
        assert loss.item() == pytest.approx(value, rel=1e-4)
        np.testing.assert_allclose(answers.numpy(), known.mean(0) + known.std(0) * said.numpy(), atol=1e-6)
    with pytest.raises(ValueError, match="mse, smooth_l1"):
        task.loss(Fixed(), said, torch.from_numpy(split.valid.targets), Training(0.1, loss="l2"))


def test_augmentation_drops_depth_jitters_colour_and_moves_nothing(noise: tuple[Path, np.ndarray]) -> None:
    task = RobotHand(noise[0], signed=True)
    part = task.split(56).train
    images, targets = torch.from_numpy(np.array(part.pixels[:8])), torch.rand(8, 12)
    plain = task.inputs(images, 48)

    def changed(how: RobotAugment, seed: int = 0) -> torch.Tensor:
        made, same = task.augment(images, targets, 48, how, torch.Generator().manual_seed(seed))
        assert torch.equal(same, targets)
        return made

    assert torch.equal(changed(RobotAugment()), plain)
    dropped = changed(RobotAugment(depth_dropout=0.3))
    gone = dropped != plain
    assert not gone[:, :9].any()
    assert (dropped[gone] == -1).all()
    count = gone[:, 9:].numel()
    assert gone.sum().item() / count == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / count))
    jittered = changed(RobotAugment(colour=0.4))
    assert torch.equal(jittered[:, 9:], plain[:, 9:])
    assert (jittered[:, :9] - plain[:, :9]).abs().mean() > 0.05
    assert torch.equal(jittered, changed(RobotAugment(colour=0.4)))
    assert not torch.equal(jittered, changed(RobotAugment(colour=0.4), seed=1))
    for wrong in ({"depth_dropout": 1.1}, {"colour": -0.1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RobotAugment(**wrong)
    small = resized(planes(images), 48)
    grey = (small[:, :3] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    norm = task._measured()[0]
    colours = prepared(images, 48, norm, RobotAugment(colour=0.4), torch.Generator().manual_seed(0))[:, :3]
    back = colours * norm.std[:3, None, None] + norm.mean[:3, None, None]
    luma = (back * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    # Brightness b scales the mean of the grey picture, contrast its spread: both within 1 - 0.4 and 1 + 0.4.
    bright = luma.mean((1, 2)) / grey.mean((1, 2))
    contrast = luma.std((1, 2)) / grey.std((1, 2)) / bright
    for factor in (bright, contrast):
        assert factor.min() > 0.6 - 1e-3
        assert factor.max() < 1.4 + 1e-3
        assert factor.std() > 0.05


class Exploit:
    """Touches a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_is_a_mistake_and_runs_nothing(small: Path, tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "owned"
    file = small / "train/X/1/field_id.pkl"
    file.write_bytes(pickle.dumps(Exploit(mark), protocol=protocol))
    pickle.loads(file.read_bytes())  # noqa: S301 - it does work
    assert mark.exists()
    mark.unlink()
    with pytest.raises(UserError, match=r"train/X/1/field_id\.pkl is not plain \(it has the opcode"):
        RobotHand(small, folds=2).prepare()
    assert not mark.exists()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "is no pickle"),
        (pickle.dumps("7")[:-1], "is no pickle"),
        (b"not a pickle", "is no pickle|has the opcode"),
        (pickle.dumps(True), "has the opcode"),
        (b"I01\n.", "has 0 values|has the opcode"),
        (pickle.dumps(None), "has the opcode"),
        (pickle.dumps(("1", "2")), "has the opcode"),
        (pickle.dumps(1.5), "has the opcode"),
        (pickle.dumps("x" * 5000), "larger than 4096"),
        (b"L" + b"9" * 4090 + b"L\n.", "one pickled text or number|is no pickle"),
        (b"\x80\x04X\xff\xff\xff\x7fa.", "is no pickle"),
        (b"\x80\x04K\x01K\x02.", "has 2 values"),
        (b"r\xff\xff\xff\x7f.", "has 0 values"),
    ],
)
def test_only_one_text_or_number_is_an_id(tmp_path: Path, raw: bytes, said: str) -> None:
    file = tmp_path / "field_id.pkl"
    file.write_bytes(raw)
    if raw.startswith(b"L"):
        assert identifier(file) == "9" * 4090  # a long number is a number
        return
    with pytest.raises(UserError, match=said):
        identifier(file)


@pytest.mark.parametrize("value", ["12", "hand é 7", 0, 255, 65535, 2**31, -4, 2**70])
def test_plain_ids_of_every_protocol_are_read(tmp_path: Path, value: str | int) -> None:
    for protocol in range(6):
        (tmp_path / "field_id.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
        assert identifier(tmp_path / "field_id.pkl") == str(value)


def huge(path: Path) -> None:
    """A header that claims far more than the file has."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (3, 10**7, 10**7)})
        file.write(b"\0" * 64)


def archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


@pytest.mark.parametrize(
    ("file", "spoil", "said"),
    [
        ("train/X/1/rgb/2.png", lambda p: p.unlink(), "is missing"),
        ("train/X/1/rgb/2.png", lambda p: p.write_bytes(p.read_bytes()[:3000]), "is truncated"),
        ("train/X/1/rgb/2.png", lambda p: Image.new("RGB", (200, 224)).save(p), "is mis-shaped"),
        ("train/X/1/depth.npy", lambda p: p.unlink(), "is missing"),
        ("train/X/1/depth.npy", lambda p: p.write_bytes(p.read_bytes()[:-5]), "no whole .npy file"),
        ("train/X/1/depth.npy", lambda p: p.write_bytes(b""), "no whole .npy file"),
        ("train/X/1/depth.npy", lambda p: p.write_bytes(pickle.dumps([1])), "no whole .npy file"),
        ("train/X/1/depth.npy", huge, "no whole .npy file"),
        ("train/X/1/depth.npy", lambda p: np.save(p, np.array([{}], object)), "no whole .npy file"),
        ("train/X/1/depth.npy", archive, "no whole .npy file"),
        ("train/X/1/depth.npy", lambda p: np.save(p, np.zeros((3, 224, 224), complex)), "complex128"),
        ("train/X/1/depth.npy", lambda p: np.save(p, np.zeros((224, 224, 3))), r"shape \(224, 224, 3\)"),
        ("train/X/1/depth.npy", lambda p: np.save(p, np.full((3, 224, 224), -1.0)), "a depth of -1 where"),
        ("train/X/1/depth.npy", lambda p: np.save(p, np.full((3, 224, 224), 7e4)), "a depth of 70000 where"),
        ("train/X/1/depth.npy", lambda p: np.save(p, np.full((3, 224, 224), np.nan)), "a depth of nan where"),
        ("train/X/1/depth.npy", lambda p: np.save(p, np.full((3, 224, 224), np.inf)), "a depth of inf where"),
        ("train/X/1/field_id.pkl", lambda p: p.unlink(), "is missing"),
        ("train/Y/1.npy", lambda p: p.unlink(), r"train/Y/1\.npy is missing \(the label of .*train/X/1\)"),
        ("train/Y/1.npy", lambda p: np.save(p, np.zeros(11)), r"shape \(11,\)"),
        ("train/Y/1.npy", lambda p: np.save(p, np.array([np.nan] * 12)), "0 finite"),
        ("train/X/1", shutil.rmtree, r"train/Y/1\.npy: no sample in .*train/X belongs to it"),
        ("train/X", shutil.rmtree, r"train/X is missing \(cannot be listed"),
    ],
)
def test_damage_is_a_mistake_that_names_the_file(
    small: Path, file: str, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(small / file)
    with pytest.raises(UserError, match=said) as caught:
        RobotHand(small, folds=2).prepare()
    text = str(caught.value)
    assert str(small) in text
    assert text.endswith(".")
    assert "\n" not in text


def test_the_test_part_is_opened_for_predictions_alone(noise: tuple[Path, np.ndarray]) -> None:
    root, _ = noise
    code = f"""
import sys
from pathlib import Path
opened = []
events = ("open", "os.scandir", "os.listdir")
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event in events else None)
import torch
from data.tasks.robot_hand import RobotHand
root = Path({str(root)!r})
task = RobotHand(root, folds=3)
task.prepare()
task.split(64), task.split(224), task.identity(), task.baseline(), task.picture(0), task.inputs
mine = [path for path in opened if path.startswith(str(root))]
print(any("train/X/0" in path for path in mine), [path for path in mine if path.startswith(str(root / "test"))])
print(task.test_part(root, 64).ids)
"""
    environment = {**os.environ, "POSEFRONT_CACHE": os.environ["POSEFRONT_CACHE"] + "/audit"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines() == ["True []", "('1000', 'test-1', '1002')"], done.stderr


def test_the_table_of_predictions_is_in_metres_in_the_order_of_the_folders(
    noise: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    task = RobotHand(noise[0])
    net = Body("lcnet_050", 12, "linear", 64, channels=12).build()
    part = task.test_part(noise[0], 64)
    with torch.no_grad():
        answers = task.answer(net.eval(), task.inputs(torch.from_numpy(part.pixels.copy()), 64)).numpy()
    lines = task.table(noise[0], [answers - 0.25, answers + 0.25], part).splitlines()
    assert lines[0] == "ID," + ",".join(f"FINGER_POS_{n}" for n in range(1, 13))
    assert [line.split(",")[0] for line in lines[1:]] == ["1000", "test-1", "1002"]
    known = task.split(56).train.targets.astype(float)
    images = np.stack([decode(sample, 224) for sample in samples(noise[0], "test")])
    with torch.no_grad():
        said = net.eval().logits(task.inputs(torch.from_numpy(images), 64)).numpy()
    written = np.array([line.split(",")[1:] for line in lines[1:]], float)
    np.testing.assert_allclose(written, known.mean(0) + known.std(0) * said, atol=1e-6)

    sample = tmp_path / "sample.csv"
    head = ",".join(["id", *"abcdefghijkl"])
    sample.write_text("\n".join([head, *(f"{name}{',0' * 12}" for name in ("1002", "1000", "test-1"))]))
    asked = task.table(noise[0], [answers - 0.25, answers + 0.25], part, sample).splitlines()
    assert asked == [head, lines[3], lines[1], lines[2]]
    sample.write_text(f"{head}\n7{',0' * 12}\n")
    with pytest.raises(UserError, match="lists 1 samples, and test/X has 3"):
        task.table(noise[0], [answers], part, sample)
    sample.write_text("id,x\n")
    with pytest.raises(UserError, match="has 2 columns and not 13"):
        task.table(noise[0], [answers], part, sample)


def test_folds_share_nothing_and_the_name_follows_data_and_split(noise: tuple[Path, np.ndarray], small: Path) -> None:
    judged: list[int] = []
    for fold in range(4):
        split = RobotHand(noise[0], folds=4, fold=fold, seed=3).split(56)
        assert not set(split.train.rows) & set(split.valid.rows)
        assert (np.diff(split.train.rows) > 0).all()
        judged += split.valid.rows.tolist()
    assert sorted(judged) == list(range(11))
    tasks = [RobotHand(noise[0], **kind) for kind in ({}, {"fold": 1}, {"seed": 1}, {"folds": 4})]
    names = [task.identity() for task in (*tasks, RobotHand(small, folds=2))]
    assert len(set(names)) == 5
    assert RobotHand(noise[0]).identity() == names[0]
    with pytest.raises(UserError, match="2 samples cannot be split into 5"):
        RobotHand(small).split(56)
    with pytest.raises(UserError, match="--data DIR"):
        RobotHand().prepare()
    with pytest.raises(ValueError, match="folds"):
        RobotHand(folds=1)


def test_a_mended_folder_is_read_again(small: Path) -> None:
    task = RobotHand(small, folds=2)
    before = task.split(56).valid.targets
    np.save(small / "train/Y/0.npy", np.arange(12.0))
    np.save(small / "train/Y/1.npy", np.arange(12.0))
    task.prepare()
    assert not np.allclose(task.split(56).valid.targets, before)
    assert task.identity() != RobotHand(small, folds=2, fold=1).identity()


def test_drawn_pictures_show_the_tips_where_the_labels_say(drawn: RobotHand) -> None:
    seen = np.zeros(len(CAMERAS), int)
    for index in range(12):
        sample = draw(drawn.drawn, index)  # type: ignore[arg-type]
        for number, (camera, depth) in enumerate(zip(CAMERAS, sample.depth, strict=True)):
            # Every measured pixel, brought back into the world: none lies inside a tip, and some lie upon it.
            rows, columns = np.nonzero(depth)
            away = depth[rows, columns] / 1000
            local = np.stack([(columns - 111.5) / camera.focal, (rows - 111.5) / camera.focal, np.ones(len(rows))], -1)
            world = camera.place + (local * away[:, None]) @ camera.axes
            assert world[:, 2].min() > -1.5e-3  # nothing below the table
            for tip in sample.tips:
                nearest = np.linalg.norm(world - tip, axis=1)
                assert nearest.min() > TIP - 1.5e-3
                seen[number] += np.count_nonzero(nearest < TIP + 1.5e-3) > 5
        assert sample.tips[:, 2].min() > TIP
    assert (seen > 12).all(), seen  # of 48: the palm hides the tips of a closed hand


def test_a_drawn_set_is_the_layout_and_comes_from_its_seed_alone(drawn: RobotHand) -> None:
    folder = drawn.folder()
    inside = sorted(path.relative_to(folder / "train/X/7").as_posix() for path in (folder / "train/X/7").rglob("*.*"))
    assert inside == ["depth.npy", "field_id.pkl", "rgb/0.png", "rgb/1.png", "rgb/2.png"]
    assert len(list((folder / "train/Y").iterdir())) == 40
    assert [sample.folder.name for sample in samples(folder, "test")] == ["0", "1"]
    assert pickle.loads((folder / "test/X/1/field_id.pkl").read_bytes()) == "41"  # noqa: S301 - our own
    sample = draw(DrawnRobot(count=40, tests=2), 7)
    np.testing.assert_array_equal(np.load(folder / "train/X/7/depth.npy"), sample.depth)
    np.testing.assert_array_equal(np.load(folder / "train/Y/7.npy"), sample.tips.ravel())
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "train/X/7/rgb/1.png")), sample.rgb[1])
    assert np.array_equal(draw(DrawnRobot(count=900), 7).rgb, sample.rgb)  # a longer set begins with the shorter one
    assert not np.array_equal(draw(DrawnRobot(count=40, seed=1), 7).rgb, sample.rgb)
    with pytest.raises(IndexError):
        draw(DrawnRobot(count=3, tests=1), 4)
    with pytest.raises(UserError, match="count is 0"):
        DrawnRobot(count=0)


def test_a_small_network_learns_and_twice_the_same(drawn: RobotHand) -> None:
    arch = Body("resnet10t", 12, "linear", 48, channels=12)
    config = Config(arch, Training(lr=3e-3, batch=8), RobotAugment(depth_dropout=0.02))
    run = [reached.epoch for reached in fit(drawn, config, epochs=8, seed=0, device=CPU)]
    # Of so few samples it learns the very samples: 1 is what always answering their mean would cost.
    assert run[-1].train_loss < 0.7
    again = next(fit(drawn, config, epochs=8, seed=0, device=CPU)).epoch
    assert (again.error, again.train_loss) == (run[0].error, run[0].train_loss)


def test_published_recipes_are_as_published_and_steps_of_them_can_be_taken(drawn: RobotHand) -> None:
    study = load_study("robot_hand")
    made = {name: replay(study, params)[0] for name, params in study.published.items()}
    assert {name: config.arch.name for name, config in made.items()} == {
        "resnest269": "resnest269e",
        "resnet152": "resnet152",
        "resnet50": "resnet50",
        "convnext": "convnext_base",
        "hrnet": "hrnet_w32",
        "poseresnet152": "resnet152",
    }
    for name, config in made.items():
        assert config.arch.input_shape == (12, 224, 224)
        assert config.arch.upsample == (3 if name == "poseresnet152" else 0)
        training = config.training
        if name == "convnext":
            assert (training.optimizer, training.lr, training.weight_decay) == ("adamw", 4e-3, 0.05)
            assert (training.betas, training.schedule) == ((0.9, 0.999), "cosine")
        else:
            assert (training.optimizer, training.lr, training.schedule) == ("adam", 1e-3, "step")
    steps = made["resnest269"].training
    assert (np.array(steps.milestones) * 100).tolist() == pytest.approx([30, 60, 90])
    assert steps.decay == 0.5
    for name in ("hrnet", "poseresnet152"):
        steps = made[name].training
        assert (np.array(steps.milestones) * 210).tolist() == pytest.approx([170, 200])
        assert steps.decay == 0.1
    # None is queued, and none is sampled unless it is asked for.
    assert not set(study.starts) & set(study.published)
    part = Part(drawn.split(48).train.pixels, np.arange(2), drawn.split(48).train.targets[:2])
    for name, config in made.items():
        net = Body(config.arch.name, 12, "linear", 64, channels=12, upsample=config.arch.upsample).build()
        images = drawn.inputs(torch.from_numpy(np.array(part.pixels[part.rows])), 64)
        loss, answers = drawn.loss(net, images, torch.from_numpy(part.targets), config.training)
        loss.backward()
        assert answers.shape == (2, 12), name
        assert all(torch.isfinite(weight.grad).all() for weight in net.parameters() if weight.grad is not None)
