"""Data sets: data synth, data check, data stats."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from data.errors import UserError
from search.cli.options import console

if TYPE_CHECKING:
    from data.drawn.sets import DrawnSet

DataSet = Annotated[
    Path,
    typer.Argument(
        help="A data set's folder: FreiHAND's (training_K.json), COCO keypoints (annotations/*.json), YOLO-pose "
        "(data.yaml), the robot hand's (train/X) or gestures' (hand_gesture_pose.csv)."
    ),
]
Layout = Literal["freihand", "robot_hand", "gestures", "animals", "faces"]


def synth(
    folder: Annotated[Path, typer.Argument(help="A folder to make; it must not exist or be empty.")],
    layout: Annotated[Layout, typer.Option(help="What to draw, and in which data set's layout.")] = "freihand",
    count: Annotated[int, typer.Option(min=1, help="Images; of the robot hand samples, of gestures folders.")] = 4000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same on every machine.")] = 0,
    difficulty: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Hands only; 0: one view of an upright hand, 1: any view.  [default: 0.3]"),
    ] = None,
) -> None:
    """Draw a data set with its annotations: hands, a robot's hand, gestures, animals or faces."""
    from data.drawn.sets import synth as draw
    from search.progress import progress

    if difficulty is not None and layout != "freihand":
        raise UserError(f"--difficulty is for hands, and {layout} has none: leave it out.")
    drawn = _drawn_set(layout, count, seed, difficulty)
    with progress(console, "drawing") as show:
        draw(drawn, folder, show)
    console.print(escape(f"{count} {drawn.noun}s drawn into {folder}"), soft_wrap=True)


def _drawn_set(layout: Layout, count: int, seed: int, difficulty: float | None) -> DrawnSet:
    """The settings of what is to be drawn; only its own module is imported."""
    modules = {
        "freihand": "hands.DrawnHands",
        "robot_hand": "robot_hand.DrawnRobot",
        "gestures": "gestures.DrawnGestures",
        "animals": "animals.DrawnAnimals",
        "faces": "faces.DrawnFaces",
    }
    module, name = modules[layout].split(".")
    settings = {} if difficulty is None else {"difficulty": difficulty}
    drawn: DrawnSet = getattr(import_module(f"data.drawn.{module}"), name)(count, seed=seed, **settings)
    return drawn


def check(folder: DataSet) -> None:
    """Name every missing, unreadable, truncated or mis-shaped file and every impossible annotation."""
    from data.layouts import check as checking
    from search.progress import progress

    with progress(console, "checking images") as show:
        report = checking.check(folder, show)
    for problem in report.problems:
        console.print(escape(f"{problem.severity}: {problem.where}: {problem.kind}, {problem.detail}"), soft_wrap=True)
    console.print(escape(str(report)), soft_wrap=True)
    if not report.sound:
        raise typer.Exit(1)


def stats(folder: DataSet) -> None:
    """What is in it: sizes, colours, points or classes, and the error of always answering the mean."""
    from data.layouts import stats as measuring
    from search.progress import progress

    with progress(console, "measuring images") as show:
        found = measuring.stats(folder, show)
    for table in found.tables:
        shown = Table(
            *map(escape, table.columns or ("", "value")), title=escape(table.title), show_header=bool(table.columns)
        )
        for line in table.rows:
            shown.add_row(*map(escape, line))
        console.print(shown)
