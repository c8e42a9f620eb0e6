"""Ranges that a study's file changed since its trials: what is searched on, and what could not be kept.

Ends of numbers may change as they like. Optuna keeps one list of choices for a parameter of a study: new choices are
added to it, and what is a choice no more is refused, unpriced and untrained, where a sampler still asks for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import BaseTrial

from data.errors import UserError
from search.run.state.storage import rewrite_choices
from search.space_check import branches, compatible, described
from search.study import Config, Study


class NoChoiceError(Exception):
    """A sampler asked for what is a choice no more."""


class ChangedChoices:
    """A trial of a study whose choices changed: it samples from all there ever were, and answers with those of now.

    Args:
        trial: Optuna's.
        choices: all of them, by the parameter's name.
    """

    def __init__(self, trial: BaseTrial, choices: Mapping[str, Sequence[Any]]) -> None:
        self._trial, self._choices = trial, choices

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices of now.

        Raises:
            NoChoiceError: it is one of before.
        """
        value = self._trial.suggest_categorical(name, self._choices.get(name, choices))
        if value not in choices:
            raise NoChoiceError(f"{name} = {value!r} is no choice any more")
        return value


def adapt(study: Study, begun: optuna.Study) -> tuple[Study, list[str]]:
    """Make the ranges of a study's file and those of the trials in its storage go together.

    Args:
        study: as its file describes it now.
        begun: what is kept of it, in a storage of `search.run.state.storage.open_storage`.

    Returns:
        The study, which goes on with its trials, and what was added to their choices, in words.

    Raises:
        UserError: a parameter became one of another kind.
    """
    before: dict[str, BaseDistribution] = {}
    for trial in begun.get_trials(deepcopy=False):
        before.update(trial.distributions)
    now: dict[str, BaseDistribution] = {}
    for branch in branches(study):
        now.update(branch.distributions)
    changed, added = {}, []
    for key in [key for key in now if key in before and not compatible(before[key], now[key])]:
        old, new = before[key], now[key]
        if not (isinstance(old, CategoricalDistribution) and isinstance(new, CategoricalDistribution)):
            raise UserError(
                f"the trials of {begun.study_name!r} have {key!r} of {described(old)}, and its file now has "
                f"{described(new)}, which is another kind of parameter: give it another name in the space, or give "
                "--out another folder."
            )
        more = [choice for choice in new.choices if choice not in old.choices]
        changed[key] = (*old.choices, *more)
        if more:
            rewrite_choices(begun._storage, begun._study_id, key, CategoricalDistribution(changed[key]))
            added.append(f"{key} {', '.join(map(repr, more))}")
    if not changed:
        return study, []
    space = study.space

    def among_all(trial: BaseTrial, task: Any) -> Config:
        return space(ChangedChoices(trial, changed), task)  # type: ignore[arg-type]

    return replace(study, space=among_all), added
