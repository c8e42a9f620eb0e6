"""A search on three hosts, which are network namespaces: one is cut off, one is killed, and then the head goes.

No folder is shared. Each has its own network, name and cache, and sees neither the checkout's packages nor the folder
of runs, but for the head's, where the search itself runs; the third has packages in their place that cannot be
imported. Needs root and iproute2.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest

from search.after import model
from search.results import answers
from search.run.cluster.baggage import PACKAGES
from search.run.training import checkpoint
from search.run.training.home import MARK, Away, Keeper

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests" / "tiny_study.py"
RAY = Path(sys.executable).with_name("ray")
ID = f"pf{os.getpid()}"
HEAD = "10.77.0.1:6379"


def ip(*words: object) -> None:
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True)


class Hosts:
    """Three of them, on a bridge that leads nowhere else."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "runs").mkdir()
        self.environment = os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(),
            "RAY_USAGE_STATS_ENABLED": "0",
            "TINY_SLEEP": "0.7",
            "TINY_LOOK_AHEAD": "1",
            "OMP_NUM_THREADS": "1",
        }

    def build(self) -> None:
        ip("link", "add", ID, "type", "bridge")
        ip("link", "set", ID, "up")
        for host in (1, 2, 3):
            ip("netns", "add", f"{ID}-{host}")
            ip("link", "add", f"{ID}v{host}", "type", "veth", "peer", "name", "eth0", "netns", f"{ID}-{host}")
            ip("link", "set", f"{ID}v{host}", "master", ID, "up")
            ip("-n", f"{ID}-{host}", "addr", "add", f"10.77.0.{host}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                ip("-n", f"{ID}-{host}", "link", "set", device, "up")

    def tear_down(self) -> None:
        for host in (1, 2, 3):
            self.kill(host)
            subprocess.run(["ip", "netns", "del", f"{ID}-{host}"], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", ID], check=False, capture_output=True)

    def processes(self, host: int) -> list[psutil.Process]:
        listed = subprocess.run(["ip", "netns", "pids", f"{ID}-{host}"], check=False, capture_output=True, text=True)
        found = []
        for number in listed.stdout.split():
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(int(number)))
        return found

    def kill(self, host: int, name: str = "") -> None:
        for process in self.processes(host):
            with suppress(psutil.NoSuchProcess):
                if not name or process.name() == name:
                    process.kill()

    def link(self, host: int, state: str) -> None:
        ip("link", "set", f"{ID}v{host}", state)

    def command(self, host: int, words: list[object], hide: bool) -> list[str]:
        folders = [*(ROOT / name for name in (*PACKAGES, "tests")), self.place / "runs"]  # not the environment in it
        steps = [f"mount -t tmpfs none {folder}" for folder in folders] if hide else []
        if host == 3:  # where another checkout lies at the same path
            steps += [
                f"echo 'raise ImportError(\"of another checkout\")' >{ROOT / name}/__init__.py" for name in PACKAGES
            ]
        steps = [f"hostname host{host}", *steps, "cd /", 'exec "$@"']
        within = ["ip", "netns", "exec", f"{ID}-{host}", "unshare", "--mount", "--uts", "sh", "-c", " && ".join(steps)]
        return [*within, "sh", *map(str, words)]

    def ray(self, host: int, *options: object) -> subprocess.Popen[bytes]:
        cache = {"POSEFRONT_CACHE": str(self.place / f"cache{host}")}
        address = ["--node-ip-address", f"10.77.0.{host}", "--num-cpus", "1", "--disable-usage-stats"]
        words = [RAY, "start", *options, *address, "--temp-dir", self.place / str(host)]
        return subprocess.Popen(
            self.command(host, words, hide=host > 1),
            env=self.environment | cache,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def start(self, *others: int) -> None:
        assert self.ray(1, "--head", "--port", "6379", "--include-dashboard=false").wait(90) == 0
        assert [started.wait(90) for started in [self.ray(host, "--address", HEAD) for host in others]] == [
            0 for _ in others
        ]


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("network namespaces need root, iproute2 and util-linux")
    with tempfile.TemporaryDirectory(prefix="pf", ignore_cleanup_errors=True) as place:  # of a short path
        made = Hosts(Path(place))
        try:
            try:
                made.build()
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
            yield made
        finally:
            made.tear_down()


@contextmanager
def running(hosts: Hosts, told: Path, command: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of ours on the first host, which joins its cluster."""
    words = [Path(sys.executable).with_name("posefront"), command, TINY, "--out", hosts.place / "runs", *options]
    environment = hosts.environment | {"POSEFRONT_CACHE": str(hosts.place / "cache1"), "PYTHONPATH": str(ROOT)}
    with told.open("wb") as out:
        process = subprocess.Popen(
            hosts.command(1, [*words, "--address", HEAD], hide=False),
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def until(check: Callable[[], Any], what: str, seconds: float) -> float:
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        if check():
            return time.monotonic() - began
        time.sleep(1)  # a look at the study takes 0.1 CPU-seconds
    raise AssertionError(f"not within {seconds:g} s: {what}")


@pytest.mark.timeout(900)
def test_three_hosts_of_which_one_is_cut_off_one_killed_and_then_the_head(hosts: Hosts) -> None:
    hosts.start(2, 3)
    runs, told = hosts.place / "runs" / "tiny_study", hosts.place / "told"

    def trials() -> list[optuna.trial.FrozenTrial]:
        with suppress(KeyError):  # the file is there before the study is in it
            if (runs / "study.db").is_file():
                return optuna.load_study(study_name="tiny_study", storage=f"sqlite:///{runs}/study.db").trials
        return []

    def trained() -> dict[str, int]:
        """Epochs by host."""
        found: dict[str, int] = {}
        for trial in trials():
            host = host_of(trial)
            found[host] = found.get(host, 0) + len(trial.user_attrs.get("curve", []))
        return found

    def says(text: str) -> Callable[[], bool]:
        return lambda: text in told.read_text()

    with running(hosts, told, "search", "--trials", "60") as search:
        until(lambda: {"host1", "host2", "host3"} <= set(trained()), "all three train", 180)

        hosts.link(3, "down")
        until(says("the node 10.77.0.3 does not answer"), "the cut is told", 30)
        before = trained()
        until(lambda: trained()["host1"] + trained()["host2"] > before["host1"] + before["host2"] + 3, "they go on", 60)
        hosts.link(3, "up")
        until(says("the node 10.77.0.3 has come"), "its return is told", 30)
        until(lambda: trained()["host3"] > before["host3"], "it trains again", 60)

        until(lambda: half_way(trials(), "host2"), "a trial on the second host is half-way", 60)
        hosts.kill(2)
        begun = half_way(trials(), "host2")  # none where it was stopped at that very moment
        until(says("the node 10.77.0.2 does not answer"), "the killed node is told", 30)
        until(  # Ray gives a node up after 65 s
            lambda: all(host_of(trials()[number]) in ("host1", "host3") for number in begun),
            "its trials go on elsewhere",
            150,
        )

        hosts.kill(1, "gcs_server")
        took = until(lambda: search.poll() is not None, "the head's end is noticed", 60)
        assert search.returncode == os.EX_TEMPFAIL, told.read_text()
    assert took < 35, "30 s, and a process that ends on busy cores"
    assert "trials in training wait, and the same command goes on with them" in told.read_text()
    assert "Traceback" not in told.read_text()
    nothing_lost_or_doubled(runs, trials())

    # A new head, and a last training, though no worker has a file of before.
    for host in (1, 3):
        hosts.kill(host)
    hosts.start(3)
    with running(hosts, told, "retrain", "--seeds", "2", "--epochs", "2") as retraining:
        assert retraining.wait(180) == 0, told.read_text()
    (room,) = (runs / "retrain").iterdir()
    (name,) = optuna.get_all_study_names(f"sqlite:///{room}/study.db")
    seeds = optuna.load_study(study_name=name, storage=f"sqlite:///{room}/study.db").trials
    assert {host_of(trial) for trial in seeds} == {"host1", "host3"}
    # The weights that came home answer as those did that were judged where they were trained.
    judged = {
        seed.seed: seed.errors["averaged"] for seed in model.read(runs / "models" / room.name / model.FACTS).seeds
    }
    curves = {trial.user_attrs["seed"]: trial.user_attrs["curve"][-1]["error"] for trial in seeds}
    assert judged == pytest.approx(curves, rel=1e-5)
    nothing_lost_or_doubled(room, seeds)


def host_of(trial: optuna.trial.FrozenTrial) -> str:
    """That trained its last epoch."""
    return str(trial.user_attrs.get("worker", "")).partition(" ")[0]


def half_way(trials: list[optuna.trial.FrozenTrial], host: str) -> list[int]:
    """The numbers of those in training on a host that have an epoch behind them."""
    return [trial.number for trial in trials if trial.state.name == "RUNNING" and host_of(trial) == host]


def nothing_lost_or_doubled(runs: Path, trials: list[optuna.trial.FrozenTrial]) -> None:
    """Each trial's epochs are 1, 2, 3, ..., none is said to run, and its files are on the driver's disk."""
    for trial in trials:
        curve = [row["epoch"] for row in trial.user_attrs.get("curve", [])]
        assert curve == list(range(1, len(curve) + 1)), trial.number
        assert trial.state.name in ("COMPLETE", "PRUNED", "WAITING"), (trial.number, trial.user_attrs.get("failed"))
        assert trial.state.name != "PRUNED" or trial.user_attrs["stopped"]
        if trial.state.name == "WAITING" and curve:
            state = checkpoint.load(checkpoint.path(runs / "weights", trial.number))
            assert state is not None
            assert state["epoch"] in (len(curve), len(curve) + 1)
        if curve:  # answers and their pictures came home from wherever they were made
            kept = answers.load(runs, trial.number)
            assert kept is not None
            assert all(answers.picture(runs, example.row).is_file() for example in kept.pictured)


def test_what_is_away_comes_home_and_goes_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tmp_path / "study"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "posefront-4194305-killed").mkdir()  # no process has so large a number
    (study / "weights").mkdir(parents=True)
    keeper = Keeper(str(study))
    assert not keeper.sees("posefront-of-the-driver")
    (study / MARK).write_text("posefront-of-the-driver")
    assert keeper.sees("posefront-of-the-driver")
    assert not keeper.sees("posefront-of-another")
    home = Away(keeper.begin, keeper.write)
    assert not (tmp_path / "posefront-4194305-killed").exists()
    state = home.folder / "weights" / "000001.pt"
    home.begin(state)
    assert not state.exists()
    (study / "weights" / "000001.pt").write_bytes(b"before")
    home.begin(state)
    assert state.read_bytes() == b"before"
    with home.handing_over(state):
        for room, name in (("pictures", "7.jpg"), ("answers", "000001.json"), ("weights", "000001.pt")):
            (home.folder / room).mkdir(exist_ok=True)
            (home.folder / room / name).write_bytes(room.encode())
    assert (study / "weights" / "000001.pt").read_bytes() == b"weights"
    assert json.dumps(sorted(str(f.relative_to(home.folder)) for f in home.folder.rglob("*.*"))) == '["pictures/7.jpg"]'
    (study / "pictures" / "7.jpg").unlink()
    with home.handing_over(state):
        pass
    assert not (study / "pictures" / "7.jpg").exists(), "a picture is sent once"
    ticket = (study / "weights" / "000001.ticket").read_text()
    for name in ("../weights/x", "owner.json", "study.db", "/etc/passwd", "weights/../../x", "weights/a/b"):
        with pytest.raises(ValueError, match="is no file of a trial"):
            keeper.write("weights/000001.pt", ticket, {name: b""})
        with pytest.raises(ValueError, match="is no file of a trial"):
            keeper.begin(name, "ticket")
