"""Opening Optuna's storage, waiting for one that is away for a moment, and a sentence for one that stays away."""

import gc
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, cast

import optuna
import sqlalchemy.exc
from optuna.distributions import CategoricalDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb.models import StudyUserAttributeModel, TrialModel, TrialParamModel
from optuna.trial import FrozenTrial
from sqlalchemy import insert, select, update

from data.errors import UserError
from search.storage_url import by_psycopg, driver_url, file_of, without_passwords

optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)  # what fails is said here, without its SQL
log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that a server which does not answer, or a locked file, is waited for."""

DISK_FULL = ("53100", "1021")
"""How PostgreSQL and MySQL say so."""

UNREACHABLE = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 20_000}
"""How long libpq waits [s, s, s, ms] for a PostgreSQL server whose machine or network is gone; by default, minutes."""


class StorageError(UserError):
    """The storage cannot be read or written; what was reported before is in it."""


class PatientStorage:
    """A storage whose calls wait for a server that restarts, and whose failures are one sentence.

    Each of Optuna's calls is a transaction and sets values, so that one which came through unseen may be made again: a
    trial that is in its new state already was put there by the call before, as a study has one driver. Of a new trial
    there are two then; the ledger adopts the one that nobody trains.

    Of the trials that are not over only those are read again that this process has written to, and new ones. Optuna's
    cache reads all of them, several times a suggestion, and has no public way to say what changed; pyproject.toml
    bounds its version for this.

    Attributes:
        inner: the storage.
        before_again: called before a call is made again; what it raises of the database is waited for, too.
    """

    def __init__(self, inner: BaseStorage, url: str) -> None:
        self.inner, self._url = inner, without_passwords(url)
        self.before_again: Callable[[], None] = lambda: None
        self._stays_away = False
        self._written: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self.inner, name)
        if not callable(attribute):
            return attribute
        return partial(self._write if name.startswith("set_trial_") else self.call, attribute)

    def _write(self, method: Callable[..., Any], trial_id: int, *args: Any, **options: Any) -> Any:
        """Change a trial."""
        self._written.add(trial_id)
        return self.call(method, trial_id, *args, **options)

    def get_all_trials(self, study_id: int, *args: Any, **options: Any) -> list[FrozenTrial]:
        """A study's trials."""
        changed = self._mark(study_id) if isinstance(self.inner, _CachedStorage) else set()
        try:
            with _uncollected():
                found: list[FrozenTrial] = self.call(self.inner.get_all_trials, study_id, *args, **options)
        except BaseException:
            self._written |= changed
            raise
        return found

    def _mark(self, study_id: int) -> set[int]:
        """Let Optuna's cache read those trials of a study that were written to, and later ones; which they are."""
        cache = cast(_CachedStorage, self.inner)
        seen, places = cache._studies.get(study_id), cache._trial_id_to_study_id_and_number
        if seen is None or not seen.trials:
            return set()
        changed = {trial for trial in self._written if trial in places and places[trial][0] == study_id}
        self._written -= changed
        seen.unfinished_trial_ids = set(changed)
        last = max(seen.trials)
        if last >= len(seen.trials):  # one is not known whose making a failing server did not confirm
            last = next(number for number in range(last) if number not in seen.trials) - 1
        seen.last_finished_trial_id = seen.trials[last]._trial_id if last >= 0 else -1
        return changed

    def call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """What a call gives once the database answers.

        Raises:
            StorageError: it does not answer within PATIENCE, or waiting does not help.
        """
        until = time.monotonic() + (0 if self._stays_away else PATIENCE)
        pause = 0.0
        while True:
            try:
                if pause:
                    self.before_again()
                result = method(*args, **options)
                self._stays_away = False
                return True if pause and result is False else result
            except UpdateFinishedTrialError:
                if not pause:
                    raise
                return True  # the call before had come through
            except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
                left = until - time.monotonic()
                if not passing(error) or left <= 0:
                    self._stays_away = passing(error)
                    raise StorageError(
                        f"the storage {self._url} failed: {reason(error)}; nothing reported before is lost: mend that "
                        "and give the same command again."
                    ) from error
                if not pause:
                    log.warning("posefront: waiting for the storage %s: %s.", self._url, reason(error))
                pause = min(2 * pause or 0.1, 2.0, left)
                time.sleep(pause)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: of the 24 s that 10,000 trials took to be read it had 17, and found nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


BaseStorage.register(PatientStorage)


def open_storage(url: str) -> BaseStorage:
    """Optuna's storage at `url`.

    Raises:
        UserError: the URL is malformed, its driver is missing, or the database cannot be opened.
    """
    shown = without_passwords(url)
    # A connection that a server's restart has cut is noticed and replaced before it is used.
    options: dict[str, Any] = {} if file_of(url) else {"pool_pre_ping": True}
    if by_psycopg(url):
        options["connect_args"] = UNREACHABLE
    try:
        opening = partial(optuna.storages.RDBStorage, driver_url(url), options)
        try:
            opened = opening()
        except sqlalchemy.exc.OperationalError as error:
            if "already exists" not in str(error):
                raise
            opened = opening()  # someone else, a dashboard perhaps, made the tables meanwhile
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        why = without_passwords(first_line(error))
        raise UserError(f"--storage {shown!r} is no database URL ({why}); e.g. sqlite:///study.db.") from error
    except ImportError as error:
        raise UserError(f"--storage {shown!r} needs a database driver that is not installed: {error}.") from error
    except RuntimeError as error:
        if "storage upgrade" in str(error):
            raise UserError(
                f"the tables of {shown} were made by an older version of Optuna; bring them up to date with "
                "`optuna storage upgrade --storage URL`."
            ) from error
        raise UserError(
            f"the tables of {shown} were made by another version of Optuna ({first_line(error)}); give another storage."
        ) from error
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
        raise UserError(f"the storage {shown!r} cannot be opened: {reason(error)}.") from error
    return cast(BaseStorage, PatientStorage(optuna.storages.get_storage(opened), url))


def rewrite_choices(storage: BaseStorage, study_id: int, name: str, distribution: CategoricalDistribution) -> None:
    """Give a parameter of all trials of a study other choices, in one transaction; those it had keep their places.

    Optuna, which keeps the place of a trial's choice, has no public way; pyproject.toml bounds its version for this.
    """
    patient = cast(PatientStorage, storage)
    backend = patient.inner._backend  # type: ignore[attr-defined]
    params, trials = TrialParamModel.__table__, TrialModel.__table__
    those = select(trials.c.trial_id).where(trials.c.study_id == study_id)
    change = update(params).where(params.c.param_name == name, params.c.trial_id.in_(those))

    def write() -> None:
        with backend.engine.begin() as connection:
            connection.execute(change.values(distribution_json=distribution_to_json(distribution)))

    patient.call(write)
    patient.inner = optuna.storages.get_storage(backend)  # which has read no trial yet


def swap_attribute(study: optuna.Study, key: str, before: Any, after: Any) -> bool:
    """Give a study's attribute another value if it has the value `before`; whether it had, None being no value, too.

    One statement, which the database does wholly or not, whoever else tries it at the same moment. Optuna has no
    public way; pyproject.toml bounds its version for this.
    """
    patient = cast(PatientStorage, study._storage)
    engine = patient.inner._backend.engine  # type: ignore[attr-defined]
    table = StudyUserAttributeModel.__table__
    row = (table.c.study_id == study._study_id) & (table.c.key == key)
    old, new = json.dumps(before), json.dumps(after)

    def swap() -> bool:
        with suppress(sqlalchemy.exc.IntegrityError), engine.begin() as connection:
            changed = connection.execute(update(table).where(row, table.c.value_json == old).values(value_json=new))
            if changed.rowcount == 1:
                return True
            if before is None and connection.scalar(select(table.c.value_json).where(row)) is None:
                connection.execute(insert(table).values(study_id=study._study_id, key=key, value_json=new))
                return True
        with engine.begin() as connection:  # the call before may have come through unseen
            return bool(connection.scalar(select(table.c.value_json).where(row)) == new)

    return bool(patient.call(swap))


def _driver_error(error: BaseException) -> BaseException:
    """What the database's driver raised, underneath SQLAlchemy's and Optuna's errors."""
    below = _below(error)
    return error if below is None else _driver_error(below)


def _below(error: BaseException) -> BaseException | None:
    """What an error was raised for; of one about a transaction that had failed before, that failure."""
    if isinstance(error, sqlalchemy.exc.PendingRollbackError):
        return error.__context__
    return getattr(error, "orig", None) or error.__cause__


def _is_full(driver: BaseException) -> bool:
    """Whether a disk is full."""
    if isinstance(driver, sqlite3.Error):
        return getattr(driver, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    codes = {getattr(driver, name, None) for name in ("sqlstate", "pgcode")} | {*map(str, driver.args[:1])}
    return not codes.isdisjoint(DISK_FULL) or "No space left on device" in str(driver)


def passing(error: BaseException) -> bool:
    """Whether the same call may succeed in a while: a locked file, a server that does not answer."""
    driver = _driver_error(error)
    if isinstance(driver, sqlite3.Error):
        code = getattr(driver, "sqlite_errorcode", 0)
        return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    while not isinstance(error, sqlalchemy.exc.DBAPIError) and (below := _below(error)) is not None:
        error = below
    is_away = isinstance(error, (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError))
    return (is_away or getattr(error, "connection_invalidated", False)) and not _is_full(driver)


def reason(error: BaseException) -> str:
    """Why a database failed, without a full stop: its disk, its lock, its server, else what its driver says."""
    driver = _driver_error(error)
    said = without_passwords(first_line(driver))
    if _is_full(driver):
        return f"its disk is full ({said})"
    if passing(error):
        away = "another program keeps it locked" if isinstance(driver, sqlite3.Error) else "its server does not answer"
        return f"{away} ({said})"
    return said


def first_line(error: BaseException) -> str:
    """The first line of what an error says, without a full stop."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
