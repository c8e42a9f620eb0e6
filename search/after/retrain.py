"""The last training: one trial's configuration in full length, a few seeds side by side.

It is a search without a choice. The parameters are fixed, nothing is stopped early, and a trial of it is a seed; so it
runs, is watched, survives a kill and goes on just as a search does, in a storage of its own:

    OUT/STUDY/retrain/NNNNNN-EPOCHS/   storage, states, answers of the seeds of trial NNNNNN
    OUT/STUDY/models/NNNNNN/           the best seed's model, see search.after.model
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import optuna
import torch

from data.errors import UserError
from models.cost import cost
from models.readings import read
from search import paths as home
from search.after import model
from search.format import measured
from search.load import load_study
from search.results import answers
from search.results.leaderboard import Entry, entries
from search.run import checkpoint as weights
from search.run import engine
from search.run.fit import fit, judge
from search.run.ledger import Ledger, open_storage
from search.run.sampler import derived
from search.run.worker import Final, settle
from search.schedulers import NoStopping
from search.study import Config, Study, replay
from search.variant import PARAMETER, Variants, varied

EMA = 0.999
"""Decay of the running mean of the weights, where the trial itself keeps none."""

THREADS = "threads"
"""CPU threads a seed was trained with: sums in another order make another network. With 2 threads instead of 1 a
training of 3 epochs ended 1.1 % away, with the same number it ends at the same bits."""


@dataclass(frozen=True)
class Judged:
    """A seed's weights on the validation part.

    Attributes:
        number: of the trial of the last training, that is of the seed.
        seed: its facts.
        weights: the better ones.
        outputs: what they answer for the validation part.
    """

    number: int
    seed: model.Seed
    weights: dict[str, torch.Tensor]
    outputs: Any


def choose(book: optuna.Study, trial: int | None, under: float | None) -> Entry:
    """The trial that is meant: by its number, or the best finished one, or the best with an error below a limit.

    Raises:
        UserError: there is none.
    """
    found = entries(book.get_trials(deepcopy=False), book.user_attrs["metric"])
    unit = book.user_attrs.get("unit", "")
    if trial is not None:
        meant = next((entry for entry in found if entry.number == trial), None)
        if meant is None:
            raise UserError(f"there is no trial {trial}; the search has trials 0 to {len(found) - 1}.")
        if meant.params_m is None:
            raise UserError(
                f"trial {trial} has no network: {meant.reason.splitlines()[0] if meant.reason else meant.state}."
            )
        return meant
    finished = [entry for entry in found if entry.state == "finished"]
    if not finished:
        raise UserError("no trial of this search has finished yet; name one with --trial, or let the search go on.")
    if under is None:
        return finished[0]
    below = [entry for entry in finished if entry.error is not None and entry.error < under]
    if not below:
        least = min(entry.error for entry in finished if entry.error is not None)
        raise UserError(f"no finished trial is below {under:g} {unit}; the smallest error is {measured(least, unit)}.")
    return below[0]


def room_of(folder: Path, number: int, epochs: int, teacher: Path | None) -> Path:
    """The folder of a last training; one of another length or by another teacher is another one.

    Raises:
        UserError: it cannot be made, or the teacher is no model.
    """
    taught = f"-{model.read(teacher / model.FACTS).weights_sha256[:8]}" if teacher is not None else ""
    return home.made(folder / "retrain" / f"{number:06d}-{epochs}{taught}")


def model_folder(folder: Path, number: int) -> Path:
    """Where the model of a trial is kept."""
    return folder / "models" / f"{number:06d}"


def final(teacher: Path | None, study: str | None) -> Final:
    """How a last training differs from the trial's."""
    return Final(EMA, None if teacher is None else str(teacher.absolute()), study)


def ledger_of(
    study: Study,
    name: str,
    room: Path,
    entry: Entry,
    epochs: int,
    seeds: int,
    variants: Variants = MappingProxyType({}),
    what: str = "in full",
) -> Ledger:
    """The storage of a last training, begun or opened again.

    Args:
        study: the search's.
        name: its name.
        room: folder of this training.
        entry: the trial that is trained.
        epochs: length of the training.
        seeds: how often it is trained; each variant with the same seeds, so that they can be compared in pairs.
        variants: what is changed, by name; empty to train the trial as it is.
        what: how this training is called.
    """
    starts: dict[str, dict[str, Any]] = {}
    own: dict[str, int] = {}
    for place in range(seeds):
        for variant in variants or [""]:
            start = f"{variant}, seed {place}" if variant else f"seed {place}"
            starts[start] = entry.params | ({PARAMETER: variant} if variant else {})
            own[start] = derived(study.seed, place)
    long = replace(
        varied(study, variants),
        trials=len(starts),
        epochs=epochs,
        scheduler=NoStopping(),
        bounds={},
        keep=len(starts),
        starts=starts,
    )
    storage = open_storage(home.url_of(room, None))
    return Ledger(long, f"{name} trial {entry.number} {what}", storage, study.task.identity(), own)


def train(
    ledger: Ledger,
    room: Path,
    file: Path,
    final: Final,
    *,
    data: Path | None = None,
    workers: int | None = None,
    gpus: float | None = None,
    address: str | None = None,
    weights: str | None = None,
    watch: Callable[[Ledger], None] = lambda _: None,
) -> engine.Outcome | None:
    """Train the seeds that are not yet trained; None where all are. See `engine.search`."""
    ledger.adopt()
    if ledger.finished >= ledger.study.trials:
        return None
    outcome = engine.search(
        ledger,
        file,
        room,
        data=data,
        workers=workers,
        gpus=gpus,
        address=address,
        watch=watch,
        weights=weights,
        final=final,
    )
    ledger.book.set_user_attr(THREADS, outcome.devices.threads)
    return outcome


def finish(ledger: Ledger, room: Path, folder: Path, name: str, entry: Entry, final: Final) -> model.Facts:
    """Judge every seed with its last and its averaged weights on the validation part, and keep the best as the model.

    Nothing but the validation part is looked at: the choice is one of at most 2 x seeds.

    Raises:
        UserError: no seed came to an end.
    """
    judged = judge_all(ledger, room, ledger.study, entry, ledger.best(ledger.finished))
    return keep(ledger, ledger.study, judged, model_folder(folder, entry.number), name, entry, final)


def judge_all(ledger: Ledger, room: Path, study: Study, entry: Entry, numbers: Sequence[int]) -> list[Judged]:
    """The seeds `numbers` of a last training on the validation part of the study's task, the best one first.

    Raises:
        UserError: none of them came to an end.
    """
    config, _ = replay(study, entry.params)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trials = {trial.number: trial for trial in ledger.book.get_trials(deepcopy=False)}
    judged = []
    for number in numbers:
        state = weights.load(weights.path(room / "weights", number), device)
        if state is not None:
            judged.append(both(study, config, number, trials[number].user_attrs["seed"], state, device))
    if not judged:
        reasons = [str(trial.user_attrs.get("failed", "")).splitlines()[:1] for trial in trials.values()]
        raise UserError(
            f"no seed of trial {entry.number} came to an end; the last said: {(reasons[-1] or ['nothing'])[0]}."
        )
    return sorted(judged, key=lambda one: one.seed.error)


def keep(
    ledger: Ledger, study: Study, judged: Sequence[Judged], target: Path, name: str, entry: Entry, final: Final
) -> model.Facts:
    """Write the model of the first of some seeds, and what it answers for the validation part.

    Args:
        ledger: of the last training.
        study: whose task judged them.
        judged: the seeds, the best one first.
        target: the model's folder.
        name: of the search's study.
        entry: the trial.
        final: how it was trained.
    """
    config, _ = replay(study, entry.params)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trials = {trial.number: trial for trial in ledger.book.get_trials(deepcopy=False)}
    best = judged[0]
    price = cost(config.arch)
    split = study.task.split(config.arch.size)
    readings = read(study.readings, config.arch)
    attributes = study.objective.attributes(readings, best.seed.error)
    facts = model.save(
        target,
        {
            "study": name,
            "trial": entry.number,
            "params": dict(entry.params),
            "metric": study.task.metric,
            "unit": study.task.unit,
            "error": best.seed.error,
            "params_count": price.params,
            "flops": price.flops,
            "score": attributes.get("score"),
            "epochs": ledger.study.epochs,
            "seeds": [one.seed for one in judged],
            "teacher": taught(final),
            "data": {
                "identity": study.task.identity(),
                "train": len(split.train.rows),
                "valid": len(split.valid.rows),
                "valid_rows": split.valid.rows.tolist(),
            },
            "versions": model.versions(device) | {"threads": str(ledger.book.user_attrs.get(THREADS, 1))},
            "made": datetime.now().astimezone().isoformat(timespec="seconds"),
        },
        best.weights,
        [trials[one.number].user_attrs["curve"] for one in judged],
    )
    found = answers.of(study.task, best.outputs, split.valid, ledger.study.epochs)
    answers.save_pictures(found, study.task, target)
    answers.save(found, target, entry.number)
    return facts


def trained(folder: Path, number: int | None, study: str, data: Path | None) -> model.Model:
    """A model of a study, read back.

    Args:
        folder: the study's.
        number: of the trial; None for the model of the least value, as the study minimises it.
        study: its file.
        data: replaces the task's folder.

    Raises:
        UserError: there is none.
    """
    known = sorted(int(place.name) for place in (folder / "models").glob("[0-9]*") if place.name.isdigit())
    if number is not None:
        known = [number]
    if not known:
        raise UserError(f"{folder} holds no trained model; make one with `posefront retrain {folder.name}`.")
    found = [model.load(model_folder(folder, one), study, data) for one in known]

    def value(one: model.Model) -> float:
        return one.study.objective.value(read(one.study.readings, one.config.arch), one.facts.error)

    return min(found, key=value)


def data_of(found: model.Model) -> Path:
    """The folder of a model's data set; drawn now where it is drawn hands that are not there."""
    folder: Path = found.study.task.folder()
    return folder


def again(facts: model.Facts, study: str, data: Path | None) -> float:
    """Train as a model was trained, from its recorded seed, and judge the same weights: their error.

    Raises:
        UserError: it had a teacher, which is not recorded.
    """
    if facts.teacher is not None:
        raise UserError(
            f"the model learnt from a teacher ({facts.teacher}), which is not in it; it can't be trained again."
        )
    chosen = load_study(study, data=None if data is None else data.absolute())
    config, _ = replay(chosen, facts.params)
    config = replace(config, training=replace(config.training, ema=config.training.ema or EMA))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seed = facts.seeds[0]
    settle(int(facts.versions.get("threads", 1)), device)
    state: dict[str, Any] = {}
    for reached in fit(chosen.task, config, epochs=facts.epochs, seed=seed.seed, device=device):
        state = reached.take()
    return both(chosen, config, 0, seed.seed, state, device).seed.errors[seed.weights]


def taught(final: Final) -> str | None:
    """What the teacher was, in words."""
    if final.teacher is None:
        return None
    facts = model.read(Path(final.teacher) / model.FACTS)
    return f"{facts.study} trial {facts.trial}, {facts.error:.4g} {facts.unit}"


def both(study: Study, config: Config, number: int, seed: int, state: dict[str, Any], device: torch.device) -> Judged:
    """The better of a training's last and averaged weights."""
    part = study.task.split(config.arch.size).valid
    kinds = {"last": weights.last(state)} | ({"averaged": weights.averaged(state)} if state["ema"] else {})
    outputs = {}
    errors = {}
    for kind, tensors in kinds.items():
        net = config.arch.build()
        net.load_state_dict(tensors)
        outputs[kind], _ = judge(study.task, net.to(device), config, part, device)
        errors[kind] = study.task.error(outputs[kind], part)
    best = min(errors, key=lambda kind: errors[kind] if math.isfinite(errors[kind]) else math.inf)
    return Judged(number, model.Seed(seed, errors[best], best, errors), kinds[best], outputs[best])
