"""Ray's start: on this machine or joined, what is there for trials, and workers that import while the driver does."""

import logging
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read by Ray when it is imported or started: no usage reports, no tables or log files of its own, no snapshots, no
# handler for Ctrl-C, and one result at a time.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AIR_NEW_OUTPUT="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_DISABLE_SIGINT_HANDLER="1",
    TUNE_GLOBAL_CHECKPOINT_S="1000000",
    TUNE_PRINT_ALL_TRIAL_ERRORS="0",
    TUNE_RESULT_BUFFER_LENGTH="1",
)

import psutil
import ray
from ray.job_config import JobConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from data.cores import usable_cores
from data.errors import UserError
from data.storage.files import replacing
from search import signals
from search.paths import STUDIES
from search.run.scratch import prefix, sweep
from search.run.training.home import MARK, Keeper
from search.storage_url import without_passwords
from search.study import Study

PATIENCE = 10.0
"""Seconds for a cluster's head to answer."""

LONGEST = 107 - len("/posefront-4194304-abcdefgh/session_2026-11-25_20-00-00_000000_4194304/sockets/plasma_store")
"""Bytes in the path of a folder for them, at the most: a socket's path has at most 107."""


@dataclass(frozen=True)
class Devices:
    """What trials run on.

    Attributes:
        workers: trials side by side.
        cpus: CPU cores a trial, as Ray counts them; may be a fraction.
        gpus: GPUs a trial; may be a fraction.
    """

    workers: int
    cpus: float
    gpus: float

    @property
    def threads(self) -> int:
        """CPU threads a trial: on a CPU one, so that what is learnt does not depend on how many train side by side.

        Two 1-thread trials beat one of 2 threads. Alone on two idle cores, 2 threads trained a network of 0.8 times the
        width at 128 px 1.2 times as fast as one and a small one no faster; beside a single other process they were 100
        times slower, as each waits for the other, spinning.
        """
        return max(1, int(self.cpus))


@contextmanager
def started(
    address: str | None, study: Study, workers: int | None, gpus: float | None, baggage: Path | None = None
) -> Iterator[tuple[str, Future[Devices]]]:
    """Ray, which starts in a thread meanwhile; it is shut down at the end.

    Args:
        address: an existing cluster; None to start one on this machine.
        study: says how many GPUs a trial has where `gpus` does not.
        workers: trials side by side; None for as many as the cores or GPUs allow.
        gpus: GPUs a trial; None for the study's own number where there are GPUs.
        baggage: what a cluster's workers are sent, see `search.run.cluster.baggage`.

    Yields:
        A folder for Ray's files, and what the trials run on, whose result() waits for Ray and raises UserError where
        more is asked for than there is, or no cluster answers.
    """
    own, place = prefix(), short_folder()
    sweep(place)
    with tempfile.TemporaryDirectory(prefix=own, dir=place, ignore_cleanup_errors=True) as scratch:

        def start() -> Devices:
            with signals.kept():
                connect(address, scratch, baggage)
            return share(study, workers, gpus)

        with ThreadPoolExecutor(1, "ray-start") as thread:  # Linux kills Ray's servers when the thread ends
            starting = thread.submit(start)
            try:
                yield scratch, starting
            finally:
                wait([starting])  # so that Ray is not ended before it has begun
                shut_down(scratch)


def short_folder() -> str:
    """Where the folder of Ray's sockets can be: $TMPDIR, or where that is too long or not writable, another one.

    Raises:
        UserError: there is none.
    """
    for place in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108 - nothing is at a known name in it
        if len(os.fsencode(place)) <= LONGEST and os.access(place, os.W_OK | os.X_OK):
            return place
    raise UserError(
        f"Ray's sockets need a folder whose path has at most {LONGEST} characters, and neither TMPDIR "
        f"({tempfile.gettempdir()}) nor /tmp is one that can be written to; set TMPDIR to one."
    )


class OwnPackages(JobConfig):
    """A job whose workers import this project's packages first: this checkout's, or those that they are sent.

    Ray lets them begin with the driver's working folder, in which other packages may be called `data` or `models`, and
    has no public way not to.
    """

    def __init__(self, baggage: Path | None = None) -> None:
        super().__init__(runtime_env=None if baggage is None else {"working_dir": str(baggage)})
        self._first = [str(STUDIES.parent)] if baggage is None else []

    def _serialize(self) -> Any:
        self._py_driver_sys_path = self._first
        return super()._serialize()


def connect(address: str | None, scratch: str, baggage: Path | None = None) -> None:
    """Start Ray on this machine, or join a cluster, whose workers are sent the `baggage`."""
    logging.getLogger("ray").setLevel(logging.ERROR)  # importing Ray has set it to INFO
    common: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": "ERROR",
        "configure_logging": False,
        "job_config": OwnPackages(baggage),
    }
    if address not in (None, "local"):
        join(str(address), common)
        return
    # Batch systems send SIGTERM to every process of a job. Ray's servers inherit that it is blocked, for they must
    # outlive the driver, which ends with a C++ stack where they are gone.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING)
    # A token of its own: the one that Ray shares needs a HOME to be written to, and lets other drivers in.
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex()
    ray.init(
        address="local",
        num_cpus=usable_cores(),
        include_dashboard=False,
        _node_ip_address="127.0.0.1",  # its ports are bound to all interfaces all the same; tokens guard them
        object_store_memory=128 * 2**20,  # results are small; the default of a third of memory wants a large /dev/shm
        _temp_dir=scratch,
        **common,
    )


def join(address: str, common: dict[str, Any]) -> None:
    """Join a cluster, with this machine's token where there is one: a cluster without tokens does not mind.

    Raises:
        UserError: there is none at the address, or it wants another token.
    """
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    place = found(address)
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)  # Ray itself does so for 'auto' alone
    reason = refusal(place)
    if "authentication token" in reason.lower():
        raise UserError(
            f"the Ray cluster at {place} wants the token of its head node, and this machine has none or another one; "
            "copy ~/.ray/auth_token from there, or set RAY_AUTH_TOKEN_PATH."
        )
    if reason:
        raise UserError(
            f"no Ray cluster answers at --address {address!r} ({reason.splitlines()[-1]}); give HOST:PORT as "
            "`ray start --head` prints it."
        )
    name_without_passwords()
    ray.init(address=place, **common)


def name_without_passwords() -> None:
    """Let Ray keep this process's command line, which its dashboard shows, without what stands in a --storage URL."""
    from ray._private import utils

    spelled: Callable[[], str] = utils.get_entrypoint_name
    utils.get_entrypoint_name = lambda: without_passwords(spelled())


def found(address: str) -> str:
    """HOST:PORT of an address.

    'auto' is $RAY_ADDRESS, else the cluster that `ray start` has begun or joined on this machine. Ray's own 'auto'
    would take any Ray that runs here, another search's private one too.

    Raises:
        UserError: it is no address of a cluster, or there is none that `ray start` has begun.
    """
    from ray._private.utils import read_ray_address

    place = address if address != "auto" else os.environ.get("RAY_ADDRESS") or read_ray_address()
    if not place:
        raise UserError(
            "--address auto found no cluster that `ray start` has begun on this machine; give HOST:PORT of its head."
        )
    if not re.fullmatch(r".+:\d{1,5}", place) or "://" in place:
        raise UserError(
            f"{place!r} is no address of a Ray cluster's head; give HOST:PORT as `ray start --head` prints it (Ray's "
            "client, ray://, will not do)."
        )
    return place


def refusal(place: str) -> str:
    """Why no cluster can be joined at HOST:PORT; '' where one answers.

    Asked in a process of its own: Ray's C++ repeats each reason twenty times, and aborts where it finds no token.
    """
    code = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1])"
    try:
        knock(place, PATIENCE)
        command = [sys.executable, "-c", code, place]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return "what listens there is no Ray"
    except (OSError, OverflowError) as error:
        return str(getattr(error, "strerror", None) or error)
    return asked.stderr if asked.returncode else ""


def keep(folder: Path) -> tuple[str, Any]:
    """Let workers that do not see the study's folder read and write it, by an actor on this machine.

    Returns:
        the actor's name, which stands in the folder, so that workers that see it know that they do; and the actor,
        which Ray ends once nobody holds it.

    Raises:
        UserError: Ray on this machine does not see the folder either.
    """
    token = f"posefront-{secrets.token_hex()}"
    with replacing(folder / MARK) as half:
        half.write_text(token, encoding="utf-8")
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": token, "num_cpus": 0, "scheduling_strategy": here, "max_restarts": -1, "max_task_retries": -1}
    keeper: Any = ray.remote(Keeper).options(**options).remote(str(folder.absolute()))
    if not ray.get(keeper.sees.remote(token)):
        raise UserError(
            f"Ray on this machine does not see {folder.absolute()}: it runs in another container or as another user; "
            "start it where the search runs, or give --out a folder that both see."
        )
    return token, keeper


def knock(place: str, seconds: float) -> None:
    """Connect to HOST:PORT, waiting so long at the most. Raises OSError or OverflowError where that is not to be."""
    host, _, port = place.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), seconds).close()


def children(scratch: str) -> list[psutil.Process]:
    """The processes that Ray has started here for this search."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it has ended meanwhile
            if any(scratch in word for word in child.cmdline()):
                found.append(child)
    return found


def with_descendants(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """These processes, and all that they have started."""
    found: list[psutil.Process] = []
    for process in processes:
        with suppress(psutil.Error):  # it has ended meanwhile
            found += (process, *process.children(recursive=True))
    return found


def shut_down(scratch: str) -> None:
    """End Ray, and all processes that it has started here.

    Ray asks each of its servers to end, which they do not hear, and waits a second; they are killed instead, all at
    once, when the driver has taken its leave of them. Ray has no public way.
    """
    started = with_descendants(children(scratch))
    node = ray._private.worker._global_node
    if node is not None and started:
        end = node.kill_all_processes

        def kill(**options: bool) -> None:
            for process in started:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(started, timeout=PATIENCE)
            end(**options)

        node.kill_all_processes = kill
    ray.shutdown()


def share(study: Study, workers: int | None, gpus: float | None) -> Devices:
    """Divide what Ray found among the trials.

    Raises:
        UserError: there is less than asked for.
    """
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cores, cards = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    if gpus is not None and gpus > 0 and gpus > cards:
        raise UserError(
            f"--gpus-per-trial {gpus:g} asks for more than the {cards:g} GPUs that are there; lower it, or 0."
        )
    each = (study.gpus if gpus is None else gpus) if cards else 0.0
    # A trial's share lies on one card: 0.4 leaves room for two on a card, not for five on two cards.
    room = int(cards) * int(1 / each) if 0 < each < 1 else int(cards / each) if each else None
    if workers is None:
        workers = room or max(1, int(cores))
    elif room is not None and workers > room:
        raise UserError(
            f"--workers {workers} with {each:g} GPU a trial need more than the {cards:g} GPUs that are there; "
            f"at most {room} fit, or lower --gpus-per-trial."
        )
    cpus = cores / workers
    if cpus > 1:
        cpus = float(int(cpus)) if each else 1.0
    return Devices(workers, cpus, each)
