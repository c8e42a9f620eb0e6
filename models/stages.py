"""A network as a person would draw it: a row of stages, derived from its modules and from what each of them costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from models.cost import Cost, Layer, cost

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)


@dataclass(frozen=True)
class Stage:
    """Blocks in a row that are alike.

    Attributes:
        name: path of the first block in the network.
        kind: what a block is, in words: 'inverted residual', 'convolution', else its class.
        repeats: how many blocks.
        channels: of the answer; of a vector its length.
        sides: of the answer beside the channels: (height, width) of maps, (bins,) of distributions, () of a vector.
        kernel: side of its largest kernel, 0 where it has none.
        squeeze: whether it has squeeze-excitation.
        up: by how much transposed convolutions multiply the resolution, 1 where there are none.
        head: whether it belongs to the part that answers.
        params: trainable numbers.
        flops: multiply-adds as fvcore counts them.
    """

    name: str
    kind: str
    repeats: int
    channels: int
    sides: tuple[int, ...]
    kernel: int
    squeeze: bool
    up: int
    head: bool
    params: int
    flops: int


@dataclass(frozen=True)
class Plan:
    """A network from end to end; the costs of the stages and of `decode` add up to the totals.

    Attributes:
        input_shape: (channels, height, width).
        stages: in the network's order.
        answer: shape of what the network answers, without the batch; () where it is no single tensor.
        decode: (params, flops) of what the network does itself, outside its modules.
        params: trainable numbers.
        flops: multiply-adds as fvcore counts them.
    """

    input_shape: tuple[int, ...]
    stages: tuple[Stage, ...]
    answer: tuple[int, ...]
    decode: tuple[int, int]
    params: int
    flops: int


class Buildable(Protocol):
    """An architecture as data."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""

    def build(self) -> nn.Module:
        """The network."""

    def __hash__(self) -> int:
        """Equal architectures are priced once."""


def plan(arch: Buildable) -> Plan:
    """The plan of an architecture as it is deployed; leaves torch's seed alone.

    Raises:
        CostError: as `models.cost.cost`.
    """
    with torch.random.fork_rng(devices=[]):
        return plan_of(arch.build(), cost(arch), arch.input_shape)


def plan_of(network: nn.Module, price: Cost, input_shape: tuple[int, ...], limit: int = 20) -> Plan:
    """The plan of any network.

    Args:
        network: its modules say what a layer is; their weights and modes are left alone.
        price: what `measure` says of it, or of its folded copy.
        input_shape: of one input without the batch.
        limit: above so many stages, those of one resolution are put together, then those of one part.
    """
    groups: dict[str, list[Layer]] = {}
    for layer in price.layers:
        groups.setdefault(_block(network, layer.name, price.layers), []).append(layer)
    own = groups.pop("", [])
    parts = [name.partition(".")[0] for name in groups]
    last = parts[-1] if len(set(parts)) > 1 else None
    blocks = [_stage(network, name, rows, name.partition(".")[0] == last) for name, rows in _gathered(network, groups)]
    stages: list[Stage] = []
    for block in blocks:
        if stages and _alike(stages[-1], block):
            stages[-1] = _together(stages[-1], block)
        else:
            stages.append(block)
    decode = sum(layer.params for layer in own), sum(layer.flops for layer in own)
    answer = _answer(network, input_shape)
    return Plan(input_shape, tuple(_shortened(stages, limit)), answer, decode, price.params, price.flops)


def _block(network: nn.Module, name: str, layers: Iterable[Layer]) -> str:
    """The path of the block that a layer belongs to: the outermost module on the way to it that is one."""
    parts, parent = name.split("."), network
    for depth in range(1, len(parts)):
        path = ".".join(parts[:depth])
        child = parent.get_submodule(parts[depth - 1])
        if _is_block(child, parent, [layer for layer in layers if layer.name.startswith(f"{path}.")]):
            return path
        parent = child
    return name


def _is_block(module: nn.Module, parent: nn.Module, rows: list[Layer]) -> bool:
    """Whether a person would draw a module as one box: it repeats or stands in a row, and holds no rows itself."""
    if isinstance(module, _CONTAINERS):
        spatial = [m for m in module.modules() if isinstance(m, _CONVS) and max(m.kernel_size) > 1]
        return len(spatial) == 1 and not any(isinstance(m, nn.Linear) for m in module.modules())
    alike = sum(type(sibling) is type(module) for sibling in parent.children())
    sides = [max(row.output[2:]) for row in rows if len(row.output) > 3 and max(row.output[2:]) > 1]
    scales = max(sides) > 3 * min(sides) if sides else False
    return (isinstance(parent, _CONTAINERS) or alike > 1) and not scales and not any(map(_is_row, module.modules()))


def _is_row(module: nn.Module) -> bool:
    """Whether a module is a container of several blocks of one class, each with work of its own."""
    if not isinstance(module, _CONTAINERS):
        return False
    busy = [type(m) for m in module.children() if sum(isinstance(x, (*_CONVS, nn.Linear)) for x in m.modules()) > 1]
    return len(busy) > len(set(busy))


def _gathered(network: nn.Module, groups: Mapping[str, list[Layer]]) -> list[tuple[str, list[Layer]]]:
    """Blocks, where what has no weights of a convolution or linear layer goes with its neighbour.

    A norm or an activation goes with the block before it whose shape it has, pooling and upsampling with the next.
    """
    found: list[tuple[str, list[Layer]]] = []
    waiting: list[Layer] = []
    for name, rows in groups.items():
        if any(isinstance(module, (*_CONVS, nn.Linear)) for module in network.get_submodule(name).modules()):
            found.append((name, waiting + rows))
            waiting = []
        elif found and not waiting and rows[-1].output == found[-1][1][-1].output:
            found[-1] = (found[-1][0], found[-1][1] + rows)
        else:
            waiting = waiting + rows
    return [*found, (waiting[0].name, waiting)] if waiting else found


def _stage(network: nn.Module, name: str, rows: list[Layer], head: bool) -> Stage:
    """One block as a stage."""
    block = network.get_submodule(name)
    inner = {path: [row for row in rows if row.name.startswith(f"{name}.{path}.")] for path, _ in block.named_modules()}
    aside = {row.name for path, found in inner.items() if path and _squeezes(network, found) for row in found}
    main = [row for row in rows if row.name not in aside]
    output = (main or rows)[-1].output[1:]
    modules = [network.get_submodule(row.name) for row in main]
    convs = [module for module in modules if isinstance(module, _CONVS)]
    return Stage(
        name=name,
        kind=_kind(block, modules),
        repeats=1,
        channels=output[0] if output else 0,
        sides=tuple(output[1:]),
        kernel=max((max(conv.kernel_size) for conv in convs), default=0),
        squeeze=bool(aside),
        up=prod(max(conv.stride) for conv in convs if isinstance(conv, _TRANSPOSED)),
        head=head,
        params=sum(row.params for row in rows),
        flops=sum(row.flops for row in rows),
    )


def _squeezes(network: nn.Module, rows: list[Layer]) -> bool:
    """Whether a module is squeeze-excitation (Hu et al. 2018): pooled, from c channels to fewer, and back to c."""
    flat = all(prod(row.output[2:]) == 1 for row in rows)
    modules = [network.get_submodule(row.name) for row in rows]
    shapes = [tuple(m.weight.shape[:2]) for m in modules if isinstance(m, (*_CONVS, nn.Linear))]  # (out, in)
    return flat and len(shapes) == 2 and shapes[0] == shapes[1][::-1] and shapes[0][0] < shapes[0][1]


def _kind(block: nn.Module, modules: list[nn.Module]) -> str:
    """What a block is called."""
    convs = [module for module in modules if isinstance(module, _CONVS)]
    deep = [i for i, conv in enumerate(convs) if conv.groups == conv.in_channels > 1]
    points = [i for i, conv in enumerate(convs) if max(conv.kernel_size) == 1]
    linear = [module for module in modules if isinstance(module, nn.Linear)]
    if convs and not linear and len(deep) + len(points) == len(convs) and deep and points:
        if any(isinstance(conv, _TRANSPOSED) for conv in convs):
            return "separable transposed convolution"
        around = points[0] < deep[0] and deep[-1] < points[-1]
        return "inverted residual" if around and len(convs) == 3 else "separable convolution"
    if len(convs) == 1 and not linear:
        return _conv(convs[0])
    if len(linear) == 1 and not convs:
        return "pooling, linear" if any("Pool" in type(module).__name__ for module in modules) else "linear"
    spatial = [conv for conv in convs if max(conv.kernel_size) > 1]
    if isinstance(block, _CONTAINERS) and len(spatial) == 1:
        return _conv(spatial[0])
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(block).__name__.strip("_"))
    return "average pooling" if "AvgPool" in type(block).__name__ else spaced.lower()


def _conv(conv: nn.Module) -> str:
    if isinstance(conv, _TRANSPOSED):
        return "transposed convolution"
    assert isinstance(conv, _CONVS)  # noqa: S101 - for the type checker
    if max(conv.kernel_size) == 1:
        return "1 x 1 convolution"
    return "depthwise convolution" if conv.groups == conv.in_channels > 1 else "convolution"


def _alike(stage: Stage, block: Stage) -> bool:
    """Whether a block repeats the stage before it."""
    same = [(s.name.rpartition(".")[0], s.kind, s.channels, s.sides, s.kernel, s.squeeze) for s in (stage, block)]
    return same[0] == same[1] and stage.up == block.up == 1


def _together(stage: Stage, other: Stage) -> Stage:
    """Two stages as one."""
    dear = max(stage, other, key=lambda s: s.flops)
    return replace(
        other,
        name=stage.name,
        kind=dear.kind,
        repeats=stage.repeats + other.repeats,
        kernel=max(stage.kernel, other.kernel),
        squeeze=stage.squeeze or other.squeeze,
        params=stage.params + other.params,
        flops=stage.flops + other.flops,
    )


def _shortened(stages: list[Stage], limit: int) -> list[Stage]:
    """At most `limit` stages if that can be; the cheapest neighbours of one resolution go together first."""
    while len(stages) > limit:
        pairs = [
            i
            for i, (a, b) in enumerate(pairwise(stages))
            if a.sides == b.sides and a.head == b.head and b.up == 1 and len(a.sides) > 1
        ]
        if not pairs:
            return _by_part(stages)
        i = min(pairs, key=lambda i: stages[i].flops + stages[i + 1].flops)
        stages = [*stages[:i], _together(stages[i], stages[i + 1]), *stages[i + 2 :]]
    return stages


def _by_part(stages: list[Stage]) -> list[Stage]:
    """A stage for each child of the network, where there are too many others: branches that run side by side."""
    parts: list[Stage] = []
    for stage in stages:
        if parts and parts[-1].name.partition(".")[0] == stage.name.partition(".")[0]:
            parts[-1] = _together(parts[-1], stage)
        else:
            parts.append(stage)
    return parts


def _answer(network: nn.Module, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the answer to one image."""
    training = network.training
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    try:
        with torch.no_grad():
            leaves = pytree.tree_leaves(network.eval()(torch.zeros(1, *input_shape, device=device)))
    finally:
        network.train(training)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    return tuple(tensors[0].shape[1:]) if len(tensors) == 1 else ()
