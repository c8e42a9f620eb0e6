"""Looking at a search: dashboard and report."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Out, Storage, complaints, console

Studies = Annotated[
    list[str] | None,
    typer.Argument(
        help="Studies by name or file; none for all that OUT, or the --storage, holds.", metavar="[STUDY]..."
    ),
]


def dashboard(
    studies: Studies = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Take no notes and stars for trials; nothing else is ever written.")
    ] = False,
) -> None:
    """Watch a running or finished search in the browser, Optuna's own pages beside ours; no study is written to."""
    from search.dashboard import server
    from search.dashboard.source import Source, sources

    def find(known: Collection[str]) -> list[Source]:
        return sources(studies or [], out, storage, known=known)

    found = find(())
    names = ", ".join(source.name for source in found) or "no search yet"

    def ready(url: str) -> None:
        console.print(f"{names}: {url}", soft_wrap=True)
        console.print(f"Optuna's own pages: {url}dashboard. Ctrl-C ends this; a search goes on.", soft_wrap=True)
        if host not in server.LOCAL:
            and_write = "" if read_only else " and write notes to them (--read-only: not that)"
            complaints.print(
                f"[yellow]everyone who reaches {host} can read these studies{and_write}[/]; there is no password."
            )

    server.serve(found, find, host, port, ready, notes=not read_only)


def report(
    studies: Studies = None,
    out: Out = Path("runs"),
    storage: Storage = None,
    file: Annotated[Path | None, typer.Option(help="Instead of OUT/STUDY/report.html.")] = None,
) -> None:
    """The dashboard's pages as one file that opens offline, with the best trials' own pages."""
    from search.dashboard import report as paper
    from search.dashboard.source import sources

    found = sources(studies or [], out, storage)
    page = file or found[0].folder / "report.html"
    count = paper.write(found, page)
    console.print(f"Report: {page.absolute()} (pages of {count} trials)", soft_wrap=True)
