"""The cost of a recorded trial: as it was recorded, else counted; the same table."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models.cost import cost
from search.cli import price
from search.load import load_study
from search.study import replay
from tests.search.test_cli import mistake, said
from tests.search.test_retrain import TINY, searched


def test_a_recorded_network_is_not_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    optuna_study = searched(tmp_path).book
    command = ("cost", TINY, "--trial", 1, "--out", tmp_path)
    counted = said(*command)  # nothing was recorded
    assert "total" in counted
    study = load_study(str(TINY))
    arch = replay(study, optuna_study.trials[1].params)[0].arch
    records = {(tmp_path / "tiny_study", 1): SimpleNamespace(cost=cost(arch))}

    def load(folder: Path, number: int) -> Any:
        return records.get((folder, number))

    monkeypatch.setitem(sys.modules, "search.results.network", SimpleNamespace(load=load))  # type: ignore[arg-type]

    def parameters(*_: Any) -> None:
        pytest.fail("the study was asked for its parameters")

    changed = said(*command, "--set", "size=48")
    monkeypatch.setattr(price, "parameters", parameters)
    assert said(*command) == counted != changed


def test_a_trial_that_is_not_there(tmp_path: Path) -> None:
    searched(tmp_path)
    assert "trials 0 to 2" in mistake("cost", TINY, "--trial", 9, "--out", tmp_path)
