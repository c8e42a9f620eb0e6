"""What docs/ gives to be typed on clusters, run on this machine as far as it goes."""

import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import nbformat
import optuna
import pytest
import yaml
from nbclient import NotebookClient
from optuna.trial import TrialState
from typer.main import get_command

from search.cli.app import app
from search.paths import STORAGE
from tests.search.test_cluster import free_port
from tests.search.test_leak import Spied
from tests.search.test_process import COMMAND
from tests.search.test_search import STUDY, Search

pytestmark = pytest.mark.timeout(600)

SCRATCH = Path(f"/tmp/ray-{os.getpid()}")  # noqa: S108 - as docs/slurm.sbatch has it

DOCS = Path(__file__).parents[1] / "docs"

SRUN = """#!/bin/sh
# Slurm's, on one machine: what it is to run, without its own options.
while [ "${1#--}" != "$1" ]; do shift; done
echo "$*" >>"$SLURM_TOLD/srun"
exec "$@"
"""
SCONTROL = """#!/bin/sh
echo "$*" >>"$SLURM_TOLD/scontrol"
if [ "$1" = show ]; then echo one; echo two; fi
"""


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a job on two nodes, both of which are this machine, with a core each."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (
        ("srun", SRUN),
        ("scontrol", SCONTROL),
        ("posefront", f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n'),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    job = {"JOB_ID": str(os.getpid()), "JOB_NODELIST": "node[1-2]", "JOB_NUM_NODES": "2", "CPUS_PER_TASK": "1"}
    return {
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SLURM_TOLD": str(tmp_path),
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "HOME": str(tmp_path),
        **{f"SLURM_{key}": value for key, value in job.items()},
    }


def submit(search: Search, *options: str) -> "subprocess.Popen[str]":
    words = ["bash", DOCS / "slurm.sbatch", "search", STUDY, "--out", search.out, *options]
    return subprocess.Popen(
        words,
        env=search.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_a_slurm_job_out_of_time_queues_itself_again(tmp_path: Path, slurm: dict[str, str]) -> None:
    search = Search(tmp_path / "runs", tmp_path / "cache", **slurm, TINY_SLEEP="0.5")
    options = ("--trials", "4", "--epochs", "3")
    job = submit(search, *options)
    try:
        search.wait_for(2, job)
        job.send_signal(signal.SIGTERM)  # to the script alone, as `--signal=B:TERM@120` has it
        began = time.monotonic()
        said, _ = job.communicate(timeout=120)
        assert time.monotonic() - began < 100  # 120 s are left to it
        assert job.returncode == 143, said
        assert "posefront ended with exit code 143" in said
        assert "2 at a time on 1 CPU" in said  # a core of each node
        assert (tmp_path / "scontrol").read_text().splitlines()[-1] == f"requeue {os.getpid()}"
        states = {trial.state for trial in search.trials()}
        assert TrialState.WAITING in states
        assert TrialState.RUNNING not in states
    finally:
        left = subprocess.run(["pgrep", "-f", f"{SCRATCH}/"], capture_output=True, text=True, check=False)
        for process in left.stdout.split():
            os.kill(int(process), signal.SIGKILL)
        assert left.stdout == ""
    assert not SCRATCH.exists()


@pytest.mark.parametrize(
    ("code", "before", "is_queued"),
    [(0, 0, False), (2, 0, False), (os.EX_TEMPFAIL, 0, True), (os.EX_TEMPFAIL, 100, False), (143, 99, True)],
)
def test_what_a_slurm_job_does_after_each_end_of_a_search(
    tmp_path: Path, slurm: dict[str, str], code: int, before: int, is_queued: bool
) -> None:
    """With a search and a Ray that do nothing but end; a node that fails ends the search with 75."""
    fakes = {"posefront": f"echo $* >>$SLURM_TOLD/searched; exit {code}", "hostname": "echo 127.0.0.1"}
    for name, text in {**fakes, "python": "exit 0", "ray": "exit 0"}.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    number = free_port() % 10000  # of which the script makes the head's port
    environment = os.environ | slurm | {"SLURM_JOB_ID": str(number), "SLURM_RESTART_COUNT": str(before)}
    with socket.create_server(("127.0.0.1", 20000 + number)):  # Ray's head
        job = subprocess.run(
            ["bash", DOCS / "slurm.sbatch", "search", "hands", "--trials", "7"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert job.returncode == code
    assert (
        tmp_path / "searched"
    ).read_text().strip() == f"search hands --trials 7 --address 127.0.0.1:{20000 + number}"
    told = (tmp_path / "scontrol").read_text().splitlines()
    assert told[1:] == ([f"requeue {number}"] if is_queued else [])
    assert ("not once more" in job.stderr) == (before == 100)


def test_the_rayjob_starts_a_search_that_the_command_knows() -> None:
    """Its fields were held against KubeRay's own CRD of 2026-08 by hand, which is 1.4 MB."""
    job = yaml.safe_load((DOCS / "rayjob.yaml").read_text())
    program, word, study, *options = job["spec"]["entrypoint"].split()
    assert program == "posefront"
    assert (DOCS.parent / "studies" / f"{study}.py").is_file()
    known = {name for param in get_command(app).commands[word].params for name in param.opts}  # type: ignore[attr-defined]
    assert set(options[::2]) <= known
    cluster = job["spec"]["rayClusterSpec"]
    assert version("ray").startswith(cluster["rayVersion"])
    pods = [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    assert pods[0]["containers"][0]["env"] == pods[1]["containers"][0]["env"]
    assert STORAGE in {each["name"] for each in pods[0]["containers"][0]["env"]}


def test_the_notebook_for_kaggle_and_colab_goes_from_a_search_to_a_checked_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And opens no test image before it hands in: neither its search nor its last training does."""
    spied = Spied(tmp_path)
    numbers = {"TRIALS": 1, "EPOCHS": 1, "FULL_EPOCHS": 1, "SEEDS": 1, "QUICK": 1, "SECONDS": 0, "HOURS": 1}
    places = {"CHECKOUT": DOCS.parent, "OUT": tmp_path / "runs", "DATA": spied.root, "TEST": spied.tests}
    settings = {f"POSEFRONT_{name}": str(value) for name, value in {**numbers, **places}.items()}
    for name, value in {**spied.environment, **settings}.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(DOCS / "kaggle.ipynb", as_version=4)
    client = NotebookClient(notebook, timeout=500, kernel_name="python3")
    began: set[int] = set()
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            processes, told, seen = spied.watch(partial(client.execute_cell, cell, index))
            began |= processes
            if 'posefront("doctor"' in cell.source:  # it counts files by their names
                told = [line for line in told if line.startswith("open ")]
                seen = [name for name in seen if Path(name).suffix]
            assert (told, seen) == ([], []) or 'posefront("submit"' in cell.source
    assert "00000000.jpg" in seen, "at last, to be answered"
    assert any("00000000.jpg" in line for line in told)
    (study,) = (tmp_path / "runs").iterdir()
    for folder in (study, *(study / "retrain").iterdir()):  # the hook was in the processes that trained
        storage = f"sqlite:///{folder}/study.db"
        (name,) = optuna.get_all_study_names(storage)
        trials = optuna.load_study(study_name=name, storage=storage).trials
        assert {int(trial.user_attrs["worker"].split()[1]) for trial in trials} < began
    said = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", ()))
    assert "1 seed x 1 epochs" in said
    assert "PASS" in said
    assert said.strip().endswith("Ada_Lovelace_midterm_project.zip")
