"""What the URL of a storage says: a file, and what of it may be shown."""

import importlib.util
import re
from pathlib import Path

from data.errors import UserError


def driver_url(url: str) -> str:
    """The URL as SQLAlchemy reads it: with psycopg 3 for PostgreSQL, unless it names another driver."""
    return re.sub(r"^postgres(ql)?:", "postgresql+psycopg:", url)


def by_psycopg(url: str) -> bool:
    """Whether a URL's database is reached through psycopg 3."""
    return driver_url(url).startswith("postgresql+psycopg:")


def check_driver(url: str) -> None:
    """Whether PostgreSQL's driver is installed where a URL needs it.

    Raises:
        UserError: it is not.
    """
    if by_psycopg(url) and importlib.util.find_spec("psycopg") is None:
        raise UserError(
            f"the storage {without_passwords(url)!r} needs psycopg, which is not installed: in the checkout, `pip "
            "install --editable '.[postgres]'` brings it."
        )


def file_of(url: str) -> Path | None:
    """The file of an SQLite URL; None for other databases, a database in memory and what is no URL."""
    import sqlalchemy as sa

    try:
        parts = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # the latter of a port that is no number
        return None
    is_file = parts.get_backend_name() == "sqlite" and parts.database not in (None, "", ":memory:")
    return Path(str(parts.database)) if is_file else None


def without_passwords(text: str) -> str:
    """A URL, or a sentence with URLs, without the passwords in it; rather too much is hidden than too little."""
    if "://" not in text and re.fullmatch(r"\S+:\S+@\S*", text):  # a URL whose beginning was forgotten
        return "***@" + text.rpartition("@")[2]
    text = re.sub(r"(://[^:/@\s]*):[^\n]*@", r"\1:***@", text)
    return re.sub(r"([?&][^=&\s]*(?:pass|pwd|secret|token)[^=&\s]*=)[^&\s'\"]*", r"\1***", text, flags=re.IGNORECASE)
