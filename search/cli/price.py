"""What a network of a study costs, as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from data.errors import UserError
from search.cli.options import loading

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from models.plan import Cost
    from search.study import Study


def network_table(
    study: str, trial: int | None, start: str | None, values: Sequence[str], out: Path, storage: str | None
) -> Table:
    """The table of a network: what a trial's record says, without torch, where there is one; else counted.

    Raises:
        UserError: there is no such study, search, trial or start, or the parameters make no trial.
    """
    from search import paths
    from search.config_record import config_of
    from search.load import load_study, study_file
    from search.ownership import results_of
    from search.results import network

    file, found = study_file(study), None
    if trial is not None:
        optuna_study = paths.recorded(study, out, storage)
        found = paths.trial_of(optuna_study, trial)
        folder = results_of(out / paths.name_of(study), optuna_study.user_attrs.get("id"))
        record = network.load(folder, trial)
        if record is not None and not values:
            return table(record.cost, found.params)
    with loading():
        from models import cost as counting
    loaded = load_study(str(file))
    params = parameters(loaded, found, start, values)
    kept = None if found is None or values else found.user_attrs.get("config")
    return table(counting.cost(config_of(loaded, params, kept).arch), params)


def parameters(study: Study, trial: FrozenTrial | None, start: str | None, values: Sequence[str]) -> dict[str, Any]:
    """The parameters that are meant: a trial's, a starting trial's (the first if none is named), with changes.

    Raises:
        UserError: there is no such start or parameter, one is missing, or a value is outside its range.
    """
    from search.load import with_starts

    params: dict[str, Any] = {}
    if trial is not None:
        params.update(trial.params)
        if not values and "config" in trial.user_attrs:  # which the space of now need not make
            return params
    elif start is not None:
        params.update(with_starts(study, [start]).starts[start])
    else:
        params.update(next(iter(study.starts.values()), {}))
    changed = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise UserError(f"--set {value!r} is not of the form NAME=VALUE, e.g. --set width=0.5.")
        changed[name] = literal(text)
    params.update(changed)
    check(study, params, changed)
    return params


def check(study: Study, params: dict[str, Any], changed: dict[str, Any]) -> None:
    """Whether the space accepts the parameters.

    Raises:
        UserError: it doesn't.
    """
    from search.study import replay

    try:
        _, asked = replay(study, params)
    except ValueError as error:
        missing = next((word for word in str(error).split("'")[1::2] if word not in params), None)
        mend = f"give it with --set {missing}=..." if missing else "change it with --set NAME=VALUE"
        raise UserError(f"these parameters make no trial: {str(error).rstrip('.')}; {mend}.") from error
    for name in changed:
        if name not in asked:
            raise UserError(f"the space asks for no parameter {name!r} here; it asks for: {', '.join(asked)}.")


def literal(text: str) -> Any:
    """A number or truth value where the text is one, else the text itself."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except json.JSONDecodeError:
        return text


def table(price: Cost, params: dict[str, Any]) -> Table:
    """The per-layer table of a deployed network, with totals."""
    shown = Table(
        "layer",
        "type",
        "output",
        title=", ".join(f"{name}={value}" for name, value in params.items()),
        caption=(
            f"ranked: {price.params / 1e6:.6g} M Params, {price.flops / 1e9:.6g} G FLOPs (fvcore, BatchNorm folded); "
            f"{price.trained / 1e6:.6g} M before folding, as papers print them\n"
            "M: multiplications of one image, M+A: additions too; single operations, not millions"
        ),
        show_footer=True,
    )
    shown.columns[0].footer = "total"
    for name, total in (
        ("Params", price.params),
        ("M", price.flops_m),
        ("M+A", price.flops_ma),
    ):
        shown.add_column(name, footer=f"{total:,}", justify="right", no_wrap=True)
    for layer in price.layers:
        shape = " x ".join(str(side) for side in layer.output)
        shown.add_row(layer.name, layer.type, shape, f"{layer.params:,}", f"{layer.flops_m:,}", f"{layer.flops_ma:,}")
    return shown
