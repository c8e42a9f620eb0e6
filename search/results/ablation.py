"""What an ablation found, as it is kept: one row a change, each with its errors, their means and intervals.

`OUT/STUDY/ablation/NNNNNN.json` is the last one of trial NNNNNN; the dashboard and the report read it without torch.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, FiniteFloat, TypeAdapter

from data.storage.files import replacing

LEVEL = 0.95
"""Of every interval."""

STRICT = ConfigDict(strict=True)
"""Of what is read from a file: no field is turned into another type."""


@dataclass(frozen=True)
class Mean:
    """A mean of n numbers and its 95 % t-interval, whose ends are None of one number: nobody knows its spread."""

    __pydantic_config__ = STRICT

    mean: FiniteFloat
    low: FiniteFloat | None
    high: FiniteFloat | None
    n: int

    @property
    def half(self) -> float | None:
        """Half the interval's width."""
        return None if self.high is None else self.high - self.mean

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Row:
    """One change, or the trial as it is."""

    __pydantic_config__ = STRICT

    name: str  # of the change; BASE for the trial as it is
    said: str  # from what to what, e.g. 'rotate 30 to 0'
    params: int  # of the network with it
    flops: int  # its multiply-adds
    # on the validation part after the last epoch, by seed, of those trainings that came to an end
    errors: Mapping[str, FiniteFloat]
    error: Mean | None  # their mean; None where none did
    # of the error, with the change minus without it, over pairs of the same seed; None for the base and where there is
    # no pair
    difference: Mean | None
    value: Mean | None  # the same difference of what the study minimises; of a score that is its logarithm
    # where the study is ranked so, at the mean error: that is the geometric mean of the scores
    score: FiniteFloat | None
    failed: tuple[str, ...]  # why trainings did not come to an end, one reason each

    @property
    def part(self) -> str:
        """What is changed."""
        return self.name.partition("=")[0]

    @property
    def factor(self) -> float | None:
        """By what the change multiplies the score; None where there is none, or it is more than a float holds."""
        if self.score is None or self.value is None or self.value.mean > 700:
            return None
        return math.exp(self.value.mean)


@dataclass(frozen=True)
class Ablation:
    """An ablation of one trial."""

    __pydantic_config__ = STRICT

    study: str  # its name
    trial: int  # its number
    metric: str  # the error's name
    unit: str  # the error's unit
    epochs: int  # of each training
    seeds: int  # trainings that were asked for, of each row
    base: Row  # the trial as it is
    rows: tuple[Row, ...]  # the changes, in the order they were tried
    made: str  # date and time, ISO 8601
    format: Literal[1] = 1  # of the file; another number is another version's

    @property
    def ranked(self) -> tuple[Row, ...]:
        """The changes that came to a difference, the most harmful one first."""
        compared = [row for row in self.rows if row.difference is not None]
        return tuple(sorted(compared, key=lambda row: -row.difference.mean if row.difference else 0.0))

    @property
    def caution(self) -> str:
        """How the intervals are to be read, in a sentence or two."""
        pairs = sorted({row.difference.n for row in self.ranked if row.difference})
        if not pairs or pairs[-1] == 1:
            return "One pair of trainings a change: there is no interval, and a difference may be chance."
        over = f"{pairs[0]}" if len(pairs) == 1 else f"{pairs[0]} to {pairs[-1]}"
        return (
            f"Differences are paired by seed, with 95 % t-intervals over {over} pairs of trainings. About one interval "
            "in twenty misses by chance."
        )


_ABLATION = TypeAdapter(Ablation)


def file_of(folder: Path, number: int) -> Path:
    """Where a study's folder keeps the ablation of trial `number`."""
    return folder / "ablation" / f"{number:06d}.json"


def save(ablation: Ablation, folder: Path) -> Path:
    """Write an ablation into a study's folder; a reader meets the old file or the new one."""
    file = file_of(folder, ablation.trial)
    with replacing(file) as half:
        half.write_text(json.dumps(asdict(ablation), indent=1, allow_nan=False), encoding="utf-8")
    return file


def load(folder: Path, number: int) -> Ablation | None:
    """The ablation of a study's trial; None where there is none or it cannot be read."""
    try:
        return _ABLATION.validate_json(file_of(folder, number).read_bytes())
    except (OSError, ValueError):
        return None
