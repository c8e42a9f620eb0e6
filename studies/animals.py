"""Animal pose: 17 keypoints by average precision. Drawn animals sized for two cores; AP-10K's folder with --data."""

from optuna.trial import BaseTrial

from data.drawn.animals import DrawnAnimals
from data.tasks.keypoints import Keypoints, animals
from data.transforms.augment import AnimalAugment
from models.bodies import Body
from models.net import Arch
from search.objective import ErrorAlone
from search.samplers import KnownCost
from search.schedulers import Asha
from search.study import Config, Study, Training

task = animals(drawn=DrawnAnimals(count=480))
PUBLISHED = ["resnet50", "resnet101", "resnet152", "resnest50d", "resnest101e", "hrnet_w32", "hrnet_w48"]


def space(trial: BaseTrial, task: Keypoints) -> Config:
    body = trial.suggest_categorical("body", ["small", *PUBLISHED])
    flip = trial.suggest_categorical("flip", [0.0, 0.5])
    if body != "small":
        return published(trial, body, flip)
    head = trial.suggest_categorical("head", ["heatmap", "simcc"])
    arch = Arch(
        points=task.points,
        width=trial.suggest_float("width", 0.2, 0.5, step=0.1),
        stride=16,
        size=trial.suggest_int("size", 64, 96, step=16),
        head=head,
    )
    lr, rotate = trial.suggest_float("lr", 3e-3, 1e-2, log=True), trial.suggest_int("rotate", 0, 20, step=10)
    scale = trial.suggest_float("scale", 0.0, 0.2, step=0.1)
    sharp = 1.0 if head == "heatmap" else 0.05  # without it 12 epochs are too short for a heatmap to become one
    augment = AnimalAugment(rotate, scale, flip=flip, colour=0.3)
    return Config(arch, Training(lr=lr, batch=16, ema=0.99, divergence=sharp), augment)


def published(trial: BaseTrial, body: str, flip: float) -> Config:
    """Xiao et al. 2018 and Sun et al. 2019 as MMPose trains them on AP-10K: 210 epochs, 64 crops a step."""
    size = trial.suggest_categorical("input", ["256x256", "256x192"])  # height x width
    net = Body(body, task.points, "heatmap", (256, int(size[4:])), upsample=0 if body.startswith("hrnet") else 3)
    # 500 iterations of warm-up: 3.5 epochs of AP-10K's 9,100 training animals (7,010 images of its first split)
    steps = Training(
        lr=trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        optimizer="adam",
        schedule="step",
        milestones=(170 / 210, 200 / 210),
        warmup=trial.suggest_float("warmup", 0.0, 10.0),
        warmup_from=0.001,
    )
    return Config(net, steps, AnimalAugment(rotate=40, scale=0.5, half_body=0.3, flip=flip))


recipe = {"flip": 0.5, "input": "256x256", "lr": 5e-4, "warmup": 3.5}
recipes = {body: {"body": body, **recipe} for body in PUBLISHED}
narrow = {f"{body}_256x192": {**recipes[body], "input": "256x192"} for body in ("hrnet_w32", "resnet50")}
first = {"body": "small", "width": 0.4, "size": 64, "head": "heatmap", "lr": 8e-3}
views = {"rotate": 0, "scale": 0.1, "flip": 0.5}
study = Study(
    task,
    space,
    trials=10,
    epochs=12,
    final_epochs=210,
    scheduler=Asha(grace=3),
    objective=ErrorAlone(),
    sampler=KnownCost(held={"body": "small"}),
    starts={"small": {**first, **views}},
    published={**recipes, **narrow},
)
