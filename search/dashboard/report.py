"""The dashboard on paper: the same pages in one file that opens offline."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from data.storage.files import writing
from search.dashboard import pages
from search.dashboard.parts.now import Machine
from search.dashboard.parts.workers import driver_lives
from search.dashboard.server import PLOTLY, frame, script, style
from search.dashboard.source import Source
from search.dashboard.variants import with_variants
from search.results import answers
from search.results.importance import tenths
from search.results.view import View

TRIALS = 5
"""How many of the best trials have their own page in it, with pictures; the Pareto front's have one besides."""

FRONT = 20
"""How many of the front's."""


def write(sources: Sequence[Source], file: Path) -> int:
    """Write the report of one or more studies; how many trials have a page of their own.

    Raises:
        UserError: the file cannot be written.
    """
    views = {source.key: source.view() for source in sources}
    shown = [(name, title) for name, title in pages.PAGES if name != "now"]
    offline: dict[str, Any] = {}
    trials = 0
    for source in sources:
        numbers = best(views[source.key])
        trials += len(numbers)
        offline |= content(source, views, [name for name, _ in shown], numbers)
    inline = {"css": style(), "js": script(), "plotly": PLOTLY.read_text(encoding="utf-8")}
    text = frame(sources, shown, offline=offline, inline=inline | {"made": f"{datetime.now():%Y-%m-%d %H:%M}"})
    with writing(file, "give --file a path of yours") as half:
        half.write_text(text, encoding="utf-8")
    return trials


def best(view: View) -> list[int]:
    """The trials that have their own page."""
    finished = view.by_state["finished"]
    front = [entry for entry in finished if entry.pareto][:FRONT]
    return list(dict.fromkeys(entry.number for entry in (*finished[:TRIALS], *front)))


def content(source: Source, views: Mapping[str, View], names: Sequence[str], numbers: Sequence[int]) -> dict[str, Any]:
    """A study's pages and their parts, by the paths that the page's script asks for."""

    def picture(row: int) -> str:
        try:
            return (
                "data:image/jpeg;base64," + base64.b64encode(answers.picture(source.folder, row).read_bytes()).decode()
            )
        except OSError:
            return ""

    key, view, machine = source.key, views[source.key], Machine()
    lives = driver_lives(source.reader.driver())

    def made(name: str, choices: Mapping[str, str]) -> dict[str, Any]:
        request = replace(pages.REPORT, choices=choices)
        return pages.page(source, views, name, request=request, href=picture, machine=machine, lives=lives)

    by_path = {f"{key}/{name}": with_variants(partial(made, name)) for name in names}
    for what in ("importance", "hardest", "edges"):
        by_path[f"{key}/{what}/{tenths(view)}"] = pages.part(source, view, what, 0, picture)
    for number in numbers:
        page = pages.page(source, views, "trial", number=number, href=picture, machine=machine, lives=lives)
        by_path[f"{key}/trial/{number}"] = page
        for what in ("network", "layers"):
            by_path[f"{key}/{what}/{number}"] = pages.part(source, view, what, number, picture)
    return by_path
