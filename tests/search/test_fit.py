"""Training by itself: it learns, it can be cut anywhere, and it says when it cannot go on."""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from optuna.trial import FixedTrial
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.multistep_lr import MultiStepLRScheduler

from search.config_record import digest, record
from search.load import load_study
from search.results import answers
from search.run.settings import ROW, TrialAssignment, WorkerSettings
from search.run.training import checkpoint as weights
from search.run.training.fit import DivergedError, Epoch, fit, judge
from search.run.training.home import ROOMS, Away, Home, Keeper, SupersededError
from search.run.training.learning_rate import schedule
from search.run.training.worker import work
from search.study import Config, Study, Training

CPU = torch.device("cpu")
STUDY_FILE = Path(__file__).parent.parent / "tiny_study.py"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEFRONT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("TINY_TROUBLE", "none")
        torch.set_num_threads(1)
        yield load_study(str(STUDY_FILE))


def config(study: Study, trouble: str = "none", **changes: Any) -> Config:
    made = study.space(FixedTrial({"width": 0.2, "size": 32, "trouble": trouble, "lr": 3e-3}), study.task)
    return replace(made, training=replace(made.training, **changes))


def epochs(study: Study, made: Config, count: int = 3, **options: Any) -> list[Epoch]:
    return [reached.epoch for reached in fit(study.task, made, epochs=count, seed=1, device=CPU, **options)]


def told(run: list[Epoch]) -> list[tuple[float, ...]]:
    return [(e.epoch, e.error, e.train_loss, e.valid_loss, e.lr) for e in run]


def test_it_learns(study: Study) -> None:
    run = epochs(study, config(study, ema=0.0, batch=16), 60)
    assert 224 * run[-1].train_loss < 0.6 * study.task.baseline()
    assert run[-1].error < run[0].error
    assert run[-1].memory_mb > 50
    assert {epoch.images for epoch in run} == {len(study.task.split(32).train.rows) // 32 * 32}


def test_the_same_seed_gives_the_same_trial_and_another_seed_another(study: Study) -> None:
    first, again = epochs(study, config(study)), epochs(study, config(study))
    assert told(first) == told(again)
    other = [reached.epoch for reached in fit(study.task, config(study), epochs=3, seed=2, device=CPU)]
    assert told(other) != told(first)


@pytest.mark.parametrize(
    "how",
    [
        {"optimizer": "adamw"},
        {"optimizer": "sgd"},
        {"optimizer": "adam", "schedule": "step", "milestones": (0.5, 0.8), "betas": (0.8, 0.99)},
        {"optimizer": "adamw", "schedule": "onecycle"},
        {"optimizer": "sgd", "schedule": "onecycle"},
    ],
    ids=["adamw", "sgd", "step", "onecycle", "onecycle sgd"],
)
def test_training_continued_from_disk_is_training_in_one_go(study: Study, tmp_path: Path, how: dict[str, Any]) -> None:
    made = config(study, warmup=1.5, clip=1.0, **how)
    whole = epochs(study, made, 5)
    file = tmp_path / "s.pt"
    for reached in fit(study.task, made, epochs=5, seed=1, device=CPU):
        weights.save(reached.take(), file)
        if weights.load(file)["epoch"] == 2:  # type: ignore[index]
            break
    torch.manual_seed(99)
    assert told(epochs(study, made, 5, state=weights.load(file))) == told(whole)[2:]


def test_the_error_is_judged_in_the_frame_whatever_the_input(study: Study) -> None:
    split = study.task.split(32)
    middle = np.full_like(split.valid.targets, 0.5)
    by_hand = np.mean([[np.hypot(*((p - 0.5) * 224)) for p in hand] for hand in split.valid.targets.astype(float)])
    assert study.task.error(middle, split.valid) == pytest.approx(by_hand)
    assert np.array_equal(study.task.split(224).valid.targets, split.valid.targets)


def test_the_learning_rate_is_warmed_up_and_ends_where_it_should(study: Study) -> None:
    run = epochs(study, config(study, warmup=2, lr_end=0.1), 12)
    seen = [epoch.lr for epoch in run]
    assert seen[0] < seen[1] < 3e-3
    assert max(seen) == pytest.approx(3e-3, rel=0.05)
    assert seen[2:] == sorted(seen[2:], reverse=True)
    assert seen[-1] == pytest.approx(3e-4, rel=0.3)


def rates(training: Training, steps: int, epochs: int) -> list[float]:
    """What a schedule sets before each step."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=training.lr)
    reach = schedule(optimizer, training, steps, epochs)
    found = []
    for step in range(steps * epochs):
        reach(step)
        optimizer.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_schedules_are_torchs_own() -> None:
    """Steps against torch's MultiStepLR, one cycle against its OneCycleLR, 5 steps an epoch."""
    steps, epochs = 5, 21
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    falling = torch.optim.lr_scheduler.MultiStepLR(optimizer, [17 * steps, 20 * steps], 0.1)
    wanted = []
    for _ in range(steps * epochs):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        falling.step()
    plain = Training(0.5, schedule="step", milestones=(17 / 21, 20 / 21))
    assert rates(plain, steps, epochs) == pytest.approx(wanted)
    warm = rates(replace(plain, warmup=2.0, warmup_from=0.001), steps, epochs)
    assert warm[0] == pytest.approx(0.5 * 0.001)
    assert np.diff(warm[:11]) == pytest.approx([0.5 * 0.999 / 10] * 10)
    assert warm[10:] == pytest.approx(wanted[10:])

    cycle = rates(Training(0.5, schedule="onecycle", lr_end=0.01, warmup=6.3), steps, epochs)
    assert cycle[0] == pytest.approx(0.5 / 25)
    assert max(cycle) == pytest.approx(0.5, rel=0.01)
    assert cycle.index(max(cycle)) in (31, 32)
    assert cycle[-1] == pytest.approx(0.005, rel=0.05)
    assert rates(Training(0.5, schedule="constant"), steps, epochs) == [0.5] * 105


@pytest.mark.parametrize("warmup", [0.0, 1.0, 2.5, 30.0])
@pytest.mark.parametrize("end", [0.0, 0.01, 1.0])
def test_rates_are_timms_to_the_last_bit(warmup: float, end: float) -> None:
    steps, epochs = 7, 9
    for lr in (3e-3, 0.5, 7.3e-4):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
        rises = min(round(warmup * steps), steps * epochs - 1)
        common = {"warmup_t": rises, "warmup_lr_init": lr * 0.01, "t_in_epochs": False}
        length = steps * epochs - rises
        cosine = CosineLRScheduler(optimizer, t_initial=length, lr_min=lr * end, warmup_prefix=True, **common)
        wanted = [cosine._get_lr(step)[0] for step in range(steps * epochs)]
        assert rates(Training(lr, warmup=warmup, lr_end=end), steps, epochs) == wanted
        falls = [round(0.3 * steps * epochs) + 1, round(0.6 * steps * epochs) + 1]  # timm is a step early
        down = MultiStepLRScheduler(optimizer, decay_t=falls, decay_rate=0.1, warmup_prefix=False, **common)
        wanted = [down._get_lr(step)[0] for step in range(steps * epochs)]
        assert rates(Training(lr, schedule="step", milestones=(0.3, 0.6), warmup=warmup), steps, epochs) == wanted


def test_one_cycle_can_begin_anywhere() -> None:
    training = Training(0.5, schedule="onecycle")
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule(optimizer, training, 5, 20)(43)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(rates(training, 5, 20)[43])


@pytest.mark.parametrize("batch", [2, 31, 63, 5000])
def test_no_batch_of_one_ever_meets_batchnorm(study: Study, batch: int) -> None:
    count = len(study.task.split(32).train.rows)
    run = epochs(study, config(study, batch=batch), 1)
    assert run[0].images == (count // batch * batch or count)


def test_a_learning_rate_that_diverges_is_said_so(study: Study) -> None:
    with pytest.raises(DivergedError, match="learning rate 1e\\+30"):
        epochs(study, config(study, lr=1e30), 6)


def job(tmp_path: Path) -> WorkerSettings:
    return WorkerSettings(str(STUDY_FILE), None, str(tmp_path), 1)


def assignment(trouble: str, last: dict[str, float] | None = None) -> TrialAssignment:
    made = record(config(load_study(str(STUDY_FILE)), trouble))
    return TrialAssignment(7, {}, made, {"study": "a", "trial": 7, "config": digest(made)}, 1, 3, last)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("nan", "diverged: the loss became nan in epoch 1"),
        ("memory", "out of memory: a batch of 32 at 32 px is too much for cpu"),
        ("crash", "RuntimeError: the loss broke"),
    ],
)
@pytest.mark.usefixtures("study")
def test_a_trial_that_cannot_go_on_gives_a_reason_instead_of_ending_its_worker(
    tmp_path: Path, trouble: str, reason: str
) -> None:
    results = list(work(job(tmp_path), assignment(trouble), CPU))
    assert len(results) == 1
    assert results[0]["failed"].startswith(reason)


@pytest.mark.usefixtures("study")
def test_rows_are_what_the_ledger_keeps(tmp_path: Path) -> None:
    rows = list(work(job(tmp_path), assignment("none"), CPU))
    assert [tuple(row) for row in rows] == [ROW] * 3


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("reported", [0, 1, 2, 3])
def test_a_worker_killed_after_any_epoch_hands_over_every_row_once_more_at_most(tmp_path: Path, reported: int) -> None:
    whole = list(work(job(tmp_path / "a"), assignment("none"), CPU))
    started = work(job(tmp_path / "b"), assignment("none"), CPU)
    # The state of epoch `reported` + 1 is on disk, its row was never told.
    for _ in range(min(reported + 1, 3)):
        next(started)
    last = whole[reported - 1] if reported else None
    rest = list(work(job(tmp_path / "b"), assignment("none", last), CPU))
    timed = ("seconds", "train_seconds", "memory_mb")
    expected = whole[max(0, reported - 1) :]
    assert [{k: v for k, v in row.items() if k not in timed} for row in rest] == [
        {k: v for k, v in row.items() if k not in timed} for row in expected
    ]


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("is_away", [False, True])
def test_a_worker_that_was_cut_off_writes_nothing_over_the_one_that_goes_on(tmp_path: Path, is_away: bool) -> None:
    folder, keeper = tmp_path / "study", Keeper(str(tmp_path / "study"))

    def begun(last: dict[str, float] | None) -> Iterator[dict[str, float]]:
        home = Away(keeper.begin, keeper.write) if is_away else Home(folder)
        return work(job(folder), assignment("none", last), CPU, home)

    def kept() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for room in ROOMS for file in (folder / room).iterdir()}

    whole = list(work(job(tmp_path / "whole"), assignment("none"), CPU))
    cut_off = begun(None)
    first = next(cut_off)
    others = begun(first)
    assert [row["epoch"] for row in (next(others), next(others))] == [1, 2]
    before = kept()
    with pytest.raises(SupersededError, match=r"has begun 000007\.pt again"):
        next(cut_off)
    assert kept() == before
    assert next(others)["error"] == whole[-1]["error"]
    state = weights.load(weights.path(folder / "weights", 7))
    assert state is not None
    assert state["epoch"] == 3
    # With its trial over, and its state no longer wanted, the ticket goes as well.
    weights.keep_only(folder / "weights", ())
    assert list((folder / "weights").iterdir()) == []


@pytest.mark.usefixtures("study")
def test_a_spoilt_state_is_trained_anew(tmp_path: Path) -> None:
    whole = list(work(job(tmp_path), assignment("none"), CPU))
    file = weights.path(tmp_path / "weights", 7)
    file.write_bytes(file.read_bytes()[:2000])
    assert weights.load(file) is None
    again = list(work(job(tmp_path), assignment("none"), CPU))
    assert [row["error"] for row in again] == [row["error"] for row in whole]


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_judged_weights_give_the_answers_and_the_error_again(study: Study, tmp_path: Path, ema: float) -> None:
    made = config(study, ema=ema)
    valid = study.task.split(32).valid
    *_, last = fit(study.task, made, epochs=2, seed=1, device=CPU)
    weights.save(last.take(), tmp_path / "s.pt")
    assert study.task.error(last.outputs, valid) == last.epoch.error
    torch.save(weights.judged(weights.load(tmp_path / "s.pt")), tmp_path / "w.pt")  # type: ignore[arg-type]
    net = made.arch.build()
    net.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    outputs, loss = judge(study.task, net, made, valid, CPU)
    np.testing.assert_allclose(outputs, last.outputs, atol=1e-5)
    assert loss == pytest.approx(last.epoch.valid_loss, rel=1e-4)


@pytest.mark.usefixtures("study")
def test_every_epoch_leaves_its_answers_before_its_row_is_known(tmp_path: Path) -> None:
    for row in work(job(tmp_path), assignment("none"), CPU):
        found = answers.load(tmp_path, 7)
        assert found is not None
        assert found.epoch == row["epoch"]
        assert np.mean(found.errors) == pytest.approx(row["error"], rel=1e-5)
        assert {answers.picture(tmp_path, example.row).is_file() for example in found.pictured} == {True}


def test_states_hold_tensors_and_numbers_alone_and_few_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        weights.save({"epoch": number, "net": {"w": torch.ones(2)}}, weights.path(tmp_path, number))
    gone, here = (f"000003@{socket.gethostname()}@{process}.half" for process in (999999999, os.getpid()))
    for name in (gone, here, "000003@elsewhere@999999999.half"):
        (tmp_path / name).touch()
    weights.keep_only(tmp_path, {1, 3})
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"000001.pt", "000003.pt", here, "000003@elsewhere@999999999.half"}
    torch.save({"evil": Path}, tmp_path / "000009.pt")
    assert weights.load(tmp_path / "000009.pt") is None
