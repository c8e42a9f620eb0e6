import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.errors import UserError
from data.layouts import keypoints
from data.layouts.check import check
from data.layouts.coco import find, find_valid, read_file
from data.layouts.detect import layout
from data.layouts.problems import Problem
from data.storage.crops import crops, cut, fractions, frames, pixels
from data.storage.image import BadImage
from data.tasks.keypoints import Keypoints
from data.tasks.metrics import average_precision, coco_truth

NAMES = ["nose", "left_eye", "right_eye"]


def table(**changed: object) -> dict:
    """Two images, two categories; a crowd, an unlabelled object and one of a video among four."""
    kinds = [{"id": 3, "name": "cat", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}, {"id": 7, "name": "cow"}]
    kinds[1] |= {"keypoints": NAMES, "skeleton": []}
    whole = {"bbox": [10, 5, 20, 10], "iscrowd": 0, "keypoints": [12, 6, 2, 15.5, 8, 1, 0, 0, 0]}
    return {
        "images": [
            {"id": 5, "file_name": "a.png", "width": 60, "height": 40},
            {"id": 6, "file_name": "b.png", "width": 30, "height": 50, "video": "walk"},
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 3, "area": 150.5, "num_keypoints": 2, **whole},
            {"id": 2, "image_id": 6, "category_id": 7, **whole, "bbox": [-4, 2, 12, 30]},
            {"id": 4, "image_id": 5, "category_id": 3, **whole, "iscrowd": 1},
            {"id": 9, "image_id": 5, "category_id": 3, **whole, "keypoints": [0] * 9},
        ],
        "categories": kinds,
        **changed,
    }


def wrong(**changed: object) -> dict:
    """The table with the first annotation changed."""
    made = table()
    made["annotations"][0] |= changed
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The table and its images."""
    write_images(tmp_path)
    (tmp_path / "annotations" / "train.json").write_text(json.dumps(table()))
    return tmp_path


def write_images(tmp_path: Path) -> None:
    """The table's images, painted so that each pixel tells its column and row, and a folder for the table."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").mkdir()
    for name, width, height in (("a.png", 60, 40), ("b.png", 30, 50)):
        rows, columns = np.mgrid[:height, :width]
        painted = np.stack([columns * 4, rows * 4, np.full_like(rows, 99)], -1).astype(np.uint8)
        Image.fromarray(painted).save(tmp_path / "images" / name)


def test_read_gives_what_the_file_says(root: Path) -> None:
    coco = read_file(*find(root))
    assert [(c.id, c.name, c.keypoints, c.edges) for c in coco.categories] == [
        (3, "cat", tuple(NAMES), ((0, 1), (0, 2))),
        (7, "cow", tuple(NAMES), ()),
    ]
    first, second, crowd, blank = coco.instances
    assert first.points.tolist() == [[12, 6, 2], [15.5, 8, 1], [0, 0, 0]]
    assert (first.id, first.image_id, first.category_id, first.labelled) == (1, 5, 3, 2)
    assert first.file == str(root / "images" / "a.png")
    assert (first.box, first.area, first.width, first.height) == ((10, 5, 20, 10), 150.5, 60, 40)
    assert second.area == 12 * 30
    assert (first.group, second.group) == (5, "walk")
    assert [one.crowd for one in coco.instances] == [False, False, True, False]
    assert blank.labelled == 0
    assert crowd.labelled == 2


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([], r"x\.json is mis-shaped .it has no list named images"),
        (table(categories=[]), "no category has keypoints"),
        (table(annotations=[]), "no annotation with a box and a labelled keypoint"),
        (wrong(image_id=77), "its image 77 is not listed"),
        (wrong(category_id=1), "its category 1 is not listed"),
        (wrong(id=2), "annotation 2: the id of 2 annotations"),
        (wrong(id="x"), r"at place 0 is mis-shaped .it lacks a whole number as id"),
        (wrong(keypoints=[1, 2, 2]), "its keypoints are 3 numbers instead of 9"),
        (wrong(keypoints=[1, 2, 2] * 2 + [1, float("nan"), 1]), "keypoint 2 is non-finite"),
        (wrong(keypoints=[1, 2, 3] * 3), "its visibility is 3, not 0, 1 or 2"),
        (wrong(bbox=[1, 2, 0, 4]), "its bbox is 0 wide and 4 high"),
        (wrong(bbox=[100, 2, 5, 4]), "is outside its image of 60x40"),
        (wrong(bbox=[1, 2, 3]), r"its bbox is .1, 2, 3. instead of x, y, width and height"),
        (wrong(area="much"), "its area is 'much'"),
        (table(images=[{"id": 5}, {"id": 6}]), r"image 5 is mis-shaped .it lacks a file_name"),
    ],
)
def test_malformed_annotations_are_a_mistake_that_says_what(tmp_path: Path, made: object, said: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps(made))
    with pytest.raises(UserError, match=said) as caught:
        read_file(file, tmp_path)
    assert str(file) in str(caught.value)


def test_wrong_skeletons_counts_and_files_are_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    with pytest.raises(UserError, match=r"is missing .no such file"):
        read_file(file, tmp_path)
    file.write_text("{")
    with pytest.raises(UserError, match=r"is unreadable .no JSON"):
        read_file(file, tmp_path)
    made = table()
    made["categories"][0]["skeleton"] = [[0, 1]]
    file.write_text(json.dumps(made))
    with pytest.raises(UserError, match=r"its skeleton joins \[0, 1\], and it has 3 keypoints"):
        read_file(file, tmp_path)
    file.write_text(json.dumps(table()))
    with pytest.raises(UserError, match=r"numbers of keypoints differ: \[3, 17\]"):
        read_file(file, tmp_path, keypoints="abcdefghijklmnopq")
    with pytest.raises(UserError, match="keypoints of 'cat' are nose, left_eye, right_eye, not nose, right_eye, left_"):
        read_file(file, tmp_path, keypoints=[NAMES[0], *NAMES[:0:-1]])
    said: list[Problem] = []
    read_file(file, tmp_path, said.append, keypoints=["nose", "eye", "other eye"])
    assert "warning" in {problem.severity for problem in said if "not nose, eye, other eye" in problem.detail}


def test_sizes_that_no_file_says_are_those_displayed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image on its side by EXIF: upright in training; whether its annotations are, nobody knows."""
    monkeypatch.setenv("POSEFRONT_CACHE", str(root / "cache"))
    stored = np.arange(60 * 40 * 3, dtype=np.uint8).reshape(60, 40, 3)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = 6
    image.save(root / "images" / "a.png", exif=image.getexif())
    sizes = table()["images"]
    for entry in sizes:
        del entry["width"], entry["height"]
    (root / "annotations" / "train.json").write_text(json.dumps(table(images=sizes)))
    one = keypoints.read(root).train.instances[0]
    assert (one.width, one.height) == (60, 40)
    whole = replace(one, box=(0.0, 0.0, 60.0, 40.0))
    assert np.array_equal(cut(whole, 60, 1.0)[10:50], np.rot90(stored, -1))
    (problem,) = [problem for problem in check(root).problems if problem.kind == "orientation"]
    assert problem.detail.startswith("1 images are turned")
    assert problem.detail.endswith(": a.png")
    sizes[1]["width"] = 30  # one of the two is no size
    (root / "annotations" / "train.json").write_text(json.dumps(table(images=sizes)))
    with pytest.raises(UserError, match="its width and height are 30 and None"):
        keypoints.read(root)


def test_find_takes_train_and_never_test(tmp_path: Path) -> None:
    notes, pictures = tmp_path / "annotations", tmp_path / "data"
    with pytest.raises(UserError, match="is not a folder"):
        find(tmp_path / "absent")
    notes.mkdir()
    pictures.mkdir()
    (notes / "ap10k-test-split1.json").write_text("{}")
    with pytest.raises(UserError, match="no annotations to train on"):
        find(tmp_path)
    (notes / "only.json").write_text("{}")
    assert find(tmp_path) == (notes / "only.json", pictures)
    assert find_valid(tmp_path) is None
    for name in ("ap10k-train-split2", "ap10k-train-split1", "ap10k-val-split1"):
        (notes / f"{name}.json").write_text("{}")
    assert find(tmp_path) == (notes / "ap10k-train-split1.json", pictures)
    assert find_valid(tmp_path) == (notes / "ap10k-val-split1.json", pictures)


def test_find_knows_cocos_own_folder_and_bare_ones(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for name in ("captions_train2017", "person_keypoints_train2017", "person_keypoints_val2017"):
        (tmp_path / "annotations" / f"{name}.json").write_text("{}")
    (tmp_path / "train2017").mkdir()
    (tmp_path / "val2017").mkdir()
    assert find(tmp_path) == (tmp_path / "annotations" / "person_keypoints_train2017.json", tmp_path / "train2017")
    assert find_valid(tmp_path) == (tmp_path / "annotations" / "person_keypoints_val2017.json", tmp_path / "val2017")
    bare = tmp_path / "train2017"
    (bare / "labels.json").write_text("{}")
    assert find(bare) == (bare / "labels.json", bare)
    (bare / "more.json").write_text("{}")
    with pytest.raises(UserError, match="2 json files and none is named train"):
        find(bare)


def test_crops_show_the_boxes_and_repeat_the_border(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(root / "cache"))
    first, second = read_file(*find(root)).instances[:2]
    pack, places = crops([first, second], 112, 1.25), frames([first, second], 1.25)
    assert places.tolist() == [[7.5, -2.5, 25], [2 - 18.75, 17 - 18.75, 37.5]]
    seen = pack.pixels(112)
    assert seen.shape == (2, 112, 112, 3)
    assert np.array_equal(seen[0], cut(first, 112, 1.25))
    # A crop's pixel i is centred at x0 + (i + 0.5) / 112 * side, measured from the corner; a pixel's colour is 4 times
    # its number, which is its middle's place less a half; outside, the border's.
    for image, (x0, y0, side), (width, height) in zip(seen, places, ((60, 40), (30, 50)), strict=True):
        where = (np.arange(112) + 0.5) / 112 * side - 0.5
        for channel, start, last in ((0, x0, width - 1), (1, y0, height - 1)):
            along = image[56, :, 0] if channel == 0 else image[:, 56, 1]
            assert np.abs(along - 4 * (start + where).clip(0, last)).max() <= 3
    assert np.array_equal(pack.pixels(112), crops([first, second], 112, 1.25).pixels(112))
    assert pack.folder != crops([second, first], 112, 1.25).folder
    assert pack.folder != crops([first, second], 112, 1.3).folder


def test_fractions_and_pixels_are_inverse(root: Path) -> None:
    instances = read_file(*find(root)).instances[:2]
    places = frames(instances, 1.25)
    points = np.stack([one.points[:, :2] for one in instances])
    found = fractions(points, places)
    assert found[0, 0].tolist() == [(12 + 0.5 - 7.5) / 25, (6 + 0.5 + 2.5) / 25]
    assert np.allclose(pixels(found, places), points, atol=1e-12)


def test_images_that_cannot_be_used_are_named(root: Path) -> None:
    one = read_file(*find(root)).instances[0]
    file = Path(one.file)
    Image.new("RGB", (60, 41)).save(file)
    with pytest.raises(BadImage, match="60 x 41 pixels instead of 60 x 40"):
        cut(one, 56, 1.25)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadImage, match=r"truncated|unreadable"):
        cut(one, 56, 1.25)
    file.write_text("no image")
    with pytest.raises(BadImage, match="unreadable"):
        cut(one, 56, 1.25)
    file.unlink()
    with pytest.raises(BadImage, match="missing"):
        cut(one, 56, 1.25)


def test_grey_and_turned_images_are_read_upright(root: Path) -> None:
    one = read_file(*find(root)).instances[0]
    Image.new("L", (60, 40), 77).save(one.file)
    assert (cut(one, 56, 1.25) == 77).all()
    turned = Image.new("RGB", (40, 60), (1, 2, 3))
    turned.getexif()[0x0112] = 6  # the camera was on its side
    turned.save(one.file, exif=turned.getexif())
    assert (cut(one, 56, 1.25) == (1, 2, 3)).all()


# What other programs export


def kinds(problems: list[Problem]) -> list[tuple[str, str, str]]:
    return [(problem.severity, problem.kind, problem.detail) for problem in problems]


def test_a_box_that_leaves_its_image_is_a_warning(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(root / "cache"))
    file = root / "annotations" / "train.json"
    file.write_text(json.dumps(wrong(bbox=[-150, 0, 200, 30])))
    problems: list[Problem] = []
    first = keypoints.read(root, problems.append).train.instances[0]
    assert first.box == (-150, 0, 200, 30)
    assert crops([first], 56, 1.25).pixels(56).shape == (1, 56, 56, 3)
    assert ("warning", "off-image", "its bbox [-150.0, 0.0, 200.0, 30.0] leaves its image of 60x40 pixels") in kinds(
        problems
    )
    for box in ([-150, 0, 150, 30], [-150, 0, 400, 30]):  # beside it; a crop would be far larger than the image
        file.write_text(json.dumps(wrong(bbox=box)))
        with pytest.raises(UserError, match=r"annotation 1: its bbox .* image of 60x40"):
            keypoints.read(root)


def test_what_is_not_used_is_counted(root: Path) -> None:
    made = table()
    whole = made["annotations"][0]
    made["annotations"] += [
        {**whole, "id": 20, "bbox": []},
        {key: value for key, value in whole.items() if key != "bbox"} | {"id": 21},
        {**whole, "id": 22, "keypoints": []},
        {"id": 23, "image_id": 5, "category_id": 3, "bbox": [0, 0, 5, 5], "segmentation": []},
    ]
    (root / "annotations" / "train.json").write_text(json.dumps(made))
    for name in ("z-train", "train-test"):
        (root / "annotations" / f"{name}.json").write_text("{}")
    problems: list[Problem] = []
    assert len(keypoints.read(root, problems.append).train.instances) == 4
    assert {said for said in kinds(problems) if said[1] == "unused"} == {
        ("warning", "unused", "2 annotations without bbox: 20, 21"),
        ("warning", "unused", "2 annotations without keypoints: 22, 23"),
        ("warning", "unused", "1 crowds: many objects in one annotation: 4"),
        ("warning", "unused", "1 objects without a labelled keypoint: 9"),
        ("warning", "unused", "1 other json files: annotations/z-train.json"),
    }
    assert (check(root).objects, check(root).sound) == (2, True)


def test_whatever_iscrowd_is_written_as(root: Path) -> None:
    made = table()
    words = [0, "0", False, None, "false", 0.0, 1, "1", True, "true"]
    made["annotations"] = [{**made["annotations"][0], "id": n, "iscrowd": word} for n, word in enumerate(words)]
    (root / "annotations" / "train.json").write_text(json.dumps(made))
    problems: list[Problem] = []
    found = keypoints.read(root, problems.append).train.instances
    assert [one.crowd for one in found] == [False] * 6 + [True] * 4
    assert "4 crowds: many objects in one annotation: 6, 7, 8, 9" in [problem.detail for problem in problems]
    assert check(root).objects == 6
    made["annotations"][0]["iscrowd"] = "perhaps"
    (root / "annotations" / "train.json").write_text(json.dumps(made))
    with pytest.raises(UserError, match=r"annotation 0 .*its iscrowd is 'perhaps', neither 0 nor 1"):
        keypoints.read(root)


def test_areas_that_cannot_be(root: Path) -> None:
    """A box of 20 x 10: what is 0, or far from it, is the box's; what an outline may have is kept."""
    given = [0, 1, 3.9, 4, 150.5, 400, 401, -7, 1e12, None]
    made = table()
    made["annotations"] = [{**made["annotations"][0], "id": n, "area": area} for n, area in enumerate(given)]
    (root / "annotations" / "train.json").write_text(json.dumps(made))
    problems: list[Problem] = []
    found = keypoints.read(root, problems.append).train
    assert [one.area for one in found.instances] == [200, 200, 200, 4, 150.5, 400, 200, 200, 200, 200]
    said = "6 annotations whose area is 0 or far from their box's, which is taken instead: 0, 1, 2, 6, 7 and 1 more"
    assert [problem.detail for problem in problems if problem.kind == "implausible area"] == [said]
    assert check(root).sound
    # What is answered as it is annotated is found, whatever the area says.
    answers = [
        {"image_id": 5, "category_id": 3, "keypoints": one.points.ravel().tolist(), "score": 1 - one.id / 99}
        for one in found.instances
    ]
    assert average_precision(coco_truth(found, {5}), answers, [0.05] * 3)["AP"] == pytest.approx(1)


@pytest.mark.parametrize("changed", [{"bbox": [3, 3, 10, 0]}, {"bbox": [0, 0, 0, 0]}, {"keypoints": []}])
def test_objects_without_labels_stop_nothing(root: Path, changed: dict) -> None:
    made = table()
    made["annotations"].append({**made["annotations"][3], "id": 30, **changed})
    (root / "annotations" / "train.json").write_text(json.dumps(made))
    problems: list[Problem] = []
    assert len(keypoints.read(root, problems.append).train.instances) == 4
    assert any(p.kind == "unused" and p.detail.startswith("1 ") and p.detail.endswith(": 30") for p in problems)
    assert check(root).sound
    made["annotations"][-1] |= {"keypoints": [12, 6, 2, 15.5, 8, 1, 0, 0, 0]}
    (root / "annotations" / "train.json").write_text(json.dumps(made))
    if "bbox" in changed:  # a labelled object cannot be cut out: that is said
        with pytest.raises(UserError, match="annotation 30 is negative"):
            keypoints.read(root)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        (r"images\a.png", "images/a.png"),
        ("images/a.png", "images/a.png"),
        ("../set/images/a.png", "images/a.png"),
        ("C:\\pictures\\a.png", "images/a.png"),
        ("a%20b.png", "images/a b.png"),
        ("a%20b.png", "images/a%20b.png"),
        ("/data/local-files/?d=images/a.png", "images/a.png"),
        ("a.png", "images/a.PNG"),
        ("A.PNG", "images/A.png"),
        ("a.png", "images/train2017/a.png"),
        ("a.png", "images/train/a.png"),
        ("train2017/a.png", "train2017/a.png"),
        ("a.png", "data/a.png"),
        ("a.png", "a.png"),
    ],
)
def test_image_files_are_found_however_they_are_spelt(root: Path, name: str, there: str) -> None:
    made = table()
    made["images"][0]["file_name"] = name
    (root / "annotations" / "train.json").write_text(json.dumps(made))
    (root / there).parent.mkdir(exist_ok=True)
    (root / "images" / "a.png").rename(root / there)
    assert keypoints.read(root).train.instances[0].file == str(root / there)
    assert check(root).sound


def test_two_names_are_never_one_file(root: Path) -> None:
    made = table()
    for entry, folder in zip(made["images"], ("cats", "cows"), strict=True):
        entry["file_name"] = f"{folder}/a.png"
    (root / "annotations" / "train.json").write_text(json.dumps(made))
    with pytest.raises(UserError, match=r"cows/a.png: .*images/a.png is found for 'cats/a.png', too"):
        keypoints.read(root)
    (root / "images" / "cows").mkdir()
    (root / "images" / "b.png").rename(root / "images" / "cows" / "a.png")
    first, second = keypoints.read(root).train.instances[:2]
    assert (first.file, second.file) == (f"{root}/images/a.png", f"{root}/images/cows/a.png")


def test_a_missing_image_says_what_was_looked_for_where(root: Path) -> None:
    made = table()
    made["images"][0]["file_name"] = "walks/day one/a.png"
    (root / "images" / "a.png").unlink()
    (root / "annotations" / "train.json").write_text(json.dumps(made))
    with pytest.raises(UserError) as caught:
        keypoints.read(root)
    said = str(caught.value)
    assert said.startswith(f"{root}/images/walks/day one/a.png is missing (no 'walks/day one/a.png' or 'a.png' in ")
    assert f"{root}/images, {root}," in said
    assert "fetch it again" not in said
    (problem,) = [problem for problem in check(root).problems if problem.severity == "fault"]
    assert problem.detail in said
    made["annotations"] = made["annotations"][1:2]  # an image that nobody uses need not be there
    (root / "annotations" / "train.json").write_text(json.dumps(made))
    assert len(keypoints.read(root).train.instances) == 1
    assert check(root).sound


def test_roboflows_export(root: Path) -> None:
    made = table()
    made["categories"] = [{"id": 0, "name": "animals", "supercategory": "none"}, *made["categories"]]
    for part in ("train", "valid", "test"):
        (root / part).mkdir()
        (root / part / "_annotations.coco.json").write_text("damaged" if part == "test" else json.dumps(made))
        for image in (root / "images").iterdir():
            (root / part / image.name).write_bytes(image.read_bytes())
    shutil.rmtree(root / "images")
    shutil.rmtree(root / "annotations")
    assert layout(root) is keypoints
    found = keypoints.read(root)
    assert found.valid is not None
    assert found.train.instances[0].file == str(root / "train" / "a.png")
    assert found.valid.instances[0].file == str(root / "valid" / "a.png")
    assert [category.name for category in found.train.categories] == ["cat", "cow"]
    assert check(root).sound


def test_cvats_export(root: Path) -> None:
    (root / "images" / "default").mkdir()
    for image in (root / "images").glob("*.png"):
        image.rename(root / "images" / "default" / image.name)
    (root / "annotations" / "train.json").rename(root / "annotations" / "person_keypoints_default.json")
    assert keypoints.read(root).train.instances[0].file == str(root / "images" / "default" / "a.png")
    assert check(root).sound


def test_label_studios_export(root: Path) -> None:
    made = table()
    for image in made["images"]:
        image["file_name"] = f"images\\{image['file_name']}"
    shutil.rmtree(root / "annotations")
    (root / "result.json").write_text(json.dumps(made))
    assert Path(keypoints.read(root).train.instances[0].file) == root / "images" / "a.png"
    assert check(root).sound


def test_mmposes_names_and_folders(root: Path) -> None:
    made = table()
    for image in made["images"]:
        image["file_name"] = f"images/{image['file_name']}"
    made["annotations"][0] |= {
        "keypoints": [12.0, 6.0, 2.0, 15.5, 8.0, 1.0, 0, 0, 0],
        "center": [1, 2],
        "scale": [3, 4],
    }
    (root / "annotations" / "train.json").rename(root / "annotations" / "onehand10k_train.json")
    for name in ("onehand10k_train", "onehand10k_val"):
        (root / "annotations" / f"{name}.json").write_text(json.dumps(made))
    found = keypoints.read(root)
    assert found.valid is not None
    assert found.train.instances[0].file == str(root / "images" / "a.png")
    assert found.train.mirrored == (0, 2, 1)
    assert check(root).images == 2


@pytest.mark.parametrize(
    ("train", "valid"),
    [
        ("train.json", "val.json"),
        ("train.json", "valid.json"),
        ("train.json", "validation.json"),
        ("person_keypoints_train2017.json", "person_keypoints_val2017.json"),
        ("hands.json", "hands-val.json"),
    ],
)
@pytest.mark.parametrize("inside", ["annotations", "."])
def test_validation_annotations_are_found(tmp_path: Path, train: str, valid: str, inside: str) -> None:
    (tmp_path / inside).mkdir(exist_ok=True)
    for name in (train, valid):
        (tmp_path / inside / name).write_text("{}")
    assert find(tmp_path)[0] == tmp_path / inside / train
    assert (find_valid(tmp_path) or (None,))[0] == tmp_path / inside / valid


def test_validation_annotations_elsewhere_and_no_test_part(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSEFRONT_CACHE", str(root / "cache"))
    made = table(images=[{"id": 5, "file_name": "c.png", "width": 60, "height": 40}])
    made["annotations"] = made["annotations"][:1]
    (root / "val.json").write_text(json.dumps(made))  # not beside annotations/train.json
    Image.new("RGB", (60, 40)).save(root / "images" / "c.png")
    for name in ("test.json", "annotations/test2017.json"):
        (root / name).write_text("damaged")
    opened: list[str] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or read_bytes(path))
    task = Keypoints(root, metric="nme")
    task.prepare()
    assert [Path(task._read().usable[row].file).name for row in task.split(56).valid.rows] == ["c.png"]
    assert f"{root}/val.json: validation, 1 objects are judged on, 2 of {root}/annotations/train.json are" in " ".join(
        task.notes()
    )
    assert "3 objects (1 of val.json to judge on)" in str(check(root))
    assert {"train.json", "val.json"} <= set(opened)
    assert not [name for name in opened if "test" in name]


def test_a_corrected_file_is_packed_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack's name covers all that its pixels depend on: width and height, and which file is whose."""
    monkeypatch.setenv("POSEFRONT_CACHE", str(root / "cache"))
    image = Image.fromarray(np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3))
    image.getexif()[0x0112] = 6  # displayed 40 wide and 60 high
    image.save(root / "images" / "a.png", exif=image.getexif())
    made, seen = table(annotations=table()["annotations"][:1]), []
    for size in ((40, 60), (60, 40)):
        made["images"][0] |= {"width": size[0], "height": size[1]}
        (root / "annotations" / "train.json").write_text(json.dumps(made))
        (one,) = keypoints.read(root).train.instances
        seen.append(np.array(crops([one], 56, 1.25).pixels(56)[0]))
        assert np.array_equal(seen[-1], cut(one, 56, 1.25))
    assert not np.array_equal(*seen)

    for folder in ("one", "two"):  # of one name, size and time, as out of an archive
        (root / "images" / folder).mkdir()
        file = root / "images" / folder / "a.bmp"
        Image.new("RGB", (60, 40), "red" if folder == "one" else "blue").save(file)
        os.utime(file, (1e9, 1e9))
    for names in (("one", "two"), ("two", "one")):
        made = table()
        for entry, name in zip(made["images"], names, strict=True):
            entry |= {"file_name": f"{name}/a.bmp", "width": 60, "height": 40}
        (root / "annotations" / "train.json").write_text(json.dumps(made))
        both = keypoints.read(root).train.instances[:2]
        found = crops(both, 56, 1.25).pixels(56)
        assert all(np.array_equal(shown, cut(one, 56, 1.25)) for shown, one in zip(found, both, strict=True))


def test_validation_annotations_that_may_be_several(root: Path) -> None:
    for name in ("first_val", "second_val"):
        (root / "annotations" / f"{name}.json").write_text(json.dumps(table()))
    with pytest.raises(
        UserError, match=r"2 files .* \(annotations/first_val.json, annotations/second_val.json\): name"
    ):
        keypoints.read(root)
    (report,) = check(root).problems
    assert report.severity == "fault"
    assert "annotations/val.json" in report.detail
