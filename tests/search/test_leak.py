"""Whether a test image is opened: Python's own audit and the kernel are both asked.

That neither a search nor a last training opens one is seen in tests/test_clusters.py, from a search to its submission.
"""

import ctypes
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import paint

STUDY = Path(__file__).parent.parent / "tiny_study.py"
POSEFRONT = Path(sys.executable).with_name("posefront")

HOOK = """
import os, sys

def note(text):
    file = os.open(os.environ["LEAK_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{os.getpid()} {text}\\n".encode())
    os.close(file)

def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if (path + os.sep).startswith(os.environ["LEAK_FOLDER"] + os.sep):
            note(f"{event} {path}")

sys.addaudithook(hook)
note("began")
"""
"""sitecustomize.py: every Python process that finds it on its path begins with it, Ray's workers among them."""

IN_OPEN = 0x20


class Opens:
    """What the kernel saw of folders: names of their entries, and '' for a folder itself, once for each opening."""

    def __init__(self) -> None:
        self.names: list[str] = []


@contextmanager
def opens(*folders: Path) -> Iterator[Opens]:
    """Watch folders with inotify, which sees every process and every library, not Python alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    queue = libc.inotify_init1(os.O_NONBLOCK)
    assert queue >= 0, os.strerror(ctypes.get_errno())
    found = Opens()
    try:
        for folder in folders:
            assert libc.inotify_add_watch(queue, os.fsencode(folder), IN_OPEN) >= 0
        yield found
        while True:
            try:
                events = os.read(queue, 1 << 20)
            except BlockingIOError:
                break
            while events:
                _, _, _, length = struct.unpack_from("iIII", events)
                found.names.append(events[16 : 16 + length].rstrip(b"\0").decode())
                events = events[16 + length :]
    finally:
        os.close(queue)


class Spied:
    """Runs programs on data with test images, under the hook."""

    def __init__(self, folder: Path) -> None:
        self.root = paint(folder / "hands", hands=40).root
        self.tests = self.root / "evaluation" / "rgb"
        self.tests.mkdir(parents=True)
        others = paint(folder / "others", hands=4, seed=3)
        for index in range(4):
            shutil.copy(others.image(index), self.tests / f"{index:08d}.jpg")
        (self.root / "evaluation_K.json").write_text("[]")
        self.log = folder / "log"
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(HOOK)
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(folder / "site"),
            "LEAK_LOG": str(self.log),
            "LEAK_FOLDER": str(self.root / "evaluation"),
            "POSEFRONT_CACHE": str(folder / "cache"),
        }

    def watch(self, run: Callable[[], object]) -> tuple[set[int], list[str], list[str]]:
        """Processes that began under the hook meanwhile, what it saw, and what the kernel saw."""
        self.log.write_text("")
        with opens(self.tests.parent, self.tests) as seen:
            run()
        lines = self.log.read_text().splitlines()
        began = {int(line.split()[0]) for line in lines if line.endswith(" began")}
        return began, [line.partition(" ")[2] for line in lines if not line.endswith(" began")], seen.names

    def run(self, *words: object) -> tuple[set[int], list[str], list[str]]:
        """The same of a program."""
        command = [str(word) for word in words]
        return self.watch(lambda: subprocess.run(command, env=self.environment, check=True, timeout=60))


@pytest.fixture
def spied(tmp_path: Path) -> Spied:
    return Spied(tmp_path)


@pytest.mark.parametrize(
    "program",
    [
        "open({file!r}).close()",
        "import os; os.close(os.open({file!r}, os.O_RDONLY))",
        "from PIL import Image; Image.open({file!r}).load()",
        "import numpy; numpy.memmap({file!r}, mode='r')",
        "import os; os.chdir({folder!r}); open('00000002.jpg').close()",
        "from multiprocessing import get_context; get_context('spawn').Process(target=open, args=({file!r},)).start()",
    ],
)
def test_a_file_that_is_opened_is_seen(spied: Spied, program: str) -> None:
    file = spied.tests / "00000002.jpg"
    program = program.format(file=str(file), folder=str(spied.tests))
    _, told, seen = spied.run(sys.executable, "-c", program)
    assert told.count(f"open {file}") == seen.count(file.name) >= 1


def test_a_folder_that_is_listed_is_seen(spied: Spied) -> None:
    _, told, seen = spied.run(sys.executable, "-c", f"import os; os.listdir({str(spied.tests)!r})")
    assert told == [f"os.listdir {spied.tests}"]
    assert "rgb" in seen


def test_only_the_kernel_sees_what_goes_past_python(spied: Spied) -> None:
    _, told, seen = spied.run("cat", spied.tests / "00000001.jpg")
    assert "00000001.jpg" in seen
    assert not told
