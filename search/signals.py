"""Signals that ask a process to end: Ctrl-C, SIGTERM of a batch system, SIGHUP of a terminal that is closed."""

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

AGAIN = 1.0
"""Seconds after a signal from which another one means haste: batch systems may send theirs twice at once."""

Handler = Callable[[int, FrameType | None], object]


class Stopped(BaseException):
    """A signal ends this process. No KeyboardInterrupt: Typer ends at that without a word.

    Attributes:
        name: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name


def exit_code(name: str) -> int:
    """What a shell says of a process that the signal of this name has ended: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + signal.Signals[name]


def stop(number: int, _: FrameType | None) -> NoReturn:
    """Handle a signal by ending the process.

    Raises:
        Stopped: always.
    """
    signal.alarm(0)
    raise Stopped(number)


def handle(handler: Handler | signal.Handlers) -> dict[int, Any]:
    """Handle ENDING from now on, but for signals that whoever started this process has it ignore (nohup).

    Returns:
        What handled them before.
    """
    heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


@contextmanager
def kept() -> Iterator[None]:
    """Put C's handlers of ENDING back after the block, from whatever thread, which `signal.signal` cannot.

    Ray's C++ puts one of its own for SIGTERM while it connects: it prints a stack, calls the handler before it, and
    aborts the process 3 s later by an alarm, which our handlers call off, since a signal may come within the block.
    """
    library = ctypes.pythonapi
    library.PyOS_getsig.restype = library.PyOS_setsig.restype = ctypes.c_void_p
    library.PyOS_setsig.argtypes = ctypes.c_int, ctypes.c_void_p
    before = {number: library.PyOS_getsig(number) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            library.PyOS_setsig(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back for the block, which must be short: the first that came is handled at its end.

    Python handles them in the main thread alone, so that in another one nothing is to be done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = handle(lambda number, _: received.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in received[:1]:
            signal.raise_signal(number)


@contextmanager
def stoppable() -> Iterator[Callable[[], str]]:
    """Within the block a signal only asks to end; a second one, later than AGAIN, raises Stopped at once.

    Yields:
        A function that names the signal that came, '' while none has.
    """
    received: list[tuple[int, float]] = []

    def ask(number: int, _: FrameType | None) -> None:
        signal.alarm(0)
        received.append((number, time.monotonic()))
        if received[-1][1] - received[0][1] > AGAIN:
            raise Stopped(number)

    before = handle(ask)
    try:
        yield lambda: signal.Signals(received[0][0]).name if received else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
