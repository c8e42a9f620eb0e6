"""COCO's keypoint annotations, as COCO, MMPose, CVAT, Label Studio and Roboflow write them.

    annotations/NAME.json, or NAME.json         such as person_keypoints_train2017.json
    images/, data/, train2017/ or beside it     the images that it lists
    train/_annotations.coco.json, valid/...     Roboflow's: the images beside each file

Source: https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.errors import UserError
from data.layouts.annotations import AnnotationSet, KeypointSet
from data.layouts.entries import Lists, checked
from data.layouts.image_files import ImageFiles
from data.layouts.problems import OnProblem, fault, read_json, refuse, unused

_FOLDERS = ("images", "data", "train2017")
_TRAIN, _VALID = ("train2017", "train"), ("val2017", "valid", "val", "validation")
_LISTS = ("images", "annotations", "categories")


def fits(root: Path) -> bool:
    """Whether a folder has anything of the layout: a json in annotations/, or one with "annotations" elsewhere."""
    beside = [*_jsons(root), *_jsons(root / "train")]
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
    (annotations/ap10k-train-split1.json, annotations/ap10k-val-split1.json), or are the only json beside them, of
    annotations/ or of the folder that is named so, or the only json of valid/, val/ or validation/.

    Raises:
        UserError: If several may be meant.
    """
    root = Path(root).absolute()
    train, _ = find(root)
    wanted = [train.name.replace("train", word) for word in ("val", "valid", "validation")]
    files = [file for file in (train.with_name(name) for name in wanted) if file.is_file() and file != train]
    if not files:
        beside = (_jsons(folder) for folder in dict.fromkeys((train.parent, root / "annotations", root)))
        named = ([file for file in files if _is_valid(file) and file != train] for files in beside)
        files = next(filter(None, named), [file for name in _VALID for file in _jsons(root / name)])
        if len(files) > 1:
            names = ", ".join(str(file.relative_to(root)) for file in files)
            raise UserError(
                f"{root} has {len(files)} files that may hold its validation annotations ({names}): name the right one "
                f"{train.with_name(wanted[0] if wanted[0] != train.name else 'val.json').relative_to(root)}."
            )
    return (files[0], _folder(root, files[0], "valid")) if files else None


def read(root: Path, on_problem: OnProblem = refuse) -> KeypointSet:
    """Read and check a folder's annotations, those of training and of validation; no image is opened.

    A damaged entry is left out, if `on_problem` returns. All that is not used is reported as an "unused" warning.

    Raises:
        UserError: As `find`.
    """
    root = Path(root).absolute()
    meant, beside = find(root), find_valid(root)
    train = read_file(*meant, on_problem)
    valid = read_file(*beside, on_problem, train.keypoints) if beside else None
    read_ones = {meant[0], *(beside or ())}
    places = {meant[0].parent, root / "annotations", root, *(root / name for name in _VALID)}
    others = [file for place in sorted(places) for file in _jsons(place) if file not in read_ones]
    if others:
        on_problem(unused(root, "other json files", [str(file.relative_to(root)) for file in others]))
    return KeypointSet(train, valid)


def read_file(
    annotations: Path, images: Path, on_problem: OnProblem = refuse, keypoints: Sequence[str] = ()
) -> AnnotationSet:
    """Read and check an annotation file; no image is opened.

    Args:
        annotations: The json.
        images: The folder that its file names start in. What is not there is looked for where other programs
            export it.
        on_problem: Called for each problem; a damaged entry is left out.
        keypoints: Names that each category's keypoints should have; empty for those of the first.
    """
    file = Path(annotations).absolute()
    places = ImageFiles(_places(file, Path(images).absolute()))
    return checked(_lists(file, on_problem), [file], places, on_problem, keypoints=keypoints)


def _jsons(folder: Path) -> list[Path]:
    """The folder's json files without "test" in their names: keypoints' first, then by name."""
    files = [path for path in folder.glob("*.json") if "test" not in path.name.lower()]
    return sorted(files, key=lambda path: ("keypoints" not in path.name, path.name))


def _is_valid(file: Path) -> bool:
    return "val" in file.name.lower()


def _folder(root: Path, file: Path, split: str) -> Path:
    """Where the images of an annotation file are by the folders' names alone."""
    if file.parent in [root / name for name in (*_TRAIN, *_VALID)]:
        return file.parent
    names = (*_VALID, *_FOLDERS) if split == "valid" else _FOLDERS
    return next((root / name for name in names if (root / name).is_dir()), file.parent)


def _places(file: Path, images: Path) -> list[Path]:
    """The folders that may hold an annotation file's images: `images`, then other programs' of the same part."""
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    subset = file.stem.rsplit("_", 1)[-1]  # CVAT: images/default for annotations/person_keypoints_default.json
    parts = _VALID if _is_valid(file) else _TRAIN if "train" in file.name.lower() else (*_TRAIN, *_VALID)
    inside = [folder / name for folder in (root / "images", root) for name in (subset, *parts)]
    return [
        images,
        *(place for place in (root / "images", root / "data", *inside, root) if place.is_dir()),
        file.parent,
    ]


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
