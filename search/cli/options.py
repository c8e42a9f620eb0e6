"""What the words of the command share: where they speak, and the options that several of them have."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from data.errors import UserError

console = Console(highlight=False, width=None if sys.stdout.isatty() else 180)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)

StudyName = Annotated[str, typer.Argument(help="A study of studies/ by its name, or the path of a .py file.")]
Out = Annotated[Path, typer.Option("--out", help="Folder that holds a folder for each study.")]
Storage = Annotated[
    str | None, typer.Option("--storage", help="Any Optuna database URL instead of OUT/STUDY/study.db.")
]

Weights = Annotated[
    str | None,
    typer.Option(help="Pre-trained weights that every trial begins with: a file, or 'timm' for those in its cache."),
]


def seen(book: Any) -> Any:
    """A study of Optuna's as the pages see it."""
    from search.results.view import View

    return View.of(
        book.study_name, (book.metric_names or ["value"])[0], book.user_attrs, book.get_trials(deepcopy=False)
    )


def write_text(file: Path, text: str) -> None:
    """Write a whole file or nothing."""
    from data.storage.files import replacing

    try:
        with replacing(file) as half:
            half.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {file} ({error.strerror}); name another file.") from error
