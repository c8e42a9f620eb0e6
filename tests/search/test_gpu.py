"""Training on a GPU: a recorded step is the step, nothing in an epoch waits for the device, a pack lies on the card."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from data.drawn.hands import DrawnHands
from data.storage import batches
from data.tasks.freihand import FreiHand
from data.transforms.augment import Augment
from models.net import Arch
from search.run.training.fit import Learner, fit
from search.run.training.update import Update, move_mean
from search.study import Config, Training

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(scope="module")
def task() -> FreiHand:
    drawn = FreiHand(drawn=DrawnHands(count=400, difficulty=0.0))
    drawn.prepare()
    return drawn


def config(task: FreiHand, head: str = "heatmap", **training: Any) -> Config:
    arch = Arch(points=task.points, width=0.2, stride=32, size=64, head=head)
    augment = Augment(rotate=30, scale=0.2, shift=0.1, flip=0.5, colour=0.3, erase=0.5)
    return Config(
        arch, Training(**{"lr": 1e-3, "batch": 32, "ema": 0.9, "clip": 1.0, "amp": False, **training}), augment
    )


def losses(task: FreiHand, made: Config, taken: list[Any] | None = None, state: Any = None) -> list[float]:
    """Of four epochs; `taken` gets the state after the second."""
    reached = []
    for each in fit(task, made, epochs=4, seed=3, device=torch.device("cuda"), state=state):
        reached += [each.epoch.train_loss, each.epoch.valid_loss]
        if each.epoch.epoch == 2 and taken is not None:
            file = io.BytesIO()
            torch.save(each.take(), file)
            file.seek(0)
            taken.append(torch.load(file, weights_only=True))
    return reached


HOW: dict[str, dict[str, Any]] = {
    "direct": {"head": "direct"},
    "heatmap": {},
    "simcc, adam": {"head": "simcc", "optimizer": "adam", "schedule": "step", "milestones": (0.5,)},
    "sgd": {"optimizer": "sgd", "lr": 1e-2},
    "lamb": {"optimizer": "lamb"},
    "one cycle": {"schedule": "onecycle"},
    "bfloat16": {"amp": True},
}


@gpu
@pytest.mark.parametrize("how", list(HOW))
def test_a_replayed_training_is_the_training(task: FreiHand, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, taken = config(task, **HOW[how]), []
    replayed = losses(task, made, taken)
    assert losses(task, made, state=taken[0]) == pytest.approx(replayed[4:], rel=1e-3 if how != "bfloat16" else 2e-2)
    assert all(isinstance(group["lr"], float) for group in taken[0]["optimizer"]["param_groups"])
    # step by step, with timm's mean and torch's optimiser as on a CPU, the pack on the host
    monkeypatch.setattr("search.run.training.graph.WARM_UP", 10**9)
    monkeypatch.setattr("search.run.training.update.FUSED", ())
    monkeypatch.setattr("data.storage.batches.SHARE", 0)
    assert losses(task, made) == pytest.approx(replayed, rel=1e-2 if how != "bfloat16" else 5e-2)


@gpu
def test_gradients_of_float16_are_recorded_with_their_scale(task: FreiHand, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a T4, which has no bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda _=True: False)
    made, taken = config(task, amp=True), []
    replayed = losses(task, made, taken)
    assert np.isfinite(replayed).all()
    assert taken[0]["scaler"]["scale"] > 0
    monkeypatch.setattr("search.run.training.graph.WARM_UP", 10**9)
    assert losses(task, made) == pytest.approx(replayed, rel=5e-2)


@gpu
@pytest.mark.parametrize("share", [0.2, 0.0], ids=["pack on the card", "pack on the host"])
@pytest.mark.parametrize("amp", [True, False])
def test_nothing_in_an_epoch_waits_for_the_device(
    task: FreiHand, amp: bool, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.storage.batches.SHARE", share)
    batches._held.clear()
    made = config(task, amp=amp)
    part = task.split(64).train
    learner = Learner(task, made, part, epochs=9, seed=0, device=torch.device("cuda"))
    steps = len(part.rows) // made.training.batch
    learner.train(1, lambda: None)
    assert learner.is_recorded
    done = []

    def after_step() -> None:
        done.append(1)
        if len(done) == steps:  # the mean loss of the epoch may be waited for
            torch.cuda.set_sync_debug_mode(0)

    torch.cuda.set_sync_debug_mode("error")
    try:
        learner.train(2, after_step)
    finally:
        torch.cuda.set_sync_debug_mode(0)
    assert len(done) == steps


@gpu
def test_a_batch_from_the_card_is_the_one_from_the_host(task: FreiHand, monkeypatch: pytest.MonkeyPatch) -> None:
    part, cuda = task.split(64).train, torch.device("cuda")
    batches._held.clear()

    def cut() -> list[tuple[torch.Tensor, torch.Tensor]]:
        order = torch.Generator().manual_seed(1)
        return [
            (images.cpu(), true.cpu())
            for images, true in batches.batches(part.pixels, part.rows, part.targets, 32, cuda, order)
        ]

    on_card = cut()
    assert batches._held
    batches._held.clear()
    monkeypatch.setattr("data.storage.batches.SHARE", 0)
    for (images, true), (wanted, points) in zip(cut(), on_card, strict=True):
        assert torch.equal(images, wanted)
        assert torch.equal(true, points)


def test_the_running_mean_is_timms() -> None:
    from timm.utils.model_ema import ModelEmaV3

    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    mean, ours = ModelEmaV3(net, decay=0.9), ModelEmaV3(net, decay=0.9)
    for _ in range(5):
        net(torch.randn(8, 3, 8, 8))
        with torch.no_grad():
            net[0].weight.mul_(1.1)
        mean.update(net)
        move_mean(ours.module, net, torch.tensor(0.9))
    for wanted, found in zip(mean.module.state_dict().values(), ours.module.state_dict().values(), strict=True):
        assert torch.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_numbers_on_the_device_change_nothing(name: str) -> None:
    """Fused, with a learning rate that is a tensor, against torch's usual; and a state goes from one to the other."""
    training = Training(lr=1e-2, optimizer=name, ema=0.9, warmup=0.5, weight_decay=0.1, clip=0.5)

    def made(fused: bool) -> tuple[nn.Module, Update]:
        torch.manual_seed(0)
        net = nn.Linear(5, 3)
        return net, Update(net, training, 4, 3, None, on_device=fused)

    def go(net: nn.Module, update: Update, steps: range) -> None:
        for step in steps:
            update.clear()
            torch.manual_seed(step)
            net(torch.randn(6, 5)).square().sum().backward()
            update.prepare(step)
            update.apply()

    def same(first: nn.Module, second: nn.Module) -> None:
        for wanted, found in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
            assert torch.allclose(found, wanted, atol=1e-6)

    usual, fused, moved = made(False), made(True), made(True)
    go(*usual, range(6))
    go(*fused, range(6))
    assert fused[1].lr == pytest.approx(usual[1].lr, rel=1e-6)
    same(usual[0], fused[0])
    moved[0].load_state_dict(usual[0].state_dict())
    moved[1].load(copy.deepcopy(usual[1].state()))
    go(*moved, range(6, 12))
    go(*usual, range(6, 12))
    same(usual[0], moved[0])
    same(usual[1].ema.module, moved[1].ema.module)  # type: ignore[union-attr]
