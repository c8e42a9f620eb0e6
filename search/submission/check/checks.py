"""What is checked of a submission, a line each."""

import math
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from search.submission.claims import TOLERANCE, difference


@dataclass(frozen=True)
class Check:
    """One check."""

    name: str  # what is checked
    claimed: str  # as the submission claims; empty where it claims nothing
    measured: str  # as it is
    difference_percent: float | None  # of numbers, else None
    passed: bool  # whether it is right
    message: str  # one sentence where it is not, else empty
    warning: bool = False  # whether it is told without failing the submission, where it is not right


@dataclass(frozen=True)
class Verdict:
    """All checks, in the order they were made."""

    lines: list[Check]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong; there may be warnings."""
        return all(line.passed or line.warning for line in self.lines)

    @property
    def warnings(self) -> list[Check]:
        """What could not be checked, or is odd and no proof."""
        return [line for line in self.lines if line.warning and not line.passed]

    @property
    def word(self) -> str:
        """'PASS', 'PASS with 2 warnings' or 'FAIL'."""
        count = len(self.warnings)
        return ("PASS" + (f" with {count} warning{'s' * (count > 1)}" if count else "")) if self.passed else "FAIL"


def number(name: str, claim: float | None, measured: float | None, most: float = TOLERANCE) -> Check:
    """A claimed number against another; they may differ by `most` per cent."""
    differs = difference(claim, measured)
    passed = differs <= most
    here, there = ("none" if value is None else f"{value:,.7g}" for value in (claim, measured))
    how = f"by {differs:.3g} %" if math.isfinite(differs) else "entirely"
    message = f"{name} is {there} and not {here} as claimed: it differs {how}, and {most:g} % is allowed."
    return Check(name, here, there, differs, passed, "" if passed else message)


def truth(name: str, passed: bool, measured: str, message: str, claim: str = "", *, warning: bool = False) -> Check:
    """Something that is so or not; `message` is dropped where it is."""
    return Check(name, claim, measured, None, passed, "" if passed else message, warning)


def failed(name: str, error: UserError, folder: Path | None = None) -> Check:
    """What could not be checked; the private folder is left out of its sentence."""
    return truth(name, False, "", str(error).replace(f"{folder}/", "") if folder else str(error))


def first_line(error: BaseException) -> str:
    """The first line of an error, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
