"""Trainings without a choice, as retrain, ablate and ensemble begin and watch them."""

from pathlib import Path
from typing import Any

import typer

from search.cli.options import console


def trained(ledger: Any, room: Path, file: Path, final: Any, **how: Any) -> None:
    """Train what is not yet trained and show it; ends the command where it was stopped.

    Args:
        ledger: of the training.
        room: its folder, held by this process.
        file: the study's.
        final: how it differs from a trial's.
        how: further arguments of `search.after.retrain.train`.
    """
    from search.after import retrain
    from search.run import live

    with live.watched(console, ledger) as view:
        outcome = retrain.train(ledger, room, file, final, watch=view, **how)
    if outcome is not None and outcome.why:
        console.print(f"[yellow]stopped by {outcome.why}[/]; the same command goes on.")
        raise typer.Exit(130)
