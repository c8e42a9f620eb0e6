"""What the page's script is answered: pages as JSON, made once for each state of a study and each selection."""

import importlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

from plotly.utils import PlotlyJSONEncoder

from data.errors import UserError
from search.after import models
from search.dashboard import notes, pages
from search.dashboard.parts import retrained, why
from search.dashboard.parts.now import Machine
from search.dashboard.parts.workers import driver_lives
from search.dashboard.reader import GoneError, Reader
from search.dashboard.request import Request
from search.dashboard.source import Source
from search.results import ablation, answers
from search.results.view import View

REST = 5.0
"""Seconds between the first pages and what is made before it is asked for."""

KEPT = 24
"""Replies kept, so that a second window costs nothing."""


class Replies:
    """Pages of some studies; any thread may ask."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = {source.key: source for source in sources}  # replaced, never changed: other threads read it
        self._why: dict[str, str] = {}  # why a study cannot be shown, by its key
        self._machine = Machine()
        self._kept: OrderedDict[tuple[Any, ...], str] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, sources: Sequence[Source]) -> None:
        """More studies."""
        self._sources = self._sources | {source.key: source for source in sources}

    def warm(self) -> None:
        """Make each study's first page while the browser loads the script, then count what the Why page waits for."""
        for key in list(self._sources):
            self.page(key, pages.PAGES[0][0], None, Request())
        time.sleep(REST)  # those who have just opened a page ask for more of it
        import_pandas()
        for source in list(self._sources.values()):
            with suppress(UserError):  # its page says why
                view = source.view()
                why.remembered(view, why.targets(view)[0][0])

    def page(
        self,
        key: str,
        name: str,
        number: int | None,
        request: Request,
        optuna: Callable[[Reader, int | None], str] | None = None,
    ) -> str | None:
        """A page, one of pages.PAGES or 'trial', as JSON, or None where the browser has it already.

        `optuna` says where a study, or a trial of it, is among Optuna's own pages.

        Raises:
            AbsentError: there is no such study or page.
        """
        source = self._source(key)
        state, views = self._views(None if name in pages.SEVERAL else source)
        if key not in views:
            reason = self._why[key]
            return dump({"revision": reason, "title": f"{source.name} - posefront", "sentence": reason})
        lives = driver_lives(source.reader.driver()) if views[key].by_state["running"] else None
        state = (*state, lives, last_written(source, request.ticked if number is None else (number,)))
        if name == "now":
            with pages.DRAWING:
                return dump(self._page(source, views, name, number, request, lives))
        revision = str(hash(state))
        if request.revision == revision:
            return None
        slot = (state, name, key, number, request.slot)
        if (reply := self._recall(slot)) is not None:  # which waits for nobody's drawing
            return reply
        with pages.DRAWING:
            if (reply := self._recall(slot)) is None:  # nor did another thread make it meanwhile
                content = self._page(source, views, name, number, request, lives)
                if optuna is not None:
                    with suppress(UserError):  # gone since
                        content["optuna"] = optuna(source.reader, number)
                reply = self._keep(slot, dump({"revision": revision, **content}))
        return reply

    def part(self, key: str, what: str, number: int, request: Request) -> str:
        """One of pages.LATER, as JSON; of importances the number says how old they may be.

        Raises:
            AbsentError: there is no such study or trial.
        """
        source, slot = self._source(key), (key, what, number, request.chosen, request.filter)
        if (reply := self._recall(slot)) is not None:
            return reply
        view = self._views(source)[1].get(key)
        if view is None:
            raise pages.AbsentError(key)
        shown = view if what in ("network", "layers") else pages.narrowed(view, request)[1]
        content = pages.part(source, shown, what, number, partial(picture_address, key))
        with pages.DRAWING:
            return self._keep(slot, dump(content))

    def _source(self, key: str) -> Source:
        if key not in self._sources:
            raise pages.AbsentError(key)
        return self._sources[key]

    def _views(self, only: Source | None) -> tuple[tuple[Any, ...], dict[str, View]]:
        """The studies as they are now, and what changes when they do; a deleted one is missing."""
        views, state = {}, []
        for source in self._sources.values() if only is None else (only,):
            before = source.reader.revision  # if another thread reads meanwhile, what is sent now is sent once more
            try:
                views[source.key] = source.view()
            except GoneError:
                self._why[source.key] = (
                    f"The study {source.name!r} is no longer in its storage: it was deleted or moved. "
                    "Start the search again, and this page goes on."
                )
                continue
            except UserError as mistake:
                self._why[source.key] = pages.capital(mistake)
                continue
            state.append((source.key, max(1, before), source.reader.stale))
        return tuple(state), views

    def _page(
        self,
        source: Source,
        views: Mapping[str, View],
        name: str,
        number: int | None,
        request: Request,
        lives: bool | None,
    ) -> dict[str, Any]:
        return pages.page(
            source,
            views,
            name,
            number=number,
            request=request,
            href=partial(picture_address, source.key),
            machine=self._machine,
            lives=lives,
        )

    def _recall(self, slot: tuple[Any, ...]) -> str | None:
        with self._lock:
            if slot in self._kept:
                self._kept.move_to_end(slot)
            return self._kept.get(slot)

    def _keep(self, slot: tuple[Any, ...], reply: str) -> str:
        """Remember a reply and forget the oldest."""
        with self._lock:
            self._kept[slot] = reply
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return reply


def last_written(source: Source, numbers: Iterable[int]) -> float:
    """When models, or what trials answered, or their ablations, were last written; 0 where none was."""
    newest = max(models.written(source.folder), notes.written(source.folder) / 1e9)
    for number in numbers:
        newest = max(newest, retrained.changed(source.folder, number))
        for file in (answers.file(source.folder, number), ablation.file_of(source.folder, number)):
            with suppress(OSError):
                newest = max(newest, file.stat().st_mtime)
    return newest


def picture_address(key: str, row: int) -> str:
    """The address of the picture of a data-set row of the study `key`."""
    return f"file/{key}/pictures/{row}.jpg"


@cache
def import_pandas() -> None:
    """Import pandas while nothing is drawn.

    plotly looks for it in sys.modules, to know its columns when it meets them, and fails with an AttributeError on one
    that is half imported: as scikit-learn or Optuna's pages leave it for a second.
    """
    with pages.DRAWING:
        importlib.import_module("pandas")


def dump(payload: Any) -> str:
    """JSON with figures in it; what is no number becomes null."""
    return json.dumps(payload, cls=PlotlyJSONEncoder, separators=(",", ":"))
