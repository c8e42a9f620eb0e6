"""What a search is doing at this moment, and with how much of the machine."""

import shutil
import subprocess
import threading
from collections.abc import Collection, Mapping, Sequence
from html import escape

import psutil

from search.dashboard.parts import failures, gpu, pace
from search.dashboard.parts.blocks import (
    Block,
    Column,
    board,
    cell,
    column,
    error_cell,
    html,
    parameter_columns,
    rounded,
    table,
)
from search.dashboard.parts.workers import Worker, Workers, logs_html
from search.dashboard.request import WHOLE, Order, Request
from search.format import duration
from search.results.leaderboard import Entry
from search.results.view import View


class Machine:
    """This machine's processors and the processes that train on it. Percentages are since the last look.

    Attributes:
        workers: those processes.
    """

    def __init__(self) -> None:
        self.workers = Workers()
        self._lock = threading.Lock()
        self._smi = shutil.which("nvidia-smi")
        self._cores = psutil.cpu_times(percpu=True)

    def html(self) -> str:
        """A line a device."""
        cores = self._used()
        memory = psutil.virtual_memory()
        lines = [
            (
                f"{len(cores)} CPU cores",
                f"{sum(cores) / len(cores):.0f} % used ({', '.join(f'{use:.0f}' for use in cores[:32])})",
            ),
            ("memory", f"{memory.used / 1e9:.1f} of {memory.total / 1e9:.1f} GB used"),
            *self._gpus(),
        ]
        rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(use)}</td></tr>' for name, use in lines)
        return f'<table class="devices"><tbody>{rows}</tbody></table>'

    def _used(self) -> list[float]:
        """Percent of each core since the last look. psutil's own cpu_percent remembers one look a thread."""
        with self._lock:
            before, now = self._cores, psutil.cpu_times(percpu=True)
            spans = [sum(new) - sum(old) for old, new in zip(before, now, strict=True)]
            idle = [new.idle - old.idle for old, new in zip(before, now, strict=True)]
            if min(spans) > 0:
                self._cores = now
        return [100 * (1 - rest / span) if span > 0 else 0.0 for span, rest in zip(spans, idle, strict=True)]

    def _gpus(self) -> list[tuple[str, str]]:
        """Name and use of each GPU, by nvidia-smi."""
        if self._smi is None:
            return [("GPU", "none on this machine")]
        query = "--query-gpu=index,name,utilization.gpu,memory.used,memory.total"
        try:
            output = subprocess.run(  # noqa: S603 - found on the PATH, no text of anyone's
                [self._smi, query, "--format=csv,noheader,nounits"],
                capture_output=True,
                text=True,
                timeout=5,
                check=True,
            ).stdout
        except (OSError, subprocess.SubprocessError) as error:
            return [("GPU", f"nvidia-smi did not answer: {type(error).__name__}")]
        gpus = []
        for line in output.splitlines():
            index, name, use, used, total = (part.strip() for part in line.split(","))
            gpus.append((f"GPU {index}, {name}", f"{use} % used, {used} of {total} MiB"))
        return gpus


def page(view: View, study: str, machine: Machine, request: Request, lives: bool | None = None) -> list[Block]:
    """What is being trained, on what, and how long it will take.

    Args:
        view: the study.
        study: its key in addresses.
        machine: this one.
        request: orders of tables.
        lives: whether the search's driver is at work, see `workers.driver_lives`.
    """
    said = sorted(view.by_state["running"], key=lambda entry: entry.number)
    over = [entry for entry in view.entries if entry.ended is not None]
    newest = sorted(over, key=lambda entry: entry.ended or 0, reverse=True)[:10]
    workers = machine.workers.look([*said, *newest])
    ended = [entry.number for entry in said if entry.number in workers and workers[entry.number] is None]
    # A trial that an earlier run began has that run's worker until its next epoch ends: the driver knows better.
    gone = ended if lives is None else [] if lives else [entry.number for entry in said]
    running = [entry for entry in said if entry.number not in gone]
    logs = logs_html(workers, running, newest)
    failed = failures.html(study, view.by_state["failed"])
    return [
        html("pace", "The search", pace.html(view, running, gone)),
        training(view, said, workers, gone, request.order("training")),
        *gpu.blocks(view, gpu.measured(view, running)),
        *([html("failures", "Failures", failed)] if failed else []),
        *([html("logs", "Last lines of the workers' logs", logs)] if logs else []),
        html("devices", "This machine", machine.html()),
        board(view, "recent", "The last ten to end", newest, request.order("recent")),
    ]


def _process(entry: Entry, workers: Mapping[int, Worker | None], gone: Collection[int]) -> str:
    """Who trains a trial, or did; of an earlier run's process, which is no more, nothing is said."""
    if entry.number in gone:
        return f"{entry.worker}, ended" if entry.worker else "ended"
    return entry.worker if workers.get(entry.number, True) else ""


def training(
    view: View,
    running: Sequence[Entry],
    workers: Mapping[int, Worker | None],
    gone: Collection[int],
    order: Order = WHOLE,
) -> Block:
    """The trials that are being trained as a table, also those that are `gone`: whose process is no more."""
    use = {number: worker for number, worker in workers.items() if worker is not None}
    columns: list[Column] = [
        (column("trial"), lambda e: e.number),
        (column("name", text=True), lambda e: e.name),
        (column("progress", progress=True), lambda e: e.epochs / e.budget if e.budget else None),
        (column("epochs"), lambda e: f"{e.epochs} of {e.budget or '?'}"),
        (column(view.error_title), lambda e: error_cell(e.error)),
        (column("images/s"), lambda e: rounded(pace.speed(view, e))),
        (column("time left"), lambda e: cell(pace.seconds_left(e), duration)),
        *((column(r.label), lambda e, name=r.name: cell(e.readings.get(name))) for r in view.readings),
        (column("host, process", text=True), lambda e: _process(e, workers, gone)),
        (column("CPU [%]"), lambda e: rounded(use[e.number].cpu) if e.number in use else None),
        (column("memory [MB]"), lambda e: rounded(use[e.number].memory_mb) if e.number in use else None),
        *parameter_columns(running),
    ]
    return table("training", "In training", columns, running, "No trial is being trained.", order)
