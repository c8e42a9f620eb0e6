"""The CPU cores of this process: what is counted wherever threads, processes or trials are shared out."""

import os


def usable_cores() -> int:
    """The cores that this process may use, at least 1.

    The fewest of what the machine has, the process is bound to (affinity), its container allows (a quota of cgroup
    v1 or v2, part of a core counted as one), and SLURM gives a task.
    """
    from joblib import cpu_count  # knows all but SLURM, and LOKY_MAX_CPU_COUNT besides

    task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, min(cpu_count(), int(task))) if task.isdigit() else int(cpu_count())
