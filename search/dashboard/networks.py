"""Networks that no record tells of, built in a process of their own, which ends a while later.

Building one takes torch, with which the dashboard would hold 0.8 GB more for as long as it is open.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from data.errors import UserError
from search.config_record import config_of, needs_file
from search.load import load_study
from search.results import network
from search.results.network import NetworkRecord

IDLE = 60.0
"""Seconds without a question after which the process ends."""

Job = tuple[str, int, Mapping[str, Any], Any]
"""The study's file, and the trial's number, parameters and kept configuration, or None."""


def build(job: Job) -> NetworkRecord:
    """A trial's network.

    Raises:
        UserError: the study's file cannot be run, or does not make this trial any more.
    """
    file, number, params, kept = job
    try:
        study = file if kept is None or not needs_file(kept) else load_study(file)
        return network.record(number, config_of(study, params, kept).arch)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(
            f"{file} makes no network from the parameters of trial {number}: {str(error).rstrip('.')}; it was "
            "changed since, or the trial failed while it was built."
        ) from error


def answer(questions: Connection) -> None:
    """Build what is asked for until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the dashboard's, whose end closes the other end
    while True:
        try:
            job: Job = questions.recv()
        except (EOFError, OSError):
            return
        try:
            questions.send(build(job).model_dump_json())
        except UserError as mistake:
            questions.send(UserError(str(mistake)))


class Builder:
    """The process, which is begun when it is needed; any thread may ask, one at a time is answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: Any = None
        self._questions: Connection | None = None
        self._idle: threading.Timer | None = None

    def __call__(self, job: Job) -> NetworkRecord:
        """A trial's network. Raises what `build` does."""
        with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            try:
                questions = self._begun()
                questions.send(job)
                reply = questions.recv()
            except (EOFError, OSError) as error:
                self._end()
                raise UserError(f"the process that builds the network of trial {job[1]} died; ask again.") from error
            self._idle = threading.Timer(IDLE, self.end)
            self._idle.daemon = True
            self._idle.start()
        if isinstance(reply, UserError):
            raise reply
        return NetworkRecord.model_validate_json(reply)

    def end(self) -> None:
        """End the process; the next question begins another."""
        with self._lock:
            self._end()

    def _begun(self) -> Connection:
        if self._questions is None or not self._process.is_alive():
            self._end()
            context = multiprocessing.get_context("spawn")  # a copy of this one's threads would hold their locks
            self._questions, theirs = context.Pipe()
            self._process = context.Process(target=answer, args=(theirs,), name="networks", daemon=True)
            self._process.start()
            theirs.close()
        return self._questions

    def _end(self) -> None:
        if self._questions is not None:
            self._questions.close()
            self._process.terminate()
            self._process.join()
        self._questions = self._process = None


built = Builder()
