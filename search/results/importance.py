"""Which parameters matter: how much of the score's, the error's or the price's variance each explains alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, create_trial

from search.results.leaderboard import Entry
from search.results.view import View

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Target = Literal["value", "error", "cost"]
"""What is minimised, so the score's logarithm; the error; or the price's logarithm, which every priced trial has."""

FEWEST = 8
"""Finished trials below which no importance is told."""
MOST = 500
"""Trials a forest is fitted to; of more, a fixed random choice."""
TREES, DEPTH = 24, 6
"""Deeper trees learn noise: 1,000 trials of 8 parameters take 0.3 s so, and 10 s at Optuna's 64 and 64."""
SHADOWS = 4
"""Shuffled copies of parameters beside the true ones."""


@dataclass(frozen=True)
class Share:
    """A parameter's share."""

    name: str  # of the parameter
    share: float  # of the target's variance that the parameter explains alone, 0 to 1
    trials: int  # that were asked for it
    chance: float  # the largest share that a shuffled copy of a parameter got beside it; a share below it says nothing


@dataclass(frozen=True)
class Shares:
    """Shares of all parameters."""

    shares: tuple[Share, ...]  # largest first
    trials: int  # with a value of the target

    @property
    def chance(self) -> float:
        """The largest share that chance reached beside a parameter of all trials; 0 where there is none."""
        return max((share.chance for share in self.shares if share.trials == self.trials), default=0.0)


def tenths(view: View) -> int:
    """Grows by one whenever a tenth more trials have finished: then importances are worth their seconds again."""
    finished = len(view.by_state["finished"])
    return int(math.log(finished) / math.log(1.1)) + 1 if finished else 0


def largest_shares(results: Iterable[Shares | str]) -> dict[str, float]:
    """The largest share that each parameter has of any target."""
    largest: dict[str, float] = {}
    for result in results:
        for share in () if isinstance(result, str) else result.shares:
            largest[share.name] = max(largest.get(share.name, 0.0), share.share)
    return largest


def shares(view: View, target: Target) -> Shares | str:
    """How much of a target's variance each parameter explains alone, or one sentence why that is not known.

    fANOVA (Hutter et al. 2014, http://proceedings.mlr.press/v32/hutter14.html) by Optuna's evaluator. (Its PED-ANOVA
    asks what sets the best tenth apart, and of ten trials that is one.) Scales are those the parameters were sampled
    on. A parameter that only some trials were asked for is judged among those trials alone, beside all parameters that
    they share. The score and the error are judged on trials trained in full; the price on every trial that has one,
    since it needs no training. Samplers look where it is good, so that shares describe the trials at hand rather than
    the whole space.
    """
    measured = [(entry, at(view, entry, target)) for entry in sorted(view.entries, key=lambda entry: entry.number)]
    known = [(entry.params, y) for entry, y in measured if not math.isnan(y)]
    if len(known) < FEWEST:
        kind = "priced" if target == "cost" else "finished"
        return f"Importances need {FEWEST} {kind} trials; there {'is' if len(known) == 1 else 'are'} {len(known)}."
    total, everyone = len(known), known
    if total > MOST:
        chosen = np.sort(np.random.default_rng(0).choice(total, MOST, replace=False))
        known = [known[i] for i in chosen]
    if np.ptp([y for _, y in known]) == 0:
        return f"All {total:,} trials have the same {target}, so that no parameter can explain a difference."
    spread = distributions(view.trials)
    asked: dict[frozenset[int], list[str]] = {}
    for name in spread:
        asked.setdefault(frozenset(i for i, (params, _) in enumerate(known) if name in params), []).append(name)
    found: list[Share] = []
    for members, names in sorted(asked.items(), key=lambda pair: -len(pair[0])):
        among = [known[i] for i in sorted(members)]
        if len(among) < FEWEST:
            continue
        common = [name for name in spread if all(name in params for params, _ in among)]
        explained, chance = fanova(among, {name: spread[name] for name in common})
        part = sum(names[0] in params for params, _ in everyone)
        found += [Share(name, explained[name], part, chance) for name in names if name in explained]
    if not found:
        return "No parameter differs between the trials."
    return Shares(tuple(sorted(found, key=lambda share: -share.share)), total)


def at(view: View, entry: Entry, target: Target) -> float:
    """A trial's target; NaN where it has none that compares."""
    if target == "cost":
        return view.price(entry)
    value = entry.value if target == "value" else entry.error
    return value if entry.state == "finished" and value is not None and math.isfinite(value) else math.nan


def distributions(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Every parameter that any trial was asked for, in the order of asking, with its latest distribution."""
    found: dict[str, BaseDistribution] = {}
    for trial in trials:
        found.update(trial.distributions)
    return found


def scale(spread: BaseDistribution, values: Sequence[Any]) -> tuple[Numbers, list[str], bool]:
    """A parameter's values as numbers.

    Returns:
        the numbers, places in the choices for a categorical one; the choices' names, none for a number; whether it was
        sampled on a logarithmic scale.
    """
    if isinstance(spread, CategoricalDistribution):
        # A choice that only older trials had comes after the present ones.
        choices = list(dict.fromkeys([*map(str, spread.choices), *map(str, values)]))
        places = {choice: place for place, choice in enumerate(choices)}
        return np.array([places[str(value)] for value in values], dtype=float), choices, False
    log = bool(getattr(spread, "log", False))
    return np.array([value if isinstance(value, int | float) else math.nan for value in values], dtype=float), [], log


def fanova(
    known: Sequence[tuple[Mapping[str, Any], float]], spread: Mapping[str, BaseDistribution]
) -> tuple[dict[str, float], float]:
    """The shares of parameters that all these trials have, less those that never differ; and what chance gives.

    Chance is the largest share of a few parameters' copies that were shuffled among the trials and so explain nothing
    (Boruta: Kursa and Rudnicki 2010, https://doi.org/10.18637/jss.v036.i11).
    """
    columns: dict[str, tuple[BaseDistribution, list[Any]]] = {}
    for name, distribution in spread.items():
        values, choices, log = scale(distribution, [params[name] for params, _ in known])
        values = np.log(values) if log else values
        if np.isnan(values).any() or np.ptp(values) == 0:
            continue
        if choices:
            # Of the choices that were made, for the forest takes all as equally likely.
            made = sorted(set(values.tolist()))
            columns[name] = CategoricalDistribution([int(place) for place in made]), [int(place) for place in values]
        else:
            columns[name] = FloatDistribution(float(values.min()), float(values.max())), values.tolist()
    if not columns:
        return {}, 0.0
    random = np.random.default_rng(0)
    # Those with the most different values fit noise best.
    copied = sorted(columns, key=lambda name: -len(set(columns[name][1])))
    shadows = {f"shuffled {place}": columns[copied[place % len(copied)]] for place in range(SHADOWS)}
    shadows = {name: (kind, random.permutation(values).tolist()) for name, (kind, values) in shadows.items()}
    renamed = {f"parameter {place}": name for place, name in enumerate(columns)}
    table = {new: columns[name] for new, name in renamed.items()} | shadows
    kinds = {name: kind for name, (kind, _) in table.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    book = optuna.create_study()
    book.add_trials(
        [
            create_trial(value=y, params={name: values[i] for name, (_, values) in table.items()}, distributions=kinds)
            for i, (_, y) in enumerate(known)
        ]
    )
    try:
        from optuna.importance import FanovaImportanceEvaluator  # here, for scikit-learn takes a second to import

        found = FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=0).evaluate(book)
    except RuntimeError:  # no tree found anything to split
        return dict.fromkeys(columns, 0.0), 0.0
    return {name: float(found[new]) for new, name in renamed.items()}, max(float(found[name]) for name in shadows)
