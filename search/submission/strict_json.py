"""JSON by a stranger: what it says is what every reader of it sees."""

import json
from typing import Any


def parse(content: bytes | str, constants: bool = False) -> Any:
    """What JSON says.

    Args:
        content: the text, UTF-8.
        constants: whether NaN and Infinity, which are no JSON, stand for numbers.

    Raises:
        ValueError: it is no JSON, or names a key twice, of which readers see either.
        RecursionError: it is too deep.
    """
    if isinstance(content, bytes):
        content = content.decode("utf-8")
    return json.loads(content, object_pairs_hook=_unique, parse_constant=None if constants else _refused)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names {twice[:40]!r} twice")
    return found


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")
