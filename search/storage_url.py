"""What the URL of a storage says: a file, and what of it may be shown."""

import re
from pathlib import Path


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
