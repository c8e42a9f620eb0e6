"""Files that a reader meets whole or not at all, whoever dies while writing them; the cache folder and its locks."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from data.errors import UserError

Progress = Callable[[int, int], None]  # done, total

_MARGIN = 256 << 20  # bytes left free on the disk


class BadFile(UserError):  # noqa: N818
    """A file that cannot be used.

    Attributes:
        path: The file.
        kind: Such as "missing", "unreadable", "truncated", "mis-shaped"; see `data.layouts.problems.Problem`.
        detail: What is wrong with it.
    """

    def __init__(self, path: str | Path, kind: str, detail: str) -> None:
        super().__init__(f"{path} is {kind} ({detail}): fetch it again; 'posefront data check' names all such files.")
        self.path, self.kind, self.detail = path, kind, detail

    def __reduce__(self) -> tuple[type, tuple[str | Path, str, str]]:
        return type(self), (self.path, self.kind, self.detail)


def half_name(name: str) -> str:
    """What a file or folder is called while this process writes it."""
    return f"{name}@{socket.gethostname()}@{os.getpid()}.half"


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A file to write, which then takes the place of `file`; its folder is made if need be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(half_name(file.stem))
    try:
        yield half
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)


@contextmanager
def writing(file: Path, advice: str) -> Iterator[Path]:
    """As `replacing`, for a file whose name a user gave.

    Raises:
        UserError: it cannot be written; the sentence ends with `advice`.
    """
    try:
        with replacing(file) as half:
            yield half
    except OSError as error:
        raise UserError(f"cannot write {file} ({error.strerror or error}); {advice}.") from error


def is_stale(file: Path) -> bool:
    """Whether this is a half-written file or folder whose writer, a process of this machine, is no longer there."""
    import psutil

    _, host, process = file.stem.rsplit("@", 2) if file.suffix == ".half" else ("", "", "")
    return host == socket.gethostname() and not psutil.pid_exists(int(process))


def cache_folder() -> Path:
    """Where packs and drawn hands are kept.

    $POSEFRONT_CACHE, else posefront/ in $XDG_CACHE_HOME, else ~/.cache/posefront.

    Raises:
        UserError: If $POSEFRONT_CACHE is a relative path, which would mean another folder in every process.
    """
    own = os.environ.get("POSEFRONT_CACHE")
    if own:
        if not Path(own).expanduser().is_absolute():
            raise UserError(f"POSEFRONT_CACHE is {own!r}, a relative path: give an absolute one.")
        return Path(own).expanduser()
    shared = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return (shared if shared.is_absolute() else Path("~/.cache").expanduser()) / "posefront"


def once(path: Path, size: int, write: Callable[[BinaryIO], None]) -> None:
    """Make a file of the cache if it is not there: complete or not at all, by one process while others wait.

    Args:
        path: The file; the files of a folder are made one at a time.
        size: Its size in bytes, roughly.
        write: Writes the contents.

    Raises:
        UserError: If the cache cannot be written or the disk is too full.
    """
    if path.exists():
        return
    with locked(path.parent):
        if path.exists():
            return
        for leftover in path.parent.glob("*.half"):  # of a process that was killed: the lock is ours
            leftover.unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < size + _MARGIN:
            raise UserError(
                f"{path.parent} needs {size / 1e9:.1f} GB and its disk has {free / 1e9:.1f} GB free: "
                "make room or set POSEFRONT_CACHE to a folder on another disk."
            )
        with _cache_faults(path.parent), replacing(path) as half, half.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder of the cache, creating it; no other process or thread holds it, and death lets it go.

    Raises:
        UserError: If the folder cannot be created or written.
    """
    from filelock import FileLock

    lock = FileLock(folder / "lock")
    with _cache_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _cache_faults(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the cache folder {folder} cannot be written ({error.strerror or error}): "
            "mend that or set POSEFRONT_CACHE to another folder."
        ) from None
