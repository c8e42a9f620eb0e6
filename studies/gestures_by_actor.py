"""Gestures by few people with few keypoints: split by actor, log loss over sequences. Needs --data FOLDER."""

from optuna.trial import BaseTrial

from data.tasks.gesture_crops import Margins
from data.tasks.gestures import Gestures
from data.transforms.augment import GestureAugment
from models.bodies import Body
from search.objective import ErrorAlone
from search.schedulers import Asha
from search.study import Config, Study, Training

# Two finger tips say where the hand is, not how large: wide margins, and frames from the whole sequence.
task = Gestures(group="actor", folds=4, frames=25, margins=Margins(0.9, 0.5, 0.9, 1.3), side=224)


def space(trial: BaseTrial, task: Gestures) -> Config:
    arch = Body(
        trial.suggest_categorical("body", ["regnety_002", "regnetx_002"]),
        outputs=task.outputs,
        head="linear",
        size=trial.suggest_int("size", 48, 80, step=16),
    )
    training = Training(
        lr=trial.suggest_float("lr", 3e-4, 1e-2, log=True),
        batch=32,
        weight_decay=0.01,
        schedule="onecycle",
        warmup=1,
        loss=trial.suggest_categorical("loss", ["cross_entropy", "smooth"]),
    )
    turn, change = trial.suggest_int("rotate", 0, 30, step=10), trial.suggest_float("colour", 0.0, 0.4, step=0.2)
    return Config(arch, training, GestureAugment(0.5, turn, 0.2, 0.1, perspective=0.1, colour=change, margin=0.5))


study = Study(task, space, trials=8, epochs=6, final_epochs=20, scheduler=Asha(grace=2), objective=ErrorAlone())
