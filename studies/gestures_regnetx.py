"""The RegNetX design space on gestures, drawn at random: `posefront dashboard` compares it with gestures_regnety."""

from optuna.samplers import RandomSampler
from optuna.trial import BaseTrial

from data.drawn.gestures import DrawnGestures
from data.tasks.gestures import Gestures
from data.transforms.augment import GestureAugment
from models.regnet import RegNet
from search.objective import ErrorAlone
from search.schedulers import NoStopping
from search.study import Config, Study, Training


def design_space(se: float) -> Study:
    """Networks drawn at random: by their errors a design space is known (Radosavovic et al. 2020)."""

    def space(trial: BaseTrial, task: Gestures) -> Config:
        depth = trial.suggest_int("depth", 9, 14)
        w0 = trial.suggest_int("w0", 8, 32, step=8)
        wm = trial.suggest_float("wm", 1.6, 2.4)
        # Of slopes only those that end about wm^3 times as wide as they begin: any other has not four stages.
        wa = trial.suggest_float("wa", *(w0 * (wm**stage - 1) / (depth - 1) for stage in (2.55, 3.45)))
        group = trial.suggest_categorical("group", [4, 8, 16])
        arch = RegNet(depth, w0, wa, wm, group, se, outputs=task.outputs, size=64)
        training = Training(lr=4e-3, batch=32, weight_decay=0.01, schedule="onecycle", warmup=1)
        augment = GestureAugment(flip=0.3, rotate=10, scale=0.1, shift=0.04, perspective=0.1, colour=0.2, margin=0.5)
        return Config(arch, training, augment)

    return Study(
        Gestures(drawn=DrawnGestures()),
        space,
        trials=12,
        epochs=6,
        objective=ErrorAlone(),
        bounds={"gflops": 0.012},
        sampler=RandomSampler,
        scheduler=NoStopping(),
    )


study = design_space(se=0.0)
