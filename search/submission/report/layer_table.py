"""The report's table of layers."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby

from models.plan import Cost, Layer
from search.format import line, shape_text

ROWS = 90
"""Rows of the table; of a longer network the rows of one block become one."""


def layers(price: Cost, most: int = ROWS) -> list[Layer]:
    """Rows of the table; above `most`, the rows of one block become one, and if need be neighbours whatever they are.

    Every column adds up to the same total either way.
    """
    # What the network does itself it does at the end.
    rows = sorted(price.layers, key=lambda row: not row.name)
    depth = max((row.name.count(".") for row in rows), default=0)
    while len(rows) > most and depth > 0:
        rows = [_merged(path, list(some)) for path, some in groupby(rows, partial(_block, depth=depth))]
        depth -= 1
    each = -(-len(rows) // most)
    if each == 1:
        return rows
    chunks = [rows[start : start + each] for start in range(0, len(rows), each)]
    return [_merged(f"{some[0].name} to {some[-1].name or 'decoding'}", some) for some in chunks]


def _block(row: Layer, depth: int) -> str:
    """The first parts of a row's path."""
    return ".".join(row.name.split(".")[:depth])


def _merged(name: str, rows: Sequence[Layer]) -> Layer:
    """Rows as one, which has the last one's output."""
    if len(rows) == 1:
        return rows[0]
    columns = ("params", "buffers", "flops", "flops_m", "flops_ma")
    sums = {column: sum(getattr(row, column) for row in rows) for column in columns}
    return Layer(name=name, type="block", output=rows[-1].output, **sums)


def printed(row: Layer, names: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """A row as it is printed; `names` are those of the notebook by a layer's path."""
    numbers = (f"{number:,}" for number in (row.params, row.flops_m, row.flops_ma))
    return line(_called(row.name, names or {}), 34), line(row.type, 24), shape_text(row.output[1:]), *numbers


def _called(path: str, names: Mapping[str, str]) -> str:
    """A layer's name in the notebook, or the first and last one of a block's, and its path."""
    if not path:
        return "(decoding)"
    own = list(dict.fromkeys(name for place, name in names.items() if f"{place}.".startswith(f"{path}.")))
    if not own:
        return path
    return own[0] if len(own) == 1 else f"{own[0]} to {own[-1]}"


def note(price: Cost, rows: int, notebook: bool) -> str:
    """What the table's columns are; `notebook`: whether one has the same names."""
    merged = f" The {len(price.layers):,} layers are added up, neighbours to a row." if rows < len(price.layers) else ""
    return (
        "Counts, not millions, for one image; M: multiplications, A: additions. Ranked are fvcore's FLOPs, one a "
        f"multiply-add: {price.flops:,}. BatchNorm is folded, activations are not counted"
        f"{', names are as in the notebook' if notebook else ''}.{merged}"
    )
