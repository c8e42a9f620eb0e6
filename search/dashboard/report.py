"""The dashboard on paper: the same pages in one file that opens offline."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from data.errors import UserError
from search.dashboard import pages
from search.dashboard.now import Machine
from search.dashboard.server import HERE, PLOTLY, dump, in_script, style
from search.dashboard.source import Source
from search.results import answers

TRIALS = 5
"""How many of the best trials have their own page in it, with pictures; the Pareto front's have one besides."""

FRONT = 20
"""How many of the front's."""


def write(sources: Sequence[Source], file: Path) -> int:
    """Write the report of one or more studies; how many trials have a page of their own.

    Raises:
        UserError: the file cannot be written.
    """
    views = {source.key: source.reader.read() for source in sources}
    shown = [one for one in pages.PAGES if one[0] != "now"]
    offline: dict[str, Any] = {}
    machine = Machine()
    count = 0
    for source in sources:

        def picture(row: int, folder: Path = source.folder) -> str:
            try:
                return "data:image/jpeg;base64," + base64.b64encode(answers.picture(folder, row).read_bytes()).decode()
            except OSError:
                return ""

        view = views[source.key]
        for name, _ in shown:
            offline[f"{source.key}/{name}"] = pages.page(source, views, name, href=picture, machine=machine)
        for what in ("importance", "hardest"):
            offline[f"{source.key}/{what}/{pages.tenths(view)}"] = pages.part(source, view, what, 0, picture)
        finished = [entry for entry in view.entries if entry.state == "finished"]
        front = [entry for entry in finished if entry.pareto][:FRONT]
        for number in dict.fromkeys(entry.number for entry in (*finished[:TRIALS], *front)):
            count += 1
            offline[f"{source.key}/trial/{number}"] = pages.page(
                source, views, "trial", number=number, href=picture, machine=machine
            )
            for what in ("network", "layers"):
                offline[f"{source.key}/{what}/{number}"] = pages.part(source, view, what, number, picture)
    boot = {
        "studies": [{"key": source.key, "name": source.name} for source in sources],
        "pages": shown,
        "poll": 0,
        "offline": offline,
    }
    script = (HERE / "page.js").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True, loader=jinja2.FileSystemLoader(HERE)).get_template("page.html")
    text = page.render(
        title=f"{', '.join(source.name for source in sources)} - posefront",
        inline={"css": style(), "js": script, "plotly": PLOTLY.read_text(encoding="utf-8")},
        boot=in_script(dump(boot)),
    )
    half = file.with_name(f"{file.name}.half")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(file)
    except OSError as error:
        raise UserError(f"cannot write {file} ({error.strerror}); give --file a path of yours.") from error
    return count
