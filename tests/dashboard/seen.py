"""A browser's page, a dashboard in a thread, and made-up searches for it."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from werkzeug.serving import make_server

from search.after.model import CURVES, FACTS, Facts, Loser, Seed
from search.dashboard.server import Application, Find
from search.dashboard.source import Source
from search.load import load_study
from search.results import answers
from search.results.answers import Answers, Example
from search.run.state.ledger import ROW, Ledger, open_storage

TINY = Path(__file__).parent.parent / "tiny_study.py"
POSEFRONT = Path(sys.executable).with_name("posefront")
HOSTILE = "<img src=x onerror='window.hurt=1'>"


class Seen:
    """A browser's page, and all that went wrong in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.wrong: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda said: said.type == "error" and self.wrong.append(said.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("response", lambda reply: reply.status >= 400 and self.wrong.append(f"{reply.status} {reply.url}"))

    def numbers(self, block: str) -> list[int]:
        """Trials that a figure shows as points."""
        return self.page.evaluate(
            """(id) => document.querySelector(`#block-${id} .js-plotly-plot`)._fullData
                .filter((trace) => trace.customdata && trace.mode !== "lines")
                .flatMap((trace) => Array.from(trace.customdata, (row) => row.length ? row[0] : row))""",
            block,
        )

    def rows(self, block: str = "trials") -> list[int]:
        """Trials of a table's lines."""
        lines = "(id) => [...document.querySelectorAll(`#block-${id} tbody tr`)].map((line) => +line.dataset.trial)"
        return self.page.evaluate(lines, block)

    def until(self, check: Callable[[], Any], what: str, seconds: float = 30) -> Any:
        """Wait for something to become true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := check():
                return found
            self.page.wait_for_timeout(150)
        raise AssertionError(f"never happened: {what}")

    def drawn(self, block: str) -> None:
        self.page.wait_for_selector(f"#block-{block} .js-plotly-plot .main-svg", timeout=20_000)


@contextmanager
def served(found: list[Source], find: Find | None = None) -> Iterator[str]:
    """The dashboard in a thread."""
    server = make_server("127.0.0.1", 0, Application(found, find=find), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def recorded(out: Path, name: str = "tiny_study") -> Ledger:
    """A search of the tiny study, as yet without a trial."""
    folder = out / name
    folder.mkdir(parents=True)
    return Ledger(load_study(str(TINY), trials=60), name, open_storage(f"sqlite:///{folder}/study.db"))


def trained(book: Ledger, error: float, epochs: int = 4, end: str = "finish") -> int:
    """A trial that ends so."""
    asked = book.ask()
    assert asked is not None
    for epoch in range(1, epochs + 1):
        row = dict.fromkeys(ROW, 1.0) | {"epoch": epoch, "error": error + epochs - epoch, "images": 64}
        book.report(asked.number, row)
    if end == "fail":
        book.fail(asked.number, f"broke {HOSTILE}")
    elif end:
        getattr(book, end)(asked.number)
    return asked.number


def place(seen: Seen, choose: Callable[..., Any]) -> tuple[float, float, int]:
    """Where on the screen the left- or rightmost point of the Pareto figure is, and its trial."""
    points = seen.page.evaluate(
        """() => { const figure = document.querySelector("#block-pareto .js-plotly-plot");
        const box = figure.getBoundingClientRect(), {xaxis, yaxis} = figure._fullLayout;
        return figure._fullData.filter((trace) => trace.customdata && trace.mode !== "lines").flatMap((trace) =>
            Array.from(trace.x, (x, i) => [box.left + xaxis._offset + xaxis.d2p(x),
                box.top + yaxis._offset + yaxis.d2p(trace.y[i]), trace.customdata[i][0]])); }"""
    )
    found = choose(points)
    return found[0], found[1], int(found[2])


def retrained(folder: Path, study_id: str | None, trial: int, errors: Sequence[float], epochs: int = 20) -> Path:
    """A model's record as `retrain` leaves it, and the curves of its seeds; the weights are not there."""
    place = folder / "models" / f"{trial:06d}-{epochs}"
    place.mkdir(parents=True)
    seeds = [Seed(1000 + i, error, "averaged", {"averaged": error}) for i, error in enumerate(sorted(errors))]
    facts = Facts(
        study=folder.name,
        trial=trial,
        params={},
        metric="pixel_diff",
        unit="px",
        error=min(errors),
        params_count=1,
        flops=1,
        score=None,
        epochs=epochs,
        seeds=seeds,
        teacher=None,
        data={},
        weights_sha256="",
        versions={},
        made="2026-11-26T12:00:00+00:00",
        study_id=study_id,
        lost=(Loser(trial + 1, 5, 20.0, 3.25),),
    )
    (place / FACTS).write_text(json.dumps(facts.record()))
    rows = [
        [dict.fromkeys(ROW, 1.0) | {"epoch": e, "error": seed.error + epochs - e} for e in (1, epochs)]
        for seed in seeds
    ]
    (place / CURVES).write_text(json.dumps(rows))
    return place


def answered(folder: Path, number: int, errors: Sequence[float], rows: Sequence[int], shared: Sequence[int]) -> None:
    """What a trial answered: mean errors of three points, and images of which the pictures are kept."""

    def example(rank: Any, row: int) -> Example:
        return Example(rank, row, errors[0] + row / 100, [[0.2, 0.3 + number / 50]] * 3, [[0.2, 0.3]] * 3)

    found = Answers(
        epoch=4,
        labels=["wrist", HOSTILE, "tip"],
        edges=[[0, 1], [1, 2]],
        errors=list(errors),
        quantiles=[max(errors) * i / 200 for i in range(201)],
        examples=[example("worst", row) for row in rows],
        unit="px",
        shared=[example("shared", row) for row in shared],
    )
    answers.save(found, folder, number)
    for row in (*rows, *shared):
        file = answers.picture(folder, row)
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (48, 48), (row % 200, 90, 90)).save(file)
