"""What is to be decided: which trial to train in full, whether to go on, and where to look instead.

All of it follows from what the search wrote down; no study's file is run.
"""

import math
import statistics
from collections.abc import Collection, Sequence
from html import escape

from search.after.models import Models, by_trial
from search.dashboard.parts.blocks import Block, html, later, link, note, selection
from search.dashboard.source import Source
from search.format import between, compact, duration, measured, percent
from search.objective import band
from search.paths import EXPECTED_GAIN
from search.results import bands, edges
from search.results.importance import tenths
from search.results.leaderboard import Entry
from search.results.noise import Noise
from search.results.style import BAND_COLOURS, MUTED
from search.results.view import View

LATEST = 8
"""Trials, the last that were sampled, whose expected gains are averaged."""

TOLD = 3
"""Finished trials from which on the sampler's expectation is told: of the first ones it is a factor of ten from what
came, either way (LOG.md, `tests/search_bench/expected_gain.py`)."""

CAME = "of such expectations a fifth to all came true in recorded searches"

AHEAD = 10
"""Further trials that seed noise is compared with."""


def strip(source: Source, view: View, models: Models, near: Collection[int]) -> list[Block]:
    """What to do next; nothing before a trial has finished.

    Args:
        source: of the study.
        view: the trials that are shown.
        models: full trainings.
        near: trials that seed noise does not tell apart from the best one.
    """
    if not view.by_state["finished"]:
        return []
    sentences = [*going_on(view, models.noise), *ties(source, view, near, models.noise)]
    listed = "".join(f"<li>{sentence}</li>" for sentence in sentences)
    several = "The best of each grade band" if bands.best_of_bands(view) else "The best trial"
    return [
        html("bands", several, cards(source, view, models), width="two-thirds"),
        html("outlook", "Going on", f'<ul class="sentences">{listed}</ul>', width="third"),
        later("edges", "", f"{source.key}/edges/{tenths(view)}"),
    ]


def cards(source: Source, view: View, models: Models) -> str:
    """The best trial of each grade band, or of all, with what it is to have in full, and what trains it; as HTML."""
    best = bands.best_of_bands(view) or {"": view.by_state["finished"][0]}
    shown = []
    for place, (label, entry) in enumerate(best.items()):
        colour = BAND_COLOURS[place] if label and place < len(BAND_COLOURS) else MUTED
        if entry is not None:
            shown.append(_card(source, view, models, entry, label, colour))
    empty = [label for label, entry in best.items() if entry is None]
    below = "; ".join([*([f"no trial yet: {', '.join(empty)}"] if empty else []), bands.how_predicted(view)])
    return f'<ul class="bests">{"".join(shown)}</ul>{note(below[:1].upper() + below[1:] + ".") if below else ""}'


def _card(source: Source, view: View, models: Models, entry: Entry, label: str, colour: str) -> str:
    """One of the best trials."""
    value = entry.score if view.scored else None if view.alone else entry.value
    ranked = "" if value is None else f", {'score' if view.scored else 'value'} {compact(value)}"
    error = "" if entry.error is None else f"{escape(view.error_name)} {measured(entry.error, view.unit)}"
    full, runs = view.full(entry), by_trial(models.retrained).get(entry.number)
    lines = [error] if error else []
    if full is not None:
        lines.append(f"in full {between(full)} {view.unit}, predicted")
    if runs:
        seeds = len(runs[-1].seeds)
        trained = f"{seeds} seed{'s' * (seeds != 1)}, {runs[-1].epochs:,} epochs"
        lines.append(f"retrained {between(runs[-1].mean)} {view.unit}, {trained}")
    command = bands.command(view, entry.number, source.given, source.out, source.storage)
    return (
        f'<li style="border-color: {colour}">{_heading(source, view, label)}'
        f"<p><strong>{link(source.key, entry.number, f'trial {entry.number}')}</strong>{ranked}</p>"
        f"{''.join(f'<p>{escape(line)}</p>' for line in lines)}"
        f'<pre tabindex="0">{escape(command)}</pre></li>'
    )


def _heading(source: Source, view: View, label: str) -> str:
    """A band's name, which leads to its finished trials; nothing where there are no bands."""
    if not label:
        return ""
    numbers = [e.number for e in view.by_state["finished"] if e.error is not None and band(e.error) == label]
    count = f"{len(numbers):,} finished trial{'s' * (len(numbers) != 1)}"
    return f"<h3>{escape(label)}: {selection(source.key, numbers, count)}</h3>"


def since_best(view: View) -> int:
    """How many trials have ended after the best finished one, which there must be."""
    numbers = [entry.number for entry in view.ended]
    return len(numbers) - 1 - numbers.index(view.by_state["finished"][0].number)


def going_on(view: View, noise: Noise) -> list[str]:
    """How long ago the best was found, and what the next trials are expected to bring; as HTML."""
    over, since = view.ended, since_best(view)
    name = "score" if view.scored else view.error_name if view.alone else "value"
    if not since:
        said = f"The newest of {len(over):,} trials that ended is the best."
    else:
        spent = duration(sum(entry.seconds for entry in over[len(over) - since :]))
        last = f"the last {since:,} of {len(over):,} trials" if since > 1 else f"the newest of {len(over):,} trials"
        said = f"No better {name} in {last} ({spent} of training)."
    gain = expected_gain(view)
    if gain is None or len(view.by_state["finished"]) < TOLD:
        return [escape(f"{said} {_by_chance(since, len(over))}")]
    return [escape(said), escape(_expected(view, gain, noise))]


def _by_chance(since: int, over: int) -> str:
    """What a wait means by itself: of trials drawn at random each one is as likely to be the best."""
    waited = f"wait as long or longer in {percent((over - since) / over)} of cases, and " if since else ""
    return f"Random searches {waited}find a better one next in 1 of {over + 1:,}; a sampler that learns does better."


def expected_gain(view: View) -> float | None:
    """By how much the sampler expected the study's value to fall, the mean of the last trials that it chose.

    None where it does not say.
    """
    gains = [trial.user_attrs[EXPECTED_GAIN] for trial in view.trials if EXPECTED_GAIN in trial.user_attrs]
    return statistics.fmean(gains[-LATEST:]) if gains else None


def _expected(view: View, gain: float, noise: Noise) -> str:
    """What an expected gain of the study's value means, beside what chance does to the best trial's."""
    best = view.by_state["finished"][0]
    if not view.reached(best):
        return f"The sampler expects the next trial to bring the error {_share(gain)} nearer to the goal on average."
    if not (view.scored or view.alone):
        return f"The sampler expects {compact(gain)} less of the value from the next trial."
    small = (best.error or 0.0) / 1e4
    least = f"{_share(gain)} of the score" if view.scored else measured(gain, view.unit)
    if view.alone and gain < small:
        least = f"less than {compact(float(f'{small:.0e}'))} {view.unit}".strip()
    said = f"The sampler expects the next trial to gain {least} on average ({CAME})"
    chance = noise.deviation * (best.error or 0.0)
    if AHEAD * gain < chance:
        # Each expects no more than the one before, so that so many times the gain is a bound.
        return (
            f"{said}; {AHEAD} more gain less than what seed noise does to the best ({_noise(view, chance)}): to train "
            "the best in full says more than to go on."
        )
    return f"{said}, and seed noise of the best is {_noise(view, chance)}: to go on pays."


def _share(nats: float) -> str:
    """What a smaller logarithm means, in per cent of the number."""
    share = 100 * -math.expm1(-nats)
    return f"{compact(float(f'{share:.2g}'))} %" if share >= 0.01 else "less than 0.01 %"


def _noise(view: View, deviation: float) -> str:
    """A standard deviation of the value."""
    return f"a factor of {math.exp(deviation):.2g} of the score" if view.scored else measured(deviation, view.unit)


def ties(source: Source, view: View, near: Collection[int], noise: Noise) -> list[str]:
    """The trials that seed noise does not tell apart from the best one, as HTML; nothing where there is none."""
    numbers = [entry.number for entry in view.entries if entry.number in near]
    if not numbers:
        return []
    best = view.by_state["finished"][0].number
    race = bands.command(view, best, source.given, source.out, source.storage, top=min(3, len(numbers) + 1))
    shown = selection(source.key, [best, *numbers], f"{len(numbers):,} trial{'s' * (len(numbers) != 1)}")
    return [
        f"{shown} may be as good as the best ({escape(noise.words)})."
        f' Let a race decide:<pre tabindex="0">{escape(race)}</pre>'
    ]


def at_edges(view: View) -> str:
    """At which ends of their ranges the best trials lie, as HTML."""
    found: Sequence[str] = [edges.sentence(edge) for edge in edges.edges(view)]
    if not found:
        return note("No end of a range holds the best trials.")
    limits = "; the space may have a limit there, which posefront best looks up"
    return f'<ul class="sentences edges">{"".join(f"<li>{escape(each + limits)}.</li>" for each in found)}</ul>'
