"""What a person calls a block of a network, and where one ends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import accumulate, takewhile
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

_ACTIVATIONS = {name: name for name in ("ReLU", "ReLU6", "SiLU", "GELU", "Mish", "LeakyReLU", "PReLU", "ELU")}
_ACTIVATIONS |= {"Hardswish": "hardswish", "HardSwish": "hardswish", "Swish": "SiLU"}
_RESIDUAL = ("BasicBlock", "Bottleneck", "ResNestBottleneck", "ConvNeXtBlock")


def blocks(network: nn.Module, layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """The layers of each block, by its path: of the modules on the way to a layer, the outermost that is one."""

    @cache
    def is_block(path: str) -> bool:
        module, parent = network.get_submodule(path), network.get_submodule(path.rpartition(".")[0])
        return _is_block(module, parent, [row for row in layers if row.name.startswith(f"{path}.")])

    by_block: dict[str, list[Layer]] = {}
    for layer in layers:
        ways = accumulate(layer.name.split(".")[:-1], "{}.{}".format)
        by_block.setdefault(next(filter(is_block, ways), layer.name), []).append(layer)
    return by_block


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


def activation(network: nn.Module, path: str, aside: Sequence[str] = ()) -> str:
    """The activation of most of a block's layers, or of what follows it in a row; empty for none.

    Args:
        network: whose block it is.
        path: of the block.
        aside: paths of modules that are left out, such as squeeze-excitation.
    """
    parts = [
        (f"{path}.{name}" if name else path, module) for name, module in network.get_submodule(path).named_modules()
    ]
    found = [name for place, module in parts if (name := _active(module)) and not _within(place, aside)]
    parent, _, own = path.rpartition(".")
    if not found and isinstance(row := network.get_submodule(parent), nn.Sequential):
        after = list(row.named_children())
        after = after[[name for name, _ in after].index(own) + 1 :]
        found = [_active(module) for _, module in takewhile(lambda child: not busy(child[1]), after)]
    return max(found, key=found.count, default="")


def _active(module: nn.Module) -> str:
    return _ACTIVATIONS.get(type(module).__name__, "")


def _within(path: str, others: Sequence[str]) -> bool:
    return any(path == other or path.startswith(f"{other}.") for other in others)


def adds_input(block: nn.Module) -> bool:
    """Whether a block's input is added to its output, as the block says of itself, or by the name of its class."""
    for name in ("skip", "has_skip"):
        if isinstance(own := getattr(block, name, None), bool):
            return own
    return type(block).__name__ in _RESIDUAL


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
