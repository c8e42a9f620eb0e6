"""Where a study lives: its folder, its storage, and the lock that keeps a second driver out."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from data.errors import Mistake
from search.ledger import open_storage


def name_of(study: str) -> str:
    """The name of a study given by name or by file."""
    return Path(study).stem if study.endswith(".py") else study


def folder_of(study: str, out: Path) -> Path:
    """The folder of a study, `out`/NAME, made if need be.

    Raises:
        Mistake: it cannot be made or written.
    """
    folder = (out / name_of(study)).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Mistake(
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
        Mistake: another search holds it.
    """
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            file.seek(0)
            raise Mistake(
                f"a search of {folder.name} runs already (process {file.read().strip() or 'unknown'}); wait for it, "
                "stop it, or give --out another folder."
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def recorded(study: str, out: Path, storage: str | None) -> optuna.Study:
    """A study that was searched before, to read.

    Raises:
        Mistake: there is none.
    """
    name, folder = name_of(study), out / name_of(study)
    if storage is None and not (folder / "study.db").is_file():
        raise Mistake(f"there is no search of {name!r} in {folder}; begin one with `posefront search {study}`.")
    if (
        storage is not None
        and storage.startswith("sqlite:///")
        and not Path(storage.removeprefix("sqlite:///")).is_file()
    ):
        raise Mistake(f"--storage {storage!r} names no file; give the one that the search was given.")
    opened: BaseStorage = open_storage(url_of(folder.absolute(), storage))
    try:
        book = optuna.load_study(study_name=name, storage=opened)
    except KeyError as error:
        known = ", ".join(sorted(optuna.get_all_study_names(opened))) or "none"
        raise Mistake(f"the storage holds no study {name!r}; it holds: {known}.") from error
    if "metric" not in book.user_attrs:
        raise Mistake(f"the study {name!r} in this storage was not searched by posefront; give --storage another one.")
    return book
