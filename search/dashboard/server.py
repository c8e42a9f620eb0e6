"""The dashboard as a server: our pages at /, Optuna's own at its usual paths, on one address, reading only."""

import gc
import gzip
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

import flask
import jinja2
import plotly
import waitress
from werkzeug.exceptions import HTTPException

from data.errors import UserError
from search.dashboard import pages
from search.dashboard.notes import Note, save
from search.dashboard.optuna_pages import OptunaPages
from search.dashboard.replies import Replies, dump, import_pandas
from search.dashboard.request import Request
from search.dashboard.source import Source
from search.results import answers
from search.signals import handle

HERE = Path(__file__).parent
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
SCRIPTS = tuple(HERE / "script" / f"{name}.js" for name in ("state", "figures", "tables", "notes", "page"))
"""The page's script, in the order of its parts."""

POLL_MS = 2000
"""How often the page asks whether something has changed."""

LARGEST = 4 << 20
"""Bytes of a request: a selection of 100,000 trials is 0.7 MB."""

OURS = ("/assets/", "/view/", "/file/", "/note/")
"""Where our own addresses begin; all others are Optuna's."""

Find = Callable[[Collection[str]], Sequence[Source]]
"""Finds the studies whose keys are not among these."""

LOCAL = ("127.0.0.1", "localhost", "[::1]")

# plotly compiles its WebGL shaders, hence 'unsafe-eval'; its styles are inline.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class Application:
    """The WSGI application."""

    def __init__(
        self,
        sources: Sequence[Source],
        hosts: Sequence[str] = LOCAL,
        find: Find | None = None,
        *,
        notes: bool = True,
    ) -> None:
        """For some studies.

        Args:
            sources: the studies.
            find: finds those that are not known yet, for a study may begin while this is open; None where that cannot
                be.
            hosts: names under which the server may be asked for. A page of a stranger that points its own name at this
                machine (DNS rebinding) is refused. '*' allows any.
            notes: whether trials may be given stars and notes here; nothing else is ever written.
        """
        self._sources = {source.key: source for source in sources}
        self._hosts, self._find, self._notes = hosts, find, notes
        self._finding = threading.Lock()
        self.replies = Replies(sources)
        self._optuna = OptunaPages(
            [source.reader for source in sources], [source.home / "artifacts" for source in sources]
        )
        self._flask = flask.Flask("posefront", static_folder=None)
        self._flask.config["MAX_CONTENT_LENGTH"] = LARGEST
        self._flask.after_request(secured)
        self._flask.register_error_handler(HTTPException, in_words)
        for path, answer in (
            ("/", self._index),
            ("/studies", self._studies),
            ("/assets/<name>", asset),
            ("/file/<key>/pictures/<int:row>.jpg", self._picture),
        ):
            self._flask.add_url_rule(path, view_func=answer)
        for path in ("/view/<key>/<page>", "/view/<key>/<page>/<int:number>"):
            self._flask.add_url_rule(path, view_func=self._view, methods=["POST"])
        self._flask.add_url_rule("/note/<key>/<int:number>", view_func=self._note, methods=["POST"])

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer a request: ours, or Optuna's."""
        if "*" not in self._hosts and host_of(environ) not in self._hosts:
            start("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"This dashboard does not answer under that name; name it with --host.\n"]
        ours = environ["PATH_INFO"] in ("/", "/studies") or environ["PATH_INFO"].startswith(OURS)
        if ours:
            return self._flask(environ, start)
        import_pandas()  # which Optuna's pages would import beside ours
        return self._optuna(environ, start)

    def refresh(self) -> None:
        """Take up studies that have begun since."""
        if self._find is None or not self._finding.acquire(blocking=False):
            return
        try:
            with suppress(UserError):  # of a storage that cannot be read just now; what is known goes on being shown
                found = self._find(self._sources)
                self._optuna.add([source.reader for source in found], [source.home / "artifacts" for source in found])
                self.replies.add(found)
                self._sources |= {source.key: source for source in found}
        finally:
            self._finding.release()

    def _studies(self) -> flask.Response:
        """Keys and names of the studies, as JSON."""
        self.refresh()
        return flask.Response(
            dump(listed(self._sources.values())), mimetype="application/json", headers={"Cache-Control": "no-store"}
        )

    def _index(self) -> flask.Response:
        """The page's frame, which the script fills."""
        self.refresh()
        page = frame(list(self._sources.values()), pages.PAGES, poll=POLL_MS, notes=self._notes)
        return flask.Response(page, mimetype="text/html", headers={"Cache-Control": "no-store"})

    def _view(self, key: str, page: str, number: int | None = None) -> flask.Response:
        """A page, or a part of one that is asked for by itself, as JSON."""
        try:
            request = Request.of(flask.request.get_json())
        except (TypeError, ValueError, AttributeError, OverflowError, RecursionError):
            flask.abort(400)
        reply: str | None
        try:
            if page in pages.LATER:
                reply = self.replies.part(key, page, -1 if number is None else number, request)
            else:
                reply = self.replies.page(key, page, number, request, self._optuna.address)
        except pages.AbsentError:
            flask.abort(404)
        if reply is None:
            return flask.Response(status=204)
        return flask.Response(reply, mimetype="application/json", headers={"Cache-Control": "no-store"})

    def _note(self, key: str, number: int) -> flask.Response:
        """Keep the star and the note of a trial, sent by the dashboard's own page."""
        if not self._notes:
            flask.abort(403, "this dashboard was started with --read-only")
        if not own_page(flask.request.environ):
            flask.abort(403, "notes are taken from the dashboard's own page alone")
        source = self._sources.get(key)
        try:
            note = Note.of(flask.request.get_json())
        except (TypeError, ValueError, RecursionError) as mistake:
            flask.abort(400, str(mistake))
        try:
            if source is None or number not in source.view().by_number:
                flask.abort(404)
            if source.folder != source.home:
                flask.abort(409, f"{source.home} holds the results of another study of this name")
            save(source.folder, source.reader.study_id, number, note)
        except UserError as mistake:
            flask.abort(409, str(mistake))
        return flask.Response(status=204)

    def _picture(self, key: str, row: int) -> flask.Response:
        if key not in self._sources:
            flask.abort(404)
        file = answers.picture(self._sources[key].folder, row)
        if not file.is_file():
            flask.abort(404)
        return flask.send_file(file.absolute(), mimetype="image/jpeg", max_age=3600, conditional=True)


def asset(name: str) -> flask.Response:
    """A script or the style sheet."""
    if name == "page.css":
        return flask.Response(style(), mimetype="text/css")
    if name == "page.js":
        return flask.Response(script(), mimetype="text/javascript", headers={"Cache-Control": "no-cache"})
    if name != "plotly.min.js":
        flask.abort(404)
    if not flask.request.accept_encodings["gzip"]:
        return flask.send_file(PLOTLY, mimetype="text/javascript", max_age=0, conditional=True)
    packed = flask.send_file(
        BytesIO(plotly_packed()),
        mimetype="text/javascript",
        max_age=0,
        conditional=True,
        etag=f"gzip-{plotly.__version__}",
    )
    packed.headers.update({"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
    return packed


@cache
def plotly_packed() -> bytes:
    """Plotly's script compressed in 0.1 s: 1.5 MB instead of 4.8."""
    return gzip.compress(PLOTLY.read_bytes(), 4, mtime=0)


def script() -> str:
    """The page's script."""
    parts = "\n".join(part.read_text(encoding="utf-8") for part in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def secured(response: flask.Response) -> flask.Response:
    """A response that lets the browser load nothing from elsewhere."""
    response.headers.update(SECURITY)
    return response


def in_words(error: HTTPException) -> tuple[str, int, dict[str, str]]:
    """A refusal as one line of text; what we say of our own accord stands in the place of its name."""
    usual = error.description is None or error.description == type(error).description
    said = f"{error.code} {error.name}" if usual else error.description
    return f"{said}\n", error.code or 500, {"Content-Type": "text/plain"}


def host_of(environ: WSGIEnvironment) -> str:
    """Under which name the server was asked for, without the port."""
    name: str = environ.get("HTTP_HOST", "")
    head, colon, port = name.rpartition(":")
    return head if colon and port.isdigit() else name


def own_page(environ: WSGIEnvironment) -> bool:
    """Whether a request comes from a page of this server: browsers say from which in each request that may write."""
    origin, host = environ.get("HTTP_ORIGIN", ""), environ.get("HTTP_HOST", "")
    return (
        bool(host) and urlsplit(origin).netloc == host and environ.get("HTTP_SEC_FETCH_SITE") in (None, "same-origin")
    )


def frame(
    sources: Sequence[Source],
    shown: Sequence[tuple[str, str]],
    *,
    poll: int = 0,
    notes: bool = False,
    offline: Mapping[str, Any] | None = None,
    inline: Mapping[str, str] | None = None,
) -> str:
    """The page's frame, which its script fills.

    The script asks for news every `poll` milliseconds, unless that is 0, and lets `notes` be written. A report has
    every answer by its path, and the texts of `css`, `js` and `plotly`, and when it was `made`.
    """
    boot = dump({"studies": listed(sources), "pages": shown, "poll": poll, "notes": notes, "offline": offline})
    template = jinja2.Environment(autoescape=True, loader=jinja2.FileSystemLoader(HERE)).get_template("page.html")
    title = " - ".join([*([", ".join(source.name for source in sources)] if sources else []), "posefront"])
    return template.render(
        title=title, inline=inline, several=len(sources) > 1, boot=boot.replace("<", "\\u003c")
    )  # it stands in a <script>


def listed(sources: Iterable[Source]) -> list[dict[str, str]]:
    """Key and name of each study, as the page's script has them."""
    return [{"key": source.key, "name": source.name} for source in sources]


def style() -> str:
    """The page's style and that of the fragments."""
    return "".join((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "fragments.css"))


def serve(
    sources: Sequence[Source], find: Find, host: str, port: int, ready: Callable[[str], None], *, notes: bool = True
) -> None:
    """Serve until Ctrl-C, SIGTERM or SIGHUP.

    Args:
        sources: the studies.
        find: finds those that begin later, see `Application`.
        host: address to listen on.
        port: 0 takes a free one.
        ready: called with the address once it answers.
        notes: whether trials may be given stars and notes.

    Raises:
        UserError: the address cannot be listened on.
    """
    os.nice(5)  # training goes first
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a request that waits its turn is no news
    gc.set_threshold(200_000, 20, 50)  # 10,000 trials are a million objects that stay: 1.3 s instead of 1.7 to read
    hosts = (*LOCAL, host) if host in ("127.0.0.1", "localhost", "::1") else ("*",)
    application = Application(sources, hosts, find, notes=notes)
    try:
        server = waitress.create_server(
            application, host=host, port=port, threads=6, ident=None, channel_timeout=60, max_request_body_size=LARGEST
        )
    except OSError as error:
        raise UserError(
            f"cannot listen on {host} port {port} ({error.strerror or error}); give --port another number (0 takes a "
            "free one), or --host an address of this machine."
        ) from error

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    handle(end)  # waitress ends at a KeyboardInterrupt alone
    ready(f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{server.effective_port}/")  # noqa: S104
    threading.Thread(target=application.replies.warm, daemon=True).start()
    try:
        server.run()
    finally:
        server.close()
