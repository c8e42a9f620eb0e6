"""The processes of this machine that train a study's trials: what they use, and what they last printed."""

import json
import re
import socket
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path

import psutil

from search.dashboard.parts.blocks import note
from search.results.leaderboard import Entry

TITLE = "ray::"
"""How Ray's workers call themselves: a number that now belongs to another program is no worker."""

LINES, TAIL, WIDEST = 12, 16_384, 400
"""Lines of a log that are shown, bytes of its end that are read for them, and letters of a line."""

RAYS = re.compile(r":(job_id|actor_name|task_name):")
"""Lines of Ray's own in a worker's log."""


@dataclass(frozen=True)
class Worker:
    """A process that trains a trial."""

    cpu: float | None  # percent of one core since the last look; None of another user's
    memory_mb: float | None  # resident, 10^6 bytes; None of another user's
    printed: tuple[tuple[str, tuple[str, ...]], ...]  # names of its logs, and their last lines; without empty logs


class Workers:
    """Looks for the workers of trials; any thread may ask."""

    def __init__(self) -> None:
        self._host = socket.gethostname()
        self._processes: dict[int, psutil.Process] = {}
        self._lock = threading.Lock()

    def look(self, running: Sequence[Entry]) -> dict[int, Worker | None]:
        """By trial, of those that were begun on this machine; None of one whose process has ended."""
        found: dict[int, Worker | None] = {}
        by_process: dict[int, Worker | None] = {}  # which trains one trial after another
        with self._lock:
            for entry in running:
                host, _, number = entry.worker.rpartition(" ")
                if host == self._host and number.isdigit():
                    process = int(number)
                    if process not in by_process:
                        by_process[process] = self._worker(process)
                    found[entry.number] = by_process[process]
        return found

    def _worker(self, number: int) -> Worker | None:
        try:
            process = self._processes.get(number) or psutil.Process(number)
            if not process.is_running() or not "".join(process.cmdline()[:1]).startswith(TITLE):
                raise psutil.NoSuchProcess(number)  # its number is another program's by now
            worker = Worker(process.cpu_percent(), process.memory_info().rss / 1e6, tuple(logs(number)))
        except psutil.AccessDenied:  # another user's, of which nothing is known
            return Worker(None, None, ())
        except psutil.Error:
            self._processes.pop(number, None)
            return None
        self._processes[number] = process
        return worker


def driver_lives(held: str | None) -> bool | None:
    """Whether a study's driver is at work; None where that cannot be seen from this machine.

    Args:
        held: what the driver wrote of itself, as JSON, see `search.run.state.lease`; None where there is nothing.
    """
    holder = None if held is None else json.loads(held)
    if holder is None:
        return None if held is None else False
    from search.run.state.lease import machine

    if not isinstance(holder, dict) or holder.get("machine") != machine():
        return None
    try:
        return bool(psutil.Process(holder["process"]).create_time() == holder["born"])
    except psutil.Error:
        return False


def logs(number: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What a process printed, by its standard error and output; nothing where these are no files (Linux only)."""
    for name, descriptor in (("errors and warnings", 2), ("output", 1)):
        lines: tuple[str, ...] = ()
        with suppress(OSError):
            lines = last_lines(Path(f"/proc/{number}/fd/{descriptor}"))
        if lines:
            yield name, lines


def last_lines(file: Path) -> tuple[str, ...]:
    """The last lines of a log. Raises OSError where it is no file or cannot be read."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        return ()
    with file.open("rb") as opened:
        opened.seek(max(0, status.st_size - TAIL))
        text = opened.read(TAIL).decode("utf-8", errors="replace")
    # A bar of progress writes its line again and again behind a carriage return; the last one counts.
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    shown = [printable(line)[:WIDEST] for line in lines if line and not RAYS.match(line)]
    return tuple(shown[-LINES:])


def printable(line: str) -> str:
    """A line without terminal colours and control characters."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)
    return "".join(
        letter if letter.isprintable() or letter == "\t" else "\N{REPLACEMENT CHARACTER}" for letter in plain
    )


def logs_html(workers: Mapping[int, Worker | None], running: Sequence[Entry], over: Sequence[Entry] = ()) -> str:
    """The last lines of each worker as HTML, escaped; empty where none of this machine is at work.

    Args:
        workers: by trial, as `Workers.look` finds them.
        running: trials in training; of one in its first epoch the worker is not known yet.
        over: trials that ended lately, whose workers are at others by now.
    """
    seen: set[str] = set()
    parts: list[str] = []
    silent: list[str] = []
    below: list[str] = []
    for entry in (*sorted(running, key=lambda entry: entry.number), *over):
        worker = workers.get(entry.number)
        if worker is None or entry.worker in seen:
            continue
        seen.add(entry.worker)
        if not worker.printed:
            silent.append(entry.worker)
        after = "" if entry.ended is None else "after "
        logs_of = "".join(
            f'<h3>{escape(entry.worker)}, {after}trial {entry.number}: {name}</h3><pre class="log" tabindex="0">'
            f"{escape(chr(10).join(lines))}</pre>"
            for name, lines in worker.printed
        )
        parts += [f"<section>{logs_of}</section>"] if logs_of else []
    if silent:
        below.append(note(f"{', '.join(silent)}: nothing printed."))
    elsewhere = {e.worker.rpartition(" ")[0] for e in running if e.number not in workers and e.worker}
    if elsewhere:
        below.append(note(f"Logs of workers on {', '.join(sorted(elsewhere))} lie there, and are not read from here."))
    side_by_side = f'<div class="logs">{"".join(parts)}</div>' if parts else ""
    return side_by_side + "".join(below)
