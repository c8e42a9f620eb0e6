"""A trial's configuration as readable JSON: kept with the trial, and what everything later rebuilds it from.

    {"arch": {"class": "models.net.Arch", "points": 21, ...}, "training": {"class": ..., "lr": ...}, "augment": ...}

Lists stand for tuples. A field that came later is left out at its default (`models.config.UNWRITTEN`). Nothing in it is
code: the only classes that are built are dataclasses of this project's own packages and of modules that are loaded
already, such as the study's file.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from data.errors import UserError

if TYPE_CHECKING:
    from search.study import Config, Study

Record = Mapping[str, Any]

CLASS = "class"
"""The key of a dataclass's module and name among its fields."""

PLAIN = "numbers, text, truth values, None, tuples, and dataclasses of these defined at a file's top level"
"""What JSON gives back as it was."""

OWN = ("models", "data", "search", "studies")
"""Packages whose classes are known without a study's file."""


def record(config: Config) -> dict[str, Any]:
    """A configuration as JSON keeps it.

    Raises:
        TypeError: it holds what JSON would not give back as it was.
    """
    kept = {part.name: _plain(getattr(config, part.name), part.name) for part in fields(config)}
    if rebuild(json.loads(json.dumps(kept))) != config:
        raise TypeError(f"the configuration {config} is another one when JSON gives it back: write it with {PLAIN}")
    return kept


def _plain(value: Any, place: str) -> Any:
    if type(value).__module__ == "numpy" and hasattr(value, "item") and not getattr(value, "shape", ()):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if is_dataclass(value) and not isinstance(value, type) and "<locals>" not in type(value).__qualname__:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        own = {
            field.name: _plain(getattr(value, field.name), f"{place}.{field.name}")
            for field in fields(value)
            if field.init and not ("unwritten" in field.metadata and getattr(value, field.name) == field.default)
        }
        return {CLASS: kind} | own
    if type(value) is tuple:
        return [_plain(each, place) for each in value]
    if type(value) is dict and CLASS not in value and all(isinstance(key, str) for key in value):
        return {key: _plain(each, f"{place}.{key}") for key, each in value.items()}
    raise TypeError(f"{place} is {value!r}, and a trial's configuration is kept as JSON: write it with {PLAIN}")


def rebuild(kept: Record) -> Config:
    """The configuration that was kept.

    Raises:
        UserError: this version, or the study's file, no longer has what it names.
    """
    from search.study import Config

    try:
        return Config(**{name: _value(part) for name, part in kept.items()})
    except (TypeError, ValueError, AttributeError, KeyError, ImportError) as error:
        raise UserError(
            f"a configuration that was kept cannot be built any more ({error}): go back to the version of posefront, "
            "or of the study's file, that searched it."
        ) from error


def config_of(study: Study | str, params: Mapping[str, Any], kept: Record | None) -> Config:
    """A trial's configuration: its own where it was kept, else what the study makes of its parameters.

    Raises:
        UserError: what was kept cannot be built any more.
        ValueError: nothing was kept, and the study no longer makes a trial of the parameters.
    """
    from search.load import load_study
    from search.study import replay

    if kept is not None:
        return rebuild(kept)
    return replay(load_study(study) if isinstance(study, str) else study, params)[0]


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(map(_value, plain))
    if not isinstance(plain, dict):
        return plain
    values = {key: _value(each) for key, each in plain.items() if key != CLASS}
    return _class(plain[CLASS])(**values) if CLASS in plain else values


def _class(path: str) -> Any:
    """A dataclass by its module and name."""
    name, package = path, path.partition(".")[0]
    while name not in sys.modules and "." in name:
        if package in OWN:
            try:
                importlib.import_module(name)
                break
            except ModuleNotFoundError:
                pass
        name = name.rpartition(".")[0]
    found: Any = sys.modules[name]
    for part in path.removeprefix(f"{name}.").split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and is_dataclass(found)):
        raise TypeError(f"{path} is no dataclass")
    return found


def needs_file(kept: Record) -> bool:
    """Whether it names a class that only the study's file, or what that imports, defines."""
    return any(name.endswith(CLASS) and value.partition(".")[0] not in OWN for name, value in flat(kept))


def flat(kept: Record, before: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values: ('arch.size', 96)."""
    for name, value in kept.items():
        if isinstance(value, dict):
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def differences(before: Record, now: Record) -> str:
    """What changed between two configurations, in words: 'arch.size 96, now 64; ...'; empty where nothing did."""
    was, is_ = dict(flat(json.loads(json.dumps(before)))), dict(flat(json.loads(json.dumps(now))))
    parts = []
    for name in dict.fromkeys((*was, *is_)):
        old, new = (repr(side[name]) if name in side else "not there" for side in (was, is_))
        if old != new:
            parts.append(f"{name} {old}, now {new}")
    return "; ".join(parts)


def changes(study: Study, params: Mapping[str, Any], kept: Record, weights: bool = True) -> str:
    """What a study's file now makes otherwise of a trial's parameters, in words; empty where it is the same.

    Without `weights` what the network begins with does not count, which the search's command may have said.
    """
    from search.study import replay

    try:
        now = record(replay(study, params)[0])
        if not weights:
            now["training"]["weights"] = kept["training"]["weights"]
        return differences(kept, now)
    except Exception as error:  # noqa: BLE001 - the study file's own code
        return str(error).rstrip(".")


def digest(kept: Record | None) -> str | None:
    """A short name of a configuration, hexadecimal; None of none."""
    if kept is None:
        return None
    return hashlib.blake2b(json.dumps(kept, sort_keys=True).encode(), digest_size=8).hexdigest()
