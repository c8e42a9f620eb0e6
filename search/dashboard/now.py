"""What a search is doing at this moment, and with how much of the machine."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Sequence
from html import escape

import psutil

from search.dashboard.blocks import Block, Column, cell, column, error_cell, rounded, table
from search.dashboard.request import WHOLE, Order
from search.format import duration
from search.results.leaderboard import Entry
from search.results.view import View


class Machine:
    """This machine's processors and the processes that train on it. Percentages are since the last look."""

    def __init__(self) -> None:
        self._host = socket.gethostname()
        self._processes: dict[int, psutil.Process] = {}
        self._lock = threading.Lock()
        self._smi = shutil.which("nvidia-smi")
        self._cores = psutil.cpu_times(percpu=True)

    def workers(self, running: Sequence[Entry]) -> dict[int, tuple[float, float]]:
        """CPU [%, of one core] and resident memory [MB, 10^6 bytes] by trial, of workers on this machine."""
        use = {}
        with self._lock:
            for entry in running:
                host, _, number = entry.worker.rpartition(" ")
                if host != self._host or not number.isdigit():
                    continue
                try:
                    process = self._processes.get(int(number)) or psutil.Process(int(number))
                    use[entry.number] = process.cpu_percent(), process.memory_info().rss / 1e6
                except psutil.Error:
                    self._processes.pop(int(number), None)
                else:
                    self._processes[int(number)] = process
        return use

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


def training(view: View, machine: Machine, order: Order = WHOLE) -> Block:
    """The trials that are being trained, as a table."""
    running = sorted(view.by_state["running"], key=lambda entry: entry.number)
    use = machine.workers(running)
    columns: list[Column] = [
        (column("trial"), lambda e: e.number),
        (column("name", text=True), lambda e: e.name),
        (column("progress", progress=True), lambda e: e.epochs / e.budget if e.budget else None),
        (column("epochs"), lambda e: f"{e.epochs} of {e.budget or '?'}"),
        (column(view.error_title), lambda e: error_cell(e.error)),
        (column("images/s"), lambda e: rounded(speed(view, e))),
        (column("time left"), lambda e: cell(seconds_left(e), duration)),
        (column("host, process", text=True), lambda e: e.worker),
        (column("CPU [%]"), lambda e: rounded(use[e.number][0]) if e.number in use else None),
        (column("memory [MB]"), lambda e: rounded(use[e.number][1]) if e.number in use else None),
    ]
    return table("training", "In training", columns, running, "No trial is being trained.", order)


def speed(view: View, entry: Entry) -> float | None:
    """Images a second in a trial's last epoch."""
    epoch = view.curves[entry.number][-1] if entry.number in view.curves else None
    return epoch["images"] / epoch["train_seconds"] if epoch and epoch["train_seconds"] else None


def seconds_left(entry: Entry) -> float | None:
    """Until a trial has had all its epochs, at its pace so far; None before its first one."""
    return (entry.budget - entry.epochs) * entry.seconds / entry.epochs if entry.epochs and entry.budget else None
