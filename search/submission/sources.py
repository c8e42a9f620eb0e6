"""report.json: all that a report is made of beside the model and the data, so that it can be made again and compared.

What is added to the report from elsewhere becomes a field of `Sources`, and `content` makes the report of that alone.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal

from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from pydantic import FiniteFloat, TypeAdapter, ValidationError

from data.errors import UserError
from search.after.model import Model, problem
from search.after.preprocessing import STRICT
from search.paths import LEASE
from search.results import ablation, answers
from search.results.view import View
from search.submission import strict_json
from search.submission.report import typeset as report
from search.submission.report.data import Content

PRINTERS = ("manimgx-fonts-cjk", "matplotlib", "numpy", "optuna", "pillow", "scikit-learn", "scipy", "typst")
"""Packages that every byte of a report depends on."""

PRIVATE = (LEASE, "file", "worker")
"""Attributes of a study and of its trials that name machines and folders and are printed nowhere."""


@dataclass(frozen=True)
class Trial:
    """A trial of the search."""

    __pydantic_config__ = STRICT

    number: int
    state: str  # as Optuna calls it
    value: float | None  # of a finished one
    params: dict[str, Any]  # as sampled
    distributions: dict[str, str]  # what each was sampled from, Optuna's JSON
    attributes: dict[str, Any]  # its curve, readings, configuration, ...
    reported: list[tuple[int, float]]  # (epoch, value)
    started: str | None  # ISO 8601
    ended: str | None


@dataclass(frozen=True)
class Search:
    """The search that a model comes from, as it stood."""

    __pydantic_config__ = STRICT

    name: str  # of the study
    objective: str  # what is minimised
    attributes: dict[str, Any]  # of the study
    trials: list[Trial]

    @classmethod
    def of(cls, view: View) -> "Search":
        """A view as it is kept."""
        return cls(view.name, view.objective, _public(view.attrs), [_kept(trial) for trial in view.trials])

    def view(self) -> View:
        """The view again.

        Raises:
            ValueError, TypeError, KeyError: what was kept is no study.
        """
        return View.of(self.name, self.objective, self.attributes, [_trial(kept) for kept in self.trials])


@dataclass(frozen=True)
class Sources:
    """The content of report.json."""

    __pydantic_config__ = STRICT

    search: Search
    curves: list[list[dict[str, FiniteFloat]]]  # rows an epoch, a list for each of the model's seeds
    answers: answers.Answers | None  # of the model for the validation part; None leaves its part of the report out
    ablation: ablation.Ablation | None  # of the model's trial
    printed_with: dict[str, str]  # versions of PRINTERS, and the machine's kind
    format: Literal[1] = 1  # of the file; another number is another version's


_SOURCES = TypeAdapter(Sources)


def gathered(model: Model, view: View) -> Sources:
    """What the report of a model of a search is made of."""
    study = model.folder.absolute().parent.parent  # it lies in STUDY/models/NNNNNN
    return Sources(
        search=Search.of(view),
        curves=[list(rows) for rows in model.curves],
        answers=answers.load(model.folder, model.facts.trial),
        ablation=ablation.load(study, model.facts.trial),
        printed_with=printers(),
    )


def printers() -> dict[str, str]:
    """Versions of what a report is printed with here."""
    installed = {found.name: found.version for name in PRINTERS for found in distributions(name=name)}
    return installed | {"machine": f"{platform.system()} {platform.machine()}"}


def content(model: Model, sources: Sources, author: str) -> Content:
    """The report of a model, of its sources and the pictures of its data set: the same of the same ones.

    Raises:
        UserError: a picture cannot be read.
    """

    def picture(row: int) -> bytes:
        return answers.encoded(model.study.task, row)

    return report.content(model, sources.search.view(), sources.answers, picture, author, sources.ablation)


def write(sources: Sources, file: Path) -> None:
    """Write report.json."""
    file.write_text(json.dumps(asdict(sources), separators=(",", ":")), encoding="utf-8")


def read(file: Path) -> Sources:
    """Read report.json.

    Raises:
        UserError: it is not what `write` writes.
    """
    try:
        content = file.read_bytes()
        strict_json.parse(content, constants=True)
        return _SOURCES.validate_json(content)
    except ValidationError as error:
        raise UserError(f"{file.name} {problem(error)}; pack the model with `posefront submit`.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file.name} cannot be read ({error}); pack the model with `posefront submit`.") from error


def _public(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in PRIVATE}


def _kept(trial: FrozenTrial) -> Trial:
    return Trial(
        number=trial.number,
        state=trial.state.name,
        value=trial.value,
        params=dict(trial.params),
        distributions={name: distribution_to_json(spread) for name, spread in trial.distributions.items()},
        attributes=_public(trial.user_attrs),
        reported=sorted(trial.intermediate_values.items()),
        started=trial.datetime_start.isoformat() if trial.datetime_start else None,
        ended=trial.datetime_complete.isoformat() if trial.datetime_complete else None,
    )


def _trial(kept: Trial) -> FrozenTrial:
    return FrozenTrial(
        number=kept.number,
        trial_id=kept.number,
        state=TrialState[kept.state],
        value=kept.value,
        params=kept.params,
        distributions={name: json_to_distribution(spread) for name, spread in kept.distributions.items()},
        user_attrs=kept.attributes,
        system_attrs={},
        intermediate_values=dict(kept.reported),
        datetime_start=datetime.fromisoformat(kept.started) if kept.started else None,
        datetime_complete=datetime.fromisoformat(kept.ended) if kept.ended else None,
    )
