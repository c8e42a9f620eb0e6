"""The scheduler of a resumed search against one that never stopped, and against ASHA worked out by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import ASHAScheduler

from search.run.cluster.scheduler import Past, ResumableScheduler
from search.run.state.ledger import ROW
from search.schedulers import Hyperband, recorded

EPOCHS = 9


class Book:
    """A ledger that holds values alone."""

    def __init__(self, scheduler: str, past: list[tuple[int, int, dict[int, float]]]) -> None:
        self.study: Any = SimpleNamespace(scheduler=recorded({"scheduler": scheduler}))
        self.curves: dict[int, list[dict[str, float]]] = {}
        self._past = past

    @property
    def ranking(self) -> Any:
        return self

    def past(self) -> list[tuple[int, int, dict[int, float]]]:
        return self._past

    def aim(self, number: int, row: dict[str, float]) -> float:
        del number
        return row["error"]


def trial(number: int, epochs: int = EPOCHS) -> Any:
    return Past(f"ray-{number}", {"trial": {"number": number, "epochs": epochs}})


def row(epoch: int, value: float) -> dict[str, float]:
    return dict.fromkeys(ROW, 0.0) | {"epoch": epoch, "error": value}


def run(rungs: ResumableScheduler, book: Book, number: int, values: list[float]) -> int:
    """Train one trial to its end; how many epochs it had."""
    book.curves[number] = []
    rungs.on_trial_add(None, trial(number))
    for epoch, value in enumerate(values, 1):
        if epoch == EPOCHS:
            break
        if rungs.on_trial_result(None, trial(number), row(epoch, value)) == "STOP":
            rungs.on_trial_complete(None, trial(number), row(epoch, value))
            return epoch
    rungs.on_trial_complete(None, trial(number), row(EPOCHS, values[-1]))
    return EPOCHS


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median", "none"])
@pytest.mark.parametrize("cut", [1, 5, 17])
def test_a_resumed_search_stops_what_an_uninterrupted_one_stops(scheduler: str, cut: int) -> None:
    random = np.random.default_rng(cut)
    curves = [sorted((random.random(EPOCHS) * 10).tolist(), reverse=True) for _ in range(40)]
    whole = Book(scheduler, [])
    rungs = ResumableScheduler(whole)  # type: ignore[arg-type]
    lived = [run(rungs, whole, number, curve) for number, curve in enumerate(curves)]

    past = [(number, EPOCHS, dict(enumerate(curves[number][: lived[number]], 1))) for number in range(cut)]
    resumed = Book(scheduler, past)
    rungs = ResumableScheduler(resumed)  # type: ignore[arg-type]
    again = [run(rungs, resumed, number, curves[number]) for number in range(cut, len(curves))]
    assert again == lived[cut:]
    assert (min(lived) < EPOCHS) == (scheduler != "none")


def test_asha_worked_out_by_hand() -> None:
    book = Book("asha", [])
    rungs = ResumableScheduler(book)  # type: ignore[arg-type]
    # Rungs at 1 and 3. The first trial meets none; later ones stop unless in the best third of those before.
    assert run(rungs, book, 0, [5.0] * EPOCHS) == EPOCHS
    assert run(rungs, book, 1, [6.0] * EPOCHS) == 1
    assert run(rungs, book, 2, [4.0, 4.0, 7.0, *[1.0] * 6]) == 3
    assert run(rungs, book, 3, [3.0] * EPOCHS) == EPOCHS


def test_an_interrupted_trial_is_judged_on_its_last_epoch_again() -> None:
    past = [(number, EPOCHS, {1: 1.0}) for number in range(3)]
    book = Book("asha", past)
    rungs = ResumableScheduler(book)  # type: ignore[arg-type]
    book.curves[3] = [row(1, 9.0)]
    rungs.on_trial_add(None, trial(3))
    assert rungs.on_trial_result(None, trial(3), row(1, 9.0)) == "STOP"


def test_lengths_are_not_mixed() -> None:
    book = Book("asha", [(number, 3, {1: 0.1, 2: 0.1, 3: 0.1}) for number in range(9)])
    rungs = ResumableScheduler(book)  # type: ignore[arg-type]
    assert run(rungs, book, 9, [5.0] * EPOCHS) == EPOCHS


def test_a_worker_that_died_does_not_enter_its_curve_twice() -> None:
    book = Book("median", [])
    rungs = ResumableScheduler(book)  # type: ignore[arg-type]
    book.curves[0] = [row(1, 1.0), row(2, 1.0)]
    rungs.on_trial_add(None, trial(0))
    inner = next(iter(rungs._inner.values()))
    entered = sum(len(results) for results in inner._results.values())
    rungs.on_trial_add(None, trial(0))
    assert sum(len(results) for results in inner._results.values()) == entered == 1


def test_brackets_are_shared_out_as_hyperband_does() -> None:
    found = np.bincount([Hyperband().bracket(number, 27) for number in range(5000)]) / 5000
    # Li et al. 2018, table 1 for R = 27, eta = 3: 27, 12, 6 and 4 configurations.
    assert found == pytest.approx(np.array([27, 12, 6, 4]) / 49, abs=0.01)
    assert Hyperband().bracket(3, 1) == 0


def test_what_a_past_trial_counts_for_is_what_rays_own_scheduler_counts() -> None:
    values = {0: [3.0, 2.0, 1.0, 0.5], 1: [4.0], 2: [2.5, 2.4, 2.3]}
    ours = ResumableScheduler(Book("asha", [(n, EPOCHS, dict(enumerate(v, 1))) for n, v in values.items()]))  # type: ignore[arg-type]
    rays = ASHAScheduler("epoch", "value", "min", EPOCHS, 1, 3)
    for number, curve in values.items():
        live = trial(number)
        rays.on_trial_add(None, live)  # type: ignore[arg-type]
        for epoch, value in enumerate(curve, 1):
            rays.on_trial_result(None, live, {"epoch": epoch, "value": value})  # type: ignore[arg-type]
    kept = [sorted(entered.values()) for _, entered in next(iter(ours._inner.values()))._brackets[0]._rungs]
    assert kept == [sorted(entered.values()) for _, entered in rays._brackets[0]._rungs]
