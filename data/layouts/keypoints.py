"""Annotated keypoints of a folder, in COCO's format or YOLO's: any number of keypoints, images of any size."""

from pathlib import Path

from data.layouts import coco, yolo
from data.layouts.annotations import KeypointSet
from data.layouts.problems import OnProblem, refuse


def fits(root: Path) -> bool:
    """Whether a folder has anything of either format."""
    return yolo.fits(root) or coco.fits(root)


def read(root: Path, on_problem: OnProblem = refuse) -> KeypointSet:
    """Read and check a folder's annotations; no image is decoded, and no test part is opened.

    Args:
        root: A folder that `data.layouts.yolo.fits` or `data.layouts.coco.find` knows.
        on_problem: Called for each problem; a damaged entry is left out.

    Raises:
        UserError: If the folder has no annotations.
    """
    return yolo.read(root, on_problem) if yolo.fits(Path(root)) else coco.read(root, on_problem)
