"""The course task: 21 hand keypoints, ranked by Params x FLOPs x e^PixelDiff. Needs --data, FreiHAND's folder."""

from optuna.trial import BaseTrial

from data.tasks.freihand import FreiHand
from data.transforms.augment import Augment
from models.net import Arch
from models.space import USUAL, details
from search.schedulers import Asha
from search.study import Config, Study, Training

task = FreiHand()


def space(trial: BaseTrial, task: FreiHand) -> Config:
    head = trial.suggest_categorical("head", ["direct", "heatmap", "simcc"])
    heat = head == "heatmap"
    arch = Arch(
        points=task.points,
        width=trial.suggest_float("width", 0.05, 1.2, step=0.05),
        stride=trial.suggest_categorical("stride", [8, 16, 32]),
        size=trial.suggest_int("size", 32, 224, step=16),
        head=head,
        neck=trial.suggest_categorical("neck", [0, 192, 576]),
        deconv=trial.suggest_int("deconv", 32, 160, step=16) if heat else 128,
        separable=trial.suggest_categorical("separable", [True, False]) if heat else True,
        **details(trial, head),
    )
    training = Training(
        lr=trial.suggest_float("lr", 2e-4, 3e-2, log=True),
        batch=trial.suggest_categorical("batch", [32, 64, 128]),
        weight_decay=trial.suggest_float("weight_decay", 1e-5, 0.1, log=True),
        lr_end=0.1,
        ema=trial.suggest_categorical("ema", [0.0, 0.999]),
        divergence=0.0 if head == "direct" else trial.suggest_categorical("divergence", [0.0, 0.02, 0.1]),
    )
    turn, mirror = trial.suggest_int("rotate", 0, 180, step=30), trial.suggest_categorical("flip", [0.0, 0.5])
    scale, colour = trial.suggest_float("scale", 0.0, 0.3, step=0.1), trial.suggest_float("colour", 0, 0.4, step=0.2)
    return Config(arch, training, Augment(rotate=turn, flip=mirror, scale=scale, colour=colour))


# 6.153 px, 2.008 M, 0.3026 G, score 285.6: a MobileNetV3-small with its last stride turned to 1 and a transposed-
# convolution head; Adam, cosine from 5e-4 to 5e-5, rotation and mirror, no scaling. Rebuilt: 1.950 M, 0.3093 G.
net = {"head": "heatmap", "width": 1.0, "stride": 16, "size": 224, "neck": 576, "deconv": 112, "separable": False}
net |= {"upsample": 1, **USUAL}
fitted = {"lr": 5e-4, "batch": 64, "weight_decay": 1e-5, "ema": 0.0, "divergence": 0.0}
published = {**net, **fitted, "rotate": 30, "flip": 0.5, "scale": 0.0, "colour": 0.0}
limit = {"params_m": 6, "gflops": 1}
starts = {"published": published}
study = Study(
    task, space, 200, epochs=40, final_epochs=300, scheduler=Asha(grace=3), gpus=0.25, bounds=limit, starts=starts
)
