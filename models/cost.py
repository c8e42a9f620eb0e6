"""What a network costs: parameters and multiply-adds, counted before it is trained, with nothing left out.

FLOPs are fvcore's, as the field prints them: one multiply-add is one FLOP.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from models.audit import Audit, CostError, Layer, check
from models.fold import fold_
from models.net import Arch

with warnings.catch_warnings():  # fvcore scripts a loss of its own when it is imported, which torch now deprecates
    warnings.simplefilter("ignore", FutureWarning)
    from fvcore.nn import FlopCountAnalysis

__all__ = ["Cost", "CostError", "Layer", "cost", "measure"]


@dataclass(frozen=True)
class Cost:
    """Cost of one image. Every total is the sum of its column.

    Attributes:
        params: trainable numbers.
        flops: fvcore's count, the one that is ranked.
        layers: a row for every module that holds or computes something of its own, in the order of the network.
    """

    params: int
    flops: int
    layers: tuple[Layer, ...]

    @property
    def buffers(self) -> int:
        """Numbers kept beside the parameters."""
        return sum(layer.buffers for layer in self.layers)

    @property
    def flops_m(self) -> int:
        """Total of the column M."""
        return sum(layer.flops_m for layer in self.layers)

    @property
    def flops_ma(self) -> int:
        """Total of the column M+A."""
        return sum(layer.flops_ma for layer in self.layers)


@cache
def cost(arch: Arch) -> Cost:
    """Cost of an architecture as it is deployed (BatchNorm folded); needs no data and leaves torch's seed alone.

    Raises:
        CostError: something in it would go uncounted.
    """
    with torch.random.fork_rng(devices=[]):
        return _measure(fold_(arch.build()), arch.input_shape)


def measure(module: nn.Module, input_shape: tuple[int, ...]) -> Cost:
    """Cost of a network as it is, in evaluation mode, for one input.

    The module itself is left as it was.

    Args:
        module: a network on any device; a copy is measured on the CPU in float32.
        input_shape: of one input without the batch, for instance (3, 224, 224).

    Raises:
        CostError: an operator that nobody counts, weights at work where nothing is counted, a buffer or constant
            used as a weight, a parameter that no output depends on, or two counters that disagree.
    """
    return _measure(copy.deepcopy(module), input_shape)


@contextmanager
def _one_thread() -> Iterator[None]:
    """A second thread gains nothing on so little work, and where trials keep every core busy it took 3 s, not 0.3."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _measure(module: nn.Module, input_shape: tuple[int, ...]) -> Cost:
    """As `measure`, but changes the module's weights."""
    module = module.cpu().float().eval().requires_grad_()
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(0)
        image = torch.randn(1, *input_shape)
        audit = Audit(module)
        analysis = FlopCountAnalysis(module, image)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        analysis.set_op_handle(**audit.handles())
        with torch.no_grad():
            total = int(analysis.total())
        if strange := analysis.unsupported_ops():
            raise CostError(f"nobody counts {', '.join(sorted(strange))}")
        check(module, image, audit.products)
    layers = tuple(audit.layers())
    return Cost(sum(p.numel() for p in module.parameters()), total, layers)
