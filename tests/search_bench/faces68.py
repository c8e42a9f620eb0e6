"""A small, finite space on photographs of faces; all of its 216 configurations were trained for the table of its name.

Needs --data: faces with 68 points in COCO's layout.
"""

from optuna.trial import BaseTrial

from data.tasks.keypoints import Keypoints, faces
from data.transforms.augment import Augment
from models.net import Arch
from search.objective import CourseScore
from search.study import Config, Study, Training

task = faces()


def space(trial: BaseTrial, task: Keypoints) -> Config:
    arch = Arch(
        points=task.points,
        head=trial.suggest_categorical("head", ["direct", "heatmap", "simcc"]),
        width=trial.suggest_categorical("width", [0.1, 0.2, 0.35, 0.6]),
        stride=trial.suggest_categorical("stride", [16, 32]),
        size=trial.suggest_int("size", 32, 64, step=16),
        neck=0,
    )
    training = Training(lr=trial.suggest_categorical("lr", [3e-3, 1e-2, 3e-2]), batch=64, ema=0.98)
    return Config(arch, training, Augment(rotate=10, scale=0.1, shift=0.05, colour=0.2))


study = Study(task, space, trials=216, epochs=9, objective=CourseScore(reference=None))
