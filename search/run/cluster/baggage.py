"""What travels to the nodes of a Ray cluster: this checkout's packages, the study's file, a teacher's weights."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from search.paths import STUDIES
from search.run.scratch import prefix
from search.run.settings import FinalTraining

PACKAGES = ("data", "models", "search", "studies")


@dataclass(frozen=True)
class Baggage:
    """What workers are told of it.

    Attributes:
        folder: what is sent, and where a worker imports its packages from; None where nothing travels.
        study: the study's file, on this machine or, relative to the packages, there.
        final: of a last training, with the teacher's files in it.
    """

    folder: Path | None
    study: str
    final: FinalTraining | None


@contextmanager
def packed(address: str | None, file: Path | None, final: FinalTraining | None = None) -> Iterator[Baggage]:
    """The baggage of a search, or a look, on a cluster; on this machine alone there is none.

    Of what lies beside a study's file elsewhere nothing else travels.
    """
    if address in (None, "local"):
        yield Baggage(None, "" if file is None else str(file), final)
        return
    with tempfile.TemporaryDirectory(prefix=prefix()) as made:
        folder = Path(made)
        for name in PACKAGES:
            shutil.copytree(STUDIES.parent / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        if final is not None and final.teacher is not None:
            final = replace(final, weights=_added(folder, "teacher", Path(final.weights)))
            if final.study is not None and final.study.endswith(".py"):
                final = replace(final, study=_added(folder, "teacher", Path(final.study)))
        yield Baggage(folder, "" if file is None else _added(folder, "study", file), final)


def _added(folder: Path, room: str, file: Path) -> str:
    """A file in the baggage, by its path in it."""
    (folder / room).mkdir(exist_ok=True)
    shutil.copy(file, folder / room / file.name)
    return f"{room}/{file.name}"
