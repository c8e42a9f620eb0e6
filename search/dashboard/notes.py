"""Notes and stars that people give trials, in a file beside the study that no search reads."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

from data.errors import UserError
from data.storage.files import writing
from search.dashboard.parts.blocks import Block
from search.results.view import View

FILE = "notes.json"
LONGEST = 4000
"""Letters of a note."""
MOST = 10_000
"""Trials that may have one."""

_NOTED: dict[Path, tuple[View, int, View]] = {}
_LOCK = Lock()


@dataclass(frozen=True)
class Note:
    """What someone thought of a trial."""

    star: bool = False
    text: str = ""

    @classmethod
    def of(cls, body: Any) -> "Note":
        """From JSON.

        Raises:
            TypeError: it is none.
            ValueError: it is too long.
        """
        if (
            not isinstance(body, dict)
            or not isinstance(body.get("star"), bool)
            or not isinstance(body.get("text"), str)
        ):
            raise TypeError("a note is a star, true or false, and a text")
        text = "\n".join(body["text"].splitlines()).strip()
        if len(text) > LONGEST:
            raise ValueError(f"a note has at most {LONGEST:,} letters")
        return cls(body["star"], text)


def load(folder: Path, study_id: str | None) -> dict[int, Note]:
    """The notes of a study's trials, by their numbers; none where the file is missing or another study's.

    Raises:
        UserError: it is no file of notes.
    """
    file = folder / FILE
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        notes = {int(number): Note.of(note) for number, note in kept["notes"].items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} cannot be read as notes ({error}); mend it or move it away.") from error
    return notes if kept.get("study") == study_id else {}


def save(folder: Path, study_id: str | None, number: int, note: Note) -> None:
    """Keep the note of a trial in the place of its earlier one; an empty one is none.

    Raises:
        UserError: the file cannot be read or written, or has too many.
    """
    from filelock import FileLock

    file = folder / FILE
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / f"{FILE}.lock"))
        except OSError as error:
            raise UserError(f"{folder} takes no notes ({error.strerror or error}); make it one of yours.") from error
        notes = load(folder, study_id)
        notes.pop(number, None)
        if note != Note():
            notes[number] = note
        if len(notes) > MOST:
            raise UserError(f"{file} has notes of {MOST:,} trials; take some away before others are added.")
        kept = {str(key): {"star": each.star, "text": each.text} for key, each in sorted(notes.items())}
        text = json.dumps({"study": study_id, "notes": kept}, ensure_ascii=False, indent=1)
        with writing(file, f"make {folder} one of yours") as half:
            half.write_text(text, encoding="utf-8")


def written(folder: Path) -> int:
    """When notes were last written, in nanoseconds; 0 where there are none."""
    try:
        return (folder / FILE).stat().st_mtime_ns
    except OSError:
        return 0


def noted(view: View, folder: Path, study_id: str | None) -> View:
    """The same view, its trials with their notes; a file that cannot be read has none, as a trial's page says."""
    stamp = written(folder)
    if not stamp:
        return view
    with _LOCK:
        known = _NOTED.get(folder)
        if known is not None and known[0] is view and known[1] == stamp:
            return known[2]
        try:
            notes = load(folder, study_id)
        except UserError:
            notes = {}
        _NOTED[folder] = (view, stamp, with_notes(view, notes))
        return _NOTED[folder][2]


def with_notes(view: View, notes: Mapping[int, Note]) -> View:
    """A view whose trials have these notes."""
    if not notes:
        return view
    entries = tuple(
        replace(entry, star=note.star, note=note.text) if (note := notes.get(entry.number)) else entry
        for entry in view.entries
    )
    return replace(view, entries=entries)


def block(view: View, number: int, folder: Path, study_id: str | None) -> Block:
    """A trial's note, which the page's script shows and lets be changed."""
    wrong = ""
    try:
        load(folder, study_id)
    except UserError as mistake:
        wrong = str(mistake)
    entry = view.by_number[number]
    return {"kind": "note", "id": "note", "trial": number, "star": entry.star, "text": entry.note, "wrong": wrong}
