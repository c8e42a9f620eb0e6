"""What a search attaches to its study for Optuna's own dashboard: a note, the Pareto figure, files of finished trials.

The driver alone calls this. An attachment that fails (a full disk, say) ends no search: it is said once.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from search.format import measured
from search.results import answers
from search.results.view import View
from search.run.state.ledger import Ledger
from search.study import Architecture

if TYPE_CHECKING:
    import optuna
    from optuna.artifacts import FileSystemArtifactStore

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two figures during a search, at the least."""

SHARE = 0.01
"""Of the driver's time that the figure may take. Every 2 kB of it are a commit: see `thinned`."""

WHOLE, BEST, NEWEST = 300, 200, 100
"""A study of more trials than WHOLE shows its front, its BEST best and its NEWEST newest trials."""


def store(folder: Path) -> FileSystemArtifactStore:
    """The artifacts of the study in `folder`; Optuna's dashboard takes it too."""
    from optuna.artifacts import FileSystemArtifactStore

    return FileSystemArtifactStore(folder / "artifacts")


class Attachments:
    """What one search attaches; it remembers when the figure was last drawn."""

    def __init__(self, ledger: Ledger, file: Path, folder: Path) -> None:
        """For the study of `file`, kept in `ledger`, whose folder is `folder`."""
        self._ledger, self._file, self._folder = ledger, file, folder
        self._warned = self._begun = False
        self._due = time.monotonic() + EVERY

    def begin(self) -> None:
        """The note, as early as may be; not before training, for its imports take seconds."""
        self._begun = True
        with self._careful("writing the study's note"):
            self._note()

    def end(self) -> None:
        """The note and the figure as the search leaves them; pictures that no trial shows are deleted."""
        with self._careful("writing the study's note"):
            self._note()
        with self._careful("attaching the Pareto figure"):
            self._plot()
        with self._careful("deleting pictures"):
            answers.sweep(self._folder)

    def network(self, number: int, arch: Architecture) -> None:
        """The layers and the drawing of an admitted trial's network, so that pages need no torch to show them.

        Of an interrupted trial they are there already, and counting takes 0.15 s.
        """
        from search.results import network

        with self._careful(f"recording the network of trial {number}"):
            if network.load(self._folder, number, repr(arch)) is None:
                network.save(self._folder, number, arch)

    def keep_up(self) -> None:
        """The figure anew, if it is due, and the note if there is none. A trial has ended."""
        if not self._begun:
            self.begin()
        began = time.monotonic()
        if began < self._due:
            return
        with self._careful("attaching the Pareto figure"):
            self._plot()
        ended = time.monotonic()
        self._due = ended + max(EVERY, (ended - began) / SHARE)

    def finish(self, number: int) -> None:
        """The files of a running trial that has had all its epochs; before it is told, for afterwards Optuna refuses.

        Its best, median and worst images on a sheet (1 MB), its answers as JSON, and its weights if it is one of the
        best `keep` as things stand. Weights stay when better trials come, since nothing can be detached from a trial
        that is over, and the dashboard answers a link to a deleted file with an error: of n trials in random order
        about keep x (1 + ln(n / keep)) get theirs attached, 16 of 200 for keep = 3; at worst, each better than all
        before it, every one does.
        """
        # What a killed run left is deleted. On the store's disk: a full one is met before the study is told of a file.
        scratch = self._folder / "artifacts" / ".new"
        for make in (self._examples, self._answers, self._weights):
            with self._careful(f"attaching the files of trial {number}"):
                shutil.rmtree(scratch, ignore_errors=True)
                scratch.mkdir(parents=True)
                file = make(number, scratch)
                if file is not None:
                    attach(self._ledger.running[number], file, self._folder)
        shutil.rmtree(scratch, ignore_errors=True)

    def _examples(self, number: int, scratch: Path) -> Path:
        from search.results import example_sheet

        error, unit = self._ledger.curves[number][-1]["error"], self._ledger.study.task.unit
        judged = answers.load(self._folder, number, unit)
        if judged is None:
            raise FileNotFoundError(f"{answers.file(self._folder, number)} is missing or cannot be read")
        file = scratch / f"examples-{number}.png"
        title = f"trial {number} after epoch {judged.epoch}: {measured(error, unit)}"
        drawn = example_sheet.sheet(judged, self._folder, title)
        drawn.save(file, compress_level=1)  # 0.06 s and 1.1 MB; the default takes 0.2 s to save a tenth of that
        return file

    def _answers(self, number: int, scratch: Path) -> Path:
        file = scratch / f"answers-{number}.json"
        shutil.copyfile(answers.file(self._folder, number), file)
        return file

    def _weights(self, number: int, scratch: Path) -> Path | None:
        import torch

        from search.run.training import checkpoint

        file = scratch / f"weights-{number}.pt"
        if not self._ledger.enters(number, self._ledger.study.keep) and not attached(
            self._ledger.running[number], file.name
        ):
            return None
        state = checkpoint.load(checkpoint.path(self._folder / "weights", number))
        epoch = self._ledger.curves[number][-1]["epoch"]
        if state is None or state["epoch"] != epoch:
            raise FileNotFoundError(f"{self._folder}/weights has no weights of epoch {epoch:g}")
        torch.save(checkpoint.judged(state), file)
        return file

    def _plot(self) -> None:
        """The Pareto figure as it stands, if a trial has anything to show."""
        from optuna_dashboard import save_plotly_graph_object

        from search.results.figures import pareto
        from search.run.note import PLOT

        optuna_study, objective = self._ledger.optuna_study, self._ledger.study.objective.name
        trials = optuna_study.get_trials(deepcopy=False)
        view = thinned(View.of(optuna_study.study_name, objective, optuna_study.user_attrs, trials))
        if all(entry.error is None for entry in view.entries):
            return
        figure = pareto.figure(view).update_layout(template="plotly_white")
        if len(view.trials) < len(trials):
            which = f"the front, the best {BEST} and the newest {NEWEST} of {len(trials):,} trials"
            figure.update_layout(title_subtitle_text=which)
        save_plotly_graph_object(optuna_study, figure, graph_object_id=PLOT)

    def _note(self) -> None:
        """The note, unless it says already what it should; what a person wrote is kept."""
        from optuna_dashboard import get_note, save_note

        from search.run.note import note

        before = get_note(self._ledger.optuna_study)
        after = note(self._ledger, self._file, self._folder, before)
        if after != before:
            save_note(self._ledger.optuna_study, after)

    @contextmanager
    def _careful(self, what: str) -> Iterator[None]:
        """Go on without what fails, and say so the first time."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, trials are worth more than what is attached to them
            if not self._warned:
                log.warning(
                    "posefront: %s failed (%s: %s); the search goes on, and further such failures are not reported.",
                    what,
                    type(error).__name__,
                    error,
                )
            self._warned = True


def attached(trial: optuna.Trial, name: str) -> str | None:
    """The id of the file `name` that a killed run attached to this trial; None if it did not."""
    from optuna.artifacts import get_all_artifact_meta

    return next((meta.artifact_id for meta in get_all_artifact_meta(trial) if meta.filename == name), None)


def attach(trial: optuna.Trial, file: Path, folder: Path) -> None:
    """Attach a file to a running trial, once."""
    from optuna.artifacts import upload_artifact

    before = attached(trial, file.name)
    if before is None:
        upload_artifact(artifact_store=store(folder), file_path=str(file), study_or_trial=trial)
        return
    with file.open("rb") as content:  # an upload enters the name first, so its content may be missing
        store(folder).write(before, content)


def thinned(view: View) -> View:
    """The trials worth drawing; all of a small study."""
    if len(view.trials) <= WHOLE:
        return view
    newest = view.trials[-NEWEST].number
    return view.only(
        [
            entry.number
            for place, entry in enumerate(view.entries)
            if place < BEST or entry.pareto or entry.number >= newest
        ]
    )
