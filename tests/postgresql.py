"""A PostgreSQL server of the tests' own, on a free port, that wants a password and can be killed."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"), key=lambda path: path.parent.name)

PASSWORD = "s3cret@/:%word"  # noqa: S105 - with letters that a URL has other uses for
QUOTED = "s3cret%40%2F%3A%25word"


def missing() -> str:
    """What these tests lack; '' where nothing."""
    if not (BINARIES / "initdb").is_file():
        return "PostgreSQL is not installed (Debian's package is postgresql)"
    return "" if find_spec("psycopg") else "psycopg is not installed"


class Server:
    """A running server.

    Attributes:
        port: on 127.0.0.1; the same after a restart.
    """

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._account = {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}  # it refuses to be root
        if self._account:
            shutil.chown(folder, **self._account)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        self._run("initdb", "-D", self._data, "-U", "ada", "-A", "scram-sha-256", "--pwfile", folder / "password", "-N")
        self.start()

    def _run(self, program: str, *words: object) -> None:
        subprocess.run([BINARIES / program, *map(str, words)], check=True, capture_output=True, **self._account)  # type: ignore[call-overload]

    def start(self) -> None:
        """Begin to serve; the databases are as they were."""
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
        words = [word for setting in settings for word in ("-c", setting)]
        self._process = subprocess.Popen(  # type: ignore[call-overload]
            [BINARIES / "postgres", "-D", self._data, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._account,
        )
        until = time.monotonic() + 60
        while subprocess.run(
            [BINARIES / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
        ).returncode:
            assert time.monotonic() < until
            time.sleep(0.05)

    def end(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop; by SIGQUIT at once, as a crash, by SIGINT with a word to each client."""
        self._process.send_signal(how)
        self._process.wait(60)

    def url(self) -> str:
        """A new database, with the password."""
        import psycopg

        name = f"d{uuid4().hex}"
        place = f"postgresql://ada:{QUOTED}@127.0.0.1:{self.port}"
        with psycopg.connect(f"{place}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"{place}/{name}"


@contextmanager
def server() -> Iterator[Server]:
    """One that ends with the block."""
    with tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as folder:
        running = Server(Path(folder))
        try:
            yield running
        finally:
            running.end()
