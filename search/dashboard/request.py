"""What the page's script asks for: which trials, in which order, with which choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

LONGEST_FILTER = 500
"""Characters of a filter line."""

COMPARED = 4
"""Trials that are compared at once."""

LINES = 25
"""Lines of a table that are shown at once."""


@dataclass(frozen=True)
class Order:
    """Which lines of a table are shown.

    Attributes:
        column: title of the one that it is sorted by; empty for the table's own order.
        down: the largest first.
        start: place of the first line.
        lines: how many; 0 for all.
    """

    column: str = ""
    down: bool = False
    start: int = 0
    lines: int = LINES


WHOLE = Order(lines=500)
"""What a report has of a table, which it sorts itself."""


@dataclass(frozen=True)
class Request:
    """A page as it is to be.

    Attributes:
        revision: of the page that the browser shows; None for none.
        chosen: trials of a selection; None for all.
        filter: a filter line, see `search.dashboard.filters`; empty for none.
        choices: what the page's lists are set to.
        orders: of tables, by their ids.
        other: order of tables that have none there.
        ticked: trials that are to be compared, at most COMPARED.
    """

    revision: str | None = None
    chosen: frozenset[int] | None = None
    filter: str = ""
    choices: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    orders: Mapping[str, Order] = field(default_factory=lambda: MappingProxyType({}))
    other: Order = Order()
    ticked: tuple[int, ...] = ()

    @classmethod
    def of(cls, body: Any) -> Request:
        """From JSON.

        Raises:
            TypeError, ValueError, AttributeError, OverflowError: it is malformed.
        """
        chosen = body.get("chosen")
        line = str(body.get("filter") or "")
        if len(line) > LONGEST_FILTER:
            raise ValueError("a filter line that long")
        return cls(
            body.get("revision"),
            None if chosen is None else frozenset(map(int, chosen)),
            line,
            {str(name): str(value) for name, value in (body.get("choices") or {}).items()},
            {
                str(name): Order(
                    str(order.get("column") or ""),
                    bool(order.get("down")),
                    max(0, int(order.get("start") or 0)),
                    max(0, int(order.get("lines", LINES))),
                )
                for name, order in (body.get("orders") or {}).items()
            },
            ticked=tuple(map(int, (body.get("ticked") or ())[:COMPARED])),
        )

    @property
    def slot(self) -> tuple[Any, ...]:
        """What tells it from other requests, but for the revision."""
        return (
            self.chosen,
            self.filter,
            self.ticked,
            tuple(sorted(self.choices.items())),
            tuple(sorted(self.orders.items(), key=str)),
        )

    def order(self, table: str) -> Order:
        """Of a table."""
        return self.orders.get(table, self.other)
