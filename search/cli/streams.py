"""Standard output and error that may be closed, on a full disk, or without a reader: no traceback, and no file lost.

A command whose result is what it prints ends with a sentence; one that trains goes on without its output.
"""

import errno
import io
import os
import sys
from typing import Any, TextIO

from data.errors import UserError


class OutputLost(UserError):  # noqa: N818
    """Standard output cannot be written, and it is what the command was to give.

    Attributes:
        is_unread: whether its reader has gone (`| head`), which is no mistake.
        code: of the process's end; of an unread one 141, as of a process that SIGPIPE ends.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written ({error.strerror}); send it to another place.")
        self.is_unread = error.errno == errno.EPIPE
        self.code = 141 if self.is_unread else 2


class Stream(io.FileIO):
    """A standard stream. Once it cannot be written, what is written goes nowhere.

    Attributes:
        needed: whether the first failure raises OutputLost.
        lost: the first failure.
    """

    def __init__(self, number: int, *, needed: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self.needed = needed
        self.lost: OSError | None = None

    def write(self, data: Any) -> int:
        """Write, or throw away for good.

        Raises:
            OutputLost: for the first time it could not be written, and it is needed.
        """
        try:
            return super().write(data)
        except OSError as error:
            self.lost = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
        if self.needed:
            raise OutputLost(self.lost)
        if self.fileno() == 1:
            print(f"posefront: standard output cannot be written ({self.lost.strerror}); going on.", file=sys.stderr)
        return len(data)


def guard() -> None:
    """Make standard streams of this process that no write to them can end with a traceback.

    Closed ones are opened to nowhere: the next file, a database, would get the number of one, and with it what is
    printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for the whole process
    sys.stdout = _text(Stream(1, needed=True), sys.stdout)
    sys.stderr = _text(Stream(2, needed=False), sys.stderr)


def _text(stream: Stream, before: TextIO | None) -> io.TextIOWrapper:
    """The stream for text, as Python had made it."""
    if not isinstance(before, io.TextIOWrapper):
        return io.TextIOWrapper(io.BufferedWriter(stream), "utf-8", line_buffering=True)
    return io.TextIOWrapper(
        io.BufferedWriter(stream),
        before.encoding,
        before.errors,
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )


def go_on_without_output() -> None:
    """From now on standard output may go away: what the command gives is kept elsewhere."""
    stream = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(stream, Stream):
        stream.needed = False
