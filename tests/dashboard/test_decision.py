"""What the dashboard says to decide by: the strip above the Pareto plane, full trainings, comparison."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from search.dashboard import decision
from search.dashboard.source import sources
from search.results.noise import Noise
from tests.dashboard.seen import HOSTILE, TINY, Seen, recorded, retrained, served, trained
from tests.dashboard.test_deciding import check, trials_of


def test_retrained_models_and_their_seeds_are_shown(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    book = recorded(tmp_path)
    for error in (12.0, 12.4, 30.0):
        trained(book, error)
    with served(sources([str(TINY)], tmp_path, None)) as url:
        seen = see(url)
        seen.drawn("pareto")
        page = seen.page
        assert page.locator("#block-retrained").count() == 0
        ties = page.locator("#block-trials tbody tr", has_text="ties the best").count()
        # A model that comes while the page is open is on it, though nothing was written to the study.
        retrained(tmp_path / "tiny_study", book.id, 0, [9.9, 10.5, 10.2])
        page.wait_for_selector("#block-retrained table")
        assert "9.900, 10.20, 10.50" in page.inner_text("#block-retrained")
        assert "10.20" in page.inner_text("#block-trials tbody tr[data-trial='0']")
        trace = """() => { const trace = document.querySelector("#block-pareto .js-plotly-plot").data
            .find(({name}) => name && name.startsWith("retrained")); return [trace.y[0], trace.error_y.array[0],
            trace.error_y.arrayminus[0]]; }"""
        mean, above, below = page.evaluate(trace)
        assert mean == pytest.approx(10.2)
        interval = Noise.of([[9.9, 10.5, 10.2]]).interval([9.9, 10.5, 10.2])
        assert (mean + above, mean - below) == pytest.approx((interval.high, interval.low))
        assert ties >= 1

        page.locator("#block-retrained tbody a").click()
        page.wait_for_selector("#block-seeds .main-svg")
        told = page.inner_text("#block-retrained")
        assert "1001: 10.20" in told
        assert "Preferred to trial 1: 3.250 behind after 5 epochs" in told
        # One that cannot be read is said, and hides nothing.
        (tmp_path / "tiny_study" / "models" / "000001-20").mkdir()
        page.goto(f"{url}#/tiny_study/pareto")
        page.wait_for_selector("text=has no model.json")
        assert page.locator("#block-retrained tbody tr").count() == 1
        assert seen.wrong == []


def test_the_strip_names_the_best_and_what_trains_it(tmp_path: Path, see: Callable[..., Seen]) -> None:
    with served(sources([], trials_of(tmp_path, 150), None)) as url:
        view = sources([], tmp_path, None)[0].reader.read()
        seen = see(url, width=390)
        page = seen.page
        page.wait_for_selector("#block-bands li")
        best = view.by_state["finished"][0]
        assert f"posefront retrain big.py --trial {best.number} --out {tmp_path}" in page.inner_text("#block-bands")
        since = sum(entry.ended > best.ended for entry in view.ended)  # type: ignore[operator]
        assert since > 1
        assert f"No better score in the last {since} of {len(view.ended)} trials" in page.inner_text("#block-outlook")
        page.wait_for_selector("#block-edges p, #block-edges li")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        # The trials that are as good lead to themselves.
        page.locator("#block-outlook a").click()
        seen.until(lambda: "trials=" in page.url and page.is_visible("#chosen"), "the selection")
        assert best.number in seen.rows()
        assert page.locator("#block-trials td", has_text="ties the best").count() == len(seen.rows()) - 1
        assert seen.wrong == []
