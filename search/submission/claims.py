"""What a submission says of itself: its model.json, which is the model's with a part "submission"."""

import hashlib
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from data.errors import UserError
from search.after import model
from search.after.model import Facts
from search.format import named
from search.submission import strict_json

FORMAT = 2
"""Of the part "submission"; another number is another version's."""

TOLERANCE = 1.0
"""Per cent by which what is measured again may differ from the claim."""

PIXELS = 0.25
"""Of the 224 x 224 image, by which an answer may differ on another machine: a GPU's convolutions have ten bits."""

NUMBERS = {"PixelDiff": "pixel_diff", "params": "params", "FLOPs": "flops", "score": "score"}
"""The claimed numbers, and what the notebook calls them."""

Count = Annotated[StrictInt, Field(ge=0, lt=2**53)]
Positive = Annotated[StrictInt, Field(gt=0, lt=2**53)]
Number = Annotated[StrictInt | StrictFloat, Field(ge=0, le=sys.float_info.max, allow_inf_nan=False)]
Sha256 = Annotated[StrictStr, Field(pattern="^[0-9a-f]{64}$")]


class Claims(BaseModel):
    """The part "submission" of model.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    author: StrictStr  # as the author wrote it
    members: dict[str, Sha256]  # SHA-256 of each other member of the zip, by its name
    facts_sha256: StrictStr  # of the rest of model.json, see `digest`
    test_images: Positive  # how many images, or objects in them, the csv is of
    test_names_sha256: StrictStr  # of their names in order, a line each
    csv_rows: Positive  # rows of the csv without its header
    like_sample: StrictBool  # whether the csv follows an organiser's sample
    pages: Count  # of the report
    measured: dict[str, Number]  # what the executed notebook measured (`notebook.measured`)
    format: StrictInt = FORMAT


class _Data(BaseModel):
    identity: StrictStr
    valid_rows: Annotated[list[Count], Field(min_length=1)]


class _Seed(BaseModel):
    seed: Count
    error: Number
    weights: Literal["last", "averaged"]


class _Versions(BaseModel):
    threads: Annotated[StrictStr, Field(pattern="^[1-9][0-9]{0,3}$")] = "1"


class _Facts(BaseModel):
    """What a check needs of a submission's `Facts`, beside their types: ranges."""

    metric: StrictStr
    error: Number
    trial: Count
    params_count: Positive
    flops: Positive
    score: Number | None
    epochs: Positive
    seeds: Annotated[list[_Seed], Field(min_length=1)]
    data: _Data
    versions: _Versions
    train_error: Number | None = None
    train_images: Positive | None = None


def digest(facts: Facts) -> str:
    """SHA-256 of a model's facts, however they are laid out in a file."""
    return hashlib.sha256(json.dumps(facts.record(), sort_keys=True).encode()).hexdigest()


def study_name(facts: Facts) -> str:
    """The study that a submission names; a path, whose file would be run, is none.

    Raises:
        UserError: it is no name.
    """
    if not re.fullmatch(r"[\w-]+", facts.study):
        raise UserError(f"the submission's study {facts.study!r} is no name; give its file with --study.")
    return facts.study


def names_digest(names: Sequence[str]) -> str:
    """SHA-256 of names in order."""
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def claimed(facts: Facts) -> dict[str, float | None]:
    """The numbers that a submission stands for: of the course's by the names of NUMBERS."""
    return {named(facts.metric): facts.error, "params": facts.params_count, "FLOPs": facts.flops, "score": facts.score}


def difference(claim: float | None, measured: float | None) -> float:
    """By how many per cent of the claim a number differs from it; infinite where only one of them is a number."""
    if claim is None or measured is None:
        return 0.0 if claim is measured else math.inf
    if claim == measured:
        return 0.0
    differs = 100 * abs(measured - claim) / abs(claim) if claim else math.inf
    return differs if math.isfinite(differs) else math.inf


def write(facts: Facts, claims: Claims | None, file: Path) -> None:
    """Write model.json, as yet without its part "submission" where there are no claims."""
    content = facts.record() | ({"submission": claims.model_dump()} if claims else {})
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read(file: Path) -> tuple[Facts, Claims]:
    """A submission's model.json, every field of its type and range.

    Raises:
        UserError: it is not what `write` writes, or another version's.
    """
    try:
        content = strict_json.parse(file.read_bytes())
        if not isinstance(content, dict) or not isinstance(content.get("submission"), dict):
            raise UserError(f'{file.name} has no part "submission"; pack the model with `posefront submit`.')
        part = content.pop("submission")
        _check_format(file, content, model.FORMAT)
        _check_format(file, part, FORMAT)
        _Facts.model_validate(content)
        facts = model.parsed(json.dumps(content).encode())
        return facts, Claims.model_validate(part)
    except ValidationError as error:
        field = ".".join(map(str, error.errors()[0]["loc"][:2]))
        where = f"submission.{field}" if error.title == Claims.__name__ else field
        raise UserError(
            f"{file.name}: {where} is not what belongs there; pack the model with `posefront submit`."
        ) from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{file.name} cannot be read ({error}); pack the model with `posefront submit`.") from error


def _check_format(file: Path, part: Mapping[str, Any], version: int) -> None:
    if part.get("format") != version:
        raise UserError(
            f"{file.name} is of format {part.get('format')!r}, and this version reads format {version}: it was packed "
            "by another version of posefront; pack it again with `posefront submit`."
        )
