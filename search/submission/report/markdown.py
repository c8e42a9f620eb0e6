"""Text and tables as Markdown."""

import html
import re
from collections.abc import Sequence


def plain(text: str) -> str:
    """Text that Markdown and HTML show as it is."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~$<>-])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its cells are shown as they are, its header is Markdown."""
    lines = [header, ["---"] * len(header), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
