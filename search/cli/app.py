"""The command `posefront`: its words put together, and how it ends."""

import logging
import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer
from rich.markup import escape

from data.errors import UserError
from search.cli import ablate as ablate_command
from search.cli import dashboard as dashboard_commands
from search.cli import data as data_commands
from search.cli import doctor as doctor_command
from search.cli import ensemble as ensemble_command
from search.cli import search as search_commands
from search.cli import submit as submit_commands
from search.cli.options import complaints
from search.cli.streams import OutputLost
from search.storage_url import without_passwords

app = typer.Typer(
    help="Search hyperparameters and architectures of keypoint networks: the smallest that still sees well.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)
data_app = typer.Typer(help="Draw, check and measure data sets.", no_args_is_help=True)
for word in (
    search_commands.search,
    dashboard_commands.dashboard,
    search_commands.best,
    search_commands.cost,
    search_commands.score,
    dashboard_commands.report,
    submit_commands.retrain,
    ablate_command.ablate,
    ensemble_command.ensemble,
    submit_commands.submit,
    submit_commands.verify,
    submit_commands.predict,
    submit_commands.export,
    doctor_command.doctor,
):
    app.command()(word)
for part in (data_commands.synth, data_commands.check, data_commands.stats):
    data_app.command()(part)
app.add_typer(data_app, name="data")


def run(command: Callable[..., Any] = app) -> None:
    """Run the command; a user's mistake ends in one sentence and its exit code, mostly 2."""
    warnings.filterwarnings("ignore", module="(ray|optuna|fvcore|torch|timm)")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    try:
        try:
            command()
        finally:
            sys.stdout.flush()  # what cannot be written is to be known now
    except OutputLost as lost:
        if not lost.is_unread:
            complain(lost)
        sys.exit(lost.code)
    except UserError as mistake:
        complain(mistake)
        sys.exit(mistake.exit_code)


def complain(mistake: UserError) -> None:
    """Say on standard error what a user can mend."""
    complaints.print(f"[red]posefront:[/] {escape(without_passwords(str(mistake)))}")
