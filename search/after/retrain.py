"""Full training: one trial's configuration in full length, a few seeds side by side, the best of them kept as a model.

OUT/STUDY/retrain/NNNNNN-EPOCHS/   storage, states, answers of the seeds of trial NNNNNN
OUT/STUDY/models/NNNNNN-EPOCHS/    the best seed's model, see search.after.model

Both end with a part of the teacher's digest where there is a teacher. Older versions kept models in models/NNNNNN.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UserError
from search.after import model
from search.after.models import FOLDER, folders
from search.after.training import EMA, FixedTraining, Judged, SearchedTrial, judge_state
from search.config_record import config_of, digest, record
from search.full_length import RETRAINED
from search.run.state.storage import StorageError

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from search.study import Study


def full_training(
    source: SearchedTrial,
    epochs: int,
    seeds: int,
    teacher: Path | None = None,
    teacher_study: str | None = None,
    first_seed: int = 0,
) -> FixedTraining:
    """A trial's full training; one of another length or by another teacher has another folder.

    Args:
        source: the trial.
        epochs: length of each training.
        seeds: trainings, those before `first_seed` included.
        teacher: folder of a model to learn from; None for none.
        teacher_study: its study, by name or file; None for the recorded name.
        first_seed: place of the first seed that is trained here.

    Raises:
        UserError: the teacher is no model.
    """
    by = f"-{model.read(teacher / model.FACTS).weights_sha256[:8]}" if teacher is not None else ""
    folder = source.folder / "retrain" / f"{source.trial.number:06d}-{epochs}{by}"
    return FixedTraining(
        source, folder, epochs, seeds, teacher=teacher, teacher_study=teacher_study, first_seed=first_seed
    )


def model_folder(training: FixedTraining) -> Path:
    """Where a full training's model is kept: apart from those of other lengths, teachers and weights begun with."""
    source = training.source
    begun = f"-{str(digest(record(source.config)))[:8]}" if source.weights is not None else ""
    return source.folder / FOLDER / f"{training.folder.name}{begun}"


def finish(
    training: FixedTraining, first: Judged | None = None, lost: tuple[model.Loser, ...] | None = None
) -> model.Facts:
    """Judge every seed with its last and its averaged weights on the validation part, and keep the best as the model.

    Nothing but the validation part is looked at: the choice is one of at most 2 x seeds.

    Args:
        training: of the seeds.
        first: of a seed that was trained elsewhere; None for none.
        lost: the candidates that this trial was preferred to.

    Raises:
        UserError: no seed came to an end.
    """
    source = training.source
    numbers = training.ledger.best(training.ledger.finished) if training.seeds > training.first_seed else []
    judged = training.judge(source.study.task, numbers) if numbers or first is None else []
    judged = sorted([*([first] if first else []), *judged], key=lambda each: each.seed.error)
    facts = training.save_best(source.study.task, judged, model_folder(training), lost)
    _note_end(training, facts)
    return facts


def _note_end(training: FixedTraining, facts: model.Facts) -> None:
    """Keep with the study how a full training ended: later predictions learn from it, see search.full_length.

    That of a network that had a teacher, or began with other weights than its trial, says nothing of the others.
    """
    source = training.source
    if source.recorded is None or training.teacher is not None or source.weights is not None or not source.trial.error:
        return
    ended = {
        "trial": source.trial.number,
        "error": statistics.mean(seed.error for seed in facts.seeds),
        "epochs": training.epochs,
        "searched_error": source.trial.error,
        "searched_epochs": source.trial.epochs,
    }
    try:
        source.recorded.set_user_attr(f"{RETRAINED}{source.trial.number:06d} {training.epochs}", ended)
    except StorageError as error:
        log.warning("posefront: the model is kept, but not how it ended in the study's storage: %s", error)


def kept(folder: Path, number: int | None, study_id: str | None) -> dict[Path, model.Facts]:
    """The models of a study by their folders: of all its trials, or of one.

    Args:
        folder: the study's.
        number: the trial's; None for all.
        study_id: the study's own; None of one begun before there were any.

    Raises:
        UserError: there is none, or they are another study's.
    """
    read = {place: model.read(place / model.FACTS) for place in folders(folder, number)}
    found = {place: facts for place, facts in read.items() if number in (None, facts.trial)}
    own = {place: facts for place, facts in found.items() if facts.study_id == study_id}
    if not own:
        others = f"; {len(found)} there belong to another study of this name" if found else ""
        of, option = ("", "") if number is None else (f" of trial {number}", f" --trial {number}")
        raise UserError(
            f"{folder} holds no trained model{of}{others}; make one with `posefront retrain {folder.name}{option}`."
        )
    return own


def best(models: Mapping[Path, model.Facts], study: Study, under: float = math.inf) -> Path:
    """The model of the least value, as the study minimises it, whose error is below a goal; if none is, the nearest.

    All are compared on the validation part, and on nothing else.
    """
    from models.readings import read

    def order(place: Path) -> tuple[bool, float]:
        facts = models[place]
        if facts.error >= under:
            return True, facts.error
        arch = config_of(study, facts.params, facts.config).arch
        return False, study.objective.value(read(study.readings, arch), facts.error)

    return min(models, key=order)


def load_model(
    folder: Path,
    study: Study,
    study_id: str | None,
    *,
    number: int | None = None,
    place: Path | None = None,
    under: float = math.inf,
) -> tuple[model.Model, int]:
    """The model that is meant, and how many it was chosen from.

    Args:
        folder: the study's.
        study: whose models they are.
        study_id: its own; None of one begun before there were any.
        number: of the trial whose models are meant; None for all.
        place: a model's own folder; None for the best, see `best`.
        under: the study's goal; infinite without one.

    Raises:
        UserError: there is none, or it is another study's.
    """
    if place is None:
        models = kept(folder, number, study_id)
        return model.load(best(models, study, under), study), len(models)
    facts = model.read(place / model.FACTS)
    if facts.study_id != study_id:
        raise UserError(f"{place} is a model of {facts.name}, which is another study than the one in {folder}.")
    return model.load(place, study), 1


def train_again(facts: model.Facts, study: str, data: Path | None) -> float:
    """Train as a model was trained, from its recorded seed, and judge the same weights: their error.

    Raises:
        UserError: it had a teacher, which is not recorded.
    """
    if facts.teacher is not None:
        raise UserError(
            f"the model learnt from a teacher ({facts.teacher}), which is not in it; it can't be trained again."
        )
    from search.load import load_study
    from search.run.training.fit import fit, settle

    rebuilt = load_study(study, data=None if data is None else data.absolute())
    config = config_of(rebuilt, facts.params, facts.config)
    config = replace(config, training=replace(config.training, ema=config.training.ema or EMA))
    device = model.best_device()
    seed = facts.seeds[0]
    settle(int(facts.versions.get("threads", 1)), device)
    state: dict[str, Any] = {}
    for trained in fit(rebuilt.task, config, epochs=facts.epochs, seed=seed.seed, device=device):
        state = trained.take()
    return judge_state(rebuilt.task, config, seed.seed, state, device).seed.errors[seed.weights]
