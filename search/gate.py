"""Whether a candidate is worth its training at all: a study's `gate`, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.forecast import of_any


@dataclass(frozen=True)
class Gate:
    """Refuses, untrained, a candidate that would not be the best even with the smallest error to be expected of any.

    That floor is a low quantile of the logarithms of errors that trials ended with (Student's t), and never above an
    error that was seen. One in `anyway` trials is trained though it is too dear: should it end lower than the floor,
    the floor falls.

    Attributes:
        quantile: of the errors, above 0 and below 0.5; a lower one refuses less.
        anyway: one in how many trials, by their numbers, is not refused, at least 2.
        enough: trials that had all their epochs before anything is refused, at least 3.
    """

    quantile: float = 0.05
    anyway: int = 10
    enough: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 0.5 or self.anyway < 2 or self.enough < 3:
            numbers = f"{self.quantile}, {self.anyway} and {self.enough}"
            raise ValueError(f"quantile must be in 0 to 0.5, anyway at least 2 and enough at least 3, not {numbers}")

    @property
    def words(self) -> str:
        """What it refuses."""
        return (
            f"what would not be the best even with the smallest error to be expected (the {self.quantile:g} quantile), "
            f"but one in {self.anyway}"
        )

    def floor(self, errors: Sequence[float]) -> float:
        """The smallest error to be expected.

        Args:
            errors: last ones of at least 3 trials.
        """
        return min(of_any(errors).quantile(self.quantile), *errors)
