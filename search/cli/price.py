"""What a network of a study costs, as a table."""

import json
from collections.abc import Sequence
from typing import Any

import optuna
from rich.table import Table

from data.errors import UserError
from models.cost import cost
from search.load import with_starts
from search.study import Study, replay


def parameters(
    study: Study, book: optuna.Study | None, trial: int | None, start: str | None, values: Sequence[str]
) -> dict[str, Any]:
    """The parameters that are meant: a trial's, a starting trial's (the first if none is named), with changes.

    Args:
        study: whose space they belong to.
        book: the recorded search, if `trial` is given.
        trial: a trial's number.
        start: a starting trial's name.
        values: 'NAME=VALUE' each.

    Raises:
        UserError: there is no such trial, start or parameter, one is missing, or a value is outside its range.
    """
    params: dict[str, Any] = {}
    if book is not None:
        known = {found.number: found for found in book.get_trials(deepcopy=False)}
        if trial not in known:
            raise UserError(f"there is no trial {trial}; the search has trials 0 to {len(known) - 1}.")
        params.update(known[trial].params)
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
    try:
        _, known = replay(study, params)
    except ValueError as error:
        missing = next((word for word in str(error).split("'")[1::2] if word not in params), None)
        mend = f"give it with --set {missing}=..." if missing else "change it with --set NAME=VALUE"
        raise UserError(f"these parameters make no trial: {str(error).rstrip('.')}; {mend}.") from error
    for name in changed:
        if name not in known:
            raise UserError(f"the space asks for no parameter {name!r} here; it asks for: {', '.join(known)}.")


def literal(text: str) -> Any:
    """A number or truth value where the text is one, else the text itself."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except json.JSONDecodeError:
        return text


def table(study: Study, params: dict[str, Any]) -> Table:
    """The per-layer table of the deployed network, with totals."""
    config, _ = replay(study, params)
    price = cost(config.arch)
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
