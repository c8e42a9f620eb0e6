"""A study that trains in a second, on drawn hands, some of whose trials go wrong on purpose."""

import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from optuna.trial import BaseTrial

from data.drawn.hands import DrawnHands
from data.tasks.freihand import FreiHand
from models.net import Arch
from search.schedulers import Asha, LookAhead
from search.study import Config, Study, Training

TROUBLES = ("none", "nan", "crash", "memory", "kill", "deadly")


@dataclass(frozen=True)
class Troubled(FreiHand):
    """FreiHAND, but what a Training calls the divergence's weight says here what goes wrong in the loss."""

    def loss(self, net: Any, images: torch.Tensor, points: torch.Tensor, how: Any) -> Any:
        loss, answer = super().loss(net, images, points, replace(how, divergence=0.0))
        trouble = TROUBLES[round(how.divergence)]
        time.sleep(float(os.environ.get("TINY_SLEEP", "0")))
        if trouble == "nan":
            loss = loss * float("nan")
        elif trouble == "crash":
            raise RuntimeError("the loss broke")
        elif trouble == "memory":
            torch.empty(2**60)
        elif trouble == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        elif trouble == "kill" and net.training:
            # Once, in the second epoch: the first one's state is on disk.
            died = Path(os.environ["TINY_MARK"])
            if not died.exists() and died.with_suffix(".first").exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            died.with_suffix(".first").touch()
        return loss, answer


task = Troubled(drawn=DrawnHands(count=80, difficulty=0.0), gap=0)


def space(trial: BaseTrial, task: Any) -> Config:
    arch = Arch(
        points=task.points,
        width=trial.suggest_float("width", 0.1, 0.3),
        stride=32,
        size=trial.suggest_categorical("size", [32, 48]),
        head="direct",
        neck=0,
    )
    trouble = trial.suggest_categorical("trouble", TROUBLES) if os.environ.get("TINY_TROUBLE") else "none"
    lr = trial.suggest_float("lr", 1e-4, 3e-2, log=True)
    return Config(arch, Training(lr=lr, batch=32, ema=0.9, divergence=float(TROUBLES.index(trouble))))


def start(trouble: str) -> dict[str, Any]:
    return {"width": 0.1, "size": 32, "trouble": trouble, "lr": 1e-3}


study = Study(
    task,
    space,
    trials=6,
    epochs=4,
    scheduler=LookAhead(probability=0.5, enough=3, asha=False)
    if "TINY_LOOK_AHEAD" in os.environ
    else Asha(reduction=2),
    keep=2,
    starts={name: start(name) for name in os.environ.get("TINY_TROUBLE", "").split()},
    bounds={"params_m": float(os.environ["TINY_BOUND"])} if "TINY_BOUND" in os.environ else {},
)
