"""The author's name as files are called by it; in print it stays as it is written."""

import re
import unicodedata

from anyascii import anyascii

from data.errors import UserError

LONGEST_NAME = 60
"""Characters of a name, and of a file's."""

_APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}"
_BETWEEN = " _.,\N{MIDDLE DOT}\N{KATAKANA MIDDLE DOT}"
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # Persian and Indic names are written with them


def file_name(name: str) -> str:
    """A name as files are called by it: 'Zoë O'Brien-Smith' is Zoe_O'Brien-Smith, '王小明' WangXiaoMing.

    Args:
        name: letters of any script, digits, spaces, hyphens, apostrophes, points, commas, underscores; at least one
            letter and at most LONGEST_NAME characters.

    Raises:
        UserError: it is another.
    """
    shown = f"{name[:LONGEST_NAME]!r}"
    if len(name) > LONGEST_NAME:
        raise UserError(f"--name {shown}... has {len(name):,} characters, and {LONGEST_NAME} is the limit; shorten it.")
    letters = unicodedata.normalize("NFC", name).strip(" ")
    if letters.startswith("-"):
        raise UserError(f"--name {shown} begins with a hyphen, as options do; give your name.")
    written = [_written(letter) for letter in letters]
    if None in written:
        wrong = letters[written.index(None)]
        raise UserError(
            f"--name {shown} holds {wrong!r}; a file is called by it, so write it with letters, digits, spaces, "
            "hyphens, apostrophes and points."
        )
    words = "".join(map(str, written)).split()
    if letters.lower() == letters.upper():  # of a script without capitals
        words = [word[:1].upper() + word[1:] for word in words]
    bare = "_".join(words)[:LONGEST_NAME].strip("-'_")
    if not re.search("[A-Za-z]", bare):
        raise UserError(f"--name {shown} holds no letter; give your English name.")
    return bare


def _written(letter: str) -> str | None:
    """A letter in ASCII; None of what no name holds."""
    if letter in _BETWEEN:
        return " "
    if letter in _APOSTROPHES:
        return "'"
    if letter in _JOINERS:
        return ""
    kind = unicodedata.category(letter)
    if kind == "Pd":
        return "-"
    return re.sub("[^A-Za-z0-9]", "", anyascii(letter)) if kind[0] in "LMN" else None
