"""The table of the small networks' stages, as data that needs no torch."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A stage; only the first of `repeats` blocks has the stride."""

    expand: float
    channels: int
    repeats: int
    stride: int
    squeeze: bool
    act: str


LATE = 16  # total stride from which a stage counts as late
# MobileNetV3-small (Howard et al. 2019, table 2), but for its kernels: 3 before stride 16, then 5. The last stage's
# stride becomes 1 for a total stride of 16.
TABLE = (
    Row(1.00, 16, 1, 2, True, "relu"),
    Row(4.50, 24, 1, 2, False, "relu"),
    Row(3.67, 24, 1, 1, False, "relu"),
    Row(4.00, 40, 1, 2, True, "hardswish"),
    Row(6.00, 40, 2, 1, True, "hardswish"),
    Row(3.00, 48, 2, 1, True, "hardswish"),
    Row(6.00, 96, 3, 2, True, "hardswish"),
)


def even(channels: float) -> int:
    """The nearest even number, 2 at least; the next one up where that is below nine tenths."""
    nearest = max(2, int(channels + 1) // 2 * 2)
    return nearest if nearest >= 0.9 * channels else nearest + 2
