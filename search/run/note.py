"""The note that Optuna's dashboard shows of a study: what it is, and how to read what is there. Markdown."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial

from search.format import digits, named, range_text
from search.paths import STUDIES
from search.results.leaderboard import Entry, entries
from search.run.state.ledger import Ledger, is_finished
from search.schedulers import record
from search.study import Study

PLOT = "pareto"
"""The Pareto figure's name in the dashboard."""

LINES = 10
"""Trials in the table of the best."""

OWN = "What is written below this line is kept."
"""The last line that is ours."""


def note(ledger: Ledger, file: Path, folder: Path, before: str = "") -> str:
    """The note as it should be now.

    Whatever text comes from the study stands as code, in which neither Markdown nor HTML means anything.

    Args:
        ledger: the study.
        file: the study's file.
        folder: the study's folder.
        before: the note as it is; what a person wrote, below OWN or instead of our note, is taken over.
    """
    study = ledger.study
    trials = ledger.optuna_study.get_trials(deepcopy=False)
    ranked = [e for e in entries(trials, study.task.metric, goal=ledger.ranking.goal) if e.state == "finished"]
    _, line, own = before.rpartition(OWN)
    parts = [
        f"# {code(ledger.optuna_study.study_name)}",
        "A posefront search for a small network that errs little.",
        listed(*facts(study), f"{sum(map(is_finished, trials))} trials are over, {len(ranked)} had all their epochs"),
        *(["## Best trials", table(ranked[:LINES], study.task.metric, study.task.unit)] if ranked else []),
        *parameters(trials),
        "## How to read these pages",
        listed(
            "COMPLETE had all its epochs; PRUNED was stopped early, or `refused` for its price; FAIL says why under "
            "`failed`; WAITING was interrupted and is the next to run",
            "a trial's value is its last epoch's, its intermediate values are those after each epoch; the user "
            "attribute `curve` has each epoch's error, losses, learning rate and times",
            f"the plot `{PLOT}` has price against error",
            "artifacts of a COMPLETE trial: `examples` are its best, median and worst validation images, `answers` its "
            f"errors by label, `weights` (if it was among the best {study.keep} when it ended) a state_dict for the "
            "network of its parameters",
            "the contour panel pairs wrong points once trials are stopped early or have failed",
        ),
        "## Where things are",
        f"{code(str(folder))} has `weights/` of the best {study.keep} and of those in training, `answers/`, "
        "`pictures/`, `artifacts/` and `pareto.html`. Commands, with the `--out`, `--storage` and `--data` that the "
        "search was given:",
        commands(file, ranked),
        "---",
        OWN,
        own.strip() if line else before.strip(),
    ]
    return "\n\n".join(parts).strip()


def facts(study: Study) -> list[str]:
    """What is minimised, and how it is searched for."""
    score = study.objective.described().score
    meant = f", the logarithm of {score}" if score else ""
    bounds = [
        f"{reading.title} at most {study.bounds[reading.name]:g} {reading.unit}".strip()
        for reading in study.readings
        if reading.name in study.bounds
    ]
    numbers = record(study.scheduler)
    stopping = numbers["scheduler"]
    if "grace" in numbers:
        stopping += f", not before epoch {numbers['grace']}"
    if "reduction" in numbers:
        stopping += f", one in {numbers['reduction']} survives a rung"
    if "probability" in numbers:
        stopping += f"; what becomes the best with a probability below {numbers['probability']:g} is stopped, too"
    return [
        f"minimised: {code(study.objective.name)}{meant}",
        f"the task's error: {code(study.task.metric)}"
        + (f" in {code(study.task.unit)}" if study.task.unit else "")
        + ", over the whole validation part",
        f"to be searched: {study.trials} trials of at most {study.epochs} epochs, seed {study.seed}",
        *([f"goal: {code(study.task.metric)} below {study.under:g} {study.task.unit}".strip()] if study.under else []),
        f"early stopping: {stopping}",
        *([f"refused untrained: all but {', '.join(bounds)}"] if bounds else []),
        *([f"refused untrained: {study.gate.words}"] if study.gate else []),
    ]


def table(ranked: Sequence[Entry], metric: str, unit: str) -> str:
    """Trials as a table; `metric` and `unit` are those of the error."""
    scored = any(entry.score is not None for entry in ranked)
    # Where the error alone is minimised it is not said twice.
    alone = all(entry.value == entry.error for entry in ranked)
    columns = [] if alone else ["score" if scored else "value"]
    titles = ["trial", *columns, code(named(metric)) + (f", {code(unit)}" if unit else ""), "Params, M", "FLOPs, G"]
    lines = [f"| {' | '.join([*titles, 'epochs'])} |", f"|{'---:|' * (len(titles) + 1)}"]
    for entry in ranked:
        title = f"{entry.number} {code(entry.name)}" if entry.name else str(entry.number)
        value = [] if alone else [digits(entry.score if scored else entry.value)]
        columns = [title, *value, digits(entry.error), digits(entry.params_m), digits(entry.gflops), str(entry.epochs)]
        lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def parameters(trials: Sequence[FrozenTrial]) -> list[str]:
    """What was sampled from which ranges; nothing before the first sample."""
    space = {name: distribution for trial in trials for name, distribution in trial.distributions.items()}
    lines = [f"{code(name)}: {code(range_text(distribution))}" for name, distribution in space.items()]
    return ["## What is searched", listed(*lines)] if lines else []


def commands(file: Path, ranked: Sequence[Entry]) -> str:
    """What to type."""
    name = shlex.quote(file.stem if file.parent == STUDIES else str(file))
    best = ranked[0].number if ranked else 0
    lines = (f"search {name}", f"dashboard {name}", f"best {name}", f"cost {name} --trial {best}")
    return "\n".join(f"    posefront {' '.join(line.splitlines())}" for line in lines)


def listed(*lines: str) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def code(text: str) -> str:
    """Text as a code span of Markdown.

    The fence is longer than any run of backticks inside. A bar would end the cell of a table even here: it is shown as
    U+2223, which looks the same.
    """
    line = " ".join(text.replace("|", "\u2223").split()) or "-"
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if len(fence) > 1 else ""
    return f"{fence}{pad}{line}{pad}{fence}"
