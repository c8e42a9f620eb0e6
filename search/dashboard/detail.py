"""One trial: what it is, what its network costs, and how well it answers; each piece is a text or a figure."""

import shlex
from collections.abc import Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from search.dashboard.style import ACCENT, MUTED, SERIES, base, empty, heading
from search.format import HOVER, measured, titled
from search.ranges import spelt
from search.results.accuracy import area_under, fraction_within, levels, within95
from search.results.answers import Answers
from search.results.leaderboard import Entry
from search.results.skeleton import limbs
from search.results.view import View

if TYPE_CHECKING:
    from models.cost import Cost

RUNS = Path("runs")
"""Where studies lie unless --out says otherwise."""

LIMIT_PX = 30.0
"""The area under a PCK curve in pixels ends here (Zimmermann and Brox 2017, table 1: hands, 0 to 30 px)."""
MARKS_PX = (5.0, 10.0, 15.0, 20.0)
MANY, MOST = 80, 40
"""Of more than MANY labels the MOST that are worst have bars."""
UNANSWERED = "This trial kept no answers to its validation images."


def parameters(view: View, number: int) -> str:
    """Facts and sampled parameters of a trial as HTML, with the range that each parameter was sampled from."""
    entry = view.by_number.get(number)
    if entry is None:
        return sentence(f"There is no trial {number} in this study.")
    trial = next(trial for trial in view.trials if trial.number == number)
    told = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts(view, entry, trial.user_attrs) if value
    )
    shown = f'<dl class="facts-of-trial">{told}</dl>'
    if not trial.params:
        return shown + sentence("Its parameters have not been sampled yet.")
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="right">{escape(plain(value))}</td>'
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
        ("reason", f'<pre class="reason">{escape(entry.reason)}</pre>' if entry.reason else ""),
        ("score", four(entry.score) if view.scored else ""),
        ("ln score" if view.scored else escape(view.objective), "" if view.alone else four(entry.value)),
        ("band", escape(entry.band)),
        (escape(view.error_name), "" if entry.error is None else escape(measured(entry.error, view.unit))),
        ("Params", "" if entry.params_m is None else f"{entry.params_m:.4g} M"),
        ("FLOPs", "" if entry.gflops is None else f"{entry.gflops:.4g} G"),
        ("epochs", f"{entry.epochs} of {entry.budget}" if entry.budget else str(entry.epochs or "")),
        ("trained", f"{entry.seconds:,.0f} s" if entry.seconds else ""),
        ("speed", "" if entry.images_per_s is None else f"{entry.images_per_s:,.0f} images/s"),
        ("peak memory", "" if entry.peak_memory_mb is None else f"{entry.peak_memory_mb:,.0f} MB"),
        ("seed", "" if seed is None else escape(str(seed))),
        ("worker", escape(entry.worker)),
        ("started", moment(entry.started)),
        ("ended", moment(entry.ended)),
    ]


def cost_table(cost: "Cost") -> str:
    """The layers of a network as HTML, with totals and each layer's share of FLOPs, as `posefront cost` prints them."""
    if not cost.layers:
        return sentence("This network has no layers that hold or compute anything.")
    rows = []
    for layer in cost.layers:
        share = 100 * layer.flops / cost.flops if cost.flops else 0.0
        rows.append(
            f'<tr><th scope="row">{escape(layer.name) or "(the network itself)"}</th><td>{escape(layer.type)}</td>'
            f"<td>{TIMES.join(map(str, layer.output))}</td>{counts(layer.params, layer.flops_m, layer.flops_ma)}"
            f'<td class="share"><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect width="{share:.2f}" height="8"/></svg><span>{share:.1f} %</span></td></tr>'
        )
    return (
        f'<p class="note">Ranked: {cost.params / 1e6:.6g} M Params, {cost.flops / 1e9:.6g} G FLOPs (fvcore, BatchNorm '
        "folded). M: multiplications of one image; M+A: additions too; single operations, not millions.</p>"
        '<div class="scroll layers"><table class="plain"><thead><tr><th scope="col">layer</th>'
        '<th scope="col">type</th><th scope="col">output</th><th scope="col" class="right">Params</th>'
        '<th scope="col" class="right">M</th><th scope="col" class="right">M+A</th>'
        f'<th scope="col">share of FLOPs</th></tr></thead><tbody>{"".join(rows)}</tbody><tfoot><tr>'
        f'<th scope="row" colspan="3">total</th>{counts(cost.params, cost.flops_m, cost.flops_ma)}'
        '<td class="share"></td></tr></tfoot></table></div>'
    )


def joints(answers: Answers | None, unit: str) -> go.Figure:
    """Mean error of each label as bars in the labels' own order, a colour a limb, and the mean of all as a line.

    In that order a finger's joints stand side by side, base to tip, and that the error grows along them is seen at
    once; sorted by error it isn't. Of more than `MANY` labels the `MOST` of the largest errors are shown, largest
    first.

    Args:
        answers: of a trial; None where there are none.
        unit: of the study's error, for answers that do not say their own.
    """
    if answers is None or not answers.errors:
        return empty(UNANSWERED)
    unit, what = unit if answers.unit is None else answers.unit, "point" if answers.pointed else "label"
    places = list(range(len(answers.errors)))
    left_out = len(places) > MANY
    if left_out:
        places = sorted(places, key=lambda place: -(answers.errors[place] or 0.0))[:MOST]
    limb = limbs(len(answers.errors), answers.edges)
    names = [answers.labels[place] or f"{what} {place}" for place in places]
    told = [answers.errors[place] for place in places]
    row = 21 if len(places) <= 40 else 13
    drawn = go.Figure(
        go.Bar(
            x=told,
            y=list(range(len(places))),
            width=min(0.8, 1.3 * len(places) / 12),  # three bars need not be as thick as a thumb
            orientation="h",
            marker={"color": [MUTED if limb[place] < 0 else SERIES[limb[place] % len(SERIES)] for place in places]}
            if answers.edges
            else {"color": SERIES[0]},
            text=[escape(name) for name in names],
            textposition="none",
            hovertemplate=f"%{{text}}: %{{x:{HOVER}}} {escape(unit)}<extra></extra>",
            showlegend=False,
        )
    )
    known = [error for error in answers.errors if error is not None]
    mean = sum(known) / len(known) if known else 0.0
    drawn.add_vline(
        x=mean,
        line={"color": ACCENT, "width": 1.5, "dash": "dash"},
        annotation={
            "text": f"mean {escape(measured(mean, unit))}",
            "font": {"color": ACCENT, "size": 12},
            "yanchor": "bottom",
            "y": 1,
        },
        annotation_position="top",
    )
    base(drawn, x=escape(titled("mean error", unit)), y=what, height=max(280, 150 + row * len(places)))
    said = [f"the {MOST} largest of {len(answers.errors)}" if left_out else "mean of the validation images"]
    absent = [answers.labels[place] for place in places if answers.errors[place] is None]
    said += [f"in no image: {', '.join(map(short, absent[:2]))}{'...' if absent[2:] else ''}"] if absent else []
    heading(drawn, f"Error of each {what}", "; ".join(said))
    drawn.update_yaxes(
        range=[len(places) - 0.4, -0.6],
        ticklabelstandoff=6,
        tickmode="array",
        tickvals=list(range(len(places))),
        ticktext=[escape(short(name)) for name in names],
        tickfont={"size": 12 if row > 13 else 10},
        title=None,
    )
    drawn.update_xaxes(rangemode="tozero")
    drawn.update_layout(margin={"t": 88, "b": 56})
    return drawn


def pck(answers_by_name: Mapping[str, Answers], unit: str) -> go.Figure:
    """The share of points within a distance against the distance, a curve a trial (PCK: Yang and Ramanan 2013).

    The area under a curve, up to the limit that its legend states, is the mean of the share over the distances.
    Pixels are counted to LIMIT_PX and marked at MARKS_PX, other units to the largest 95th percentile. Errors that are
    no distances of points in a picture have the same curve and their median in the legend.

    Args:
        answers_by_name: a trial's name and its answers, the trial in question first.
        unit: of the study's error, for answers that do not say their own.
    """
    shown = {name: answers for name, answers in answers_by_name.items() if answers.quantiles}
    if not shown:
        return empty(UNANSWERED)
    first = next(iter(shown.values()))
    unit, pointed = unit if first.unit is None else first.unit, first.pointed
    pixels = pointed and unit == "px"
    limit = LIMIT_PX if pixels else max(within95(answers.quantiles) for answers in shown.values()) or 1.0
    drawn = go.Figure()
    for place, (name, answers) in enumerate(shown.items()):
        colour = ACCENT if place == 0 else SERIES[(place - 1) % len(SERIES)]
        area = f"area to {f'{limit:.4g} {unit}'.strip()} {area_under(answers.quantiles, limit):.3f}"
        median = f"half within {measured(answers.quantiles[len(answers.quantiles) // 2], unit)}"
        # From nothing at distance 0; beyond the largest error every point is found.
        x = [0.0, *answers.quantiles, max(limit, answers.quantiles[-1])]
        y = [0.0, *levels(answers.quantiles), 1.0]
        drawn.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": colour, "width": 2.5 if place == 0 else 1.8},
            name=escape(f"{name}: {area if pointed else median}"),
            hovertemplate=f"%{{y:.1%}} within %{{x:{HOVER}}} {escape(unit)}<extra>{escape(name)}</extra>",
        )
        if pixels:
            drawn.add_scatter(
                x=list(MARKS_PX),
                y=[fraction_within(answers.quantiles, mark) for mark in MARKS_PX],
                mode="markers",
                marker={"color": colour, "size": 8, "line": {"width": 1, "color": "#ffffff"}},
                showlegend=False,
                hovertemplate=f"%{{y:.1%}} within %{{x:g}} px<extra>{escape(name)}</extra>",
            )
    if pointed:
        base(drawn, x=escape(titled("distance", unit)), y="points within the distance [%]")
        heading(drawn, "Points within a distance", "of all validation images (PCK)")
    else:
        base(drawn, x=escape(titled("error", unit)), y="answers within the error [%]")
        heading(drawn, "Answers within an error", "of all validation images")
    drawn.update_xaxes(range=[0, limit * 1.02])
    drawn.update_yaxes(range=[0, 1.03], tickformat=".0%")
    return drawn


def command(view: View, number: int, study: str, out: Path = RUNS, storage: str | None = None) -> str:
    """The shell command that trains a trial in full; a sentence where there is no such trial or it has no parameters.

    Args:
        view: the study.
        number: the trial's.
        study: its name, or its file, as the search was given it.
        out: the folder of all studies.
        storage: Optuna's URL where it is not the study's own file.
    """
    entry = view.by_number.get(number)
    if entry is None:
        return f"There is no trial {number} in this study."
    if not entry.params:
        return f"Trial {number} has no parameters yet, so there is nothing to train."
    words = ["posefront", "retrain", study, "--trial", str(number)]
    words += [] if Path(out) == RUNS else ["--out", str(out)]
    words += [] if storage is None else ["--storage", storage]
    return shlex.join(words)


TIMES = " \u00d7 "


def counts(*numbers: int) -> str:
    """Cells of whole numbers, thousands apart."""
    return "".join(f'<td class="right">{number:,}</td>' for number in numbers)


def sentence(text: str) -> str:
    """What stands where there is nothing to show."""
    return f'<p class="note">{escape(text)}</p>'


def short(name: str) -> str:
    """A label that leaves room for its bar; what it ends with tells it from its neighbours."""
    return name if len(name) <= 26 else f"{name[:12]}\u2026{name[-13:]}"


def four(value: float | None) -> str:
    """Four significant digits."""
    if value is None:
        return ""
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3e}"


def plain(value: Any) -> str:
    """A parameter's value."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def ranged(distribution: BaseDistribution) -> str:
    """The range that a parameter is sampled from, in words."""
    logarithmic = isinstance(distribution, (FloatDistribution, IntDistribution)) and distribution.log
    return f"{spelt(distribution)}{', evenly in the logarithm' if logarithmic else ''}"


def moment(time: datetime | None) -> str:
    """A time to the second."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"
