"""posefront and stock Ray Tune on the same data, seed and seconds, side by side; each ends with a full training.

Every phase is a command of its own, in a folder of its own. A phase that ended is not done again; one that was cut
short begins anew, since its seconds would count twice.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import psutil

from models.readings import FLOPS, PARAMS, read
from search.config_record import rebuild, record
from search.load import load_study
from search.objective import log_score
from search.paths import name_of as study_name
from search.schedulers import Asha
from search.study import replay
from tests.headline import results
from tests.headline.problems import folder_of, is_hands, name_of

ROOT = Path(__file__).resolve().parents[2]
METHODS = {"ours": "posefront", "stock": "Ray Tune (TPE, ASHA)"}
"""Names in the table, by the methods of `Contest`."""

LOOK = 1.0  # seconds between looks at a phase's processes
SAFE = 1800  # seconds, beside ten times its own, after which a search ends should nobody stop it
TRIES = 4  # at a phase before a run is given up


@dataclass(frozen=True)
class Budget:
    """What each method has.

    Attributes:
        seconds: of training and judging in a search, for each of its workers: once the trials' epochs come to
            seconds x workers together, the search is stopped, posefront as by a batch system, Ray by a Stopper. What
            else a search does, its start above all, is in the seconds from start to end that are kept beside.
        epochs: of a full trial in the search; 0 for the study's own.
        final_epochs: of the last training; 0 for the study's own.
        workers: trials side by side, one thread each.
        gpus: a trial, a fraction to share one; 0 trains on the CPU.
        loaders: processes of each DataLoader of the stock search; 0 loads in the trial's own.
    """

    seconds: float
    epochs: int
    final_epochs: int
    workers: int
    gpus: float
    loaders: int


@dataclass(frozen=True)
class Phase:
    """A command of a method.

    Attributes:
        name: of its log, and of the file that says that it has ended.
        command: arguments of Python.
        fresh: a folder that is deleted before: what was cut short begins anew.
        is_enough: whether to interrupt it now.
    """

    name: str
    command: Sequence[str]
    fresh: Path | None = None
    is_enough: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Took:
    """What a phase took: seconds from start to end, and CPU seconds of all its processes."""

    wall_s: float
    cpu_s: float

    @classmethod
    def read(cls, folder: Path, name: str) -> Took | None:
        """Of a phase that has ended; else None."""
        file = folder / f"{name}.done.json"
        return cls(**json.loads(file.read_text())) if file.exists() else None


def measured(phase: Phase, folder: Path) -> Took:
    """Run a phase in a folder unless it has ended already, its output in NAME.log.

    Raises:
        RuntimeError: it failed.
    """
    took = Took.read(folder, phase.name)
    if took is not None:
        return took
    if phase.fresh is not None:
        shutil.rmtree(phase.fresh, ignore_errors=True)
    began, cpu, interrupted, log = time.monotonic(), {}, False, folder / f"{phase.name}.log"
    ray = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}  # by default workers yield to all else
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | ray
    with log.open("a") as told:
        command = [sys.executable, *phase.command]
        process = subprocess.Popen(command, stdout=told, stderr=told, env=environment, cwd=ROOT)
        while process.poll() is None:
            cpu |= spent(process.pid)
            time.sleep(LOOK)
            if not interrupted and phase.is_enough():
                process.send_signal(signal.SIGTERM)
                interrupted = True
    if process.returncode and not (interrupted and process.returncode == 128 + signal.SIGTERM):
        raise RuntimeError(f"{' '.join(phase.command)} ended with {process.returncode}; see {log}")
    took = Took(time.monotonic() - began, sum(cpu.values()))
    (folder / f"{phase.name}.done.json").write_text(json.dumps(asdict(took)))
    return took


def spent(process: int) -> dict[int, float]:
    """CPU seconds so far of a process and all that it started."""
    found = {}
    try:
        parent = psutil.Process(process)
        for each in (parent, *parent.children(recursive=True)):
            try:
                times = each.cpu_times()
                found[each.pid] = times.user + times.system
            except psutil.Error:
                continue  # it has ended meanwhile; its last number counts
    except psutil.Error:
        pass
    return found


@dataclass(frozen=True)
class Contest:
    """One data set, one seed."""

    data: str
    count: int
    seed: int
    budget: Budget
    work: Path

    @property
    def study(self) -> Path:
        """The study's file."""
        return ROOT / "tests" / "headline" / ("hands.py" if is_hands(self.folder) else "face_photographs.py")

    @property
    def folder(self) -> Path:
        """The data set's folder."""
        return folder_of(self.data, self.count)

    def key(self, method: str) -> tuple[str, str, int]:
        """What results call a run of `METHODS`."""
        return name_of(self.data, self.count), METHODS[method], self.seed

    def place(self, method: str) -> Path:
        """The folder of a method's files."""
        folder = self.work / name_of(self.data, self.count).replace(" ", "_") / f"{method}_{self.seed}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder.absolute()

    def phases(self, method: str) -> list[Phase]:
        """The commands of a method, to be run one after another: a search, and the full training of its best trial."""
        place, budget, study = self.place(method), self.budget, str(self.study)
        if method == "stock":
            (place / "given.json").write_text(json.dumps(self._given()))
            command = ["-m", "tests.headline", "stock"]
            search = Phase("search", [*command, "search", str(place)], place / "tune")
            return [search, Phase("finish", [*command, "finish", str(place)])]
        folder, limit = place / study_name(study), budget.seconds * budget.workers
        shared = ["--data", str(self.folder), "--out", str(place), "--workers", str(budget.workers)]
        shared += ["--gpus-per-trial", str(budget.gpus)]
        many = ["--trials", "1000000", "--hours", str((SAFE + 10 * budget.seconds) / 3600), "--seed", str(self.seed)]
        many += ["--epochs", str(budget.epochs)] if budget.epochs else []
        final = ["--epochs", str(budget.final_epochs)] if budget.final_epochs else []
        search = Phase(
            "search",
            ["posefront.py", "search", study, *shared, *many],
            folder,
            lambda: trained_s(searched_curves(folder / "study.db")) >= limit,
        )
        return [search, Phase("finish", ["posefront.py", "retrain", study, *shared, "--seeds", "1", *final])]

    def _given(self) -> dict[str, Any]:
        """What tests/headline/stock.py is told."""
        study = load_study(str(self.study))
        asha = study.scheduler if isinstance(study.scheduler, Asha) else Asha()
        given = asdict(self.budget) | {"grace": asha.grace, "reduction": asha.reduction, "seed": self.seed}
        given |= {"study": str(self.study), "folder": str(self.folder), "work": str(self.place("stock"))}
        given["epochs"] = self.budget.epochs or study.epochs
        given["final_epochs"] = self.budget.final_epochs or study.final_epochs or 5 * study.epochs
        return given

    def result(self, method: str) -> results.Run | None:
        """The line of the table; None where a phase has not ended. Not to be called by several threads at once."""
        place, study = self.place(method), load_study(str(self.study), data=self.folder)
        searched, trained = Took.read(place, "search"), Took.read(place, "finish")
        if searched is None or trained is None:
            return None
        if method == "stock":
            found, final = (json.loads((place / f"{name}.json").read_text()) for name in ("search", "finish"))
            config, _ = replay(study, found["params"])
            trials, search_s, epochs = found["trials"], found["trained_s"], self._given()["final_epochs"]
            error, train_s = final["error"], final["trained_s"]
        else:
            folder = place / study_name(str(self.study))
            curves = searched_curves(folder / "study.db")
            (model,) = (folder / "models").glob("[0-9]*")
            facts = json.loads((model / "model.json").read_text())
            (last,) = json.loads((model / "curves.json").read_text())
            config, error = rebuild(facts["config"]), facts["error"]
            trials, search_s, epochs, train_s = len(curves), trained_s(curves), len(last), trained_s([last])
        price = read((PARAMS, FLOPS), config.arch)
        data, name, seed = self.key(method)
        return results.Run(
            data=data,
            method=name,
            seed=seed,
            log_score=log_score(price["params_m"], price["gflops"], error),
            error=error,
            **price,
            trials=trials,
            search_s=search_s,
            search_cpu_s=searched.cpu_s,
            search_wall_s=searched.wall_s,
            train_s=train_s,
            train_cpu_s=trained.cpu_s,
            epochs=epochs,
            images=len(study.task.split(config.arch.size).train.rows),
            config=json.dumps(record(config)),
            machine=results.machine(self.budget.gpus > 0),
            day=results.today(),
        )


def searched_curves(database: Path) -> list[list[dict[str, float]]]:
    """The curves of all trials of a search that were begun, those that its end cut short included; it is only read."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as storage:
            found = storage.execute("SELECT value_json FROM trial_user_attributes WHERE key = 'curve'").fetchall()
    except sqlite3.OperationalError:  # it is not there yet, or being written
        return []
    return [json.loads(text) for (text,) in found]


def trained_s(curves: Sequence[Sequence[dict[str, float]]]) -> float:
    """Seconds of training and judging."""
    return sum(row["seconds"] for curve in curves for row in curve)


def run(contests: Sequence[Contest], out: Path, only: str | None = None) -> None:
    """All contests that the file lacks, one after another, both methods of each at the same time, or `only` one."""
    failed: list[str] = []
    for contest in contests:
        done = [run.key for run in results.read(out)]
        wanted = [method for method in METHODS if only in (None, method) and contest.key(method) not in done]
        print(f"{contest.data}, seed {contest.seed}: {', '.join(wanted) or 'done'}", flush=True)
        threads = [
            Thread(target=_all, args=(contest.phases(method), contest.place(method), failed)) for method in wanted
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for method in wanted:
            finished = contest.result(method)
            if finished is not None:
                results.append(out, finished)
                print(f"{finished.key}: {finished.error:.3f} px, ln score {finished.log_score:.3f}", flush=True)
    if failed:
        raise SystemExit("\n".join(failed))


def _all(phases: Sequence[Phase], folder: Path, failed: list[str]) -> None:
    """Run phases one after another; one that fails is tried again, for Ray does not start on a machine too busy."""
    for phase in phases:
        for left in reversed(range(TRIES)):
            try:
                measured(phase, folder)
                break
            except (RuntimeError, OSError) as error:
                print(error, flush=True)
                if not left:
                    failed.append(str(error))
                    return
