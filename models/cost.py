"""What a network costs: parameters and multiply-adds, counted before it is trained, with nothing left out.

FLOPs are fvcore's, as the field prints them: one multiply-add is one FLOP. Beyond fvcore an element counts one where a
parameter scales it (ConvNeXt's layer scale) and where it is a product of data that is summed up (ResNeSt's split
attention); see `models.audit`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from models.audit import Audit, FlopCountAnalysis, names
from models.fold import fold_
from models.plan import Architecture, Cost, CostError


@cache
def cost(arch: Architecture) -> Cost:
    """Cost of an architecture as it is deployed (BatchNorm folded); needs no data and leaves torch's seed alone.

    Raises:
        CostError: something in it would go uncounted.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = arch.build()
        trained = sum(p.numel() for p in network.parameters())
        return replace(_measure(fold_(network), arch.input_shape), trained=trained)


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
        _check(module, image, audit.products)
    layers = tuple(audit.layers())
    params = sum(p.numel() for p in module.parameters())
    return Cost(params, params, total, layers)


class _TorchCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Multiply-adds of each operator that really runs, by torch's own formulas.

    FlopCounterMode counts the same, but imports torch._dynamo, which takes three seconds.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: Counter[str] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.products[str(func.overloadpacket)] += formula(*args, **(kwargs or {}), out_val=result) // 2
        return result


def _check(module: nn.Module, image: Tensor, products: int, attempts: int = 24) -> None:
    """Refuse when a counter that sees what really runs disagrees, or when a parameter does not matter.

    A parameter does not matter when its gradient is nothing, or zero however the signs of all weights are drawn.
    One draw is not enough: both hidden units of a small squeeze-excitation are asleep in every fourth. The weights as
    they are would not do: those that start at zero, as a residual block's last, put all before them to sleep, and
    merged branches and folded norms make the numbers grow from block to block until no gate is between its ends. So
    each row of weights has length 1.
    """
    asleep = dict(module.named_parameters())
    for attempt in range(attempts):
        with torch.no_grad():
            for parameter in module.parameters():
                noise = torch.randn_like(parameter)
                parameter.mul_(noise.sign()).add_(noise, alpha=0.01)
                if parameter.ndim > 1:
                    parameter.copy_(functional.normalize(parameter.flatten(1)).view_as(parameter))
        with _TorchCounter() if attempt == 0 else nullcontext() as counter:
            answer = _sum(module(image))
        if counter and counter.products.total() != products:
            raise CostError(f"fvcore finds {products} multiply-adds, torch finds {dict(counter.products)}")
        if not answer.requires_grad:
            break
        gradients = torch.autograd.grad(answer, list(asleep.values()), allow_unused=True)
        asleep = {
            name: parameter
            for (name, parameter), gradient in zip(asleep.items(), gradients, strict=True)
            if gradient is None or not gradient.nan_to_num(0.0).any()
        }
        if not asleep or any(gradient is None for gradient in gradients):
            break
    if asleep:
        raise CostError(f"no output depends on {names(asleep)}")


def _sum(outputs: Any) -> Tensor:
    """One number that depends on every number in the outputs, each in a way of its own."""
    leaves = [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]
    return torch.stack([(torch.randn_like(leaf) * leaf).sum() for leaf in leaves]).sum()
