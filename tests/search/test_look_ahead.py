"""Look-ahead and gate: against curves whose truth is known, hand counts, and searches that were killed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from models.readings import Reading
from search.forecast import forecast, of_any
from search.gate import Gate
from search.objective import CourseScore
from search.results.leaderboard import entry
from search.run.cluster.scheduler import Past, ResumableScheduler
from search.run.state.admission import too_dear
from search.run.state.ledger import ROW, Ledger
from search.schedulers import Asha, LookAhead, Scheduler, record, recorded
from search.study import Config, Study, Training
from tests.search.test_cli import TINY, said
from tests.without_ray import engine

EPOCHS = 9
READINGS = (
    Reading("params_m", "Params", "M", lambda arch: arch.width),  # type: ignore[attr-defined]
    Reading("gflops", "FLOPs", "G", lambda _: 1.0),
)


@dataclass(frozen=True)
class Width:
    """All of an architecture that is asked for here."""

    width: float


def space(trial: Any, _: Any) -> Config:
    arch = Width(trial.suggest_float("width", 0.01, 10.0, log=True))
    return Config(arch, Training(lr=trial.suggest_float("lr", 1e-4, 1.0, log=True)), None)  # type: ignore[arg-type]


def study(scheduler: Scheduler = LookAhead(), gate: Gate | None = None, **others: Any) -> Study:  # noqa: B008
    task: Any = SimpleNamespace(metric="pixel_diff", unit="px")
    return Study(
        task,
        space,
        trials=60,
        epochs=EPOCHS,
        readings=READINGS,
        sampler=lambda seed: RandomSampler(seed=seed),
        scheduler=scheduler,
        gate=gate,
        **others,
    )


def curve(width: float, number: int) -> list[float]:
    """A power law: larger networks end lower, and each has luck of its own."""
    rng = np.random.default_rng(number)
    last, slope = 8 * width**-0.05 * math.exp(0.2 * rng.normal()), rng.uniform(0.2, 0.6)
    return [last * (epoch / EPOCHS) ** -slope for epoch in range(1, EPOCHS + 1)]


class Search:
    """A search by one worker, epoch by epoch, that can be killed."""

    def __init__(self, study: Study, storage: BaseStorage) -> None:
        self.study, self.storage = study, storage
        self.begin()

    def begin(self) -> None:
        """What a process knows when it begins: nothing but the storage."""
        self.ledger = Ledger(self.study, "search", self.storage)
        self.ledger.adopt()
        self.scheduler = ResumableScheduler(self.ledger)

    def trial(self, dies_after: int = 0) -> bool:
        """One trial to its end, or until the process dies after so many epochs; whether it lived."""
        asked = self.ledger.ask()
        assert asked is not None
        number = asked.number
        ray: Any = Past(f"ray-{number}", {"trial": {"number": number, "epochs": EPOCHS}})
        self.scheduler.on_trial_add(None, ray)
        errors = curve(asked.params["width"], number)
        for epoch in range(int(asked.last["epoch"]) if asked.last else 1, EPOCHS + 1):
            row = {**dict.fromkeys(ROW, 0.0), "epoch": epoch, "error": errors[epoch - 1]}
            decision = self.scheduler.on_trial_result(None, ray, dict(row))
            self.ledger.report(number, row)
            if epoch == dies_after:
                return False
            if epoch == EPOCHS or decision == "STOP":
                self.scheduler.on_trial_complete(None, ray, dict(row))
                self.ledger.finish(number) if epoch == EPOCHS else self.ledger.stop(number)
                return True
        raise AssertionError

    def trials(self) -> Sequence[FrozenTrial]:
        return self.ledger.optuna_study.get_trials(deepcopy=False)


def run(study: Study, count: int, deaths: Sequence[int] = ()) -> Search:
    """`count` trials; each of `deaths` is after how many epochs of its trial the process dies once."""
    search, left = Search(study, InMemoryStorage()), list(deaths)
    for _ in range(count):
        while not search.trial(left.pop(0) if left else 0):
            search.begin()
    return search


def ends(search: Search) -> list[tuple[Any, ...]]:
    return [(t.state, len(t.user_attrs["curve"]), t.user_attrs.get("stopped"), t.params) for t in search.trials()]


@pytest.mark.parametrize("count", [4, 8, 40])
def test_one_in_twenty_that_is_stopped_at_five_percent_would_have_been_below(count: int) -> None:
    """Thousands of trials whose gain is a power of their error with luck on top, as the forecast assumes."""
    rng = np.random.default_rng(count)
    found = []
    for _ in range(2000):
        slope, luck = rng.uniform(-0.3, 0.3), rng.uniform(0.05, 0.3)
        begin = rng.normal(3.0, 0.3, count + 1)
        last = begin - 0.5 + slope * begin + luck * rng.normal(size=count + 1)
        ending = forecast(np.exp(begin[:-1]).tolist(), np.exp(last[:-1]).tolist(), math.exp(begin[-1]))
        found.append(ending.probability_below(math.exp(last[-1])))
    for part in (0.05, 0.5, 0.95):
        assert np.mean(np.array(found) < part) == pytest.approx(part, abs=0.02 + 0.02 * (count < 8))


def test_winners_among_power_laws_are_stopped_about_as_often_as_said() -> None:
    """Each of the epochs 1, 2, 4 and 8 is a look, so that a trial may be stopped at any of them."""
    stopped = won = winners = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        errors = np.exp(rng.normal(2, 0.3, (13, 1)))
        slopes = rng.normal(0.4, 0.1, (13, 1))
        curves = errors * (np.arange(1, EPOCHS + 1) / EPOCHS) ** -slopes
        best, own = curves[:12, -1].min(), curves[12]
        is_winner = own[-1] < best
        winners += is_winner
        for epoch in LookAhead().looks(EPOCHS):
            ending = forecast(curves[:12, epoch - 1].tolist(), curves[:12, -1].tolist(), float(own[epoch - 1]))
            if ending.probability_below(float(best)) < 0.05:
                stopped, won = stopped + 1, won + is_winner
                break
    assert stopped > 230  # nearly all that do not win
    assert won / stopped < 0.05
    assert winners > 10


def test_a_forecast_by_hand() -> None:
    # All halve: ln 2 is what is left to gain, with no doubt about it.
    ending = forecast([8.0, 4.0, 2.0], [4.0, 2.0, 1.0], 6.0)
    assert (ending.middle, ending.scale) == (pytest.approx(math.log(3.0)), pytest.approx(0.0))
    assert (ending.probability_below(3.1), ending.probability_below(2.9)) == pytest.approx((1.0, 0.0), abs=1e-6)
    assert (ending.probability_below(0.0), ending.probability_below(math.inf)) == (0.0, 1.0)
    # Equal errors tell nothing about a slope: mean and spread of the gains, Student's t of two degrees of freedom.
    ending = forecast([8.0] * 3, [4.0, 2.0, 1.0], 8.0)
    assert (ending.middle, ending.freedom) == (pytest.approx(math.log(2.0)), 2)
    assert ending.scale == pytest.approx(math.log(2.0) * math.sqrt(4 / 3))
    ending = of_any([1.0, 2.0, 4.0])
    assert ending.quantile(0.5) == pytest.approx(2.0)
    assert ending.scale == pytest.approx(math.log(2.0) * math.sqrt(4 / 3))


def test_what_is_stopped_says_why_and_would_not_have_been_the_best() -> None:
    search = run(study(), 60)
    stopped = [t for t in search.trials() if "probability" in t.user_attrs.get("stopped", "")]
    others = [t for t in search.trials() if t.state is TrialState.PRUNED and t not in stopped]
    assert len(stopped) > 10
    assert {t.user_attrs["stopped"].partition(" after")[0] for t in others} == {"not among the best 1 in 3"}
    objective = CourseScore()
    missed = 0
    for trial in stopped:
        before = [t.value for t in search.trials()[: trial.number] if t.state is TrialState.COMPLETE]
        last = curve(trial.params["width"], trial.number)[-1]
        missed += objective.value({"params_m": trial.params["width"], "gflops": 1.0}, last) < min(before)  # type: ignore[type-var,operator]
        assert entry(trial, "pixel_diff").reason == trial.user_attrs["stopped"]
        assert f"{len(before)} finished trials {min(before):.4g}" in trial.user_attrs["stopped"]  # type: ignore[type-var,str-format]
    assert missed <= 2


def test_asha_decides_until_enough_are_finished() -> None:
    first, other = run(study(LookAhead(enough=60)), 40), run(study(Asha()), 40)
    assert [end[:2] for end in ends(first)] == [end[:2] for end in ends(other)]


def test_it_looks_after_grace_times_powers_of_two_and_stops_what_asha_stops() -> None:
    assert LookAhead(grace=3).looks(40) == (3, 6, 12, 24)
    assert LookAhead(grace=3).rungs(40) == (3, 6, 9, 12, 24, 27)
    for scheduler, rungs in ((LookAhead(), {1, 2, 3, 4, 8}), (LookAhead(asha=False), {1, 2, 4, 8})):
        found = run(study(scheduler), 60).trials()
        begun = sorted(t.datetime_complete for t in found if t.state is TrialState.COMPLETE)[3]  # type: ignore[type-var]
        late = [t for t in found if t.state is TrialState.PRUNED and t.datetime_complete > begun]  # type: ignore[operator]
        assert {len(t.user_attrs["curve"]) for t in late} <= rungs
        assert any("best 1 in" in t.user_attrs["stopped"] for t in late) == scheduler.asha


@pytest.mark.parametrize("gate", [None, Gate()])
def test_a_killed_look_ahead_search_stops_what_an_uninterrupted_one_stops(gate: Gate | None) -> None:
    deaths = np.random.default_rng(0).integers(0, 4, 60).tolist()
    whole, killed = run(study(gate=gate), 30), run(study(gate=gate), 30, deaths)

    def trained(search: Search) -> list[Any]:
        return [
            t.user_attrs.get("refused") or (len(t.user_attrs["curve"]), t.user_attrs.get("stopped"))
            for t in search.trials()
        ]

    assert trained(killed) == trained(whole)


def test_the_scheduler_is_read_from_a_study() -> None:
    chosen = LookAhead(grace=2, reduction=4, probability=0.125, enough=5)
    assert recorded(record(chosen)) == chosen
    assert recorded({"scheduler": "look-ahead"}) == LookAhead()
    assert recorded(record(Asha(2, 4))) == Asha(2, 4)
    for wrong in ({"probability": 0.0}, {"probability": 1.0}, {"enough": 2}, {"grace": 0}):
        with pytest.raises(ValueError, match="must be"):
            LookAhead(**wrong)  # type: ignore[arg-type]


def test_the_floor_is_below_all_that_was_seen_and_about_the_quantile() -> None:
    rng = np.random.default_rng(0)
    floors, below = [], 0
    for _ in range(400):
        errors = np.exp(rng.normal(2, 0.3, 21))
        floor = Gate(quantile=0.01).floor(errors[:20].tolist())
        assert floor <= errors[:20].min()
        below += errors[20] < floor
        floors.append(floor)
    assert below <= 10  # one in a hundred
    assert np.median(floors) == pytest.approx(math.exp(2 - 0.3 * 2.33), rel=0.15)


def test_the_gate_refuses_what_cannot_win_and_tries_one_in_ten() -> None:
    search = run(study(Asha(), Gate()), 60)
    trials = search.trials()
    refused = [t for t in trials if t.user_attrs.get("refused")]
    tried = [t for t in trials if t.user_attrs.get("gate")]
    assert len(refused) > 10
    assert tried
    assert {t.number % 10 for t in tried} == {0}
    assert not {t.number % 10 for t in refused} & {0}
    assert search.ledger.finished == 60 == len(trials) - len(refused)
    for trial in refused:
        assert (trial.state, "curve" in trial.user_attrs) == (TrialState.PRUNED, False)
        assert "the smallest error to be expected is" in trial.user_attrs["refused"]
    best = min(t.value for t in trials if t.state is TrialState.COMPLETE)  # type: ignore[type-var]
    for trial in refused:  # what it would have had
        last = curve(trial.params["width"], trial.number)[-1]
        assert math.log(trial.params["width"]) + last > best  # type: ignore[operator]


def test_the_gate_by_hand() -> None:
    book, gate = study(), Gate(enough=3)
    finished = [({"params_m": 1.0, "gflops": 1.0}, error) for error in (6.0, 7.0, 8.0)]
    floor = gate.floor([6.0, 7.0, 8.0])
    # The best has ln(1) + 6; a network of e^x million parameters must end below 6 - x.
    near, far = 6.0 - floor - 0.01, 6.0 - floor + 0.01
    assert too_dear(book, gate, {"params_m": math.exp(near), "gflops": 1.0}, finished) == ""
    assert f"expected is {floor:.4g} px" in too_dear(book, gate, {"params_m": math.exp(far), "gflops": 1.0}, finished)
    assert too_dear(book, gate, {"params_m": 1e9, "gflops": 1.0}, finished[:2]) == ""
    # One that is tried and ends lower makes the floor fall.
    assert gate.floor([6.0, 7.0, 8.0, floor - 1]) <= floor - 1
    for wrong in ({"quantile": 0.0}, {"anyway": 1}, {"enough": 2}):
        with pytest.raises(ValueError, match="must be"):
            Gate(**wrong)  # type: ignore[arg-type]


def test_a_named_trial_passes_the_gate() -> None:
    dear = {"width": 10.0, "lr": 0.1}
    search = run(study(gate=Gate()), 30)
    search.study = study(gate=Gate(), starts={"mine": dear})
    search.begin()
    assert search.trial()
    found = next(t for t in search.trials() if t.user_attrs.get("name") == "mine")
    assert found.user_attrs["curve"]


def test_it_says_why_it_stopped_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_LOOK_AHEAD", "1")
    monkeypatch.setattr("search.run.engine.search", engine())
    said("search", TINY, "--out", tmp_path, "--trials", 20)
    storage = f"sqlite:///{tmp_path}/tiny_study/study.db"
    trials = optuna.load_study(study_name="tiny_study", storage=storage).get_trials(deepcopy=False)
    assert len(trials) == 20
    stopped = [trial for trial in trials if trial.state is TrialState.PRUNED]
    assert all(trial.user_attrs["stopped"] for trial in stopped)
    unlikely = [trial for trial in stopped if "probability" in trial.user_attrs["stopped"]]
    assert unlikely
    for trial in unlikely:
        probability, reason = trial.user_attrs["stopped"].split(maxsplit=1)
        assert float(probability) < 0.5
        count = int(reason.rpartition("the best of ")[2].split()[0])
        ended = [other for other in trials if other.state is TrialState.COMPLETE]
        before = [other for other in ended if other.datetime_complete <= trial.datetime_complete]
        assert 3 <= count <= len(before)
