"""Members of a stranger's zip, read without running anything of them, and what their weights answer."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
import torch
from nbformat import NotebookNode
from torch import nn

from data.errors import UserError
from data.storage.batches import batches
from search.after.model import Model
from search.submission.archive import MOST_MB
from search.submission.checks import first_line

_BATCH = 256


def load(plain: nn.Module, file: Path) -> str:
    """Give a network the weights of a file; what is wrong with them, or nothing."""
    try:
        with zipfile.ZipFile(file) as inside:  # as torch.save writes; what is compressed in it could grow without end
            if sum(entry.file_size for entry in inside.infolist()) > MOST_MB * 1e6:
                return f"it unpacks to more than {MOST_MB} MB"
        packed = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's file makes torch raise is said
        return f"it cannot be loaded with weights_only=True ({first_line(error)})"
    own = plain.state_dict()
    if not isinstance(packed, Mapping) or packed.keys() != own.keys():
        odd = sorted(map(str, packed.keys() ^ own.keys())) if isinstance(packed, Mapping) else ["no dictionary"]
        return f"it is not of this network ({', '.join(odd[:3])})"
    for name, tensor in packed.items():
        if not isinstance(tensor, torch.Tensor) or tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            return f"{name} has another shape or type"
        if not torch.isfinite(tensor).all():
            return f"{name} holds what is no finite number"
    plain.load_state_dict(packed)
    return ""


@torch.inference_mode()
def error_of(plain: nn.Module, model: Model, device: torch.device) -> float:
    """The error of a network on the validation part."""
    task, size = model.study.task, model.config.arch.size
    part, net = task.split(size).valid, plain.to(device)
    outputs = [
        net(task.inputs(pixels, size).contiguous(memory_format=torch.channels_last)).float().cpu()
        for pixels, _ in batches(part.pixels, part.rows, part.targets, _BATCH, device)
    ]
    return task.error(torch.cat(outputs).numpy(), part)


def opened_notebook(file: Path) -> NotebookNode:
    """A notebook by a stranger.

    Raises:
        UserError: it is none.
    """
    try:
        text = file.read_text(encoding="utf-8")
        said = json.loads(text)
        if not isinstance(said, dict) or said.get("nbformat") != 4:
            raise ValueError("it is not of format 4")
        nbformat.validate(said)
        given: NotebookNode = nbformat.reads(text, as_version=4)
    except (ValueError, KeyError, TypeError, RecursionError, nbformat.ValidationError) as error:
        raise UserError(f"{file.name} is no notebook ({first_line(error)}); pack it again.") from error
    return given
