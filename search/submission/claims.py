"""What a submission says of itself: its model.json, which is the model's with a part "submission"."""

import hashlib
import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.errors import UserError
from search.after import model
from search.after.model import Facts, Seed

FORMAT = 1
"""Of the part "submission"; another number is another version's."""

TOLERANCE = 1.0
"""Per cent by which what is measured again may differ from the claim."""

NUMBERS = {"PixelDiff": "pixel_diff", "params": "params", "FLOPs": "flops", "score": "score"}
"""The claimed numbers, and what the notebook calls them."""


@dataclass(frozen=True)
class Claims:
    """The part "submission" of model.json.

    Attributes:
        author: as given.
        members: SHA-256 of each other member of the zip, by its name.
        facts_sha256: of the rest of model.json, see `digest`.
        test_images: how many images the csv is of.
        test_names_sha256: of their file names in order, a line each.
        csv_rows: rows of the csv without its header.
        like_sample: whether the csv follows an organiser's sample.
        pages: of the report.
        measured: what the executed notebook measured (`notebook.measured`).
        format: FORMAT.
    """

    author: str
    members: Mapping[str, str]
    facts_sha256: str
    test_images: int
    test_names_sha256: str
    csv_rows: int
    like_sample: bool
    pages: int
    measured: Mapping[str, float]
    format: int = FORMAT


def digest(facts: Facts) -> str:
    """SHA-256 of a model's facts, however they are laid out in a file."""
    return hashlib.sha256(json.dumps(facts.record(), sort_keys=True).encode()).hexdigest()


def names_digest(files: list[Path]) -> str:
    """SHA-256 of file names in order."""
    return hashlib.sha256("\n".join(file.name for file in files).encode("utf-8", "surrogateescape")).hexdigest()


def claimed(facts: Facts) -> dict[str, float | None]:
    """The numbers that a submission stands for, by the names of NUMBERS."""
    return {
        "PixelDiff": facts.error,
        "params": facts.params_count,
        "FLOPs": facts.flops,
        "score": facts.score,
    }


def difference(claim: float | None, found: float | None) -> float:
    """By how many per cent of the claim a number differs from it; infinite where only one of them is a number."""
    if claim is None or found is None:
        return 0.0 if claim is found else math.inf
    if claim == found:
        return 0.0
    differs = 100 * abs(found - claim) / abs(claim) if claim else math.inf
    return differs if math.isfinite(differs) else math.inf


def write(facts: Facts, claims: Claims | None, file: Path) -> None:
    """Write model.json, as yet without its part "submission" where there are no claims."""
    said = facts.record() | ({"submission": asdict(claims)} if claims else {})
    file.write_text(json.dumps(said, indent=1), encoding="utf-8")


def read(file: Path) -> tuple[Facts, Claims]:
    """A submission's model.json, every field of its type and range.

    Raises:
        UserError: it is not what `write` writes, or another version's.
    """
    try:
        said = json.loads(file.read_bytes())
        if not isinstance(said, dict) or not isinstance(said.get("submission"), dict):
            raise UserError(f'{file.name} has no part "submission"; pack the model with `posefront submit`.')
        handed = said.pop("submission")
        for found, known in ((said.get("format"), model.FORMAT), (handed.get("format"), FORMAT)):
            if found != known:
                raise UserError(
                    f"{file.name} is of format {found!r}, and this version reads format {known}; verify it with the "
                    "version of posefront that packed it."
                )
        seeds = tuple(Seed(**seed) for seed in said["seeds"])
        facts, claims = Facts(**(said | {"seeds": seeds})), Claims(**handed)
        wrong = _wrong(facts, claims)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{file.name} cannot be read ({error}); pack the model with `posefront submit`.") from error
    if wrong:
        raise UserError(f"{file.name}: {wrong} is not what belongs there; pack the model with `posefront submit`.")
    return facts, claims


def _wrong(facts: Facts, claims: Claims) -> str:
    """The first field that is of another type or range than it should be; empty for none."""
    data = facts.data if isinstance(facts.data, dict) else {}
    rows = data.get("valid_rows")
    fine = {
        "study": isinstance(facts.study, str),
        "trial": _whole(facts.trial),
        "params": isinstance(facts.params, dict),
        "metric": facts.metric == "pixel_diff",
        "error": _number(facts.error),
        "params_count": _whole(facts.params_count) and facts.params_count > 0,
        "flops": _whole(facts.flops) and facts.flops > 0,
        "score": facts.score is None or _number(facts.score),
        "epochs": _whole(facts.epochs) and facts.epochs > 0,
        "seeds": bool(facts.seeds)
        and all(_whole(one.seed) and _number(one.error) and one.weights in ("last", "averaged") for one in facts.seeds),
        "versions": _of(facts.versions, str),
        "data.identity": isinstance(data.get("identity"), str),
        "data.valid_rows": isinstance(rows, list) and bool(rows) and all(map(_whole, rows)),
        "submission.author": isinstance(claims.author, str),
        "submission.members": _of(claims.members, str)
        and all(re.fullmatch("[0-9a-f]{64}", value) for value in claims.members.values()),
        "submission.facts_sha256": isinstance(claims.facts_sha256, str),
        "submission.test_images": _whole(claims.test_images) and claims.test_images > 0,
        "submission.test_names_sha256": isinstance(claims.test_names_sha256, str),
        "submission.csv_rows": _whole(claims.csv_rows) and claims.csv_rows > 0,
        "submission.like_sample": isinstance(claims.like_sample, bool),
        "submission.pages": _whole(claims.pages),
        "submission.measured": _of(claims.measured, (int, float)) and all(map(_number, claims.measured.values())),
    }
    return next((name for name, right in fine.items() if not right), "")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _number(value: Any) -> bool:
    """Whether it is a number of at least 0 that a float holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max


def _of(value: Any, kind: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(inner, kind) for inner in value.values())
