"""Whose the results in a folder are: a study's, whose trials' numbers name them."""

from __future__ import annotations

import json
import tempfile
from datetime import datetime
from pathlib import Path

from data.errors import UserError
from data.storage.files import replacing
from search import paths
from search.storage_url import file_of, without_passwords

RESULTS = (
    *("weights", "answers", "pictures", "networks", "artifacts", "models", "retrain", "folds", "ensembles", "ablation"),
    *("submission", "pareto.html", "report.html", "notes.json"),
)
"""What a search, and what comes after it, leaves in a study's folder."""

OWNER, EARLIER = "owner.json", "earlier"
"""The file that says whose these are, and the folder for those of studies that are no more."""


def owner(folder: Path) -> dict[str, str | None] | None:
    """The id and the storage of the study whose results a folder holds; None where nobody has claimed them."""
    try:
        found: dict[str, str | None] = json.loads((folder / OWNER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def results_of(folder: Path, study_id: str | None) -> Path:
    """The folder, or, where its results are another study's, one that is not there."""
    found = owner(folder)
    return folder if found is None or found["study"] == study_id else folder / "of another study"


def claim(folder: Path, study_id: str | None, url: str) -> Path | None:
    """Make a folder one study's; to be called with the folder locked, before anything is read from it.

    Args:
        folder: the study's, or that of a training after it.
        study_id: the study's own; None of one begun before there were ids, whose results name no owner either.
        url: of the storage that keeps the study.

    Returns:
        Where the results of an earlier study were put, whose storage is gone; None where there were none.

    Raises:
        UserError: they are those of a study that is still there.
    """
    before = owner(folder) or {"study": None, "storage": paths.url_of(folder, None)}
    if before["study"] == study_id:
        return None
    found = [folder / name for name in RESULTS if (folder / name).exists()]
    put = None
    if found:
        _check_gone(folder, str(before["storage"]), at(url))
        paths.make_folder(folder / EARLIER)
        put = Path(tempfile.mkdtemp(prefix=datetime.now().strftime("%Y%m%d-%H%M%S-"), dir=folder / EARLIER))
        for place in found:
            place.rename(put / place.name)
    with replacing(folder / OWNER) as half:
        half.write_text(json.dumps({"study": study_id, "storage": at(url)}), encoding="utf-8")
    return put


def _check_gone(folder: Path, before: str, now: str) -> None:
    """Whether the study whose results lie in a folder is no more: its storage holds another one, or is gone."""
    file = file_of(before)
    if before != now and (file is None or file.is_file()):
        raise UserError(
            f"{folder} holds the results of the study of this name in {before}, and {now} has another one: give --out "
            "another folder."
        )


def at(url: str) -> str:
    """A storage's URL without a password; of an SQLite file with its whole path."""
    file = file_of(url)
    return without_passwords(url) if file is None else f"sqlite:///{file.absolute()}"
