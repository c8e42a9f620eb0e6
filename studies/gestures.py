"""Egocentric gestures by log loss over folders of frames: RegNets by their timm names. Drawn ones, or --data FOLDER."""

from optuna.trial import BaseTrial

from data.drawn.gestures import DrawnGestures
from data.tasks.gestures import Gestures
from data.transforms.augment import GestureAugment
from models.bodies import Body
from search.objective import ErrorAlone
from search.samplers import KnownCost
from search.schedulers import Asha
from search.study import Config, Study, Training

task = Gestures(drawn=DrawnGestures())


def space(trial: BaseTrial, task: Gestures) -> Config:
    light = trial.suggest_categorical("bodies", ["light", "heavy"]) == "light"
    if light:
        name, drop = trial.suggest_categorical("light", ["regnety_002", "regnetx_002"]), 0.0
        size = trial.suggest_int("size", 48, 80, step=16)
    else:
        name, drop = trial.suggest_categorical("heavy", ["regnety_040", "regnety_080", "regnety_160"]), 0.2
        size = trial.suggest_int("large", 224, 288, step=32)
    training = Training(
        lr=trial.suggest_float("lr", 1e-3, 1e-2, log=True),
        batch=trial.suggest_categorical("batch", [16, 32]),
        optimizer="adamw" if light else "lamb",
        weight_decay=trial.suggest_float("weight_decay", 1e-3, 0.1, log=True),
        schedule="onecycle",
        warmup=1 if light else 5,
        loss=trial.suggest_categorical("loss", ["cross_entropy", "smooth"]),
        weights="" if light else trial.suggest_categorical("weights", ["", "timm"]),
    )
    flip, turn = trial.suggest_categorical("flip", [0.0, 0.3]), trial.suggest_int("rotate", 0, 20, step=10)
    augment = GestureAugment(flip, turn, scale=0.1, shift=0.04, perspective=0.1, colour=0.2, margin=0.5)
    return Config(Body(name, task.outputs, "linear", size, drop_path=drop), training, augment)


# One network a fold, 50 epochs, beginning with ImageNet's weights: --epochs 50 --weights timm
recipe = {"bodies": "heavy", "heavy": "regnety_040", "large": 288, "weights": "timm", "lr": 1e-3, "batch": 16}
published = {"regnety_040": {**recipe, "weight_decay": 1e-3, "loss": "cross_entropy", "flip": 0.3, "rotate": 10}}
first = {"bodies": "light", "light": "regnety_002", "size": 64, "lr": 4e-3, "batch": 32, "weight_decay": 0.01}
starts = {"small": {**first, "loss": "cross_entropy", "flip": 0.3, "rotate": 10}}
# Without `held`, on GPUs, heavy ones are sampled, too.
study = Study(
    task,
    space,
    trials=6,
    epochs=6,
    final_epochs=30,
    scheduler=Asha(grace=2),
    objective=ErrorAlone(),
    sampler=KnownCost(held={"bodies": "light"}),
    starts=starts,
    published=published,
)
