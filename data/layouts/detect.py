"""Which layout a folder has."""

from pathlib import Path
from types import ModuleType

from data.errors import UserError
from data.layouts import freihand, gestures, keypoints, robot_hand


def layout(root: Path) -> ModuleType:
    """The reader of a folder's layout, told by the files that no other layout has.

    Returns:
        `data.layouts.freihand`, `.robot_hand`, `.gestures` or `.keypoints`.

    Raises:
        UserError: If there is no such folder, or nothing of any layout is in it.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder: give a data set's own folder.")
    for module in (freihand, robot_hand, gestures, keypoints):
        if module.fits(root):
            return module
    raise UserError(
        f"{root} has no known layout: give the folder that holds training_K.json (FreiHAND), train/X (robot hand), "
        "hand_gesture_pose.csv (gestures), annotations/*.json (COCO keypoints) or data.yaml (YOLO-pose). Files with "
        "test in their names are never opened."
    )
