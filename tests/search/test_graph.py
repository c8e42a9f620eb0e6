"""Steps that can be recorded as one CUDA graph: nothing in them waits for the device, and a replay is the step."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from data.drawn.animals import DrawnAnimals
from data.drawn.faces import DrawnFaces
from data.drawn.gestures import DrawnGestures
from data.drawn.hands import DrawnHands
from data.drawn.robot_hand import DrawnRobot
from data.storage.batches import batches
from data.task import Task
from data.tasks.freihand import FreiHand
from data.tasks.gestures import Gestures
from data.tasks.keypoints import animals, faces
from data.tasks.robot_hand import RobotHand
from search.load import load_study
from search.run.training.fit import Learner
from search.study import Config

OWN = tuple(str(Path(__file__).parents[2] / package) for package in ("data", "models", "search"))

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "is_nonzero", "equal")
"""Operators whose result the host needs before it can go on."""

SMALL: dict[str, Task] = {
    "quickstart": FreiHand(drawn=DrawnHands(count=60, difficulty=0.0), gap=0),
    "faces": faces(drawn=DrawnFaces(count=60)),
    "animals": animals(drawn=DrawnAnimals(count=60)),
    "robot_hand": RobotHand(drawn=DrawnRobot(count=60, tests=2)),
    "gestures": Gestures(drawn=DrawnGestures(folders=30, frames=3, tests=4), folds=2, frames=3, motion=False),
}


class Watch(TorchDispatchMode):
    """Counts what would wait for a device, and numbers that are copied to it, by the line of this project's."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).split(".")[1]
        masks = name.startswith("index") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8)
            for part in args
            if isinstance(part, (list, tuple))
            for index in part
        )
        if name in WAITS or name == "lift_fresh" or masks:
            frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(OWN)]
            self.found.append(f"{name}: {frames[-1].filename}:{frames[-1].lineno}" if frames else f"{name}: here")
        return func(*args, **(kwargs or {}))


def configurations(task: Task, name: str) -> Iterator[Config]:
    """Some of a study's, small."""
    study = load_study(name)
    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(6):
        config = study.space(asked.ask(), task)
        arch: Any = config.arch
        small = replace(arch, **({"width": 0.1} if hasattr(arch, "width") else {}))
        yield replace(config, arch=small, training=replace(config.training, batch=4, weights=""))


@pytest.mark.parametrize("name", list(SMALL))
def test_a_step_waits_for_nothing(name: str) -> None:
    task = SMALL[name]
    task.prepare()
    for config in configurations(task, name):
        part = task.split(config.arch.size).train
        learner = Learner(task, config, part, epochs=1, seed=0, device=torch.device("cpu"))
        random = torch.Generator().manual_seed(0)
        order = torch.Generator().manual_seed(0)
        pixels, true = next(batches(part.pixels, part.rows, part.targets, 4, torch.device("cpu"), order))
        learner._gradients(pixels, true, random)  # constants are made once
        with Watch() as watch:
            learner._gradients(pixels, true, random)
        assert watch.found == []


def test_the_watch_sees_what_waits() -> None:
    numbers = torch.arange(4.0)
    with Watch() as watch:
        numbers[numbers > 1]
        numbers.sum().item()
        torch.tensor([1.0])
    assert [each.split(":")[0] for each in watch.found] == ["index", "_local_scalar_dense", "lift_fresh"]
