"""A small, finite space on drawn hands, all of whose 216 configurations were trained for the table of the same name."""

from optuna.trial import BaseTrial

from data.drawn.hands import DrawnHands
from data.tasks.freihand import FreiHand
from data.transforms.augment import Augment
from models.net import Arch
from search.study import Config, Study, Training

task = FreiHand(drawn=DrawnHands(count=1600, difficulty=0.2))


def space(trial: BaseTrial, task: FreiHand) -> Config:
    arch = Arch(
        points=task.points,
        head=trial.suggest_categorical("head", ["direct", "heatmap", "simcc"]),
        width=trial.suggest_categorical("width", [0.1, 0.2, 0.35, 0.6]),
        stride=trial.suggest_categorical("stride", [16, 32]),
        size=trial.suggest_int("size", 48, 96, step=24),
        neck=0,
    )
    training = Training(lr=trial.suggest_categorical("lr", [1e-3, 3e-3, 1e-2]), batch=32, ema=0.995)
    return Config(arch, training, Augment(rotate=10, scale=0.1, shift=0.05, colour=0.2))


study = Study(task, space, trials=216, epochs=9)
