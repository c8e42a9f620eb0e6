"""The network as it is deployed: evaluation mode, branches merged, BatchNorm folded into the convolution before it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
import torch.fx
from torch import nn
from torch.nn.utils import parametrize

from models.network import Branched

# Exactly these: a subclass may do more to its weight (weight standardisation would undo a folded scale).
_CONVS = {nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d}
_NORMS = {nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm}
_NOTHING = {nn.Identity, nn.Dropout, nn.Dropout2d}  # in evaluation mode


def _is_norm(module: nn.Module | None) -> bool:
    return type(module) in _NORMS or _has_act(module)


def _has_act(module: nn.Module | None) -> bool:
    """Whether it is timm's BatchNorm with an activation; told by its name, for importing timm takes four seconds."""
    kind = type(module)
    return f"{kind.__module__}.{kind.__qualname__}" == "timm.layers.norm_act.BatchNormAct2d"


class Tracer(torch.fx.Tracer):
    """torch.fx's, with every BatchNorm as one operation."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one operation."""
        return _is_norm(m) or super().is_leaf_module(m, module_qualified_name)


def fold(module: nn.Module) -> nn.Module:
    """A copy of the network as `fold_` leaves it."""
    return fold_(copy.deepcopy(module))


def merge_(module: nn.Module) -> nn.Module:
    """Put one convolution in place of each part that has branches for training; answers the same object."""
    for parent in list(module.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, Branched):
                setattr(parent, name, part.merged())
    return module


def fold_(module: nn.Module) -> nn.Module:
    """Put a network into evaluation mode, giving the same outputs with fewer operations; answers the same object.

    Branches are merged first (`merge_`). A BatchNorm with fixed statistics is folded where it alone reads the answer
    of a convolution (transposed too) and both are called once. Every other one stays as it is. The network's class and
    the names of all that stays are kept; a folded BatchNorm leaves its activation behind, or nothing.

    Args:
        module: any network that torch.fx can trace.

    Raises:
        torch.fx.proxy.TraceError: the network's control flow depends on its input.
    """
    module = merge_(module.eval())
    for name, conv, norm in _pairs(module):
        fuse_(conv, norm)
        module.set_submodule(name, norm.get_submodule("act") if _has_act(norm) else nn.Identity())
    return module


def _pairs(module: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """Each BatchNorm that can be folded: its name, the convolution before it, and itself."""
    graph = Tracer().trace(module)
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    owners = Counter(id(m) for _, m in module.named_modules(remove_duplicate=False))
    owners.update(id(p) for m in module.modules() for p in m.parameters(recurse=False))

    def called(node: Any) -> Any:
        fx_call = isinstance(node, torch.fx.Node) and node.op == "call_module"
        return module.get_submodule(str(node.target)) if fx_call else None

    def private(node: torch.fx.Node, layer: nn.Module) -> bool:
        parts = (layer, *layer.parameters(recurse=False))
        alone = calls[node.target] == 1 and all(owners[id(part)] == 1 for part in parts)
        return alone and not parametrize.is_parametrized(layer)

    for node in graph.nodes:
        norm = called(node)
        if not _is_norm(norm) or norm.running_mean is None or not private(node, norm):
            continue
        source = node.args[0]
        while type(called(source)) in _NOTHING and len(source.users) == 1:
            source = source.args[0]
        conv = called(source)
        if type(conv) in _CONVS and len(source.users) == 1 and private(source, conv):
            yield str(node.target), conv, norm


@torch.no_grad()
def fuse_(conv: Any, norm: Any) -> None:
    """Give a convolution the BatchNorm's scale and shift.

    torch's own fuse_conv_bn_eval is wrong for a transposed convolution in groups, whose weight is laid out as
    (channels in, channels out / groups, ...).
    """
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    scale = scale if norm.weight is None else scale * norm.weight.double()
    shift = -norm.running_mean.double() if conv.bias is None else conv.bias.double() - norm.running_mean.double()
    shift = shift * scale if norm.bias is None else shift * scale + norm.bias.double()
    if conv.transposed:
        each = scale.view(conv.groups, 1, -1).expand(-1, conv.in_channels // conv.groups, -1).flatten(0, 1)
    else:
        each = scale.view(-1, 1)
    weight = conv.weight.double() * each.view(*each.shape, *[1] * (conv.weight.ndim - 2))
    conv.bias = nn.Parameter(shift.to(conv.weight.dtype))
    conv.weight = nn.Parameter(weight.to(conv.weight.dtype))
