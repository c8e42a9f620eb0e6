"""ONNX: the deployed network for other runtimes, checked before it is handed over."""

import importlib
import importlib.util
import os
from pathlib import Path

import numpy as np
import torch
from onnx.checker import check_model
from onnx.reference import ReferenceEvaluator
from torch import nn

from models.fold import fold

TOLERANCE = 1e-4
"""Of an answer, absolute: a hundredth of a pixel in 100. Float32 needs about 2e-7 for points in [0, 1]."""


class ExportError(RuntimeError):
    """The exported network answers something else."""


def onnx(net: nn.Module, shape: tuple[int, ...], file: Path) -> float:
    """Write the deployed network (evaluation mode, BatchNorm folded) as ONNX.

    Its input is called `images`, float32 (batch, *shape), its output `points`; the size of the batch is free. The
    weights are inside. The file appears only when another implementation of ONNX (onnxruntime where it is installed,
    else the reference of the onnx package) gives the network's own answers on random images.

    Args:
        net: a network with one input and one output; it is left as it was.
        shape: of one input without the batch.
        file: to write; its folder must exist.

    Returns:
        The largest absolute difference between the answers.

    Raises:
        ExportError: it is above TOLERANCE.
    """
    deployed = fold(net).cpu().float()
    random = torch.Generator().manual_seed(0)
    images = torch.randn(3, *shape, generator=random)
    half = file.with_name(f".{file.name}.{os.getpid()}.half")
    try:
        torch.onnx.export(
            deployed,
            (images[:2],),
            half,
            input_names=["images"],
            output_names=["points"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            dynamo=True,
            verbose=False,
        )
        check_model(str(half))
        difference = max(_difference(deployed, half, images), _difference(deployed, half, images[:1]))
        if not difference <= TOLERANCE:
            raise ExportError(f"{file} would answer {difference:g} beside the network, more than {TOLERANCE:g}")
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)
    return difference


@torch.no_grad()
def _difference(net: nn.Module, file: Path, images: torch.Tensor) -> float:
    """The largest absolute difference between a network's answers and its file's."""
    given = {"images": images.numpy()}
    if importlib.util.find_spec("onnxruntime"):
        session = importlib.import_module("onnxruntime").InferenceSession(str(file), providers=["CPUExecutionProvider"])
        answered = session.run(None, given)[0]
    else:
        answered = np.asarray(next(iter(ReferenceEvaluator(str(file)).run(None, given))))
    return float(np.abs(answered - net(images).numpy()).max())
