"""Files that a reader meets whole or not at all, whoever dies while writing them."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A file to write, which then takes the place of `file`; its folder is made if need be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f"{file.stem}@{socket.gethostname()}@{os.getpid()}.half")
    try:
        yield half
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)


def is_stale(file: Path) -> bool:
    """Whether this is a half-written file whose writer, a process of this machine, is no longer there."""
    _, host, process = file.stem.split("@") if file.suffix == ".half" else ("", "", "")
    return host == socket.gethostname() and not psutil.pid_exists(int(process))
