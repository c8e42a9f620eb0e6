"""The filter line: `head=heatmap, PixelDiff<7, state=failed`.

Conditions stand between commas, and a trial has to meet all of them. Each is a name, a comparison and a value: `=`,
`!=`, `<`, `<=`, `>`, `>=`, or `~` for "contains". Behind `=` and `!=` several values may stand, with `|` between them;
one that holds a comma is quoted. A trial that lacks what is asked for meets nothing but `!=`.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any

from data.errors import UserError
from search.results.leaderboard import Entry
from search.results.view import View

CONDITION = re.compile(
    r"\s*(?P<name>[^<>=!~,]+?)\s*(?P<sign><=|>=|!=|=|<|>|~)\s*(?P<value>\"[^\"]*\"|[^,]*?)\s*(?:,|$)"
)

COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Read = Callable[[Entry], Any]


def fields(view: View) -> dict[str, Read]:
    """What can be asked for, by its name; a parameter's name is its own, and means the parameter where both exist."""
    known: dict[str, Read] = {
        "trial": attrgetter("number"),
        **{name: attrgetter(name) for name in ("name", "state", "band", "value", "score", "error")},
        view.error_name: attrgetter("error"),
        view.metric: attrgetter("error"),
        "front": lambda e: "yes" if e.pareto else "no",
        **{name: attrgetter(name) for name in ("epochs", "seconds", "worker", "reason", "note")},
        "star": lambda e: "yes" if e.star else "no",
        "images/s": attrgetter("images_per_s"),
    }
    for reading in view.readings:
        for title in (reading.title, reading.name):
            known[title] = partial(_reading, reading.name)
    names = dict.fromkeys(name for entry in view.entries for name in entry.params)
    return known | {name: partial(_param, name) for name in names}


def _reading(name: str, entry: Entry) -> float | None:
    return entry.readings.get(name)


def _param(name: str, entry: Entry) -> Any:
    return entry.params.get(name)


def matching(view: View, line: str) -> View:
    """The trials that meet a filter line; the view itself where the line is empty.

    Raises:
        UserError: it is no such line, or names what no trial has.
    """
    if not line.strip():
        return view
    known = fields(view)
    tests = []
    at = 0
    while at < len(line):
        found = CONDITION.match(line, at)
        if found is None or not found["value"]:
            raise UserError(
                f"{line[at:].strip()[:60]!r} is no condition; write for instance head=heatmap, {view.error_name}<7, "
                "state=failed."
            )
        tests.append(_test(known, found["name"], found["sign"], found["value"].strip('"')))
        at = found.end()
    return view.only([entry.number for entry in view.entries if all(test(entry) for test in tests)])


def _test(known: Mapping[str, Read], name: str, sign: str, value: str) -> Callable[[Entry], bool]:
    read = known[_name(known, name)]
    if sign in COMPARED:
        limit, compare = _number(value), COMPARED[sign]
        if math.isnan(limit):
            raise UserError(f"{name}{sign}{value}: {value!r} is no number; text is compared with = and !=.")
        return lambda entry: compare(_of(read(entry)), limit)
    if sign == "~":
        return lambda entry: value.casefold() in _text(read(entry))
    values = [part.strip() for part in value.split("|")]
    return lambda entry: any(_same(read(entry), each) for each in values) is (sign == "=")


def _name(known: Mapping[str, Read], name: str) -> str:
    """A name as it is known, whatever the case of its letters."""
    if name in known:
        return name
    folded = {each.casefold(): each for each in known}
    if name.casefold() in folded:
        return folded[name.casefold()]
    near = difflib.get_close_matches(name.casefold(), folded, n=2, cutoff=0.5)
    meant = f"did you mean {' or '.join(folded[each] for each in near)}? " if near else ""
    raise UserError(f"no trial has {name[:40]!r}: {meant}Known are {', '.join(known)}.")


def _number(text: str) -> float:
    """The number that a text begins with, whatever unit follows; NaN for none."""
    found = re.match(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?", text.strip())
    return float(found[0]) if found else math.nan


def _of(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def _text(value: Any) -> str:
    return "" if value is None else str(value).casefold()


def _same(value: Any, text: str) -> bool:
    """Whether a value is what a text says; numbers may be spelt in any way, to four digits."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = _number(text)
        return math.isclose(value, number, rel_tol=5e-4) if not math.isnan(number) else False
    return _text(value) == text.casefold()
