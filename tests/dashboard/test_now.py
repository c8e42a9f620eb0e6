"""What runs at this moment: time that is left, workers and their logs, failures in groups, GPUs."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.dashboard import pages
from search.dashboard.filters import matching
from search.dashboard.parts import failures, gpu, now, pace
from search.dashboard.parts.workers import Workers, driver_lives, logs_html
from search.dashboard.request import Request
from search.results.view import View
from search.run.state.lease import machine
from tests.dashboard.seen import HOSTILE

HERE = socket.gethostname()
BEGAN = datetime(2026, 11, 26, 8)


def made(number: int, state: TrialState, epochs: int, **attrs: Any) -> FrozenTrial:
    """A trial of ten-second epochs, 50 images a second."""
    row = {"error": 9.0, "train_loss": 1.0, "valid_loss": 1.0, "lr": 1.0, "memory_mb": 1.0}
    rows = [{"epoch": n, "seconds": 10.0, "train_seconds": 8.0, "images": 400, **row} for n in range(1, epochs + 1)]
    attrs = {"budget": 10, "curve": rows, "params_m": 1.0, "gflops": 2.0} | attrs
    ended = BEGAN + timedelta(minutes=number) if state.is_finished() else None
    return FrozenTrial(
        number=number, state=state, value=1.0 if state is TrialState.COMPLETE else None, datetime_start=BEGAN,
        datetime_complete=ended, params={}, distributions={}, user_attrs=attrs, system_attrs={},
        intermediate_values={}, trial_id=number,
    )  # fmt: skip


def viewed(*trials: FrozenTrial, wanted: int | None = 20) -> View:
    search = {} if wanted is None else {"search": {"trials": wanted, "epochs": 10}}
    return View.of("tiny", "value", {"metric": "pixel_diff", "unit": "px", **search}, trials)


def test_the_time_left_is_as_counted_by_hand() -> None:
    over = [made(0, TrialState.COMPLETE, 10), made(1, TrialState.PRUNED, 2), made(2, TrialState.FAIL, 3)]
    view = viewed(*over, made(3, TrialState.RUNNING, 1), made(4, TrialState.RUNNING, 8))
    known = pace.pace(view, view.by_state["running"])
    assert known is not None
    # The mean of 100, 20 and 30 s; a running trial goes on to it; the other is past it, and has all ten epochs.
    assert known.trained_s == pytest.approx(50)
    assert (known.waiting, known.workers) == (15, 2)
    assert known.left_s == pytest.approx(15 * 50 + (50 - 10) + 2 * 10)
    assert known.until_s == pytest.approx(405)
    assert known.images_per_s == pytest.approx(100)
    told = pace.html(view, view.by_state["running"], [])
    assert "<dd>about 6 min 45 s</dd>" in told
    assert "<dd>100 images/s</dd>" in told

    # What is not known is not said.
    young = viewed(made(0, TrialState.RUNNING, 1))
    assert "known once a trial has ended" in pace.html(young, young.by_state["running"], [])
    assert pace.pace(viewed(*over, wanted=None), []) is None
    assert "nothing runs; about 14 min 10 s of training" in pace.html(viewed(*over), [], [])
    assert "it has all its trials" in pace.html(viewed(*over, wanted=3), [], [])
    killed = pace.html(view, view.by_state["running"][:1], [4])
    assert "by no process any more: trial 4." in killed


@contextmanager
def worker(folder: Path, title: str = "ray::Worker.train") -> Iterator[int]:
    """A process as Ray's workers are: its title, and its output in files."""
    code = (
        "import sys, time\n"
        "print(':job_id:01000000')\n"
        "for step in range(40): print('step', step)\n"
        "print('\\r10 %\\r90 %')\n"
        f"print('\\x1b[31mred\\x1b[0m', {HOSTILE!r}, flush=True)\n"
        "print('UserWarning: slow', file=sys.stderr, flush=True)\n"
        "time.sleep(60)\n"
    )
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen([title, "-c", code], executable=sys.executable, stdout=out, stderr=err)
    try:
        while not (folder / "err").stat().st_size:
            time.sleep(0.02)
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(not Path("/proc/self/fd/1").exists(), reason="logs are found by Linux's /proc")
def test_workers_of_this_machine(tmp_path: Path) -> None:
    look = Workers().look
    with worker(tmp_path) as pid:
        here, another = f"{HERE} {pid}", f"{HERE} {os.getpid()}"
        view = viewed(
            made(0, TrialState.RUNNING, 1, worker=here),
            made(1, TrialState.RUNNING, 1, worker=another),  # a number that is no worker's any more
            made(2, TrialState.RUNNING, 1, worker="elsewhere 4711"),
            made(3, TrialState.RUNNING, 0),
        )
        running = view.by_state["running"]
        found = look(running)
        assert sorted(found) == [0, 1]
        assert found[1] is None
        known = found[0]
        assert known is not None
        assert known.memory_mb is not None
        assert known.memory_mb > 1
        printed = dict(known.printed)
        assert printed["errors and warnings"] == ("UserWarning: slow",)
        assert printed["output"][-3:] == ("step 39", "90 %", f"red {HOSTILE}")
        assert len(printed["output"]) == 12
        told = logs_html(found, running)
        assert HOSTILE not in told
        assert "UserWarning: slow" in told
        assert "Logs of workers on elsewhere" in told
        # In its first epoch a trial has no worker yet: the one that ended last tells which there are.
        ended = viewed(made(0, TrialState.COMPLETE, 1, worker=here), made(1, TrialState.RUNNING, 0))
        told = logs_html(look(ended.entries), ended.by_state["running"], ended.by_state["finished"])
        assert f"{here}, after trial 0: output" in told
    assert look(running)[0] is None


def test_the_driver_knows_better_than_an_earlier_runs_workers() -> None:
    holder = {"id": "x", "machine": machine(), "process": os.getpid(), "born": psutil.Process().create_time()}
    assert driver_lives(None) is None
    assert driver_lives("null") is False
    assert driver_lives(json.dumps(holder)) is True
    assert driver_lives(json.dumps(holder | {"born": 1.0})) is False
    assert driver_lives(json.dumps(holder | {"machine": "another"})) is None

    view = viewed(made(0, TrialState.RUNNING, 1, worker=f"{HERE} 999999"), made(1, TrialState.RUNNING, 0))

    def shown(held: Any) -> tuple[str, list[Any]]:
        blocks = {block["id"]: block for block in now.page(view, "tiny", now.Machine(), Request(), driver_lives(held))}
        column = [each["title"] for each in blocks["training"]["columns"]].index("host, process")
        return blocks["pace"]["html"], [row[column] for row in blocks["training"]["rows"]]

    told, processes = shown(json.dumps(holder))
    assert "killed" not in told
    assert "<dt>in training</dt><dd>2</dd>" in told
    assert processes == ["", ""]
    assert "any more: trials 0, 1." in shown("null")[0]
    told, processes = shown(None)
    assert "any more: trial 0." in told
    assert processes == [f"{HERE} 999999, ended", ""]
    assert pages.status(2, driver_lives(json.dumps(holder))) == "2 running"
    assert pages.status(2, driver_lives("null")) == "2 interrupted, no search is at work"
    assert pages.status(2, None) == "2 running"
    assert pages.status(0, True) == "nothing runs"


def test_failures_in_groups() -> None:
    reasons = [
        "diverged: the loss became nan in epoch 3 (learning rate 0.01)\nTraceback",
        "out of memory: a batch of 64 at 96 px is too much for cuda",
        "diverged: the loss became nan in epoch 17 (learning rate 2.5e-3)",
        f'the loss broke "here" {HOSTILE}',
        "out of memory: a batch of 1,024 at 224 px is too much for cuda",
        "diverged: the error became inf in epoch 3 (learning rate 0.01)",
        "",
        "diverged: the loss became nan in epoch 4 (learning rate 3)",
    ]
    view = viewed(*(made(n, TrialState.FAIL, 1, failed=reason) for n, reason in enumerate(reasons)))
    found = failures.groups(view.by_state["failed"])
    # As counted by hand, and each link shows the trials that were counted.
    assert [[e.number for e in group.entries] for group in found] == [[7, 2, 0], [4, 1], [6], [5], [3]]
    for group in found:
        if group.reason != failures.NONE:
            shown = {entry.number for entry in matching(view, group.filter).entries}
            assert shown == {entry.number for entry in group.entries}
    told = failures.html("a/b", view.by_state["failed"])
    assert HOSTILE not in told
    assert 'href="#/a%2Fb/trial/7"' in told
    assert failures.html("tiny", []) == ""


def test_a_gpu_is_shown_where_there_was_one() -> None:
    def on_a_card(number: int) -> FrozenTrial:
        trial = made(number, TrialState.RUNNING, 3)
        for place, row in enumerate(trial.user_attrs["curve"]):
            row |= {"gpu_mb": 1500.0 + place, **({"gpu_use": 60.0 + place} if place else {})}
        return trial

    view = viewed(on_a_card(0), made(1, TrialState.RUNNING, 3))
    blocks = now.page(view, "tiny", now.Machine(), Request())
    shown = {block["id"]: block for block in blocks}
    held, busy = (shown[name]["figure"].data for name in ("gpu-memory", "gpu-use"))
    assert [trace.name for trace in held] == ["trial 0"]
    assert list(held[0].y) == [1.5, 1.501, 1.502]
    assert list(held[0].x) == [10, 20, 30]
    assert list(busy[0].y)[1:] == [61, 62]
    assert busy[0].y[0] != busy[0].y[0]

    on_a_cpu = viewed(made(1, TrialState.RUNNING, 3))
    assert gpu.blocks(on_a_cpu, gpu.measured(on_a_cpu, on_a_cpu.by_state["running"])) == []
    columns = [column["title"] for column in shown["training"]["columns"]]
    assert {"Params [M]", "FLOPs [G]"} < set(columns)


def test_a_card_whose_driver_says_nothing_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml
    import torch

    from search.run.training import fit

    asked = []

    def use(_: torch.device) -> int:
        asked.append(1)
        if len(asked) > 3:
            raise pynvml.NVMLError_NotSupported
        return 10 * len(asked)

    monkeypatch.setattr(fit, "LOOK_S", -1.0)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 2_500_000)
    monkeypatch.setattr(torch.cuda, "utilization", use)
    memory = fit.Memory(torch.device("cuda"))
    memory.sample()
    memory.sample()
    assert memory.busy() == 15
    assert memory.busy() == 30
    for _ in range(3):
        memory.sample()
        assert memory.busy() is None
    assert len(asked) == 4
    assert memory.held_mb() == 2.5
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as where it is not installed
    assert fit.Memory(torch.device("cuda")).busy() is None
    on_a_cpu = fit.Memory(torch.device("cpu"))
    assert (on_a_cpu.held_mb(), on_a_cpu.busy()) == (None, None)
