"""A trial's training state on disk: whole or absent, and few of them."""

import os
import pickle
import socket
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import psutil
import torch


def path(folder: Path, number: int) -> Path:
    """Where trial `number` keeps its state."""
    return folder / f"{number:06d}.pt"


def save(state: dict[str, Any], file: Path) -> None:
    """Write `state` so that a reader meets the old file or the new one, never half of one.

    Not flushed to the platter: a state that a power cut spoils reads as None, and its trial is trained again.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f"{file.stem}@{socket.gethostname()}@{os.getpid()}.half")
    torch.save(state, half)
    half.replace(file)


def load(file: Path, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The state in `file`, or None where there is none or it cannot be read (training then starts over)."""
    try:
        state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
    except (FileNotFoundError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile):
        return None
    return state


def keep_only(folder: Path, numbers: Collection[int]) -> None:
    """Delete every trial's state but these trials'."""
    kept = {path(folder, number).name for number in numbers}
    for file in folder.glob("*"):
        if file.name not in kept and (file.suffix == ".pt" or is_stale(file)):
            file.unlink(missing_ok=True)


def is_stale(file: Path) -> bool:
    """Whether this is a half-written state whose writer, a process of this machine, is no longer there."""
    _, host, process = file.stem.split("@") if file.suffix == ".half" else ("", "", "")
    return host == socket.gethostname() and not psutil.pid_exists(int(process))
