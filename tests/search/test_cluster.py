"""Where Ray's files lie, and clusters that are joined: with tokens, without, and none at all."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from data.errors import UserError
from search.run import cluster

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")
TMP = "/tmp"  # noqa: S108 - where short paths are


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def head(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A cluster with tokens, as the README says to start it: its address, and the environment of who has the token."""
    owner = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")} | {"HOME": str(tmp_path)}
    with tempfile.TemporaryDirectory(prefix="cluster-", dir=TMP, ignore_cleanup_errors=True) as scratch:
        subprocess.run([RAY, "get-auth-token", "--generate"], env=owner, check=True, capture_output=True)
        port = free_port()
        words = ["--head", f"--port={port}", "--num-cpus=1", "--include-dashboard=false", f"--temp-dir={scratch}"]
        try:
            subprocess.run([RAY, "start", *words], env=owner, check=True, capture_output=True)
            yield f"127.0.0.1:{port}", owner
        finally:
            for process in psutil.process_iter(["cmdline"]):
                if any(scratch in word for word in process.info["cmdline"] or ()):
                    process.kill()


def test_a_cluster_with_tokens_is_searched_on(
    head: tuple[str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, owner = head
    command = [sys.executable, ROOT / "posefront.py", "search", ROOT / "tests" / "tiny_study.py"]
    options = ["--out", tmp_path / "out", "--trials", "1", "--epochs", "1", "--address", address]
    ended = subprocess.run([*command, *options], env=owner, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "1 at a time" in ended.stdout
    assert "InvalidAuthToken" not in ended.stderr + ended.stdout

    monkeypatch.setenv("HOME", str(tmp_path / "another"))
    assert "token" in cluster.refusal(address)
    with pytest.raises(UserError, match=f"the Ray cluster at {address} wants the token of its head node"):
        cluster.join(address, {})
    monkeypatch.setattr("ray._private.utils.read_ray_address", lambda: None)
    with pytest.raises(UserError, match="found no cluster that `ray start` has begun"):  # though one runs here
        cluster.found("auto")


@pytest.mark.parametrize("address", ["nonsense", "ray://head:10001", "head:", "head:port", "head:123456"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UserError, match=r"is no address of a Ray cluster's head; give HOST:PORT"):
        cluster.found(address)


def test_auto_is_what_ray_start_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray._private.utils.read_ray_address", lambda: "10.1.2.3:6379")
    assert cluster.found("auto") == "10.1.2.3:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.9.9.9:6379")
    assert cluster.found("auto") == "10.9.9.9:6379"
    assert cluster.found("[::1]:6379") == "[::1]:6379"


def test_nobody_listens() -> None:
    with pytest.raises(UserError, match=r"no Ray cluster answers at --address '127.0.0.1:\d+' \(Connection refused\)"):
        cluster.join(f"127.0.0.1:{free_port()}", {})


def test_where_rays_sockets_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """In $TMPDIR where its name is short; the longest socket's path then has the kernel's 107 bytes."""

    def place(folder: str) -> str:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        return cluster.short_folder()

    with tempfile.TemporaryDirectory(prefix="p", dir=TMP) as short:
        longest = Path(short) / ("x" * (cluster.LONGEST - len(short) - 1))
        longest.mkdir()
        assert place(str(longest)) == str(longest)
        path = f"{longest}/posefront-4194304-abcdefgh/session_2026-11-25_20-00-00_000000_4194304/sockets/plasma_store"
        assert len(path) == 107
        longer = Path(f"{longest}x")
        longer.mkdir()
        assert place(str(longer)) == TMP
    assert place("/proc/nosuch") == TMP
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="set TMPDIR to one"):
        place(TMP)
