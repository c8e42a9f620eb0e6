"""Where a study lives: its folder, its storage, and the lock that keeps a second driver out."""

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy as sa

from data.errors import UserError

STUDIES = Path(__file__).resolve().parent.parent / "studies"
"""Where studies are known by their names."""


def name_of(study: str) -> str:
    """The name of a study given by name or by file."""
    return Path(study).stem if study.endswith(".py") else study


def folder_of(study: str, out: Path) -> Path:
    """The folder of a study, `out`/NAME, made if need be.

    Raises:
        UserError: it cannot be made or written.
    """
    folder = made((out / name_of(study)).absolute())
    try:
        probe = folder / f".{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"cannot write to {folder} ({os.strerror(error.errno or 0)}); give --out a folder of yours."
        ) from error
    return folder


def url_of(folder: Path, storage: str | None) -> str:
    """Optuna's URL of a study: `storage`, or the SQLite file in its folder."""
    return storage or f"sqlite:///{folder / 'study.db'}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for one driver; the kernel lets go of it however the driver ends.

    Raises:
        UserError: another search holds it.
    """
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            file.seek(0)
            raise UserError(
                f"a search of {folder.name} runs already (process {file.read().strip() or 'unknown'}); wait for it, "
                "stop it, or give --out another folder."
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def made(folder: Path) -> Path:
    """A folder, made where it is not there.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror}); give --out a folder of yours.") from error
    return folder


def file_of(url: str) -> Path | None:
    """The file of an SQLite URL; None for other databases, a database in memory and what is no URL."""
    try:
        parts = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # the latter of a port that is no number
        return None
    named = parts.get_backend_name() == "sqlite" and parts.database not in (None, "", ":memory:")
    return Path(str(parts.database)) if named else None


def existing(study: str, out: Path, storage: str | None) -> str:
    """Optuna's URL of a study that was searched before.

    Raises:
        UserError: its file is missing.
    """
    name, folder = name_of(study), out / name_of(study)
    if storage is not None:
        return checked(storage)
    if not (folder / "study.db").is_file():
        others = ", ".join(sorted(file.parent.name for file in out.glob("*/study.db")))
        there = f" (searched there: {others})" if others else ""
        raise UserError(f"there is no search of {name!r} in {folder}{there}; begin with `posefront search {study}`.")
    return url_of(folder.absolute(), None)


def checked(storage: str) -> str:
    """What `--storage` gives, to read.

    Raises:
        UserError: it is SQLite's, and the file is missing.
    """
    file = file_of(storage)
    if file is not None and not file.is_file():
        raise UserError(f"--storage {storage!r} names no file; give the one that the search was given.")
    return storage


def absent(name: str, known: Sequence[str]) -> UserError:
    """What to say of a study that is not among those in a storage."""
    return UserError(f"the storage holds no study {name!r}; it holds: {', '.join(sorted(known)) or 'none'}.")


def recorded(study: str, out: Path, storage: str | None) -> optuna.Study:
    """A study that was searched before, to read.

    Raises:
        UserError: there is none.
    """
    from search.run.ledger import (
        open_storage,  # here, for it imports torch, which costs whoever wants an address seconds
    )

    name = name_of(study)
    opened = open_storage(existing(study, out, storage))
    try:
        book = optuna.load_study(study_name=name, storage=opened)
    except KeyError as error:
        raise absent(name, optuna.get_all_study_names(opened)) from error
    if "metric" not in book.user_attrs:
        raise UserError(f"the study {name!r} in this storage was not searched by posefront; give another --storage.")
    return book
