"""A study that an older version searched is opened, shown, continued, retrained and used."""

import json
import shutil
import sys
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from PIL import Image

from tests.search.test_cli import said
from tests.without_ray import engine

FIXTURES = Path(__file__).parent.parent / "fixtures"
COMMAND = Path(sys.executable).with_name("posefront")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder of runs; its study's file lies beside it."""
    folder = tmp_path_factory.mktemp("before")
    shutil.copytree(FIXTURES / "runs", folder / "runs")
    shutil.copy(FIXTURES / "before.py", folder)
    return folder / "runs"


def posefront(out: Path, command: str, *words: object) -> str:
    return said(command, out.parent / "before.py", "--out", out, *words)


def trials(out: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="before", storage=f"sqlite:///{out}/before/study.db").trials


def test_it_is_listed_and_priced(out: Path) -> None:
    board = json.loads(posefront(out, "best", "--all", "--json"))
    assert [(line["number"], line["state"]) for line in board] == [
        (0, "finished"),
        (1, "stopped"),
        (2, "stopped"),
        (3, "waiting"),
    ]
    best = board[0]
    assert (best["error"], best["score"]) == pytest.approx((44.03, 1.484e13), rel=1e-3)
    assert "19,970" in posefront(out, "cost", "--trial", "0")


def test_its_report_shows_its_trial_and_its_ablation(out: Path) -> None:
    posefront(out, "report")
    page = (out / "before" / "report.html").read_text()
    assert "before/trial/0" in page
    assert "What each choice of trial 0 is worth" in page


def test_its_model_finds_hands(out: Path, tmp_path: Path) -> None:
    picture = tmp_path / "hand.png"
    Image.new("RGB", (300, 200), "grey").save(picture)
    model = out / "before" / "models" / "000000"
    answer = said("predict", model, picture, "--study", out.parent / "before.py")
    assert len(json.loads(answer)["predictions"][0]["points"]) == 21


def test_it_goes_on_where_it_was_interrupted_and_is_retrained(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.run.engine.search", engine())
    waiting = trials(out)[3]
    known = waiting.user_attrs["curve"]
    assert (waiting.state, len(known), waiting.user_attrs["budget"]) == (TrialState.WAITING, 78, 84)
    assert "going on: 3 trials are over" in posefront(out, "search", "--trials", 4)
    after = trials(out)
    assert [trial.state for trial in after] == [TrialState.COMPLETE, *[TrialState.PRUNED] * 2, TrialState.COMPLETE]
    assert after[3].user_attrs["curve"][:78] == known
    assert sorted(after[3].intermediate_values) == list(range(1, 85))
    assert "seed" in posefront(out, "retrain", "--trial", 3, "--seeds", 1, "--epochs", 1)
