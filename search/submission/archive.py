"""The zip: the same from the same files, and its members read with nothing in them trusted or run."""

import copy
import pickle
import re
import stat
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat
import torch
from nbformat import NotebookNode
from torch import nn

from data.errors import UserError
from search.submission import strict_json
from search.submission.check.checks import first_line

MOST_MB = 100
"""The largest zip, and what its members may hold together, in 10^6 bytes."""

MOST_MEMBERS = 1000
"""More are no submission; their names alone would take memory."""

_DATE = (2020, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20


def pack(files: Sequence[Path], file: Path) -> None:
    """Write a zip of files, in their order, by their names; dates and rights are fixed.

    Raises:
        UserError: it is larger than MOST_MB.
    """
    with zipfile.ZipFile(file, "w") as opened:
        for member in files:
            entry = zipfile.ZipInfo(member.name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            opened.writestr(entry, member.read_bytes())
    size = max(file.stat().st_size, sum(member.stat().st_size for member in files)) / 1e6
    if size > MOST_MB:
        raise UserError(
            f"{file.name} would have {size:.1f} MB, and {MOST_MB} MB is the limit; hand in a smaller network."
        )


def unpack(file: Path, folder: Path, wanted: Sequence[str]) -> list[str]:
    """Unpack the wanted members of a zip by a stranger into an empty folder; nothing else of it is written.

    A wanted member that is not there is left out. Returns the names of all members.

    Raises:
        UserError: it cannot be read, is damaged, or holds what could do harm: a path out of the folder, a link, a name
            twice, a password, more than MOST_MB.
    """
    try:
        with zipfile.ZipFile(file) as opened:
            entries = opened.infolist()
            _check_safe(file, entries)
            for entry in entries:
                if entry.filename in wanted:
                    with opened.open(entry) as source, (folder / entry.filename).open("xb") as target:
                        while block := source.read(_CHUNK):  # never more than is declared, which was checked
                            target.write(block)
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing; `posefront submit` writes it.") from error
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"{file} is no zip that can be read ({reason.rstrip('.')}); pack or fetch it again.") from error
    except zlib.error as error:
        raise UserError(f"{file} is damaged ({error}); pack or fetch it again.") from error
    return [entry.filename for entry in entries]


def _check_safe(file: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse a zip that could do harm, and name its first such member."""
    again = "pack it again with `posefront submit`"
    if len(entries) > MOST_MEMBERS:
        raise UserError(f"{file} has {len(entries):,} members, and a submission has 6; {again}.")
    total = sum(entry.file_size for entry in entries) / 1e6
    if max(total, file.stat().st_size / 1e6) > MOST_MB:
        raise UserError(f"{file} would unpack to {total:,.0f} MB, and {MOST_MB} MB is the limit; {again}.")
    twice = [name for name, count in Counter(entry.filename for entry in entries).items() if count > 1]
    if twice:
        raise UserError(f"{file} holds {twice[0]!r} twice, and one of them would be hidden; {again}.")
    for entry in entries:
        name, path = entry.filename, PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not name.isprintable():
            raise UserError(f"{file} holds {name!r}, a path that leads out of its folder; {again}.")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(f"{file} holds {name!r}, which is a link and no file; {again}.")
        if entry.flag_bits & 1:
            raise UserError(f"{file} holds {name!r} under a password; {again}.")


def load_weights(plain: nn.Module, file: Path) -> str:
    """Give a network the weights of a stranger's file; what is wrong with them, or nothing."""
    try:
        with zipfile.ZipFile(file) as inside:  # as torch.save writes; what is compressed in it could grow without end
            if sum(entry.file_size for entry in inside.infolist()) > MOST_MB * 1e6:
                return f"it unpacks to more than {MOST_MB} MB"
        packed = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - whatever a stranger's file makes torch raise is said
        return _refused(error)
    own = plain.state_dict()
    if not isinstance(packed, Mapping) or packed.keys() != own.keys():
        odd = sorted(map(str, packed.keys() ^ own.keys())) if isinstance(packed, Mapping) else ["no dictionary"]
        return f"it is not of this network ({', '.join(odd[:3])})"
    for name, tensor in packed.items():
        if not isinstance(tensor, torch.Tensor) or tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            return f"{name} has another shape or type"
        if not torch.isfinite(tensor).all():
            return f"{name} holds what is no finite number"
    held, most = file.stat().st_size, sum(tensor.nbytes for tensor in own.values())
    if held > most + 16_000 + 2_000 * len(own):  # names, alignment and the zip itself: 200 bytes a tensor
        return f"it holds {held - most:,} bytes beside its numbers"
    plain.load_state_dict(packed)
    return ""


def _refused(error: Exception) -> str:
    """Why weights are not loaded; torch's own message goes on to advise loading them with whatever is in them."""
    forbidden = re.search(r"GLOBAL (\S{1,80})", str(error))
    if forbidden or isinstance(error, pickle.UnpicklingError):
        what = forbidden[1] if forbidden else "a pickle"
        return f"it holds {what} where tensors belong, which may be a program; do not load it in any other way"
    return f"it cannot be read ({first_line(error)})"


def hidden(file: Path) -> str:
    """What a zip holds beside its members, of which no program that unpacks it speaks; empty for nothing."""
    with zipfile.ZipFile(file) as opened:
        entries = opened.infolist()
        if opened.comment or any(entry.comment for entry in entries):
            return "a comment"
        names = sum(2 * len(entry.filename.encode()) for entry in entries)
        more = file.stat().st_size - sum(entry.compress_size for entry in entries) - names
    return f"{more:,} bytes beside its members" if more > 22 + 256 * len(entries) else ""


def read_notebook(file: Path) -> tuple[NotebookNode, dict[str, Any]]:
    """A notebook by a stranger, and the JSON of its file.

    Raises:
        UserError: it is none.
    """
    try:
        text = file.read_text(encoding="utf-8")
        content = strict_json.parse(text)
        if not isinstance(content, dict) or content.get("nbformat") != 4:
            raise ValueError("it is not of format 4")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of ids that are missing, which are compared
            nbformat.validate(copy.deepcopy(content))  # it mends what it is given
            notebook: NotebookNode = nbformat.reads(text, as_version=4)
    except (ValueError, KeyError, TypeError, RecursionError, nbformat.ValidationError) as error:
        raise UserError(f"{file.name} is no notebook ({first_line(error)}); pack it again.") from error
    return notebook, content
