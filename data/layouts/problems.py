"""What a reader complains of, and who listens: training refuses at the first fault, a check collects them all."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard

from data.errors import UserError
from data.storage.files import BadFile

_NAMED = 5  # of many
_COUNTED = ("unused", "implausible area", "copies", "orientation", "validation")


@dataclass(frozen=True)
class Problem:
    """What is wrong in one place.

    Attributes:
        severity: "fault" for what cannot be trained on, "warning" for what is merely worth knowing.
        kind: Faults: "missing", "unreadable", "truncated", "mis-shaped", "mismatch" (counts, names or numbers that do
            not fit), "non-finite", "duplicate", "behind camera", "negative", "not plain" (a pickle that is more than
            one text or number). Warnings: "off-image", "implausible", one of the faults' where it does no harm, and
            those that count: "unused" (read and left out), "implausible area", "copies" (images that are one),
            "orientation" (images that may lie otherwise than their annotations), "validation" (what is judged on).
        where: The file, or the annotation's number and the point's.
        detail: What is wrong with it.
        mend: What to do about it.
    """

    severity: Literal["fault", "warning"]
    kind: str
    where: str
    detail: str
    mend: str = "mend it or fetch it again"


OnProblem = Callable[[Problem], None]
"""Who listens. A reader calls it for each problem, goes on if it returns, and raises what it raises."""


def fault(kind: str, where: str | Path, detail: str, mend: str = Problem.mend) -> Problem:
    """A problem that forbids training."""
    return Problem("fault", kind, str(where), detail, mend)


def warning(kind: str, where: str | Path, detail: str) -> Problem:
    """A problem worth knowing."""
    return Problem("warning", kind, str(where), detail)


def unused(where: str | Path, what: str, names: Sequence[object]) -> Problem:
    """What a reader leaves out."""
    return counted("unused", where, what, names)


def counted(kind: str, where: str | Path, what: str, names: Sequence[object]) -> Problem:
    """A warning for many things at once: how many, what, and the first of their names."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return warning(kind, where, f"{len(names)} {what}: {', '.join(map(str, names[:_NAMED]))}{more}")


class Noted(list[Problem]):
    """What training does about problems: it refuses faults and keeps the warnings, to be said."""

    def __call__(self, problem: Problem) -> None:
        """Raises UserError for a fault."""
        refuse(problem)
        self.append(problem)


def sentences(problems: Iterable[Problem]) -> tuple[str, ...]:
    """What a person should know of warnings: those that count something each, of all others how many there are."""
    each = [f"{problem.where}: {problem.kind}, {problem.detail}" for problem in problems if problem.kind in _COUNTED]
    kinds = Counter(problem.kind for problem in problems if problem.kind not in _COUNTED)
    others = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return (*each, *([f"{others}: 'posefront data check' names them"] if others else []))


def refuse(problem: Problem) -> None:
    """What training does about a problem.

    Raises:
        UserError: If it is a fault.
    """
    if problem.severity == "fault":
        plain = problem.kind in ("mismatch", "duplicate")
        what = f": {problem.detail}" if plain else f" is {problem.kind} ({problem.detail})"
        raise UserError(f"{problem.where}{what}: {problem.mend}; 'posefront data check' names all such problems.")


@contextmanager
def reported(on_problem: OnProblem) -> Iterator[None]:
    """Report a file that cannot be used instead of raising `BadFile`; the rest of the block is left out."""
    try:
        yield
    except BadFile as bad:
        on_problem(fault(bad.kind, bad.path, bad.detail))


def read_json(path: Path, on_problem: OnProblem, mend: str = Problem.mend) -> Any:
    """What a JSON file holds; None where it cannot be read, which is reported."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        on_problem(fault("missing", path, "no such file", mend))
    except (OSError, ValueError) as error:
        on_problem(fault("unreadable", path, f"no JSON: {error}", mend))
    else:
        if value is None:
            on_problem(fault("unreadable", path, "it holds nothing but null", mend))
        return value
    return None


def read_csv(path: Path, on_problem: OnProblem = refuse, mend: str = Problem.mend) -> list[list[str]]:
    """The lines of a csv file; none where it cannot be read, which is reported."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file))
    except FileNotFoundError:
        on_problem(fault("missing", path, "no such file", mend))
    except (OSError, ValueError, csv.Error) as error:
        on_problem(fault("unreadable", path, f"no UTF-8 csv: {error}", mend))
    return []


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether a value of JSON is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def by_number(name: str) -> tuple[int, str]:
    """The key that sorts folders named by numbers by these, others after them by name."""
    return (int(name), name) if name.isdecimal() else (1 << 62, name)


@dataclass(frozen=True)
class Report:
    """All problems of a folder.

    Attributes:
        images: Number of image files.
        objects: Number of annotated things that could be read.
        called: What these are: "hands", "objects", "samples", "folders".
        problems: In the order: annotations, then images.
    """

    images: int
    objects: int
    called: str
    problems: tuple[Problem, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems of each kind that occurs."""
        return dict(Counter(problem.kind for problem in self.problems))

    @property
    def sound(self) -> bool:
        """Whether there is no fault; warnings do not matter."""
        return all(problem.severity == "warning" for problem in self.problems)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items()) or "nothing wrong"
        return f"{self.images} images, {self.objects} {self.called}: {counts}"
