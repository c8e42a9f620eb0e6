"""The deployed network as plain Python source that needs torch alone."""

import builtins
import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

import torch
import torch.fx
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.fx.node import Node, _get_qualified_name
from torch.fx.passes.shape_prop import ShapeProp

from models.fold import fold
from search.submission.notebook.python_source import SourceCollector, arguments, constructor, index, literal

_WIDTH = 100  # of an expression that others are written into
_NAMES = ("x", "y", "z", "a", "b", "c", "d", "e", "g", "h", "p", "q", "r", "s", "t", "u", "v", "w")
_SHORT = {"Conv1d": "conv", "Conv2d": "conv", "Conv3d": "conv", "BatchNorm1d": "norm", "BatchNorm2d": "norm"}
_SHORT |= {"ConvTranspose2d": "deconv", "LayerNorm": "norm", "GroupNorm": "norm", "AdaptiveAvgPool2d": "pool"}
_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "F.relu",
    nn.ReLU6: "F.relu6",
    nn.Hardswish: "F.hardswish",
    nn.Hardsigmoid: "F.hardsigmoid",
    nn.SiLU: "F.silu",
    nn.Mish: "F.mish",
    nn.Sigmoid: "torch.sigmoid",
    nn.Tanh: "torch.tanh",
}
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)  # in evaluation mode
_INFIX: dict[Any, str] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.matmul: "@",
    operator.pow: "**",
}
_IN_PLACE = {f"{name}_" for name in ("add", "sub", "mul", "div", "clamp", "relu", "sigmoid", "tanh", "hardtanh")}


def source(net: nn.Module, input_shape: tuple[int, ...] | None = None, given: dict[str, Any] | None = None) -> str:
    """The deployed network (evaluation mode, BatchNorm folded) as `class Net(nn.Module)`.

    The text imports torch and what torch brings; `Net().load_state_dict(weights(net))` gives the same answers.
    In-place operations are written out of place, what does nothing in evaluation mode is left out.

    Args:
        net: any network that torch.fx can trace, on any device; it is left as it was.
        input_shape: of one input without the batch; with it, comments give the shape that each block answers.
        given: names that are there already, see `python_source.embed`.

    Raises:
        torch.fx.proxy.TraceError: the network's control flow depends on its input.
        ValueError: it holds something that cannot be written: modules sharing a parameter, a leaf that its
            constructor does not describe, or a value without a literal.
    """
    return _Writer(net, input_shape).text({} if given is None else given)


def names(net: nn.Module) -> dict[str, str]:
    """What the network that `source` writes calls its layers, by their paths in the deployed network.

    Raises:
        As `source`.
    """
    return {path: part.name for path, part in _Writer(net, None).parts.items()}


def weights(net: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of the network that `source` writes, by its own names, on the CPU.

    Raises:
        As `source`.
    """
    return _Writer(net, None).tensors()


def plain(written: str) -> nn.Module:
    """The network that `source` wrote, in evaluation mode; its weights are yet to be loaded.

    The text is run: it must come from `source`, never out of a file.
    """
    names: dict[str, Any] = {}
    exec(written, names)  # noqa: S102
    net = names["Net"]()
    assert isinstance(net, nn.Module)  # noqa: S101 - for the type checker
    return net.eval()


@dataclass(frozen=True)
class _Part:
    """An attribute of the written network."""

    name: str
    expression: str  # a call of its constructor
    block: str
    tensors: dict[str, Tensor]


class _Writer:
    """A folded network, its graph, and what they are to be called."""

    def __init__(self, net: nn.Module, input_shape: tuple[int, ...] | None) -> None:
        self.net = fold(net).cpu()
        for name, module in list(self.net.named_modules()):
            if isinstance(module, BatchNormAct2d):
                self.net.set_submodule(name, _apart(module))
        self.graph = torch.fx.Tracer().trace(self.net)
        self._tidy()
        if input_shape is not None:  # note the shape of every value
            with torch.no_grad():
                ShapeProp(torch.fx.GraphModule(self.net, self.graph)).propagate(torch.zeros(1, *input_shape))
        self.functions: dict[str, FunctionType] = {}
        self.parts = self._parts()
        self.inlined: set[Node] = set()
        for node in self.graph.nodes:
            self._inline(node)

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"{part.name}.{name}" if name else part.name: tensor.detach().clone()
            for part in self.parts.values()
            for name, tensor in part.tensors.items()
        }

    def text(self, given: dict[str, Any]) -> str:
        body = list(self._forward())
        collector = SourceCollector({("", "torch"), ("torch", "nn"), ("torch.nn", "functional as F")}, values=given)
        for function in self.functions.values():
            collector.add(function)
        parts = "\n".join(" " * 8 + line if line else "" for line in self._init())
        steps = "\n".join(" " * 8 + line if line else "" for line in body[1:])
        network = (
            "class Net(nn.Module):\n"
            '    """The deployed network: BatchNorm is folded into the convolutions."""\n\n'
            "    def __init__(self):\n        super().__init__()\n"
            f"{parts}\n\n    {body[0]}\n{steps}"
        )
        return "\n\n\n".join([*collector.sections(), network]) + "\n"

    def _tidy(self) -> None:
        """Leave out what does nothing; readers of a value that was changed in place read the change."""
        order = {node: i for i, node in enumerate(self.graph.nodes)}
        for node in list(self.graph.nodes):
            module = self.net.get_submodule(str(node.target)) if node.op == "call_module" else None
            if isinstance(module, _NOTHING):
                node.replace_all_uses_with(node.args[0])
            elif _is_in_place(node, module):
                value = node.args[0]
                for user in [user for user in value.users if order[user] > order[node]]:
                    user.replace_input_with(value, node)
        for node in reversed(self.graph.nodes):  # assertions go too
            if not node.users and node.op not in {"placeholder", "output"}:
                self.graph.erase_node(node)

    def _parts(self) -> dict[str, _Part]:
        """The attributes by their paths in the folded network."""
        wanted: dict[str, _Part] = {}  # called by their stems as yet
        owners: dict[int, str] = {}
        for node in self.graph.nodes:
            path = str(node.target)
            if node.op not in {"call_module", "get_attr"} or path in wanted:
                continue
            if node.op == "get_attr":
                wanted[path] = self._stored(path, _block(node))
            elif type(module := self.net.get_submodule(path)) not in _ACTIVATIONS:
                stem = _SHORT.get(type(module).__name__, type(module).__name__.lower())
                wanted[path] = _Part(stem, constructor(module), _block(node), dict(module.state_dict(keep_vars=True)))
            for name, tensor in wanted[path].tensors.items() if path in wanted else ():
                if owners.setdefault(id(tensor), path) != path:
                    raise ValueError(f"{path} and {owners[id(tensor)]} share {name}, which plain source cannot say")
        # Modules without state that are made alike are one.
        alike = {path: path if part.tensors else part.expression for path, part in wanted.items()}
        total = Counter(wanted[path].name for path in {same: path for path, same in alike.items()}.values())
        names: dict[str, str] = {}
        count: Counter[str] = Counter()
        for path, part in wanted.items():
            if alike[path] not in names:
                count[part.name] += 1
                names[alike[path]] = f"{part.name}{count[part.name]}" if total[part.name] > 1 else part.name
        return {path: replace(part, name=names[alike[path]]) for path, part in wanted.items()}

    def _stored(self, path: str, block: str) -> _Part:
        """A tensor that the network uses directly."""
        parent, _, leaf = path.rpartition(".")
        tensor = getattr(self.net.get_submodule(parent), leaf)
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{path} is no tensor")
        dtype = "" if tensor.dtype == torch.float32 else f", dtype={tensor.dtype}"
        empty = f"torch.empty({', '.join(map(str, tensor.shape)) or '()'}{dtype})"
        expression = f"nn.Parameter({empty})" if isinstance(tensor, nn.Parameter) else empty
        return _Part(f"{leaf.strip('_')}_", expression, block, {"": tensor})

    def _init(self) -> Iterator[str]:
        """The constructor's lines, a comment where a block begins."""
        block = None
        seen: set[str] = set()
        for part in self.parts.values():
            if part.name in seen:
                continue
            seen.add(part.name)
            if part.block != block:
                block = part.block
                yield f"# {block}"
            buffer = part.expression.startswith("torch.empty")
            yield (
                f'self.register_buffer("{part.name}", {part.expression})'
                if buffer
                else f"self.{part.name} = {part.expression}"
            )

    def _inline(self, node: Node) -> None:
        """Write into this node's expression those of its arguments that only it reads, while it stays readable."""
        for inner in node.all_input_nodes if node.op not in {"placeholder", "get_attr"} else ():
            if inner.op == "get_attr":
                self.inlined.add(inner)
            elif inner.op != "placeholder":
                times = Counter(_leaves((node.args, node.kwargs)))[inner]
                if len(inner.users) == times == 1:
                    self.inlined.add(inner)
                    if self._weighted(node) > 1 or len(self._expression(node, {})) > _WIDTH:
                        self.inlined.remove(inner)

    def _weighted(self, node: Node) -> int:
        """Calls of modules that hold weights in a node's expression."""
        own = node.op == "call_module" and str(node.target) in self.parts and self.parts[str(node.target)].tensors
        return bool(own) + sum(self._weighted(inner) for inner in node.all_input_nodes if inner in self.inlined)

    def _reads(self, node: Node) -> list[Node]:
        """The variables that a node's expression reads."""
        inputs = node.all_input_nodes
        return [read for inner in inputs for read in (self._reads(inner) if inner in self.inlined else [inner])]

    def _forward(self) -> Iterator[str]:
        """The method's lines, its signature first."""
        statements = [node for node in self.graph.nodes if node not in self.inlined]
        last = {read: node for node in statements for read in self._reads(node)}
        names = {node: str(node.target).lstrip("*") for node in statements if node.op == "placeholder"}
        yield f"def forward(self, {', '.join(names.values())}):"
        live = set(names)
        blocks = [_block(node) for node in statements]
        for i, node in enumerate(statements):
            if node.op == "placeholder":
                continue
            text = self._expression(node, names)
            if node.op == "output":
                yield f"return {text}"
                break
            if i == 0 or blocks[i] != blocks[i - 1]:
                yield f"# {blocks[i]}{self._shape(statements, blocks, i)}" if blocks[i] else ""
            dying = {read for read in self._reads(node) if last[read] is node}
            live -= dying
            names[node] = self._name(node, {names[other] for other in live}, {names[other] for other in dying})
            live.add(node)
            yield f"{names[node]} = {text}"

    def _shape(self, statements: list[Node], blocks: list[str], first: int) -> str:
        """What the block that begins at statement `first` answers."""
        end = first
        while end + 1 < len(blocks) and blocks[end + 1] == blocks[first]:
            end += 1
        meta = statements[end].meta.get("tensor_meta")
        shape = getattr(meta, "shape", ())[1:]
        return f": {' x '.join(map(str, shape))}" if shape else ""

    def _name(self, node: Node, taken: set[str], dying: set[str]) -> str:
        """A variable for a node's answer: that of a value which ends here, else a free one."""
        free = [name for name in _NAMES if name in dying]
        if free:
            return free[0]
        if "gate" in dying or ("gate" not in taken and taken and self._pools(node)):
            return "gate"
        numbered = (f"v{i}" for i in range(1, len(self.graph.nodes) + 1))
        return next(name for name in (*_NAMES, *numbered) if name not in taken)

    def _pools(self, node: Node) -> bool:
        """Whether a node's expression begins with a mean, as a gate does."""
        own = "mean" in str(node.target) or (
            node.op == "call_module" and isinstance(self.net.get_submodule(str(node.target)), nn.AdaptiveAvgPool2d)
        )
        return own or any(self._pools(inner) for inner in node.all_input_nodes if inner in self.inlined)

    def _expression(self, node: Node, names: dict[Node, str]) -> str:
        """A node as Python; variables that have no name yet are called x."""

        def write(value: Any, tight: bool = False) -> str:
            if isinstance(value, Node):
                if value not in self.inlined:
                    return names.get(value, "x")
                text = self._expression(value, names)
                loose = value.target in _INFIX or value.target is operator.neg
                return f"({text})" if tight and loose else text
            return literal(value, write)

        args, kwargs = node.args, {name: value for name, value in node.kwargs.items() if name != "inplace"}
        if node.op == "output":
            return write(args[0])
        if node.op == "get_attr":
            return f"self.{self.parts[str(node.target)].name}"
        if node.op == "call_module":
            path = str(node.target)
            inner = f"self.{self.parts[path].name}" if path in self.parts else ""
            called = inner or _ACTIVATIONS[type(self.net.get_submodule(path))]
            return f"{called}({arguments(args, node.kwargs, write)})"
        if node.op == "call_method":
            method = str(node.target).removesuffix("_") if node.target in _IN_PLACE else node.target
            return f"{write(args[0], True)}.{method}({arguments(args[1:], node.kwargs, write)})"
        if node.target in _INFIX and len(args) == 2:
            return f"{write(args[0], True)} {_INFIX[node.target]} {write(args[1], True)}"
        if node.target is operator.neg:
            return f"-{write(args[0], True)}"
        if node.target is builtins.getattr and isinstance(args[1], str):
            return f"{write(args[0], True)}.{args[1]}"
        if node.target is operator.getitem:
            return f"{write(args[0], True)}[{index(args[1], write)}]"
        return f"{self._function(node.target)}({arguments(args, kwargs, write)})"

    def _function(self, target: Any) -> str:
        """The name under which a function is called."""
        home = (getattr(target, "__module__", None) or "").split(".")[0]
        if isinstance(target, FunctionType) and home not in {"torch", "math"}:
            self.functions[target.__name__] = target
            return target.__name__
        name = _get_qualified_name(target).removesuffix("_")
        if name.startswith("torch.nn.functional."):
            return f"F.{name.removeprefix('torch.nn.functional.')}"
        if name.startswith("torch."):
            return name
        raise ValueError(f"{name} is called, which plain source cannot say")


def _apart(norm: BatchNormAct2d) -> nn.Sequential:
    """BatchNorm of timm, activation, as torch's own and the activation."""
    plain = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    plain.load_state_dict({name: norm.state_dict()[name] for name in plain.state_dict()})
    return nn.Sequential(plain, norm.act).eval()


def _is_in_place(node: Node, module: nn.Module | None) -> bool:
    if node.op == "call_method" and str(node.target).endswith("_") and not str(node.target).endswith("__"):
        if node.target not in _IN_PLACE:
            raise ValueError(f"{node.target} changes its input, which plain source cannot say")
        return True
    return bool(getattr(module, "inplace", False) or node.kwargs.get("inplace", False))


def _block(node: Node) -> str:
    """The block of the network that a node belongs to: 'body.3', 'head'; empty for the network itself."""
    path = str(node.target).rpartition(".")[0] if node.op in {"call_module", "get_attr"} else None
    if path is None:
        stack = list(node.meta.get("nn_module_stack", {}).values())
        path = str(stack[-1][0]) if stack else ""
    match = re.match(r"[^.]+(\.\d+)*", path)
    return match.group() if match else ""


def _leaves(value: Any) -> Iterator[Node]:
    """The nodes in arguments, each as often as it stands there."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, slice):
        yield from _leaves((value.start, value.stop, value.step))
    elif isinstance(value, dict):
        yield from _leaves(tuple(value.values()))
    elif isinstance(value, Iterable) and not isinstance(value, str):
        for inner in value:
            yield from _leaves(inner)
