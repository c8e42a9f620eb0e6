"""What a machine or a cluster has, how fast trials train side by side, and what share of a GPU follows from it."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from data.errors import UserError
from search import paths
from search.cli.doctor import measured_share, share_of
from search.load import load_study
from search.run.cluster import nodes
from search.run.cluster.start import share
from search.run.doctor import machine as doctor
from search.run.doctor.probe import Speed, side_by_side
from tests.conftest import Painted

CHILD = """
import json, os, sys
what = json.loads(sys.stdin.readline())
if what["how"] == "dies": sys.exit(1)
if what["how"] == "fails": print(json.dumps({"failed": "out of memory"})); sys.exit()
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps({"images_per_s": what["rate"], "step_ms": float(os.environ.get("CUDA_VISIBLE_DEVICES", -1))}))
"""


def rates(**by_count: list[float]) -> dict[int, list[Speed]]:
    return {int(name[1:]): [Speed(rate) for rate in each] for name, each in by_count.items()}


def test_more_side_by_side_as_long_as_it_pays() -> None:
    assert doctor.best_count(rates(n1=[100], n2=[90, 90], n4=[60] * 4, n8=[31] * 8)) == 4  # 100, 180, 240, 248
    assert doctor.best_count(rates(n1=[100], n2=[51, 52], n4=[50] * 4)) == 1
    full = {1: [Speed(100)], 2: [Speed(100)] * 2, 4: [Speed(100)] * 3 + [Speed(failed="out of memory")]}
    assert doctor.best_count(full) == 2
    assert doctor.best_count({1: [Speed(failed="no")]}) == 1


@pytest.mark.parametrize(("how", "failed"), [("trains", ""), ("fails", "out of memory"), ("dies", "the process ended")])
def test_processes_side_by_side_begin_together_and_each_answers(how: str, failed: str) -> None:
    found = side_by_side([sys.executable, "-c", CHILD], {"how": how, "rate": 7.0}, 3, card=1)
    assert len(found) == 3
    assert all(speed.failed.startswith(failed) and bool(speed.failed) == bool(failed) for speed in found)
    if not failed:
        assert [(speed.images_per_s, speed.step_ms) for speed in found] == [(7.0, 1.0)] * 3  # they see card 1 alone


def test_what_is_here(painted: Painted, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    found = {each.what: each for each in doctor.machine(painted.root, tmp_path / "runs")}
    assert found["cores"].text.startswith("1 usable of ")
    assert "Slurm gives a task 1" in found["cores"].text
    assert "layout 'freihand' and 24 images" in found["data"].text
    assert str(cache) in found["cache"].text
    assert not found["data"].mend + found["cache"].mend + found["runs"].mend
    gone = {each.what: each for each in doctor.machine(tmp_path / "nowhere", tmp_path)}
    assert gone["data"].mend == "give the data set's own folder with --data"
    monkeypatch.setattr(doctor, "PACKED", 10**15)
    full = {each.what: each for each in doctor.machine(painted.root, tmp_path / "runs")}
    assert full["cache"].mend == "set POSEFRONT_CACHE to a larger disk"


def test_a_node_that_differs_says_so(tmp_path: Path) -> None:
    seen: dict[str, Any] = nodes.look(None, "/nowhere/at/all")
    assert seen["data"]
    assert not seen["out"]
    with nodes.marked(tmp_path) as mark:
        assert nodes.look(None, mark)["out"]
    assert not list(tmp_path.iterdir())
    with (
        pytest.raises(UserError, match=r"cannot be written to \(.+\); give --out another folder"),
        nodes.marked(Path("/proc")),
    ):
        pass
    assert nodes.judged("4 cores, 2 GPUs", seen | {"out": True})[1] == ""
    other = seen | {"versions": seen["versions"] | {"ray": "1.0"}, "data": False, "out": False}
    text, mend = nodes.judged("4 cores, 2 GPUs", other)
    assert text.startswith("4 cores, 2 GPUs; ray 1.0, optuna ")
    assert text.endswith("; its files come to --out through Ray")
    assert mend == f"install ray {seen['versions']['ray']}; the data are not there: mount them at the same path"


def test_auto_under_two_pretended_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four side by side train most: a quarter of each of two cards is eight trials."""
    asked = []

    def speeds(_: list[str], what: dict[str, Any], count: int, __: int | None) -> list[Speed]:
        asked.append((count, what["config"]))
        return [Speed({1: 100, 2: 90, 4: 60, 8: 31}[count])] * count

    monkeypatch.setattr(doctor, "side_by_side", speeds)
    monkeypatch.setattr(doctor, "usable_cores", lambda: 8)
    study = load_study("quickstart")
    file = tmp_path / "study.py"
    found = measured_share(file, None, study, "10.0.0.1:6379")
    assert found == 0.25
    assert [count for count, _ in asked] == [1, 2, 4, 8]
    assert json.dumps(asked[0][1])  # a process reads it
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 16.0, "GPU": 2.0})
    assert share(replace(study, gpus=1.0), None, found).workers == 8
    assert measured_share(file, None, study, None) is None  # neither a GPU nor a cluster


@pytest.mark.parametrize("text", ["-1", "many", "nan", "inf", "Auto"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(UserError, match=r"--gpus-per-trial '.*' is no number from 0 on, e.g. 0.25, and not 'auto'"):
        share_of(text)
    assert share_of("0.25") == 0.25


class Mount(NamedTuple):
    """Of what psutil says."""

    device: str
    mountpoint: str
    fstype: str


def test_sqlite_on_a_network_file_system_is_spoken_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel lists mounts; the deepest one counts, and of two at one place the later one."""
    mounts = [
        Mount("/dev/vda", "/", "ext4"),
        Mount("server:/home", "/home", "nfs4"),
        Mount("tmpfs", "/home/ada/local", "tmpfs"),
        Mount("/dev/vdb", "/data", "ext4"),
        Mount("server:/data", "/data", "fuse.sshfs"),
    ]
    assert paths.on_network(tmp_path / "study.db") == ""
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    assert "network file system (nfs4 at /home)" in paths.on_network(Path("/home/ada/runs/study.db"))
    assert "(fuse.sshfs at /data)" in paths.on_network(Path("/data/study.db"))
    for local in ("/home/ada/local/study.db", "/homes/study.db", "/study.db"):
        assert paths.on_network(Path(local)) == ""
    found = {finding.what: finding for finding in doctor.machine(None, Path("/home/ada/runs"))}
    assert found["studies"].mend == "set POSEFRONT_STORAGE"
