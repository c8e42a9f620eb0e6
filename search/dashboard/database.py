"""A database of Optuna's that is only read.

SQLite is opened so that it makes no file and refuses every write; a journal that a killed search left behind is still
rolled back, as by any connection.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from search.storage_url import driver_url, file_of

SCHEMA = "v3.2.0.a"
"""The version of the tables that is read."""

WAIT = 2.0
"""Seconds that SQLite tries again where another process is just committing."""

VERSION = sa.table("alembic_version", sa.column("version_num"))


class VersionError(Exception):
    """The tables were made by another version of Optuna, `version`."""

    def __init__(self, version: str | None) -> None:
        super().__init__(version)
        self.version = version or "none"

    @property
    def newer(self) -> bool:
        """Whether they are newer than those that are read: versions are numbers and letters between dots."""
        return self._parts(self.version) > self._parts(SCHEMA)

    @staticmethod
    def _parts(version: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in version.lstrip("v").split(".")]


class Database:
    """A database that is only read. Not thread-safe.

    Attributes:
        file: SQLite's, absolute; None for other databases.
    """

    def __init__(self, url: str) -> None:
        """Nothing is opened yet.

        Raises:
            sqlalchemy.exc.ArgumentError: the URL is malformed or of no known database.
            ImportError: its driver is missing.
        """
        file = file_of(url)
        self.file = file.absolute() if file else None
        self._opened: tuple[int, int] | None = None
        self._version: str | None = None
        if self.file is None:
            self._engine = sa.create_engine(driver_url(url), pool_pre_ping=True)
        else:
            self._engine = sa.create_engine("sqlite://", creator=self._connect, poolclass=StaticPool)
            sa.event.listen(self._engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))

    def replaced(self) -> bool:
        """Whether SQLite's file is not the one that was opened.

        Raises:
            FileNotFoundError: there is none.
        """
        return self.file is not None and self._opened is not None and self._identity() != self._opened

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A connection that sees one state of the database.

        Raises:
            FileNotFoundError: SQLite's file is missing.
            VersionError: the tables are another version's.
            sqlalchemy.exc.SQLAlchemyError: the database cannot be read, e.g. is locked or none of Optuna's.
        """
        with self._engine.begin() as connection:
            if self._version is None:
                self._version = connection.scalar(sa.select(VERSION.c.version_num))
            if self._version != SCHEMA:
                other, self._version = self._version, None
                raise VersionError(other)
            yield connection

    def close(self) -> None:
        """Let go of it; the next transaction opens it again."""
        self._engine.dispose()
        self._opened, self._version = None, None

    def _identity(self) -> tuple[int, int]:
        status = self.file.stat() if self.file else None
        return (status.st_dev, status.st_ino) if status else (0, 0)

    def _connect(self) -> sqlite3.Connection:
        """SQLite's file, without making one; a plain connection but for the writes it refuses."""
        before = self._identity()
        connection = sqlite3.connect(
            f"file:{quote(str(self.file))}?mode=rw",
            uri=True,
            timeout=WAIT,
            check_same_thread=False,
            isolation_level=None,
        )
        connection.execute("PRAGMA query_only = ON")
        if self._identity() != before:  # replaced in between: which of the two it is, nobody knows
            connection.close()
            return self._connect()
        self._opened = before
        return connection
