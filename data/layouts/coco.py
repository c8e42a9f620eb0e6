"""COCO's keypoint annotations, as COCO, MMPose, CVAT, Label Studio and Roboflow write them.

    annotations/NAME.json, or NAME.json         such as person_keypoints_train2017.json
    images/, data/, train2017/ or beside it     the images that it lists
    train/_annotations.coco.json, valid/...     Roboflow's: the images beside each file

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

from pathlib import Path

from data.errors import UserError
from data.layouts.annotations import AnnotationSet, KeypointSet
from data.layouts.entries import Lists, checked, path_of
from data.layouts.problems import OnProblem, fault, read_json, refuse, unused

_FOLDERS = ("images", "data", "train2017")
_VALID = ("val2017", "valid", "val")
_SPLITS = ("train", "train2017", *_VALID)
_LISTS = ("images", "annotations", "categories")


def fits(root: Path) -> bool:
    """Whether a folder has anything of the layout: a json in annotations/, or one with "annotations" elsewhere."""
    beside = [*root.glob("*.json"), *(root / "train").glob("*.json")]
    return any((root / "annotations").glob("*.json")) or any(b'"annotations"' in path.read_bytes() for path in beside)


def find(root: Path) -> tuple[Path, Path]:
    """The annotations to train on and the folder of their images.

    Annotations are the first of annotations/*train*.json by name (one with "keypoints" in it before others), else the
    only json that is none of validation, of annotations/ or the folder itself or train/; a name with "test" in it is
    never taken. Images are in images/, data/ or train2017/, else beside the annotations.

    Raises:
        UserError: If there is no such file, or a choice of several.
    """
    root = Path(root).absolute()
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: give the one that holds annotations/ and the images.")
    for folder in (root / "annotations", root, root / "train"):
        files = _jsons(folder)
        chosen = [file for file in files if "train" in file.name.lower()]
        chosen = chosen or [file for file in files if not _is_valid(file)] or files
        if chosen and (len(chosen) == 1 or "train" in chosen[0].name.lower()):
            return chosen[0], _folder(root, chosen[0], "train")
        if chosen:
            what = f"{len(chosen)} json files and none is named train"
            break
    else:
        what = "no annotations to train on"
    raise UserError(f"{root} has {what}: put the training annotations at annotations/train.json.")


def find_valid(root: Path) -> tuple[Path, Path] | None:
    """The annotations to judge on and their images' folder, where the data set has such.

    They have the name of the training annotations with "val" or "valid" for "train"
    (annotations/ap10k-train-split1.json, annotations/ap10k-val-split1.json), or are the only json beside them that is
    named so, or the only json of valid/ or val/.
    """
    root = Path(root).absolute()
    train, _ = find(root)
    names = [train.name.replace("train", word) for word in ("val", "valid", "validation")]
    files = [file for file in (train.with_name(name) for name in names) if file.is_file() and file != train]
    if not files:
        beside = [file for file in _jsons(train.parent) if _is_valid(file) and file != train]
        files = beside or [file for name in ("valid", "val") for file in _jsons(root / name)]
        files = files if len(files) == 1 else []
    return (files[0], _folder(root, files[0], "valid")) if files else None


def read(root: Path, on_problem: OnProblem = refuse) -> KeypointSet:
    """Read and check a folder's annotations, those of training and of validation; no image is opened.

    A damaged entry is left out, if `on_problem` returns. All that is not used is reported as an "unused" warning.

    Raises:
        UserError: As `find`.
    """
    root = Path(root).absolute()
    train = read_file(*find(root), on_problem)
    beside = find_valid(root)
    valid = read_file(*beside, on_problem, len(train.keypoints) or None) if beside else None
    read_ones = {train.annotations, *((valid.annotations,) if valid else ())}
    places = {train.annotations.parent, root / "valid", root / "val"}
    others = [file for place in sorted(places) for file in _jsons(place) if file not in read_ones]
    if others:
        names = ", ".join(str(file.relative_to(root)) for file in others)
        on_problem(unused(root, len(others), f"other json files: {names}"))
    return KeypointSet(train, valid)


def read_file(
    annotations: Path, images: Path, on_problem: OnProblem = refuse, keypoints: int | None = None
) -> AnnotationSet:
    """Read and check an annotation file; no image is opened.

    Args:
        annotations: The json.
        images: The folder that its file names start in. If the first image is not there, but is in a place where
            another program exports it, then that place.
        on_problem: Called for each problem; a damaged entry is left out.
        keypoints: How many keypoints each category must have; None for as many as the first has.
    """
    file = Path(annotations).absolute()
    lists = _lists(file, on_problem)
    names = (entry.get("file_name") for entry in lists["images"] if isinstance(entry, dict))
    first = next((name for name in names if isinstance(name, str) and name), "")
    return checked(lists, [file], _place(file, Path(images).absolute(), first), on_problem, keypoints=keypoints)


def _jsons(folder: Path) -> list[Path]:
    """The folder's json files without "test" in their names: keypoints' first, then by name."""
    files = [path for path in folder.glob("*.json") if "test" not in path.name.lower()]
    return sorted(files, key=lambda path: ("keypoints" not in path.name, path.name))


def _is_valid(file: Path) -> bool:
    return "val" in file.name.lower()


def _folder(root: Path, file: Path, split: str) -> Path:
    """Where the images of an annotation file are by the folders' names alone."""
    if file.parent in [root / name for name in _SPLITS]:
        return file.parent
    names = (*_VALID, *_FOLDERS) if split == "valid" else _FOLDERS
    return next((root / name for name in names if (root / name).is_dir()), file.parent)


def _place(file: Path, images: Path, first: str) -> Path:
    """The folder of an annotation file's images, told by the first one's name: `images` or another program's."""
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    subset = file.stem.rsplit("_", 1)[-1]  # CVAT: images/default for annotations/person_keypoints_default.json
    others = [folder / name for folder in (root / "images", root) for name in (subset, *_SPLITS)]
    for place in (images, root / "images", *others, root, file.parent):
        if first and Path(path_of(place, first)).is_file():
            return place
    return images


def _lists(file: Path, on_problem: OnProblem) -> Lists:
    """The three lists of a file; empty where they are missing."""
    mend = "give COCO keypoint annotations"
    table = read_json(file, on_problem, mend)
    lists = {}
    for name in _LISTS:
        value = table.get(name) if isinstance(table, dict) else None
        if table is not None and not isinstance(value, list):
            on_problem(fault("mis-shaped", file, f"it has no list named {name}", mend))
        lists[name] = value if isinstance(value, list) else []
    return lists
