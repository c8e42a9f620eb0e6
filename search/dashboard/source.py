"""Where a study lies: its storage to read, its folder, and the file that can build its networks again."""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from search import paths
from search.after import models
from search.after.models import Models
from search.config_record import needs_file
from search.dashboard.networks import built
from search.dashboard.notes import noted
from search.dashboard.reader import Reader
from search.dashboard.reader import names as stored
from search.load import study_file
from search.ownership import results_of
from search.results import network
from search.results.network import NetworkRecord
from search.results.view import View
from search.storage_url import without_passwords


@dataclass(frozen=True)
class Source:
    """A study that is shown."""

    key: str  # its name in addresses; unique
    name: str  # of the study
    home: Path  # its folder, with the pictures, answers and artifacts of its trials; need not exist
    reader: Reader  # reads its trials
    file: Path | None  # the study's Python file; None where it is not known
    given: str  # the study as the command line names it
    out: Path  # the folder of `--out`
    storage: str | None  # the URL of `--storage`, if it was given

    @property
    def folder(self) -> Path:
        """With what belongs to its trials: `home`, or one that is not there where that holds another study's."""
        return results_of(self.home, self.reader.study_id)

    def models(self, view: View) -> Models:
        """The models of its trials' full trainings; the view is of all of them."""
        return models.of(self.folder, self.reader.study_id, view)

    def view(self) -> View:
        """Its trials as they are now, with the notes that people gave them. Raises what the reader does."""
        return noted(self.reader.read(), self.folder, self.reader.study_id)

    def network(self, view: View, number: int) -> NetworkRecord:
        """A trial's network: what was recorded when it was admitted, else built anew from its parameters.

        To build it is slow the first time: a process is begun that imports torch and runs the study's file.

        Raises:
            UserError: there is no record, and the file is not known or does not make this trial any more.
        """
        record, params_m = network.load(self.folder, number), view.by_number[number].params_m
        # A folder of before folders had owners may hold another study's, begun under the same name.
        if record is not None and params_m is not None and math.isclose(record.cost.params / 1e6, params_m):
            return record
        return self._rebuilt(view, number)

    def _rebuilt(self, view: View, number: int) -> NetworkRecord:
        """A trial's network by the study's file."""
        trial = view.trial(number)
        kept = trial.user_attrs.get("config")
        if self.file is None and (kept is None or needs_file(kept)):
            raise UserError(
                f"the network of a trial is built by the study's file, and studies/ has none named {self.name!r}; "
                "give the dashboard the path of that file."
            )
        return built((str(self.file), number, dict(trial.params), kept))


def sources(
    studies: Sequence[str], out: Path, storage: str | None, *, known: Collection[str] | None = None
) -> list[Source]:
    """Where the studies lie that are to be shown, given by names or files; none for all that there are.

    Args:
        studies: by names or files.
        out: the folder of all studies.
        storage: a database instead.
        known: keys of those that were found before, which are left out unread, as are those that were not begun yet;
            None where all must be there.

    Raises:
        UserError: there are none, or one of them is not there, or nothing that could be begun either.
    """
    if not studies:
        return all_sources(out, storage, known=known)
    chosen: list[Source] = []
    names: list[str] = []
    for study in dict.fromkeys(studies):
        name = paths.name_of(study)
        key = f"{name}~{len(names)}" if name in names else name
        names.append(name)
        if known is not None and key in known:
            continue
        if known is not None and storage is None and not (out / name / "study.db").is_file():
            study_file(study)
            continue
        reader = Reader(paths.existing(study, out, storage), name)
        reader.read()
        file = Path(study) if study.endswith(".py") else paths.STUDIES / f"{name}.py"
        folder = (out / name).absolute()
        chosen.append(Source(key, name, folder, reader, file if file.is_file() else None, study, out, storage))
    return chosen


def all_sources(out: Path, storage: str | None, *, known: Collection[str] | None = None) -> list[Source]:
    """All studies of a storage, or of the folders in `out`; their names are not trusted to be paths or programs."""
    if storage is not None:
        places = [(name, storage) for name in stored(paths.checked(storage))]
        where = f"the storage {without_passwords(storage)!r}"
    else:
        databases = sorted(out.glob("*/study.db"))
        places = [(file.parent.name, paths.url_of(file.parent.absolute(), None)) for file in databases]
        where = str(out.absolute())
    if not places and known is None:
        raise UserError(f"there is no search in {where}; begin one with `posefront search quickstart`.")
    return [_named(name, url, out, storage) for name, url in places if known is None or name not in known]


def _named(name: str, url: str, out: Path, storage: str | None) -> Source:
    """A study by the name that its storage gives it."""
    plain = re.fullmatch(r"\w[\w.-]*", name) is not None
    file = paths.STUDIES / f"{name}.py"
    known = plain and file.is_file()
    folder = (out / (name if plain else "nowhere")).absolute()
    given = name if known else f"{name}.py"
    return Source(name, name, folder, Reader(url, name), file if known else None, given, out, storage)
