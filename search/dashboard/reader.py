"""A study that is looked at while it is searched: read again and again, by several threads, and never written."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import sqlalchemy as sa
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

from data.errors import UserError
from search.dashboard import tables
from search.dashboard.database import SCHEMA, Database, VersionError
from search.dashboard.tables import NoStudyError, Tables
from search.paths import absent
from search.results.view import View
from search.storage_url import without_passwords

METRIC_NAMES = "study:metric_names"
"""Where Optuna keeps what a study calls its values."""


class GoneError(UserError):
    """The study was there, and is no more; it may come back."""


@dataclass(frozen=True)
class State:
    """A study as its storage holds it at one moment."""

    study: FrozenStudy  # name, directions and attributes
    trials: tuple[FrozenTrial, ...]  # by number. One that hasn't changed since an earlier state is the same object.
    life: int  # grows when another study is found in the place of this one
    revision: int  # grows with every change; of this reader alone


class Reader:
    """A study in its storage. Any thread may use it.

    Attributes:
        name: of the study.
        url: of the storage, without a password.
        stale: why the last reading did not get through and gave what was read before; else empty.
    """

    def __init__(self, url: str, name: str) -> None:
        """For the study `name` in Optuna's relational storage; nothing is read yet.

        Raises:
            UserError: the URL is malformed, or its database's driver is missing.
        """
        self.name = name
        self.stale = ""
        self._lock = Lock()
        self._state: State | None = None
        self._view: View | None = None
        self._viewed = self._revision = 0
        self._stamp: int | None = None
        self.url = without_passwords(url)
        try:
            self._tables = Tables(url, name)
        except (sa.exc.ArgumentError, ValueError, ImportError) as error:
            raise unreadable(error, self.url) from error

    @property
    def revision(self) -> int:
        """How many states of the study were seen; 0 before the first."""
        return self._revision

    @property
    def study_id(self) -> str | None:
        """The study's own id, as it was read last; None of a study begun before there were any."""
        state = self._state or self.state()
        found: str | None = state.study.user_attrs.get("id")
        return found

    def read(self) -> View:
        """The study as it is now; the very same View as long as nothing changes.

        Where another process is keeping the database locked, or a server doesn't answer, it is what was read before,
        and `stale` says why.

        Raises:
            GoneError: it was read before and is no more: deleted, or its file moved.
            UserError: it cannot be read: no such file or study, no database of Optuna's, or one of another version.
        """
        with self._lock:
            state = self._refreshed()
            if self._view is None or self._viewed != state.revision:
                value_name = (state.study.system_attrs.get(METRIC_NAMES) or ["value"])[0]
                self._view = View.of(self.name, str(value_name), state.study.user_attrs, state.trials)
                self._viewed = state.revision
            return self._view

    def state(self) -> State:
        """The study as Optuna sees it. Raises what `read` does."""
        with self._lock:
            return self._refreshed()

    def driver(self) -> str | None:
        """What says whose driver the study has, as JSON; None where nothing does, or it cannot be read."""
        with self._lock:
            try:
                return self._tables.driver()
            except (sa.exc.SQLAlchemyError, OSError, VersionError):
                return None

    def close(self) -> None:
        """Let go of the storage; the next reading opens it again."""
        self._tables.close()

    def _refreshed(self) -> State:
        """The state as it is now; the previous one where nothing has changed or the database is busy."""
        previous = self._state
        try:
            stamp = self._tables.stamp()  # before reading: what is written meanwhile is read the next time
            if previous is not None and stamp is not None and stamp == self._stamp:
                self.stale = ""
                return previous
            study, trials = self._tables.read()
        except (NoStudyError, FileNotFoundError) as error:
            self._drop()
            raise self._absent(error) from error
        except (sa.exc.SQLAlchemyError, OSError, VersionError) as error:
            if not passing(error):
                self._drop()
            elif previous is not None:
                self.stale = str(unreadable(error, self.url))
                return previous
            raise unreadable(error, self.url) from error
        self.stale, self._stamp = "", stamp
        life = self._tables.life
        if previous is not None and previous.life == life and previous.study == study and same(previous.trials, trials):
            return previous
        self._revision += 1
        self._state = State(study, tuple(trials), life, self._revision)
        return self._state

    def _absent(self, error: Exception) -> UserError:
        """Why there is no study, or no file."""
        if self._revision:
            return GoneError(
                f"the study {self.name!r} is no longer in {self.url}: it was deleted or moved; once it is searched "
                "again, it is shown again."
            )
        return (
            absent(self.name, self._tables.names()) if isinstance(error, NoStudyError) else unreadable(error, self.url)
        )

    def _drop(self) -> None:
        self._state = self._view = self._stamp = None
        self._tables.close()


def names(url: str) -> list[str]:
    """The names of the studies in a storage, oldest first; nothing but the names is read.

    Raises:
        UserError: it cannot be read.
    """
    try:
        database = Database(url)
        try:
            return tables.names(database)
        finally:
            database.close()
    except (sa.exc.SQLAlchemyError, ValueError, ImportError, OSError, VersionError) as error:
        raise unreadable(error, without_passwords(url)) from error


def same(before: Sequence[FrozenTrial], now: Sequence[FrozenTrial]) -> bool:
    """Whether no trial has changed; one that hasn't is the same object."""
    return len(before) == len(now) and all(a is b for a, b in zip(before, now, strict=True))


def passing(error: Exception) -> bool:
    """Whether the same reading may succeed in a while: a locked file, a server that doesn't answer."""
    if not isinstance(error, sa.exc.OperationalError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return error.orig.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return True


def unreadable(error: Exception, url: str) -> UserError:
    """Why a storage cannot be read, in a sentence."""
    text = str(getattr(error, "orig", None) or error).strip()
    first = without_passwords(text.splitlines()[0].rstrip(".")) if text else type(error).__name__
    if isinstance(error, VersionError):
        versions = f"({error.version}, not {SCHEMA})"
        if error.newer:
            return UserError(
                f"the tables of {url} were made by a newer version of Optuna {versions} than this posefront reads; "
                "install a newer posefront."
            )
        return UserError(
            f"the tables of {url} were made by an older version of Optuna {versions}; bring them up to date with "
            "`optuna storage upgrade --storage URL`."
        )
    if isinstance(error, FileNotFoundError):
        return UserError(f"{url} names no file; give the storage that the search was given.")
    if isinstance(error, ImportError):
        return UserError(f"{url} needs a database driver that is not installed: {first}.")
    if isinstance(error, (sa.exc.ArgumentError, ValueError)):
        return UserError(f"{url!r} is no database URL ({first}); e.g. sqlite:///study.db.")
    if isinstance(error, sa.exc.ProgrammingError) or "no such table" in first:
        return UserError(f"{url} holds no studies of Optuna; give the storage that the search was given.")
    if passing(error):
        return UserError(f"{url} cannot be read just now ({first}); try again in a while.")
    return UserError(f"{url} cannot be read ({first}); give the storage that the search was given.")
