"""Full trainings in tables: what their seeds came to, beside what the search had predicted."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from data.errors import UserError
from search.after.model import CURVES, FACTS
from search.after.models import FOLDER, Models
from search.config_record import digest
from search.dashboard.parts.blocks import RIGHT, link, note, plain_table
from search.dashboard.reader import Reader
from search.format import between, compact, digits, measured, titled
from search.full_length import FullLength, Interval
from search.objective import band, score
from search.paths import url_of
from search.results.noise import CHANCE, Retrained
from search.results.view import View

RETRAIN = "retrain"
"""Of a study's folder, the one with the storages of full trainings, see `search.after.retrain`."""

RACE = "top-"
"""Begins the names of their folders where several trials are trained beside each other."""

HEADS = ("trial", "epochs", "errors of the seeds", "mean", f"{1 - CHANCE:.0%} for the mean", "predicted of it", "score")


class Going(NamedTuple):
    """A full training that has no model yet."""

    folder: Path
    view: View  # of its seeds, a trial each


def html(key: str, view: View, models: Models, number: int | None = None) -> str:
    """Full trainings as a table, the least mean error first; empty where there is none and nothing is wrong.

    Args:
        key: of the study, in addresses.
        view: the trials that are shown.
        models: of the study.
        number: of the trial whose full trainings are wanted, with its seeds' numbers; None for all.
    """
    wanted = [each for each in models.retrained if each.trial in view.by_number and number in (None, each.trial)]
    wrong = "".join(note(sentence) for sentence in models.trouble)
    if not wanted:
        return wrong
    heads = [*HEADS[:-1], *(["score of the mean", "band"] if view.scored else []), "model"]
    heads[2:4] = [titled(heads[2], view.unit), titled(heads[3], view.unit)]
    rows = "".join(_row(key, view, each) for each in sorted(wanted, key=lambda each: each.mean.error))
    words = f"{models.noise.words}; the interval is of the mean over very many seeds."
    top = "".join(f'<th scope="col"{"" if head == "model" else RIGHT}>{escape(head)}</th>' for head in heads)
    shown = note(words[:1].upper() + words[1:]) + plain_table("full trainings", top, rows)
    return wrong + shown + ("" if number is None else "".join(map(_of_seeds, wanted)))


def _row(key: str, view: View, each: Retrained) -> str:
    """A full training as a table's row."""
    entry = view.by_number[each.trial]
    cells = [
        f"{each.epochs:,}",
        ", ".join(digits(error) for _, error, _ in each.seeds),
        digits(each.mean.error),
        f"{digits(each.mean.low)} to {digits(each.mean.high)}",
        between(predicted(view, each)),
    ]
    if view.scored:
        price = view.price(entry)
        whole = None if math.isnan(price) else score(price + each.mean.error)
        cells += ["" if whole is None else compact(whole), escape(band(each.mean.error))]
    teacher = f", learnt from {each.teacher}" if each.teacher else ""
    place = f"<code>{escape(Path(each.folder).name)}</code>{escape(teacher)}"
    numbers = "".join(f"<td{RIGHT}>{text}</td>" for text in cells)
    return f'<tr><th scope="row"{RIGHT}>{link(key, each.trial)}</th>{numbers}<td>{place}</td></tr>'


def predicted(view: View, each: Retrained) -> Interval | None:
    """What the search predicted of a full training, had this trial not been trained in full."""
    entry = view.by_number[each.trial]
    if entry.error is None or not math.isfinite(entry.error) or each.teacher:
        return None
    without = replace(FullLength.of(view.attrs, without=each.trial), epochs=each.epochs)
    return without(entry.error, entry.budget or entry.epochs)


def _of_seeds(each: Retrained) -> str:
    """The seeds of one full training, and the candidates that it was preferred to, in words."""
    seeds = "; ".join(f"{seed}: {digits(error)} ({weights} weights)" for seed, error, weights in each.seeds)
    parts = [f"{each.epochs:,} epochs, by seed: {seeds}."]
    for trial, epochs, behind, reason in each.lost:
        after = f"{digits(behind)} behind after {epochs:,} epochs" if behind is not None else reason or "no error"
        parts.append(f"Preferred to trial {trial}: {after}.")
    return note(" ".join(parts)) + f'<pre tabindex="0">{escape(each.folder)}</pre>'


def curves_of(retrained: Sequence[Retrained], trainings: Sequence[Going]) -> Mapping[str, Sequence[Any]]:
    """The curves of full trainings, rows an epoch by a name for each seed; what cannot be read is left out."""
    found: dict[str, Sequence[Any]] = {}
    for each in retrained:
        try:
            rows = json.loads((Path(each.folder) / CURVES).read_bytes())
        except (OSError, ValueError):
            continue
        for (seed, _, _), curve in zip(each.seeds, rows, strict=False):
            if curve:
                found[f"{each.epochs:,} epochs, seed {seed}"] = curve
    for training in trainings:
        for number, rows in training.view.curves.items():
            entry = training.view.by_number[number]
            found[f"{training.folder.name}, {entry.name or number}, {entry.state}"] = rows
    return found


def going(folder: Path, view: View, number: int) -> list[Going]:
    """A trial's full trainings that are not over, or have left no model: being trained, or interrupted.

    Races of `retrain --top` among them. Those of another study, of another configuration of the trial and what cannot
    be read are left out.
    """
    found = []
    for file in _storages(folder, number):
        is_race, (first, *others) = file.parent.name.startswith(RACE), _numbers(file.parent.name)
        if (folder / FOLDER / file.parent.name / FACTS).is_file() or first not in view.by_number:
            continue
        entry, url = view.by_number[first], url_of(file.parent.absolute(), None)
        kept = f" {digest(entry.config)}" if entry.config is not None else ""
        purpose = f"top {'-'.join(f'{each:06d}' for each in (first, *others))}" if is_race else "in full"
        reader = Reader(url, f"{view.name} trial {first} {purpose}{kept}")
        with suppress(UserError):
            seen = reader.read()
            if not is_race or seen.by_state["running"] or seen.by_state["waiting"]:
                found.append(Going(file.parent, seen))
        reader.close()
    return found


def _storages(folder: Path, number: int) -> list[Path]:
    """The storages of a trial's full trainings, and of the races that it is in."""
    files = (folder / RETRAIN).glob("*/study.db")
    return sorted(file for file in files if number in _numbers(file.parent.name))


def _numbers(name: str) -> list[int]:
    """The trials of a full training, by its folder's name: one, or the candidates of a race."""
    trials = re.match(rf"(?:{RACE}((?:\d{{6,}}-)+)|(\d{{6,}}-))\d+(?:-\w+)?$", name)
    return [] if trials is None else [int(each) for each in (trials[1] or trials[2]).split("-") if each]


def going_html(trainings: Sequence[Going]) -> str:
    """How far the seeds of full trainings are, as HTML."""
    lines = []
    for training in trainings:
        seeds = []
        for entry in sorted(training.view.entries, key=lambda entry: entry.number):
            reached = f", {measured(entry.error, training.view.unit)}" if entry.error is not None else ""
            reason = f": {entry.reason.splitlines()[0]}" if entry.reason else ""
            seeds.append(
                f"{entry.name or entry.number} {entry.state}, epoch {entry.epochs} of {entry.budget}{reached}{reason}"
            )
        lines.append(note(f"{training.folder.name}, no model yet. {'; '.join(seeds)}."))
    return "".join(lines)


def changed(folder: Path, number: int) -> float:
    """When a full training of a trial was last written to; 0 where there is none."""
    times = [0.0]
    for storage in _storages(folder, number):
        for file in storage.parent.glob("study.db*"):
            with suppress(OSError):
                times.append(file.stat().st_mtime)
    return max(times)
