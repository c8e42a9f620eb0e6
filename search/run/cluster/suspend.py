"""Processes that stand still for a moment, so that a clock measures what it should; they go on whatever happens."""

import os
import signal
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

import psutil

CONTINUE = 'read -r _; for pid; do kill -CONT "$pid" 2>/dev/null; done; exit 0'
"""Waits for the end of its standard input: the kernel closes the pipe's other end however its holder dies."""


TITLES = ("ray::Worker", "ray::IDLE")
"""What processes call themselves that train (search.run.cluster.trainable.Worker) or wait. Ray's agents, which must
not stand still, have titles of this form too."""


@contextmanager
def suspended(pids: Collection[int]) -> Iterator[None]:
    """Stop processes (SIGSTOP) and continue them (SIGCONT) at the end, also when this process is killed.

    A shell, in a session of its own that no Ctrl-C reaches, waits for this process to let go of a pipe, and it is the
    shell that continues them.
    """
    if not pids:
        yield
        return
    command = ["/bin/sh", "-c", CONTINUE, "sh", *map(str, pids)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as guard:  # noqa: S603 - our own text
        # Leaving the block closes the pipe and waits for the shell.
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
        del guard


def ray_workers() -> list[int]:
    """Ray's worker processes under this process; none of Ray's own servers, whose silence would end the search."""
    pids = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if command.startswith(TITLES) or "default_worker.py" in command:
                pids.append(process.pid)
    return pids
