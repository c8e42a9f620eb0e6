"""The study's book: Optuna's storage, the one place where a search's state is kept.

Only the driver writes to it. A trial's life: asked -> refused (PRUNED, untrained), or reported epoch by epoch and
then finished (COMPLETE), stopped early (PRUNED with its whole curve) or failed (FAIL with the reason). What a dead
or interrupted run was training goes back to WAITING, which Optuna hands out again before it samples anything new:
the same trial, with its parameters, curve and weights, goes on where it was.
"""

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy.exc
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from data.errors import UserError
from models.readings import Reading, Readings
from search.run.sampler import TrialSampler, derived
from search.schedulers import record
from search.study import Config, Study

optuna.logging.set_verbosity(optuna.logging.WARNING)

REFUSALS = 300
"""Samples in a row that may break the bounds before the search gives up."""

FAILURES = 8
"""Trials in a row that may fail before the search gives up."""

Row = dict[str, float]
"""One epoch's measurements: search.run.fit.Epoch as a dictionary."""

ROW = ("epoch", "error", "train_loss", "valid_loss", "lr", "seconds", "train_seconds", "images", "memory_mb")


@dataclass(frozen=True)
class Assignment:
    """A trial to train.

    Attributes:
        number: the trial's number in the study.
        params: what was sampled; `space(FixedTrial(params))` rebuilds the Config.
        seed: of its training.
        epochs: length of its training.
        last: what its last epoch measured in an earlier run; None for a fresh trial.
    """

    number: int
    params: dict[str, Any]
    seed: int
    epochs: int
    last: Row | None


class Ledger:
    """A study in its storage, and which of its trials are being trained now."""

    def __init__(
        self, study: Study, name: str, storage: BaseStorage, data: str = "", seeds: Mapping[str, int] | None = None
    ) -> None:
        """Open or begin the study `name` on the data of identity `data`.

        Args:
            study: what is searched.
            name: under which it is kept.
            storage: where.
            data: what the task calls its data.
            seeds: of the starting trials that shall not have their number's own.

        Raises:
            UserError: the storage holds a study of that name that minimises something else or saw other data.
        """
        self.study = study
        self.book = optuna.create_study(study_name=name, storage=storage, direction="minimize", load_if_exists=True)
        self._storage = storage
        named = self.book.metric_names
        if named is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self.book.set_metric_names([study.objective.name])
        elif named != [study.objective.name]:
            raise UserError(
                f"the study {name!r} in this storage minimises {named[0]!r}, and {study.objective.name!r} is asked "
                "for; give --out another folder to begin a new study."
            )
        self.running: dict[int, optuna.Trial] = {}
        self.ended: list[FrozenTrial] = []
        self.assigned: dict[int, Assignment] = {}
        self.curves: dict[int, list[Row]] = {}
        self.readings: dict[int, Readings] = {}
        self._workers: dict[int, str] = {}
        trials = self.book.get_trials(deepcopy=False)
        self.finished = sum(is_finished(trial) for trial in trials)
        self._failed_in_a_row = 0
        known = {trial.user_attrs.get("name") for trial in trials}
        for key, value in (
            ("metric", study.task.metric),
            ("unit", study.task.unit),
            ("data", data),
            ("objective", study.objective.described().record()),
            ("readings", [{"name": r.name, "title": r.title, "unit": r.unit} for r in study.readings]),
        ):
            if key not in self.book.user_attrs:
                self.book.set_user_attr(key, value)
        if self.book.user_attrs["data"] != data:
            raise UserError(
                f"the study {name!r} was searched on other data, or another split of it, and errors would not be "
                "comparable; give --data the same folder, or --out another one to begin a new study."
            )
        how = {"trials": study.trials, "epochs": study.epochs, "seed": study.seed, **record(study.scheduler)}
        if self.book.user_attrs.get("search") != how:
            self.book.set_user_attr("search", how)
        for start, params in study.starts.items():
            if start not in known:
                seed = {"seed": seeds[start]} if seeds and start in seeds else {}
                self.book.enqueue_trial(dict(params), user_attrs={"name": start, **seed})

    def adopt(self) -> int:
        """Put what a dead run left RUNNING back to WAITING; how many there were."""
        orphans = self.book.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in orphans:
            self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        return len(orphans)

    def release(self) -> int:
        """Put what is being trained now back to WAITING, for the next run; how many there are."""
        for trial in self.running.values():
            self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        released = len(self.running)
        self.running.clear()
        return released

    def ask(self) -> Assignment | None:
        """The next trial to train, its price known and admitted; None when the study has all its trials.

        Raises:
            UserError: nothing but refused samples, or nothing but failures, for too long.
        """
        for _ in range(REFUSALS):
            if self.finished + len(self.running) >= self.study.trials:
                return None
            trials = self.book.get_trials(deepcopy=False)
            number = next((trial.number for trial in trials if trial.state is TrialState.WAITING), len(trials))
            self.book.sampler = TrialSampler(self.study.sampler, self.study.seed, number)
            trial = self.book.ask()
            self.running[trial.number] = trial
            try:
                config = self.study.space(trial, self.study.task)
                found = self._read(trial, config)
            except Exception as error:  # noqa: BLE001 - the study file's own code: its fault is written down
                self.fail(trial.number, f"{type(error).__name__} while building the trial: {error}")
                continue
            known = trial.user_attrs
            self.curves[trial.number] = list(known.get("curve", []))
            self.readings[trial.number] = found
            for key, value in (
                *found.items(),
                ("budget", self.study.epochs),
                ("seed", derived(self.study.seed, trial.number)),
            ):
                if key not in known:
                    trial.set_user_attr(key, value)
            if not self._admit(trial, found):
                continue
            known = trial.user_attrs
            curve = self.curves[trial.number]
            self.assigned[trial.number] = Assignment(
                trial.number, trial.params, known["seed"], known["budget"], curve[-1] if curve else None
            )
            return self.assigned[trial.number]
        bounds = ", ".join(f"{one.title} {bound:g} {one.unit}".strip() for one, bound in self._bounds())
        raise UserError(
            f"{REFUSALS} samples in a row broke the study's bounds ({bounds}); widen the bounds or narrow the space."
        )

    def _read(self, trial: optuna.Trial, config: Config) -> Readings:
        """A trial's readings; those that an earlier run took are kept."""
        known = trial.user_attrs
        return {
            reading.name: float(known[reading.name] if reading.name in known else reading.measure(config.arch))
            for reading in self.study.readings
        }

    def _bounds(self) -> list[tuple[Reading, float]]:
        """The readings that have a bound."""
        return [(one, self.study.bounds[one.name]) for one in self.study.readings if one.name in self.study.bounds]

    def _admit(self, trial: optuna.Trial, readings: Readings) -> bool:
        """Whether the trial is within the bounds; one that isn't is told, untrained."""
        broken = []
        told = self._storage.get_trial(trial._trial_id).constraints
        for one, bound in self._bounds():
            price = readings[one.name]
            if not told:
                trial.set_constraint(one.title, math.log(price / bound))
            if price > bound:
                broken.append(f"{one.title} {price:.4g} {one.unit} > {bound:g} {one.unit}")
        if not broken:
            return True
        trial.set_user_attr("refused", ", ".join(broken))
        self._tell(trial.number, TrialState.PRUNED)
        return False

    def report(self, number: int, row: Row) -> None:
        """Write down one epoch of a running trial; an epoch that is known already stays as it was."""
        curve, trial = self.curves[number], self.running[number]
        if curve and row["epoch"] <= curve[-1]["epoch"]:
            return
        curve.append(row)
        trial.set_user_attr("curve", curve)
        trial.report(self.value(number, row), int(row["epoch"]))

    def place(self, number: int, worker: str) -> None:
        """Write down which process trains a trial: host and process number."""
        if self._workers.get(number) != worker:
            self._workers[number] = worker
            self.running[number].set_user_attr("worker", worker)

    def value(self, number: int, row: Row) -> float:
        """What the study minimises, as it stands after the epoch `row` of a trial of this run."""
        return self.study.objective.value(self.readings[number], row["error"])

    def finish(self, number: int) -> None:
        """A running trial has had all its epochs."""
        self._failed_in_a_row = 0
        row = self.curves[number][-1]
        value = self.value(number, row)
        self._summarise(number)
        self._tell(number, TrialState.COMPLETE, value)

    def stop(self, number: int) -> None:
        """The scheduler has stopped a running trial; Optuna takes its last intermediate value as its value."""
        self._failed_in_a_row = 0
        self._summarise(number)
        self._tell(number, TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """A running trial cannot go on.

        Raises:
            UserError: so many failed in a row that the study itself must be at fault.
        """
        self._failed_in_a_row += 1
        self.running[number].set_user_attr("failed", reason)
        self._summarise(number)
        self._tell(number, TrialState.FAIL)
        if self._failed_in_a_row >= FAILURES:
            raise UserError(
                f"{FAILURES} trials in a row failed, so the search has stopped; the last, trial {number}: {reason}"
            )

    def _summarise(self, number: int) -> None:
        """Keep the last epoch's readings with the trial, whatever becomes of it."""
        curve, trial = self.curves.get(number, []), self.running[number]
        if not curve:
            return
        last = curve[-1]
        training = sum(row["train_seconds"] for row in curve)
        summary: dict[str, float | str | None] = {
            self.study.task.metric: last["error"],
            "epochs": last["epoch"],
            "seconds": sum(row["seconds"] for row in curve),
            "images_per_s": sum(row["images"] for row in curve) / training if training else None,
            "peak_memory_mb": max(row["memory_mb"] for row in curve),
            **self.study.objective.attributes(self.readings[number], last["error"]),
        }
        for key, value in summary.items():
            trial.set_user_attr(key, value)

    def _tell(self, number: int, state: TrialState, value: float | None = None) -> None:
        trial = self.running.pop(number)
        self.curves.pop(number, None)
        self.assigned.pop(number, None)
        self.finished += "refused" not in trial.user_attrs
        self.ended.append(self.book.tell(trial, value, state=state))

    def past(self) -> Iterator[tuple[int, int, Mapping[int, float]]]:
        """Every trained trial that is over: number, length of its training, value by epoch."""
        for trial in self.book.get_trials(deepcopy=False):
            if is_finished(trial) and trial.intermediate_values:
                yield trial.number, trial.user_attrs["budget"], trial.intermediate_values

    def enters(self, number: int, count: int) -> bool:
        """Whether a running trial, as it stands, would be among the best `count` finished ones."""
        value = self.value(number, self.curves[number][-1])
        complete = self.book.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return len([trial for trial in complete if trial.values[0] <= value]) < count

    def best(self, count: int) -> list[int]:
        """The numbers of the best `count` finished trials, best first."""
        complete = self.book.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [trial.number for trial in sorted(complete, key=lambda trial: trial.values[0])[:count]]


def is_finished(trial: FrozenTrial) -> bool:
    """Whether a trial counts as one of the study's: over, and not refused before training."""
    return trial.state.is_finished() and "refused" not in trial.user_attrs


def open_storage(url: str) -> BaseStorage:
    """Optuna's storage at `url`.

    Raises:
        UserError: the URL is malformed, its driver is missing, or the database cannot be opened.
    """
    try:
        try:
            return optuna.storages.get_storage(url)
        except sqlalchemy.exc.OperationalError as error:
            if "already exists" not in str(error):
                raise
            return optuna.storages.get_storage(url)  # someone else, a dashboard perhaps, made the tables meanwhile
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise UserError(
            f"--storage {url!r} is no database URL ({first_line(error)}); e.g. sqlite:///study.db."
        ) from error
    except ImportError as error:
        raise UserError(f"--storage {url!r} needs a database driver that is not installed: {error}.") from error
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise UserError(f"the storage {url!r} cannot be opened: {first_line(error)}.") from error


def first_line(error: BaseException) -> str:
    """The first line of what an error says, without a full stop."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
