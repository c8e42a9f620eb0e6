"""One trial, as a worker trains it: from parameters to a row of numbers an epoch."""

import gc
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from data.errors import UserError
from search.config_record import rebuild
from search.load import load_study
from search.paths import STUDIES
from search.results import answers
from search.run.settings import FinalTraining, TrialAssignment, WorkerSettings
from search.run.training import checkpoint as weights
from search.run.training import clean
from search.run.training.fit import DivergedError, Teacher, fit, settle
from search.run.training.home import Home, SupersededError
from search.study import Config, Study, Task
from search.variant import change_of, vary_task

log = logging.getLogger(__name__)

RETRIES = 2
"""How often a trial begins an epoch again on a card that was full."""

MARGIN = 1.25
"""The memory that must be free, as a multiple of what the trial held at its peak."""

PATIENCE = 600.0
"""Seconds that a trial waits for room on its card at the most."""

LOOK_S = 2.0
"""Seconds between two looks at the card."""


@cache
def studied(name: str, data: str | None) -> Study:
    """A study by its name or file, which may have come with this process's packages; loaded once a process."""
    return load_study(str(STUDIES.parent / name) if name.endswith(".py") else name, data=data)


def work(
    settings: WorkerSettings, trial: TrialAssignment, device: torch.device, home: Home | None = None
) -> Iterator[dict[str, Any]]:
    """Train one trial, going on from its saved state if there is one.

    Its files are read and written at `home`; None for the study's folder.

    The state is saved before its row is handed over, so after a kill it is at most one epoch ahead of the storage:
    that epoch is handed over from the saved row, and so is the last one known, since the run died before the
    scheduler's answer to it was carried out.

    Yields:
        `Epoch.row()` for each epoch; or, last, {'failed': reason}: a trial that cannot go on never ends its worker,
        since a new one costs many seconds.

    Raises:
        SupersededError: another worker has begun the trial again meanwhile.
    """
    settle(settings.threads, device)
    config, at = None, home or Home(Path(settings.folder))
    try:
        config, task = configured(settings, trial)
        yield from again_when_there_is_room(lambda: train(settings, trial, config, task, device, at), device)
    except SupersededError:
        raise  # nobody listens to this worker any more; where somebody does, the trial goes on with a new one
    except Exception as error:  # noqa: BLE001 - whatever it was, it is written down with the trial
        yield {"failed": reason_of(error, config, device)}
    finally:
        if device.type == "cuda":
            # A card is shared; on a CPU the collection alone, 0.3 s, would be a trial's dearest part.
            gc.collect()
            torch.cuda.empty_cache()


def again_when_there_is_room(
    training: Callable[[], Iterator[dict[str, Any]]], device: torch.device
) -> Iterator[dict[str, Any]]:
    """The rows of a training, which begins again after its last saved epoch when a card that was full has room.

    The others on the card go on; an epoch begun anew gives what it would have given.

    Raises:
        Exception: what ended the training: out of memory with the card to itself, after `RETRIES`, or anything else.
    """
    reached = 0
    for attempt in range(RETRIES + 1):
        try:
            for row in training():
                if row["epoch"] > reached:
                    reached = row["epoch"]
                    yield row
            return
        except torch.OutOfMemoryError as error:
            # The error's frames hold the network; without them its memory is free for the others meanwhile.
            traceback.clear_frames(error.__traceback__)
            if attempt == RETRIES or not waited_for_room(device):
                raise
            log.warning("posefront: the GPU was full, and the epoch after %d begins again: %s", reached, brief(error))


def waited_for_room(device: torch.device) -> bool:
    """Wait until a card has the memory free that this trial held at its peak, and some more.

    Returns:
        False at once where the trial had so much of the card that others are not why, or after `PATIENCE` seconds.
    """
    wanted = int(MARGIN * torch.cuda.max_memory_allocated(device))
    gc.collect()
    torch.cuda.empty_cache()
    began = time.monotonic()
    while True:
        free, total = torch.cuda.mem_get_info(device)
        if wanted > total:
            return False
        if free >= wanted:
            return True
        if time.monotonic() - began > PATIENCE:
            return False
        time.sleep(LOOK_S)


def configured(settings: WorkerSettings, trial: TrialAssignment) -> tuple[Config, Task]:
    """What is trained, and on what."""
    task = studied(settings.study, settings.data).task  # first: the configuration may name classes of the study's file
    if settings.final is not None:
        task = vary_task(task, change_of(trial.params, settings.final.variants))
    return rebuild(trial.config), task


def train(
    settings: WorkerSettings, trial: TrialAssignment, config: Config, task: Task, device: torch.device, home: Home
) -> Iterator[dict[str, Any]]:
    """The rows that are known already, then those of the epochs that are left."""
    file = weights.path(home.folder / "weights", trial.number)
    home.begin(file)
    teacher = teacher_of(settings.final, device)
    state = weights.load(file, device, trial.owner)
    if trial.last is not None:
        yield trial.last
    reached = trial.last["epoch"] if trial.last else 0
    if state is not None and state["epoch"] > reached:
        yield state["row"]
    split = task.split(config.arch.size)
    part = split.valid
    sample = clean.sample(split) if settings.final is not None and settings.final.clean else None
    measured = [] if state is None else list(state.get("clean", []))
    for trained in fit(task, config, epochs=trial.epochs, seed=trial.seed, device=device, state=state, teacher=teacher):
        row = trained.epoch.row()
        judged = answers.of(task, trained.outputs, part, trained.epoch.epoch)
        if sample is not None and clean.is_measured(trained.epoch.epoch, trial.epochs):
            measured.append(clean.row(task, trained, sample))
        # An epoch whose state is on disk is not trained again, so its answers are written before, and the
        # pictures they name before them.
        with home.handing_over(file):
            answers.save_pictures(judged, task, home.folder)
            answers.save(judged, home.folder, trial.number)
            weights.save({"row": row, "owner": trial.owner, "clean": measured, **trained.take()}, file)
        yield row


def reason_of(error: Exception, config: Config | None, device: torch.device) -> str:
    """Why a trial cannot go on, as it is kept with it."""
    if isinstance(error, DivergedError):
        return f"diverged: {error}"
    if isinstance(error, UserError):
        return str(error)
    if is_out_of_memory(error):
        needed = f"\n{brief(error)}" if isinstance(error, torch.OutOfMemoryError) and str(error) else ""
        return out_of_memory(config, device) + needed
    return described(error)


def teacher_of(final: FinalTraining | None, device: torch.device) -> Teacher | None:
    """The teacher of a last training, if it has one."""
    if final is None or final.teacher is None:
        return None
    if final.study is not None:
        studied(final.study, None)  # whose file defines its architecture
    arch = rebuild(final.teacher).arch
    net = arch.build()
    net.load_state_dict(safetensors.torch.load_file(STUDIES.parent / final.weights))
    return Teacher(net.eval().to(device), arch.size, final.weight)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is a lack of memory, on a GPU or on the host (torch has no type of its own for that)."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def out_of_memory(config: Config | None, device: torch.device) -> str:
    """What to say of it."""
    attempt = f"a batch of {config.training.batch} at {sides(config.arch.size)} px" if config else "the trial"
    return f"out of memory: {attempt} is too much for {device}"


def brief(error: BaseException) -> str:
    """What torch says of a lack of memory, without its advice: what was asked for, how much there is and is free."""
    return str(error).splitlines()[0].partition(" If reserved but unallocated")[0].partition(" See documentation")[0]


def sides(size: Any) -> str:
    """An input's size in words: '96' or '256 x 192'."""
    return " x ".join(map(str, size)) if isinstance(size, tuple) else str(size)


def described(error: BaseException) -> str:
    """An unforeseen error, with the place it came from."""
    return f"{type(error).__name__}: {error}\n{''.join(traceback.format_tb(error.__traceback__)[-3:])}".strip()
