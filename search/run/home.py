"""Where a worker's files belong: the study's folder, on a disk that it sees, or on the driver's machine."""

from collections.abc import Callable, Mapping
from pathlib import Path

from data.storage.files import replacing
from search.run.scratch import made

MARK = ".driver"
"""In the study's folder, holds what the driver told its workers: one that reads the same there sees that folder."""

ROOMS = ("pictures", "answers", "weights")
"""Folders that workers write to; the training state last, as its epoch is not trained again once it is there."""


class Home:
    """A study's folder that this process sees.

    Attributes:
        folder: where a trial's files are read and written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fetch(self, file: Path) -> None:
        """Bring a file of the study's into `folder`, where it is not there yet."""

    def send(self) -> None:
        """Hand over what was written into `folder`."""


class Away(Home):
    """A folder of this process's own, whose files come from the driver's machine and go there.

    Args:
        read: gives a file of the study's folder by its path in it; None where there is none.
        write: takes files, whole, by their paths in the study's folder, in this order.
    """

    def __init__(self, read: Callable[[str], bytes | None], write: Callable[[Mapping[str, bytes]], None]) -> None:
        super().__init__(made())
        self._read, self._write = read, write
        self._sent: set[Path] = set()

    def fetch(self, file: Path) -> None:
        """Bring a file of the study's into `folder`."""
        content = self._read(file.relative_to(self.folder).as_posix())
        if content is None:
            file.unlink(missing_ok=True)
            return
        with replacing(file) as half:
            half.write_bytes(content)

    def send(self) -> None:
        """Hand over what was written into `folder` since the last time; but pictures, which do not change, it goes."""
        files = [file for room in ROOMS for file in sorted((self.folder / room).glob("*")) if file not in self._sent]
        self._write({file.relative_to(self.folder).as_posix(): file.read_bytes() for file in files})
        for file in files:
            if file.parent.name == "pictures":
                self._sent.add(file)
            else:
                file.unlink()


class Keeper:
    """The study's folder for workers that do not see it; a Ray actor on the driver's machine."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder).resolve()

    def sees(self, token: str) -> bool:
        """Whether its folder is the driver's own, not one of the same path in another container."""
        return is_seen(self._folder, token)

    def read(self, name: str) -> bytes | None:
        """A file by its path in the study's folder; None where there is none."""
        try:
            return self._place(name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, each whole or not at all, in their order."""
        for name, content in files.items():
            with replacing(self._place(name)) as half:
                half.write_bytes(content)

    def _place(self, name: str) -> Path:
        """Where a file is. Raises ValueError where that is none of the folders that workers write to."""
        place = (self._folder / name).resolve()
        if len(Path(name).parts) != 2 or place.parent.parent != self._folder or place.parent.name not in ROOMS:
            raise ValueError(f"{name!r} is no file of a trial")
        return place


def is_seen(folder: Path, token: str) -> bool:
    """Whether a folder is the very one that the driver of this token has, not one of the same path elsewhere."""
    try:
        return (folder / MARK).read_text(encoding="utf-8") == token
    except OSError:
        return False
