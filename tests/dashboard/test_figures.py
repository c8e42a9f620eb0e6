"""The dashboard's figures against hand counts, brute force and other libraries, for studies of every kind and size."""

import json
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from optuna._hypervolume import compute_hypervolume
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import ecdf

from search.dashboard.parts import curves, progress, why
from search.full_length import Interval
from search.objective import REFERENCE, CourseScore
from search.results import importance
from search.results import pareto as plane
from search.results.figures import base, pareto
from search.results.importance import shares
from search.results.noise import Retrained
from search.results.style import ACCENT
from search.results.view import View
from search.schedulers import recorded

NASTY = "<img src=x onerror=alert(1)>"
START = datetime(2026, 1, 1)
SEARCH = {"trials": 9, "epochs": 9, "scheduler": "asha", "grace": 1, "reduction": 3, "seed": 0}
WIDTH, HEAD = FloatDistribution(0.1, 1.2), CategoricalDistribution(["direct", "heatmap"])


def trial(
    number: int,
    state: str = "finished",
    errors: tuple[float, ...] = (20.0, 10.0),
    price: tuple[float, float] | None = (1.0, 0.1),
    params: dict[str, tuple[Any, BaseDistribution]] | None = None,
    ended: int | None = None,
    scored: bool = True,
    **attrs: Any,
) -> FrozenTrial:
    """A trial as a search keeps it; each epoch takes 2 s."""
    kept: dict[str, Any] = dict(attrs)
    log = 0.0
    if price is not None:
        kept |= {"params_m": price[0], "gflops": price[1], "budget": 9}
        log = math.log(price[0] * price[1]) if scored else 0.0
    values = {epoch: log + error for epoch, error in enumerate(errors, 1)}
    if errors:
        kept["curve"] = [
            {"epoch": epoch, "error": error, "train_loss": 0.1, "valid_loss": 0.2, "lr": 1e-3 / epoch, "seconds": 2.0}
            for epoch, error in enumerate(errors, 1)
        ]
    if errors and state in ("finished", "stopped"):
        kept |= {"pixel_diff": errors[-1], "epochs": len(errors), "seconds": 2.0 * len(errors), "band": "x"}
        if scored:
            kept["score"] = math.exp(values[len(errors)])
    if state in ("failed", "refused"):
        kept.setdefault(state, "why it did")
    known = {"finished": TrialState.COMPLETE, "failed": TrialState.FAIL, "running": TrialState.RUNNING}
    over = state != "running"
    asked = {"width": (0.5, WIDTH), "head": ("direct", HEAD)} if params is None else params
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=known.get(state, TrialState.PRUNED),
        value=values[len(errors)] if state == "finished" else None,
        datetime_start=START,
        datetime_complete=START + timedelta(seconds=number if ended is None else ended) if over else None,
        params={name: value for name, (value, _) in asked.items()},
        distributions={name: spread for name, (_, spread) in asked.items()},
        user_attrs=kept,
        system_attrs={},
        intermediate_values=values,
    )


def view(*trials: FrozenTrial, scored: bool = True, name: str = "study", **attrs: Any) -> View:
    known = {"metric": "pixel_diff", "unit": "px", "data": "d", "search": SEARCH} | attrs
    return View.of(name, CourseScore.name if scored else "error", known, trials)


def sampled(count: int, seed: int = 0, scored: bool = True) -> View:
    """A study of all states with parameters of all kinds, one of them conditional."""
    draw = np.random.default_rng(seed)
    rate, size = FloatDistribution(1e-4, 1e-2, log=True), IntDistribution(64, 224, step=16)
    made = []
    for number in range(count):
        width, lr, head = draw.uniform(0.1, 1.2), 10 ** draw.uniform(-4, -2), str(draw.choice(["direct", "heatmap"]))
        params: dict[str, tuple[Any, BaseDistribution]] = {
            "width": (width, WIDTH),
            "lr": (lr, rate),
            "head": (head, HEAD),
            "size": (int(draw.integers(4, 15)) * 16, size),
        }
        if head == "heatmap":
            params["beta"] = (draw.uniform(0.1, 10), FloatDistribution(0.1, 10))
        state = ("finished", "stopped", "stopped", "failed", "refused")[number % 5] if number < count - 2 else "running"
        epochs = {"finished": 20, "failed": 0, "refused": 0}.get(state, 3)
        end = 6 + 2 * math.log(lr / 2e-3) ** 2 + draw.exponential()
        errors = tuple(float(end + 30 * math.exp(-epoch / 4)) for epoch in range(1, epochs + 1))
        price = (float(width**2 + 0.05), float(0.1 * width**2))
        made.append(trial(number, state, errors, price, params, scored=scored))
    return view(*made, scored=scored)


FIGURES: dict[str, Callable[[View], go.Figure]] = {
    "pareto": pareto.figure,
    "best": lambda seen: progress.best_so_far([seen], "trials"),
    "best in seconds": lambda seen: progress.best_so_far([seen, seen], "seconds"),
    "hypervolume": lambda seen: progress.hypervolume([seen], "trials"),
    "edf": lambda seen: progress.edf([seen, seen]),
    "importance": why.importance_figure,
    "slices": lambda seen: why.slices(seen, "value"),
    "cost slices": lambda seen: why.slices(seen, "cost"),
    "parallel": why.parallel,
    "learning": curves.learning,
    "one": lambda seen: curves.of_trial(seen, seen.trials[0].number) if seen.trials else base.empty("no trial"),
}

STUDIES: dict[str, Callable[[], View]] = {
    "empty": view,
    "failures": lambda: view(*(trial(number, "failed", ()) for number in range(3))),
    "unbuilt": lambda: view(trial(0, "failed", (), None, {})),
    "running": lambda: view(trial(0, "running", ()), trial(1, "running")),
    "stopped": lambda: view(trial(0, "stopped"), trial(1, "refused", ())),
    "one": lambda: view(trial(0)),
    "equal": lambda: view(*(trial(number) for number in range(12))),
    "huge": lambda: view(trial(0, errors=(1e3, 900.0), scored=False), trial(1)),
    "odd": lambda: view(trial(0, errors=(math.nan, math.inf), scored=False), trial(1, "stopped")),
    "no error": lambda: view(trial(0, errors=(0.0, 0.0))),
    "sampled": lambda: sampled(60),
    "error alone": lambda: sampled(60, scored=False),
    "older": lambda: View.of("s", CourseScore.name, {}, [trial(0, error=3.0)]),
}


def strict(figure: go.Figure) -> dict[str, Any]:
    """A figure's JSON, with what JSON does not know refused."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in JSON")

    read: dict[str, Any] = json.loads(figure.to_json(), parse_constant=refuse)
    return read


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)
    elif isinstance(node, str):
        yield node


def importances(seen: View, target: importance.Target) -> dict[str, float] | str:
    """The shares by the parameter's name, largest first; or the sentence why they are not known."""
    found = importance.shares(seen, target)
    return found if isinstance(found, str) else {share.name: share.share for share in found.shares}


def named(figure: go.Figure, start: str) -> Any:
    """The one trace whose name starts so."""
    (found,) = [trace for trace in figure.data if trace.name and trace.name.startswith(start)]
    return found


@pytest.mark.parametrize("kind", STUDIES)
@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_of_every_study_shows_something_and_is_json(figure: str, kind: str) -> None:
    drawn = FIGURES[figure](STUDIES[kind]())
    read = strict(drawn)
    assert read["layout"]["uirevision"] == "keep"
    assert read["layout"]["template"] == {}
    if not read["data"]:
        (note,) = drawn.layout.annotations
        assert note.text.endswith((".", ")")) or note.text == "no trial"


@pytest.mark.parametrize("figure", FIGURES)
def test_no_text_of_a_study_is_markup(figure: str) -> None:
    params: dict[str, tuple[Any, BaseDistribution]] = {
        NASTY: (NASTY, CategoricalDistribution([NASTY, "b"])),
        NASTY + "2": (0.5, FloatDistribution(0, 1)),
    }
    trials = [
        trial(n, errors=(9.0 + n % 4,), params=params | {NASTY + "2": (n / 20, FloatDistribution(0, 1))})
        for n in range(12)
    ]
    trials += [trial(12, "failed", (), failed=NASTY, params=params), trial(13, "stopped", params=params, name=NASTY)]
    seen = view(*trials, name=NASTY, unit=NASTY, data=NASTY, search=SEARCH | {"scheduler": NASTY})
    said = list(strings(strict(FIGURES[figure](seen))))
    assert not any("<img" in text for text in said)
    # The loss has no name of the study's own.
    assert any("&lt;img" in text for text in said) == (figure != "loss")


def test_best_so_far_by_hand() -> None:
    # Ended in the order 2, 0, 3, 1; the third was stopped early and its smaller error does not count.
    seen = view(
        trial(0, errors=(12.0,), ended=20, scored=False),
        trial(1, errors=(7.0, 6.0), ended=40, scored=False),
        trial(2, errors=(9.0,), ended=10, scored=False),
        trial(3, "stopped", errors=(5.0,), ended=30, scored=False),
        trial(4, "refused", (), ended=5, scored=False),
        scored=False,
    )
    line = named(progress.best_so_far([seen], "trials"), "study: best")
    assert (list(line.x), list(line.y)) == ([1, 4, 4], [9, 6, 6])
    spent = progress.best_so_far([seen], "seconds")
    line = named(spent, "study: best")
    assert list(line.x) == [2, 10, 10]
    assert list(named(spent, "finished").customdata) == [2, 0, 1]
    assert list(named(spent, "finished").x) == [2, 4, 10]
    assert list(named(spent, "stopped").x) == [6]
    scored = named(progress.best_so_far([view(trial(0, errors=(3.0,), price=(2.0, 0.5)))], "trials"), "study: best")
    assert scored.y[-1] == pytest.approx(math.exp(3))


def test_the_hypervolume_is_optunas_and_a_grids() -> None:
    draw = np.random.default_rng(1)
    points = [(float(x), float(y)) for x, y in draw.integers(0, 12, (80, 2))]
    reference = (10.0, 11.0)
    found = progress.hypervolumes([None, *points], reference)
    assert found[0] == 0
    for count in range(1, len(points) + 1):
        inside = np.array([p for p in points[:count] if p[0] < reference[0] and p[1] < reference[1]]).reshape(-1, 2)
        rays = compute_hypervolume(inside, np.array(reference)) if len(inside) else 0.0
        cells = {
            (x, y)
            for a, b in points[:count]
            for x in range(int(a), int(reference[0]))
            for y in range(int(b), int(reference[1]))
        }
        assert found[count] == pytest.approx(rays) == len(cells)


def test_the_hypervolume_of_a_study_is_measured_from_the_worst_of_all() -> None:
    one = view(trial(0, errors=(10.0,), price=(1.0, 1.0)), trial(1, errors=(8.0,), price=(math.e, 1.0)))
    two = view(trial(0, errors=(20.0,), price=(math.e**2, 1.0)), name="other")
    drawn = progress.hypervolume([one, two], "trials")
    # From (2, 20): 2 x 10, and then 1 x 2 more.
    assert list(named(drawn, "study").y) == pytest.approx([20.0, 22.0])
    assert list(named(drawn, "other").y) == [0.0]


def test_the_distribution_is_scipys() -> None:
    seen = sampled(200)
    line = named(progress.edf([seen]), "study")
    values = [math.exp(entry.value or 0) for entry in seen.entries if entry.state == "finished"]
    theirs = ecdf(values).cdf
    assert np.array(line.y[1:]) == pytest.approx(theirs.evaluate(np.array(line.x[1:])))
    assert list(line.x[1:]) == sorted(values)
    assert f"n = {len(values)}" in line.name


def test_studies_judged_by_different_numbers_are_not_compared() -> None:
    drawn = progress.edf([sampled(20), sampled(20, scored=False)])
    assert not drawn.data
    assert "figure cannot compare" in drawn.layout.annotations[0].text


@pytest.mark.parametrize(("grace", "reduction", "epochs"), [(1, 3, 9), (1, 3, 20), (2, 4, 100), (5, 2, 5), (1, 2, 1)])
def test_rungs_are_rays(grace: int, reduction: int, epochs: int) -> None:
    from ray.tune.schedulers import ASHAScheduler

    search = {"scheduler": "asha", "grace": grace, "reduction": reduction, "epochs": epochs}
    rays = ASHAScheduler("epoch", "value", "min", epochs, min(grace, epochs), reduction)
    milestones = {rung for rung, _ in rays._brackets[0]._rungs if rung < epochs}
    assert set(recorded(search).rungs(epochs)) == milestones
    brackets: set[float] = set()
    for bracket in range(len(milestones) + 1):
        first = min(grace * reduction**bracket, epochs)
        inner = ASHAScheduler("epoch", "value", "min", epochs, first, reduction)._brackets[0]
        brackets |= {rung for rung, _ in inner._rungs if rung < epochs}
    assert set(recorded(search | {"scheduler": "hyperband"}).rungs(epochs)) == brackets
    assert recorded(search | {"scheduler": "none"}).rungs(epochs) == recorded({}).rungs(epochs) == ()
    assert recorded(search | {"scheduler": "median"}).rungs(epochs) == ((grace,) if grace < epochs else ())


def test_learning_curves_are_whole_and_apart() -> None:
    seen = view(trial(0, errors=(9.0, 8.0, 7.0)), trial(1, "stopped", (5.0,)), trial(2, errors=(6.0, 4.0)))
    drawn = curves.learning(seen)
    (line,) = [trace for trace in drawn.data if trace.name == "finished"]
    assert np.array(line.y) == pytest.approx(np.array([9, 8, 7, math.nan, 6, 4, math.nan]), nan_ok=True)
    assert list(line.x) == [1, 2, 3, 3, 1, 2, 2]
    assert list(line.customdata) == [0, 0, 0, 0, 2, 2, 2]
    (stop,) = [trace for trace in drawn.data if trace.name == "stopped" and trace.mode == "markers"]
    assert (list(stop.x), list(stop.y), list(stop.customdata)) == ([1], [5], [1])
    assert list(named(drawn, "best").y) == [6, 4]
    assert [line.x0 for line in drawn.layout.shapes] == [1, 3]


def test_curves_left_out_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "CAP", 100)
    seen = sampled(60)
    drawn = curves.learning(seen)
    points = sum(
        len(trace.y) for trace in drawn.data if trace.name in ("finished", "stopped", "running") and trace.mode
    )
    kept = curves.within_cap(seen)
    running = [entry.number for entry in seen.entries if entry.state == "running"]
    best = running + [entry.number for entry in seen.entries if entry.state == "finished"][: len(kept) - len(running)]
    assert points <= 100 + len(kept)
    assert set(kept) == set(best)
    assert f"{len(seen.curves) - len(kept)} not shown" in drawn.layout.title.subtitle.text


def test_one_parameter_alone_drives_each_target() -> None:
    draw = np.random.default_rng(3)
    trials = []
    for number in range(120):
        width, lr, idle = draw.uniform(0.1, 1.2), 10 ** draw.uniform(-4, -2), int(draw.integers(3))
        params: dict[str, tuple[Any, BaseDistribution]] = {
            "idle": (idle, CategoricalDistribution([0, 1, 2])),
            "lr": (lr, FloatDistribution(1e-4, 1e-2, log=True)),
            "width": (width, WIDTH),
        }
        error = 8 + 3 * abs(math.log10(lr) + 3)
        trials.append(trial(number, errors=(error,), price=(width, 0.1), params=params))
    seen = view(*trials)
    for target, driver in (("error", "lr"), ("cost", "width")):
        found = importances(seen, target)  # type: ignore[arg-type]
        assert isinstance(found, dict)
        assert next(iter(found)) == driver
        assert found[driver] > 0.9
        assert sum(found.values()) - found[driver] < 0.03
    both = importances(seen, "value")
    assert isinstance(both, dict)
    assert min(both["lr"], both["width"]) > 0.15
    assert both["idle"] < 0.03


def test_a_conditional_parameter_is_judged_among_its_own_trials() -> None:
    draw = np.random.default_rng(4)
    trials = []
    for number in range(100):
        head, beta = ("heatmap", "direct")[number % 2], draw.uniform(0, 1)
        params: dict[str, tuple[Any, BaseDistribution]] = {"head": (head, HEAD), "idle": (draw.uniform(0, 1), WIDTH)}
        if head == "heatmap":
            params["beta"] = (beta, FloatDistribution(0, 1))
        trials.append(trial(number, errors=(10 + (4 * beta if head == "heatmap" else 20),), params=params))
    seen = view(*trials)
    found = importance.shares(seen, "error")
    assert isinstance(found, importance.Shares)
    by_name = {share.name: share for share in found.shares}
    assert (by_name["beta"].trials, by_name["head"].trials, found.trials) == (50, 100, 100)
    assert by_name["beta"].share > 0.9
    assert by_name["idle"].share < 0.02
    assert by_name["head"].share > 0.9
    assert any("on 50 trials" in text for text in strings(strict(why.importance_figure(seen))))


def test_importance_says_why_it_is_not_known() -> None:
    assert importances(view(*(trial(n) for n in range(7))), "error") == (
        "Importances need 8 finished trials; there are 7."
    )
    same = importances(view(*(trial(n) for n in range(9))), "cost")
    assert isinstance(same, str)
    assert "same cost" in same
    no_choice = importances(view(*(trial(n, errors=(9.0 + n,)) for n in range(9))), "error")
    assert no_choice == "No parameter differs between the trials."


def test_the_price_counts_every_trial_that_has_one() -> None:
    found = importance.shares(sampled(60), "cost")
    assert isinstance(found, importance.Shares)
    assert found.trials == 60
    assert found.shares[0].name == "width"


def test_each_priced_trial_is_one_point_and_the_front_is_a_brute_forces() -> None:
    seen = sampled(150)
    drawn = pareto.figure(seen)
    points = {}
    for trace in drawn.data:
        if trace.customdata is not None:
            for x, y, row in zip(trace.x, trace.y, trace.customdata, strict=True):
                assert int(row[0]) not in points
                points[int(row[0])] = (x, y, trace.name.split()[0])
    assert set(points) == {entry.number for entry in seen.entries}
    for entry in seen.entries:
        x, y, state = points[entry.number]
        assert state == entry.state
        assert x == pytest.approx(math.log(entry.params_m * entry.gflops))  # type: ignore[operator]
        assert y == pytest.approx(entry.error) if entry.error is not None else y > 30
    finished = [(x, y) for x, y, state in points.values() if state == "finished"]
    front = [(x, y) for x, y in finished if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in finished)]
    line = named(drawn, "Pareto")
    assert np.column_stack([line.x, line.y]) == pytest.approx(np.array(sorted(front)))
    best = named(drawn, "best")
    assert best.x[0] + best.y[0] == pytest.approx(min(x + y for x, y in finished))


def test_a_wild_trial_does_not_squash_the_picture() -> None:
    seen = view(*(trial(n, errors=(20.0 + n / 10,)) for n in range(40)), trial(40, "stopped", (5000.0,), scored=False))
    drawn = pareto.figure(seen)
    assert drawn.layout.yaxis.range[1] < 50
    stopped = named(drawn, "stopped")
    assert 40 > stopped.y[0] > 24
    assert "5,000 px" in stopped.text[0]


def test_equal_scores_are_diagonals() -> None:
    drawn = pareto.figure(sampled(100))
    lines = [
        shape for shape in drawn.layout.shapes if shape.type == "line" and shape.x0 != shape.x1 and shape.y0 != shape.y1
    ]
    assert len(lines) >= 4
    for line in lines:
        assert line.x0 + line.y0 == pytest.approx(line.x1 + line.y1)
        tens = (line.x0 + line.y0) / math.log(10)
        assert tens == pytest.approx(round(tens), abs=1e-6) or line.line.color == ACCENT
    assert [pareto.raised(plane.score_text(math.log(s))) for s in (285.6, 28104, 1e9, 3.2e12, 0.01, 9.99e-5)] == [
        "285.6",
        "28,104",
        "10<sup>9</sup>",
        "3.2\u00d710<sup>12</sup>",
        "0.01",
        "10<sup>-4</sup>",
    ]


def test_the_published_design_stands_in_its_place_or_at_the_edge() -> None:
    assert math.log(REFERENCE.params_m * REFERENCE.gflops) + REFERENCE.pixel_diff == pytest.approx(
        math.log(REFERENCE.score), abs=2e-3
    )
    near = pareto.figure(view(trial(0, price=(1.0, 0.2)), trial(1, price=(0.1, 0.1))))
    mark = named(near, "published design")
    assert (mark.x[0], mark.y[0]) == (pytest.approx(-0.4981, abs=1e-3), 6.153)
    assert near.layout.xaxis.range[1] > mark.x[0]
    far = pareto.figure(view(trial(0, price=(0.01, 0.001)), trial(1, price=(0.02, 0.001))))
    assert far.layout.xaxis.range[1] < -5
    (arrow,) = [note for note in far.layout.annotations if note.showarrow]
    assert "285.6" in arrow.text
    assert arrow.y == 6.153
    for other in (
        sampled(20, scored=False),
        view(trial(0, rmse=5.0), metric="rmse"),
        view(trial(0), reference=None),
    ):
        assert "published" not in pareto.figure(other).to_json()


def test_a_study_says_itself_what_it_is_measured_against() -> None:
    design = {"name": NASTY, "params_m": 1.0, "gflops": 0.2, "pixel_diff": 9.0, "score": 1620.6}
    drawn = pareto.figure(view(trial(0, price=(1.0, 0.2)), trial(1, price=(0.1, 0.1)), reference=design))
    (mark,) = [trace for trace in drawn.data if trace.marker.symbol == "star"]
    assert (mark.x[0], mark.y[0]) == (pytest.approx(math.log(0.2)), 9.0)
    assert "1620.6" in mark.name
    assert "published" not in drawn.to_json()
    assert not any("<img" in text for text in strings(strict(drawn)))


def test_a_full_training_stands_below_its_trial_with_its_interval() -> None:
    seen = view(trial(0, price=(1.0, 0.2)), trial(1, price=(0.1, 0.1)))
    run = Retrained(1, 90, ((7, 9.0, "last"), (8, 9.4, "last")), Interval(8.8, 9.2, 9.7), NASTY, "", ())
    drawn = pareto.figure(seen, [run, run._replace(trial=5)], near=[0])
    (found,) = (trace for trace in drawn.data if (trace.name or "").startswith("retrained"))
    assert (list(found.x), list(found.y)) == ([pytest.approx(math.log(0.1 * 0.1))], [9.2])
    assert (found.error_y.array[0], found.error_y.arrayminus[0]) == (pytest.approx(0.5), pytest.approx(0.4))
    assert NASTY not in drawn.to_json()
    assert "9.000, 9.400" in found.text[0]
    (marked,) = (trace for trace in drawn.data if (trace.name or "").startswith("within seed noise"))
    assert list(marked.x) == [pytest.approx(math.log(1.0 * 0.2))]


def test_the_page_of_the_picture_is_one_file(tmp_path: Any) -> None:
    from data.errors import UserError

    pareto.write(view(trial(0), name=NASTY), tmp_path / "pareto.html")
    page = (tmp_path / "pareto.html").read_text()
    assert "<title>&lt;img" in page
    assert "<img src=x" not in page
    assert not list(tmp_path.glob("*.half"))
    with pytest.raises(UserError, match=r"cannot write .*--out"):
        pareto.write(view(trial(0)), tmp_path / "pareto.html" / "pareto.html")


def test_a_slice_shows_each_trial_at_its_value() -> None:
    seen = sampled(60)
    drawn = why.slices(seen, "error")
    by_number = {entry.number: entry for entry in seen.entries}
    axes = {f"x{place or ''}": drawn.layout[f"xaxis{place or ''}"] for place in (0, 2, 3, 4, 5)}
    shown: dict[str, dict[int, float]] = {axis.title.text: {} for axis in axes.values()}
    for trace in drawn.data:
        shown[axes[trace.xaxis].title.text] |= dict(zip(trace.customdata.tolist(), trace.x.tolist(), strict=True))
    judged = {number for number, entry in by_number.items() if entry.error is not None}
    assert set(shown["lr"]) == set(shown["head"]) == judged
    assert set(shown["beta"]) == {number for number in judged if "beta" in by_number[number].params}
    assert all(shown["lr"][number] == pytest.approx(by_number[number].params["lr"]) for number in judged)
    assert all(round(shown["head"][n]) == ["direct", "heatmap"].index(by_number[n].params["head"]) for n in judged)
    assert next(axis for axis in axes.values() if axis.title.text == "lr").type == "log"
    # The most important stand first, and what was stopped early does not press the finished ones to the floor.
    found = shares(seen, "error")
    assert not isinstance(found, str)
    ranked = sorted(found.shares, key=lambda share: -share.share)
    assert list(shown)[: len(ranked)] == [share.name for share in ranked]
    finished = [entry.error for entry in seen.entries if entry.state == "finished" and entry.error is not None]
    low, high = drawn.layout.yaxis.range
    assert high - low < 2 * (max(finished) - min(finished))


def test_parallel_coordinates_hold_what_each_trial_has() -> None:
    seen = sampled(60)
    (drawn,) = why.parallel(seen).data
    finished = [entry for entry in seen.entries if entry.state == "finished"][::-1]
    axes = {axis.label: axis for axis in drawn.dimensions}
    assert list(axes) == ["width", "lr", "head", "size", "beta", "P [M] \u00d7 F [G]", "PixelDiff [px]", "score"]
    assert axes["lr"].values == pytest.approx([math.log10(entry.params["lr"]) for entry in finished], rel=1e-5)
    without = [value for value, entry in zip(axes["beta"].values, finished, strict=True) if "beta" not in entry.params]
    assert without
    assert set(without) == {np.float32(axes["beta"].tickvals[0])}
    assert axes["beta"].ticktext[0] == why.NONE
    assert all(axis.range[0] <= min(axis.values) + 1e-6 for axis in drawn.dimensions)


def test_ten_thousand_trials_stay_small() -> None:
    seen = sampled(10_000)
    for name, figure in FIGURES.items():
        drawn = figure(seen)
        assert len(drawn.to_json()) < 3e6, name
        if name in ("pareto", "best", "learning"):
            assert {trace.type for trace in drawn.data} == {"scattergl"}
