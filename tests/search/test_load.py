"""What a study's file can get wrong is said with its line when it is loaded; what a study is needs no torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import UserError
from search.load import load_study

FILE = """from search.schedulers import Asha
from search.study import Config, Study, Training
from types import SimpleNamespace

task = SimpleNamespace(points=21)

def space(trial, task):
    trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    trial.suggest_int("size", 32, 64, step=16)
    trial.suggest_float("width", 0.1, 0.5, step=0.1)
    trial.suggest_categorical("kernel", [3, 5])
    return Config(None, Training(lr=1e-3))
study = Study(task, space, trials=3, epochs=2)
"""


def test_the_file_that_the_others_spoil_is_well(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(FILE)
    assert load_study(str(tmp_path / "s.py")).trials == 3


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("epochs=2", 'epochs=2, scheduler="asha"', 13, "write Asha(grace=3)"),
        ("epochs=2", "epochs=2, scheduler=3", 13, "Study.scheduler must be one of search.schedulers"),
        ("space(trial, task)", "space(trial)", 7, "begin it with `def space(trial, task):`"),
        ("epochs=2", 'epochs=2, bounds={"latency": 1}', 13, "on readings of the study: params_m, gflops"),
        ("epochs=2", 'epochs=2, bounds={"gflops": 0}', 13, "Study.bounds must be above 0"),
        ("trials=3", "trials=0", 13, "Study.trials must be at least 1, not 0"),
        ("epochs=2", "epochs=2, reduction=3", 13, "reduction"),
        ("0.5, step=0.1", "0.55, step=0.1", 10, "steps of 0.1, which do not divide"),
        ("64, step=16", "60, step=16", 9, "steps of 16, which do not divide"),
        ("1e-4, 1e-1", "0, 1e-1", 8, "must begin above 0"),
        ("0.1, 0.5", "0.5, 0.1", 10, "the lower end comes first"),
        ("[3, 5]", "[(3, 3), (5, 5)]", 11, "the choice (3, 3), a tuple"),
        ("[3, 5]", "[]", 11, "has no choices"),
        ("[3, 5]", "[3, 5, float('nan')]", 11, "the choice nan, a float"),
        ("[3, 5]", "[0, 1, True]", 11, "1 and True, which are equal"),
        ("[3, 5]", "[__import__('http').HTTPMethod.GET]", 11, "a HTTPMethod"),  # text that comes back as mere text
        ("[3, 5]", "[3, float]", 11, "the choice <class 'float'>, a type"),
        ("0.5, step=0.1", "float('inf')", 10, "both ends must be finite"),
        ("return Config(None, ", "return dict(a=", 7, "end it with `return Config(...)`"),
        ("return Config(", "return Confg(", 12, "NameError: name 'Confg' is not defined"),
        (
            "Training(lr=",
            "Training(rate=",
            12,
            "TypeError: Training.__init__() got an unexpected keyword argument 'rate'",
        ),
        (
            "return Config(None",
            "return Config(task.pionts",
            12,
            "AttributeError: 'types.SimpleNamespace' object has no",
        ),
        ("1e-1, log=True", "1e-1, log=True, step=0.1", 8, "it must be one of the two"),
    ],
)
def test_nonsense_is_refused_in_one_sentence_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, expected: str
) -> None:
    file = tmp_path / "s.py"
    assert old in FILE
    file.write_text(FILE.replace(old, new))
    with pytest.raises(UserError) as caught:
        load_study(str(file))
    said = str(caught.value)
    assert said.startswith(f"{file}, line {line}: ")
    assert expected in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("branch", "expected"),
    [
        ("if kernel == 5: trial.suggest_float('drop', 0.1, 0.45, step=0.2)", "'drop' goes from 0.1 to 0.45"),
        ("if kernel == 5: trial.suggest_float('drop', 0, 1, log=True)", "'drop' has a logarithmic range from 0"),
        ("if size == 64 and trial.suggest_int('n', 1, 3) == 3: trial.suggest_categorical('m', [(1, 2)])", "a tuple"),
        (
            "trial.suggest_categorical('neck', [0, 96] if kernel == 5 else [0])",
            "'neck' has the choices 0, 96 in one branch",
        ),
        (
            "trial.suggest_float('neck', 1, 2, log=kernel == 5)",
            "'neck' has 1.0 to 2.0, logarithmic in one branch and 1.0 to",
        ),
    ],
)
def test_branches_that_lower_ends_do_not_reach_are_checked_too(tmp_path: Path, branch: str, expected: str) -> None:
    spoilt = FILE.replace('    trial.suggest_int("size"', '    size = trial.suggest_int("size"')
    spoilt = spoilt.replace("    trial.suggest_categorical(", "    kernel = trial.suggest_categorical(")
    file = tmp_path / "s.py"
    file.write_text(spoilt.replace("\n    return", f"\n    {branch}\n    return"))
    with pytest.raises(UserError) as caught:
        load_study(str(file))
    assert str(caught.value).startswith(f"{file}, line 12: ")
    assert expected in str(caught.value)


def test_what_numpy_makes_is_kept_as_far_as_json_keeps_it(tmp_path: Path) -> None:
    import json

    import numpy as np
    from hypothesis import given
    from hypothesis import strategies as any_

    from search.space_check import kept

    @given(any_.one_of(any_.text(), any_.integers(), any_.floats(), any_.booleans(), any_.none(), any_.binary()))
    def json_decides(value: object) -> None:
        try:
            again = json.loads(json.dumps(value))
        except TypeError:
            again = object()
        assert kept(value) == (again == value and type(again) is type(value))

    json_decides()
    assert kept(np.linspace(0, 1, 5)[1])
    assert not kept(np.arange(3)[1])
    file = tmp_path / "s.py"
    file.write_text(FILE.replace("[3, 5]", "__import__('numpy').linspace(0, 1, 5)"))
    load_study(str(file))
    file.write_text(FILE.replace("epochs=2", "epochs=2, starts={'a': START}").replace("study =", START + "study ="))
    with pytest.raises(UserError, match=r"the starting trial 'a' has kernel = np.int64\(5\), a int64, which"):
        load_study(str(file))


START = "START = {'lr': 1e-2, 'size': 32, 'width': 0.1, 'kernel': __import__('numpy').int64(5)}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["search", "nosuch"],
        ["best", "nosuch"],
        ["search", "quickstart", "--out", "/proc/x"],
        ["search", "quickstart", "--storage", "nonsense"],
        ["search", "quickstart", "--storage", "sqlite:////nowhere/at/all/s.db"],
        ["search", "quickstart", "--nosuch"],
    ],
)
def test_a_wrong_word_costs_no_heavy_import(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from search.cli.app import run\n"
        "try:\n    run()\nexcept SystemExit as end:\n    print(end.code)\n"
        "print(sorted({'torch', 'ray', 'timm', 'sklearn', 'pandas', 'scipy', 'optuna'} & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert run.stdout.splitlines() == ["2", "[]"], run.stderr
    assert not list(tmp_path.iterdir())


def test_a_study_and_a_board_need_no_torch() -> None:
    code = (
        "import sys, search.load, search.paths, search.study, search.schedulers, search.objective, search.format\n"
        "import search.cli.search, search.run.state.ledger, search.run.live, search.results.figures.pareto\n"
        "print(sorted({'torch', 'ray', 'timm', 'sklearn', 'pandas', 'scipy'} & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert run.stdout == "[]\n"
