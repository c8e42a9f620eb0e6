"""A card that is full of other trials: an epoch begins again when there is room; the reason says what was needed."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from search.run.training import worker

CARD = torch.device("cuda")
SAID = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 14.74 GiB of which 1.20 GiB is "
    "free. Process 7 has 9.00 GiB memory in use. If reserved but unallocated memory is large try setting X. See"
)


class Card:
    """A pretended one of 16 GB: what is free at each look, and what this trial held at its peak."""

    def __init__(self, free: list[int], peak: int) -> None:
        self.free, self.peak, self.looks = free, peak, 0

    def look(self, _: Any) -> tuple[int, int]:
        self.looks += 1
        return self.free[min(self.looks, len(self.free)) - 1] * 10**9, 16 * 10**9


class Training:
    """Five epochs, each kept; a step raises where `fails` says so, once for each time that it is in it."""

    def __init__(self, fails: list[int]) -> None:
        self.fails, self.saved, self.trained = list(fails), 0, []

    def __call__(self) -> Iterator[dict[str, Any]]:
        if self.saved:  # as a run that goes on does
            yield {"epoch": self.saved}
        for epoch in range(self.saved + 1, 6):
            self.trained.append(epoch)
            if epoch in self.fails:
                self.fails.remove(epoch)
                raise torch.OutOfMemoryError(SAID)
            self.saved = epoch
            yield {"epoch": epoch}


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    pretended = Card([1, 2, 9], peak=4 * 10**9)
    monkeypatch.setattr(torch.cuda, "mem_get_info", pretended.look)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: pretended.peak)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(worker, "LOOK_S", 0.0)
    return pretended


def epochs(training: Training) -> list[int]:
    return [row["epoch"] for row in worker.again_when_there_is_room(training, CARD)]


def test_an_epoch_begins_again_when_the_others_leave_room(card: Card) -> None:
    training = Training(fails=[3])
    assert epochs(training) == [1, 2, 3, 4, 5]
    assert training.trained == [1, 2, 3, 3, 4, 5]
    assert card.looks == 3  # 5 GB are wanted: 1 and 2 are too few


def test_a_trial_that_needs_the_whole_card_fails_at_once(card: Card) -> None:
    card.peak = 15 * 10**9
    with pytest.raises(torch.OutOfMemoryError):
        epochs(Training(fails=[1]))
    assert card.looks == 1


def test_no_trial_tries_or_waits_for_ever(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    card.free = [9]
    training = Training(fails=[2] * 9)
    with pytest.raises(torch.OutOfMemoryError):
        epochs(training)
    assert training.trained == [1, 2, 2, 2]
    card.free = [1]
    monkeypatch.setattr(worker, "PATIENCE", 0.05)
    with pytest.raises(torch.OutOfMemoryError):
        epochs(Training(fails=[1]))


def test_another_error_is_not_tried_again(card: Card) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield {"epoch": 1}
        raise MemoryError

    with pytest.raises(MemoryError):
        list(worker.again_when_there_is_room(broken, CARD))
    assert card.looks == 0


def test_the_reason_says_what_torch_needed() -> None:
    reason = worker.reason_of(torch.OutOfMemoryError(SAID), None, CARD)
    assert reason.startswith(
        "out of memory: the trial is too much for cuda\nCUDA out of memory. Tried to allocate 2.50 GiB"
    )
    assert reason.endswith("Process 7 has 9.00 GiB memory in use.")
