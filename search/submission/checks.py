"""What a submission is looked at for, a line each."""

import math
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from search.submission.claims import TOLERANCE, difference


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: of it.
        claimed: as the submission says; empty where it says nothing.
        found: as it is.
        difference_percent: of numbers, else None.
        passed: whether it is right.
        said: one sentence where it is not, else empty.
    """

    name: str
    claimed: str
    found: str
    difference_percent: float | None
    passed: bool
    said: str


@dataclass(frozen=True)
class Verdict:
    """All checks, in the order they were made."""

    lines: list[Check]

    @property
    def passed(self) -> bool:
        """Whether everything is right."""
        return all(line.passed for line in self.lines)


def number(name: str, claim: float | None, found: float | None, most: float = TOLERANCE) -> Check:
    """A claimed number against another; they may differ by `most` per cent."""
    differs = difference(claim, found)
    passed = differs <= most
    here, there = ("none" if value is None else f"{value:,.7g}" for value in (claim, found))
    how = f"by {differs:.3g} %" if math.isfinite(differs) else "entirely"
    said = (
        "" if passed else f"{name} is {there} and not {here} as claimed: it differs {how}, and {most:g} % is allowed."
    )
    return Check(name, here, there, differs, passed, said)


def truth(name: str, passed: bool, found: str, said: str, claim: str = "") -> Check:
    """Something that is so or not; `said` is dropped where it is."""
    return Check(name, claim, found, None, passed, "" if passed else said)


def failed(name: str, error: UserError, folder: Path | None = None) -> Check:
    """What could not be looked at; the private folder is left out of its sentence."""
    return truth(name, False, "", str(error).replace(f"{folder}/", "") if folder else str(error))


def first_line(error: BaseException) -> str:
    """The first line of an error, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
