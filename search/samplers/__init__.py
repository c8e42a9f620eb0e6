"""Samplers that need to know the study they sample for, as data: a study's `sampler`, beside all of Optuna's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class KnownCost:
    """Learns the error alone, from every epoch of every trial; what a network costs is known before it is trained.

    See `search.samplers.known_cost`.

    Attributes:
        held: what every sampled trial has; trials that are named keep their own.
        startup: trials of a quasi-random sequence that are over before anything is learnt, at least 2.
        candidates: how many are compared for a trial, at least 3.
        log_error: False models the error itself.
        known_cost: False models the objective, as if the price were unknown.
        every_epoch: False learns from trials that had all their epochs alone.

    The last three are there to see what each is worth (`make bench-search`).
    """

    held: Mapping[str, Any] = field(default_factory=dict)
    startup: int = 8
    candidates: int = 240
    log_error: bool = True
    known_cost: bool = True
    every_epoch: bool = True

    def __post_init__(self) -> None:
        if self.startup < 2 or self.candidates < 3:
            numbers = f"{self.startup} and {self.candidates}"
            raise ValueError(f"startup must be at least 2 and candidates at least 3, not {numbers}")
