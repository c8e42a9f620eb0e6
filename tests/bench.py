"""`make bench`: speeds as ratios in one run.

1. Training by the real path (packed array, batched augmentation) over the same step on a batch already in memory.
2. The same over an ordinary torchvision DataLoader (PIL, one image at a time) with as many cores.
3. A search's wall time over the sum of its trials' training times divided by its workers, start-up told apart.
"""

import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from optuna.trial import BaseTrial
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from data.cores import usable_cores
from data.drawn.hands import DrawnHands
from data.layouts.freihand import image_paths
from data.tasks.freihand import FreiHand
from data.transforms.augment import MEAN, STD, Augment
from models.cost import cost
from models.net import Arch
from search.run.training.fit import fit
from search.schedulers import NoStopping
from search.study import Config, Study, Training
from tests.bare import Bare

GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
HOW = Augment(rotate=30, scale=0.2, shift=0.1, flip=0.5, colour=0.3, erase=0.3)
ROUNDS = 8
TRIALS = 16

task = FreiHand(drawn=DrawnHands(count=1000, difficulty=0.2))


def config(size: int = 96, width: float = 0.5) -> Config:
    arch = Arch(points=task.points, width=width, stride=32, size=size, head="heatmap")
    return Config(arch, Training(lr=1e-3, batch=64), HOW)


def space(trial: BaseTrial, _: Any) -> Config:
    """Equal trials, so that no worker waits for the other at the end for longer than one takes to start."""
    trial.suggest_float("nothing", 0, 1)
    return config(64, 0.3)


study = Study(task, space, trials=TRIALS, epochs=8, scheduler=NoStopping(), gpus=1 / 4)


class Ordinary(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """What most training scripts do: open, transform and stack one image after the other."""

    def __init__(self, size: int) -> None:
        part = task.split(size).train
        self.files = [image_paths(task.folder())[row] for row in part.rows]
        self.points = part.targets
        self.change = v2.Compose(
            [
                v2.RandomAffine(HOW.rotate, (HOW.shift, HOW.shift), (1 - HOW.scale, 1 + HOW.scale)),
                v2.Resize(size, antialias=True),
                v2.ColorJitter(HOW.colour, HOW.colour, HOW.colour),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([MEAN] * 3, [STD] * 3),
            ]
        )
        self.erase = v2.RandomErasing(HOW.erase)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        with Image.open(self.files[index]) as file:
            image = file.convert("RGB")
        points = tv_tensors.KeyPoints(torch.from_numpy(self.points[index] * 224), canvas_size=(224, 224))  # type: ignore[call-overload]
        changed, moved = self.change(image, points)
        return self.erase(changed), moved.as_subclass(torch.Tensor) / moved.canvas_size[0]


def speed(made: Config, source: Callable[..., Iterator[Any]] | None) -> float:
    """Images a second of one epoch of `fit`, its batches from `source` instead of the pack if there is one."""
    if source is None:
        return next(rate(task, made))
    from data.storage import batches

    def either(*args: Any) -> Iterator[Any]:
        return source() if len(args) > 5 else batches.batches(*args)  # type: ignore[misc]

    with mock.patch("search.run.training.fit.batches", either):
        return next(rate(Bare(task), made))


def rate(learnt: Any, made: Config) -> Iterator[float]:
    for reached in fit(learnt, made, epochs=1, seed=0, device=DEVICE):
        yield reached.epoch.images / reached.epoch.train_seconds


def data_path(made: Config, cores: int) -> tuple[list[float], list[float], list[float]]:
    """Images a second of the real path, of a batch in memory and of the ordinary loader, round by round."""
    size, batch = made.arch.size, made.training.batch
    part = task.split(size).train
    steps = len(part.rows) // batch
    images = torch.from_numpy(np.asarray(part.pixels[part.rows[:batch]])).to(DEVICE)
    points = torch.from_numpy(part.targets[:batch]).to(DEVICE)
    ready = task.augment(images, points, size, HOW, torch.Generator(DEVICE).manual_seed(0))
    loader = DataLoader(
        Ordinary(size), batch, shuffle=True, drop_last=True, num_workers=cores if GPU else 0, pin_memory=GPU
    )

    def ordinary() -> Iterator[Any]:
        for images, points in loader:
            yield images.to(DEVICE, non_blocking=True), points.to(DEVICE, non_blocking=True)

    found: tuple[list[float], list[float], list[float]] = ([], [], [])
    for round_ in range(ROUNDS + 1):
        for kept, source in zip(found, (None, lambda: iter([ready] * steps), ordinary), strict=True):
            seen = speed(made, source)
            if round_:  # the first warms up
                kept.append(seen)
    return found


def searched(workers: int) -> Any:
    """The outcome of a real search of equal trials."""
    from search.run import engine
    from search.run.state.ledger import Ledger, open_storage

    with tempfile.TemporaryDirectory() as folder:
        book = Ledger(study, "bench", open_storage(f"sqlite:///{folder}/study.db"))
        return engine.search(book, Path(__file__), Path(folder), workers=workers)


def main() -> None:
    torch.set_num_threads(1)
    console = Console(width=120)
    cores = usable_cores()
    where = torch.cuda.get_device_name() if GPU else "CPU"
    task.prepare()
    console.print(f"{date.today()}, {platform.machine()}, {cores} cores, {where}, torch {torch.__version__}")
    table = Table("network", "real [images/s]", "in memory", "ordinary", "real / in memory", "real / ordinary")
    for made in (config(64, 0.3), config(96, 0.5), config(128, 0.5)):
        real, memory, ordinary = data_path(made, cores)
        price = cost(made.arch)
        table.add_row(
            f"width {made.arch.width} at {made.arch.size} px, {price.flops / 1e6:.1f} M FLOPs",  # type: ignore[attr-defined]
            *(f"{statistics.median(rates):.0f}" for rates in (real, memory, ordinary)),
            *(
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
                for ratios in (
                    [a / b for a, b in zip(real, memory, strict=True)],
                    [a / b for a, b in zip(real, ordinary, strict=True)],
                )
            ),
        )
    console.print(table)
    console.print(f"one {'GPU' if GPU else 'core, one thread'}; median of {ROUNDS} interleaved epochs, least to most")
    outcome = searched(4 if GPU else cores)
    ideal = outcome.trained_s / outcome.devices.workers
    console.print(
        f"search of {TRIALS} equal trials, {outcome.devices.workers} at a time: start-up "
        f"{outcome.startup_s:.1f} s, then {outcome.search_s:.1f} s for {ideal:.1f} s of training a worker: "
        f"ratio {outcome.search_s / ideal:.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
