"""The command as a user meets it, mistakes included: one sentence, no traceback, nothing half-written."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

from data.errors import UserError
from search.cli.app import app
from search.load import load_study
from search.results.leaderboard import entries, unbeaten
from search.run.state.ledger import Ledger, open_storage
from tests.conftest import paint

TINY = Path(__file__).parent.parent / "tiny_study.py"
POSEFRONT = Path(sys.executable).with_name("posefront")


def said(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def mistake(*words: object) -> str:
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    text = str(caught.value)
    assert text.count("\n") == 0
    assert text.endswith(".")
    return text


def test_score_is_the_published_one() -> None:
    out = said("score", "--params-m", "4.152448", "--gflops", "1.031351216", "--pixel-diff", "5.108583596827928")
    assert out == "score 708.5009779, PixelDiff 5 to 7 px\n"
    assert "e^" in said("score", "--params-m", 1, "--gflops", 1, "--pixel-diff", 4000)
    assert "params must be" in mistake("score", "--params-m", 0, "--gflops", 1, "--pixel-diff", 1)


def test_a_mistake_reaches_a_shell_as_one_line_and_exit_code_2(tmp_path: Path) -> None:
    run = subprocess.run(
        [POSEFRONT, "search", "quickstrat", "--out", tmp_path], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1
    assert "did you mean quickstart?" in run.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("study = 3\n", "defines no `study = Study"),
        ("import nothing_of_the_kind\n", "line 1: ModuleNotFoundError"),
        ("\n\nstudy = = 3\n", "line 3: SyntaxError"),
    ],
)
def test_studies_that_are_none(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    assert expected in mistake("search", file, "--out", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "expected"), [({"width": 0.7}, "width = 0.7 is outside"), ({"wdth": 0.2}, "does not fit the space")]
)
def test_starting_trials_must_fit_the_space(
    tmp_path: Path, change: dict[str, float], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_TROUBLE", "none")
    file = tmp_path / "mine.py"
    start = {"width": 0.1, "size": 32, "trouble": "none", "lr": 1e-3} | change
    if "wdth" in change:
        del start["width"]
    file.write_text(TINY.read_text().replace("starts={name: start(name)", f"starts={{name: {start}"))
    assert expected in mistake("search", file, "--out", tmp_path / "runs")


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "--out" in mistake("search", TINY, "--out", tmp_path / "file")
    assert "--out" in mistake("search", TINY, "--out", "/proc/nowhere")


def test_data_that_is_not_there_or_not_whole(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert "--data" in mistake("search", "freihand", "--out", runs)
    assert str(tmp_path / "none") in mistake("search", TINY, "--data", tmp_path / "none", "--out", runs)
    hands = paint(tmp_path / "a").root
    (hands / "training_K.json").unlink()
    assert "training_K.json" in mistake("search", TINY, "--data", hands, "--out", runs)
    hands = paint(tmp_path / "b").root
    xyz = hands / "training_xyz.json"
    xyz.write_text(json.dumps(json.loads(xyz.read_text())[:-1]))
    assert re.search(r"2[34].*2[34]", mistake("search", TINY, "--data", hands, "--out", runs))
    hands = paint(tmp_path / "c").root
    broken = hands / "training" / "rgb" / "00000003.jpg"
    broken.write_bytes(broken.read_bytes()[:500])
    assert "00000003.jpg" in mistake("search", TINY, "--data", hands, "--out", runs)
    hands = paint(tmp_path / "d").root
    points = json.loads((hands / "training_xyz.json").read_text())
    points[5][2][0] = float("nan")
    (hands / "training_xyz.json").write_text(json.dumps(points))
    assert "5" in mistake("search", TINY, "--data", hands, "--out", runs)
    assert not list(runs.rglob("study.db"))


def test_best_of_a_search_that_never_was(tmp_path: Path) -> None:
    assert "posefront search quickstart" in mistake("best", "quickstart", "--out", tmp_path)
    url = f"sqlite:///{tmp_path}/s.db"
    Ledger(load_study(str(TINY)), "other", open_storage(url))
    assert "it holds: other" in mistake("best", "quickstart", "--storage", url)


def test_cost_of_parameters_of_a_start_and_of_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_TROUBLE", "none")
    start = said("cost", TINY)
    assert "M+A" in start
    assert "give one of them" in mistake("cost", TINY, "--trial", 0, "--start", "none")
    total = re.compile(r"total\s*│.*?│.*?│\s*([\d,]+)")
    wider = said("cost", TINY, "--set", "width=0.3", "--set", "size=48")
    assert int(total.search(wider)[1].replace(",", "")) > int(total.search(start)[1].replace(",", ""))  # type: ignore[index]
    assert "no parameter 'wdth'" in mistake("cost", TINY, "--set", "wdth=1")
    assert "outside" in mistake("cost", TINY, "--set", "width=0.7")
    assert "NAME=VALUE" in mistake("cost", TINY, "--set", "width")
    assert "named trial 'x'" in mistake("cost", TINY, "--start", "x")
    assert "posefront search" in mistake("cost", TINY, "--trial", 0, "--out", tmp_path)


def test_data_commands(tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    assert "30 hands" in said("data", "synth", folder, "--count", 30, "--difficulty", 0.5)
    assert "30 images, 30 hands: nothing wrong" in said("data", "check", folder)
    stats = said("data", "stats", folder)
    assert "mean hand, on all hands [px]" in stats
    assert "drawn" in mistake("data", "synth", folder, "--count", 30)
    (folder / "training" / "rgb" / "00000007.jpg").unlink()
    result = CliRunner().invoke(app, ["data", "check", str(folder)])
    assert result.exit_code == 1
    assert "00000007.jpg: missing" in result.output
    assert "nowhere" in mistake("data", "check", tmp_path / "nowhere")


def test_help_names_every_command() -> None:
    text = said("--help")
    for command in ("search", "best", "cost", "score", "data"):
        assert command in text


def test_pareto_optimal_is_what_a_brute_force_says() -> None:
    import random

    draw = random.Random(0)
    plane = [(draw.randrange(8) / 2, draw.randrange(8) / 2) for _ in range(60)]
    brute = [not any(a <= x and b <= y and (a, b) != (x, y) for a, b in plane) for x, y in plane]
    assert unbeaten(plane) == brute


def test_the_board_and_the_page_of_every_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_TROUBLE", "none")
    from search.run.state.ledger import ROW

    folder = tmp_path / "tiny_study"
    folder.mkdir()
    book = Ledger(load_study(str(TINY), trials=6), "tiny_study", open_storage(f"sqlite:///{folder}/study.db"))
    for error, end in ((20.0, "finish"), (12.0, "finish"), (30.0, "stop"), (9.0, "fail"), (25.0, None)):
        asked = book.ask()
        assert asked is not None
        book.report(asked.number, dict.fromkeys(ROW, 1.0) | {"epoch": 1, "error": error})
        if end == "fail":
            book.fail(asked.number, "<script>alert(1)</script>")
        elif end:
            getattr(book, end)(asked.number)
    found = entries(book.optuna_study.get_trials(deepcopy=False), "pixel_diff")
    assert [entry.state for entry in found] == ["finished", "finished", "stopped", "running", "failed"]
    assert found[0].error == 12.0
    assert not any(entry.pareto for entry in found if entry.state != "finished")
    out = said("best", TINY, "--out", tmp_path, "--all")
    assert all(state in out for state in ("finished", "stopped", "running", "failed"))
    listed = json.loads(said("best", TINY, "--out", tmp_path, "--json", "--all"))
    assert [entry["number"] for entry in listed] == [entry.number for entry in found]
    page = (folder / "pareto.html").read_text()
    assert "<script>alert(1)" not in page
    written = (folder / "pareto.html").stat().st_mtime_ns
    said("best", TINY, "--out", tmp_path)
    assert (folder / "pareto.html").stat().st_mtime_ns == written
    book.report(4, dict.fromkeys(ROW, 1.0) | {"epoch": 2, "error": 24.0})
    said("best", TINY, "--out", tmp_path)
    assert (folder / "pareto.html").stat().st_mtime_ns > written
    assert {trial.state for trial in book.optuna_study.trials} >= {TrialState.RUNNING, TrialState.FAIL}


def test_a_search_that_has_all_its_trials_says_so_and_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.run.state.ledger import ROW

    folder = tmp_path / "tiny_study"
    folder.mkdir()
    study = load_study(str(TINY), trials=1)
    storage = open_storage(f"sqlite:///{folder}/study.db")
    book = Ledger(study, "tiny_study", storage, study.task.identity())
    asked = book.ask()
    assert asked is not None
    book.report(asked.number, dict.fromkeys(ROW, 1.0) | {"epoch": 4, "error": 12.0})
    book.finish(asked.number)
    out = said("search", TINY, "--out", tmp_path, "--trials", 1)
    assert "1 of 1 trials are finished; --trials asks for more" in out
    assert "always answering the mean" in out
    assert "% of it" in out
    monkeypatch.setattr("data.tasks.freihand.FreiHand.baseline", lambda _: 0.0)  # all poses are one
    monkeypatch.setattr("data.tasks.freihand.FreiHand.notes", lambda _: ("f.json: unused, 3 crowds",))
    out = said("search", TINY, "--out", tmp_path, "--trials", 1)
    assert re.search(r"always answering the mean: 0[.0]* px; smallest [^:]+: 12[.0]* px \(trial 0\)\n", out)
    assert "data: f.json: unused, 3 crowds\n" in out
    assert len(book.optuna_study.trials) == 1


def test_a_study_of_someone_else_is_not_read_as_ours(tmp_path: Path) -> None:
    import optuna

    url = f"sqlite:///{tmp_path}/s.db"
    optuna.create_study(study_name="quickstart", storage=url)
    assert "was not searched by posefront" in mistake("best", "quickstart", "--storage", url, "--out", tmp_path)
