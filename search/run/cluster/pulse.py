"""Whether Ray is still there while trials train on it: its servers on this machine, or a cluster's head and nodes."""

import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar, NoReturn, cast

from search.run.cluster.start import children, knock, with_descendants  # isort: skip - before Ray, which reads what it sets

import psutil
import ray

from data.errors import UserError

log = logging.getLogger(__name__)

PING, SILENCE = 5.0, 12.0
"""Seconds between two looks at a joined cluster; without an answer after which its head, or a node, is gone: three
looks in a row."""


class EngineError(UserError):
    """Ray has ended, though nobody had asked it to.

    Attributes:
        heard: when there was the last sign of it, by time.monotonic().
    """

    exit_code: ClassVar[int] = os.EX_TEMPFAIL

    def __init__(self, sentence: str, heard: float) -> None:
        super().__init__(f"{sentence}; trials in training wait, and the same command goes on with them.")
        self.heard = heard


def pulse(address: str | None, scratch: str) -> Callable[[], None]:
    """What raises EngineError once the Ray that trials are on has ended; to be called every second or so.

    Ray itself says nothing for minutes when its raylet is killed; when the head's server is, its C++ ends the driver
    after 61 s.
    """
    if address in (None, "local"):
        servers = {child.name(): child for child in children(scratch) if child.name() in ("raylet", "gcs_server")}
        return lambda: _own(servers)
    own: str = cast("Any", ray._private.worker.global_worker.node).raylet_socket_name
    place = ray.get_runtime_context().gcs_address
    heard, looked, nodes = time.monotonic(), 0.0, Nodes()

    def cluster() -> None:
        nonlocal heard, looked
        now = time.monotonic()
        if now - looked < PING:
            return
        looked = now
        if not listens(own):
            raise EngineError("Ray's raylet on this machine has ended", now)
        if answers(place):
            heard = time.monotonic()
            nodes.look()
        elif now - heard > SILENCE:
            raise EngineError(f"the Ray cluster at {place} answers no more", heard)

    return cluster


class Nodes:
    """The nodes of a joined cluster: says which are gone and which have come.

    Ray itself gives a node up after 65 s without an answer, and says nothing to the driver.
    """

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._there = self._answering()

    def look(self) -> None:
        """Say what has changed."""
        before, self._there = self._there, self._answering()
        for node in sorted(before - self._there):
            log.warning(
                "posefront: the node %s does not answer; its trials go on elsewhere once Ray has given it up and there "
                "is room.",
                node,
            )
        for node in sorted(self._there - before):
            log.warning("posefront: the node %s has come.", node)

    def _answering(self) -> set[str]:
        """Addresses of those that were heard not long ago."""
        alive = {node["NodeManagerAddress"]: node for node in ray.nodes() if node["Alive"]}  # type: ignore[no-untyped-call]
        places = [f"{name}:{node['NodeManagerPort']}" for name, node in alive.items()]
        with ThreadPoolExecutor(32) as pool:  # a silent one takes two seconds, and a switch that fails silences many
            for name, heard in zip(alive, pool.map(answers, places), strict=True):
                if heard:
                    self._heard[name] = time.monotonic()
        return {name for name in alive if time.monotonic() - self._heard.get(name, -SILENCE) < SILENCE}


def listens(path: str) -> bool:
    """Whether a process of this machine listens at a socket's path; one that is slow to answer does."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # its queue is full
            return True
    return True


def _own(servers: Mapping[str, psutil.Process]) -> None:
    """Refuse to go on without one of Ray's servers on this machine.

    Raises:
        EngineError: it has ended.
    """
    for name, server in servers.items():
        with suppress(psutil.Error):
            if server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
                continue
        sentence = f"Ray's {name} on this machine has ended, perhaps killed for want of memory"
        raise EngineError(sentence, time.monotonic())


def abandon(error: EngineError, scratch: str) -> NoReturn:
    """End this process, whose main thread hangs in Ray, with the error's sentence and exit code."""
    for process in with_descendants(children(scratch)):
        with suppress(psutil.Error):
            process.kill()
    shutil.rmtree(scratch, ignore_errors=True)
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    print(f"{show_cursor}posefront: {error}", file=sys.stderr, flush=True)
    os._exit(error.exit_code)


def answers(place: str) -> bool:
    """Whether something listens at HOST:PORT."""
    try:
        knock(place, 2.0)
    except OSError:
        return False
    return True
