"""ONNX: the deployed network for other runtimes, checked before it is handed over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from onnx import load
from onnx.checker import check_model
from onnxruntime import InferenceSession, SessionOptions
from torch import nn

from data.storage.files import writing
from models.fold import fold

TOLERANCE = 1e-4
"""Of an answer, absolute: a hundredth of a pixel in 100. Float32 needs about 2e-7 for points in [0, 1]."""

BATCHES = (1, 5)
"""Sizes of the batches that the file is checked with; it is exported with another."""


class ExportError(RuntimeError):
    """The exported network answers something else."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    difference: float  # the largest absolute difference between ONNX Runtime's answers and torch's
    opset: int  # the version of ONNX's operators that a runtime must know


def onnx(net: nn.Module, shape: tuple[int, ...], file: Path) -> Exported:
    """Write the deployed network (evaluation mode, BatchNorm folded) as ONNX.

    Its input is called `images`, float32 (batch, *shape), its output `points`; the size of the batch is free. The
    weights are inside. The file appears only when ONNX Runtime gives the network's own answers on random images.

    Args:
        net: a network with one input and one output; it is left as it was.
        shape: of one input without the batch.
        file: to write; its folder is made.

    Raises:
        ExportError: the answers differ by more than TOLERANCE.
        UserError: the file cannot be written there.
    """
    with writing(file, "give another path") as half:
        opset = write(net, shape, half)
        difference = _difference(fold(net).cpu().float(), half, shape)
        if not difference <= TOLERANCE:
            raise ExportError(f"{file} would answer {difference:g} beside the network, more than {TOLERANCE:g}")
    return Exported(difference, opset)


def write(net: nn.Module, shape: tuple[int, ...], file: Path) -> int:
    """Write the deployed network as `onnx` does, unchecked; returns the opset."""
    torch.onnx.export(
        fold(net).cpu().float(),
        (torch.zeros(2, *shape),),
        file,
        input_names=["images"],
        output_names=["points"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    check_model(str(file))
    opset: int = next(entry.version for entry in load(file).opset_import if entry.domain in ("", "ai.onnx"))
    return opset


def session(file: Path) -> InferenceSession:
    """ONNX Runtime's network of a file, on one thread of the CPU."""
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def _difference(net: nn.Module, file: Path, shape: tuple[int, ...]) -> float:
    """The largest absolute difference between a network's answers and its file's."""
    network, random = session(file), torch.Generator().manual_seed(0)
    differences = []
    for batch in BATCHES:
        images = torch.randn(batch, *shape, generator=random)
        (answer,) = network.run(None, {"images": images.numpy()})
        differences.append(np.abs(answer - net(images).numpy()).max())
    return float(max(differences))
