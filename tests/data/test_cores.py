"""How many cores are counted, against what the system itself is told."""

import builtins
import io
import os
import subprocess
import sys
from typing import Any

import pytest

from data.cores import usable_cores

COUNT = "from data.cores import usable_cores; print(usable_cores())"


def counted(**environment: str) -> int:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "LOKY_"))}
    run = subprocess.run([sys.executable, "-c", COUNT], env=clean | environment, capture_output=True, check=True)
    return int(run.stdout)


def test_affinity_and_what_slurm_gives() -> None:
    allowed = os.sched_getaffinity(0)
    assert 1 <= counted() <= len(allowed)
    assert counted(SLURM_CPUS_PER_TASK="1") == 1
    assert counted(SLURM_CPUS_PER_TASK="4096") == counted(SLURM_CPUS_PER_TASK="many") == counted()
    try:
        os.sched_setaffinity(0, {min(allowed)})  # inherited
        assert counted() == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"/sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"/sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"/sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, 64),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "50000\n"}, 2),
        ({"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "50000\n"}, 64),
    ],
)
def test_quotas_of_containers(files: dict[str, str], cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel would show in a container on a machine of 64 cores, of cgroup v2 and v1."""
    real_open, real_exists = builtins.open, os.path.exists

    def shown(file: Any, *words: Any, **more: Any) -> Any:
        return io.StringIO(files[file]) if file in files else real_open(file, *words, **more)

    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(builtins, "open", shown)
    monkeypatch.setattr(
        os.path, "exists", lambda path: path in files or (not str(path).startswith("/sys/fs") and real_exists(path))
    )
    assert usable_cores() == cores
