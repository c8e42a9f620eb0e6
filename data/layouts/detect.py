"""What is wrong in a data set, and what is in it, whichever of the layouts it has."""

from pathlib import Path
from types import ModuleType

from data.errors import UserError
from data.layouts import inspect_coco, inspect_freihand, inspect_gestures, inspect_robot
from data.layouts.problems import Report, Stats
from data.storage.pack import Progress

__all__ = ["check", "layout", "stats"]


def layout(root: Path) -> ModuleType:
    """The module that checks and measures the layout of a folder, told by the files that no other layout has.

    Raises:
        UserError: If there is no such folder, or nothing of any layout is in it.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give a data set's own folder.")
    for module in (inspect_freihand, inspect_robot, inspect_gestures, inspect_coco):
        if module.fits(root):
            return module
    raise UserError(
        f"{root} has no known layout: give the folder that holds training_K.json (FreiHAND), train/X (robot hand), "
        "hand_gesture_pose.csv (gestures) or annotations/*.json (COCO keypoints)."
    )


def check(root: Path, progress: Progress | None = None) -> Report:
    """Name everything that is wrong in a folder; goes on after each problem and changes nothing.

    Args:
        root: The data set's folder.
        progress: Told how many of how many files are looked at.

    Raises:
        UserError: As `layout`.
    """
    report: Report = layout(root).check(root, progress)
    return report


def stats(root: Path, progress: Progress | None = None) -> Stats:
    """Describe a sound folder; packs it if it is not packed yet.

    Args:
        root: The data set's folder.
        progress: Told how far each step is.

    Raises:
        UserError: As `layout`, and for whatever forbids training on it.
    """
    found: Stats = layout(root).stats(root, progress)
    return found
