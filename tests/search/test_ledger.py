"""The book-keeping of a search, without Ray: what becomes of each trial, in Optuna's own storage."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import BaseTrial, TrialState

from data.errors import UserError
from data.tasks.freihand import FreiHand
from models.cost import cost
from models.net import Arch
from models.readings import FLOPS, PARAMS, Reading
from search.run.state.ledger import FAILURES, ROW, Ledger, open_storage
from search.study import Config, Study, Training

task = FreiHand()


def space(trial: BaseTrial, _: Any) -> Config:
    size = trial.suggest_categorical("size", [32, 64])
    arch = Arch(points=21, width=trial.suggest_float("width", 0.1, 0.5, step=0.1), stride=32, size=size, head="direct")
    return Config(arch, Training(lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True)))


STUDY = Study(task, space, trials=5, epochs=4)


def ledger(study: Study = STUDY, url: str = "sqlite:///:memory:") -> Ledger:
    return Ledger(study, "book", open_storage(url))


def row(epoch: int, error: float) -> dict[str, float]:
    return dict.fromkeys(ROW, 0.0) | {
        "epoch": epoch,
        "error": error,
        "seconds": 2.0,
        "train_seconds": 1.5,
        "images": 300,
        "memory_mb": 100.0 + epoch,
    }


def train(book: Ledger, errors: list[float]) -> int:
    asked = book.ask()
    assert asked is not None
    for epoch, error in enumerate(errors, 1):
        book.report(asked.number, row(epoch, error))
    return asked.number


def told(book: Ledger, number: int) -> optuna.trial.FrozenTrial:
    return book.optuna_study.trials[number]


def value(trial: optuna.trial.FrozenTrial, error: float) -> float:
    price = cost(Arch(points=21, width=trial.params["width"], stride=32, size=trial.params["size"], head="direct"))
    return math.log(price.params / 1e6) + math.log(price.flops / 1e9) + error


def test_a_finished_trial_is_complete_with_its_last_value_and_whole_curve() -> None:
    book = ledger()
    number = train(book, [40, 30, 20, 25])
    book.finish(number)
    trial = told(book, number)
    assert trial.state is TrialState.COMPLETE
    assert trial.value == pytest.approx(value(trial, 25))
    assert trial.intermediate_values == pytest.approx({e: value(trial, x) for e, x in enumerate([40, 30, 20, 25], 1)})
    kept = trial.user_attrs
    assert kept["pixel_diff"] == 25
    assert kept["score"] == pytest.approx(kept["params_m"] * kept["gflops"] * math.exp(25))
    assert (kept["band"], kept["epochs"], kept["seconds"], kept["images_per_s"], kept["peak_memory_mb"]) == (
        ">= 15 px",
        4,
        8.0,
        200.0,
        104.0,
    )
    assert book.optuna_study.metric_names == ["ln Params[M] + ln FLOPs[G] + PixelDiff[px]"]


def test_a_stopped_trial_is_pruned_not_complete_and_keeps_its_curve_and_readings() -> None:
    book = ledger()
    number = train(book, [40, 39])
    book.stop(number)
    trial = told(book, number)
    assert trial.state is TrialState.PRUNED
    assert list(trial.intermediate_values) == [1, 2]
    assert trial.value == pytest.approx(value(trial, 39))
    assert trial.user_attrs["pixel_diff"] == 39
    assert trial.user_attrs["epochs"] == 2
    assert {"params_m", "gflops", "score", "band", "images_per_s", "peak_memory_mb"} <= trial.user_attrs.keys()


def test_a_failed_trial_says_why_and_the_search_goes_on() -> None:
    book = ledger()
    number = train(book, [40])
    book.fail(number, "diverged: the loss became nan in epoch 2")
    trial = told(book, number)
    assert trial.state is TrialState.FAIL
    assert trial.user_attrs["failed"] == "diverged: the loss became nan in epoch 2"
    assert trial.user_attrs["epochs"] == 1
    assert book.ask() is not None


def test_nothing_but_failures_ends_the_search_with_the_last_reason() -> None:
    book = ledger(replace(STUDY, trials=100))
    for _ in range(FAILURES - 1):
        book.fail(train(book, []), "the loss broke")
    with pytest.raises(UserError, match="the loss broke"):
        book.fail(train(book, []), "the loss broke")
    assert book.finished == FAILURES
    assert not book.running


def test_a_space_that_breaks_is_written_down_as_a_failure() -> None:
    def broken(trial: BaseTrial, task: Any) -> Config:
        if trial.suggest_int("n", 0, 3) >= 0 and trial.number == 0:
            raise ZeroDivisionError("oops")
        return space(trial, task)

    book = ledger(replace(STUDY, space=broken))
    asked = book.ask()
    assert asked is not None
    assert asked.number == 1
    assert told(book, 0).state is TrialState.FAIL
    assert "ZeroDivisionError while building the trial: oops" in told(book, 0).user_attrs["failed"]


def test_the_number_of_trials_is_kept_exactly_however_many_run_at_once() -> None:
    book = ledger()
    numbers = [train(book, [30.0]) for _ in range(3)]
    book.finish(numbers[0])
    train(book, [30.0])
    train(book, [30.0])
    assert book.ask() is None  # one finished, four in training
    book.fail(numbers[1], "x")
    assert book.ask() is None
    assert len(book.optuna_study.trials) == 5


def test_refused_samples_are_recorded_cost_nothing_and_do_not_count() -> None:
    dear = cost(Arch(points=21, width=0.3, stride=32, size=64, head="direct"))
    study = replace(STUDY, bounds={"gflops": dear.flops / 1e9}, trials=30, sampler=lambda s: RandomSampler(seed=s))
    book = ledger(study)
    for _ in range(30):
        book.finish(train(book, [1.0]))
    assert book.ask() is None
    refused = [trial for trial in book.optuna_study.trials if "refused" in trial.user_attrs]
    kept = [trial for trial in book.optuna_study.trials if "refused" not in trial.user_attrs]
    assert len(kept) == 30
    assert refused
    for trial in refused:
        assert trial.state is TrialState.PRUNED
        assert not trial.intermediate_values
        assert trial.user_attrs["gflops"] > dear.flops / 1e9
        assert trial.constraints["FLOPs"] > 0
        assert trial.user_attrs["refused"].startswith("FLOPs")
    assert all(trial.user_attrs["gflops"] <= dear.flops / 1e9 for trial in kept)
    assert all(trial.constraints["FLOPs"] <= 0 for trial in kept)


def test_bounds_that_nothing_meets_end_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.run.state.ledger.REFUSALS", 5)
    with pytest.raises(UserError, match="5 samples in a row were refused, the last for Params"):
        ledger(replace(STUDY, bounds={"params_m": 1e-6})).ask()


def test_starting_trials_come_first_and_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    named = {"size": 64, "width": 0.2, "lr": 1e-3}
    study = replace(STUDY, starts={"published": named})
    first = ledger(study, url).ask()
    assert first is not None
    assert first.params == named
    again = ledger(study, url)
    assert [trial.user_attrs.get("name") for trial in again.optuna_study.trials] == ["published"]


def test_interrupted_trials_go_on_as_themselves(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    dead = ledger(STUDY, url)
    dead.finish(train(dead, [9, 9, 9, 9]))
    lost, seed = train(dead, [40, 30]), told(dead, 1).user_attrs["seed"]
    dead.optuna_study.ask()  # killed before its parameters were sampled

    book = ledger(STUDY, url)
    assert book.adopt() == 2
    assert {trial.state for trial in book.optuna_study.trials} == {TrialState.COMPLETE, TrialState.WAITING}
    asked = book.ask()
    assert asked is not None
    assert (asked.number, asked.seed, asked.last) == (lost, seed, row(2, 30))
    book.report(lost, row(2, 31))  # handed over again: what was reported stays
    book.report(lost, row(3, 20))
    assert told(book, lost).intermediate_values == pytest.approx(
        {e: value(told(book, lost), x) for e, x in [(1, 40), (2, 30), (3, 20)]}
    )
    unsampled = book.ask()
    assert unsampled is not None
    assert unsampled.number == 2
    assert set(unsampled.params) == {"size", "width", "lr"}
    assert book.release() == 2
    assert [trial.state.name for trial in book.optuna_study.trials] == ["COMPLETE", "WAITING", "WAITING"]


def test_a_resumed_search_samples_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    """A sampler kept alive from its seed would hand out its first suggestions again."""
    study = replace(STUDY, trials=16)

    def searched(url: str, cuts: tuple[int, ...]) -> list[dict[str, Any]]:
        book = ledger(study, url)
        for index in range(16):
            if index in cuts:
                assert book.ask() is not None
                book = ledger(study, url)
                book.adopt()
            asked = book.ask()
            assert asked is not None
            book.report(asked.number, row(1, 10 * asked.params["width"] + abs(math.log(asked.params["lr"] / 1e-2))))
            book.finish(asked.number)
        return [trial.params for trial in book.optuna_study.trials]

    whole = searched(f"sqlite:///{tmp_path}/a.db", ())
    assert searched(f"sqlite:///{tmp_path}/b.db", (3, 12)) == whole
    assert len({str(params) for params in whole}) == 16


@pytest.mark.parametrize("past", [3, 14])
@pytest.mark.parametrize("sampled", [0, 1, 2])
def test_a_trial_killed_while_it_was_sampled_gets_what_it_would_have_got(
    tmp_path: Path, sampled: int, past: int
) -> None:
    study = replace(STUDY, trials=20)

    def dying(trial: BaseTrial, task: Any) -> Config:
        if trial.number == past:
            for name in ("size", "width")[:sampled]:
                if name == "size":
                    trial.suggest_categorical("size", [32, 64])
                else:
                    trial.suggest_float("width", 0.1, 0.5, step=0.1)
            raise KeyboardInterrupt
        return space(trial, task)

    params = []
    for spaces, url in ((space,), f"sqlite:///{tmp_path}/a.db"), ((dying, space), f"sqlite:///{tmp_path}/b.db"):
        for chosen in spaces:
            book = ledger(replace(study, space=chosen), url)
            book.adopt()
            try:
                while len(book.optuna_study.get_trials(deepcopy=False)) <= past or (
                    chosen is space and book.finished <= past
                ):
                    asked = book.ask()
                    assert asked is not None
                    book.report(asked.number, row(1, 10 * asked.params["width"]))
                    book.finish(asked.number)
            except KeyboardInterrupt:
                pass
        params.append([trial.params for trial in book.optuna_study.trials])
    assert params[0] == params[1]
    assert len(params[0]) == past + 1


def test_the_storage_says_how_it_was_searched_last(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    how = {"trials": 5, "epochs": 4, "scheduler": "asha", "grace": 1, "reduction": 3, "seed": 0}
    assert ledger(STUDY, url).optuna_study.user_attrs["search"] == how
    assert ledger(replace(STUDY, trials=9), url).optuna_study.user_attrs["search"] == {**how, "trials": 9}


def test_who_would_be_among_the_best() -> None:
    book = ledger(replace(STUDY, trials=9, sampler=lambda _: RandomSampler(seed=3)))
    for error in (30.0, 10.0):
        book.finish(train(book, [error]))
    number = train(book, [20.0])
    assert [book.enters(number, count) for count in (1, 2, 3)] == [False, True, True]
    book.report(number, row(2, 40.0))
    assert [book.enters(number, count) for count in (1, 2, 3)] == [False, False, True]


def test_what_a_study_minimises_cannot_change_under_it(tmp_path: Path) -> None:
    from search.objective import ErrorAlone

    url = f"sqlite:///{tmp_path}/s.db"
    ledger(STUDY, url)
    with pytest.raises(UserError, match="minimises"):
        ledger(replace(STUDY, objective=ErrorAlone()), url)
    with pytest.raises(UserError, match="other data"):
        Ledger(STUDY, "book", open_storage(url), data="another folder")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "no database URL"),
        ("sqlite:////nowhere/at/all/s.db", "cannot be opened"),
        ("postgresql+nosuchdriver://h/d", "--storage"),
    ],
)
def test_storages_that_cannot_be(url: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        open_storage(url)


def test_the_best_few_are_those_of_least_value() -> None:
    book = ledger(replace(STUDY, trials=9))
    errors = [30.0, 10.0, 20.0, 5.0]
    for error in errors:
        book.finish(train(book, [error]))
    book.stop(train(book, [1.0]))
    assert book.best(2) == [3, 1]


def test_a_timed_reading_is_taken_undisturbed_once_and_only_of_what_may_be_trained(tmp_path: Path) -> None:
    quiet: list[str] = []
    measured: list[float] = []
    admitted: list[int] = []

    @contextmanager
    def undisturbed() -> Iterator[None]:
        quiet.append("begin")
        yield
        quiet.append("end")

    def clock(arch: Any) -> float:
        assert quiet[-1] == "begin"
        measured.append(arch.width)
        return 10 * arch.width

    def opened() -> Ledger:
        book = ledger(study, f"sqlite:///{tmp_path}/s.db")
        book.undisturbed = undisturbed
        book.on_admission = lambda number, _: admitted.append(number)
        return book

    latency = Reading("latency_ms", "Latency", "ms", clock, timed=True)
    dear = {"size": 64, "width": 0.5, "lr": 1e-3}
    starts = {"dear": dear, "slow": {**dear, "width": 0.4}, "fast": {**dear, "width": 0.1}}
    bounds = {"gflops": cost(Arch(21, 0.4, 32, 64, "direct")).flops / 1e9, "latency_ms": 3.5}
    study = replace(STUDY, starts=starts, readings=(PARAMS, FLOPS, latency), bounds=bounds)
    book = opened()
    asked = book.ask()
    assert asked is not None
    assert (asked.number, admitted) == (2, [2])
    assert measured == [0.4, 0.1]
    assert quiet == ["begin", "end"] * 2
    dear_, slow, fast = book.optuna_study.trials
    assert "latency_ms" not in dear_.user_attrs
    assert slow.user_attrs["refused"] == "Latency 4.000 ms > 3.5 ms"
    assert slow.user_attrs["latency_ms"] == 4
    assert slow.constraints["Latency"] > 0 > fast.constraints["Latency"]
    assert {"params_m", "gflops", "latency_ms"} <= fast.user_attrs.keys()
    again = opened()
    again.adopt()
    assert again.ask().number == 2  # type: ignore[union-attr]
    assert measured == [0.4, 0.1]
