"""Latency and activation memory against a hand count and common sense."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from models.latency import LATENCY
from models.memory import PEAK_ACTIVATION
from models.net import Arch
from models.readings import FLOPS, PARAMS, read


class Skip(nn.Module):
    """The image waits for a sum, unless it is left out."""

    def __init__(self, skip: bool, inplace: bool) -> None:
        super().__init__()
        self.skip = skip
        self.up, self.act, self.down = nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(self.act(self.up(x)))
        return (x + y if self.skip else y).flatten(1)


@dataclass(frozen=True)
class Skipping:
    skip: bool
    inplace: bool
    input_shape: tuple[int, int, int] = (3, 16, 16)

    def build(self) -> Skip:
        return Skip(self.skip, self.inplace)


@pytest.mark.parametrize(
    ("skip", "inplace", "channels"),
    [
        (False, False, 8 + 8),  # the activation, before and after
        (False, True, 3 + 8),  # the image and the maps
        (True, False, 3 + 8 + 8),  # the image waits
        (True, True, 3 + 8 + 3),  # the image waits, maps, output
    ],
)
def test_peak_activation_by_hand(skip: bool, inplace: bool, channels: int) -> None:
    assert PEAK_ACTIVATION.measure(Skipping(skip, inplace)) == channels * 16 * 16 * 4 / 1e6


def test_peak_activation_of_the_family() -> None:
    """At most is alive in the first convolution: the image, and 16 maps at half its resolution."""
    small, large = (Arch(21, 1.0, 32, size, "simcc") for size in (64, 128))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = PEAK_ACTIVATION.measure(small)
    assert torch.equal(torch.rand(1), expected)
    assert PEAK_ACTIVATION.measure(large) == 4 * first
    assert first == (3 * 64 * 64 + 16 * 32 * 32) * 4 / 1e6


def test_latency_grows_with_the_network() -> None:
    assert LATENCY.timed
    assert not PEAK_ACTIVATION.timed
    small, large = Arch(2, 0.1, 32, 32, "direct", depth=0.25), Arch(21, 1.0, 16, 224, "heatmap", separable=False)
    values = [LATENCY.measure(arch) for arch in (small, large)]
    assert 0 < 3 * values[0] < values[1] < 10_000


def test_read_names_its_readings() -> None:
    arch = Arch(2, 0.1, 32, 32, "direct", depth=0.25)
    found = read((PARAMS, FLOPS, PEAK_ACTIVATION), arch)
    assert list(found) == ["params_m", "gflops", "peak_activation_mb"]
    assert all(value > 0 for value in found.values())
