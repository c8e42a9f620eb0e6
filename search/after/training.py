"""A search without a choice: one trial's parameters, trained once for each variant and seed.

The parameters are fixed and nothing is stopped early, so it runs, is watched, survives a kill and goes on just as a
search does, in a storage of its own. Full training (.retrain), folds (.ensemble) and ablations (.ablation) are such.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.errors import UserError
from search import paths
from search.after import model
from search.config_record import config_of, digest, needs_file, rebuild, record
from search.format import measured
from search.goal import Goal
from search.load import beginning
from search.ownership import claim
from search.results.leaderboard import Entry, entries
from search.schedulers import NoStopping, Scheduler

log = logging.getLogger(__name__)

if TYPE_CHECKING:  # a wrong trial is refused without torch and ray
    import optuna
    import torch
    from optuna.trial import FrozenTrial

    from models.readings import Readings
    from search.run.engine import Outcome
    from search.run.settings import Row
    from search.run.state.ledger import Ledger
    from search.run.training.clean import Clean
    from search.study import Config, Study, Task
    from search.variant import Variants

EMA = 0.999
"""Decay of the running mean of the weights, where the trial itself keeps none."""

THREADS = "threads"
"""CPU threads a seed was trained with: sums in another order make another network. With 2 threads instead of 1 a
training of 3 epochs ended 1.1 % away, with the same number it ends at the same bits."""


def choose_trial(optuna_study: optuna.Study, number: int | None, under: float | None = None) -> Entry:
    """The trial of this number, or the best finished one by the study's goal, or the best with an error below a limit.

    Raises:
        UserError: there is none.
    """
    attributes = optuna_study.user_attrs
    goal = Goal.of(attributes) if under is None else None
    trials = entries(optuna_study.get_trials(deepcopy=False), attributes["metric"], goal=goal)
    unit = optuna_study.user_attrs.get("unit", "")
    if number is not None:
        meant = paths.trial_of(optuna_study, number)
        trial = next(trial for trial in trials if trial.number == meant.number)
        if trial.params_m is None:
            reason = trial.reason.splitlines()[0] if trial.reason else trial.state
            raise UserError(f"trial {number} has no network: {reason}.")
        return trial
    finished = [trial for trial in trials if trial.state == "finished"]
    if not finished:
        raise UserError("no trial of this search has finished yet; name one with --trial, or let the search go on.")
    if under is None:
        return finished[0]
    below = [trial for trial in finished if trial.error is not None and trial.error < under]
    if not below:
        least = min(trial.error for trial in finished if trial.error is not None)
        raise UserError(f"no finished trial is below {under:g} {unit}; the smallest error is {measured(least, unit)}.")
    return below[0]


@dataclass(frozen=True)
class SearchedTrial:
    """A trial of a search that is to be trained."""

    study: Study  # the search's
    name: str  # the study's name
    file: Path  # the study's file, loaded again by every worker
    folder: Path  # the study's
    trial: Entry  # whose parameters are trained
    data: Path | None = None  # replaces the folder of the task's data set; None to leave it
    weights: str | None = None  # pre-trained ones to begin with; None for the trial's own choice
    study_id: str | None = None  # the study's own id; None of one begun before there were any
    recorded: optuna.Study | None = None  # the search, in its storage

    @cached_property
    def config(self) -> Config:
        """The trial's configuration, as it was kept; of a trial of before there were records, as the study makes it.

        Raises:
            UserError: the study no longer makes it.
        """
        try:
            config = config_of(self.study, self.trial.params, self.trial.config)
        except ValueError as error:
            raise UserError(
                f"trial {self.trial.number} does not fit the study as it is now ({error}); its file was changed since."
            ) from error
        return config if self.weights is None else beginning(config, self.weights)

    @cached_property
    def readings(self) -> Readings:
        """The study's readings of its network."""
        from models.readings import read

        return read(self.study.readings, self.config.arch)

    @property
    def final_epochs(self) -> int:
        """Length of a full training."""
        return self.study.full_epochs


@dataclass(frozen=True)
class Judged:
    """A training's weights on the validation part."""

    seed: model.Seed  # what is recorded of it
    # the better of the last and the averaged ones, by the names of the network's modules
    weights: dict[str, torch.Tensor]
    outputs: Any  # what they answer for the validation part
    clean: Clean  # what they reach on training images without augmentation
    curve: Sequence[Row] = ()  # of the training; some rows have the clean error, too
    threads: int = 1  # CPU threads that it was trained with


WHOLE = NoStopping()


@dataclass(frozen=True)
class FixedTraining:
    """One trial's parameters, trained once for each variant and seed."""

    source: SearchedTrial  # the trial
    folder: Path  # of this training: storage, training states, answers
    epochs: int  # length of each training
    seeds: int = 1  # trainings of each variant; all variants have the same seeds, so that they can be compared in pairs
    purpose: str = "in full"  # what the storage calls it; another name does not find an earlier run
    variants: Variants = field(default_factory=dict)  # what is changed, by name; empty to train the trial as it is
    ema: float = EMA  # decay of the running mean of the weights where the trial itself keeps none; 0 for none
    teacher: Path | None = None  # folder of a model whose answers are learnt beside the true points; None for none
    teacher_study: str | None = None  # the teacher's study, by name or file; None for the recorded name
    keep_weights: bool = True  # whether the training states are kept for judging
    first_seed: int = 0  # place of the first of the seeds; those before it were trained elsewhere
    scheduler: Scheduler = WHOLE  # when a training is stopped early

    @cached_property
    def ledger(self) -> Ledger:
        """The storage, begun or opened again."""
        from search.run.state.ledger import Ledger, open_storage
        from search.run.state.sampler import derived
        from search.variant import PARAMETER, varied

        study, trial = self.source.study, self.source.trial
        starts: dict[str, dict[str, Any]] = {}
        seeds: dict[str, int] = {}
        for place in range(self.first_seed, self.seeds):
            for variant in self.variants or [""]:
                start = f"{variant}, seed {place}" if variant else f"seed {place}"
                starts[start] = {PARAMETER: variant} if variant else {}
                seeds[start] = derived(study.seed, place)
        config = self.source.config
        if self.ema and not config.training.ema:
            config = replace(config, training=replace(config.training, ema=self.ema))
        fixed = replace(
            varied(replace(study, space=lambda _, __: config), self.variants),
            trials=len(starts),
            epochs=self.epochs,
            final_epochs=self.epochs,
            scheduler=self.scheduler,
            bounds={},
            gate=None,
            keep=len(starts) if self.keep_weights else 0,
            starts=starts,
        )
        storage = open_storage(paths.url_of(paths.make_folder(self.folder), None))
        name = f"{self.source.name} trial {trial.number} {self.purpose}"
        if trial.config is not None:  # another configuration's training is another one
            name += f" {digest(record(config))}"
        return Ledger(fixed, name, storage, study.task.identity(), seeds)

    def trials(self) -> dict[int, FrozenTrial]:
        """All its trials by number: a variant and a seed each."""
        return {trial.number: trial for trial in self.ledger.optuna_study.get_trials(deepcopy=False)}

    def train(
        self,
        workers: int | None = None,
        gpus: float | None = None,
        address: str | None = None,
        watch: Callable[[], None] = lambda: None,
    ) -> Outcome | None:
        """Train what is not yet trained; None where all is. For the arguments see `search.run.engine.search`."""
        from search.run import engine
        from search.run.settings import FinalTraining

        put = claim(self.folder, self.ledger.id, paths.url_of(self.folder, None))
        if put is not None:
            log.warning("posefront: %s held another training, which is now in %s.", self.folder, put)
        self.ledger.adopt()
        if self.ledger.finished >= self.ledger.study.trials:
            return None
        # A worker is told the configuration with each trial; of a change it needs what concerns the task.
        variants = {
            name: {part: value for part, value in change.items() if part.startswith("task.")}
            for name, change in self.variants.items()
        }
        final = FinalTraining(variants=variants, clean=self.keep_weights)
        if self.teacher is not None:
            teacher = model.load(self.teacher, self.teacher_study)
            kept, weights = record(teacher.config), str(self.teacher.absolute() / model.WEIGHTS)
            file = (self.teacher_study or teacher.facts.study) if needs_file(kept) else None
            final = replace(final, teacher=kept, weights=weights, study=file)
        outcome = engine.search(
            self.ledger,
            self.source.file,
            self.folder,
            data=self.source.data,
            workers=workers,
            gpus=gpus,
            address=address,
            watch=watch,
            final=final,
        )
        self.ledger.optuna_study.set_user_attr(THREADS, outcome.devices.threads)
        return outcome

    def judge(self, task: Task, numbers: Sequence[int]) -> list[Judged]:
        """Trials on the validation part of a task, with the better of their weights; the best one first.

        Raises:
            UserError: there are none, or the state of one is not that of its end.
        """
        from search.run.training import checkpoint, clean

        trials, judged = self.trials(), []
        for number in numbers:
            trial, device = trials[number], model.best_device()
            if not trial.user_attrs.get("curve"):
                continue
            file = checkpoint.path(self.folder / "weights", number)
            state = checkpoint.load(file, device, self.ledger.owner(trial))
            epoch = trial.user_attrs["curve"][-1]["epoch"]
            if state is None or state["epoch"] != epoch:
                raise UserError(
                    f"{file} is not the training state after epoch {epoch:g}, which this training reached; delete "
                    f"{self.folder} to train anew."
                )
            config = rebuild(trial.user_attrs["config"])
            best = judge_state(task, config, trial.user_attrs["seed"], state, device)
            threads = int(self.ledger.optuna_study.user_attrs.get(THREADS, 1))
            curve = clean.joined(trial.user_attrs["curve"], state.get("clean", []))
            judged.append(replace(best, curve=curve, threads=threads))
        if not judged:
            reasons = [str(trial.user_attrs.get("failed", "")).splitlines()[:1] for trial in trials.values()]
            raise UserError(
                f"no seed of trial {self.source.trial.number} came to an end; "
                f"the last said: {(reasons[-1] or ['nothing'])[0]}."
            )
        return sorted(judged, key=lambda training: training.seed.error)

    def save_best(
        self, task: Task, judged: Sequence[Judged], target: Path, lost: tuple[model.Loser, ...] | None = None
    ) -> model.Facts:
        """Write the model of the first of some judged trainings, and its answers for the task's validation part.

        `lost` are the candidates that this one was preferred to.
        """
        from search.results import answers

        best = judged[0]
        facts = self._facts(task, judged) | {"lost": lost}
        saved = model.save(target, facts, best.weights, [training.curve for training in judged])
        examples = answers.of(task, best.outputs, task.split(self.source.config.arch.size).valid, self.epochs)
        answers.save_pictures(examples, task, target)
        answers.save(examples, target, self.source.trial.number)
        return saved

    def _facts(self, task: Task, judged: Sequence[Judged]) -> dict[str, Any]:
        """What model.json says, but for the weights' digest."""
        from models.cost import cost

        study, trial, config = self.source.study, self.source.trial, self.source.config
        arch = config.arch
        error, price = judged[0].seed.error, cost(arch)
        return {
            "study": self.source.name,
            "study_id": self.source.study_id,
            "trial": trial.number,
            "params": dict(trial.params),
            "metric": task.metric,
            "unit": task.unit,
            "error": error,
            "params_count": price.params,
            "flops": price.flops,
            "score": study.objective.attributes(self.source.readings, error).get("score"),
            "epochs": self.epochs,
            "seeds": [training.seed for training in judged],
            "teacher": model.read(self.teacher / model.FACTS).name if self.teacher else None,
            "data": judged_on(task, arch.size),
            "versions": model.versions(model.best_device()) | {"threads": str(judged[0].threads)},
            "made": datetime.now().astimezone().isoformat(timespec="seconds"),
            "train_error": judged[0].clean.error,
            "train_images": judged[0].clean.images,
            **model.described(task, config),
        }


def judged_on(task: Task, size: Any) -> dict[str, Any]:
    """The data of a task and their split, as `Facts` keeps them; `size` is the network's input."""
    split = task.split(size)
    return {
        "about": model.about(task),
        "identity": task.identity(),
        "train": len(split.train.rows),
        "valid": len(split.valid.rows),
        "valid_rows": split.valid.rows.tolist(),
        "train_ranges": ranges(split.train.rows),
        "drawn": drawn_set(task),
    }


def ranges(rows: Any) -> list[list[int]]:
    """Ascending whole numbers, an array (n,), as runs: pairs of the first and of the last + 1."""
    import numpy as np

    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    return [[int(run[0]), int(run[-1]) + 1] for run in runs if len(run)]


def drawn_set(task: Task) -> dict[str, Any] | None:
    """What a task's data were drawn by, its layout and its settings; None for data that were not."""
    drawn = getattr(task, "drawn", None)
    return None if drawn is None or task.root is not None else {"layout": drawn.layout, **asdict(drawn)}


def judge_state(task: Task, config: Config, seed: int, state: dict[str, Any], device: torch.device) -> Judged:
    """The better of a training state's last and averaged weights on the validation part, and on training images."""
    from search.run.training import checkpoint, clean
    from search.run.training.fit import judge

    split = task.split(config.arch.size)
    part, sample = split.valid, clean.sample(split)
    weights = {"last": checkpoint.last(state)} | ({"averaged": checkpoint.averaged(state)} if state["ema"] else {})
    nets, outputs, errors = {}, {}, {}
    for kind, tensors in weights.items():
        net = config.arch.build()
        net.load_state_dict(tensors)
        nets[kind] = net.to(device)
        outputs[kind], _ = judge(task, nets[kind], config, part, device)
        errors[kind] = task.error(outputs[kind], part)
    best = min(errors, key=lambda kind: errors[kind] if math.isfinite(errors[kind]) else math.inf)
    answered, _ = judge(task, nets[best], config, sample, device)
    reached = clean.Clean(task.error(answered, sample), len(sample.rows))
    return Judged(model.Seed(seed, errors[best], best, errors), weights[best], outputs[best], reached)
