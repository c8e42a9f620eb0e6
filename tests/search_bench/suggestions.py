"""Seconds a suggestion takes after many trials, in the space of a real study whose networks are counted exactly.

Of CPU time, so that what else the machine does is not in them: with OMP_NUM_THREADS=1 these are seconds of a free core.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import optuna
from optuna.samplers import GPSampler
from optuna.trial import FrozenTrial, TrialState, create_trial
from rich.console import Console
from rich.table import Table as Printed

from models.cost import cost
from models.readings import read
from search.config_record import record
from search.run.state.sampler import TrialSampler
from search.samplers import KnownCost
from search.samplers.candidates import DrawnTrial
from search.samplers.make import make_sampler
from search.samplers.prices import predicted, traits
from search.study import Study, tpe
from studies import freihand

TRIALS = (100, 1000, 5000)
COUNTED = 40
"""Networks whose readings are exact; those of the others are predicted from them."""

EPOCHS = (3, 9, 27, 40)
SHARES = (0.62, 0.22, 0.1, 0.06)
"""Of trials that ended after these, as ASHA stops them; without stopping all have the last."""

SAMPLERS: dict[str, Any] = {"TPE": tpe, "GP": lambda seed: GPSampler(seed=seed), "known cost": KnownCost()}
WHOLE = {"GP"}
"""Methods that learn from whole trainings alone."""

MOST = {"GP": 1000}
"""Trials after which a method is no longer timed."""


def made_up(study: Study, count: int, shares: Sequence[float]) -> list[FrozenTrial]:
    """Trials at random with curves of a formula; `shares` of them ended after `EPOCHS`."""
    rng = np.random.default_rng(0)
    points = [DrawnTrial(rng, {}) for _ in range(count)]
    configs = [study.space(point, study.task) for point in points]
    exact = [(traits(config.arch), read(study.readings, config.arch)) for config in configs[:COUNTED]]
    prices = predicted(exact, [traits(config.arch) for config in configs], COUNTED)
    trials = []
    for point, config, readings in zip(points, configs, prices, strict=True):
        end = 4 + 20 * math.exp(-1.2 * readings["params_m"] ** 0.3) + 40 * abs(math.log10(config.training.lr) + 2.7)
        epochs = int(rng.choice(EPOCHS, p=shares))
        errors = [end + 30 / epoch + 0.2 * rng.normal() for epoch in range(1, epochs + 1)]
        curve = [{"epoch": i, "error": error, "train_seconds": 1.0} for i, error in enumerate(errors, 1)]
        trials.append(
            create_trial(
                state=TrialState.COMPLETE if epochs == EPOCHS[-1] else TrialState.PRUNED,
                value=study.objective.value(readings, errors[-1]),
                params=point.params,
                distributions=point.distributions,
                user_attrs={**readings, "curve": curve, "budget": EPOCHS[-1], "config": record(config)},
            )
        )
    return trials


def seconds(study: Study, trials: list[FrozenTrial], repeats: int = 3) -> list[float]:
    """Of the first suggestion after these trials, where kernels are fitted, and of those that follow."""
    searched = optuna.create_study()
    searched.add_trials(trials)
    taken = []
    for i in range(1 + repeats):
        searched.sampler = TrialSampler(partial(make_sampler, study), 0, len(trials) + i)
        began = time.process_time()
        trial = searched.ask()
        config = study.space(trial, study.task)
        taken.append(time.process_time() - began)
        counted = cost(config.arch)
        for name, answer in (
            ("budget", EPOCHS[-1]),
            ("params_m", counted.params / 1e6),
            ("gflops", counted.flops / 1e9),
        ):
            trial.set_user_attr(name, answer)
    return taken


def print_seconds() -> None:
    """Print a table: the first suggestion, and the median of three more."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    stopped = made_up(freihand.study, TRIALS[-1], SHARES)
    whole = made_up(freihand.study, max(MOST.values()), (0, 0, 0, 1))
    printed = Printed("method", "trials", "first [s]", "then, median [s]")
    for method, sampler in SAMPLERS.items():
        study = replace(freihand.study, sampler=sampler)
        for count in TRIALS:
            if count <= MOST.get(method, count):
                first, *then = seconds(study, (whole if method in WHOLE else stopped)[:count])
                printed.add_row(method, str(count), f"{first:.2f}", f"{median(then):.2f}")
    Console().print(printed)
