"""When a trial is stopped early: a study's `scheduler`, as data; Ray is imported when one is made.

To add one, write a class with these members and name it in a study.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler

GOLDEN = (5**0.5 - 1) / 2

JUDGED: dict[str, Any] = {"time_attr": "epoch", "metric": "value", "mode": "min"}
"""What Ray's schedulers compare."""


class Scheduler(Protocol):
    """Makes schedulers of Ray's for trials of one length, and says where they stop trials."""

    @property
    def name(self) -> str:
        """E.g. 'asha'."""

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """After which epochs a trial of `epochs` epochs may be stopped, ascending."""

    def bracket(self, number: int, epochs: int) -> int:
        """Which bracket trial `number` belongs to; trials are compared within theirs."""

    def make(self, epochs: int, bracket: int) -> "TrialScheduler":
        """Ray's scheduler for the trials of a length and a bracket."""


@dataclass(frozen=True)
class NoStopping:
    """Every trial has all its epochs."""

    name: ClassVar[str] = "none"

    def rungs(self, epochs: int) -> tuple[int, ...]:  # noqa: ARG002 - a Scheduler's form
        """None."""
        return ()

    def bracket(self, number: int, epochs: int) -> int:  # noqa: ARG002
        """There is one."""
        return 0

    def make(self, epochs: int, bracket: int) -> "TrialScheduler":  # noqa: ARG002
        """Ray's that stops nothing."""
        from ray.tune.schedulers import FIFOScheduler

        return FIFOScheduler()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Asha(NoStopping):
    """Asynchronous successive halving (Li et al. 2018, https://arxiv.org/abs/1810.05934).

    Attributes:
        grace: epochs every trial may run before it can be stopped, at least 1.
        reduction: one in how many trials survives a rung, at least 2.
    """

    grace: int = 1
    reduction: int = 3

    name: ClassVar[str] = "asha"

    def __post_init__(self) -> None:
        if self.grace < 1 or self.reduction < 2:
            raise ValueError(f"grace must be at least 1 and reduction at least 2, not {self.grace}, {self.reduction}")

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """After grace x reduction^k epochs, below the last."""
        stops, rung = [], self.grace
        while rung < epochs:
            stops.append(rung)
            rung *= self.reduction
        return tuple(stops)

    def make(self, epochs: int, bracket: int) -> "TrialScheduler":
        """Bracket s leaves its trials alone for grace x reduction^s epochs."""
        from ray.tune.schedulers import ASHAScheduler

        grace = min(self.grace * self.reduction**bracket, epochs)
        return ASHAScheduler(max_t=epochs, grace_period=grace, reduction_factor=self.reduction, **JUDGED)


@dataclass(frozen=True)
class Hyperband(Asha):
    """ASHA in several brackets, shared out as in HyperBand (Li et al. 2018, https://arxiv.org/abs/1603.06560, alg. 1).

    A trial's bracket depends on its number alone: Ray's draws it at random, so that a resumed search would put the
    same trial elsewhere.
    """

    name: ClassVar[str] = "hyperband"

    def bracket(self, number: int, epochs: int) -> int:
        """As many brackets as there are rungs."""
        halvings = int(math.log(max(1, epochs / self.grace)) / math.log(self.reduction) + 1e-9)
        sizes = [math.ceil((halvings + 1) / (s + 1) * self.reduction**s) for s in range(halvings, -1, -1)]
        place = (number * GOLDEN) % 1 * sum(sizes)
        for chosen, size in enumerate(sizes):
            place -= size
            if place < 0:
                return chosen
        return halvings


@dataclass(frozen=True)
class Median(NoStopping):
    """The median stopping rule (Golovin et al. 2017, Vizier).

    Attributes:
        grace: epochs every trial may run before it can be stopped, at least 1.
    """

    grace: int = 1

    name: ClassVar[str] = "median"

    def __post_init__(self) -> None:
        if self.grace < 1:
            raise ValueError(f"grace must be at least 1, not {self.grace}")

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Every epoch from grace on, of which this is the first."""
        return (self.grace,) if self.grace < epochs else ()

    def make(self, epochs: int, bracket: int) -> "TrialScheduler":  # noqa: ARG002
        """Without an infinite slice Ray would pause a trial whenever another one is still starting."""
        from ray.tune.schedulers import MedianStoppingRule

        return MedianStoppingRule(grace_period=self.grace, min_time_slice=math.inf, **JUDGED)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LookAhead(Asha):
    """ASHA that stops, too, what is unlikely to become the study's best, whatever else it is better than.

    It looks after grace x 2^k epochs. How a trial's error will end follows from its last one and from the curves of
    trials that had all their epochs (`search.forecast`); the error that it must end below is known, since its price is
    (`search.target`).

    Attributes:
        grace: epochs every trial may run before it can be stopped, at least 1.
        reduction: one in how many trials survives one of ASHA's rungs, at least 2.
        probability: of becoming the best, below which a trial is stopped; above 0 and below 1.
        enough: trials that had all their epochs before it looks ahead, at least 3.
        asha: False ends ASHA's rungs once it looks ahead.
    """

    probability: float = 0.02
    enough: int = 4
    asha: bool = True

    name: ClassVar[str] = "look-ahead"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.probability < 1 or self.enough < 3:
            numbers = f"{self.probability}, {self.enough}"
            raise ValueError(f"probability must be in 0 to 1 and enough at least 3, not {numbers}")

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """ASHA's, and where it looks ahead."""
        return tuple(sorted({*super().rungs(epochs), *self.looks(epochs)}))

    def looks(self, epochs: int) -> tuple[int, ...]:
        """After which epochs it looks ahead."""
        return Asha(self.grace, 2).rungs(epochs)


def record(scheduler: Scheduler) -> dict[str, Any]:
    """What a study's attribute 'search' says of its scheduler: its name and its numbers."""
    numbers = asdict(scheduler) if hasattr(scheduler, "__dataclass_fields__") else {}  # type: ignore[call-overload]
    return {"scheduler": scheduler.name, **numbers}


def recorded(search: Mapping[str, Any]) -> Scheduler:
    """The scheduler that a study's attribute 'search' names; NoStopping for one that is not known."""
    kinds = {kind.name: kind for kind in (Asha, Hyperband, Median, LookAhead)}
    kind = kinds.get(search.get("scheduler", ""), NoStopping)
    numbers = {name: search[name] for name in kind.__dataclass_fields__ if name in search}
    return kind(**numbers)
