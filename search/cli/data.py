"""Data sets: data synth, data check, data stats."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from data.errors import UserError
from search.cli.options import console

DataSet = Annotated[
    Path,
    typer.Argument(
        help="A data set's folder: FreiHAND's (training_K.json), COCO keypoints (annotations/*.json), the robot "
        "hand's (train/X) or gestures' (hand_gesture_pose.csv)."
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
    from search.run import live

    if difficulty is not None and layout != "freihand":
        raise UserError(f"--difficulty is for hands, and {layout} has none: leave it out.")
    with live.progress(console, "drawing") as show:
        called = _draw(folder, layout, count, seed, 0.3 if difficulty is None else difficulty, show)
    console.print(escape(f"{count} {called} drawn into {folder}"), soft_wrap=True)


def _draw(
    folder: Path, layout: Layout, count: int, seed: int, difficulty: float, show: Callable[[int, int], None]
) -> str:
    """Draws a set; answers what it is counted in. Only what is asked for is imported."""
    if layout == "robot_hand":
        from data.drawn import robot_hand as drawn_robot

        drawn_robot.synth(drawn_robot.DrawnRobot(count, seed=seed), folder, show)
        return "samples"
    if layout == "gestures":
        from data.drawn import gestures as drawn_gestures

        drawn_gestures.synth(drawn_gestures.DrawnGestures(count, seed=seed), folder, show)
        return "folders"
    if layout == "animals":
        from data.drawn import animals as drawn_animals

        drawn_animals.synth(drawn_animals.DrawnAnimals(count, seed), folder, show)
        return "images"
    if layout == "faces":
        from data.drawn import faces as drawn_faces

        drawn_faces.synth(drawn_faces.DrawnFaces(count, seed), folder, show)
        return "faces"
    from data.drawn import hands as drawn

    drawn.synth(drawn.DrawnHands(count, seed, difficulty), folder, show)
    return "hands"


def check(folder: DataSet) -> None:
    """Name every missing, unreadable, truncated or mis-shaped file and every impossible annotation."""
    from data.layouts import detect as inspect
    from search.run import live

    with live.progress(console, "checking images") as show:
        report = inspect.check(folder, show)
    for problem in report.problems:
        console.print(escape(f"{problem.severity}: {problem.where}: {problem.kind}, {problem.detail}"), soft_wrap=True)
    console.print(escape(str(report)), soft_wrap=True)
    if not report.sound:
        raise typer.Exit(1)


def stats(folder: DataSet) -> None:
    """What is in it: sizes, colours, points or classes, and the error of always answering the mean."""
    from data.layouts import detect as inspect
    from search.run import live

    with live.progress(console, "measuring images") as show:
        found = inspect.stats(folder, show)
    for table in found.tables():
        shown = Table(
            *map(escape, table.columns or ("", "value")), title=escape(table.title), show_header=bool(table.columns)
        )
        for line in table.rows:
            shown.add_row(*map(escape, line))
        console.print(shown)
