"""What is in a folder of COCO keypoint annotations."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError
from data.layouts import coco
from data.layouts.problems import Moments, Table, baseline, picture, row, sizes, told
from data.storage.pack import Progress, in_order
from data.tasks.keypoints import FACE, animals, faces

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Stats:
    """What is in a folder.

    Attributes:
        images: Images with an object, of the training annotations.
        objects: Their objects with keypoints; crowds are left out.
        groups: Videos, or images where there are none.
        categories: Objects of each category.
        sizes: Width and height of each image, (images, 2).
        boxes: Longer side of each box, (objects,), pixels.
        mean: Mean of each channel, on 0..1, over all pixels of all images.
        std: Standard deviation of each channel, likewise.
        keypoints: Names, P of them.
        labelled: Share of objects with each keypoint labelled, (P,).
        visible: Share with it visible, (P,).
        centre: Mean place of each keypoint, (P, 2), in per cent of its box's sides; NaN where it is never labelled.
        spread: Standard deviation of it, likewise.
        metric: Name and unit of the error of the task that has such points.
        baseline: That error of always answering the mean, or why there is none.
    """

    images: int
    objects: int
    groups: int
    categories: dict[str, int]
    sizes: Array
    boxes: Array
    mean: tuple[float, ...]
    std: tuple[float, ...]
    keypoints: tuple[str, ...]
    labelled: Array
    visible: Array
    centre: Array
    spread: Array
    metric: str
    baseline: float | UserError

    def tables(self) -> tuple[Table, ...]:
        """The numbers for a person."""
        low, middle, high = np.quantile(self.boxes, (0, 0.5, 1))
        rows = [
            ("groups that stay on one side of a split", str(self.groups)),
            ("image sizes [px]", sizes(map(tuple, self.sizes))),
            ("longer side of a box [px]", f"{low:.0f} to {high:.0f}, median {middle:.0f}"),
            ("keypoints labelled an object", f"{self.labelled.sum():.1f} of {len(self.keypoints)}"),
            ("mean of red, green, blue (0 to 1)", row(self.mean, 4)),
            ("std of red, green, blue (0 to 1)", row(self.std, 4)),
            (f"always answering the mean, {self.metric}", told(self.baseline, 4)),
        ]
        whole = Table(f"{self.images} images of {self.objects} objects", (), tuple(rows))
        columns = ("keypoint", "labelled %", "visible %", "mean x y, % of box", "std x y, % of box")
        points = zip(self.keypoints, self.labelled, self.visible, self.centre, self.spread, strict=True)
        each = tuple((n, f"{100 * a:.1f}", f"{100 * b:.1f}", row(c, 1), row(s, 1)) for n, a, b, c, s in points)
        kinds = tuple((name, str(count)) for name, count in self.categories.items())
        many = (Table("categories", ("category", "objects"), kinds),) if len(kinds) > 1 else ()
        return whole, *many, Table("keypoints", columns, each)


def stats(root: Path, progress: Progress | None = None) -> Stats:
    """Describe the training annotations of a sound folder and their images.

    The baseline is that of faces where there are 68 keypoints, else of animals.

    Args:
        root: The folder.
        progress: Told how many of how many images are packed, then how many are summed up.

    Raises:
        UserError: For annotations and images that cannot be read.
    """
    data = coco.read(*coco.find(root))
    objects = [one for one in data.instances if not one.crowd]
    if not objects:
        raise UserError(f"{data.annotations} has no object that is not marked as a crowd: give objects one by one.")
    names = data.categories[0].keypoints
    task = faces(root) if len(names) == len(FACE.names) else animals(root)
    judged = baseline(task, progress)
    files = {one.file: (one.width, one.height) for one in objects}
    moments = Moments()
    for done, pixels in enumerate(in_order(lambda item: picture(*item), files.items()), 1):
        moments.add(pixels)
        if progress:
            progress(done, len(files))
    points, boxes = np.stack([one.points for one in objects]), np.array([one.box for one in objects])
    places = 100 * (points[..., :2] + 0.5 - boxes[:, None, :2]) / boxes[:, None, 2:]
    known = np.where(points[..., 2:] > 0, places, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        count = (points[..., 2] > 0).sum(0)[:, None]
        centre = np.nansum(known, 0) / count
        spread = np.sqrt(np.nansum((known - centre) ** 2, 0) / count)
    kinds = Counter(one.category_id for one in objects)
    return Stats(
        images=len(files),
        objects=len(objects),
        groups=len({one.group for one in objects}),
        categories={category.name: kinds[category.id] for category in data.categories},
        sizes=np.array(list(files.values())),
        boxes=boxes[:, 2:].max(1),
        mean=moments.mean,
        std=moments.std,
        keypoints=names,
        labelled=(points[..., 2] > 0).mean(0),
        visible=(points[..., 2] == 2).mean(0),
        centre=centre,
        spread=spread,
        metric=f"{task.metric} [{task.unit}]" if task.unit else task.metric,
        baseline=judged,
    )
