"""A trial's training state on disk: whole or absent, and few of them."""

import logging
import pickle
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from data.storage.files import is_stale, replacing
from search.run.settings import Owner
from search.run.training.home import TICKET

log = logging.getLogger(__name__)


def path(folder: Path, number: int) -> Path:
    """Where trial `number` keeps its state."""
    return folder / f"{number:06d}.pt"


def save(state: dict[str, Any], file: Path) -> None:
    """Write `state` so that a reader meets the old file or the new one, never half of one.

    Not flushed to the platter: a state that a power cut spoils reads as None, and its trial is trained again.
    """
    with replacing(file) as half:
        torch.save(state, half)


def load(file: Path, device: torch.device | str = "cpu", owner: Owner | None = None) -> dict[str, Any] | None:
    """The state in `file`, or None where there is none or it cannot be read (training then starts over).

    Where `owner` is given, another's state is none, too, and that is said. States written before they named their
    owner are those of studies that have no id.
    """
    try:
        state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
    except (FileNotFoundError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile):
        return None
    if owner is None or state.get("owner", owner if owner["study"] is None else None) == owner:
        return state
    log.warning("posefront: %s is the training state of another study, trial or configuration: it is not used.", file)
    return None


def judged(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The weights that a training state's error was measured with: their running mean where one is kept.

    `config.arch.build().load_state_dict(...)` takes them.
    """
    return averaged(state) or last(state)


def last(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The weights as the last step left them."""
    found: dict[str, torch.Tensor] = state["net"]
    return found


def averaged(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The running mean of the weights; empty where none is kept."""
    mean: dict[str, torch.Tensor] = state["ema"]
    return {name.removeprefix("module."): value for name, value in mean.items()}


def keep_only(folder: Path, numbers: Collection[int]) -> None:
    """Delete every trial's state, and its ticket, but these trials'."""
    kept = {path(folder, number).stem for number in numbers}
    for file in folder.glob("*"):
        if file.stem not in kept and (file.suffix in (".pt", TICKET) or is_stale(file)):
            file.unlink(missing_ok=True)
