"""Ray: trials side by side, on one machine or a cluster, each stopped early when its rung says so.

Ray is only the engine. What a search knows is in the ledger; Ray's own restore files, loggers and checkpoints are
not used. Only this file and rungs.py import it.
"""

import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
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

import optuna
import psutil
import ray
import sqlalchemy.exc
import torch
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from data.errors import UserError
from search.run import checkpoint as weights
from search.run.attachments import Attachments
from search.run.ledger import ROW, Assignment, Ledger, first_line
from search.run.scheduler import ResumableScheduler
from search.run.worker import Final, Job, work
from search.study import Study

SCRATCH = "posefront-"
"""How the folders of Ray's sockets and logs begin; a long path would not do, a socket's has at most 107 bytes."""

RESTARTS = 2
"""How often a trial whose worker died is begun again from its last state; then it has failed."""


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
    watch: Callable[[Ledger], None] = lambda _: None,
    weights: str | None = None,
    final: Final | None = None,
) -> Outcome:
    """Train trials until the study has all of them, the time is up, or someone stops it.

    Args:
        ledger: the study; orphans adopted.
        file: the study's file, loaded again by every worker.
        folder: the study's, for weights, answers, pictures and artifacts; every worker must see it.
        data: replaces the task's folder.
        workers: trials side by side; None for as many as the cores or GPUs allow.
        gpus: GPUs a trial; None for the study's own number where there are GPUs.
        address: an existing Ray cluster; None to start one on this machine.
        hours: stop after so long; what is being trained waits for the next run.
        watch: called about ten times a second.
        weights: pre-trained ones that every trial begins with; None for its own choice.
        final: of a last training.

    Raises:
        UserError: more is asked for than the machine has, the cluster isn't there, or nothing but failures came.
    """
    began = time.monotonic()
    sweep()
    attachments = Attachments(ledger, file, folder)
    attachments.begin()
    mine = f"{SCRATCH}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=mine, ignore_cleanup_errors=True) as scratch, stoppable() as stop:
        connect(address, scratch)
        run: Run | None = None
        try:
            devices = share(ledger.study, workers, gpus)
            run = Run(ledger, attachments, folder / "weights", devices, stop, began, hours, watch)
            os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(devices.workers)  # else actors start one after another
            job = Job(str(file), str(data) if data else None, str(folder), devices.threads, weights, final)
            tune.run(  # not a Tuner: that pickles all it is given, to restore it from files that are not used here
                Worker,
                config={"job": job},
                resources_per_trial={"cpu": devices.cpus, "gpu": devices.gpus},
                search_alg=LedgerSearcher(run),
                scheduler=ResumableScheduler(ledger),
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
        finally:
            waiting = 0
            with run.guarded() if run else nullcontext():
                waiting = ledger.release()
            ray.shutdown()
    if isinstance(run.trouble, (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)):
        raise UserError(
            f"the study's storage failed ({first_line(run.trouble)}); nothing reported before is lost: mend that and "
            "give the same command again."
        ) from run.trouble
    attachments.end()
    if run.trouble is not None:
        raise run.trouble
    if waiting and not run.why:
        raise RuntimeError(f"Ray ended with {waiting} trials in training, and nobody had asked it to")
    return run.outcome(waiting)


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
    found = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cores, cards = found.get("CPU", 0.0), found.get("GPU", 0.0)
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


@contextmanager
def stoppable() -> Iterator[Callable[[], str]]:
    """Ctrl-C, SIGTERM and SIGHUP ask the search to end; a second one ends it at once.

    Yields:
        A function that names the signal that came, '' while none has.
    """
    asked: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def ask(number: int, _: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in signals}
    try:
        yield lambda: signal.Signals(asked[0]).name if asked else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Run:
    """What Ray's hooks share in one search."""

    def __init__(
        self,
        ledger: Ledger,
        attachments: Attachments,
        states: Path,
        devices: Devices,
        stop: Callable[[], str],
        began: float,
        hours: float | None,
        watch: Callable[[Ledger], None],
    ) -> None:
        self.ledger, self.states, self.devices, self.watch = ledger, states, devices, watch
        self._attachments = attachments
        self.trouble: BaseException | None = None
        self.why = ""
        self._stop, self._began = stop, began
        self._deadline = None if hours is None else time.monotonic() + hours * 3600
        self._first = self._last = time.monotonic()
        self._trained = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles its hooks into snapshots, which are not used."""
        return {}

    def ending(self) -> bool:
        """Whether no more training is wanted."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            self.why = self.why or "time"
        self.why = self.why or self._stop()
        return self.trouble is not None or bool(self.why)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Bring what the ledger raises out of Ray, which would wrap it or go on without it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again by search()
            self.trouble = self.trouble or error

    def told(self, number: int, result: dict[str, Any]) -> None:
        """Enter one result of a worker."""
        self._last = time.monotonic()
        if "failed" in result:
            self.ledger.fail(number, result["failed"])
        else:
            row = {key: result[key] for key in ROW}
            if not self._trained:
                self._first = self._last - row["seconds"]
            self._trained += row["seconds"]
            self.ledger.place(number, f"{result['hostname']} {result['pid']}")
            self.ledger.report(number, row)
            if row["epoch"] >= result["length"]:
                self._attachments.finish(number)
                self.ledger.finish(number)
            elif result["done"]:
                self.ledger.stop(number)
        if number not in self.ledger.running:
            self.tidy()
            self._attachments.keep_up()

    def tidy(self) -> None:
        """Keep the weights of the best few and of those in training."""
        weights.keep_only(self.states, {*self.ledger.best(self.ledger.study.keep), *self.ledger.running})

    def outcome(self, waiting: int) -> Outcome:
        """How it went."""
        return Outcome(
            waiting, self.why, self._first - self._began, self._last - self._first, self._trained, self.devices
        )


class Worker(tune.Trainable):
    """Trains one trial after another in a process that lives as long as the search."""

    def setup(self, config: dict[str, Any]) -> None:  # noqa: D102
        self._assignment = config["trial"]
        self._job: Job = config["job"]
        self._rows: Iterator[dict[str, Any]] | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:  # noqa: D102
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """One epoch."""
        trial = Assignment(**self._assignment)
        if self._rows is None:
            device = torch.device("cuda" if ray.get_gpu_ids() and torch.cuda.is_available() else "cpu")
            self._rows = work(self._job, trial, device)
        row = next(self._rows)
        if "failed" in row:
            return {**row, "done": True}
        return {**row, "length": trial.epochs, "done": row["epoch"] >= trial.epochs}


class LedgerSearcher(Searcher):
    """Hands trials from the ledger to Ray."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # noqa: ARG002
        """The next trial, None while every worker is busy, or 'FINISHED'."""
        run = self._run
        if len(run.ledger.running) >= run.devices.workers:
            return None  # Ray asks ahead; a sample is best taken when the results before it are in
        with run.guarded():
            trial = None if run.ending() else run.ledger.ask()
            if trial is not None:
                return {"trial": asdict(trial)}
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the last report of a trial reaches a callback alone."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


class LedgerCallback(tune.Callback):
    """Hands results from Ray to the ledger. Unlike a Searcher, a callback is told of a trial's last one too."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def on_trial_result(self, *, trial: Trial, result: dict[str, Any], **_: Any) -> None:  # type: ignore[override]
        """One epoch, or the end of a trial that cannot go on."""
        with self._run.guarded():
            self._run.told(trial.config["trial"]["number"], result)

    def on_trial_error(self, *, trial: Trial, **_: Any) -> None:  # type: ignore[override]
        """A trial whose worker died too often."""
        reason = f"its worker died {RESTARTS + 1} times: {trial.get_pickled_error() or trial.get_error()}"
        with self._run.guarded():
            self._run.told(trial.config["trial"]["number"], {"failed": reason})

    def on_step_end(self, **_: Any) -> None:  # type: ignore[override]
        """Several times a second."""
        self._run.watch(self._run.ledger)


class Stopper(tune.Stopper):
    """Ends the search, never a single trial."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def stop_all(self) -> bool:
        """Whether no more training is wanted."""
        return self._run.ending()
