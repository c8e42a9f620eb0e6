"""How fast a network trains, alone and with others beside it on one device: processes that train for some seconds.

Started as a program, it is one of them: it reads a line of JSON, warms up, says 'ready', waits for a line and trains.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data.task import Task
from search.paths import STUDIES
from search.study import Config

STEPS = {"cuda": 64, "cpu": 8}
"""Steps between two looks at the clock, for each of which the device is waited for."""

PATIENCE = 300.0
"""Seconds after which processes that have not answered are ended."""


@dataclass(frozen=True)
class Speed:
    """How fast one of several equal trainings was.

    Attributes:
        images_per_s: images a second.
        step_ms: milliseconds a step.
        peak_mb: the largest memory: of a GPU what torch allocated, else of the process; 10^6 bytes.
        launch_share: the part of a step done launch by launch that its recording saves, 0 to 1; None where steps are
            not recorded.
        failed: why it could not train; '' where it could.
    """

    images_per_s: float = 0.0
    step_ms: float = 0.0
    peak_mb: float = 0.0
    launch_share: float | None = None
    failed: str = ""


def train(task: Task, config: Config, seconds: float, wait: Callable[[], Any]) -> Speed:
    """Train for so long after `wait` returns, on the GPU if there is one; the task is prepared.

    `wait` is called when all that happens once has happened.
    """
    import torch

    from data.storage.pack import Part
    from search.run.training.fit import Learner, Memory, settle

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settle(1, device)
    whole = task.split(config.arch.size).train
    chosen = np.resize(np.arange(len(whole.rows)), STEPS[device.type] * config.training.batch)
    part = Part(whole.pixels, whole.rows[chosen], whole.targets[chosen])
    learner = Learner(task, config, part, epochs=10**6, seed=0, device=device)
    memory, times = Memory(device), [time.perf_counter()]

    def after_step() -> None:
        memory.sample()
        if len(times) < 4:  # before the fourth step is recorded; only here is each step waited for
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter())

    learner.train(1, after_step)
    wait()
    epoch, images, began = 1, 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        epoch += 1
        images += learner.train(epoch, memory.sample)[1]
    took = time.perf_counter() - began
    step = took / images * config.training.batch
    single = min(times[3] - times[2], times[2] - times[1])
    share = max(0.0, 1 - step / single) if learner.is_recorded else None
    return Speed(images / took, step * 1e3, memory.peak_mb(), share)


def side_by_side(command: Sequence[str], what: dict[str, Any], count: int, card: int | None = None) -> list[Speed]:
    """The speeds of `count` equal processes that train at the same time.

    Args:
        command: what starts one; it reads `what` as a line of JSON, then one that is empty; see `serve`.
        what: to train.
        count: of processes.
        card: number of the GPU that they see; None for what this process sees.
    """
    visible = {} if card is None else {"CUDA_VISIBLE_DEVICES": str(card)}
    ours = os.pathsep.join(filter(None, (str(STUDIES.parent), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ours} | visible
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.DEVNULL,
        "text": True,
    }
    started = [subprocess.Popen(command, env=environment, **pipes) for _ in range(count)]  # noqa: S603 - our own

    def end() -> None:
        for process in started:
            process.kill()

    late = threading.Timer(PATIENCE, end)
    late.start()
    try:
        for process in started:
            say(process, json.dumps(what))
        # A process that fails answers with its reason at once, and the others are not kept waiting.
        first = [heard(process) for process in started]
        for process in started:
            say(process, "")
        return [
            answer(line if line.startswith("{") else heard(process))
            for line, process in zip(first, started, strict=True)
        ]
    finally:
        late.cancel()
        end()
        for process in started:
            process.communicate()


def heard(process: "subprocess.Popen[str]") -> str:
    """The next line of a process; '' where it has ended."""
    line: str = process.stdout.readline()  # type: ignore[union-attr]
    return line


def say(process: "subprocess.Popen[str]", line: str) -> None:
    """A line to a process, which may have ended."""
    with suppress(BrokenPipeError):
        process.stdin.write(line + "\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]


def answer(line: str) -> Speed:
    """What a process has said last."""
    return Speed(**json.loads(line)) if line.startswith("{") else Speed(failed="the process ended without a word")


def serve(trained: Callable[[dict[str, Any], Callable[[], Any]], Speed]) -> None:
    """One of several processes: read what to train, say 'ready', wait for a line, train, print the speed."""
    import torch

    from search.run.training.worker import reason_of

    what = json.loads(sys.stdin.readline())
    out, sys.stdout = sys.stdout, sys.stderr

    def ready() -> None:
        print("ready", file=out, flush=True)
        sys.stdin.readline()

    try:
        speed = trained(what, ready)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is told
        speed = Speed(failed=reason_of(error, None, torch.device("cpu")).splitlines()[0])
    print(json.dumps(asdict(speed)), file=out, flush=True)


def of_study(what: dict[str, Any], ready: Callable[[], Any]) -> Speed:
    """Train a recorded configuration of a study."""
    from search.config_record import rebuild
    from search.run.training.worker import studied

    task = studied(what["study"], what["data"]).task
    task.prepare()
    return train(task, rebuild(what["config"]), what["seconds"], ready)


if __name__ == "__main__":
    serve(of_study)
