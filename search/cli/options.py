"""What the words of the command share: where they speak, and the options that several of them have."""

import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from data.errors import UserError
from search.paths import STORAGE

if TYPE_CHECKING:
    import optuna

    from search.results.view import View
    from search.study import Task

console = Console(highlight=False, width=None if sys.stdout.isatty() else 180)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)

StudyName = Annotated[str, typer.Argument(help="A study of studies/ by its name, or the path of a .py file.")]
Out = Annotated[Path, typer.Option("--out", help="Folder that holds a folder for each study.")]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar=STORAGE,
        help="A database's URL, of PostgreSQL for one, instead of OUT/STUDY/study.db. One with a password is better "
        "given by the environment: other users can read command lines.",
    ),
]
Data = Annotated[Path | None, typer.Option(help="Folder of the data set.")]
Address = Annotated[
    str | None, typer.Option(help="An existing Ray cluster: HOST:PORT of its head, or 'auto' for this machine's.")
]
Weights = Annotated[
    str | None,
    typer.Option(help="Pre-trained weights that every trial begins with: a file, or 'timm' for those in its cache."),
]


def error_limit(text: str | None, option: str, unit: str) -> float | None:
    """A limit of an error as '5' or '5px', in a task's unit; None of none.

    Raises:
        UserError: it is no number above 0, or in another unit.
    """
    if text is None:
        return None
    words = re.fullmatch(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*", text)
    if words is None or not 0 < float(words[1]) < math.inf:
        raise UserError(f"{option} {text!r} is no number above 0, e.g. 5{unit}.")
    if words[2] and words[2].lower() != unit.lower():
        raise UserError(f"{option} {text!r}: the task's errors are in {unit or 'numbers without a unit'}.")
    return float(words[1])


@contextmanager
def loading(what: str = "loading torch") -> Iterator[None]:
    """Say on stderr that imports of some seconds have begun; in a terminal a spinner turns until the block ends.

    Nothing is said where torch is there already. What a user can get wrong is to be checked before.
    """
    if "torch" in sys.modules:
        yield
    elif complaints.is_terminal:
        with complaints.status(what):
            yield
    else:
        complaints.print(f"{what} ...")
        yield


def seen(optuna_study: "optuna.Study") -> "View":
    """A study of Optuna's as the pages see it."""
    from search.results.view import View

    names, trials = optuna_study.metric_names or ["value"], optuna_study.get_trials(deepcopy=False)
    return View.of(optuna_study.study_name, names[0], optuna_study.user_attrs, trials)


def say_notes(task: "Task") -> None:
    """Print what a person should know of a task's data."""
    for note in task.notes():
        console.print(escape(f"data: {note}"), soft_wrap=True)


def write_text(file: Path, text: str) -> None:
    """Write a whole file or nothing."""
    from data.storage.files import writing

    with writing(file, "name another file") as half:
        half.write_text(text, encoding="utf-8")
