"""One trial in words and tables: what it is, and what its network costs."""

from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from models.plan import Cost
from search.dashboard.parts.blocks import note
from search.format import between, compact, measured, range_text, shape_text, value_text
from search.results.leaderboard import Entry
from search.results.view import View


def parameters(view: View, number: int) -> str:
    """Facts and sampled parameters of a trial as HTML, with the range that each parameter was sampled from."""
    trial = view.trial(number)
    known = facts(view, view.by_number[number], trial.user_attrs)
    values = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in known if value)
    shown = f'<dl class="facts-of-trial">{values}</dl>'
    if not trial.params:
        return shown + note("Its parameters have not been sampled yet.")
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="right">{escape(value_text(value))}</td>'
        f"<td>{escape(ranged(trial.distributions[name]))}</td></tr>"
        for name, value in trial.params.items()
    )
    return (
        f'{shown}<div class="scroll"><table class="plain"><thead><tr><th scope="col">parameter</th>'
        f'<th scope="col" class="right">value</th><th scope="col">sampled from</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def facts(view: View, entry: Entry, attrs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of what is known of a trial, as HTML; an empty value is not known."""
    seed = attrs.get("seed")
    return [
        ("trial", f"{entry.number} {escape(entry.name)}".strip()),
        ("state", f'<span class="state {entry.state}">{entry.state}</span>'),
        ("reason", f'<pre class="reason" tabindex="0">{escape(entry.reason)}</pre>' if entry.reason else ""),
        ("score", number(entry.score) if view.scored else ""),
        ("ln score" if view.scored else escape(view.described.name), "" if view.alone else number(entry.value)),
        ("band", escape(entry.band)),
        (escape(view.error_name), "" if entry.error is None else escape(measured(entry.error, view.unit))),
        (
            f"after {view.full_length.epochs:,} epochs",
            ""
            if (full := view.full(entry)) is None
            else f"{escape(f'{between(full)} {view.unit}'.strip())}, predicted",
        ),
        *((escape(r.title), number(entry.readings.get(r.name), f" {escape(r.unit)}")) for r in view.readings),
        ("epochs", f"{entry.epochs} of {entry.budget}" if entry.budget else str(entry.epochs or "")),
        ("trained", f"{entry.seconds:,.0f} s" if entry.seconds else ""),
        ("speed", "" if entry.images_per_s is None else f"{entry.images_per_s:,.0f} images/s"),
        ("peak memory", "" if entry.peak_memory_mb is None else f"{entry.peak_memory_mb:,.0f} MB"),
        ("seed", "" if seed is None else escape(str(seed))),
        ("worker", escape(entry.worker)),
        ("started", moment(entry.started)),
        ("ended", moment(entry.ended)),
    ]


def cost_table(cost: Cost) -> str:
    """The layers of a network as HTML, with totals and each layer's share of FLOPs, as `posefront cost` prints them."""
    rows = []
    for layer in cost.layers:
        share = 100 * layer.flops / cost.flops if cost.flops else 0.0
        rows.append(
            f'<tr><th scope="row">{escape(layer.name) or "(the network itself)"}</th><td>{escape(layer.type)}</td>'
            f"<td>{shape_text(layer.output)}</td>{counts(layer.params, layer.flops_m, layer.flops_ma)}"
            f'<td class="share"><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect width="{share:.2f}" height="8"/></svg><span>{share:.1f} %</span></td></tr>'
        )
    return (
        f'<p class="note">Ranked: {cost.params / 1e6:.6g} M Params, {cost.flops / 1e9:.6g} G FLOPs (fvcore, BatchNorm '
        "folded). M: multiplications of one image; M+A: additions too; single operations, not millions.</p>"
        '<div class="scroll layers" tabindex="0" role="region" aria-label="what each layer costs">'
        '<table class="plain"><thead><tr><th scope="col">layer</th>'
        '<th scope="col">type</th><th scope="col">output</th><th scope="col" class="right">Params</th>'
        '<th scope="col" class="right">M</th><th scope="col" class="right">M+A</th>'
        f'<th scope="col">share of FLOPs</th></tr></thead><tbody>{"".join(rows)}</tbody><tfoot><tr>'
        f'<th scope="row" colspan="3">total</th>{counts(cost.params, cost.flops_m, cost.flops_ma)}'
        '<td class="share"></td></tr></tfoot></table></div>'
    )


def counts(*numbers: int) -> str:
    """Cells of whole numbers, thousands apart."""
    return "".join(f'<td class="right">{number:,}</td>' for number in numbers)


def number(value: float | None, unit: str = "") -> str:
    """A number of at most four significant digits, or nothing."""
    return "" if value is None else f"{compact(value)}{unit}".strip()


def ranged(distribution: BaseDistribution) -> str:
    """The range that a parameter is sampled from, in words."""
    logarithmic = isinstance(distribution, (FloatDistribution, IntDistribution)) and distribution.log
    return f"{range_text(distribution)}{', evenly in the logarithm' if logarithmic else ''}"


def moment(time: datetime | None) -> str:
    """A time to the second."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"
