"""Whether a search will work here: doctor."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from data.errors import UserError
from search.cli.options import Address, Data, Out, console, loading

if TYPE_CHECKING:
    from search.run.doctor.machine import Finding
    from search.study import Study

EXAMPLE = "quickstart"
"""The study whose first trial is trained."""


def doctor(
    data: Data = None,
    address: Address = None,
    out: Out = Path("runs"),
    seconds: Annotated[float, typer.Option(min=0, help="Of each training; 0 trains nothing.")] = 3.0,
) -> None:
    """Say what is here and whether a search will work, a line each with what to mend; train a bit on each device."""
    from search.run.doctor import machine as look

    mends = 0

    def say(found: "Finding") -> None:
        nonlocal mends
        mends += bool(found.mend)
        mark = "[red]mend[/]" if found.mend else "[green]well[/]"
        mend = f" -> {found.mend}" if found.mend else ""
        console.print(f"{mark} {escape(f'{found.what}: {found.text}{mend}')}", soft_wrap=True)

    with loading():
        import torch
    for found in look.machine(data.absolute() if data else None, out):
        say(found)
    if address is not None:
        from search.run.cluster.nodes import nodes

        for found in nodes(address, data, out):
            say(found)
    if seconds:
        from search.load import load_study, study_file

        file = study_file(EXAMPLE)
        study = load_study(str(file))
        small = replace(study.task.drawn, count=256)  # type: ignore[attr-defined]
        root = small.folder(None)
        for card in range(torch.cuda.device_count()) or (None,):
            place, measured = "CPU" if card is None else f"GPU {card}", {}
            for count, speeds in look.speeds(file, root, look.example(study), seconds, card):
                measured[count] = speeds
                say(look.told(place, count, speeds))
            best = look.best_count(measured)
            option = f"--workers {best}" if card is None else f"--gpus-per-trial {1 / best:g}"
            console.print(f"     {place}: use {option} for networks of about this size", soft_wrap=True)
    if mends:
        raise typer.Exit(1)


def share_of(text: str) -> float:
    """A share of a GPU, or several GPUs.

    Raises:
        UserError: it is no number from 0 on.
    """
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < math.inf:
        raise UserError(f"--gpus-per-trial {text!r} is no number from 0 on, e.g. 0.25, and not 'auto'.")
    return share


def measured_share(file: Path, root: Path | None, chosen: "Study", address: str | None) -> float | None:
    """What share of a GPU trains most images a second; None where there is neither a GPU nor a cluster."""
    import torch

    from search.run.doctor.machine import gpus_per_trial

    if not torch.cuda.is_available() and address is None:
        console.print("--gpus-per-trial auto: there is no GPU, trials train on the CPU")
        return None
    console.print("--gpus-per-trial auto: measuring trials side by side for some seconds")
    share = gpus_per_trial(file, root, chosen, lambda text: console.print(escape(f"  {text}"), soft_wrap=True))
    console.print(f"--gpus-per-trial auto: {share:g}")
    return share
