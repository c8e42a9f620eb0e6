"""Folders for a process's passing files: those of processes that were killed are deleted by a later one."""

import os
import shutil
import tempfile
from pathlib import Path

import psutil

SCRATCH = "posefront-"
"""How their names begin; then comes the process's number."""


def prefix() -> str:
    """How the names of this process's begin."""
    return f"{SCRATCH}{os.getpid()}-"


def sweep(place: str) -> None:
    """Delete those of processes that are no more."""
    for folder in Path(place).glob(f"{SCRATCH}*-*"):
        process = folder.name.removeprefix(SCRATCH).partition("-")[0]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def made() -> Path:
    """A new one, which lasts as long as this process."""
    place = tempfile.gettempdir()
    sweep(place)
    return Path(tempfile.mkdtemp(prefix=prefix(), dir=place))
