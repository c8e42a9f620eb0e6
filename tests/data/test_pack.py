"""Packs against Pillow, and against everything that can happen while one is made."""

import errno
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from data.errors import UserError
from data.storage.files import cache_folder, once
from data.storage.folders import whole
from data.storage.image import BadImage
from data.storage.pack import Pack, in_order, read
from tests.conftest import Painted

ROOT = Path(__file__).parent.parent.parent


def files(painted: Painted) -> list[Path]:
    return sorted((painted.root / "training" / "rgb").iterdir())


def test_pixels_are_the_decoded_files(painted: Painted, cache: Path) -> None:
    paths = files(painted)
    done: list[tuple[int, int]] = []
    pixels = Pack.of(paths, 224).pixels(224, lambda *state: done.append(state))
    assert isinstance(pixels, np.memmap)
    assert not pixels.flags.writeable
    assert pixels.shape == (24, 224, 224, 3)
    for path, image in zip(paths, pixels, strict=True):
        assert np.array_equal(image, np.asarray(Image.open(path)))
    assert done[-1] == (24, 24)
    assert cache in Path(pixels.filename).parents


@pytest.mark.usefixtures("cache")
def test_levels_are_reduced_from_the_base(painted: Painted) -> None:
    pack = Pack.of(files(painted), 224)
    small = pack.pixels(112)
    theirs = [np.asarray(Image.open(p).resize((112, 112), Image.Resampling.BILINEAR)) for p in files(painted)]
    assert small.shape == (24, 112, 112, 3)
    assert np.abs(small.astype(int) - np.stack(theirs)).max() <= 2
    (pack.folder / "224.npy").unlink()  # the level stands on its own
    assert np.array_equal(pack.pixels(112), small)
    with pytest.raises(ValueError, match="no level 100"):
        pack.pixels(100)


@pytest.mark.usefixtures("cache")
def test_the_second_time_nothing_is_decoded(painted: Painted) -> None:
    first = Pack.of(files(painted), 224).pixels(224)
    again = Pack.of(files(painted), 224, decode=lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(again.pixels(224), first)


@pytest.mark.usefixtures("cache")
def test_items_are_what_is_decoded_and_the_stamp_tells_them_apart(painted: Painted) -> None:
    def corner(item: tuple[Path, int], side: int) -> np.ndarray:
        return np.asarray(Image.open(item[0]))[item[1] : item[1] + side, :side, :1]

    paths = files(painted)
    items = [(path, row) for path in paths[:3] for row in (0, 100)]
    pack = Pack.of([path for path, _ in items], 64, items=items, decode=corner, channels=1, stamp="rows 0, 100")
    assert pack.pixels(64).shape == (6, 64, 64, 1)
    for made, item in zip(pack.pixels(64), items, strict=True):
        assert np.array_equal(made, corner(item, 64))
    other = Pack.of([path for path, _ in items], 64, items=items, decode=corner, channels=1, stamp="rows 0, 90")
    assert other.folder != pack.folder


@pytest.mark.usefixtures("cache")
def test_a_changed_file_makes_another_pack(painted: Painted) -> None:
    before = Pack.of(files(painted), 224)
    before.pixels(224)
    Image.new("RGB", (224, 224), "red").save(painted.image(3))
    after = Pack.of(files(painted), 224)
    assert after.folder != before.folder
    assert (after.pixels(224)[3, 5, 5] == [254, 0, 0]).all()
    moved = painted.root.with_name("moved")
    painted.root.rename(moved)
    assert Pack.of(sorted((moved / "training" / "rgb").iterdir()), 224).folder == after.folder
    assert Pack.of(sorted((moved / "training" / "rgb").iterdir())[:-1], 224).folder != after.folder


@pytest.mark.usefixtures("cache")
def test_a_pack_that_failed_half_way_is_not_there(painted: Painted) -> None:
    painted.image(23).write_bytes(painted.image(23).read_bytes()[:3000])
    pack = Pack.of(files(painted), 224)
    with pytest.raises(BadImage, match=r"00000023\.jpg is truncated") as caught:
        pack.pixels(224)
    assert caught.value.kind == "truncated"
    assert [path.name for path in pack.folder.iterdir()] == ["lock"]


@pytest.mark.parametrize("kind", ["truncated", "unreadable", "empty", "small", "missing", "folder"])
def test_bad_images_are_told_apart(painted: Painted, kind: str) -> None:
    path = painted.image(0)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "unreadable":
        path.write_bytes(b"\x00" * 5000)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "small":
        Image.new("RGB", (224, 200)).save(path)
    else:
        path.unlink()
        if kind == "folder":
            path.mkdir()
    expected = {"empty": "unreadable", "folder": "unreadable", "small": "mis-shaped"}
    with pytest.raises(BadImage, match=path.name) as caught:
        read(path, 224)
    assert caught.value.kind == expected.get(kind, kind)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("cache")
def test_two_at_once_decode_every_image_once(painted: Painted) -> None:
    decoded, original = [], read

    def slow(path: str, side: int) -> np.ndarray:
        decoded.append(path)
        time.sleep(0.01)
        return original(path, side)

    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(Pack.of(files(painted), 224, decode=slow).pixels(224)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(decoded) == [str(path) for path in files(painted)]
    assert len(found) == 3
    assert np.array_equal(found[0], found[2])


KILL = """
import os, signal, sys, time
from pathlib import Path
import data.storage.pack

data.storage.pack._CHUNK = 2
pack = data.storage.pack.Pack.of(sorted(Path(sys.argv[1]).glob("training/rgb/*")), 224)
done, told = os.pipe()


def stall(count, total):
    if count == 10:
        os.write(told, b"x")
        time.sleep(600)


def child(work):
    number = os.fork()
    if number == 0:
        work()
        os._exit(0)
    return number


dying = child(lambda: pack.pixels(224, stall))
os.read(done, 1)
waiting = child(lambda: pack.pixels(224))
time.sleep(0.3)


def names():
    return sorted(path.stem.partition("@")[0] + path.suffix for path in pack.folder.iterdir())


print(os.waitpid(waiting, os.WNOHANG)[0], names())
os.kill(dying, signal.SIGKILL)
print(os.waitpid(waiting, 0)[1], names())
"""


@pytest.mark.usefixtures("cache")
def test_a_killed_packer_leaves_nothing_that_is_used(painted: Painted) -> None:
    """One process dies in the middle of writing while another waits for it, and then makes the pack itself."""
    command = [sys.executable, "-c", KILL, str(painted.root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["0 ['224.half', 'lock']", "0 ['224.npy', 'lock']"]
    pixels = Pack.of(files(painted), 224).pixels(224)
    assert np.array_equal(pixels, np.stack([np.asarray(Image.open(path)) for path in files(painted)]))


@pytest.mark.usefixtures("cache")
def test_leftovers_are_cleared(painted: Painted) -> None:
    pack = Pack.of(files(painted), 224)
    pack.folder.mkdir(parents=True)
    (pack.folder / "224@elsewhere@1.half").write_bytes(b"half")
    (pack.folder / "112@elsewhere@2.half").write_bytes(b"half")
    pack.pixels(224)
    assert sorted(path.name for path in pack.folder.iterdir()) == ["224.npy", "lock"]


@pytest.mark.usefixtures("cache")
def test_a_full_disk_is_a_mistake(painted: Painted, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 10**6))
    with pytest.raises(UserError, match=r"0\.0 GB free.*POSEFRONT_CACHE"):
        Pack.of(files(painted), 224).pixels(224)
    monkeypatch.undo()

    def fill(file: BinaryIO) -> None:
        file.write(b"some")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = painted.root.with_name("other") / "file"
    with pytest.raises(UserError, match=r"other cannot be written \(No space left.*POSEFRONT_CACHE"):
        once(target, 4, fill)
    assert [path.name for path in target.parent.iterdir()] == ["lock"]


def test_a_cache_that_cannot_be_made_is_a_mistake(
    painted: Painted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POSEFRONT_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"file/packs/.* cannot be written.*POSEFRONT_CACHE"):
        Pack.of(files(painted), 224).pixels(224)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch")
    monkeypatch.setenv("POSEFRONT_CACHE", "~/mine")
    assert cache_folder() == Path("/home/someone/mine")
    monkeypatch.delenv("POSEFRONT_CACHE")
    assert cache_folder() == Path("/scratch/posefront")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/someone/.cache/posefront")
    monkeypatch.setenv("POSEFRONT_CACHE", "relative")
    with pytest.raises(UserError, match="'relative'"):
        cache_folder()


def test_in_order_keeps_order_and_does_not_run_ahead() -> None:
    started = []

    def work(item: int) -> int:
        started.append(item)
        time.sleep(0.002 * (item % 3))
        return item * item

    results = in_order(work, range(500))
    assert next(results) == 0
    assert len(started) < 300
    assert list(results) == [item * item for item in range(1, 500)]


DRAW = """
import sys, time
from pathlib import Path
from data.storage.folders import whole

with whole(Path(sys.argv[1])) as place:
    (place / "half").touch()
    print("drawing", flush=True)
    time.sleep(600)
"""


def test_a_killed_drawing_is_cleared_and_one_at_work_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRAW, str(tmp_path / "set")]
    runs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "drawing\n"
    dead, alive = runs
    dead.kill()
    dead.communicate()
    with whole(tmp_path / "set") as place:
        (place / "all").touch()
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["all"]
    (left,) = tmp_path.glob(".set.drawing-*")
    assert f"@{alive.pid}." in left.name
    alive.kill()
    alive.communicate()
    with pytest.raises(UserError, match="exists already"), whole(tmp_path / "set"):
        pass


def test_a_bad_image_crosses_processes() -> None:
    bad = BadImage("x.png", "missing", "no such file")
    again = pickle.loads(pickle.dumps(bad))  # noqa: S301 - our own
    assert (str(again), again.kind, again.detail) == (str(bad), "missing", "no such file")
