"""The measurement of a driver: what it says was measured was done."""

from dataclasses import replace
from pathlib import Path

from optuna.trial import TrialState

from studies import freihand
from tests.search_bench import scale
from tests.search_bench.replay import Worker


def test_a_made_study_is_gone_on_with_by_all_of_a_driver(tmp_path: Path) -> None:
    study = replace(freihand.study, trials=10**9, sampler=scale.SAMPLERS["random"])
    driver = scale.Driver(tmp_path, study, 4, scale.made(tmp_path, 40, 4))
    trials = driver.ledger.optuna_study.get_trials
    assert [trial.number for trial in trials() if not trial.state.is_finished()] == [40, 41, 42, 43]
    busy = [Worker(0.0, index) for index in range(4)]
    for worker in busy:
        driver.begin(worker)
    assert len(driver.spent["again"]) == 4
    one = busy[0]
    while driver.end_epoch(one):
        pass
    ended = trials()[one.number]
    assert ended.state in (TrialState.COMPLETE, TrialState.PRUNED)
    assert len(ended.user_attrs["curve"]) == one.epoch - 1
    driver.begin(one)
    assert one.number >= 44
    assert len(driver.spent["first"]) == 1
    assert max(int(file.stem) for file in (tmp_path / "weights").glob("*.pt")) == one.number
