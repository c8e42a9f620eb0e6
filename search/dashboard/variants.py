"""A report's lists: the pages that they lead to, each told as what differs from the page as it first stands."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from search.dashboard.replies import dump

Page = dict[str, Any]

OFFERED = {"x": 3, "y": 3}
"""Of these lists a report has the first entries alone: the parameters of the contour, the most important first."""


def with_variants(made: Callable[[Mapping[str, str]], Page]) -> Page:
    """A page as plain data, with its 'variants': the values of its lists, and what then differs.

    Args:
        made: makes the page with its lists set to these values.
    """
    base = plain(made({}))
    variants = [
        {"values": values, "difference": difference(base, page)} for values, page in explored(made, base, {}) if values
    ]
    return base | {"variants": variants[1:]} if len(variants) > 1 else base


def plain(page: Page) -> Page:
    """A page without figures' own classes, its long lists cut to what is offered."""
    read: Page = json.loads(dump(page))
    for choice in read.get("choices", ()):
        options = choice["options"][: OFFERED.get(choice["name"])]
        choice["options"] = options
    return read


def explored(
    made: Callable[[Mapping[str, str]], Page], page: Page, values: Mapping[str, str]
) -> Iterator[tuple[Mapping[str, str], Page]]:
    """Every way in which a page's lists can be set, itself first; `values` are those that are set already."""
    open_ = [choice for choice in page.get("choices", ()) if choice["name"] not in values]
    if not open_:
        yield values, page
        return
    choice = open_[0]
    options = sorted(choice["options"], key=lambda option: option[0] != choice["value"])
    for value, _ in options:
        chosen = {**values, choice["name"]: value}
        yield from explored(made, page if value == choice["value"] else plain(made(chosen)), chosen)


def difference(base: Any, other: Any) -> Any:
    """What turns one plain value into another: None where nothing does.

    `{"=": value}` replaces it, `{"~": {key: difference}, "n": length}` changes members of an object or a list, which
    then has so many. A list of numbers or texts is replaced.
    """
    if base == other:
        return None
    if isinstance(base, dict) and isinstance(other, dict) and base.keys() <= other.keys():
        return {"~": {key: told for key, each in other.items() if (told := _member(base, key, each)) is not None}}
    if isinstance(base, list) and isinstance(other, list) and any(isinstance(each, dict | list) for each in other):
        members = {str(place): _member(dict(enumerate(base)), place, each) for place, each in enumerate(other)}
        return {"~": {key: told for key, told in members.items() if told is not None}, "n": len(other)}
    return {"=": other}


def _member(base: dict[Any, Any], key: Any, value: Any) -> Any:
    return difference(base[key], value) if key in base else {"=": value}
