"""A search as it is seen in the terminal: a live table, or a line a trial where there is no terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from search.format import digits, measured, named, params_text
from search.results.leaderboard import Entry, entry
from search.run.state.ledger import Ledger

WIDE = 150
"""Columns from which tables show parameters in a line."""

BESIDE = 6
"""Lines of the window that are not for trials. What does not fit is not laid out either: of 256 trials that took 0.2 s,
four times a second."""

STYLES = {"finished": "green", "stopped": "yellow", "failed": "red", "refused": "dim"}


class View:
    """Follows a ledger: trials that end are printed and stay, trials in training are a table that is redrawn."""

    def __init__(self, console: Console, ledger: Ledger) -> None:
        self._console, self._ledger = console, ledger
        self._shown = 0
        self._live: Live | None = None
        self._drawn = 0.0
        self._best: Entry | None = None
        self._counts = dict.fromkeys(STYLES, 0)
        for trial in ledger.optuna_study.get_trials(deepcopy=False):
            if trial.state.is_finished():
                self._count(trial)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("trials"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("search", total=ledger.study.trials, completed=ledger.finished)

    def _count(self, trial: FrozenTrial) -> Entry:
        ended = entry(trial, self._ledger.study.task.metric)
        self._counts[ended.state] += 1
        better = self._best is None or (ended.value or 0) < (self._best.value or 0)
        if trial.state is TrialState.COMPLETE and better:
            self._best = ended
        return ended

    def __call__(self) -> None:
        """Print what has ended since the last call, and redraw four times a second.

        Not from a thread of rich's: the ledger changes under it.
        """
        ledger = self._ledger
        task = ledger.study.task
        while self._shown < len(ledger.ended):
            ended = self._count(ledger.ended[self._shown])
            self._shown += 1
            mark = " [bold]best so far[/]" if ended is self._best else ""
            self._console.print(
                f"[{STYLES[ended.state]}]{ended.state:>8}[/] {line(ended, task.metric, task.unit)}{mark}"
            )
        self._bar.update(self._task, completed=ledger.finished)
        if self._live is not None and time.monotonic() - self._drawn > 0.25:
            self._live.refresh()
            self._drawn = time.monotonic()

    def __rich__(self) -> RenderableType:
        """The trials in training."""
        wide, task = self._console.width >= WIDE, self._ledger.study.task
        columns = (
            "trial",
            "epoch",
            named(task.metric),
            "loss",
            "lr now",
            "images/s",
            *(("parameters",) if wide else ()),
        )
        table = Table(*columns, box=None, padding=(0, 1), show_header=bool(self._ledger.assigned))
        trials = sorted(self._ledger.assigned.items())
        fitting = max(self._console.height - BESIDE, 1)
        for number, trial in trials[:fitting]:
            curve = self._ledger.curves[number]
            cells = [str(number), f"{len(curve)}/{trial.epochs}", "", "", "", ""]
            if curve:
                last = curve[-1]
                cells[2:] = [
                    measured(last["error"], task.unit),
                    digits(last["train_loss"]),
                    digits(last["lr"]),
                    digits(last["images"] / last["train_seconds"]),
                ]
            table.add_row(*cells, *((escape(params_text(trial.params)),) if wide else ()))
        if len(trials) > fitting:
            table.add_row("...", f"{len(trials) - fitting} more")
        counted = "  ".join(f"[{STYLES[state]}]{count} {state}[/]" for state, count in self._counts.items() if count)
        best = f"best {line(self._best, task.metric, task.unit)}" if self._best else "no finished trial yet"
        return Group(table, f"{counted}  {best}" if counted else best, self._bar)


def line(ended: Entry, metric: str, unit: str) -> str:
    """A trial in one line; `metric` and `unit` are those of its error."""
    parts = [f"trial {ended.number}"]
    if ended.name:
        parts.append(f"({escape(ended.name)})")
    if ended.score is not None:
        parts.append(f"score {digits(ended.score)}")
    if ended.error is not None:
        text = escape(f"{named(metric)} {measured(ended.error, unit)}")
        parts.append(f"{text} after {ended.epochs} epoch{'' if ended.epochs == 1 else 's'}")
    if ended.params_m is not None and ended.gflops is not None:
        parts.append(f"{digits(ended.params_m)} M {digits(ended.gflops)} G")
    if ended.reason:
        parts.append(escape(ended.reason.splitlines()[0][:160]))
    return " ".join(parts)


@contextmanager
def watched(console: Console, ledger: Ledger) -> Iterator[View]:
    """The view of a search; live in a terminal."""
    view = View(console, ledger)
    if not console.is_terminal:
        yield view
        view()
        return
    with Live(view, console=console, auto_refresh=False, transient=True) as live:
        view._live = live
        yield view
        view()
