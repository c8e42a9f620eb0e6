"""Where a study lives: its folder, its storage, and the lock that keeps a second driver out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UserError
from search.storage_url import check_driver, file_of, without_passwords

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

STUDIES = Path(__file__).resolve().parent.parent / "studies"
"""Where studies are known by their names."""

NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "beegfs", "ceph", "glusterfs", "gpfs", "lustre", "orangefs"),
    *("panfs", "pvfs2", "wekafs"),
    *(f"fuse.{name}" for name in ("ceph-fuse", "gcsfuse", "glusterfs", "juicefs", "rclone", "s3fs", "sshfs")),
}
"""Types of file systems, as the kernel calls them, that other machines write to as well."""

STORAGE = "POSEFRONT_STORAGE"
"""The environment's variable that stands for `--storage`."""

LEASE = "driver"
"""The study's attribute that says who searches it, None once nobody does; its heartbeat is no news of the study."""

EXPECTED_GAIN = "expected_gain"
"""A trial's attribute: what its sampler expected of it, see `search.samplers.known_cost`."""


def name_of(study: str) -> str:
    """The name of a study given by name or by file."""
    return Path(study).stem if study.endswith(".py") else study


def folder_of(study: str, out: Path) -> Path:
    """The folder of a study, `out`/NAME, made if need be.

    Raises:
        UserError: it cannot be made or written.
    """
    folder = make_folder((out / name_of(study)).absolute())
    check_writable(folder)
    return folder


def make_folder(folder: Path) -> Path:
    """A folder, made where it is not there.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    return folder


def check_writable(folder: Path, option: str = "--out") -> None:
    """Try to write in a folder, or in the nearest one above it that is there, without leaving anything behind.

    `option` names another folder.

    Raises:
        UserError: it cannot be written.
    """
    folder = folder.absolute()
    nearest = next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise unwritable(folder, error, option) from error


def unwritable(folder: Path, error: OSError, option: str = "--out") -> UserError:
    """Why a folder cannot be written to, and which option names another."""
    return UserError(f"cannot write to {folder} ({error.strerror or error}); give {option} a folder of yours.")


def url_of(folder: Path, storage: str | None) -> str:
    """Optuna's URL of a study: `storage`, or the SQLite file in its folder."""
    return storage or f"sqlite:///{folder / 'study.db'}"


def on_network(file: Path) -> str:
    """What a person should know of an SQLite file that lies on a network file system; '' of one on this machine's disk.

    Two machines may be given the same lock there, and a dashboard elsewhere takes a transaction for a dead one's.
    """
    import psutil

    place = file.resolve()
    mounts = [each for each in psutil.disk_partitions(all=True) if place.is_relative_to(each.mountpoint)]
    mount = max(reversed(mounts), key=lambda each: len(each.mountpoint), default=None)  # a later one hides an earlier
    if mount is None or mount.fstype not in NETWORK:
        return ""
    return (
        f"{file} lies on a network file system ({mount.fstype} at {mount.mountpoint}), on which SQLite's locks are not "
        "to be relied on: search it, and look at it, on one machine alone, or give --storage a PostgreSQL database or "
        "an SQLite file on a local disk."
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for one driver; the kernel lets go of it however the driver ends.

    Raises:
        UserError: another search holds it.
    """
    from filelock import FileLock, Timeout

    file = folder / "lock"
    try:
        with FileLock(file, blocking=False):
            file.write_text(f"{os.getpid()}\n")  # the same file: filelock never writes to it
            yield
    except Timeout as error:
        raise UserError(
            f"a search of {folder.name} runs already (process {file.read_text().strip() or 'unknown'}); wait for it, "
            "stop it, or give --out another folder."
        ) from error


def check_free(folder: Path) -> None:
    """Whether no driver holds the folder, which need not be there yet; `locked` decides.

    Raises:
        UserError: another search holds it.
    """
    if (folder / "lock").is_file():
        with locked(folder):
            pass


def check_storage(storage: str | None) -> None:
    """Whether a new study can be kept at what `--storage` gives, as far as its text says.

    Raises:
        UserError: it is no URL, names a file in a folder that is not there, or its database's driver is missing.
    """
    if storage is None:
        return
    file, shown = file_of(storage), without_passwords(storage)
    if file is None and "://" not in storage:
        raise UserError(f"--storage {shown!r} is no database URL; e.g. sqlite:///study.db.")
    check_driver(storage)
    if file is not None and not file.absolute().parent.is_dir():
        raise UserError(f"the storage {shown!r} cannot be opened: there is no folder {file.absolute().parent}.")


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
        UserError: it is SQLite's, and the file is missing, or the database's driver is.
    """
    file, shown = file_of(storage), without_passwords(storage)
    if file is not None and not file.is_file():
        raise UserError(f"--storage {shown!r} names no file; give the one that the search was given.")
    check_driver(storage)
    return storage


def written(file: Path) -> str:
    """A study's file as its storage keeps it: the name of one of studies/, else the whole path."""
    file = file.resolve()
    return file.stem if file.parent == STUDIES else str(file)


def check_file(optuna_study: optuna.Study, file: str | None) -> None:
    """Whether a study in a storage is that of a file, as `written` has it; one that was moved or copied stays itself.

    Raises:
        UserError: another file of the same name searched it.
    """
    before = optuna_study.user_attrs.get("file")
    if file is None or before in (None, file):
        return
    was, now = (Path(each) if each.endswith(".py") else STUDIES / f"{each}.py" for each in (before, file))
    if was.is_file() and now.is_file() and was.read_bytes() != now.read_bytes():
        raise UserError(
            f"the study {optuna_study.study_name!r} here was searched from {was}, and {now} is another file of that "
            "name: rename one of them, or give --out another folder; delete the older one if it only was moved."
        )


def absent(name: str, known: Sequence[str]) -> UserError:
    """What to say of a study that is not among those in a storage."""
    return UserError(f"the storage holds no study {name!r}; it holds: {', '.join(sorted(known)) or 'none'}.")


def recorded(study: str, out: Path, storage: str | None) -> optuna.Study:
    """A study that was searched before, to read.

    Raises:
        UserError: there is none, or another file of that name searched it.
    """
    name, url = name_of(study), existing(study, out, storage)
    import optuna

    from search.run.state.storage import open_storage

    opened = open_storage(url)
    try:
        optuna_study = optuna.load_study(study_name=name, storage=opened)
    except KeyError as error:
        raise absent(name, optuna.get_all_study_names(opened)) from error
    if "metric" not in optuna_study.user_attrs:
        raise UserError(f"the study {name!r} in this storage was not searched by posefront; give another --storage.")
    file = Path(study) if study.endswith(".py") else STUDIES / f"{name}.py"
    check_file(optuna_study, written(file) if file.is_file() else None)
    return optuna_study


def trial_of(optuna_study: optuna.Study, number: int) -> FrozenTrial:
    """A trial by its number.

    Raises:
        UserError: there is none.
    """
    trials = optuna_study.get_trials(deepcopy=False)
    if number >= len(trials):  # Optuna numbers them without gaps
        known = f"trials 0 to {len(trials) - 1}" if trials else "none yet"
        raise UserError(f"there is no trial {number}; the search has {known}.")
    return trials[number]
