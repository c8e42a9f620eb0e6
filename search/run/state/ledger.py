"""A search's state: Optuna's storage, the one place where it is kept.

Only the driver writes to it. A trial's life: asked -> refused (PRUNED, untrained), or reported epoch by epoch and
then finished (COMPLETE), stopped early (PRUNED with its whole curve) or failed (FAIL with the reason). What a dead
or interrupted run was training goes back to WAITING, which Optuna hands out again before it samples anything new:
the same trial, with its parameters, curve and weights, goes on where it was.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from uuid import uuid4

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from data.errors import UserError
from models.readings import Readings
from search.config_record import digest, rebuild
from search.config_record import record as config_record
from search.paths import EXPECTED_GAIN, check_file
from search.run.settings import ROW, Owner, Row, TrialAssignment
from search.run.state.admission import broken, refusal
from search.run.state.aimed import AimedStudy
from search.run.state.ranges import NoChoiceError
from search.run.state.ranking import Ranking, is_finished
from search.run.state.sampler import SamplerError, StoppableStudy, TrialSampler, derived
from search.run.state.storage import StorageError, open_storage
from search.samplers.make import make_sampler
from search.schedulers import record
from search.study import Architecture, Config, Study

__all__ = ["ROW", "Ledger", "Row", "TrialAssignment", "is_finished", "open_storage"]

REFUSALS = 300
"""Samples in a row that may break the bounds before the search gives up."""

FAILURES = 8
"""Trials in a row that may fail before the search gives up."""


class Ledger:
    """A study in its storage, and which of its trials are being trained now."""

    def __init__(
        self,
        study: Study,
        name: str,
        storage: BaseStorage,
        data: str = "",
        seeds: Mapping[str, int] | None = None,
        file: str | None = None,
    ) -> None:
        """Open or begin the study `name` on the data of identity `data`.

        Args:
            study: what is searched.
            name: under which it is kept.
            storage: where.
            data: what the task calls its data.
            seeds: of the starting trials that shall not have their number's own.
            file: of the study, as `search.paths.written` has it; None where it is not to be kept.

        Attributes:
            undisturbed: what a timed reading is measured in; the engine has its workers stand still meanwhile.
            on_admission: called with the number and the architecture of each trial that is to be trained.
            ranking: which trials are better, as the goal has it.
            check: called before anything is written; raises where another driver has taken the study over.
            reasons: why the scheduler stops a trial, where it says so; kept with the trial when it is stopped.

        Raises:
            UserError: the storage holds a study of that name that minimises something else, saw other data or is
                another file's.
        """
        self.study = study
        optuna.create_study(study_name=name, storage=storage, direction="minimize", load_if_exists=True)
        self.optuna_study = StoppableStudy(name, storage)
        self._storage = storage
        self.running: dict[int, optuna.Trial] = {}
        self.ended: list[FrozenTrial] = []
        self.assigned: dict[int, TrialAssignment] = {}
        self.curves: dict[int, list[Row]] = {}
        self.readings: dict[int, Readings] = {}
        self.lengths: dict[int, int] = {}
        self.undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext
        self.on_admission: Callable[[int, Architecture], None] = lambda _, __: None
        self.check: Callable[[], None] = lambda: None
        self.reasons: dict[int, str] = {}
        self._workers: dict[int, str] = {}
        self._failed_in_a_row = 0
        check_file(self.optuna_study, file)
        self._check_objective(name)
        self._describe(name, data, file)
        self.ranking = Ranking(self.optuna_study, study.task.metric)
        self._make = partial(make_sampler, study, over={})
        self.optuna_study.ask_again(TrialSampler(self._make, study.seed, 0))
        trials = self.optuna_study.get_trials(deepcopy=False)
        self.finished = sum(is_finished(trial) for trial in trials)
        names = {trial.user_attrs.get("name") for trial in trials}
        for start, params in study.starts.items():
            if start not in names:
                seed = {"seed": seeds[start]} if seeds and start in seeds else {}
                self.optuna_study.enqueue_trial(dict(params), user_attrs={"name": start, **seed})

    def _check_objective(self, name: str) -> None:
        """Name what is minimised, or refuse a study that minimises something else."""
        wanted, stored = [self.study.objective.name], self.optuna_study.metric_names
        if stored is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self.optuna_study.set_metric_names(wanted)
        elif stored != wanted:
            raise UserError(
                f"the study {name!r} in this storage minimises {stored[0]!r}, and {wanted[0]!r} is asked for; give "
                "--out another folder to begin a new study."
            )

    def _describe(self, name: str, data: str, file: str | None) -> None:
        """Keep with the study what its pages must know, or refuse other data."""
        study, stored = self.study, self.optuna_study.user_attrs
        if "metric" not in stored and "id" not in stored:  # one that was begun before there were ids has none
            self.optuna_study.set_user_attr("id", uuid4().hex)
        for key, value in (
            ("metric", study.task.metric),
            ("unit", study.task.unit),
            ("data", data),
            ("objective", study.objective.described().record()),
            ("readings", [{"name": r.name, "title": r.title, "unit": r.unit} for r in study.readings]),
        ):
            if key not in stored:
                self.optuna_study.set_user_attr(key, value)
        if stored.get("data", data) != data:
            raise UserError(
                f"the study {name!r} was searched on other data, or another split of it, and errors would not be "
                "comparable; give --data the same folder, or --out another one to begin a new study."
            )
        how = {"trials": study.trials, "epochs": study.epochs, "seed": study.seed, **record(study.scheduler)}
        how |= {} if study.gate is None else {"gate": asdict(study.gate)}
        how |= {} if study.under is None else {"under": study.under}
        for key, now in (("search", how), ("final_epochs", study.full_epochs), ("file", file or stored.get("file"))):
            if stored.get(key) != now:
                self.optuna_study.set_user_attr(key, now)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to train: all trials are finished, or the sampler has ended the search."""
        waiting = self.optuna_study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING))
        return self.finished >= self.study.trials or (self.optuna_study.is_stopped and not waiting)

    def adopt(self) -> int:
        """Put what is RUNNING and trained by nobody, as a dead run leaves it, back to WAITING; how many there were.

        Optuna has no public way: `tell` ends trials, `enqueue_trial` makes another one. pyproject.toml bounds Optuna's
        version for this, and tests/search/test_ledger.py goes through it.
        """
        running = self.optuna_study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        orphans = [trial for trial in running if trial.number not in self.running]
        for trial in orphans:
            self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        return len(orphans)

    def release(self) -> int:
        """Put what is being trained now back to WAITING, for the next run; how many there are."""
        released = len(self.running)
        self.running.clear()
        self.check()
        self.adopt()
        return released

    def ask(self) -> TrialAssignment | None:
        """The next trial to train, its price known and admitted; None when the study has all its trials.

        Raises:
            UserError: nothing but refused samples, or nothing but failures, for too long; or the sampler failed.
        """
        self.check()
        for _ in range(REFUSALS):
            if self.finished + len(self.running) >= self.study.trials:
                return None
            trial = self._sample()
            if trial is None:
                return None
            try:
                config = self._config(trial)
                readings = self._read(trial, config)
            except (SamplerError, StorageError):
                raise  # no fault of the trial's
            except NoChoiceError as error:
                self._refuse(trial, str(error))
                continue
            except Exception as error:  # noqa: BLE001 - the study file's own code: its fault is written down
                self.fail(trial.number, f"{type(error).__name__} while building the trial: {error}")
                continue
            if not (reason := refusal(self.study, trial, readings)):
                self.on_admission(trial.number, config.arch)
                return self._assign(trial, readings)
            self._refuse(trial, reason)
        last = self.ended[-1].user_attrs.get("refused", "failing")
        raise UserError(
            f"{REFUSALS} samples in a row were refused, the last for {last}; widen the bounds or narrow the space."
        )

    def _config(self, trial: optuna.Trial) -> Config:
        """The configuration that an earlier run kept with a trial, else what the space makes of it, kept from now."""
        kept = trial.user_attrs.get("config")
        if kept is not None:
            return rebuild(kept)
        config = self.study.space(trial, self.study.task)
        sampler = self.optuna_study.sampler
        if isinstance(sampler, TrialSampler) and sampler.gain is not None:
            trial.set_user_attr(EXPECTED_GAIN, sampler.gain)
        trial.set_user_attr("config", config_record(config))
        return config

    def _sample(self) -> optuna.Trial | None:
        """A trial that waits, else a new one, with the sampler of its number; None where that has ended the search."""
        self.adopt()  # a new trial whose making a failing server did not confirm
        trials = self.optuna_study.get_trials(deepcopy=False)
        number = next((trial.number for trial in trials if trial.state is TrialState.WAITING), len(trials))
        goal = self.ranking.goal
        seen = self.optuna_study if goal is None else AimedStudy(self.optuna_study, goal)
        self.optuna_study.sampler = sampler = TrialSampler(self._make, self.study.seed, number, seen)
        is_over = self.optuna_study.is_stopped or sampler.is_exhausted(self.optuna_study)
        if number == len(trials) and is_over:
            return None
        trial = self.optuna_study.ask()
        self.running[trial.number] = trial
        for key, value in (("budget", self.study.epochs), ("seed", derived(self.study.seed, trial.number))):
            if key not in trial.user_attrs:
                trial.set_user_attr(key, value)
        return trial

    def _read(self, trial: optuna.Trial, config: Config) -> Readings:
        """All of a trial's readings, kept with it; those that an earlier run took stay as they are.

        Those by the clock come last, and in one go: no trial trains meanwhile.
        """
        stored = trial.user_attrs
        readings = {
            reading.name: float(stored[reading.name]) for reading in self.study.readings if reading.name in stored
        }
        missing = [reading for reading in self.study.readings if reading.name not in readings]
        for reading in missing:
            if not reading.timed:
                readings[reading.name] = float(reading.measure(config.arch))
        timed = [reading for reading in missing if reading.timed]
        if timed and not broken(self.study, readings):  # a refused network's latency is worth no pause
            with self.undisturbed():
                readings.update({reading.name: float(reading.measure(config.arch)) for reading in timed})
        for reading in missing:
            if reading.name in readings:
                trial.set_user_attr(reading.name, readings[reading.name])
        return readings

    def _refuse(self, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr("refused", reason)
        self._tell(trial.number, TrialState.PRUNED)

    @property
    def id(self) -> str | None:
        """The study's own; None in one that was begun before there were ids."""
        found: str | None = self.optuna_study.user_attrs.get("id")
        return found

    def owner(self, trial: optuna.Trial | FrozenTrial) -> Owner:
        """Whose the training state of a trial is."""
        return {"study": self.id, "trial": trial.number, "config": digest(trial.user_attrs.get("config"))}

    def _assign(self, trial: optuna.Trial, readings: Readings) -> TrialAssignment:
        """The trial as a worker needs it, with what an earlier run left."""
        number, stored = trial.number, trial.user_attrs
        curve = list(stored.get("curve", []))
        self.curves[number], self.readings[number], self.lengths[number] = curve, readings, stored["budget"]
        self._repair(trial, curve)
        last = curve[-1] if curve else None
        self.assigned[number] = TrialAssignment(
            number, trial.params, stored["config"], self.owner(trial), stored["seed"], stored["budget"], last
        )
        return self.assigned[number]

    def _repair(self, trial: optuna.Trial, curve: list[Row]) -> None:
        """Derive from the curve what a run that died left undone: values not reported, an end that did not come."""
        if curve:
            frozen = self.optuna_study.get_trials(deepcopy=False)[trial.number]
            for row in curve:
                if row["epoch"] not in frozen.intermediate_values:
                    trial.report(self.value(trial.number, row), int(row["epoch"]))
        for end in ("failed", "refused", "stopped"):
            if trial.user_attrs.get(end):
                trial.set_user_attr(end, "")

    def report(self, number: int, row: Row) -> None:
        """Write down one epoch of a running trial; an epoch that is known already stays as it was.

        The curve is written first: what follows from it is made good by the next run, should this one die in between.
        """
        curve, trial = self.curves[number], self.running[number]
        if curve and row["epoch"] <= curve[-1]["epoch"]:
            return
        trial.set_user_attr("curve", [*curve, row])
        curve.append(row)
        trial.report(self.value(number, row), int(row["epoch"]))

    def place(self, number: int, worker: str) -> None:
        """Write down which process trains a trial: host and process number."""
        if self._workers.get(number) != worker:
            self._workers[number] = worker
            self.running[number].set_user_attr("worker", worker)

    def value(self, number: int, row: Row) -> float:
        """What the study minimises, as it stands after the epoch `row` of a trial of this run."""
        return self.study.objective.value(self.readings[number], row["error"])

    def aim(self, number: int, row: Row) -> float:
        """What a scheduler compares after the epoch `row` of a trial of this run; see `Ranking.number`."""
        epochs = self.lengths[number]
        return self.ranking.number(self.value(number, row), row["error"], int(row["epoch"]), epochs)

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
        if reason := self.reasons.pop(number, ""):
            self.running[number].set_user_attr("stopped", reason)
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
        self.finished += not trial.user_attrs.get("refused")
        self.ended.append(self.optuna_study.tell(trial, value, state=state))

    def enters(self, number: int, count: int) -> bool:
        """Whether a running trial, as it stands, would be among the best `count` finished ones."""
        row = self.curves[number][-1]
        return self.ranking.enters(self.value(number, row), row["error"], self.assigned[number].epochs, count)

    def best(self, count: int) -> list[int]:
        """The numbers of the best `count` finished trials, best first."""
        return self.ranking.best(count)
