import json
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from data.drawn.skeleton import HAND_EDGES
from models.cost import cost
from models.net import Arch
from search.dashboard.parts import errors as answered_errors
from search.dashboard.parts import trial as trial_page
from search.objective import CourseScore
from search.results import bands
from search.results.accuracy import area_under, fraction_within
from search.results.answers import Answers, Example
from search.results.skeleton import limbs
from search.results.view import View

HOSTILE = "<img src=x onerror=alert(1)>"


class Cells(HTMLParser):
    """The texts of table cells and definitions, row by row, and every tag."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.widths: list[float] = []
        self.inside = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("tr", "div"):
            self.rows.append([])
        if tag in ("td", "th", "dt", "dd"):
            self.rows[-1].append("")
            self.inside = True
        if tag == "rect":
            self.widths.append(float(dict(attrs)["width"] or 0))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th", "dt", "dd")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.rows[-1][-1] += data


def trial(number: int, state: TrialState, params: dict[str, Any], ranges: dict[str, Any], **kept: Any) -> FrozenTrial:
    value = 3.0 if state is TrialState.COMPLETE else None
    made = create_trial(state=state, params=params, distributions=ranges, value=value, user_attrs=kept)
    made.number = number
    return made


@pytest.fixture
def view() -> View:
    ranges = {
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "size": IntDistribution(48, 96, step=16),
        f"head{HOSTILE}": CategoricalDistribution(["direct", HOSTILE]),
    }
    params = {"lr": 0.004, "size": 64, f"head{HOSTILE}": HOSTILE}
    good = {"params_m": 0.09, "gflops": 0.0012, "pixel_diff": 16.2, "budget": 9, "seed": 7, "score": 1234.5}
    curve = [{"epoch": 9, "error": 16.2, "seconds": 40.0}]
    found = [
        trial(0, TrialState.COMPLETE, params, ranges, curve=curve, worker=HOSTILE, name=HOSTILE, **good),
        trial(1, TrialState.FAIL, params, ranges, failed=f"RuntimeError: {HOSTILE}"),
        trial(2, TrialState.WAITING, {}, {}),
    ]
    return View.of("s", CourseScore.name, {"metric": "pixel_diff", "unit": "px"}, found)


def test_parameters_and_their_ranges(view: View) -> None:
    page = Cells(trial_page.parameters(view, 0))
    table = {row[0]: row[1:] for row in page.rows if len(row) == 3}
    assert table["lr"] == ["0.004", "0.0001 to 0.01, evenly in the logarithm"]
    assert table["size"] == ["64", "48 to 96 in steps of 16"]
    assert table[f"head{HOSTILE}"] == [HOSTILE, f"the choices direct, {HOSTILE}"]
    facts = dict(row for row in page.rows if len(row) == 2)
    assert facts["state"] == "finished"
    assert facts["score"] == "1,234"
    assert facts["PixelDiff"] == "16.20 px"
    assert facts["epochs"] == "9 of 9"
    assert facts["trained"] == "40 s"
    assert facts["seed"] == "7"
    assert facts["worker"] == HOSTILE
    assert facts["trial"] == f"0 {HOSTILE}"
    assert "reason" not in facts
    assert "img" not in page.tags


def test_trials_that_were_not_trained(view: View) -> None:
    failed = Cells(trial_page.parameters(view, 1))
    assert dict(row for row in failed.rows if len(row) == 2)["reason"] == f"RuntimeError: {HOSTILE}"
    assert "img" not in failed.tags
    waiting = trial_page.parameters(view, 2)
    assert "not been sampled" in waiting
    assert "<table" not in waiting


def test_cost_table_has_every_layer_and_totals() -> None:
    price = cost(Arch(points=21, width=0.1, stride=32, size=48, head="simcc"))
    page = Cells(trial_page.cost_table(price))
    rows = [row for row in page.rows if row]
    assert len(rows) == len(price.layers) + 2
    assert rows[1][0] == "(the network itself)"
    shown = {row[0]: row for row in rows}
    bins = next(layer for layer in price.layers if layer.name == "head.bins")
    assert shown["head.bins"][1:6] == [
        "Linear",
        "1 \u00d7 21 \u00d7 100",
        f"{bins.params:,}",
        f"{bins.flops_m:,}",
        f"{bins.flops_ma:,}",
    ]
    assert rows[-1][1:4] == [f"{price.params:,}", f"{price.flops_m:,}", f"{price.flops_ma:,}"]
    assert sum(page.widths) == pytest.approx(100, abs=0.01 * len(page.widths))
    sums = [sum(int(row[column].replace(",", "")) for row in rows[1:-1]) for column in (3, 4, 5)]
    assert [f"{total:,}" for total in sums] == rows[-1][1:4]


def test_a_layers_hostile_name_stays_text() -> None:
    price = cost(Arch(points=21, width=0.1, stride=32, size=32, head="direct"))
    odd = replace(price, layers=(replace(price.layers[0], name=HOSTILE, type=HOSTILE),))
    page = Cells(trial_page.cost_table(odd))
    assert "img" not in page.tags
    assert [HOSTILE, HOSTILE] in [row[:2] for row in page.rows]


@pytest.fixture(scope="module")
def errors() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).gamma(2, 4, (800, 21)) * np.linspace(0.8, 1.2, 21)


def answered(errors: np.ndarray[Any, Any], labels: list[str] | None = None) -> Answers:
    quantiles = np.quantile(errors, np.linspace(0, 1, 201)).tolist()
    names = labels or [f"joint {i}" for i in range(errors.shape[1])]
    edges = [list(edge) for edge in HAND_EDGES]
    shown = Example("best", 0, 1.0, [[0.5, 0.5]] * len(names), [[0.5, 0.5]] * len(names))
    return Answers(3, names, edges, errors.mean(0).tolist(), quantiles, [shown], "px")


@pytest.mark.parametrize("distance", [0.0, 0.5, 5.0, 10.0, 15.0, 20.0, 40.0, 1e6])
def test_fraction_within_is_what_counting_gives(errors: np.ndarray[Any, Any], distance: float) -> None:
    counted = (errors <= distance).mean()
    assert fraction_within(answered(errors).quantiles, distance) == pytest.approx(
        counted, abs=0.005
    )  # a step of the quantiles


@pytest.mark.parametrize("limit", [3.0, 30.0, 500.0])
def test_area_is_the_mean_over_distances(errors: np.ndarray[Any, Any], limit: float) -> None:
    distances = (np.arange(3000) + 0.5) / 3000 * limit
    counted = np.searchsorted(np.sort(errors, axis=None), distances, side="right").mean() / errors.size
    assert area_under(answered(errors).quantiles, limit) == pytest.approx(counted, abs=0.002)


def test_equal_errors_make_a_step() -> None:
    flat = [4.0] * 201
    assert [fraction_within(flat, x) for x in (3.999, 4.0, 5.0)] == [0.0, 1.0, 1.0]
    assert area_under(flat, 8.0) == pytest.approx(0.5)


def test_pck_figure(errors: np.ndarray[Any, Any]) -> None:
    drawn = answered_errors.pck({"trial 1": answered(errors), HOSTILE: answered(errors * 2)})
    lines = [trace for trace in drawn.data if trace.mode == "lines"]
    marks = [trace for trace in drawn.data if trace.mode == "markers"]
    assert list(lines[0].x[1:-1]) == answered(errors).quantiles
    assert np.allclose(lines[0].y[1:-1], np.linspace(0, 1, 201))
    assert list(marks[1].x) == [5, 10, 15, 20]
    assert np.allclose(marks[1].y, [(errors * 2 <= x).mean() for x in (5, 10, 15, 20)], atol=0.005)
    assert lines[0].name.startswith("trial 1: area to 30 px 0.")
    assert "<img" not in json.dumps(drawn.to_plotly_json(), default=str)
    assert drawn.layout.xaxis.title.text == "distance [px]"
    assert drawn.layout.uirevision == "keep"
    assert [trace.mode for trace in answered_errors.pck({"a": replace(answered(errors), unit="mm")}).data] == ["lines"]
    assert not answered_errors.pck({}).data
    assert answered_errors.pck({}).layout.annotations[0].text.endswith(".")


def test_joints_figure(errors: np.ndarray[Any, Any]) -> None:
    drawn = answered_errors.joints(answered(errors, [HOSTILE, *(f"joint {i}" for i in range(20))]))
    (bars,) = drawn.data
    assert np.allclose(bars.x, errors.mean(0))
    assert drawn.layout.shapes[0].x0 == pytest.approx(errors.mean())
    assert drawn.layout.xaxis.title.text == "mean error [px]"
    assert len(set(bars.marker.color)) == 6  # the wrist and five fingers
    assert [len(set(bars.marker.color[1 + 4 * f : 5 + 4 * f])) for f in range(5)] == [1] * 5
    assert "<img" not in json.dumps(drawn.to_plotly_json(), default=str)
    assert not answered_errors.joints(None).data
    assert answered_errors.joints(None).layout.annotations[0].text.endswith(".")


def test_limbs() -> None:
    assert limbs(21, HAND_EDGES) == [-1, *(finger for finger in range(5) for _ in range(4))]
    assert limbs(3, []) == [-1, -1, -1]
    assert limbs(4, [(0, 1), (2, 3)]) == [0, 0, 1, 1]
    assert limbs(3, [(0, 1), (1, 2), (2, 0)]) == [0, 0, 0]  # a ring has no branching point


def test_command_is_what_a_shell_takes_apart_again(view: View) -> None:
    assert bands.command(view, 0, "quickstart") == "posefront retrain quickstart --trial 0"
    odd = bands.command(view, 0, "my study;rm.py", Path("/some where/a b"), "sqlite:///$x 'y'.db")
    assert shlex.split(odd) == [
        *("posefront", "retrain", "my study;rm.py", "--trial", "0"),
        *("--out", "/some where/a b", "--storage", "sqlite:///$x 'y'.db"),
    ]
    assert bands.command(view, 2, "quickstart").startswith("Trial 2 has no parameters")
