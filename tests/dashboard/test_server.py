"""The server's answers stand while other threads import what they need."""

import subprocess
import sys
from pathlib import Path

import pytest

from search.dashboard.reader import Reader
from search.dashboard.source import sources
from tests.big_study import make

BESIDE = """
import importlib.util, sys, threading, time
from pathlib import Path

from search.dashboard.replies import Replies, import_pandas
from search.dashboard.request import Request
from search.dashboard.source import sources

replies = Replies(sources(["big"], Path(sys.argv[1]), None))
spec = importlib.util.find_spec("pandas")
run = spec.loader.exec_module
half = threading.Event()

def slowly(module):
    half.set()
    time.sleep(2)
    run(module)

spec.loader.exec_module = slowly
class Finder:
    def find_spec(self, name, path=None, target=None):
        return spec if name == "pandas" else None

sys.meta_path.insert(0, Finder())
other = threading.Thread(target=import_pandas)
other.start()
half.wait()
assert not hasattr(sys.modules["pandas"], "NaT")
answer = replies.page("big", "pareto", None, Request())
other.join()
print(len(answer))
"""


def test_a_page_is_drawn_while_another_thread_imports_pandas(tmp_path: Path) -> None:
    folder = tmp_path / "big"
    folder.mkdir()
    make(folder / "study.db", trials=20, seed=1)
    told = subprocess.run([sys.executable, "-c", BESIDE, tmp_path], capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) > 1000


def test_looking_for_new_studies_reads_no_known_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done every few seconds, and 10,000 trials take one to read."""
    for name in ("big", "quickstart"):
        (tmp_path / name).mkdir()
        make(tmp_path / name / "study.db", trials=5, name=name)
    monkeypatch.delattr(Reader, "read")
    for studies in ([], ["big.py", "quickstart"]):
        assert sources(studies, tmp_path, None, known={"big", "quickstart"}) == []
