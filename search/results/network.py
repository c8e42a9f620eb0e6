"""A trial's network as recorded when the trial was admitted: its cost table and its drawing, read without torch."""

from pathlib import Path

from pydantic import BaseModel, ValidationError

from data.storage.files import replacing
from models.plan import Architecture, Cost, Plan


class NetworkRecord(BaseModel, frozen=True):
    """What a table or a drawing of a trial's network needs."""

    trial: int  # the trial's number
    arch: str  # repr() of the architecture
    cost: Cost  # parameters and FLOPs, in all and for each layer
    plan: Plan  # the stages of the drawing, with the shapes of input and output


def file_of(folder: Path, number: int) -> Path:
    """Where the record of trial `number` lies in a study's folder, OUT/STUDY."""
    return folder / "networks" / f"{number:06d}.json"


def record(number: int, arch: Architecture) -> NetworkRecord:
    """A trial's network, computed; the count itself is cached for each architecture.

    Raises:
        CostError: as `models.cost.cost`.
    """
    from models.cost import cost
    from models.stages import plan

    return NetworkRecord(trial=number, arch=repr(arch), cost=cost(arch), plan=plan(arch))


def save(folder: Path, number: int, arch: Architecture) -> None:
    """Record the network of trial `number` in a study's folder.

    Raises:
        CostError: as `models.cost.cost`.
    """
    with replacing(file_of(folder, number)) as half:
        half.write_text(record(number, arch).model_dump_json(), encoding="utf-8")


def load(folder: Path, number: int, arch_repr: str | None = None) -> NetworkRecord | None:
    """What was recorded of trial `number`; None where the file is missing, malformed or of another network.

    Args:
        folder: of the study, OUT/STUDY.
        number: of the trial.
        arch_repr: repr() of the architecture that the trial must have; None to take any.
    """
    try:
        recorded = NetworkRecord.model_validate_json(file_of(folder, number).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return recorded if recorded.trial == number and arch_repr in (None, recorded.arch) else None
