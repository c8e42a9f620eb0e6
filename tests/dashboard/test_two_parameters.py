"""Points in the colours of a parameter, and the contour over two of them."""

import math
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from search.dashboard.parts import colour, contour
from search.dashboard.variants import difference
from search.results.figures import pareto
from search.results.style import MUTED, SERIES
from search.results.view import View

SPACE = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "width": FloatDistribution(0, 1),
    "head": CategoricalDistribution(["<b>heat</b>", "direct"]),
    "deconv": FloatDistribution(1, 9),
}


def viewed(count: int = 60) -> View:
    rng = np.random.default_rng(3)
    trials = []
    for number in range(count):
        params: dict[str, Any] = {"lr": float(10 ** rng.uniform(-4, -1)), "width": float(rng.random())}
        params["head"] = ["<b>heat</b>", "direct"][number % 2]
        if number % 2 == 0:
            params["deconv"] = float(rng.uniform(1, 9))
        state = TrialState.PRUNED if number % 5 == 4 else TrialState.COMPLETE
        error = float(rng.uniform(5, 20))
        trials.append(
            FrozenTrial(
                number=number, state=state, value=error, datetime_start=datetime(2026, 1, 1), params=params,
                datetime_complete=datetime(2026, 1, 2), distributions={name: SPACE[name] for name in params},
                user_attrs={"pixel_diff": error, "params_m": float(rng.uniform(0.1, 3)), "gflops": 0.1, "budget": 3},
                system_attrs={}, intermediate_values={1: error}, trial_id=number,
            )
        )  # fmt: skip
    return View.of("two", "value", {"metric": "pixel_diff", "unit": "px"}, trials)


def colours(view: View, name: str) -> tuple[dict[int, str], list[str]]:
    """The colour of each trial, and what the legend names."""
    drawn = colour.coloured(pareto.figure(view), view, name)
    found = {
        int(row[0]): shade
        for trace in drawn.data
        if trace.meta == pareto.TRIALS
        for row, shade in zip(trace.customdata, trace.marker.color, strict=True)
    }
    return found, [trace.name for trace in drawn.data if trace.showlegend is not False]


def test_points_have_the_colour_of_their_own_value() -> None:
    view = viewed()
    assert [name for name, _ in colour.options(view)] == ["state", "trial", "lr", "width", "head", "deconv"]
    by_head, named = colours(view, "head")
    params = {trial.number: trial.params for trial in view.trials}
    assert by_head == {number: SERIES[params[number]["head"] == "direct"] for number in params}
    assert "head = &lt;b&gt;heat&lt;/b&gt;" in named
    assert any(name.startswith("stopped") for name in named)

    by_depth, named = colours(view, "deconv")
    assert {number for number, shade in by_depth.items() if shade == MUTED} == set(range(1, 60, 2))
    assert "no deconv" in named

    # From blue to orange, in the logarithm: red grows with the value.
    by_lr, _ = colours(view, "lr")
    upper = sorted((n for n in params), key=lambda n: params[n]["lr"])[30:]
    reds = [int(by_lr[number][1:3], 16) for number in upper]
    assert reds == sorted(reds)
    logs = np.log([params[n]["lr"] for n in params])
    middle = min(params, key=lambda n: abs(math.log(params[n]["lr"]) - (logs.min() + logs.max()) / 2))
    assert abs(int(by_lr[middle][3:5], 16) - 0x9E) < 12

    plain = pareto.figure(view)
    assert colour.coloured(pareto.figure(view), view, "state") == plain
    assert colour.coloured(pareto.figure(view), view, "nothing") == plain


@pytest.mark.parametrize(("across", "up"), [("lr", "width"), ("head", "lr"), ("width", "deconv")])
def test_the_contour_is_the_mean_of_the_trials_nearby(across: str, up: str) -> None:
    view = viewed()
    drawn = contour.figure(view, "error", across, up)
    surface, points = drawn.data[0], drawn.data[1]
    # Every finished trial that has both, and no other, with its own values.
    having = {t.number: t for t in view.trials if t.state is TrialState.COMPLETE and {across, up} <= set(t.params)}
    assert set(map(int, points.customdata)) == set(having)
    if across != "head":
        for number, x, y in zip(points.customdata, points.x, points.y, strict=True):
            assert (x, y) == (having[int(number)].params[across], having[int(number)].params[up])

    def apart(name: str, trial: FrozenTrial, at: Any) -> float:
        if name == "head":
            return 0.0 if SPACE[name].choices[int(at)] == trial.params[name] else math.inf
        log = math.log if name == "lr" else float
        values = [log(each.params[name]) for each in having.values()]
        return (log(trial.params[name]) - log(float(at))) / (max(values) - min(values)) / contour.NEARBY

    columns = list(range(len(surface.x)))[:: 1 if across == "head" else 9]
    for row in range(0, contour.GRID, 9):
        for place in columns:
            weights = {
                number: math.exp(
                    -0.5 * (apart(across, trial, surface.x[place]) ** 2 + apart(up, trial, surface.y[row]) ** 2)
                )
                for number, trial in having.items()
            }
            shown = float(surface.z[row][place])
            if max(weights.values()) < math.exp(-0.5 * contour.FARTHEST**2) * (1 - 1e-9):
                assert math.isnan(shown)
                continue
            mean = sum(w * having[n].values[0] for n, w in weights.items()) / sum(weights.values())
            assert shown == pytest.approx(mean, rel=1e-3)


def test_a_contour_that_cannot_be() -> None:
    view = viewed()
    assert "two different" in contour.figure(view, "error", "lr", "lr").layout.annotations[0].text
    few = view.only([0, 2])
    assert "from three finished trials on" in contour.figure(few, "error", "lr", "width").layout.annotations[0].text
    assert contour.figure(view.only([0, 1, 2]), "cost", "lr", "head").data


def changed(base: Any, told: Any) -> Any:
    """As the page's script does it."""
    if told is None:
        return base
    if "=" in told:
        return told["="]
    copy = dict(enumerate(base)) if isinstance(base, list) else dict(base)
    for key, each in told["~"].items():
        at = int(key) if isinstance(base, list) else key
        copy[at] = changed(copy.get(at), each)
    return [copy[place] for place in range(told["n"])] if isinstance(base, list) else copy


def test_a_difference_turns_one_page_into_the_other() -> None:
    rng = np.random.default_rng(0)

    def random_value(depth: int) -> Any:
        kind = rng.integers(5 if depth else 3)
        if kind < 3:
            return [None, int(rng.integers(3)), "text"][kind]
        count = int(rng.integers(4))
        if kind == 3:
            return [random_value(depth - 1) for _ in range(count)]
        return {"abc"[place % 3]: random_value(depth - 1) for place in range(count)}

    for _ in range(500):
        base, other = random_value(4), random_value(4)
        assert changed(base, difference(base, other)) == other
    assert difference({"a": [{"x": 1}, {"y": 2}], "b": 1}, {"a": [{"x": 1}, {"y": 3}], "b": 1}) == {
        "~": {"a": {"~": {"1": {"~": {"y": {"=": 3}}}}, "n": 2}}
    }
