"""What is on this machine, or on each node of a cluster, and whether a search will work with it."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from data.cores import usable_cores
from data.errors import UserError
from data.storage.files import cache_folder
from data.storage.image import ENDINGS
from search.paths import on_network
from search.run.doctor.probe import Speed, side_by_side

if TYPE_CHECKING:
    from search.study import Config, Study

COUNTS = (1, 2, 4, 8)
"""Trials side by side that are measured."""

GAIN = 1.1
"""What twice as many trials on a device must bring together, as a multiple, to be worth their memory."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - nothing is written there

SHARED = 256 * 2**20
"""Bytes of shared memory that Ray's object store needs, and some more."""

PACKED = 2 * 3 * 224 * 224
"""Bytes an image in the cache: packed, and as much again for all smaller levels."""


@dataclass(frozen=True)
class Finding:
    """One line of what is here.

    Attributes:
        what: is looked at.
        text: what was found.
        mend: what to do; '' where it is well.
    """

    what: str
    text: str
    mend: str = ""


def machine(data: Path | None, out: Path) -> Iterator[Finding]:
    """Cores, memory, disk, data set and cards, without training."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "ray", "optuna"))
    yield Finding("versions", f"Python {platform.python_version()}, {versions}")
    cores = usable_cores()
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    slurm = f", Slurm gives a task {task}" if task else ""
    yield Finding("cores", f"{cores} usable of {os.cpu_count()} (affinity {bound}{slurm}; container quotas counted)")
    memory = psutil.virtual_memory()
    yield Finding("memory", f"{size(memory.available)} free of {size(memory.total)}", _few(memory.available, 2 * 2**30))
    shared = Path(SHARED_MEMORY)
    if shared.is_dir():
        free = shutil.disk_usage(shared).free
        mend = "" if free >= SHARED else "give the container more, e.g. docker run --shm-size 1g"
        yield Finding(SHARED_MEMORY, f"{size(free)} free", mend)
    images = 0
    if data is not None:
        found, images = data_set(data)
        yield found
    for name, folder, needed in (("cache", cache_folder(), images * PACKED), ("runs", out.absolute(), 2**30)):
        free = shutil.disk_usage(nearest(folder)).free
        other = "set POSEFRONT_CACHE to a larger disk" if name == "cache" else "give another --out"
        wants = f", {size(needed)} are needed" if needed else ""
        yield Finding(name, f"{size(free)} free in {folder}{wants}", "" if free >= needed else other)
    if doubt := on_network(out.absolute() / "STUDY" / "study.db"):
        yield Finding("studies", doubt, "set POSEFRONT_STORAGE")
    yield from cards()


def data_set(folder: Path) -> tuple[Finding, int]:
    """A data set's folder and its layout, and how many images it has; nothing is decoded."""
    from data.layouts.detect import layout

    try:
        found = layout(folder)
    except UserError as error:
        return Finding("data", str(error), "give the data set's own folder with --data"), 0
    images = sum(file.suffix.lower() in ENDINGS for file in folder.rglob("*"))
    name = found.__name__.rpartition(".")[2]
    return Finding(
        "data", f"{folder} has the layout '{name}' and {images} images; `posefront data check` reads them"
    ), images


def cards() -> Iterator[Finding]:
    """Each GPU: its name, driver, free memory, and whether it computes in bfloat16."""
    import torch

    if not torch.cuda.is_available():
        mend = "install a torch built for this driver" if shutil.which("nvidia-smi") else ""
        yield Finding("GPU", "none that torch can use: trials train on the CPU, one a core", mend)
        return
    driver = _driver()
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        half = "bfloat16" if torch.cuda.get_device_capability(index) >= (8, 0) else "float16 (no bfloat16)"
        text = f"{torch.cuda.get_device_name(index)}, driver {driver}, {size(free)} free of {size(total)}, {half}"
        yield Finding(f"GPU {index}", text, "" if free > total / 2 else "another program holds it: see nvidia-smi")


def _driver() -> str:
    import pynvml

    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return "unknown"


def example(study: "Study") -> "Config":
    """A configuration of a study: its first starting trial's, else a sampled one's."""
    import optuna
    from optuna.trial import FixedTrial

    for params in study.starts.values():
        return study.space(FixedTrial(dict(params)), study.task)
    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return study.space(asked.ask(), study.task)


def speeds(
    file: Path, data: Path | None, config: "Config", seconds: float, card: int | None, counts: tuple[int, ...] = COUNTS
) -> Iterator[tuple[int, list[Speed]]]:
    """How fast equal trials train side by side on a device, for each number of them until one fails.

    On a CPU no more than there are cores.
    """
    from search.config_record import record

    what = {"study": str(file), "data": str(data) if data else None, "config": record(config), "seconds": seconds}
    for count in counts:
        if card is None and count > usable_cores():
            return
        found = side_by_side([sys.executable, "-m", "search.run.doctor.probe"], what, count, card)
        yield count, found
        if any(speed.failed for speed in found):
            return


def told(place: str, count: int, found: list[Speed]) -> Finding:
    """A line about some trials side by side."""
    failed = next((speed.failed for speed in found if speed.failed), "")
    if failed:
        return Finding(place, f"{count} side by side failed: {failed}", "" if count > 1 else "mend this first")
    rate, peak = sum(speed.images_per_s for speed in found), max(speed.peak_mb for speed in found)
    share = found[0].launch_share
    saved = "" if share is None else f", launches would be {share:.0%} of a step, were it not recorded"
    return Finding(place, f"{count} side by side: {rate:.0f} images/s together, {peak:.0f} MB each at the most{saved}")


def best_count(measured: dict[int, list[Speed]]) -> int:
    """How many trials a device should have: more as long as each doubling brings `GAIN`; 1 where even one failed."""
    best, before = 1, 0.0
    for count, found in sorted(measured.items()):
        rate = sum(speed.images_per_s for speed in found)
        if any(speed.failed for speed in found) or (before and rate < GAIN * before):
            break
        best, before = count, rate
    return best


def gpus_per_trial(
    file: Path, data: Path | None, study: "Study", say: Callable[[str], Any], seconds: float = 3.0
) -> float:
    """The share of a GPU that a trial of a study is to have, measured here on the first one, or on the CPU without one.

    The study's data are prepared.
    """
    import torch

    card = 0 if torch.cuda.is_available() else None
    measured = {}
    for count, found in speeds(file, data, example(study), seconds, card):
        measured[count] = found
        say(told("GPU" if card == 0 else "CPU", count, found).text)
    return 1 / best_count(measured)


def nearest(folder: Path) -> Path:
    """A folder, or the nearest one above it that is there."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def size(number: float) -> str:
    """Bytes in words."""
    return f"{number / 1e9:.1f} GB"


def _few(free: float, needed: float) -> str:
    return "" if free >= needed else f"end other programs, or use --workers: {size(needed)} should be free"
