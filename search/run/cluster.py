"""Ray's start: on this machine or joined, what is there for trials, and workers that import while the driver does."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
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

from data.errors import UserError
from search.run.storage import first_line
from search.study import Study

SCRATCH = "posefront-"
"""How the folders of Ray's sockets and logs begin; a long path would not do, a socket's has at most 107 bytes."""


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
        """CPU threads a trial: two 1-thread trials beat one of 2 threads, and threads never outnumber cores."""
        return max(1, int(self.cpus))


@contextmanager
def started(
    address: str | None, study: Study, workers: int | None, gpus: float | None
) -> Iterator[tuple[str, Future[Devices]]]:
    """Ray, which starts in a thread meanwhile; it is shut down at the end.

    Args:
        address: an existing cluster; None to start one on this machine.
        study: says how many GPUs a trial has where `gpus` does not.
        workers: trials side by side; None for as many as the cores or GPUs allow.
        gpus: GPUs a trial; None for the study's own number where there are GPUs.

    Yields:
        A folder for Ray's files, and what the trials run on, whose result() waits for Ray and raises UserError where
        more is asked for than there is, or no cluster answers.
    """
    sweep()
    own = f"{SCRATCH}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=own, ignore_cleanup_errors=True) as scratch:

        def start() -> Devices:
            connect(address, scratch)
            return share(study, workers, gpus)

        with ThreadPoolExecutor(1, "ray-start") as thread:
            try:
                yield scratch, thread.submit(start)
            finally:
                thread.shutdown(wait=True)  # so that Ray is not ended before it has begun
                ray.shutdown()


def sweep() -> None:
    """Delete the scratch folders of searches that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*-*"):
        process = folder.name.removeprefix(SCRATCH).partition("-")[0]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def connect(address: str | None, scratch: str) -> None:
    """Start Ray on this machine, or join a cluster."""
    logging.getLogger("ray").setLevel(logging.ERROR)  # importing Ray has set it to INFO
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if address is not None:
        try:
            ray.init(address=address, **common)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"no Ray cluster answers at --address {address!r}: {first_line(error)}.") from error
        return
    ray.init(
        address="local",
        num_cpus=len(os.sched_getaffinity(0)),
        include_dashboard=False,
        _node_ip_address="127.0.0.1",  # its ports are bound to all interfaces all the same; tokens guard them
        object_store_memory=128 * 2**20,  # results are small; the default of a third of memory wants a large /dev/shm
        _temp_dir=scratch,
        **common,
    )


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
    return Devices(workers, float(int(cpus)) if cpus >= 1 else cpus, each)
