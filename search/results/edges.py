"""Whether the best trials lie at the edge of a range: a search says so at its end, for what is beyond may be better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from search.format import percent, value_text
from search.results.importance import distributions
from search.samplers.candidates import DrawnTrial, scaled
from search.samplers.observations import Encoder

if TYPE_CHECKING:
    from search.results.leaderboard import Entry
    from search.results.view import View
    from search.study import Study

OUTER = 0.1
"""Of a range, on its own scale, what counts as its edge; the last step or choice always does."""
BEST, FEWEST = 0.1, 5
"""Share of the finished trials that are the best ones, and how many these are at least."""
CHANCE = 0.01
"""Probability that any edge at all of a study is named by chance, were trials drawn independently. Those of TPE are
not: of 48 studies of noise alone one had an edge, and at 0.05 four."""
FREE = 8
"""Trained trials beside as many as there are columns, to tell anything."""

Refused = Callable[[str, Any], bool]
"""Whether the space can have no such value of a parameter."""


@dataclass(frozen=True)
class Edge:
    """An end of a range at which the best trials lie."""

    name: str  # of the parameter
    is_low: bool  # the lower end, or the first choice
    end: float
    inner: float  # of the values at the edge, the farthest from its end that a best trial has
    at_edge: int  # of the best trials
    best: int  # how many these are
    share: float  # at this edge of all finished trials, 0 to 1


def edges(view: View, refused: Refused | None = None) -> list[Edge]:
    """The edges at which at least half of the best trials lie, in the order of the parameters.

    Numbers are looked at, on a logarithmic scale where they were sampled so, and choices among numbers. The best are a
    tenth of the finished trials. As samplers go where it was good once, many of them lie somewhere by chance: that it
    is better towards the edge must also be seen in all trained trials, all else equal (`_trends`). A limit is no edge:
    0 as the lower end, and an end beyond which the space refuses a value.

    Args:
        view: of a study, its trials best first.
        refused: asks the space, where there is one.
    """
    finished = [entry.params for entry in view.entries if entry.state == "finished" and entry.value is not None]
    best = max(FEWEST, math.ceil(BEST * len(finished)))
    spreads = distributions(view.trials)
    ordered = {name: spread for name, spread in spreads.items() if len(_ends(spread)) == 2}
    falls = _trends(view.entries, spreads)
    found = []
    for name, spread in ordered.items():
        having = [params[name] for params in finished if name in params]
        top = [params[name] for params in finished[:best] if name in params]
        for is_low, end in zip((True, False), _ends(spread), strict=True):
            there = [value for value in top if _at_edge(value, spread, end)]
            if len(top) < FEWEST or 2 * len(there) < len(top) or (is_low and end == 0):
                continue
            towards = -falls.get(name, 0.0) if is_low else falls.get(name, 0.0)
            if 0.5 * math.erfc(towards / math.sqrt(2)) > CHANCE / (2 * len(ordered)):
                continue
            if refused is None or not refused(name, _beyond(spread, is_low)):
                share = sum(_at_edge(value, spread, end) for value in having) / len(having)
                inner = (max if is_low else min)(there)
                found.append(Edge(name, is_low, end, inner, len(there), len(top), share))
    return found


def _trends(entries: Sequence[Entry], spreads: Mapping[str, BaseDistribution]) -> dict[str, float]:
    """How surely it is better where an ordered parameter is larger, all else equal: a normal deviate for each.

    Ranks of the trained trials (finished ones by value; then those stopped, by epochs and value), as normal scores, by
    least squares over all parameters and when they were sampled; nothing where the trials are too few to tell.
    """
    import numpy as np

    trained = [entry for entry in entries if entry.state in ("finished", "stopped") and entry.value is not None]
    trained.sort(key=lambda entry: (entry.state != "finished", -entry.epochs, entry.value))
    columns = [[1.0] * len(trained), [float(entry.number) for entry in trained]]
    places = {}
    for name, spread in spreads.items():
        encode = Encoder([{name: spread}], [])
        rows = [encode(entry.params, {})[:-1] for entry in trained]
        if len(_ends(spread)) == 2:
            places[name] = len(columns)
        columns += map(list, zip(*rows, strict=True))
    free = len(trained) - len(columns)
    if free < FREE:
        return {}
    normal = NormalDist()
    scores = np.array([normal.inv_cdf(1 - (rank + 0.5) / len(trained)) for rank in range(len(trained))])
    x = np.array(columns).T
    inverse = np.linalg.pinv(x.T @ x, hermitian=True)
    slopes = inverse @ (x.T @ scores)
    variance = float(np.square(scores - x @ slopes).sum()) / free
    errors = np.sqrt(np.maximum(variance * np.diag(inverse), 1e-12))
    t = slopes / errors
    z = np.sign(t) * np.sqrt(free * np.log1p(t * t / free)) * (1 - 1 / (4 * free))  # Wallace 1959
    return {name: float(z[place]) for name, place in places.items()}


def sentence(edge: Edge) -> str:
    """What is to be said of an edge, and what to do."""
    end, side = value_text(edge.end), "below" if edge.is_low else "above"
    place = f"{end} to {value_text(edge.inner)}" if edge.is_low else f"{value_text(edge.inner)} to {end}"
    at = f"its {'lower' if edge.is_low else 'upper'} end, {end if edge.inner == edge.end else place}"
    return (
        f"{edge.at_edge} of the best {edge.best} trials have {edge.name} at {at} (of all {percent(edge.share)}): "
        f"better ones may lie {side} {end}, so widen its range in the study's space"
    )


def asking(study: Study, view: View) -> Refused:
    """Asks a study's space for the best trial, but with another value."""

    def refused(name: str, value: Any) -> bool:
        import numpy as np

        holders = [entry.params for entry in view.entries if name in entry.params]  # best first
        try:
            study.space(DrawnTrial(np.random.default_rng(0), {**holders[0], name: value}), study.task)
        except ValueError:
            return True
        except Exception:  # noqa: BLE001 - the study file's own code; then it is not known
            return False
        return False

    return refused


def _numbers(spread: BaseDistribution) -> list[float]:
    """The choices of a categorical parameter in their order, where all are numbers."""
    choices = spread.choices if isinstance(spread, CategoricalDistribution) else ()
    numbers = [each for each in choices if isinstance(each, int | float) and not isinstance(each, bool)]
    return sorted(numbers) if len(numbers) == len(choices) else []


def _ends(spread: Any) -> tuple[float, ...]:
    """Both ends of what has an order and more than one value."""
    if isinstance(spread, CategoricalDistribution):
        numbers = _numbers(spread)
        return (numbers[0], numbers[-1]) if len(numbers) > 1 else ()
    return (spread.low, spread.high) if spread.low < spread.high else ()


def _at_edge(value: Any, spread: Any, end: float) -> bool:
    """Whether a value is at this end, or in the outer part of the range before it."""
    if isinstance(spread, CategoricalDistribution) or value == end:
        return bool(value == end)
    place = scaled(value, spread)
    return bool(0 <= place <= OUTER if end == spread.low else 1 - OUTER <= place <= 1)


def _beyond(spread: Any, is_low: bool) -> float:
    """A value outside, as far from the end as the next one inside is, or a tenth of the range."""
    if isinstance(spread, CategoricalDistribution):
        numbers = _numbers(spread)
        end, inside = (numbers[0], numbers[1]) if is_low else (numbers[-1], numbers[-2])
        ratio = bool(inside) and end / inside in (0.5, 2, 0.1, 10)
        return (int if isinstance(end, int) else float)(end * end / inside) if ratio else end + (end - inside)
    end = spread.low if is_low else spread.high
    if spread.log:
        value: float = end * (spread.high / spread.low) ** (-OUTER if is_low else OUTER)
    else:
        value = end + (spread.step or OUTER * (spread.high - spread.low)) * (-1 if is_low else 1)
    if isinstance(spread.low, int):
        return math.floor(value) if is_low else math.ceil(value)
    return float(value)
