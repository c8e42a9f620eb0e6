"""Image files: those that annotations name, however the program that wrote them spells it, and those of folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from data.errors import UserError
from data.storage.image import ENDINGS

_EXPORTED = re.compile(r"(.+)[_-](jpe?g|png|bmp|webp|tiff?)\.rf\.\w+\.\w+", re.IGNORECASE)


class ImageFiles:
    """Finds files in some folders: by their names, or as other programs spell them.

    That is with backslashes, with %20 for a space, with other folders in front than there are, or with an ending in
    upper case.

    Attributes:
        places: The folders, the likeliest first.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self.places = tuple(dict.fromkeys(places))
        self._names: dict[str, dict[str, list[str]]] = {}

    def find(self, name: str) -> str | None:
        """The absolute path of the file that a name means; None where there is none."""
        if os.path.isabs(name) and os.path.isfile(name):  # noqa: PTH117, PTH113 - Path objects take three times as long
            return name
        paths = (f"{place}/{spelt}" for spelt in _spellings(name) for place in self.places)
        return next((file for path in paths if (file := self._there(path))), None)

    def missing(self, name: str) -> tuple[str, str]:
        """Where a file would be that is not there, and what was looked for."""
        spelt = list(_spellings(name)) or [name]
        looked = " or ".join(map(repr, dict.fromkeys((spelt[0], spelt[-1]))))
        return f"{self.places[0]}/{spelt[0]}", f"no {looked} in {', '.join(map(str, self.places))}"

    def _there(self, path: str) -> str | None:
        """A path if it is there, else the only file beside it whose name differs in capitals alone."""
        folder, _, name = path.rpartition("/")
        if folder not in self._names:
            names = self._names[folder] = dict[str, list[str]]()
            with suppress(OSError):
                for entry in os.listdir(folder):  # noqa: PTH208
                    names.setdefault(entry.lower(), []).append(entry)
        same = self._names[folder].get(name.lower(), [])
        found = name if name in same else same[0] if len(same) == 1 else None
        return found and f"{folder}/{found}"


def original(name: str) -> str | None:
    """The file that a copy was made of, where its name says so: 'photo1.jpg' of 'photo1_jpg.rf.4f2a.jpg'."""
    match = _EXPORTED.fullmatch(re.split(r"[\\/]", name)[-1])
    return f"{match[1]}.{match[2]}" if match else None


def _spellings(name: str) -> Iterator[str]:
    """A name below a folder: as it is, then with ever fewer folders in front."""
    plain = name.replace("\\", "/").rpartition("?d=")[2]  # Label Studio: /data/local-files/?d=images/a.jpg
    whole = [[part for part in text.split("/") if part not in ("", ".")] for text in (plain, unquote(plain))]
    for first in range(max(map(len, whole))):
        yield from dict.fromkeys("/".join(parts[first:]) for parts in whole if parts[first:])


def photographs(paths: Sequence[Path]) -> list[Path]:
    """The files meant: a folder stands for the images in it, by name.

    Raises:
        UserError: one is missing, or a folder holds none.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} is not there; name photographs, or folders of them.")
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path} holds no image ({', '.join(ENDINGS)}).")
        files += inside
    return files
