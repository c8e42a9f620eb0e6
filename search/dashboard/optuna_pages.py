"""Optuna's own dashboard over several studies, each in its own storage, and without its power to write."""

import copy
import json
import re
from collections.abc import Collection, Container, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, NoReturn
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from werkzeug.wrappers import Response

from data.errors import UserError
from search.dashboard.reader import Reader, State

OF_A_TRIAL = re.compile(r"(dashboard:(?:artifacts:)?)([0-9]+)(:.*)", re.DOTALL)
"""Attributes of a study that are a trial's note or an old artifact of it: its id is in their name."""

OF_A_STUDY = re.compile(r"/(?:api/studies|csv|artifacts)/([0-9]{1,15})(?:/.*)?", re.DOTALL)
AN_ARTIFACT = re.compile(r"/artifacts/[0-9]{1,15}/(?:([0-9]{1,15})/)?([0-9a-fA-F-]+)")
SLOTS = 1000
"""Studies that there may be."""

LONG = ("curve", "config")
"""Attributes that Optuna's page of a trial would show on one line, 8,000 pixels wide; our own page has them."""

UNOFFERED = """<style>
button:is([aria-label="rename study"], [aria-label="delete study"]),
button:has(:is([data-testid="AddBoxIcon"], [data-testid="EditIcon"], [data-testid="DeleteIcon"])),
.MuiCard-root:has([data-testid="UploadFileIcon"]) { display: none !important; }
</style>
</head>"""
"""Ends the head of Optuna's pages: what they offer that would write is not shown, for it is refused."""

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class ReadOnlyError(Exception):
    """Something was about to be written."""


def refuse(*_: Any, **__: Any) -> NoReturn:
    """What stands in the place of everything that writes."""
    raise ReadOnlyError("this dashboard never writes to a study")


class CombinedStorage(BaseStorage):
    """Several studies as one storage of Optuna's that cannot be written.

    Trial t of the i-th study is t * SLOTS + i here, and the study is i + 1 + SLOTS * (times that another study was
    found under its name): unique, known without asking, and the same when studies are added. Trials are shared, never
    copied deeply: no page of Optuna's changes one, and 10,000 take seconds to copy. A study that cannot be read just
    now isn't in it.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers: tuple[Reader, ...] = ()
        self._names: list[str] = []
        self._lock = Lock()
        self._copies: dict[int, tuple[State, dict[int, FrozenTrial]]] = {}
        self.add(readers)

    def add(self, readers: Sequence[Reader]) -> None:
        """More studies, behind the others."""
        self._names = unique([*self._names, *(printable(reader.name) for reader in readers)])
        self._readers = (*self._readers, *readers)[:SLOTS]

    def number(self, reader: Reader) -> int:
        """A study's id here, as it is now. Raises UserError where it cannot be read."""
        return self._readers.index(reader) + 1 + reader.state().life * SLOTS

    def reader(self, study_id: int) -> Reader:
        """Who reads a study; of an id that isn't in it, any."""
        return self._readers[self._index(study_id)]

    def holds(self, study_id: int, trial_id: int | None = None) -> bool:
        """Whether a study, and a trial of it, can be read now."""
        try:
            state = self._state(study_id)
            return trial_id is None or trial_id in self._trials(self._index(study_id), state)
        except KeyError:
            return False

    def get_all_studies(self) -> list[FrozenStudy]:
        """All that can be read now, in the order in which they were given."""
        studies = []
        for index, reader in enumerate(self._readers):
            with suppress(UserError):  # its pages answer 404, and our own say why
                studies.append(self._study(index, reader.state()))
        return studies

    def get_study_id_from_name(self, study_name: str) -> int:
        """The id here. Raises KeyError."""
        for study in self.get_all_studies():
            if study.study_name == study_name:
                return study._study_id
        raise KeyError(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """The name, made unique. Raises KeyError."""
        self._state(study_id)
        return self._names[self._index(study_id)]

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """As the study has them. Raises KeyError."""
        return list(self._state(study_id).study.directions)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """As the study has them. Raises KeyError."""
        return dict(self._state(study_id).study.user_attrs)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """As the study has them, notes under the trials' ids here. Raises KeyError."""
        return self._study(self._index(study_id), self._state(study_id)).system_attrs

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial by its id here. Raises KeyError."""
        index = trial_id % SLOTS
        try:
            state = self._readers[index].state()
        except (IndexError, UserError) as error:
            raise KeyError(trial_id) from error
        return self._trials(index, state)[trial_id]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: ARG002 - see the class
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """By number. Raises KeyError."""
        trials = self._trials(self._index(study_id), self._state(study_id)).values()
        return [trial for trial in trials if states is None or trial.state in states]

    create_new_study = delete_study = set_study_user_attr = set_study_system_attr = refuse
    create_new_trial = set_trial_param = set_trial_state_values = set_trial_intermediate_value = refuse
    set_trial_user_attr = set_trial_system_attr = refuse

    def _index(self, study_id: int) -> int:
        return (study_id - 1) % SLOTS

    def _state(self, study_id: int) -> State:
        try:
            state = self._readers[self._index(study_id)].state()
        except (IndexError, UserError) as error:
            raise KeyError(study_id) from error
        if state.life != (study_id - 1) // SLOTS:
            raise KeyError(study_id)
        return state

    def _study(self, index: int, state: State) -> FrozenStudy:
        def here(match: re.Match[str]) -> str:
            return f"{match[1]}{int(match[2]) * SLOTS + index}{match[3]}"

        study = state.study
        system = {OF_A_TRIAL.sub(here, key, count=1): value for key, value in study.system_attrs.items()}
        key = index + 1 + state.life * SLOTS
        return FrozenStudy(
            self._names[index], None, dict(study.user_attrs), system, key, directions=list(study.directions)
        )

    def _trials(self, index: int, state: State) -> dict[int, FrozenTrial]:
        """A study's trials by their ids here; one that hasn't changed stays the same object."""
        with self._lock:
            before, copies = self._copies.get(index, (None, {}))
            if before is not None and before.revision == state.revision:
                return copies
            same = {id(trial) for trial in before.trials} if before else set()
            trials = {}
            for trial in state.trials:
                key = trial._trial_id * SLOTS + index
                if id(trial) in same:
                    trials[key] = copies[key]
                    continue
                trials[key] = copy.copy(trial)
                trials[key]._trial_id = key
                trials[key].user_attrs = {name: value for name, value in trial.user_attrs.items() if name not in LONG}
            self._copies[index] = state, trials
            return trials


class ArtifactFolders:
    """The artifacts in several folders, to read."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(folders)

    def add(self, folders: Iterable[Path]) -> None:
        """More folders."""
        self._folders = (*self._folders, *folders)

    def file(self, artifact_id: str) -> Path | None:
        """Where an artifact is; None if nowhere, or not in the folder itself (a link that leads out of it)."""
        if UUID.fullmatch(artifact_id):
            for folder in self._folders:
                file = (folder / artifact_id).resolve()
                if file.is_file() and file.parent == folder.resolve():
                    return file
        return None

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """An artifact's bytes.

        Raises:
            ArtifactNotFound: there is none.
        """
        file = self.file(artifact_id)
        if file is None:
            raise ArtifactNotFound(artifact_id)
        return file.open("rb")

    write = remove = staticmethod(refuse)


class OptunaPages:
    """Optuna's dashboard as a WSGI application, at its usual paths."""

    def __init__(self, readers: Sequence[Reader], folders: Iterable[Path]) -> None:
        """For the studies of some readers, and the folders of their artifacts, which need not exist."""
        self._storage, self._artifacts = CombinedStorage(readers), ArtifactFolders(folders)
        self._importing = Lock()
        self._app: WSGIApplication | None = None

    def add(self, readers: Sequence[Reader], folders: Iterable[Path]) -> None:
        """More studies, behind the others."""
        self._storage.add(readers)
        self._artifacts.add(folders)

    def address(self, reader: Reader, number: int | None = None) -> str:
        """Where a study is shown, or one of its trials. Raises UserError where it cannot be read."""
        study = f"dashboard/studies/{self._storage.number(reader)}"
        return study if number is None else f"{study}/trials?numbers={number}"

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer a request that reads what is there; refuse all others."""
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")  # Optuna's fails on a request without one
        path = environ.get("PATH_INFO", "").rstrip("/")
        study = OF_A_STUDY.fullmatch(path)
        key = int(study[1]) if study else 1
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            url = self._storage.reader(key).url if self._storage.holds(key) else "URL"
            reason = f"this dashboard never writes to a study; run optuna-dashboard {url} to edit it."
            return answer(start, "403 Forbidden", reason)
        if path.startswith(("/api/studies/", "/csv/")) and (study is None or not self._storage.holds(key)):
            return answer(start, "404 Not Found", "there is no such study")
        if path.startswith("/artifacts/"):
            artifact = AN_ARTIFACT.fullmatch(path)
            trial = int(artifact[1]) if artifact and artifact[1] else None
            if artifact is None or not self._storage.holds(key, trial) or self._artifacts.file(artifact[2]) is None:
                return answer(start, "404 Not Found", "there is no such artifact")
            start = sandboxed(start)
        pages = self._pages()
        if path == "/dashboard" or path.startswith("/dashboard/"):
            return without_writing(pages, environ, start)
        return pages(environ, start)

    def _pages(self) -> WSGIApplication:
        """Optuna's application. The first request waits seconds for it: scikit-learn and pandas come with it."""
        with self._importing:
            if self._app is None:
                import optuna_dashboard

                self._app = optuna_dashboard.wsgi(self._storage, artifact_store=self._artifacts)
            return self._app


def answer(start: StartResponse, status: str, reason: str) -> list[bytes]:
    """A refusal as Optuna's pages expect it."""
    start(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [json.dumps({"reason": reason}).encode()]


def without_writing(pages: WSGIApplication, environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
    """One of Optuna's pages, without the buttons that would write."""
    reply = Response.from_app(pages, environ, buffered=True)
    if reply.mimetype == "text/html" and environ["REQUEST_METHOD"] == "GET" and reply.status_code == 200:
        reply.direct_passthrough = False
        reply.set_data(reply.get_data(as_text=True).replace("</head>", UNOFFERED, 1))
        for header in ("Last-Modified", "ETag"):
            reply.headers.pop(header, None)
    return list(reply(environ, start))


def sandboxed(start: StartResponse) -> StartResponse:
    """Headers of an artifact: a page in it runs no script here, and no other site reads it."""

    def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        kept = [(name, value) for name, value in headers if name.lower() != "access-control-allow-origin"]
        alone = [("Content-Security-Policy", "sandbox"), ("X-Content-Type-Options", "nosniff")]
        return start(status, [*kept, *alone], *more)

    return started


def printable(name: str) -> str:
    """A study's name that can stand in a header, as that of its CSV file does."""
    return "".join(letter if letter.isprintable() else " " for letter in name)


def unique(names: Collection[str]) -> list[str]:
    """The same names, each once: the second 'hands' becomes 'hands (2)'."""
    unique_names: list[str] = []
    for name in names:
        candidate, count = name, 1
        while candidate in unique_names:
            count += 1
            candidate = f"{name} ({count})"
        unique_names.append(candidate)
    return unique_names
