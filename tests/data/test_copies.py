"""Copies of an image are never on both sides of a split, and all that is found of them is said."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import GroupKFold

from data.layouts.check import check
from data.layouts.image_files import original
from data.storage.copies import firsts, look_at, looks, merged
from data.task import BaseTask
from data.tasks.freihand import FreiHand
from data.tasks.gestures import Gestures
from data.tasks.keypoints import Keypoints
from data.tasks.robot_hand import RobotHand
from tests.conftest import paint
from tests.data.test_inspect import write_gestures

pytestmark = pytest.mark.usefixtures("cache")
SIZE = (40, 30)


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8))


def entries(names: list[str], **more: dict[str, object]) -> dict[str, object]:
    """Annotations of an object in each image; `more` has further fields of an image's entry, by the file's stem."""
    images = [
        {"id": n, "file_name": name, "width": SIZE[0], "height": SIZE[1], **more.get(Path(name).stem, {})}
        for n, name in enumerate(names)
    ]
    whole = {"category_id": 1, "iscrowd": 0, "bbox": [4, 3, 20, 20], "keypoints": [5, 6, 2, 20, 9, 2]}
    kinds = [{"id": 1, "name": "clip", "keypoints": ["left_end", "right_end"], "skeleton": []}]
    notes = [{"id": n, "image_id": n, **whole} for n in range(len(names))]
    return {"images": images, "annotations": notes, "categories": kinds}


def written(root: Path, part: str, table: dict[str, object]) -> None:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "annotations" / f"{part}.json").write_text(json.dumps(table))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight photographs; copies of some: as bytes, in another format, as exporters change and name them."""
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    names = [f"p{n}.png" for n in range(8)]
    for n, name in enumerate(names):
        noise(n).save(root / "images" / name)
    shutil.copy(root / "images" / "p0.png", root / "images" / "same.png")
    noise(1).save(root / "images" / "other.bmp")
    for n in range(3):  # changed copies of one original, which is not there
        noise(100 + n).save(root / "images" / f"walk_jpg.rf.{n}ab.png")
    noise(200).save(root / "images" / "p2_png.rf.77.png")  # of an original that is there
    noise(300).save(root / "images" / "x.png")
    noise(301).save(root / "images" / "y.png")
    names += ["same.png", "other.bmp", *(f"walk_jpg.rf.{n}ab.png" for n in range(3)), "p2_png.rf.77.png"]
    names += ["x.png", "y.png", "p3.png"]  # one file under two ids
    extra = {"extra": {"name": "photo one.jpg"}}
    written(root, "train", entries(names, x=extra, y=extra))
    return root


WANTED = [{"p0", "same"}, {"p1", "other"}, {f"walk_jpg.rf.{n}ab" for n in range(3)}, {"p2", "p2_png.rf.77"}, {"x", "y"}]


def sides(task: Keypoints) -> tuple[set[str], set[str]]:
    split, usable = task.split(56), task._read().usable
    train, valid = ({Path(usable[row].file).stem for row in part.rows} for part in (split.train, split.valid))
    return train, valid


def test_no_copy_is_on_both_sides(root: Path) -> None:
    task = Keypoints(root, folds=4, metric="pixel_diff")
    task.prepare()
    judged = []
    for fold in range(4):
        train, valid = sides(replace(task, fold=fold))
        assert not train & valid
        for together in WANTED:
            assert together <= train or together <= valid
        judged += sorted(valid)
    assert sorted(judged) == sorted({Path(one.file).stem for one in task._read().usable})
    said = " | ".join(task.notes())
    assert (
        "2 images equal others and stay with them on one side of a split: same.png as p0.png, other.bmp as p1.png"
        in said
    )
    assert "2 originals of several images" in said
    assert "1 files of several images, which stay on one side of a split: p3.png (2 images)" in said
    for name in ("photo one.jpg (2 images)", "walk.jpg (3 images)"):
        assert name in said
    found = {problem.detail for problem in check(root).problems if problem.kind == "copies"}
    assert found == {note.partition(": copies, ")[2] for note in task.notes() if ": copies, " in note}


def test_without_copies_a_split_is_scikit_learns(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    names = [f"p{n}.png" for n in range(12)]
    for n, name in enumerate(names):
        noise(n).save(tmp_path / "images" / name)
    written(tmp_path, "train", entries(names, p3={"video": "a"}, p9={"video": "a"}))
    groups = np.unique([str(n) if n not in (3, 9) else "a" for n in range(12)], return_inverse=True)[1]
    folds = list(GroupKFold(5, shuffle=True, random_state=7).split(groups, groups=groups))
    for fold, (train, valid) in enumerate(folds):
        split = Keypoints(tmp_path, seed=7, fold=fold).split(56)
        assert split.train.rows.tolist() == train.tolist()
        assert split.valid.rows.tolist() == valid.tolist()
    before = Keypoints(tmp_path).identity()
    shutil.copy(tmp_path / "images" / "p0.png", tmp_path / "images" / "p1.png")
    Keypoints(tmp_path).prepare()
    assert Keypoints(tmp_path).identity() != before  # another split: errors are not comparable


def test_copies_of_validation_images_are_left_out_of_training(root: Path) -> None:
    clean = Keypoints(root, metric="pixel_diff")
    (root / "valid").mkdir()
    noise(400).save(root / "valid" / "new.png")
    noise(5).save(root / "valid" / "five.bmp")
    noise(401).save(root / "valid" / "walk_jpg.rf.9.png")
    (root / "valid" / "_annotations.coco.json").write_text(
        json.dumps(entries(["new.png", "five.bmp", "walk_jpg.rf.9.png"]))
    )
    clean.prepare()
    train, valid = sides(clean)
    assert valid == {"new", "five", "walk_jpg.rf.9"}
    assert {"p5", "walk_jpg.rf.0ab", "walk_jpg.rf.1ab", "walk_jpg.rf.2ab"} & train == set()
    assert len(train) == 12
    said = "4 training images are left out, as _annotations.coco.json has copies of them: p5.png, walk_jpg.rf.0ab.png"
    assert any(said in note for note in clean.notes())
    assert any(problem.detail.startswith(said) for problem in check(root).problems)
    # A validation part that holds the same images alone is none.
    shutil.rmtree(root / "valid")
    shutil.copy(root / "annotations" / "train.json", root / "annotations" / "val.json")
    clean.prepare()
    train, valid = sides(clean)
    assert train
    assert valid
    assert not train & valid
    assert any(
        "1 validation files, as they hold the images to train on and no others: val.json" in n for n in clean.notes()
    )
    assert check(root).sound


def test_blocks_of_hands_with_one_image_go_together(tmp_path: Path) -> None:
    hands = paint(tmp_path / "hands", hands=40, copies=2)
    whole = FreiHand(hands.root, blocks=20)
    whole.prepare()
    before = [replace(whole, fold=fold).split(56).valid.rows.tolist() for fold in range(5)]
    assert before == [replace(whole, fold=fold).split(56).valid.rows.tolist() for fold in range(5)]
    name, blocks = whole.identity(), [(4, 30), (12, 59)]
    assert any((one in valid) != (other in valid) for one, other in blocks for valid in before)
    for one, other in blocks:
        shutil.copy(hands.image(one), hands.image(other))
    whole.prepare()
    for fold in range(5):
        split = replace(whole, fold=fold).split(56)
        for one, other in blocks:
            assert (one in split.valid.rows) == (other in split.valid.rows)
            assert (one in split.train.rows) <= (other not in split.valid.rows)
    assert whole.identity() != name
    (note,) = whole.notes()
    assert "00000030.jpg as 00000004.jpg, 00000059.jpg as 00000012.jpg" in note


def test_folders_of_gestures_that_share_a_frame_go_together(tmp_path: Path) -> None:
    root = tmp_path / "gestures"
    write_gestures(root)
    for n, file in enumerate(sorted((root / "train").glob("*/*.png"))):
        with Image.open(file) as image:
            size = image.size
        noise(n).resize(size).save(file)
    shutil.copy(root / "train" / "0" / "1.png", root / "train" / "5" / "0.png")
    plain = Image.new("RGB", size)  # a camera that failed joins nothing
    for folder in ("1", "2", "3", "4"):
        plain.save(root / "train" / folder / "0.png")
    task = Gestures(root, folds=3, frames=2, side=56, motion=False)
    task.prepare()
    together(task, lambda row: row // 2, [(0, 5)], 6)
    assert [note.rpartition(": ")[2] for note in task.notes() if "equal" in note] == ["0.png as 1.png"]


def test_frames_that_are_turned_to_a_size_that_no_file_says(tmp_path: Path) -> None:
    root = write_gestures(tmp_path / "gestures")
    for folder, told in (("0", {}), ("3", {"image": {"width": 64, "height": 48}})):
        turned = noise(1).resize((48, 64))
        turned.getexif()[0x0112] = 6
        turned.save(root / "train" / folder / "1.png", exif=turned.getexif())
        path = root / "train" / folder / f"{folder}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | told))
    wanted = (
        "1 images are turned or mirrored as their EXIF data say, and no size tells whether annotations are, too: 1.png"
    )
    task = Gestures(root, folds=3, frames=2, side=56, motion=False)
    assert any(note.endswith(wanted) for note in task.notes())
    assert wanted in {problem.detail for problem in check(root).problems}


def together(task: BaseTask, of: Callable[[int], int], pairs: list[tuple[int, int]], count: int) -> None:
    """Each of `count` is judged once, on one side alone, and those of a pair on the same."""
    judged = []
    for fold in range(task.folds):
        split = replace(task, fold=fold).split(56)
        train, valid = ({of(int(row)) for row in part.rows} for part in (split.train, split.valid))
        assert not train & valid
        assert all((one in valid) == (other in valid) for one, other in pairs)
        judged += sorted(valid)
    assert sorted(judged) == list(range(count))


def test_merged_groups_against_brute_force() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        groups, one, two = rng.integers(0, 9, (3, 12))
        first = [None if key == 0 else int(key) for key in one]
        found = merged(groups, first, two.tolist())
        linked = np.equal.outer(groups, groups) | np.equal.outer(two, two)
        linked |= np.equal.outer(one, one) & (one[:, None] > 0)
        for _ in range(4):
            linked = linked @ linked
        for a, b in combinations(range(12), 2):
            assert (found[a] == found[b]) == linked[a, b]
        assert all(found[row] == groups[linked[row]].min() for row in range(12))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("photo1_jpg.rf.0a1b2c.jpg", "photo1.jpg"),
        ("train/IMG-20_JPEG.rf.Zq9.png", "IMG-20.JPEG"),
        ("a\\b_png.rf.1.jpg", "b.png"),
        ("photo1.jpg", None),
        ("rf.jpg", None),
    ],
)
def test_names_of_originals(name: str, wanted: str | None) -> None:
    assert original(name) == wanted


def test_what_images_show(tmp_path: Path) -> None:
    """Equal if and only if the displayed pixels are; a file that is changed is looked at anew."""
    saved = {"a.png": noise(1), "b.bmp": noise(1), "c.png": noise(2), "d.png": Image.new("RGB", SIZE, "red")}
    for name, image in saved.items():
        image.save(tmp_path / name)
    turned = noise(1).rotate(180)
    turned.getexif()[0x0112] = 3
    turned.save(tmp_path / "e.png", exif=turned.getexif())
    files = [str(tmp_path / name) for name in (*saved, "e.png")]
    seen = looks(files)
    assert firsts(seen) == {files[1]: files[0], files[4]: files[0]}
    assert [each.plain for each in seen.values()] == [False, False, False, True, False]
    assert [each.turn for each in seen.values()] == [""] * 4 + ["any"]
    noise(3).save(files[1])
    look_at(files)
    assert firsts(looks(files)) == {files[4]: files[0]}


def test_exif_that_no_size_can_tell_is_counted(tmp_path: Path) -> None:
    """Displayed pixels everywhere; where width and height are those of both, check and search say so."""
    (tmp_path / "images").mkdir()
    names = []
    for turn, size in ((1, (40, 30)), (2, (40, 30)), (3, (40, 30)), (6, (30, 40)), (6, (40, 40)), (8, (40, 40))):
        image = Image.fromarray(np.random.default_rng(turn).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
        image.getexif()[0x0112] = turn
        names.append(f"{turn}-{size[0]}.png")
        image.save(tmp_path / "images" / names[-1], exif=image.getexif())
    table = entries(names)
    for entry in table["images"][4:]:  # type: ignore[index]
        entry["height"] = 40
    lying = Image.fromarray(np.random.default_rng(9).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    lying.getexif()[0x0112] = 8
    lying.save(tmp_path / "images" / "lying.png", exif=lying.getexif())
    added = entries([*names, "lying.png"])
    for part in ("images", "annotations"):
        table[part].append(added[part][-1])  # type: ignore[attr-defined, index]
    written(tmp_path, "train", table)
    task = Keypoints(tmp_path, metric="pixel_diff")
    task.prepare()
    said = "4 images are turned or mirrored as their EXIF data say, and no size tells whether annotations are, too: "
    (note,) = [note for note in task.notes() if "EXIF" in note]
    stored = (
        "1 images are annotated and learnt as they are stored, not as displayed and as predict sees them: lying.png"
    )
    for said_of_it in (" ".join(task.notes()), " ".join(problem.detail for problem in check(tmp_path).problems)):
        assert stored in said_of_it
    assert note.endswith(said + "2-40.png, 3-40.png, 6-40.png, 8-40.png")
    assert said + "2-40.png, 3-40.png, 6-40.png, 8-40.png" in {problem.detail for problem in check(tmp_path).problems}


def test_samples_of_a_robot_with_the_same_pictures_go_together(tmp_path: Path) -> None:
    for number in range(6):
        place = tmp_path / "train" / "X" / str(number)
        (place / "rgb").mkdir(parents=True)
        for view in range(3):
            noise(view if view < 2 else 9 + number % 4).resize((224, 224)).save(place / "rgb" / f"{view}.png")
        np.save(place / "depth.npy", np.full((3, 224, 224), 500, np.float32))
        (place / "field_id.pkl").write_bytes(b"Vs%d\np0\n." % number)
        (tmp_path / "train" / "Y").mkdir(exist_ok=True)
        np.save(tmp_path / "train" / "Y" / f"{number}.npy", np.linspace(0, 0.1, 12) + number)
    task = RobotHand(tmp_path, folds=3)
    task.prepare()
    together(task, int, [(0, 4), (1, 5)], 6)  # two cameras that show nothing new make no copy
    assert task.notes()[0].endswith("2 images equal others and stay with them on one side of a split: 4 as 0, 5 as 1")
