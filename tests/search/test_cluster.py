"""Where Ray's files lie, and which clusters can be joined; test_search.py joins one."""

import os
import socket
import tempfile
from pathlib import Path

import psutil
import pytest

from data.errors import UserError
from search.run.cluster import pulse
from search.run.cluster import start as cluster

TMP = "/tmp"  # noqa: S108 - where short paths are


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def test_rays_dashboard_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import utils

    words = ["posefront", "search", "quickstart", "--storage", "postgresql://ada:secret@db/studies"]
    monkeypatch.setattr(psutil.Process, "cmdline", lambda _: words)
    monkeypatch.setattr(utils, "get_entrypoint_name", utils.get_entrypoint_name)  # put back at the end
    assert "secret" in utils.get_entrypoint_name()
    cluster.name_without_passwords()
    shown = utils.get_entrypoint_name()
    assert shown.startswith("posefront search quickstart --storage postgresql://ada:")
    assert "secret" not in shown


def test_a_slow_raylet_is_there_and_an_ended_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as raylet:
        raylet.bind("raylet")
        raylet.listen(0)
        assert pulse.listens("raylet")
        assert pulse.listens("raylet"), "the queue of the one that accepts nothing is full"
        assert pulse.listens("raylet")
    assert not pulse.listens("raylet")
    assert not pulse.listens("none")


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
