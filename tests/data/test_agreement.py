"""A check names a fault if and only if training refuses, whatever is wrong in the annotations."""

import copy
import json
import math
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.errors import UserError
from data.layouts import freihand, gestures, keypoints
from data.layouts.check import check
from data.storage.image import open_image
from tests.conftest import paint
from tests.data.test_coco import table, write_images
from tests.data.test_inspect import write_gestures
from tests.data.test_yolo import annotated, as_yolo, describe

VALUES: tuple[Any, ...] = (
    None,
    -1,
    0,
    1,
    2,
    7,
    2.5,
    1e9,
    math.nan,
    math.inf,
    "x",
    "7",
    "",
    [],
    {},
    True,
    [1, 2, 3],
    [[]],
)
MANY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def mutated(draw: st.DrawFn, sound: Any) -> Any:
    """A JSON value of which one or two things are replaced, taken away or there twice."""
    whole = copy.deepcopy(sound)
    for _ in range(draw(st.integers(1, 2))):
        node = whole
        while isinstance(node, dict | list) and node:
            key = draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
            child = node[key]
            if isinstance(child, dict | list) and child and draw(st.integers(0, 4)):
                node = child
                continue
            change = draw(st.sampled_from(["replace", "delete", "double"]))
            if change == "replace":
                node[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
            elif change == "delete":
                del node[key]
            elif isinstance(node, list):
                node.insert(key, copy.deepcopy(child))
            break
    return whole


def assert_agree(root: Path, read: Callable[[Path], Iterable[tuple[str, tuple[int, int]]]]) -> None:
    """`read` reads as training does, and gives the images that training opens, with the sizes they must have."""
    refused = ""
    try:
        for file, size in read(root):
            open_image(file, size)
    except UserError as mistake:
        refused = str(mistake)
        assert "\n" not in refused
        assert refused.endswith(".")
    report = check(root)
    assert report.sound == (not refused), (refused, report.problems)


def used(root: Path) -> Iterable[tuple[str, tuple[int, int]]]:
    found = keypoints.read(root)
    instances = [*found.train.instances, *(found.valid.instances if found.valid else ())]
    return [(one.file, (one.width, one.height)) for one in instances if one.usable]


@MANY
@given(made=mutated(table()))
def test_coco(tmp_path: Path, made: Any) -> None:
    if not (tmp_path / "images").exists():
        write_images(tmp_path)
    (tmp_path / "annotations" / "train.json").write_text(json.dumps(made))
    assert_agree(tmp_path, used)


@pytest.fixture(scope="module")
def yolo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("yolo")
    as_yolo(annotated(root / "images" / "train", 3, 0), root, "train")
    describe(root, path=None, val=None)
    return root


@MANY
@given(data=st.data())
def test_yolo(yolo_root: Path, tmp_path: Path, data: st.DataObject) -> None:
    root = tmp_path / "set"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(yolo_root, root)
    file = root / "labels" / "train" / "0-01.txt"
    words = data.draw(mutated([line.split() for line in file.read_text().splitlines()]))
    lines = words if isinstance(words, list) else []
    file.write_text("\n".join(" ".join(map(str, line)) if isinstance(line, list) else str(line) for line in lines))
    assert_agree(root, used)


@MANY
@given(data=st.data())
def test_gestures(tmp_path: Path, data: st.DataObject) -> None:
    root = tmp_path / "gestures"
    if not root.exists():
        write_gestures(root)
    file = root / "train" / "2" / "2.json"
    kept = root / "sound.txt"
    if not kept.exists():
        kept.write_text(file.read_text())
    sound = json.loads(kept.read_text()) | {"image": {"width": 64, "height": 48}}
    sound["annotations"] = [{**entry, "data": entry["data"][:3]} for entry in sound["annotations"]]
    file.write_text(json.dumps(data.draw(mutated(sound))))

    def read(root: Path) -> Iterable[tuple[str, tuple[int, int]]]:
        _, clips = gestures.read(root)
        return [(frame, clip.size) for clip in clips for frame in clip.frames]

    assert_agree(root, read)


@settings(MANY, max_examples=60)
@given(data=st.data())
def test_freihand(tmp_path: Path, data: st.DataObject) -> None:
    root = tmp_path / "hands"
    if not root.exists():
        paint(root, hands=3, copies=2)
        for kind in ("K", "xyz"):
            shutil.copy(root / f"training_{kind}.json", tmp_path / f"{kind}.json")
    for kind in ("K", "xyz"):
        sound = json.loads((tmp_path / f"{kind}.json").read_text())
        made = data.draw(mutated(sound)) if data.draw(st.booleans()) else sound
        (root / f"training_{kind}.json").write_text(json.dumps(made))

    def read(root: Path) -> Iterable[tuple[str, tuple[int, int]]]:
        images = freihand.read(root).images
        return [(image, (224, 224)) for image in images]

    assert_agree(root, read)
