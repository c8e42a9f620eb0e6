"""The best trial of each grade band, and the command that trains a trial in full."""

import os
import shlex
from pathlib import Path

from search.full_length import SHARE
from search.objective import BANDS, band
from search.paths import STORAGE
from search.results.leaderboard import Entry
from search.results.view import View
from search.storage_url import without_passwords

RUNS = Path("runs")
"""Where studies lie unless --out says otherwise."""

LABELS = (*(band(top - 1e-9) for top in BANDS), band(BANDS[-1]))
"""Names of the bands, the smallest errors first."""


def best_of_bands(view: View) -> dict[str, Entry | None]:
    """The finished trial of the smallest value in each grade band, by the band's name; None where a band has none.

    The last band, of errors that earn nothing, is there only where no other has a trial. Empty for a study that is
    ranked by no score, and before a trial has finished.
    """
    if not view.scored or not view.by_state["finished"]:
        return {}
    best: dict[str, Entry | None] = dict.fromkeys(LABELS)
    for entry in view.by_state["finished"]:
        if entry.error is None or entry.value is None:
            continue
        other = best[label := band(entry.error)]
        if other is None or other.value is None or entry.value < other.value:
            best[label] = entry
    worst = best.pop(LABELS[-1])
    return best if any(best.values()) else {**best, LABELS[-1]: worst}


def how_predicted(view: View) -> str:
    """What the errors of full trainings are predicted from, and how sure that is."""
    full = view.full_length
    if not full.epochs:
        return ""
    learnt = f"{full.models} retrained model{'s' * (full.models != 1)}" if full.models else "no retrained model yet"
    return f"in full: predicted after {full.epochs:,} epochs, with the interval of {SHARE:.0%} of trainings ({learnt})"


def command(view: View, number: int, study: str, out: Path = RUNS, storage: str | None = None, top: int = 0) -> str:
    """The shell command that trains a trial in full; a sentence where it has no parameters.

    Args:
        view: the study.
        number: of the trial.
        study: its name or file as the search was given it.
        out: the folder of all studies.
        storage: the URL of `--storage`; None where it was not given. One that the environment gives is left out.
        top: candidates of a race that is asked for instead of the trial; 0 for none.
    """
    if not view.by_number[number].params:
        return f"Trial {number} has no parameters yet, so there is nothing to train."
    words = ["posefront", "retrain", study, *(["--top", str(top)] if top else ["--trial", str(number)])]
    words += [] if Path(out) == RUNS else ["--out", str(out)]
    words += [] if storage in (None, os.environ.get(STORAGE)) else ["--storage", without_passwords(storage)]
    return shlex.join(words)
