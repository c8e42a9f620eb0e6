"""What the fields of every architecture are checked for; each ValueError names field, value and what is allowed."""

from __future__ import annotations

from typing import Any


def check_ranges(arch: Any, **ranges: tuple[float, float]) -> None:
    """Refuse a field below its low or above its high end; between whole numbers it must be one itself."""
    for name, (low, high) in ranges.items():
        value, whole = getattr(arch, name), isinstance(low, int)
        if not low <= value <= high or (whole and not isinstance(value, int)):
            kind = "a whole number " if whole else ""
            raise ValueError(f"{type(arch).__name__}.{name} is {value!r}, but must be {kind}from {low} to {high}")


def check_choices(arch: Any, **choices: tuple[Any, ...]) -> None:
    """Refuse a field that is none of its choices."""
    for name, allowed in choices.items():
        if (value := getattr(arch, name)) not in allowed:
            raise ValueError(f"{type(arch).__name__}.{name} is {value!r}, but must be one of {allowed}")


def check_head(arch: Any) -> None:
    """Refuse an impossible `outputs`, `channels`, `size` or `drop_path`."""
    kind, both = type(arch).__name__, sides(arch.size)
    check_ranges(arch, outputs=(1, 100_000), channels=(1, 1024))
    if not isinstance(both, tuple) or len(both) != 2 or not all(isinstance(s, int) and 32 <= s <= 1024 for s in both):
        raise ValueError(f"{kind}.size is {arch.size!r}, but must be a number from 32 to 1024 or (height, width)")
    if not 0 <= arch.drop_path < 1:
        raise ValueError(f"{kind}.drop_path is {arch.drop_path}, but must be from 0 up to but without 1")


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a size."""
    return (size, size) if isinstance(size, int) else size
