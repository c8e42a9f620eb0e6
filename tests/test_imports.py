"""What is imported for which words of the command line, nothing heavy to say no; and which file imports which."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
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


ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for room in ("models", "data", "search", "studies")
    for file in (ROOT / room).rglob("*.py")
}
"""The project's modules and their files."""


def imported(file: Path) -> set[str]:
    """The project's modules that a file imports anywhere but for its annotations alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names = set()
    for node in set(ast.walk(tree)) - typing:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {
                member if (member := f"{node.module}.{alias.name}") in FILES else str(node.module)
                for alias in node.names
            }
    return names & FILES.keys()


def test_imports_point_one_way() -> None:
    graph = {name: imported(file) for name, file in FILES.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError
    for name, names in graph.items():
        room = name.split(".")[0]
        rooms = {other.split(".")[0] for other in names}
        assert "studies" not in rooms - {room}, name
        assert room == "search" or room == "studies" or "search" not in rooms, name


def test_ray_and_the_web_framework_are_in_one_place_each() -> None:
    found: dict[str, set[str]] = {"ray": set(), "flask": set()}
    for name, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [module or ""]
            for package in {each.split(".")[0] for each in names} & found.keys():
                found[package].add(name)
    assert {name for name in found["flask"] if not name.startswith("search.dashboard.")} == set()
    others = {name for name in found["ray"] if not name.startswith("search.run.cluster.")}
    assert others == {"search.run.engine", "search.schedulers"}


def test_no_file_is_long() -> None:
    assert {name for name, file in FILES.items() if len(file.read_text(encoding="utf-8").splitlines()) > 400} == set()
