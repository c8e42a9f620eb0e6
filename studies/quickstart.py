"""Drawn hands, sized for two cores: a whole search in a few minutes, and nothing to download."""

from optuna.trial import BaseTrial

from data.drawn.hands import DrawnHands
from data.tasks.freihand import FreiHand
from data.transforms.augment import Augment
from models.net import Arch
from models.space import USUAL, details
from search.study import Config, Study, Training

task = FreiHand(drawn=DrawnHands(count=3200, difficulty=0.2))


def space(trial: BaseTrial, task: FreiHand) -> Config:
    head = trial.suggest_categorical("head", ["direct", "heatmap", "simcc"])
    arch = Arch(
        points=task.points,
        width=trial.suggest_float("width", 0.05, 0.6, step=0.05),
        stride=trial.suggest_categorical("stride", [8, 16, 32]),
        size=trial.suggest_int("size", 32, 96, step=16),
        head=head,
        neck=trial.suggest_categorical("neck", [0, 96, 288]),
        **details(trial, head),
    )
    training = Training(lr=trial.suggest_float("lr", 1e-3, 3e-2, log=True), batch=32, ema=0.995)
    turn = Augment(rotate=trial.suggest_int("rotate", 0, 30, step=10), scale=0.1, shift=0.05, colour=0.2)
    return Config(arch, training, turn)


# among the best that three searches of 180 s found here
small = {"head": "heatmap", "width": 0.6, "stride": 32, "size": 64, "neck": 0, "upsample": 0}
small |= USUAL | {"stages": 4, "kernel": 7, "expansion": 0.65, "depth": 0.5, "squeeze": 0.0, "branches": 2}
study = Study(
    task,
    space,
    trials=14,
    epochs=9,
    final_epochs=24,
    starts={"small": {**small, "lr": 8e-3, "rotate": 10}},
)
