"""Finished runs of the comparison: one line of a csv file each."""

from __future__ import annotations

import csv
import platform
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path

import torch
from filelock import FileLock

from data.cores import usable_cores
from search.objective import log_score


@dataclass(frozen=True)
class Run:
    """One method on one data set with one seed, finished.

    Attributes:
        data, method, seed: which.
        log_score: ln(Params [M] x FLOPs [G] x e^error) of the network that comes out.
        error: PixelDiff on the validation part, pixels.
        trials: trials that were begun in the search; 0 without one.
        search_s: training and judging in the search, summed over its trials, seconds.
        search_cpu_s: CPU time of the search, all its processes, seconds.
        search_wall_s: of the search from its start to its end, Ray's own start included.
        train_s, train_cpu_s: the same of the last training.
        epochs: of the last training.
        images: that it learnt from.
        config: what was trained, JSON.
        machine, day: where and when.
    """

    data: str
    method: str
    seed: int
    log_score: float
    error: float
    params_m: float
    gflops: float
    trials: int
    search_s: float
    search_cpu_s: float
    search_wall_s: float
    train_s: float
    train_cpu_s: float
    epochs: int
    images: int
    config: str
    machine: str
    day: str

    @property
    def key(self) -> tuple[str, str, int]:
        """What there is one run of."""
        return self.data, self.method, self.seed

    def check(self) -> None:
        """Whether the score is the one of price and error.

        Raises:
            ValueError: it is not.
        """
        if abs(self.log_score - log_score(self.params_m, self.gflops, self.error)) > 1e-4:
            raise ValueError(f"{self.key}: the score is not that of its price and error")


def read(file: Path) -> list[Run]:
    """All finished runs of a file, in its order; none where it is not there."""
    if not file.exists():
        return []
    kinds = {"int": int, "float": float, "str": str}
    with file.open(newline="") as opened:
        runs = [
            Run(**{field.name: kinds[str(field.type)](row[field.name]) for field in fields(Run)})
            for row in csv.DictReader(opened)
        ]
    for run in runs:
        run.check()
    return runs


def append(file: Path, run: Run) -> None:
    """Add a finished run; several processes may."""
    run.check()
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        is_new = not file.exists()
        with file.open("a", newline="") as opened:
            writer = csv.writer(opened, lineterminator="\n")
            if is_new:
                writer.writerow([field.name for field in fields(Run)])
            writer.writerow([f"{v:.8g}" if isinstance(v, float) else v for v in asdict(run).values()])


def machine(gpu: bool) -> str:
    """The machine in words."""
    card = f", {torch.cuda.get_device_name()}" if gpu else ", no GPU"
    return f"{platform.machine()}, {usable_cores()} cores{card}, torch {torch.__version__.split('+')[0]}"


def today() -> str:
    return str(date.today())
