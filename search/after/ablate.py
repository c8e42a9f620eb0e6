"""An ablation: one trial's configuration with one choice changed at a time, each with the same few seeds.

It is a last training (.retrain) whose trials are a change and a seed each. So it has no choice to make, stops
nothing early, survives a kill and goes on in a storage of its own:

    OUT/STUDY/ablation/NNNNNN-EPOCHS-HASH/   storage, answers; HASH of the configuration and its changes
    OUT/STUDY/ablation/NNNNNN.json, .html    what the last ablation of trial NNNNNN found

All changes are trained with the same seeds as the trial as it is: the same order of images, the same random numbers
of their augmentation and, where the network is the same one, the same first weights. So differences are taken seed by
seed, which leaves out what a lucky seed adds to both.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from scipy import stats  # type: ignore[import-untyped]

from data.errors import UserError
from models.cost import cost
from models.readings import read
from search import paths as home
from search.after import changes, retrain
from search.after.changes import BASE
from search.results.ablation import LEVEL, Ablation, Mean, Row
from search.results.leaderboard import Entry
from search.run import checkpoint as weights
from search.run.ledger import Ledger, first_line
from search.run.settings import FinalTraining
from search.study import Config, Study, replay
from search.variant import PARAMETER, Variants, vary


def config_of(study: Study, entry: Entry) -> Config:
    """The configuration of a trial.

    Raises:
        UserError: the study no longer makes it.
    """
    try:
        return replay(study, entry.params)[0]
    except ValueError as error:
        raise UserError(
            f"trial {entry.number} does not fit the study as it is now ({error}); its file was changed since."
        ) from error


def room_of(folder: Path, number: int, epochs: int, config: Config, variants: Variants) -> Path:
    """The folder of an ablation; one of another length, configuration or choice of changes is another one.

    Raises:
        UserError: it cannot be made.
    """
    told = repr((config, sorted((name, sorted(change.items())) for name, change in variants.items())))
    digest = hashlib.blake2b(told.encode(), digest_size=4).hexdigest()
    return home.make_folder(folder / "ablation" / f"{number:06d}-{epochs}-{digest}")


def ledger_of(study: Study, name: str, room: Path, entry: Entry, epochs: int, seeds: int, variants: Variants) -> Ledger:
    """The storage of an ablation, begun or opened again; it keeps no weights of what has ended."""
    ledger = retrain.ledger_of(study, name, room, entry, epochs, seeds, variants, "ablation")
    ledger.study = replace(ledger.study, keep=0)
    return ledger


def final(variants: Variants) -> FinalTraining:
    """What workers must know: the changes. The trial as it is keeps no running mean that its search did not keep."""
    return FinalTraining(variants={name: dict(change) for name, change in variants.items()})


def found(
    study: Study, name: str, entry: Entry, variants: Variants, ledger: Ledger, room: Path, seeds: int
) -> Ablation:
    """What an ablation has come to; the weights of its trainings are deleted.

    Args:
        study: the search's.
        name: its name.
        entry: the trial.
        variants: what was trained.
        ledger: all of whose trials are over.
        room: its folder.
        seeds: asked for, of each change.

    Raises:
        UserError: no training of the trial as it is came to an end.
    """
    config = config_of(study, entry)
    trials = ledger.optuna_study.get_trials(deepcopy=False)
    by_name = {key: [trial for trial in trials if trial.params.get(PARAMETER) == key] for key in variants}
    base = row(study, config, BASE, variants, by_name[BASE], None)
    if base.error is None:
        reason = (base.failed or ("nothing",))[-1]
        raise UserError(f"no training of trial {entry.number} as it is came to an end; the last said: {reason}.")
    weights.keep_only(room / "weights", ())
    return Ablation(
        study=name,
        trial=entry.number,
        metric=study.task.metric,
        unit=study.task.unit,
        epochs=ledger.study.epochs,
        seeds=seeds,
        base=base,
        rows=tuple(row(study, config, key, variants, by_name[key], base) for key in variants if key != BASE),
        made=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def row(
    study: Study, config: Config, name: str, variants: Variants, trials: Sequence[FrozenTrial], base: Row | None
) -> Row:
    """One change's errors, beside those of the trial as it is."""
    change = variants[name]
    price = cost(vary(config, change).arch)
    metric, value, readings = study.task.metric, study.objective.value, read(study.readings, vary(config, change).arch)
    ended = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    errors = {str(trial.user_attrs["seed"]): float(trial.user_attrs[metric]) for trial in ended}
    error = mean(list(errors.values()))
    pairs = [(errors[seed], base.errors[seed]) for seed in errors if seed in base.errors] if base else []
    before = partial(value, read(study.readings, config.arch))
    values = [value(readings, mine) - before(theirs) for mine, theirs in pairs]
    score = study.objective.attributes(readings, error.mean).get("score") if error else None
    return Row(
        name=name,
        said=changes.said(study.task, config, change),
        params=price.params,
        flops=price.flops,
        errors=errors,
        error=error,
        difference=mean([mine - theirs for mine, theirs in pairs]),
        value=mean(values),
        score=score if isinstance(score, float) and math.isfinite(score) else None,
        failed=tuple(
            first_line(RuntimeError(trial.user_attrs.get("failed", "no reason known")))
            for trial in trials
            if trial.state is TrialState.FAIL
        ),
    )


def mean(values: Sequence[float]) -> Mean | None:
    """The mean of independent numbers and its 95 % interval by Student's t; None of none."""
    if not values:
        return None
    count, middle = len(values), float(np.mean(values))
    if count == 1:
        return Mean(middle, None, None, 1)
    half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return Mean(middle, middle - half, middle + half, count)
