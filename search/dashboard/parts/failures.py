"""Failed trials in groups: what went wrong how often."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from search.dashboard.parts.blocks import RIGHT, link, note, plain_table
from search.dashboard.request import LONGEST_FILTER
from search.results.leaderboard import Entry

NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?\d[\d_,]*(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)
"""What differs between two reasons that are one: an epoch, a learning rate, a size."""

SHOWN = 12
NONE = "no reason given"


@dataclass(frozen=True)
class Group:
    """Trials that failed for one reason."""

    reason: str  # its first line, numbers replaced by an ellipsis
    entries: tuple[Entry, ...]  # the latest first

    @property
    def filter(self) -> str:
        """The filter line that shows these trials."""
        parts = [part.strip() for part in re.split(r"[\u2026\"]", self.reason)]
        line = "state=failed"
        for part in [part for part in parts if len(part) > 2 and self.reason != NONE]:
            longer = f'{line}, reason~"{part}"'
            if len(longer) > LONGEST_FILTER:
                break
            line = longer
        return line


def groups(failed: Sequence[Entry]) -> list[Group]:
    """The failed trials by reason, the most frequent first."""
    by_reason: dict[str, list[Entry]] = {}
    for entry in sorted(failed, key=lambda entry: -entry.number):
        by_reason.setdefault(reason_of(entry), []).append(entry)
    found = [Group(reason, tuple(entries)) for reason, entries in by_reason.items()]
    return sorted(found, key=lambda group: (-len(group.entries), -group.entries[0].number))


def reason_of(entry: Entry) -> str:
    """Why a trial failed, without the numbers that are its own."""
    first = entry.reason.strip().splitlines()[0][:300] if entry.reason.strip() else NONE
    return NUMBER.sub("\u2026", first)


def html(study: str, failed: Sequence[Entry]) -> str:
    """The groups as HTML, escaped; empty where nothing has failed. The study is its key in addresses."""
    found = groups(failed)
    if not found:
        return ""
    rows = []
    for group in found[:SHOWN]:
        last, place = group.entries[0], quote(study, safe="")
        shown = last.reason.strip().splitlines()[0][:300] if last.reason.strip() else NONE
        rows.append(
            f'<tr><td{RIGHT}><a href="#/{place}/pareto?filter={quote(group.filter, safe="")}">'
            f"{len(group.entries):,}</a></td><td>{escape(shown)}</td>"
            f"<td{RIGHT}>{link(study, last.number)}</td></tr>"
        )
    more = sum(len(group.entries) for group in found[SHOWN:])
    rest = note(f"{more:,} more trials failed for {len(found) - SHOWN:,} other reasons.") if more else ""
    head = (
        f'<th scope="col"{RIGHT}>trials</th><th scope="col">reason, as the last of them gave it</th>'
        f'<th scope="col"{RIGHT}>last</th>'
    )
    return plain_table("failures", head, "".join(rows), "failures") + rest
