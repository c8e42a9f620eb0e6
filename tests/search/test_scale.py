"""What a long search costs its driver, counted: trials that are read again, and rows that are made of them."""

import io
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from rich.console import Console

from models.net import Arch
from search.config_record import record
from search.results import network
from search.run.attachments import Attachments
from search.run.live import View
from search.run.state.ledger import ROW, Ledger, open_storage
from search.samplers import KnownCost, known_cost
from search.samplers.error_model import FIT, ROWS
from search.samplers.observations import Encoder
from search.schedulers import NoStopping
from search.study import Study, replay
from tests.search.test_known_cost import READINGS, space, toy


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the trials that were read from a database, as they are."""
    numbers: list[int] = []
    build = RDBStorage._build_frozen_trial_from_trial_model

    def counting(self: RDBStorage, trial: Any) -> FrozenTrial:
        numbers.append(trial.number)
        return build(self, trial)

    monkeypatch.setattr(RDBStorage, "_build_frozen_trial_from_trial_model", counting)
    return numbers


def test_of_many_trials_in_training_those_alone_are_read_again_that_changed(tmp_path: Path, read: list[int]) -> None:
    """Whatever is written, in any order, is seen as another process sees it."""
    url = f"sqlite:///{tmp_path}/study.db"
    studies = [optuna.create_study(study_name=name, storage=open_storage(url)) for name in ("this", "another")]
    study = optuna.load_study(study_name="this", storage=studies[1]._storage)  # one storage, two studies
    other, rng = studies[1], random.Random(0)
    trials = [study.ask() for _ in range(40)]
    aside = other.ask()
    study.get_trials(deepcopy=False)
    for step in range(30):
        read.clear()
        changed = rng.sample(trials, 2)
        for trial in changed:
            for change in rng.sample(range(4), 2):
                if change == 0:
                    trial.set_user_attr("curve", [{"epoch": step, "error": rng.random()}])
                elif change == 1:
                    trial.report(rng.random(), step)
                elif change == 2:
                    trial.suggest_float(f"width {step % 3}", 0.0, 1.0)
                else:
                    trial.set_constraint(f"Params {step}", rng.random())
        aside.report(rng.random(), step)
        trials.remove(changed[0])
        study.tell(changed[0], state=TrialState.PRUNED if step % 2 else TrialState.FAIL)
        trials.append(study.ask())
        seen = study.get_trials(deepcopy=False)
        assert study.get_trials(deepcopy=False) == seen
        assert set(read) <= {*(trial.number for trial in changed), trials[-1].number, aside.number}
        assert len(read) < 12
        if step % 10 == 9:
            assert seen == optuna.load_study(study_name="this", storage=url).get_trials(deepcopy=False)
            assert other.get_trials() == optuna.load_study(study_name="another", storage=url).get_trials()


def test_a_read_that_fails_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=open_storage(url))
    first, second = study.ask(), study.ask()
    study.tell(second, 1.0)
    study.get_trials(deepcopy=False)
    first.set_user_attr("seen", True)
    with monkeypatch.context() as patched:
        patched.setattr(RDBStorage, "_get_trials", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            study.get_trials(deepcopy=False)
    assert study.get_trials(deepcopy=False)[0].user_attrs == {"seen": True}


def test_a_trial_that_was_made_unseen_is_seen_once_there_are_later_ones(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(study_name="book", storage=open_storage(url))
    study.ask()
    assert len(study.get_trials(deepcopy=False)) == 1
    optuna.load_study(study_name="book", storage=url).ask()  # as one whose answer a server's restart has cut
    study._storage.create_new_trial(study._study_id)
    assert [trial.number for trial in study.get_trials(deepcopy=False)] == [0, 1, 2]


def test_a_suggestion_makes_as_many_rows_after_300_trials_as_after_2000(monkeypatch: pytest.MonkeyPatch) -> None:
    """And looks at those that are over once."""
    counted = {"rows": 0, "observed": 0}
    encode, observed = Encoder.__call__, known_cost.observed

    def encoding(self: Encoder, *args: Any) -> list[float]:
        counted["rows"] += 1
        return encode(self, *args)

    def observing(*args: Any) -> Any:
        counted["observed"] += 1
        return observed(*args)

    monkeypatch.setattr(Encoder, "__call__", encoding)
    monkeypatch.setattr(known_cost, "observed", observing)
    study = Study(
        SimpleNamespace(metric="pixel_diff", unit="px"),  # type: ignore[arg-type]
        space,
        trials=10**6,
        epochs=4,
        readings=READINGS,
        sampler=KnownCost(candidates=30),
        scheduler=NoStopping(),
    )
    rng, taken = np.random.default_rng(0), []
    for many in (300, 2000):
        book = Ledger(study, "book", InMemoryStorage())
        for number in range(many):
            width, error = float(rng.uniform(0.1, 1.0)), float(rng.uniform(5, 9))
            params = {"width": width, "optimizer": "adamw", "lr": float(rng.uniform(1e-4, 1.0))}
            config, ranges = replay(study, params)
            curve = [{**dict.fromkeys(ROW, 1.0), "epoch": epoch, "error": error} for epoch in range(1, 5)]
            attrs = {"params_m": width**2, "gflops": width**2, "budget": 4, "curve": curve, "config": record(config)}
            book.optuna_study.add_trial(
                create_trial(value=error + number, params=params, distributions=ranges, user_attrs=attrs)
            )
        for _ in range(3):
            counted["rows"] = counted["observed"] = 0
            assert book.ask() is not None
        taken.append(dict(counted))
    assert [each["observed"] for each in taken] == [2, 2]  # those in training
    assert taken[1]["rows"] < taken[0]["rows"] + 20
    assert taken[1]["rows"] < FIT + ROWS + 100


def test_the_network_of_an_interrupted_trial_is_not_counted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, other = (Arch(points=3, width=width, stride=32, size=32, head="direct", neck=0) for width in (0.1, 0.2))
    attachments = Attachments(None, Path("study.py"), tmp_path)  # type: ignore[arg-type]
    attachments.network(0, small)
    saved: list[int] = []
    save = network.save

    def saving(folder: Path, number: int, arch: Any) -> None:
        saved.append(number)
        save(folder, number, arch)

    monkeypatch.setattr(network, "save", saving)
    attachments.network(0, small)
    assert saved == []
    attachments.network(0, other)
    attachments.network(1, other)
    assert saved == [0, 1]
    recorded = network.load(tmp_path, 0)
    assert recorded is not None
    assert recorded.arch == repr(other)


def test_of_more_trials_than_lines_those_that_fit_are_laid_out() -> None:
    book = Ledger(toy(sampler=lambda seed: RandomSampler(seed=seed)), "book", InMemoryStorage())
    for _ in range(30):
        assert book.ask() is not None
    console = Console(width=100, height=16, file=io.StringIO())
    console.print(View(console, book))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) <= 16
    assert [line.split()[0] for line in lines[1:12]] == [*map(str, range(10)), "..."]
    assert "20 more" in lines[11]
