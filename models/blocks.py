"""What a person calls a block of a network, and where one ends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

from torch import nn

from models.plan import Layer

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
# As their papers write them; other classes are named by taking their names apart.
_BLOCKS = {
    "ConvNeXtBlock": "ConvNeXt block",
    "RepVggBlock": "RepVGG block",
    "ResNestBottleneck": "ResNeSt bottleneck",
}


def blocks(network: nn.Module, layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """The layers of each block, by its path: of the modules on the way to a layer, the outermost that is one."""
    known: dict[str, bool] = {}
    found: dict[str, list[Layer]] = {}
    for layer in layers:
        parts, parent, home = layer.name.split("."), network, layer.name
        for depth in range(1, len(parts)):
            path, child = ".".join(parts[:depth]), parent.get_submodule(parts[depth - 1])
            if path not in known:
                known[path] = _is_block(child, parent, [row for row in layers if row.name.startswith(f"{path}.")])
            if known[path]:
                home = path
                break
            parent = child
        found.setdefault(home, []).append(layer)
    return found


def _is_block(module: nn.Module, parent: nn.Module, rows: list[Layer]) -> bool:
    """Whether a person would draw a module as one box: it repeats or stands in a row, and holds no rows itself."""
    if isinstance(module, CONTAINERS):
        spatial = [m for m in module.modules() if isinstance(m, CONVS) and max(m.kernel_size) > 1]
        return len(spatial) == 1 and not any(isinstance(m, nn.Linear) for m in module.modules())
    alike = sum(type(sibling) is type(module) for sibling in parent.children())
    sides = [max(row.output[2:]) for row in rows if len(row.output) > 3 and max(row.output[2:]) > 1]
    scales = max(sides) > 3 * min(sides) if sides else False
    return (isinstance(parent, CONTAINERS) or alike > 1) and not scales and not any(map(_is_row, module.modules()))


def _is_row(module: nn.Module) -> bool:
    """Whether a module holds several blocks of one class, each with work of its own."""
    kinds = [type(child) for child in module.children() if busy(child) > 1]
    pure = isinstance(module, CONTAINERS) or len({type(child) for child in module.children()}) == 1
    return pure and len(kinds) > len(set(kinds))


def busy(module: nn.Module) -> int:
    """How many convolutions and linear layers a module has."""
    return sum(isinstance(part, (*CONVS, nn.Linear)) for part in module.modules())


def squeezes(network: nn.Module, rows: list[Layer]) -> bool:
    """Whether a module is squeeze-excitation (Hu et al. 2018): pooled, from c channels to some, and back to c."""
    flat = all(prod(row.output[2:]) == 1 for row in rows)
    modules = [network.get_submodule(row.name) for row in rows]
    shapes = [tuple(m.weight.shape[:2]) for m in modules if isinstance(m, (*CONVS, nn.Linear))]  # (out, in)
    return flat and len(shapes) == 2 and shapes[0] == shapes[1][::-1]


def kind_of(block: nn.Module, modules: list[nn.Module]) -> str:
    """What a block is called."""
    while len(inner := [child for child in block.children() if busy(child)]) == 1:
        block = inner[0]
    if named := _BLOCKS.get(type(block).__name__):
        return named
    convs = [module for module in modules if isinstance(module, CONVS)]
    deep = [i for i, conv in enumerate(convs) if conv.groups == conv.in_channels > 1]
    points = [i for i, conv in enumerate(convs) if max(conv.kernel_size) == 1]
    linear = [module for module in modules if isinstance(module, nn.Linear)]
    if convs and not linear and len(deep) + len(points) == len(convs) and deep and points:
        if any(isinstance(conv, TRANSPOSED) for conv in convs):
            return "separable transposed convolution"
        around = points[0] < deep[0] and deep[-1] < points[-1]
        return "inverted residual" if around and len(convs) == 3 else "separable convolution"
    if len(convs) == 1 and not linear:
        return _conv(convs[0])
    if len(linear) == 1 and not convs:
        return "pooling, linear" if any("Pool" in type(module).__name__ for module in modules) else "linear"
    spatial = [conv for conv in convs if max(conv.kernel_size) > 1]
    if isinstance(block, CONTAINERS) and len(spatial) == 1:
        return _conv(spatial[0])
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(block).__name__.strip("_"))
    return "average pooling" if "AvgPool" in type(block).__name__ else spaced.lower()


def _conv(conv: nn.Module) -> str:
    if isinstance(conv, TRANSPOSED):
        return "transposed convolution"
    assert isinstance(conv, CONVS)  # noqa: S101 - for the type checker
    if max(conv.kernel_size) == 1:
        return "1 x 1 convolution"
    return "depthwise convolution" if conv.groups == conv.in_channels > 1 else "convolution"
