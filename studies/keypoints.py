"""Keypoints of your own annotated objects, by NME in % of the box. Needs --data: COCO keypoints or YOLO-pose."""

from optuna.trial import BaseTrial

from data.tasks.keypoints import Keypoints
from data.transforms.augment import AnimalAugment
from models.net import Arch
from search.objective import ErrorAlone
from search.schedulers import Asha
from search.study import Config, Study, Training

# Names, number, skeleton and mirror pairs are the annotations' own. Other errors: metric="pck_error" or "pixel_diff";
# of the distance between two points: norm=("left_eye", "right_eye"); 1 - AP, with COCO's sigmas or yours: "ap_error".
task = Keypoints(metric="nme", fewer_folds=True)


def space(trial: BaseTrial, task: Keypoints) -> Config:
    arch = Arch(
        points=task.points,
        width=trial.suggest_float("width", 0.1, 0.8, step=0.1),
        stride=trial.suggest_categorical("stride", [16, 32]),
        size=trial.suggest_int("size", 64, 128, step=16),
        head=trial.suggest_categorical("head", ["direct", "heatmap", "simcc"]),
    )
    training = Training(
        lr=trial.suggest_float("lr", 1e-3, 2e-2, log=True),
        batch=16,
        ema=0.98,
        loss=trial.suggest_categorical("loss", ["all", "hardest"]),
    )
    # Without names of pairs a mirror would show a left point where the right one is asked for.
    flip = trial.suggest_categorical("flip", [0.0, 0.5]) if task.has_pairs else 0.0
    turn, scale = trial.suggest_int("rotate", 0, 40, step=20), trial.suggest_float("scale", 0.0, 0.3, step=0.1)
    return Config(arch, training, AnimalAugment(turn, scale, flip=flip, colour=0.3))


study = Study(task, space, trials=20, epochs=12, final_epochs=120, scheduler=Asha(grace=3), objective=ErrorAlone())
