"""Data sets: data synth, data check, data stats."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from search.command.shared import console

DataSet = Annotated[
    Path,
    typer.Argument(help="A folder in FreiHAND's layout: training/rgb, training_K.json, training_xyz.json."),
]


def synth(
    folder: Annotated[Path, typer.Argument(help="A folder to make; it must not exist or be empty.")],
    count: Annotated[int, typer.Option(min=1, help="Images.")] = 4000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same hands on every machine.")] = 0,
    difficulty: Annotated[float, typer.Option(min=0, max=1, help="0: one view of an upright hand; 1: any view.")] = 0.3,
) -> None:
    """Draw hands with their 21 joints, in FreiHAND's layout."""
    from data.drawn import Drawn
    from data.drawn import synth as draw
    from search import live

    with live.progress(console, "drawing hands") as show:
        draw(Drawn(count=count, seed=seed, difficulty=difficulty), folder, show)
    console.print(f"{count} hands drawn into {folder}")


def check(folder: DataSet) -> None:
    """Name every missing, unreadable, truncated or mis-shaped file and every impossible annotation."""
    from data import inspect
    from search import live

    with live.progress(console, "checking images") as show:
        report = inspect.check(folder, show)
    for problem in report.problems:
        console.print(escape(f"{problem.severity}: {problem.where}: {problem.kind}, {problem.detail}"), soft_wrap=True)
    console.print(escape(str(report)), soft_wrap=True)
    if not report.sound:
        raise typer.Exit(1)


def stats(folder: DataSet) -> None:
    """Per-channel mean and std, keypoint spread, and the error of always answering the mean hand."""
    from data import inspect
    from search import live

    with live.progress(console, "measuring images") as show:
        found = inspect.stats(folder, show)
    table = Table("", "value", title=f"{found.images} images of {found.hands} hands", show_header=False)
    table.add_row("mean of red, green, blue (0 to 1)", triple(found.mean, 4))
    table.add_row("std of red, green, blue (0 to 1)", triple(found.std, 4))
    table.add_row("middle of all joints, x y \\[px]", triple(found.centre, 1))
    table.add_row("std of all joints, x y \\[px]", triple(found.spread, 1))
    for joint, spread in enumerate(found.joint_spread):
        table.add_row(f"std of joint {joint}, x y \\[px]", triple(spread, 1))
    table.add_row("mean hand, on all hands \\[px]", f"{found.mean_hand_px:.2f}")
    table.add_row("mean hand of the training part, on the validation part \\[px]", f"{found.valid_mean_hand_px:.2f}")
    console.print(table)


def triple(values: Iterable[float], digits: int) -> str:
    """Numbers in a row."""
    return "  ".join(f"{value:.{digits}f}" for value in values)
