"""Face landmarks, ranked as the course task is. Drawn faces, sized for two cores; --data for photographs."""

from optuna.trial import BaseTrial

from data.drawn.faces import DrawnFaces
from data.tasks.keypoints import Keypoints, faces
from data.transforms.augment import Augment
from models.net import Arch
from models.space import USUAL, details
from search.objective import CourseScore
from search.study import Config, Study, Training

task = faces(drawn=DrawnFaces(count=1200))


def space(trial: BaseTrial, task: Keypoints) -> Config:
    head = trial.suggest_categorical("head", ["direct", "heatmap", "simcc"])
    arch = Arch(
        points=task.points,
        width=trial.suggest_float("width", 0.05, 0.6, step=0.05),
        stride=trial.suggest_categorical("stride", [8, 16, 32]),
        size=trial.suggest_int("size", 32, 112, step=16),
        head=head,
        neck=trial.suggest_categorical("neck", [0, 96, 288]),
        **details(trial, head),
    )
    training = Training(
        lr=trial.suggest_float("lr", 2e-3, 3e-2, log=True),
        batch=16,
        ema=0.98,
        loss=trial.suggest_categorical("loss", ["distance", "smooth_l1"]),
    )
    turn, mirror = trial.suggest_int("rotate", 0, 20, step=10), trial.suggest_categorical("flip", [0.0, 0.5])
    return Config(arch, training, Augment(rotate=turn, flip=mirror, scale=0.1, shift=0.05, colour=0.2))


small = {"head": "heatmap", "width": 0.3, "stride": 16, "size": 64, "neck": 0, "upsample": 1}
starts = {"small": {**small, **USUAL, "lr": 1.5e-2, "loss": "distance", "rotate": 10, "flip": 0.5}}
changes: dict[str, dict[str, object]] = {
    "no mirror": {"augment.flip": 0.0},
    "no turn": {"augment.rotate": 0},
    "smooth L1": {"training.loss": "smooth_l1"},
    "constant rate": {"training.schedule": "constant"},
}
course = CourseScore(reference=None)  # nobody has published a design for it
study = Study(task, space, trials=12, objective=course, epochs=9, final_epochs=30, starts=starts, changes=changes)
