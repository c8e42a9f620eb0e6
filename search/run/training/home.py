"""Where a worker's files belong: the study's folder, on a disk that it sees, or on the driver's machine.

A trial whose worker was cut off goes on with another one, and the first may still finish its epoch. So each start of a
trial has a ticket, and the files of one that was begun again since then are not taken.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from data.storage.files import replacing
from search.run.scratch import made

MARK = ".driver"
"""In the study's folder, holds what the driver told its workers: one that reads the same there sees that folder."""

ROOMS = ("pictures", "answers", "weights")
"""Folders that workers write to; the training state last, as its epoch is not trained again once it is there."""


TICKET = ".ticket"
"""Beside a training state: which start of its trial may write it."""


class SupersededError(RuntimeError):
    """The trial was begun again elsewhere; what this worker has of it is of no use."""


class Home:
    """A study's folder that this process sees.

    Attributes:
        folder: where a trial's files are read and written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ticket = ""

    def begin(self, state: Path) -> None:
        """Begin a trial, or go on with it: its training state is in `folder` then, and nobody else may write it."""
        self._ticket = uuid4().hex
        take(state, self._ticket)

    @contextmanager
    def handing_over(self, state: Path) -> Iterator[None]:
        """Files of an epoch of the trial begun last are written into `folder`, the training state last.

        Raises:
            SupersededError: it was begun again elsewhere meanwhile.
        """
        check(state, self._ticket)
        yield


class Away(Home):
    """A folder of this process's own, whose files come from the driver's machine and go there.

    Args:
        begin: takes the path of a trial's state in the study's folder, and a ticket; gives the state, None where there
            is none yet.
        write: takes the path of the state, the ticket, and files, whole, by their paths in the study's folder, in this
            order.
    """

    def __init__(
        self,
        begin: Callable[[str, str], bytes | None],
        write: Callable[[str, str, Mapping[str, bytes]], None],
    ) -> None:
        super().__init__(made())
        self._begin, self._write = begin, write
        self._sent: set[Path] = set()

    def begin(self, state: Path) -> None:
        """As `Home.begin`; what an unfinished epoch of another trial has left here goes nowhere."""
        for left in self._files():
            left.unlink()
        self._ticket = uuid4().hex
        content = self._begin(self._name(state), self._ticket)
        if content is not None:
            with replacing(state) as half:
                half.write_bytes(content)

    @contextmanager
    def handing_over(self, state: Path) -> Iterator[None]:
        """As `Home.handing_over`; pictures, which do not change, are sent once."""
        yield
        files = self._files()
        self._write(self._name(state), self._ticket, {self._name(file): file.read_bytes() for file in files})
        for file in files:
            if file.parent.name == "pictures":
                self._sent.add(file)
            else:
                file.unlink()

    def _files(self) -> list[Path]:
        """What was written here and not sent, in the order of `ROOMS`."""
        return [file for room in ROOMS for file in sorted((self.folder / room).glob("*")) if file not in self._sent]

    def _name(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix()


class Keeper:
    """The study's folder for workers that do not see it; a Ray actor on the driver's machine."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder).resolve()

    def sees(self, token: str) -> bool:
        """Whether its folder is the driver's own, not one of the same path in another container."""
        return is_seen(self._folder, token)

    def begin(self, state: str, ticket: str) -> bytes | None:
        """Give a trial's state, by its path in the study's folder, to a new start of the trial; None without one."""
        place = self._place(state)
        take(place, ticket)
        try:
            return place.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, state: str, ticket: str, files: Mapping[str, bytes]) -> None:
        """Write files of a start of a trial, each whole or not at all, in their order.

        Raises:
            SupersededError: it was begun again since then.
        """
        check(self._place(state), ticket)
        for name, content in files.items():
            with replacing(self._place(name)) as half:
                half.write_bytes(content)

    def _place(self, name: str) -> Path:
        """Where a file is. Raises ValueError where that is none of the folders that workers write to."""
        place = (self._folder / name).resolve()
        if len(Path(name).parts) != 2 or place.parent.parent != self._folder or place.parent.name not in ROOMS:
            raise ValueError(f"{name!r} is no file of a trial")
        return place


def take(state: Path, ticket: str) -> None:
    """Only the start with this ticket may write a trial's state from now on."""
    with replacing(state.with_suffix(TICKET)) as half:
        half.write_text(ticket, encoding="utf-8")


def check(state: Path, ticket: str) -> None:
    """Raise SupersededError where a trial's state belongs to another start; also where the trial is over."""
    try:
        held = state.with_suffix(TICKET).read_text(encoding="utf-8")
    except FileNotFoundError:
        held = ""
    if held != ticket:
        raise SupersededError(f"another worker has begun {state.name} again, or its trial is over")


def is_seen(folder: Path, token: str) -> bool:
    """Whether a folder is the very one that the driver of this token has, not one of the same path elsewhere."""
    try:
        return (folder / MARK).read_text(encoding="utf-8") == token
    except OSError:
        return False
