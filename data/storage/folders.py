"""Folders of drawn data: complete or not there at all."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import UserError
from data.storage.files import cache_folder, half_name, is_stale, locked


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A place to write what `folder` is to hold; it becomes the folder when all went well.

    What killed runs left beside it is removed first.

    Args:
        folder: what is wanted; it must not exist or be empty.

    Raises:
        UserError: the folder holds something or cannot be written.
    """
    folder = Path(folder).absolute()
    prefix = f".{folder.name}.drawing-"
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"{folder} exists already; name a new or an empty folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        for leftover in filter(is_stale, folder.parent.glob(f"{prefix}*.half")):
            shutil.rmtree(leftover)
        place = Path(tempfile.mkdtemp(prefix=prefix, suffix=half_name(""), dir=folder.parent))
        try:
            yield place
            place.chmod(0o777 & ~_umask())
            place.rename(folder)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except OSError as problem:
        raise UserError(
            f"{folder} cannot be written ({problem.strerror or problem}); choose another folder."
        ) from problem


def drawn(name: str, layout: str, synth: Callable[[Path], None]) -> Path:
    """The folder of a drawn set in the cache, drawn now if it is not there; other processes wait for it and use it.

    Args:
        name: of the set: another for other settings, and for code that draws otherwise.
        layout: the folder's own name.
        synth: draws into the folder that it is given.

    Raises:
        UserError: the cache cannot be written.
    """
    folder = cache_folder() / "drawn" / name / layout
    if not folder.exists():
        with locked(folder.parent):
            if not folder.exists():
                synth(folder)
    return folder


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
