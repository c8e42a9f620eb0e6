"""A study straight from the tables of Optuna's relational storage: what Optuna reads itself, ten times faster.

Optuna's own table definitions are private, so the columns that are read are named here; the version of the tables is
checked (see `database.SCHEMA`), and a test compares all that is read here with what Optuna reads.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from optuna.distributions import json_to_distribution
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from search.dashboard.database import Database
from search.paths import LEASE

BATCH = 250
"""Trials read in one transaction; SQLite's shared lock, which keeps the driver from committing, is held for that."""


def columns(table: str, *names: str) -> Any:
    """Columns of a table, by their names as attributes; times are converted from what the driver gives."""
    kinds = {"datetime_start": sa.DateTime(), "datetime_complete": sa.DateTime()}
    return sa.table(table, *(sa.column(name, kinds.get(name)) for name in names)).c


STUDIES = columns("studies", "study_id", "study_name")
DIRECTIONS = columns("study_directions", "study_id", "direction", "objective")
STUDY_USER = columns("study_user_attributes", "study_id", "key", "value_json")
STUDY_SYSTEM = columns("study_system_attributes", "study_id", "key", "value_json")
TRIALS = columns("trials", "trial_id", "study_id", "number", "state", "datetime_start", "datetime_complete")
PARAMS = columns("trial_params", "param_id", "trial_id", "param_name", "param_value", "distribution_json")
USER = columns("trial_user_attributes", "trial_id", "key", "value_json")
SYSTEM = columns("trial_system_attributes", "trial_id", "key", "value_json")
VALUES = columns("trial_values", "trial_id", "objective", "value", "value_type")
STEPS = columns("trial_intermediate_values", "trial_id", "step", "intermediate_value", "intermediate_value_type")

# Which trials, and what is read of each.
IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
TRIAL = sa.select(TRIALS.trial_id, TRIALS.number, TRIALS.state, TRIALS.datetime_start, TRIALS.datetime_complete).where(
    TRIALS.trial_id.in_(IDS), TRIALS.study_id == sa.bindparam("study")
)
PARTS = (
    sa.select(PARAMS.trial_id, PARAMS.param_name, PARAMS.param_value, PARAMS.distribution_json)
    .where(PARAMS.trial_id.in_(IDS))
    .order_by(PARAMS.param_id),
    sa.select(USER.trial_id, USER.key, USER.value_json).where(USER.trial_id.in_(IDS)),
    sa.select(SYSTEM.trial_id, SYSTEM.key, SYSTEM.value_json).where(SYSTEM.trial_id.in_(IDS)),
    sa.select(VALUES.trial_id, VALUES.value, VALUES.value_type)
    .where(VALUES.trial_id.in_(IDS))
    .order_by(VALUES.objective),
    sa.select(STEPS.trial_id, STEPS.step, STEPS.intermediate_value, STEPS.intermediate_value_type).where(
        STEPS.trial_id.in_(IDS)
    ),
)
NOT_FINITE = {"INF_POS": float("inf"), "INF_NEG": float("-inf"), "NAN": float("nan")}

Row = Sequence[Any]

read_distribution = lru_cache(maxsize=4096)(json_to_distribution)
"""A distribution of its JSON; a study has few, and each trial repeats them."""


class NoStudyError(Exception):
    """The storage holds no study of that name."""


def names(database: Database) -> list[str]:
    """The studies in a database, oldest first. Raises what its transaction does."""
    with database.transaction() as connection:
        return list(connection.scalars(sa.select(STUDIES.study_name).order_by(STUDIES.study_id)))


class Tables:
    """A study in a relational storage, of which each trial that is over is read once. Not thread-safe.

    Optuna lets nothing of a finished trial be changed (notes, and artifacts added later, are the study's attributes),
    so only those that weren't over last time, and new ones, are read again.

    Attributes:
        life: how many times another study was found under the name.
    """

    def __init__(self, url: str, name: str) -> None:
        """Name the study; nothing is opened yet. Raises what Database does."""
        self.name = name
        self.life = 0
        self._database = Database(url)
        self._study: int | None = None
        self._kept: dict[int, FrozenTrial] = {}
        self._anchor: Row | None = None
        """The newest trial that is over; it is gone where the study was deleted and begun anew with its ids."""

    def stamp(self) -> int | None:
        """A number that differs once SQLite's file was written; None where only reading tells.

        Raises what `read` does, but for NoStudyError.
        """
        if self._database.file is None or self._database.replaced():
            return None
        with self._database.transaction() as connection:
            return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())

    def read(self) -> tuple[FrozenStudy, list[FrozenTrial]]:
        """The study and its trials, by number; a trial that hasn't changed is the same object as before.

        A batch is one transaction, and in it the trials' states are read before the rest of them, so that a trial that
        is over is whole in any isolation level. What fails half-way goes on there the next time.

        Raises:
            NoStudyError: there is no such study.
            FileNotFoundError: SQLite's file is missing.
            VersionError: the tables are another version's.
            sqlalchemy.exc.SQLAlchemyError: the database cannot be read, e.g. is locked or none of Optuna's.
        """
        if self._database.replaced():
            self._database.close()
            self._start_over()
        due = self._unfinished()
        while True:
            with self._database.transaction() as connection:
                study = read_study(connection, self.name)
                if study._study_id != self._study or not self._still(connection):
                    self._start_over()
                    self._study, due = study._study_id, []
                fresh = self._fresh(connection)
                again, due = due[: BATCH - len(fresh)], due[BATCH - len(fresh) :]
                trials, *parts = fetch(connection, study._study_id, [*fresh, *again])
            if len(trials) < len(fresh) + len(again):  # begun anew before any of its trials was over
                self._start_over()
                continue
            self._keep(trials, parts)
            if len(fresh) < BATCH and not due:
                return study, sorted(self._kept.values(), key=lambda trial: trial.number)

    def driver(self) -> str | None:
        """What says whose driver the study has, as JSON; None where nothing does. Raises what `stamp` does.

        It changes every few seconds, so that `read` leaves it out.
        """
        with self._database.transaction() as connection:
            held = sa.select(STUDY_USER.value_json).where(STUDY_USER.study_id == self._study, STUDY_USER.key == LEASE)
            found: str | None = connection.scalar(held)
            return found

    def names(self) -> list[str]:
        """The studies in the same database. Raises what `stamp` does."""
        return names(self._database)

    def close(self) -> None:
        """Let go of the database; the next read opens it again."""
        self._database.close()

    def _start_over(self) -> None:
        self.life += self._study is not None
        self._study, self._kept, self._anchor = None, {}, None

    def _unfinished(self) -> list[int]:
        return [key for key, trial in self._kept.items() if not trial.state.is_finished()]

    def _still(self, connection: sa.Connection) -> bool:
        if self._anchor is None:
            return True
        row = connection.execute(TRIAL, {"ids": [self._anchor[0]], "study": self._study}).first()
        return row is not None and tuple(row) == self._anchor

    def _fresh(self, connection: sa.Connection) -> list[int]:
        """Ids of the next trials that were never read; within a study Optuna hands them out in order."""
        newer = TRIALS.trial_id > max(self._kept, default=-1)
        chosen = sa.select(TRIALS.trial_id).where(TRIALS.study_id == self._study, newer)
        return list(connection.scalars(chosen.order_by(TRIALS.trial_id).limit(BATCH)))

    def _keep(self, trials: Sequence[Row], parts: Sequence[Sequence[Row]]) -> None:
        for trial in build(trials, parts):
            if self._kept.get(trial._trial_id) != trial:
                self._kept[trial._trial_id] = trial
        over = [tuple(row) for row in trials if TrialState[row[2]].is_finished()]
        self._anchor = max(over, key=lambda row: row[0], default=self._anchor)


def read_study(connection: sa.Connection, name: str) -> FrozenStudy:
    """A study without its trials.

    Raises:
        NoStudyError: there is none of that name.
    """
    key = connection.scalar(sa.select(STUDIES.study_id).where(STUDIES.study_name == name))
    if key is None:
        raise NoStudyError(name)
    directions = sa.select(DIRECTIONS.direction).where(DIRECTIONS.study_id == key).order_by(DIRECTIONS.objective)
    user, system = (
        {
            attr: json.loads(value)
            for attr, value in connection.execute(sa.select(table.key, table.value_json).where(table.study_id == key))
            if attr != LEASE
        }
        for table in (STUDY_USER, STUDY_SYSTEM)
    )
    in_order = [StudyDirection[direction] for direction in connection.scalars(directions)]
    return FrozenStudy(name, None, user, system, key, directions=in_order)


def fetch(connection: sa.Connection, study: int, ids: Sequence[int]) -> list[Sequence[Row]]:
    """The rows of some trials: TRIAL's first, then those of PARTS."""
    if not ids:
        return [[] for _ in range(1 + len(PARTS))]
    trials = connection.execute(TRIAL, {"ids": ids, "study": study}).all()
    return [trials, *(plain(connection.execute(part, {"ids": ids})) for part in PARTS)]


def plain(result: sa.CursorResult[Any]) -> Sequence[Row]:
    """All rows as the driver gives them; wrapping 250,000 as SQLAlchemy does takes a quarter of a second."""
    rows: Sequence[Row] = result.cursor.fetchall() if result.cursor is not None else []
    result.close()
    return rows


def build(trials: Sequence[Row], parts: Sequence[Sequence[Row]]) -> Iterator[FrozenTrial]:
    """Trials of their rows, as `fetch` gives them."""
    params: dict[int, dict[str, Any]] = defaultdict(dict)
    distributions: dict[int, dict[str, Any]] = defaultdict(dict)
    user: dict[int, dict[str, Any]] = defaultdict(dict)
    system: dict[int, dict[str, Any]] = defaultdict(dict)
    values: dict[int, list[Any]] = defaultdict(list)
    steps: dict[int, dict[int, Any]] = defaultdict(dict)
    for key, name, value, distribution in parts[0]:
        distributions[key][name] = kind = read_distribution(distribution)
        params[key][name] = kind.to_external_repr(value)
    for attrs, rows in ((user, parts[1]), (system, parts[2])):
        # All at once: one call of the parser takes a third of the time of one a value, and shares equal keys.
        parsed = json.loads(f"[{','.join(value for _, _, value in rows)}]")
        for (key, name, _), value in zip(rows, parsed, strict=True):
            attrs[key][name] = value
    for key, number, kind in parts[3]:
        values[key].append(NOT_FINITE.get(kind, number))
    for key, step, number, kind in parts[4]:
        steps[key][step] = NOT_FINITE.get(kind, number)
    for key, number, state, start, end in trials:
        yield FrozenTrial(
            number=number,
            state=TrialState[state],
            value=None,
            values=values.get(key),
            datetime_start=local(start),
            datetime_complete=local(end),
            params=params[key],
            distributions=distributions[key],
            user_attrs=user[key],
            system_attrs=system[key],
            intermediate_values=steps[key],
            trial_id=key,
        )


def local(moment: datetime | None) -> datetime | None:
    """Naive local time of naive UTC, as Optuna gives it."""
    return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None) if moment else None
