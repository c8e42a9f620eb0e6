"""Whole searches, as a user starts them: the real command, real Ray, real kills."""

import contextlib
import json
import os
import random
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.trial import TrialState
from optuna_dashboard import get_note
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

from search.results import answers
from tests.search.test_cli import said as said_by
from tests.search.test_process import COMMAND, foreign
from tests.without_ray import engine

STUDY = Path(__file__).parent.parent / "tiny_study.py"

pytestmark = pytest.mark.timeout(900)


class Search:
    """One study in a folder of its own."""

    def __init__(self, out: Path, cache: Path, cwd: Path | None = None, **environment: str) -> None:
        self.out, self.cwd = out, cwd
        self.environment = {**os.environ, "POSEFRONT_CACHE": str(cache), **environment}

    def start(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, "search", STUDY, "--out", self.out, *options],
            cwd=self.cwd,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *options: str) -> str:
        process = self.start(*options)
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
        return said

    def book(self) -> optuna.Study:
        return optuna.load_study(study_name="tiny_study", storage=f"sqlite:///{self.out}/tiny_study/study.db")

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        return self.book().get_trials(deepcopy=False)

    def reported(self) -> int:
        """Epochs in the book so far."""
        file = self.out / "tiny_study" / "study.db"
        try:
            with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
                return int(database.execute("SELECT count(*) FROM trial_intermediate_values").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # the driver is just making it

    def wait_for(self, epochs: int, process: subprocess.Popen[str]) -> None:
        while self.reported() < epochs and process.poll() is None:
            time.sleep(0.05)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def attached(search: Search, folder: Path) -> None:
    """What a whole search leaves for the dashboards."""
    book = search.book()
    complete = [trial for trial in search.trials() if trial.state is TrialState.COMPLETE]
    trained = [trial for trial in search.trials() if trial.user_attrs.get("curve")]
    shown = set()
    for trial in trained:
        found = answers.load(folder, trial.number)
        assert found is not None
        assert found.epoch >= trial.user_attrs["epochs"]  # a worker killed later may have been an epoch ahead
        if found.epoch == trial.user_attrs["epochs"]:
            assert sum(found.errors) / 21 == pytest.approx(trial.user_attrs["pixel_diff"], rel=1e-4)
        shown |= {f"{example.row}.jpg" for example in found.pictured}
    assert {file.name for file in (folder / "pictures").iterdir()} == shown
    store = FileSystemArtifactStore(folder / "artifacts")
    with_weights = set()
    for trial in search.trials():
        metas = get_all_artifact_meta(trial, storage=book._storage)
        names = sorted(meta.filename for meta in metas)
        assert len(names) == len(set(names))
        assert [name.split("-")[0] for name in names[:2]] == (["answers", "examples"] if trial in complete else [])
        for meta in metas:
            with store.open_reader(meta.artifact_id) as content:
                begins = content.read(8)
            assert begins.startswith(
                {"answers": b"{", "examples": b"\x89PNG", "weights": b"PK"}[meta.filename.split("-")[0]]
            )
        if any(name.startswith("weights") for name in names):
            with_weights.add(trial.number)
    best = sorted(complete, key=lambda trial: trial.values[0])[:2]  # `keep` of the study
    assert {trial.number for trial in best} <= with_weights
    assert f"| {best[0].number} " in get_note(book)
    attrs = book._storage.get_study_system_attrs(book._study_id)
    assert list(get_plotly_graph_objects(attrs)) == ["pareto"]
    assert book.user_attrs["search"]["epochs"] == 3


def test_every_way_a_trial_can_end(tmp_path: Path, cache: Path) -> None:
    troubles = ["none", "nan", "crash", "memory", "kill", "deadly"]
    search = Search(tmp_path, cache, TINY_TROUBLE=" ".join(troubles), TINY_MARK=str(tmp_path / "mark"))
    said = search.run("--trials", "8", "--workers", "2", "--epochs", "3")
    trials = search.trials()
    named = {trial.user_attrs["name"]: trial for trial in trials if "name" in trial.user_attrs}

    # As many as were asked for, none left running, and none told twice.
    assert len(trials) == 8
    assert all(trial.state.is_finished() for trial in trials)
    # A trial that had all its epochs is COMPLETE with every report, the last one too.
    assert named["none"].state is TrialState.COMPLETE
    assert list(named["none"].intermediate_values) == [1, 2, 3]
    assert named["none"].value == named["none"].intermediate_values[3]
    for name, reason in {
        "nan": "diverged: the loss became nan in epoch 1",
        "crash": "RuntimeError: the loss broke",
        "memory": "out of memory: a batch of 32 at 32 px",
        "deadly": "its worker died 3 times",
    }.items():
        assert named[name].state is TrialState.FAIL
        assert named[name].user_attrs["failed"].startswith(reason)
    # A worker that is killed takes its trial with it only until a new one goes on from the last state.
    assert (tmp_path / "mark").exists()
    assert named["kill"].state in (TrialState.COMPLETE, TrialState.PRUNED)
    assert list(named["kill"].intermediate_values) == list(range(1, len(named["kill"].intermediate_values) + 1))
    for trial in trials:
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            kept = trial.user_attrs
            assert kept["epochs"] == len(kept["curve"]) == len(trial.intermediate_values)
            assert {"params_m", "gflops", "pixel_diff", "score", "band", "seconds", "images_per_s"} <= kept.keys()
            assert kept["peak_memory_mb"] > 0
            assert (trial.state is TrialState.COMPLETE) == (kept["epochs"] == 3)
    # Workers are used again: two at first, and a new one for each of the four that were killed.
    assert len({trial.user_attrs["worker"] for trial in trials if "worker" in trial.user_attrs}) <= 6
    states = list((tmp_path / "tiny_study" / "weights").glob("*.pt"))
    assert len(states) <= 2
    assert "Traceback" not in said
    attached(search, tmp_path / "tiny_study")
    assert "the search goes on" not in said
    page = (tmp_path / "tiny_study" / "pareto.html").read_text()
    assert "http" not in page.split("<body>")[1].split("plotly.js")[0]

    board = subprocess.run(
        [*COMMAND, "best", STUDY, "--out", tmp_path, "--json"],
        env=search.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    finished = json.loads(board.stdout)
    assert [entry["number"] for entry in finished] == [
        trial.number
        for trial in sorted(
            (trial for trial in trials if trial.state is TrialState.COMPLETE), key=lambda trial: trial.values[0]
        )
    ]
    assert finished[0]["pareto"]


def test_killed_at_a_random_moment_and_resumed_it_is_the_search_that_was_never_killed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For real, once; test_kills.py kills between any two writes. The search that was not is one without Ray."""
    options = ("--trials", "9", "--workers", "1")
    whole = Search(tmp_path / "whole", cache)
    monkeypatch.setattr("search.run.engine.search", engine())
    said_by("search", STUDY, "--out", whole.out, *options)
    total = whole.reported()

    seed = random.SystemRandom().randrange(10**6)
    draw = random.Random(seed)
    cut = Search(tmp_path / "cut", cache, TINY_SLEEP="0.1")
    process = cut.start(*options)
    cut.wait_for(draw.randrange(1, total), process)
    time.sleep(draw.random() * 0.3)
    assert process.poll() is None, (seed, process.communicate()[0])
    process.kill()
    process.communicate()
    said = cut.run(*options)
    assert "going on" in said

    def told(search: Search) -> list[Any]:
        return [
            (trial.number, trial.state, trial.params, trial.intermediate_values, trial.values)
            for trial in search.trials()
        ]

    assert told(cut) == told(whole), seed
    assert {trial.state for trial in whole.trials()} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_ctrl_c_leaves_nothing_running_and_a_second_search_is_turned_away(tmp_path: Path, cache: Path) -> None:
    search = Search(tmp_path, cache, TINY_SLEEP="2")
    first = search.start("--trials", "9", "--workers", "1")
    search.wait_for(1, first)
    second = search.start("--trials", "1")
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 2
    assert said.count("\n") == 1
    assert f"runs already (process {first.pid})" in said

    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: every process of the group gets it
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 130, said
    assert "stopped by SIGINT; trials in training: 1. The same command goes on" in " ".join(said.split())
    assert "Traceback" not in said
    states = {trial.state for trial in search.trials()}
    assert TrialState.WAITING in states
    assert TrialState.RUNNING not in states


def test_sigterm_to_every_process_beside_packages_of_the_same_names(tmp_path: Path, cache: Path) -> None:
    """As batch systems send it, with a TMPDIR such as they set."""
    scratch = tmp_path / "scratch" / "user" / "slurm.1234567" / ("x" * 60)
    scratch.mkdir(parents=True)
    folder = foreign(tmp_path / "there")
    search = Search(tmp_path / "runs", cache, folder, TINY_SLEEP="1", TMPDIR=str(scratch), PYTHONPATH=str(folder))
    driver = search.start("--trials", "9", "--workers", "1")
    search.wait_for(1, driver)
    process = psutil.Process(driver.pid)
    processes = [process, *process.children(recursive=True)]
    for each in processes:
        each.terminate()
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 128 + signal.SIGTERM, said
    assert "stopped by SIGTERM; trials in training: 1. The same command goes on" in " ".join(said.split())
    assert not {"Traceback", "***", "Error"} & {*said.split()}, said
    assert psutil.wait_procs(processes, timeout=10)[1] == []
    left = [*scratch.iterdir(), *Path(tempfile.gettempdir()).glob(f"posefront-{driver.pid}-*")]
    assert [place for place in left if not place.name.startswith("torchinductor")] == []
    assert [trial.state for trial in search.trials()] == [TrialState.WAITING]


@pytest.mark.parametrize("server", ["raylet", "gcs_server"])
def test_a_search_whose_ray_is_killed_ends_in_a_sentence_and_all_waits(
    tmp_path: Path, cache: Path, server: str
) -> None:
    """Ray Tune hears the end of a raylet, and hangs where it next asks a head server that has ended."""
    search = Search(tmp_path, cache, TINY_SLEEP="1")
    driver = search.start("--trials", "9", "--workers", "1")
    search.wait_for(1, driver)
    (killed,) = [child for child in psutil.Process(driver.pid).children() if child.name() == server]
    processes = psutil.Process(driver.pid).children(recursive=True)
    began = time.monotonic()
    killed.kill()
    said, _ = driver.communicate(timeout=120)
    assert time.monotonic() - began < 60  # 18 and 21 s on two cores
    assert driver.returncode == os.EX_TEMPFAIL, said
    assert f"Ray's {server} on this machine has ended" in " ".join(said.split())
    assert "Traceback" not in said
    assert psutil.wait_procs(processes, timeout=10)[1] == []
    assert not list(Path(tempfile.gettempdir()).glob(f"posefront-{driver.pid}-*"))
    states = {trial.state for trial in search.trials()}
    assert TrialState.WAITING in states
    assert TrialState.RUNNING not in states


def test_a_cluster_whose_head_asks_for_a_token(tmp_path: Path, cache: Path) -> None:
    """`ray start --head`, as the README says, and with two GPUs that are not there."""
    home, other = tmp_path / "home", tmp_path / "other"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(secrets.token_hex())
    other.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = f"start --head --block --port {port} --num-cpus 1 --num-gpus 2 --include-dashboard false"
    words += " --disable-usage-stats"
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as temporary:
        head = subprocess.Popen(
            [Path(sys.executable).with_name("ray"), *words.split(), "--temp-dir", temporary],
            env={**os.environ, "HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            address = f"127.0.0.1:{port}"
            search = Search(tmp_path / "runs", cache, HOME=str(home))
            for _ in range(60):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(1)
            said = search.run("--trials", "1", "--address", address, "--gpus-per-trial", "auto")
            assert "1 trials" in said
            assert "--gpus-per-trial auto: 1\n" in said or "--gpus-per-trial auto: 0.5\n" in said, said
            assert " GPU each: start-up" in said
            words = [*COMMAND, "doctor", "--address", address, "--seconds", "0", "--out", tmp_path]
            looked = subprocess.run(words, capture_output=True, text=True, env=search.environment, check=False).stdout
            assert f"1 cores, 2 GPUs; ray {version('ray')}" in looked, looked
            stranger = Search(tmp_path / "runs", cache, HOME=str(other))
            process = stranger.start("--trials", "3", "--address", address)
            said, _ = process.communicate(timeout=120)
            assert process.returncode == 2, said
            assert "wants the token of its head node" in " ".join(said.split())
        finally:
            processes = psutil.Process(head.pid).children(recursive=True)
            head.kill()
            for each in processes:
                each.kill()
            head.wait()
