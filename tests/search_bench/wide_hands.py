"""An infinite space of small networks on drawn hands, random samples of which are trained for a table."""

from optuna.trial import BaseTrial

from data.drawn.hands import DrawnHands
from data.tasks.freihand import FreiHand
from data.transforms.augment import Augment
from models.net import Arch
from models.space import details
from search.study import Config, Study, Training

task = FreiHand(drawn=DrawnHands(count=1600, difficulty=0.2))


def space(trial: BaseTrial, task: FreiHand) -> Config:
    head = trial.suggest_categorical("head", ["direct", "heatmap", "simcc"])
    arch = Arch(
        points=task.points,
        width=trial.suggest_float("width", 0.05, 0.6, log=True),
        stride=trial.suggest_categorical("stride", [8, 16, 32]),
        size=trial.suggest_int("size", 32, 96, step=16),
        head=head,
        neck=trial.suggest_categorical("neck", [0, 96]),
        deconv=trial.suggest_int("deconv", 32, 128, step=32) if head == "heatmap" else 128,
        **details(trial, head),
    )
    training = Training(lr=trial.suggest_float("lr", 2e-3, 5e-2, log=True), batch=32, ema=0.995)
    return Config(arch, training, Augment(rotate=10, scale=0.1, shift=0.05, colour=0.2))


study = Study(task, space, trials=400, epochs=9)
