"""Ray: trials side by side, on one machine or a cluster, each stopped early when its rung says so.

Ray is only the engine. What a search knows is in the ledger; Ray's own restore files, loggers and checkpoints are
not used. Only this file and those of cluster/ import it.
"""

import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from search.run.cluster.baggage import packed
from search.run.cluster.pulse import EngineError, abandon, pulse
from search.run.cluster.start import Devices, keep, started
from search.run.cluster.suspend import ray_workers, suspended
from search.run.settings import FinalTraining, WorkerSettings
from search.run.state.ledger import Ledger
from search.run.state.storage import StorageError
from search.signals import stoppable

if TYPE_CHECKING:
    from search.run.attachments import Attachments
    from search.run.cluster.hooks import SearchRun


LOOK, HANGS = 1.0, 28.0
"""Seconds between two looks at Ray's servers; after the last sign of them, until a search that has not ended by itself
is left: Ray Tune waits for its workers for ten, and nobody should wait for a word longer than 30."""


@dataclass(frozen=True)
class Outcome:
    """How a search ended.

    Attributes:
        waiting: trials interrupted, which the same command goes on with.
        why: what ended the search before its last trial: a signal's name or 'time'; empty where nothing did.
        startup_s: until the first epoch of training began.
        search_s: from then until the last trial was over.
        trained_s: training and judging, summed over the trials of this run.
        devices: what the trials ran on.
    """

    waiting: int
    why: str
    startup_s: float
    search_s: float
    trained_s: float
    devices: Devices


def search(
    ledger: Ledger,
    file: Path,
    folder: Path,
    *,
    data: Path | None = None,
    workers: int | None = None,
    gpus: float | None = None,
    address: str | None = None,
    hours: float | None = None,
    watch: Callable[[], None] = lambda: None,
    final: FinalTraining | None = None,
) -> Outcome:
    """Train trials until the study has all of them, the time is up, or someone stops it.

    Args:
        ledger: the study; orphans adopted.
        file: the study's file, loaded again by every worker.
        folder: the study's, for weights, answers, pictures and artifacts; those of workers that do not see it come home
            through Ray.
        data: replaces the task's folder.
        workers: trials side by side; None for as many as the cores or GPUs allow.
        gpus: GPUs a trial; None for the study's own number where there are GPUs.
        address: an existing Ray cluster; None to start one on this machine.
        hours: stop after so long; what is being trained waits for the next run.
        watch: called about ten times a second.
        final: of a last training.

    Raises:
        UserError: more is asked for than the machine has, the cluster isn't there, or nothing but failures came.
        EngineError: Ray ended by itself; what was being trained waits for the next run.
    """
    began = time.monotonic()
    with (
        ExitStack() as ray_is_gone,
        stoppable() as stop,
        packed(address, file, final) as baggage,
        started(address, ledger.study, workers, gpus, baggage.folder) as (scratch, starting),
    ):
        import_while_ray_starts()
        from search.run.attachments import Attachments
        from search.run.cluster.hooks import SearchRun

        attachments = Attachments(ledger, file, folder)
        devices = starting.result()
        run = SearchRun(ledger, attachments, folder / "weights", devices, stop, began, hours, watch)
        if final is None:  # a last training's networks are those of its search
            ledger.on_admission = attachments.network
        ledger.undisturbed = lambda: suspended(ray_workers())
        waiting = 0
        try:
            root = data or ledger.study.task.root
            data_folder = None if root is None else str(root.absolute())  # a worker's own folder is another one
            token, _keeper = (None, None) if baggage.folder is None else keep(folder)
            settings = WorkerSettings(
                baggage.study, data_folder, str(folder.absolute()), devices.threads, baggage.final, token
            )
            with watched(run, pulse(address, scratch), scratch, ray_is_gone):
                tune_trials(run, settings, scratch)
        finally:
            with run.guarded():
                waiting = ledger.release()
    return conclude(run, attachments, waiting)


@contextmanager
def watched(run: "SearchRun", look: Callable[[], None], scratch: str, ray_is_gone: ExitStack) -> Iterator[None]:
    """End the search when Ray ends by itself: as if it had been stopped, or, where the search hangs in Ray, at once.

    With a killed head server the driver waits for it wherever it happens to ask, perhaps in Ray's own shutdown, and is
    then ended by Ray's C++. So its patience ends with `ray_is_gone`, not before.
    """
    trained = threading.Event()

    def watch() -> None:
        while not trained.wait(LOOK):
            try:
                look()
            except EngineError as error:
                run.trouble = run.trouble or error
                patience = threading.Timer(error.heard + HANGS - time.monotonic(), leave, (run, error, scratch))
                patience.daemon = True
                ray_is_gone.callback(patience.cancel)
                patience.start()
                return

    thread = threading.Thread(target=watch, name="engine", daemon=True)
    thread.start()
    try:
        yield
    finally:
        trained.set()
        thread.join()


def leave(run: "SearchRun", error: EngineError, scratch: str) -> NoReturn:
    """End this process, whose main thread hangs in Ray; what it was training waits."""
    with run.guarded():
        run.ledger.release()
    abandon(error, scratch)


def import_while_ray_starts() -> None:
    """What the first trial's price needs of torch, and Ray Tune."""
    importlib.import_module("models.cost")
    importlib.import_module("search.run.cluster.hooks")


def tune_trials(run: "SearchRun", settings: WorkerSettings, scratch: str) -> None:
    """Give Ray Tune its hooks, and run it to the end."""
    from ray import tune

    from search.run.cluster.hooks import RESTARTS, LedgerCallback, LedgerSearcher, Stopper
    from search.run.cluster.scheduler import ResumableScheduler
    from search.run.cluster.trainable import Worker

    devices = run.devices
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(devices.workers)  # else actors start one after another
    tune.run(  # not a Tuner: that pickles all it is given, to restore it from files that are not used here
        Worker,
        config={"settings": settings},
        resources_per_trial={"cpu": devices.cpus, "gpu": devices.gpus},
        search_alg=LedgerSearcher(run),
        scheduler=ResumableScheduler(run.ledger),
        stop=Stopper(run),
        callbacks=[LedgerCallback(run)],
        num_samples=-1,
        reuse_actors=True,
        max_failures=RESTARTS,
        raise_on_failed_trial=False,
        storage_path=scratch,
        name="tune",
        verbose=0,
    )


def conclude(run: "SearchRun", attachments: "Attachments", waiting: int) -> Outcome:
    """How the search went, once Ray is gone.

    Raises:
        UserError: its storage failed, or nothing but failures came.
    """
    if isinstance(run.trouble, StorageError):
        raise run.trouble  # nothing can be attached either
    attachments.end()
    if run.trouble is not None:
        raise run.trouble
    if waiting and not run.why:
        raise RuntimeError(f"Ray ended with {waiting} trials in training, and nobody had asked it to")
    return Outcome(waiting, run.why, run.startup_s, run.search_s, run.trained_s, run.devices)
