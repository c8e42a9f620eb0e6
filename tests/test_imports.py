"""What is imported for which words of the command line: nothing heavy to say no, or to show what is recorded."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "torchvision", "timm", "ray", "sklearn", "pandas", "scipy", "fvcore", "matplotlib")
STUDIES = sorted(file.stem for file in Path("studies").glob("*.py") if file.stem != "__init__")


def heavy(code: str) -> set[str]:
    """Which heavy packages a Python process has imported after `code`."""
    words = [sys.executable, "-X", "importtime", "-c", code]
    ran = subprocess.run(words, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    names = {line.rsplit("|", 1)[-1].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")}
    return {name for name in HEAVY if name in names}


@pytest.mark.parametrize("study", STUDIES)
def test_what_a_study_is_needs_nothing_heavy(study: str) -> None:
    assert heavy(f"from studies import {study}; {study}.study.task.metric, {study}.study.starts") == set()


def run(*words: str) -> str:
    """Python that runs a command to its end, whatever it says."""
    start = f"import sys; sys.argv = {['posefront', *words]!r}"
    return f"{start}\nfrom search.cli import main\ntry: main()\nexcept SystemExit: pass"


OUT = str(Path(__file__).parent / "fixtures" / "runs")
STUDY = str(Path(__file__).parent / "fixtures" / "before.py")


@pytest.mark.parametrize(
    "words",
    [
        ("best", "nosuch"),
        ("best", STUDY, "--json", "--out", OUT),
        ("search", "nosuch"),
        ("search", "quickstart", "--nosuch"),
        ("search", "quickstart", "--start", "nosuch"),
        ("search", "quickstart", "--data", "/nosuch"),
        ("search", "quickstart", "--out", "/proc/nosuch"),
        ("retrain", "nosuch"),
        ("ablate", "nosuch"),
        ("ensemble", "nosuch"),
        ("dashboard", "nosuch"),
        ("cost", "nosuch"),
        ("data", "check", "/nosuch"),
        ("predict", "/nosuch", "/nosuch.jpg"),
        ("score", "--params-m", "1", "--gflops", "1", "--pixel-diff", "5"),
    ],
)
def test_a_word_that_is_wrong_is_answered_without_anything_heavy(words: tuple[str, ...]) -> None:
    assert heavy(run(*words)) == set()
