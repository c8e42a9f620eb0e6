"""The command as a process: streams that are gone, signals, and packages of other people with the project's names."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, str(Path(__file__).parents[2] / "posefront.py")]
SCORE = [*COMMAND, "score", "--params-m", "1", "--gflops", "1", "--pixel-diff", "5"]
FULL = "standard output cannot be written (No space left on device)"


def shell(line: str, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """What `"$@"`, which stands for the command, comes to in a line of the shell."""
    return subprocess.run(["bash", "-c", line, "bash", *words], capture_output=True, text=True, check=False, **more)


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ('"$@"', 0, ""),
        ('"$@" >&-', 0, ""),
        ('"$@" <&- >&- 2>&-', 0, ""),
        ('"$@" >/dev/full', 2, f"posefront: {FULL}; send it to another place.\n"),
        ('"$@" >/dev/full 2>/dev/full', 2, ""),
        ('"$@" >/dev/full 2>&-', 2, ""),
        ('"$@" | true; exit ${PIPESTATUS[0]}', 141, ""),
    ],
)
def test_streams_that_are_gone(line: str, code: int, sentence: str) -> None:
    ended = shell(line, *SCORE)
    assert (ended.returncode, ended.stderr) == (code, sentence)


def test_no_file_takes_the_number_of_a_closed_stream() -> None:
    """A database would, and what is printed would be written into it."""
    code = "import os; from search.cli import streams; streams.guard(); assert os.open('/dev/null', os.O_RDONLY) > 2"
    assert shell('"$@" <&- >&- 2>&-', sys.executable, "-c", code).returncode == 0


def test_a_mistake_is_a_mistake_without_anyone_to_tell() -> None:
    assert shell('"$@" 2>/dev/full', *COMMAND, "best", "nosuch").returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_python_still_imports(number: signal.Signals, tmp_path: Path) -> None:
    """An import that takes long is begun when the file appears."""
    mark = tmp_path / "mark"
    (tmp_path / "rich.py").write_text(f"open({str(mark)!r}, 'w').close()\nimport time\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [*COMMAND, "best", "nosuch"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not mark.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert said == f"stopped by {number.name}; the same command may be given again.\n"


def test_a_handler_of_someone_elses_c_is_put_away_from_any_thread() -> None:
    """As Ray's C++ has one while it connects in a thread; here it is the default, which ends the process."""
    code = """
import ctypes, os, signal, threading
from search import signals

def connect():
    with signals.kept():
        ctypes.pythonapi.PyOS_setsig(signal.SIGTERM, None)

with signals.stoppable() as stop:
    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    os.kill(os.getpid(), signal.SIGTERM)
    print(stop())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "SIGTERM\n")


def test_threads_that_wait_take_no_core_unless_the_user_wants_it() -> None:
    code = "import os, sys; from search.cli import main\ntry: main()\nfinally: print(os.environ['OMP_WAIT_POLICY'])"
    clean = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    for environment, policy in ((clean, "passive"), (clean | {"OMP_WAIT_POLICY": "active"}, "active")):
        ended = shell('"$@"', sys.executable, "-c", code, *SCORE[len(COMMAND) :], env=environment)
        assert ended.stdout.split()[-1] == policy


def foreign(folder: Path) -> Path:
    """Packages and modules of the project's names, none of which can be imported."""
    for name in ("data", "search", "studies"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise ImportError('not our own {name}')\n")
    (folder / "models.py").write_text("raise ImportError('not our own models')\n")
    return folder


def test_packages_of_the_same_names_on_the_path(tmp_path: Path) -> None:
    folder = foreign(tmp_path)
    for where in (".", str(folder)):
        ended = shell('"$@"', *COMMAND, "data", "check", "nosuch", cwd=folder, env=os.environ | {"PYTHONPATH": where})
        assert "nosuch" in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert ended.returncode == 2
