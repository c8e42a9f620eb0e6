"""A network as a person would draw it: a row of stages, derived from its modules and from what each of them costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial, reduce
from itertools import groupby, pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from models.blocks import CONTAINERS, CONVS, TRANSPOSED, activation, adds_input, blocks, busy, kind_of, squeezes
from models.cost import cost
from models.fold import merge_
from models.plan import Architecture, Cost, Layer, Plan, Stage


def plan(arch: Architecture) -> Plan:
    """The plan of an architecture as it is deployed; leaves torch's seed alone.

    Raises:
        CostError: as `models.cost.cost`.
    """
    with torch.random.fork_rng(devices=[]):
        return plan_of(merge_(arch.build()), cost(arch), arch.input_shape)


def plan_of(network: nn.Module, price: Cost, input_shape: tuple[int, ...], limit: int = 20) -> Plan:
    """The plan of any network.

    Args:
        network: its modules say what a layer is; their weights and modes are left alone.
        price: what `measure` says of it, or of its folded copy.
        input_shape: of one input without the batch.
        limit: above so many stages, those of one resolution are put together, then those of one part.
    """
    groups = blocks(network, price.layers)
    own = groups.pop("", [])
    parts = [name.partition(".")[0] for name in groups]
    last = parts[-1] if len(set(parts)) > 1 else None
    boxes = [_stage(network, name, rows, name.partition(".")[0] == last) for name, rows in _gathered(network, groups)]
    decode = sum(layer.params for layer in own), sum(layer.flops for layer in own)
    stages = tuple(_shortened(network, _repeated(boxes), limit))
    return Plan(input_shape, stages, _answer(network, input_shape), decode, price.params, price.flops)


def _gathered(network: nn.Module, groups: Mapping[str, list[Layer]]) -> list[tuple[str, list[Layer]]]:
    """Blocks, where what has no weights of a convolution or linear layer goes with its neighbour.

    A norm or an activation goes with the block before it whose shape it has, pooling and upsampling with the next.
    """
    gathered: list[tuple[str, list[Layer]]] = []
    waiting: list[Layer] = []
    for name, rows in groups.items():
        if busy(network.get_submodule(name)):
            gathered.append((name, waiting + rows))
            waiting = []
        elif gathered and not waiting and rows[-1].output == gathered[-1][1][-1].output:
            gathered[-1] = (gathered[-1][0], gathered[-1][1] + rows)
        else:
            waiting = waiting + rows
    return [*gathered, (waiting[0].name, waiting)] if waiting else gathered


def _stage(network: nn.Module, name: str, rows: list[Layer], head: bool) -> Stage:
    block = network.get_submodule(name)
    inner = {path: [row for row in rows if row.name.startswith(f"{name}.{path}.")] for path, _ in block.named_modules()}
    gates = [path for path, part in inner.items() if path and squeezes(network, part)]
    aside = {row.name for path in gates for row in inner[path]}
    main = [row for row in rows if row.name not in aside]
    output = (main or rows)[-1].output[1:]
    modules = [network.get_submodule(row.name) for row in main]
    convs = [module for module in modules if isinstance(module, CONVS)]
    return Stage(
        name=name,
        kind=kind_of(block, modules),
        repeats=1,
        channels=output[0] if output else 0,
        sides=tuple(output[1:]),
        kernel=max((max(conv.kernel_size) for conv in convs), default=0),
        squeeze=bool(aside),
        up=prod(max(conv.stride) for conv in convs if isinstance(conv, TRANSPOSED)),
        head=head,
        params=sum(row.params for row in rows),
        flops=sum(row.flops for row in rows),
        act=activation(network, name, [f"{name}.{path}" for path in gates]),
        shortcuts=int(adds_input(block)),
    )


def _repeated(blocks: Iterable[Stage]) -> list[Stage]:
    """Neighbours that are alike, together."""
    stages: list[Stage] = []
    for block in blocks:
        if stages and _alike(stages[-1], block):
            stages[-1] = _together(stages[-1], block)
        else:
            stages.append(block)
    return stages


def _alike(stage: Stage, block: Stage) -> bool:
    """Whether a block repeats the stage before it."""
    same = [(s.name.rpartition(".")[0], s.kind, s.channels, s.sides, s.kernel, s.squeeze) for s in (stage, block)]
    return same[0] == same[1] and stage.up == block.up == 1


def _together(stage: Stage, other: Stage) -> Stage:
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
        act=dear.act,
        shortcuts=stage.shortcuts + other.shortcuts,
    )


def _shortened(network: nn.Module, stages: list[Stage], limit: int) -> list[Stage]:
    """At most `limit` stages if that can be; the cheapest neighbours of one resolution go together first."""
    shorter = stages
    while len(shorter) > limit:
        pairs = [
            i
            for i, (a, b) in enumerate(pairwise(shorter))
            if a.sides == b.sides and a.head == b.head and b.up == 1 and len(a.sides) > 1
        ]
        if not pairs or any(_rises(a, b) for a, b in pairwise(shorter)):
            return _by_part(network, stages, limit)
        i = min(pairs, key=lambda i: shorter[i].flops + shorter[i + 1].flops)
        shorter = [*shorter[:i], _together(shorter[i], shorter[i + 1]), *shorter[i + 2 :]]
    return shorter


def _rises(stage: Stage, after: Stage) -> bool:
    """Whether the resolution rises from one stage to the next without a layer that does it."""
    return after.up == 1 and max(after.sides, default=0) > max(stage.sides, default=0) and len(stage.sides) > 1


def _by_part(network: nn.Module, stages: list[Stage], limit: int) -> list[Stage]:
    """A stage for each part of the network, as small as parts can be: branches that run side by side go together."""

    def part(stage: Stage, depth: int) -> str:
        """Its path down to the first module that stands in a row, and no deeper than asked."""
        path = stage.name.split(".")
        row = (i for i in range(1, len(path)) if isinstance(network.get_submodule(".".join(path[:i])), CONTAINERS))
        return ".".join(path[: min(depth, next(row, depth) + 1)])

    deepest = max(stage.name.count(".") for stage in stages) + 1
    for depth in range(deepest, 0, -1):
        parts = groupby(stages, key=partial(part, depth=depth))
        shorter = _repeated(_part(network, path, list(same)) for path, same in parts)
        if len(shorter) <= limit:
            break
    return shorter


def _part(network: nn.Module, path: str, stages: list[Stage]) -> Stage:
    """The stages of a part as one; of branches side by side the finest stands for all."""
    whole = reduce(_together, stages)
    branches = {stage.sides for stage in stages}
    inputs = [
        next((m.in_channels for m in network.get_submodule(stage.name).modules() if isinstance(m, CONVS)), 0)
        for stage in stages
    ]
    in_a_row = all(stage.channels == channels for stage, channels in zip(stages, inputs[1:], strict=False))
    if len(branches) == 1 or in_a_row:
        return whole
    finest = max(stages, key=lambda stage: max(stage.sides, default=0))
    kind = f"{len(branches)} parallel branches"
    return replace(whole, name=path, kind=kind, repeats=1, channels=finest.channels, sides=finest.sides)


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
