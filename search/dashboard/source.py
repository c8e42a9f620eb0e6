"""Where a study lies: its storage to read, its folder, and the file that can build its networks again."""

import shlex
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock

from data.errors import Mistake
from search import home
from search.dashboard import detail, drawing
from search.dashboard.reader import Reader
from search.dashboard.view import View
from search.load import STUDIES


@dataclass(frozen=True)
class Source:
    """A study that is looked at.

    Attributes:
        key: short name in addresses; unique.
        name: of the study.
        folder: with the pictures, answers and artifacts of its trials; need not exist.
        reader: reads its trials.
        file: the study's Python file; None where it is not known.
        given: the study as the command line names it.
        out: the folder of `--out`.
        storage: the URL of `--storage`, if it was given.
    """

    key: str
    name: str
    folder: Path
    reader: Reader
    file: Path | None
    given: str
    out: Path
    storage: str | None
    _loading: Lock = field(default_factory=Lock, repr=False, compare=False)

    def retrain(self, number: int) -> str:
        """The command that trains one of its trials in full."""
        words = ["posefront", "retrain", self.given, "--trial", str(number)]
        if self.out != Path("runs"):
            words += ["--out", str(self.out)]
        if self.storage is not None:
            words += ["--storage", self.storage]
        return shlex.join(words)
