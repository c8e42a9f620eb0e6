"""Functions, modules and values as Python source."""

import ast
import inspect
import math
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

_CACHES = ("cache", "lru_cache")  # a function is the same without
_KNOWN = {"numpy", "PIL", "torch"} | sys.stdlib_module_names


def embed(*things: Callable[..., Any] | type, given: dict[str, Any] | None = None) -> str:
    """The source of functions and classes with everything that they use: imports, constants, then they in order of use.

    Decorators of torch.fx are dropped; what comes from the standard library, torch, numpy or Pillow is imported.

    Args:
        things: functions and classes.
        given: what is there already, by name, and is not written again; what is written is added to it.

    Raises:
        TypeError: something is no Python function or class.
        ValueError: something uses a name whose value has no source and no literal.
    """
    collector = SourceCollector(values={} if given is None else given)
    for thing in things:
        collector.use(thing.__name__, thing)
    return "\n\n\n".join(collector.sections())


@dataclass
class SourceCollector:
    """Functions and everything that they use; what `embed` writes."""

    imports: set[tuple[str, str]] = field(default_factory=set)  # (module, name), or ("", module)
    constants: list[str] = field(default_factory=list)
    functions: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def sections(self) -> list[str]:
        """Imports, constants and each function, those that are there."""
        names: dict[str, list[str]] = {}
        for home, name in sorted(self.imports):
            names.setdefault(home, []).append(name)
        plain = [f"import {name}" for name in names.pop("", [])]
        brought = [f"from {home} import {', '.join(inner)}" for home, inner in names.items()]
        parts = ["\n".join(plain + brought), "\n".join(self.constants), *self.functions.values()]
        return [part for part in parts if part]

    def add(self, thing: Any) -> None:
        """A function or a class, after what it uses."""
        if not isinstance(thing, FunctionType | type):
            raise TypeError(f"{thing!r} is no function and no class")
        self.values[thing.__name__] = thing
        lines = textwrap.dedent(inspect.getsource(thing)).splitlines()
        tree = ast.parse("\n".join(lines)).body[0]
        assert isinstance(tree, ast.FunctionDef | ast.ClassDef)  # noqa: S101 - for the type checker
        for used in tree.decorator_list:
            if not ast.unparse(used).startswith(("torch.", *_CACHES)):
                raise ValueError(f"{thing.__name__} is decorated by {ast.unparse(used)}")
        tree.decorator_list = [used for used in tree.decorator_list if not ast.unparse(used).startswith(_CACHES)]
        keep = [ast.unparse(used) for used in tree.decorator_list if not ast.unparse(used).startswith("torch.fx")]
        names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
        scope = vars(sys.modules[thing.__module__])
        for name in names:
            if name in scope:
                self.use(name, scope[name])
        own = [re.sub(r"  # noqa\b.*", "", line) for line in lines[tree.lineno - 1 :]]
        self.functions[thing.__name__] = "\n".join([*(f"@{decorator}" for decorator in keep), *own]).rstrip()

    def use(self, name: str, value: Any) -> None:
        """A global name that a function uses."""
        value = inspect.unwrap(value) if hasattr(value, "cache_info") else value
        if name in self.values:
            if self.values[name] is not value and self.values[name] != value:
                raise ValueError(f"two things are called {name}")
            return
        self.values[name] = value
        home = (getattr(value, "__module__", None) or "").removeprefix("_")
        if isinstance(value, ModuleType):
            parent, _, leaf = value.__name__.rpartition(".")
            alias = "" if leaf == name else f" as {name}"
            self.imports.add((parent, leaf + alias))
        elif callable(value) and home.split(".")[0] in _KNOWN:
            self.imports.add((home, value.__name__))
        elif isinstance(value, FunctionType | type):
            self.add(value)
        elif _is_literal(value):
            self.constants.append(f"{name} = {value!r}")
        else:
            raise ValueError(f"{name} = {value!r} has neither source nor literal")


def _is_literal(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_literal, value))
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def constructor(module: nn.Module) -> str:
    """A leaf module as a call of its class, with what differs from the defaults.

    Raises:
        ValueError: it is no class of torch.nn, or more than its constructor says.
    """
    kind = type(module)
    if getattr(nn, kind.__name__, None) is not kind:
        raise ValueError(f"{kind.__module__}.{kind.__name__} is no class of torch.nn")
    kwargs: dict[str, Any] = {}
    words: list[str] = []
    for name, parameter in list(inspect.signature(kind.__init__).parameters.items())[1:]:
        if name in {"device", "dtype", "inplace"} or not hasattr(module, name):
            continue
        value = getattr(module, name)
        if name == "bias":
            value = value is not None and value is not False
        if isinstance(value, tuple) and len(set(value)) == 1 and isinstance(value[0], int):
            value = value[0]
        if parameter.default is not parameter.empty and value == parameter.default:
            continue
        kwargs[name] = value
        text = literal(value, lambda inner: literal(inner, repr))
        words.append(text if parameter.default is parameter.empty else f"{name}={text}")
    with torch.device("meta"):
        again = kind(**kwargs)
    shapes = [{name: tensor.shape for name, tensor in m.state_dict().items()} for m in (module, again)]
    if shapes[0] != shapes[1] or again.extra_repr() != module.extra_repr().replace("inplace=True", ""):
        raise ValueError(f"{module} is more than its constructor says")
    return f"nn.{kind.__name__}({', '.join(words)})"


def literal(value: Any, write: Callable[[Any], str]) -> str:
    """A constant as Python; what is inside a list or tuple is written by `write`."""
    if isinstance(value, tuple):
        return f"({', '.join(map(write, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(write, value))}]"
    if isinstance(value, slice):
        return f"slice({write(value.start)}, {write(value.stop)}, {write(value.step)})"
    if isinstance(value, torch.dtype | torch.memory_format):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if value is Ellipsis:
        return "..."
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    raise ValueError(f"{value!r} has no literal")


def arguments(args: tuple[Any, ...], kwargs: dict[str, Any], write: Callable[[Any], str]) -> str:
    """What stands between the parentheses of a call."""
    return ", ".join([*map(write, args), *(f"{name}={write(value)}" for name, value in kwargs.items())])


def index(value: Any, write: Callable[[Any], str]) -> str:
    """What stands between square brackets."""
    if isinstance(value, tuple):
        return ", ".join(index(inner, write) for inner in value) or "()"
    if isinstance(value, slice):
        ends = ["" if end is None else write(end) for end in (value.start, value.stop)]
        return ":".join(ends) + ("" if value.step is None else f":{write(value.step)}")
    return write(value)
