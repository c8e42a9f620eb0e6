"""Processes that stand still for a measurement, and go on whatever happens to who stopped them."""

import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from search.run.cluster.suspend import ray_workers, suspended


@pytest.fixture
def sleeper() -> Iterator[psutil.Process]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


def wait_for(process: psutil.Process, stopped: bool) -> None:
    deadline = time.monotonic() + 30
    while (process.status() == psutil.STATUS_STOPPED) != stopped:
        assert time.monotonic() < deadline, process.status()
        time.sleep(0.01)


def test_they_stand_still_inside_the_block_alone(sleeper: psutil.Process) -> None:
    with suspended([sleeper.pid]):
        wait_for(sleeper, stopped=True)
    wait_for(sleeper, stopped=False)
    with pytest.raises(ZeroDivisionError), suspended([sleeper.pid, 2**22 + 1]):
        raise ZeroDivisionError
    wait_for(sleeper, stopped=False)


def test_they_go_on_when_who_stopped_them_is_killed(sleeper: psutil.Process) -> None:
    code = "import sys, time; from search.run.cluster.suspend import suspended\n"
    code += "with suspended([int(sys.argv[1])]): time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(sleeper.pid)]) as holder:
        wait_for(sleeper, stopped=True)
        holder.kill()
    wait_for(sleeper, stopped=False)


def test_only_workers_of_ray_are_meant(sleeper: psutil.Process) -> None:
    assert sleeper.pid not in ray_workers()
    agent = ["/bin/bash", "-c", "exec -a ray::DashboardAgent sleep 60"]
    with (
        subprocess.Popen(agent) as server,
        subprocess.Popen([*agent[:2], "exec -a ray::Worker.step sleep 60"]) as worker,
    ):
        while not (found := ray_workers()) and worker.poll() is None:
            time.sleep(0.01)
        assert found == [worker.pid]
        worker.kill()
        server.kill()
