"""One driver a study, whatever folders and machines: a lease in the study's own storage, with a heartbeat.

It changes hands by a compare-and-set in the database, and no machine's clock is believed: another's driver is dead once
its heartbeat has stood still in front of one's own eyes.
"""

import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import optuna
import psutil
from optuna.storages import BaseStorage

from search.paths import LEASE
from search.run.state.storage import PatientStorage, StorageError, swap_attribute

BEAT, STALE = 5.0, 30.0
"""Seconds between two heartbeats; without one after which another machine's driver is dead."""

Holder = dict[str, Any]
"""'id' of the run; 'machine', 'process' and 'born', by which one of this machine is known to live; 'host'; 'beats'."""


class LeaseError(StorageError):
    """Another driver has this study."""


def machine() -> str:
    """This machine since it was started, and these process numbers: containers have their own."""
    parts = [platform.node()]
    with suppress(OSError):  # some sandboxes have neither
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


class Lease:
    """The right to write to one study.

    Args:
        optuna_study: the study.
        say: told, once, that a dead driver's last sign of life is waited for.
    """

    def __init__(self, optuna_study: optuna.Study, say: Callable[[str], None] = lambda _: None) -> None:
        self._study, self._say = optuna_study, say
        process = psutil.Process()
        self._own: Holder = {
            "id": uuid4().hex,
            "machine": machine(),
            "host": platform.node(),
            "process": process.pid,
            "born": process.create_time(),
            "beats": 0,
        }
        self._lost: LeaseError | None = None
        self._renewed = 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def acquire(self) -> None:
        """Take the lease; of a driver that died it is taken over.

        Raises:
            LeaseError: another driver is alive.
        """
        held = self._held()
        if held is not None and self._lives(held):
            raise self._taken(held)
        if not swap_attribute(self._study, LEASE, held, self._own):
            raise self._taken(self._held() or {})
        self._renewed = clock()
        threading.Thread(target=self._beat, name="lease", daemon=True).start()

    def check(self) -> None:
        """Whether the lease is still this driver's; to be called before anything is written.

        Raises:
            LeaseError: another driver took it over.
        """
        if self._lost is None and clock() - self._renewed > STALE / 2:  # this machine slept, or stood still
            self.renew()
        if self._lost is not None:
            raise self._lost

    def renew(self) -> None:
        """Show that this driver lives.

        Raises:
            LeaseError: another driver took the lease over.
        """
        with self._lock:
            renewed = self._own | {"beats": self._own["beats"] + 1}
            if not swap_attribute(self._study, LEASE, self._own, renewed):
                self._lost = self._taken(self._held() or {})
                raise self._lost
            self._own, self._renewed = renewed, clock()

    def still_held(self) -> None:
        """Whether the lease is this driver's, asked without waiting for a storage that is away: its errors are raised.

        Raises:
            LeaseError: another driver took it over.
        """
        storage = cast(PatientStorage, self._study._storage)
        held = storage.inner.get_study_user_attrs(self._study._study_id).get(LEASE) or {}
        if held.get("id") != self._own["id"]:
            self._lost = self._taken(held)
            raise self._lost

    def release(self) -> None:
        """Let go of the lease, unless it is another's by now."""
        self._ended.set()
        with self._lock:
            swap_attribute(self._study, LEASE, self._own, None)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                self.renew()
            except LeaseError:
                return  # `check` says it
            except StorageError:
                continue  # the search itself meets it with its next call

    def _held(self) -> Holder | None:
        held: Holder | None = self._study.user_attrs.get(LEASE)
        return held

    def _lives(self, held: Holder) -> bool:
        """Whether a driver is alive: of this machine by its process, of another one by its heartbeat."""
        if held["machine"] == self._own["machine"]:
            try:
                return bool(psutil.Process(held["process"]).create_time() == held["born"])
            except psutil.NoSuchProcess:
                return False
        self._say(f"{self._whose(held)} had this study; waiting {STALE:g} s for a sign of life")
        silent, pause = 0.0, min(1.0, STALE / 10)
        while silent < STALE:
            looked = clock()
            time.sleep(pause)
            now = self._held()
            if now != held:
                return now is not None
            silent += min(clock() - looked, 2 * pause)  # while the server was away, nobody's heart could be heard
        return False

    def _whose(self, held: Holder) -> str:
        where = "" if held.get("machine") == self._own["machine"] else f" on {held.get('host', 'another machine')}"
        return f"process {held.get('process', 'unknown')}{where}"

    def _taken(self, held: Holder) -> LeaseError:
        return LeaseError(
            f"a search of {self._study.study_name} in this storage runs already ({self._whose(held)}); wait for it, "
            "stop it, or give another --storage."
        )


def clock() -> float:
    """Seconds that go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def leased(storage: BaseStorage, name: str, say: Callable[[str], None] = lambda _: None) -> Iterator[Lease]:
    """Hold a study, which is begun if need be, for this driver.

    Raises:
        LeaseError: another driver has it.
    """
    study = optuna.create_study(study_name=name, storage=storage, direction="minimize", load_if_exists=True)
    lease = Lease(study, say)
    lease.acquire()
    patient = cast(PatientStorage, storage)
    patient.before_again = lease.still_held  # who waited for the server may have been thought dead
    try:
        yield lease
    finally:
        patient.before_again = lambda: None
        with suppress(StorageError):  # the next driver sees that this one's process is no more
            lease.release()
