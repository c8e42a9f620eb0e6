"""What may be in a network whose cost is counted, and the rows of its table.

fvcore passes silently over operators that it does not know, and a search finds every such hole. So each operator of
the traced network must be in one of the tables below, weights may meet data only where that is counted, every
parameter must matter, and torch's own counter must agree.

Two things are counted that fvcore takes for nothing, one FLOP an element: data times a parameter (ConvNeXt's scale of
a layer), and products of data that are summed up (ResNeSt's split attention; a matrix product by hand). A gate whose
answer is not summed, as in squeeze-excitation, stays free, and so fvcore's figures of such networks stay as printed.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

from torch import Tensor, nn

from models.plan import CostError, Layer

with warnings.catch_warnings():  # fvcore scripts a loss of its own when it is imported, which torch now deprecates
    warnings.simplefilter("ignore", FutureWarning)
    from fvcore.nn import FlopCountAnalysis as FlopCountAnalysis
    from fvcore.nn.jit_handles import (
        addmm_flop_jit,
        batchnorm_flop_jit,
        bmm_flop_jit,
        conv_flop_jit,
        elementwise_flop_counter,
        get_shape,
        linear_flop_jit,
        matmul_flop_jit,
        norm_flop_counter,
    )


def _names_of(line: str) -> frozenset[str]:
    return frozenset(line.split())


# Multiply-adds; torch's counter knows the same ones.
PRODUCTS = {
    "aten::_convolution": conv_flop_jit,
    "aten::linear": linear_flop_jit,
    "aten::addmm": addmm_flop_jit,
    "aten::mm": matmul_flop_jit,
    "aten::bmm": bmm_flop_jit,
    "aten::matmul": matmul_flop_jit,
}
# Operations on elements that fvcore counts nevertheless, one FLOP each (two an element of a BatchNorm).
ELEMENTS = {
    "aten::batch_norm": batchnorm_flop_jit,
    "aten::group_norm": norm_flop_counter(2),
    "aten::layer_norm": norm_flop_counter(2),
    "aten::instance_norm": norm_flop_counter(1),
    "aten::upsample_nearest2d": elementwise_flop_counter(0, 1),
    "aten::upsample_bilinear2d": elementwise_flop_counter(0, 4),
    "aten::adaptive_avg_pool2d": elementwise_flop_counter(1, 0),
}
# What the field counts as nothing. Activations and other functions of single elements (PReLU's weight is allowed):
ACTIVATIONS = _names_of(
    "abs celu clamp clamp_max clamp_min elu erf exp gelu hardsigmoid hardswish hardtanh "
    "leaky_relu log log1p log_softmax mish neg pow prelu reciprocal relu relu6 rsqrt "
    "selu sigmoid silu softmax softplus sqrt square tanh"
)
# sums, where a parameter is a bias or a position embedding;
SUMS = {"add", "sub"}
# gates between activations, as in squeeze-excitation (the audit counts parameters there, and what is summed later);
SCALES = {"mul", "div"}
# functions of single elements that make products of what is added before and after: exp(a + b), (a + b)^2;
PRODUCTIVE = {"exp", "pow", "square"}
# comparisons and picking, as in the largest value of a heatmap and where it stands;
CHOICES = _names_of("__and__ argmax eq gather ge gt le lt ne remainder sign")
# pooling, which is additions or comparisons only (the audit counts products there);
POOLS = _names_of("adaptive_max_pool2d amax avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d mean sum")
# and what computes nothing: shapes, copies, constants.
SHAPES = _names_of(
    "Int alias arange cat channel_shuffle chunk clone constant_pad_nd contiguous detach dropout expand "
    "expand_as feature_dropout flatten flip floor_divide full identity narrow ones pad permute pixel_shuffle "
    "pixel_unshuffle reflection_pad2d replication_pad2d reshape select size slice split split_with_sizes squeeze stack "
    "t to transpose type_as unbind unflatten unsqueeze view zeros zeros_like"
)
FREE = {f"aten::{name}" for name in ACTIVATIONS | SUMS | SCALES | CHOICES | POOLS | SHAPES}
_PLUMBING = {f"prim::{name}" for name in ("Constant", "ListConstruct", "ListUnpack", "NumToTensor", "TupleConstruct")}
# Where parameters may meet data: counted operators, scales that the audit counts, biases, and PReLU.
WEIGHTED = PRODUCTS.keys() | ELEMENTS.keys() | {"aten::prelu", "aten::cat", "aten::stack"}
WEIGHTED |= {f"aten::{name}{end}" for name in SUMS | SCALES for end in ("", "_")}


_FREE, _COUNTED = 1, 2  # the lesser wins where flows meet


@dataclass(frozen=True)
class _Flow:
    """What a value of the graph is made of."""

    data: bool = False  # the image, or anything that is not known to be constant
    weights: frozenset[str] = frozenset()  # parameters
    stored: frozenset[str] = frozenset()  # buffers and constant tensors
    product: int = 0  # _FREE where data were multiplied, perhaps changed since; _COUNTED in a sum of such products


class Audit:
    """Follows data and weights through the graph while fvcore walks it in order, and adds up the table's rows."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
        self.flows: dict[str, _Flow] = {}
        self.products = 0
        self.flops: Counter[str] = Counter()
        self.flops_m: Counter[str] = Counter()
        self.flops_ma: Counter[str] = Counter()
        self.outputs: dict[str, tuple[int, ...]] = {}

    def handles(self) -> dict[str, Callable[..., int]]:
        """What fvcore is to call for each operator: its own counter or none, and the audit."""
        free = dict.fromkeys(kind + end for kind in FREE for end in ("", "_"))
        kinds = {**free, **PRODUCTS, **ELEMENTS}
        return {kind: partial(self.visit, counter) for kind, counter in kinds.items()}

    def start(self, node: Any) -> None:
        """Look at the whole graph first: fvcore itself passes over some operators without a word."""
        block = node.owningBlock()
        known = self.handles().keys() | _PLUMBING
        strange = [n for n in block.nodes() if n.kind() not in known]
        if strange:
            kinds = {n.pyname() if n.kind() == "prim::PythonOp" else n.kind() for n in strange}
            raise CostError(f"nobody counts {', '.join(sorted(kinds))}")
        # The graph's inputs are the image and then the module's state, what is shared once.
        state: dict[int, str] = {}
        for name, value in self.module.state_dict(keep_vars=True).items():
            state.setdefault(id(value), name)
        image, *rest = block.inputs()
        self.flows[image.debugName()] = _Flow(data=True)
        for value, name in zip(rest, state.values(), strict=True):
            names = frozenset([name])
            known_as = _Flow(weights=names) if name in self.parameters else _Flow(stored=names)
            self.flows[value.debugName()] = known_as

    def visit(self, counter: Callable[..., Any] | None, inputs: list[Any], outputs: list[Any]) -> int:
        """Audit one operator and return fvcore's count of it."""
        node = outputs[0].node()
        if not self.flows:
            self.start(node)
        kind, scope = node.kind(), node.scopeName().split("/")[-1]
        op = kind.removesuffix("_").removeprefix("aten::")
        flow, scaled, summed = self.follow(op, kind, inputs, outputs)
        if kind.endswith("_") and _is_view(inputs[0]) and flow.product and not self.flow(inputs[0]).product:
            raise CostError(f"a product is written into a view by {kind}, past any counter")
        self.flows.update((value.debugName(), flow) for value in outputs)
        shape = get_shape(outputs[0])
        if shape is not None:
            self.outputs[scope] = tuple(shape)
        count = counter(inputs, outputs) if counter else scaled + summed
        count = int(sum(count.values()) if isinstance(count, Counter) else count)
        single = prod(shape) if kind == "aten::batch_norm" else count
        self.flops[scope] += count
        self.flops_m[scope] += single
        self.flops_ma[scope] += single * (2 if kind in PRODUCTS or kind == "aten::batch_norm" or summed else 1)
        self.products += count if kind in PRODUCTS else 0
        return count

    def flow(self, value: Any) -> _Flow:
        """What a value is made of; constants and lists are looked at when somebody reads them."""
        name, node = value.debugName(), value.node()
        if name not in self.flows:
            if node.kind() == "prim::Constant":
                constant = value.toIValue() if value.isCompleteTensor() else None
                large = isinstance(constant, Tensor) and constant.numel() > 1
                self.flows[name] = _Flow(stored=frozenset(["a constant tensor"]) if large else frozenset())
            else:
                self.flows[name] = _merge(self.flow(v) for v in node.inputs())
        return self.flows[name]

    def follow(self, op: str, kind: str, inputs: list[Any], outputs: list[Any]) -> tuple[_Flow, int, int]:
        """The flow of an operator's output, and the elements that it scales and that are products in its sum.

        Refuses what would hide work or weights.
        """
        if op in {"size", "Int", "arange"}:
            return _Flow(), 0, 0
        if op in {"zeros", "ones", "full", "zeros_like"}:
            return _Flow(data=True), 0, 0  # may be written to
        flows = [self.flow(value) for value in inputs]
        if op == "batch_norm":
            flows = [_Flow(f.data, f.weights) if i in {3, 4} else f for i, f in enumerate(flows)]  # statistics
        merged = _merge(flows)
        constant = _merge(flow for flow in flows if not flow.data)
        _refuse_hidden_weights(kind, merged, constant, inputs[0])
        if not merged.data:
            return merged, 0, 0
        elements, products = prod(get_shape(outputs[0]) or ()), [flow.product for flow in flows[:2]]
        if op in SCALES and constant.weights:
            return _Flow(data=True), elements, 0
        if op in SCALES and flows[0].data and flows[1].data:
            shapes = [get_shape(value) for value in inputs[:2]]
            if elements > max(map(prod, shapes)):
                raise CostError(f"{kind} of shapes {shapes} is a matrix product by hand, which nobody counts")
            return _Flow(data=True, product=_FREE), 0, 0
        if op in PRODUCTIVE:
            return _Flow(data=True, product=_FREE), 0, 0
        if op in POOLS:
            return _Flow(data=True), 0, prod(get_shape(inputs[0])) if merged.product == _FREE else 0
        if op in SUMS and all(products):
            return _Flow(data=True, product=_COUNTED), 0, elements * products.count(_FREE)
        counted = kind in PRODUCTS or kind in ELEMENTS
        return _Flow(data=True, product=0 if counted else merged.product), 0, 0

    def layers(self) -> Iterator[Layer]:
        """The rows: every module that holds or computes something of its own."""
        seen: set[int] = set()
        for name, module in self.module.named_modules():
            params = [p for p in module.parameters(recurse=False) if id(p) not in seen]
            seen.update(map(id, params))
            buffers = [b for b in module.buffers(recurse=False) if b.is_floating_point()]
            held = sum(p.numel() for p in params), sum(b.numel() for b in buffers)
            done = self.flops[name], self.flops_m[name], self.flops_ma[name]
            if any(held) or any(done):
                yield Layer(name, type(module).__name__, self.outputs.get(name, ()), *held, *done)


def _merge(flows: Iterable[_Flow]) -> _Flow:
    flows = list(flows)
    return _Flow(
        any(flow.data for flow in flows),
        frozenset().union(*(flow.weights for flow in flows)),
        frozenset().union(*(flow.stored for flow in flows)),
        min((flow.product for flow in flows if flow.product), default=0),
    )


def _refuse_hidden_weights(kind: str, merged: _Flow, constant: _Flow, target: Any) -> None:
    """Refuse an operator in which numbers meet data uncounted, or are written into a view of `target`."""
    if merged.data and constant.stored:
        raise CostError(f"{names(constant.stored)} is used as a weight by {kind}, but is no parameter")
    if merged.data and constant.weights and kind not in WEIGHTED:
        raise CostError(f"{names(constant.weights)} is at work in {kind}, which nobody counts")
    if kind.endswith("_") and constant.weights and _is_view(target):
        raise CostError(f"{names(constant.weights)} is written into a view by {kind}, past any counter")


def names(names: Iterable[str]) -> str:
    """Names in words."""
    return " and ".join(sorted(names))


def _is_view(value: Any) -> bool:
    return value.node().kind().removeprefix("aten::") in SHAPES
