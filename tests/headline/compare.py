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
from search.config_record import record
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
TRIES = 4  # at a phase before a run is given up


@dataclass(frozen=True)
class Budget:
    """What each method has.

    Attributes:
        seconds: of training and judging in a search, for each of its workers: once the trials' epochs come to
            seconds x workers together, the search is stopped, posefront as by Ctrl-C, Ray by a Stopper. What else a
            search does, its start above all, is in the seconds from start to end that are kept beside.
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
    """What a command took: seconds from start to end, and CPU seconds of all its processes."""

    wall_s: float
    cpu_s: float


def measured(command: Sequence[str], folder: Path, name: str, is_enough: Callable[[], bool] = lambda: False) -> Phase:
    """Run a phase of a folder unless it has ended already, its output in NAME.log; interrupt it when it is enough.

    Raises:
        RuntimeError: it failed.
    """
    done = folder / f"{name}.done.json"
    if done.exists():
        return Phase(**json.loads(done.read_text()))
    began, cpu, interrupted = time.monotonic(), {}, False
    ray = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}  # by default workers yield to all else
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | ray
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, env=environment, cwd=ROOT)
        while process.poll() is None:
            cpu |= spent(process.pid)
            time.sleep(LOOK)
            if not interrupted and is_enough():
                process.send_signal(signal.SIGINT)
                interrupted = True
    if process.returncode and not (interrupted and process.returncode == 128 + signal.SIGINT):
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}; see {folder / f'{name}.log'}")
    phase = Phase(time.monotonic() - began, sum(cpu.values()))
    done.write_text(json.dumps(asdict(phase)))
    return phase


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
    other: Path | None = None  # study's file instead of the data's own

    @property
    def study(self) -> Path:
        """The study's file."""
        if self.other is not None:
            return self.other.absolute()
        return ROOT / "tests" / "headline" / ("hands.py" if is_hands(self.folder) else "face_photographs.py")

    @property
    def folder(self) -> Path:
        """The data set's folder."""
        return folder_of(self.data, self.count)

    def key(self, method: str) -> tuple[str, str, int]:
        """What results call a run of `METHODS`; that of another study says so."""
        other = "" if self.other is None else f", {self.other.stem}"
        return name_of(self.data, self.count), METHODS[method] + other, self.seed

    def place(self, method: str) -> Path:
        """The folder of a method's files."""
        folder = (
            self.work / self.study.stem / name_of(self.data, self.count).replace(" ", "_") / f"{method}_{self.seed}"
        )
        folder.mkdir(parents=True, exist_ok=True)
        return folder.absolute()

    def ours(self) -> results.Run:
        """`posefront search`, then `posefront retrain` of its best trial with one seed."""
        place, budget, study = self.place("ours"), self.budget, str(self.study)
        name = study_name(study)
        shared = ["--data", str(self.folder), "--out", str(place), "--workers", str(budget.workers)]
        shared += ["--gpus-per-trial", str(budget.gpus)]
        if not (place / "search.done.json").exists():
            shutil.rmtree(place / name, ignore_errors=True)
        length = ["--epochs", str(budget.epochs)] if budget.epochs else []
        database, limit = place / name / "study.db", budget.seconds * budget.workers
        command = ["posefront.py", "search", study, *shared, "--trials", "1000000", "--seed", str(self.seed), *length]
        searched = measured(command, place, "search", lambda: trained_s(searched_curves(database)) >= limit)
        final = ["--epochs", str(budget.final_epochs)] if budget.final_epochs else []
        trained = measured(["posefront.py", "retrain", study, *shared, "--seeds", "1", *final], place, "retrain")
        curves = searched_curves(database)
        (model,) = (place / name / "models").glob("[0-9]*")
        facts = json.loads((model / "model.json").read_text())
        (last,) = json.loads((model / "curves.json").read_text())
        return self._run(
            "ours",
            facts["config"],
            facts["error"],
            (len(curves), trained_s(curves), searched),
            (len(last), sum(row["seconds"] for row in last), trained),
            facts["data"]["train"],
        )

    def stock(self) -> results.Run:
        """tests/headline/stock.py: its search, then the full training of its best trial."""
        place, study = self.place("stock"), load_study(str(self.study), data=self.folder)
        asha = study.scheduler if isinstance(study.scheduler, Asha) else Asha()
        given = asdict(self.budget) | {"grace": asha.grace, "reduction": asha.reduction, "seed": self.seed}
        given |= {"study": str(self.study), "folder": str(self.folder), "work": str(place)}
        given["epochs"] = self.budget.epochs or study.epochs
        given["final_epochs"] = self.budget.final_epochs or study.final_epochs or 5 * study.epochs
        (place / "given.json").write_text(json.dumps(given))
        if not (place / "search.done.json").exists():
            shutil.rmtree(place / "tune", ignore_errors=True)
        searched = measured(["-m", "tests.headline", "stock", "search", str(place)], place, "search")
        trained = measured(["-m", "tests.headline", "stock", "finish", str(place)], place, "finish")
        found = json.loads((place / "search.json").read_text())
        final = json.loads((place / "finish.json").read_text())
        config, _ = replay(study, found["params"])
        return self._run(
            "stock",
            record(config),
            final["error"],
            (found["trials"], found["trained_s"], searched),
            (given["final_epochs"], final["trained_s"], trained),
            len(study.task.split(config.arch.size).train.rows),
        )

    def _run(
        self,
        method: str,
        config: dict[str, Any],
        error: float,
        search: tuple[int, float, Phase],
        final: tuple[int, float, Phase],
        images: int,
    ) -> results.Run:
        """The line of the table; `search` has trials, seconds of training and the phase, `final` epochs likewise."""
        from search.config_record import rebuild

        price = read((PARAMS, FLOPS), rebuild(config).arch)
        data, name, seed = self.key(method)
        return results.Run(
            data=data,
            method=name,
            seed=seed,
            log_score=log_score(price["params_m"], price["gflops"], error),
            error=error,
            **price,
            trials=search[0],
            search_s=search[1],
            search_cpu_s=search[2].cpu_s,
            search_wall_s=search[2].wall_s,
            train_s=final[1],
            train_cpu_s=final[2].cpu_s,
            epochs=final[0],
            images=images,
            config=json.dumps(config),
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
        threads = [
            Thread(target=_finish, args=(getattr(contest, method), out, failed))
            for method in METHODS
            if only in (None, method) and contest.key(method) not in done
        ]
        print(f"{contest.data}, seed {contest.seed}: {len(threads)} to run", flush=True)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failed:
        raise SystemExit("\n".join(failed))


def _finish(make: Callable[[], results.Run], out: Path, failed: list[str]) -> None:
    for left in reversed(range(TRIES)):  # Ray does not start on a machine that is too busy
        try:
            finished = make()
            break
        except (RuntimeError, ValueError, OSError) as error:
            print(error, flush=True)
            if not left:
                failed.append(str(error))
                return
    results.append(out, finished)
    print(f"{finished.key}: {finished.error:.3f} px, ln score {finished.log_score:.3f}", flush=True)
