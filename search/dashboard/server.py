"""The dashboard as a server: our pages at /, Optuna's own at its usual paths, on one address, reading only."""

import gc
import importlib
import json
import logging
import os
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flask
import plotly
import waitress
from plotly.utils import PlotlyJSONEncoder
from werkzeug.exceptions import HTTPException

from data.errors import UserError
from search.dashboard import pages, shelf
from search.dashboard.now import Machine
from search.dashboard.reader import GoneError
from search.dashboard.source import Source
from search.results import ablation, answers
from search.results.view import View

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

HERE = Path(__file__).parent
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
POLL_MS = 2000
"""How often the page asks whether something has changed."""

LARGEST = 4 << 20
"""Bytes of a request: a selection of 100,000 trials is 0.7 MB."""

KEPT = 24
"""Answers kept, so that a second window costs nothing."""

OURS = ("/assets/", "/view/", "/file/")
"""Where our own addresses begin; all others are Optuna's."""

LOCAL = ("127.0.0.1", "localhost", "[::1]")

# plotly compiles its WebGL shaders, hence 'unsafe-eval'; its styles are inline.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Asked:
    """What the page's script asks for.

    Attributes:
        revision: of the page that it shows; None for none.
        chosen: trials of a selection; None for all.
        choices: what the page's lists are set to.
    """

    revision: str | None = None
    chosen: frozenset[int] | None = None
    choices: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, said: Any) -> "Asked":
        """From JSON.

        Raises:
            TypeError, ValueError, AttributeError: it is malformed.
        """
        chosen = said.get("chosen")
        choices = sorted((str(name), str(value)) for name, value in (said.get("choices") or {}).items())
        return cls(said.get("revision"), None if chosen is None else frozenset(map(int, chosen)), tuple(choices))


class Pages:
    """Answers for the page's script, made once for each state of a study and each selection."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = {source.key: source for source in sources}
        self.why: dict[str, str] = {}  # why a study cannot be shown, by its key
        self._machine = Machine()
        self._kept: OrderedDict[tuple[Any, ...], str] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, key: str, page: str, number: int | None, asked: "Asked") -> str | None:
        """A page as JSON, or None where the browser has it already.

        Args:
            key: of the study.
            page: one of pages.PAGES, or 'trial'.
            number: of the trial.
            asked: what the browser has and wants.

        Raises:
            AbsentError: there is no such study or page.
        """
        source = self._source(key)
        state, views = self._views(source if page != "progress" else None)
        if key not in views:
            said = self.why[key]
            return dump({"revision": said, "title": f"{source.name} - posefront", "sentence": said})
        chosen, choices = asked.chosen, dict(asked.choices)
        state = (*state, answered(source, number))
        if page == "now":
            return dump(self._page(source, views, page, number, chosen, choices))
        revision = str(hash(state))
        if asked.revision == revision:
            return None
        slot = (state, page, key, number, chosen, asked.choices)
        if known := self._known(slot):
            return known
        made = dump({"revision": revision, **self._page(source, views, page, number, chosen, choices)})
        return self._keep(slot, made)

    def warm(self) -> None:
        """Read the studies and make each one's first page while the browser is still loading the script."""
        for key in self.sources:
            self.answer(key, pages.PAGES[0][0], None, Asked())

    def _source(self, key: str) -> Source:
        if key not in self.sources:
            raise pages.AbsentError(key)
        return self.sources[key]

    def _views(self, only: Source | None) -> tuple[tuple[Any, ...], dict[str, View]]:
        """The studies as they are now, and what changes when they do; a deleted one is missing."""
        found, state = {}, []
        for source in self.sources.values() if only is None else (only,):
            before = source.reader.revision  # if another thread reads meanwhile, what is sent now is sent once more
            try:
                found[source.key] = source.reader.read()
            except GoneError:
                self.why[source.key] = (
                    f"The study {source.name!r} is no longer in its storage: it was deleted or moved. "
                    "Start the search again, and this page goes on."
                )
                continue
            except UserError as mistake:
                self.why[source.key] = pages.capital(mistake)
                continue
            state.append((source.key, max(1, before), source.reader.stale))
        return tuple(state), found

    def _page(
        self,
        source: Source,
        views: Mapping[str, View],
        page: str,
        number: int | None,
        chosen: frozenset[int] | None,
        choices: Mapping[str, str],
    ) -> dict[str, Any]:
        """One page with its frame."""
        whole()
        with pages.DRAWING:
            return pages.page(
                source,
                views,
                page,
                number=number,
                chosen=chosen,
                choices=choices,
                href=partial(picture_of, source.key),
                machine=self._machine,
            )

    def part(self, key: str, what: str, number: int, asked: "Asked") -> str:
        """One of pages.LATER, as JSON.

        Args:
            key: of the study.
            what: which part.
            number: of the trial; of the importances it says how old they may be.
            asked: with the trials of a selection.

        Raises:
            AbsentError: there is no such study or trial.
        """
        source, chosen = self._source(key), asked.chosen
        slot = (key, what, number, chosen)
        if known := self._known(slot):
            return known
        view = self._views(source)[1].get(key)
        if view is None:
            raise pages.AbsentError(key)
        whole()
        shown = view if chosen is None else view.only(chosen)
        return self._keep(slot, dump(pages.part(source, shown, what, number, partial(picture_of, key))))

    def _known(self, slot: tuple[Any, ...]) -> str | None:
        """An answer that was made before."""
        with self._lock:
            if slot in self._kept:
                self._kept.move_to_end(slot)
            return self._kept.get(slot)

    def _keep(self, slot: tuple[Any, ...], made: str) -> str:
        """Remember an answer and forget the oldest."""
        with self._lock:
            self._kept[slot] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made


def answered(source: Source, number: int | None) -> float:
    """When what a trial answered, or its ablation, was last written; 0 where neither was."""
    newest = 0.0
    for file in (
        () if number is None else (answers.file(source.folder, number), ablation.file_of(source.folder, number))
    ):
        with suppress(OSError):
            newest = max(newest, file.stat().st_mtime)
    return newest


def picture_of(key: str, row: int) -> str:
    """The address of the picture of a data-set row of the study `key`."""
    return f"file/{key}/pictures/{row}.jpg"


def whole() -> None:
    """Import pandas, or wait until another thread has.

    plotly looks for it in sys.modules, to know its columns when it meets them, and fails with an AttributeError on one
    that is half imported: as scikit-learn, behind a study's file or Optuna's pages, leaves it for a second.
    """
    importlib.import_module("pandas")


def dump(payload: Mapping[str, Any]) -> str:
    """JSON with figures in it; what is no number becomes null."""
    return json.dumps(payload, cls=PlotlyJSONEncoder, separators=(",", ":"))


def application(sources: Sequence[Source], hosts: Sequence[str] = LOCAL) -> Callable[..., Iterable[bytes]]:
    """The WSGI application.

    Args:
        sources: the studies; at least one.
        hosts: names under which the server may be asked for. A page of a stranger that points its own name at this
            machine (DNS rebinding) is refused. '*' allows any.
    """
    app = flask.Flask("posefront", static_folder=None, template_folder=str(HERE))
    app.config["MAX_CONTENT_LENGTH"] = LARGEST
    made = Pages(sources)
    boot = {
        "studies": [{"key": source.key, "name": source.name} for source in sources],
        "pages": pages.PAGES,
        "poll": POLL_MS,
        "offline": None,
    }

    @app.after_request
    def secure(response: flask.Response) -> flask.Response:
        response.headers.update(
            {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
        )
        return response

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> tuple[str, int, dict[str, str]]:
        return f"{error.code} {error.name}\n", error.code or 500, {"Content-Type": "text/plain"}

    @app.get("/")
    def index() -> flask.Response:
        title = f"{', '.join(source.name for source in sources)} - posefront"
        page = flask.render_template("page.html", title=title, inline=None, boot=in_script(json.dumps(boot)))
        response = flask.Response(page, mimetype="text/html")
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/assets/<name>")
    def asset(name: str) -> flask.Response:
        known = {"plotly.min.js": PLOTLY, "page.js": HERE / "page.js"}
        if name == "page.css":
            return flask.Response(style(), mimetype="text/css")
        if name not in known:
            flask.abort(404)
        return flask.send_file(known[name], mimetype="text/javascript", max_age=0, conditional=True)

    @app.post("/view/<key>/<page>")
    @app.post("/view/<key>/<page>/<int:number>")
    def view(key: str, page: str, number: int | None = None) -> flask.Response:
        try:
            asked = Asked.of(flask.request.get_json())
        except (TypeError, ValueError, AttributeError, RecursionError):
            flask.abort(400)
        try:
            if page in pages.LATER:
                answer: str | None = made.part(key, page, -1 if number is None else number, asked)
            else:
                answer = made.answer(key, page, number, asked)
        except pages.AbsentError:
            flask.abort(404)
        if answer is None:
            return flask.Response(status=204)
        return flask.Response(answer, mimetype="application/json", headers={"Cache-Control": "no-store"})

    @app.get("/file/<key>/pictures/<int:row>.jpg")
    def picture(key: str, row: int) -> flask.Response:
        if key not in made.sources:
            flask.abort(404)
        file = answers.picture(made.sources[key].folder, row)
        if not file.is_file():
            flask.abort(404)
        return flask.send_file(file.absolute(), mimetype="image/jpeg", max_age=3600, conditional=True)

    threading.Thread(target=made.warm, daemon=True).start()
    optuna = shelf.app([source.reader for source in sources], [source.folder / "artifacts" for source in sources])

    def both(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        if "*" not in hosts and host_of(environ) not in hosts:
            start("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"This dashboard does not answer under that name; name it with --host.\n"]
        ours = environ["PATH_INFO"] == "/" or environ["PATH_INFO"].startswith(OURS)
        return (app if ours else optuna)(environ, start)

    return both


def host_of(environ: "WSGIEnvironment") -> str:
    """Under which name the server was asked for, without the port."""
    name: str = environ.get("HTTP_HOST", "")
    head, colon, port = name.rpartition(":")
    return head if colon and port.isdigit() else name


def in_script(text: str) -> str:
    """JSON that can stand in a <script>."""
    return text.replace("<", "\\u003c")


def style() -> str:
    """The page's style and that of the fragments."""
    return "".join((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "fragments.css"))


def serve(sources: Sequence[Source], host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        sources: the studies.
        host: address to listen on.
        port: 0 takes a free one.
        ready: called with the address once it answers.

    Raises:
        UserError: the address cannot be listened on.
    """
    os.nice(5)  # training goes first
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a request that waits its turn is no news
    gc.set_threshold(200_000, 20, 50)  # 10,000 trials are a million objects that stay: 1.3 s instead of 1.7 to read
    names = (*LOCAL, host) if host in ("127.0.0.1", "localhost", "::1") else ("*",)
    try:
        server = waitress.create_server(
            application(sources, names),
            host=host,
            port=port,
            threads=6,
            ident=None,
            channel_timeout=60,
            max_request_body_size=LARGEST,
        )
    except OSError as error:
        raise UserError(
            f"cannot listen on {host} port {port} ({error.strerror or error}); give --port another number (0 takes a "
            "free one), or --host an address of this machine."
        ) from error

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    ready(f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{server.effective_port}/")  # noqa: S104
    try:
        server.run()
    finally:
        server.close()
