"""What the dashboard says to decide by: the strip above the Pareto plane, full trainings, comparison."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import create_trial

from search.after.retrain import full_training
from search.after.top import race
from search.after.training import SearchedTrial, choose_trial
from search.dashboard.parts import decision
from search.dashboard.source import sources
from search.objective import CourseScore
from search.results.noise import Noise
from search.results.view import View
from search.run.state.ledger import ROW
from tests.big_study import make
from tests.dashboard.seen import TINY, Seen, answered, place, recorded, retrained, served, trained
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


def test_a_full_training_is_followed_before_it_has_a_model(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    book = recorded(tmp_path)
    trained(book, 12.0)
    folder = tmp_path / "tiny_study"
    searched = SearchedTrial(
        book.study, "tiny_study", TINY, folder, choose_trial(book.optuna_study, 0), study_id=book.id
    )
    with served(sources([str(TINY)], tmp_path, None)) as url:
        seen = see(f"{url}#/tiny_study/trial/0")
        seen.page.wait_for_selector("#block-command")
        assert seen.page.locator("#block-retrained").count() == 0
        seeds = full_training(searched, 6, 2).ledger
        asked = seeds.ask()
        assert asked is not None
        for epoch in (1, 2):
            seeds.report(asked.number, dict.fromkeys(ROW, 1.0) | {"epoch": epoch, "error": 12.5 - epoch})
        seen.page.wait_for_selector("text=seed 0 running, epoch 2 of 6, 10.50 px; seed 1 waiting")
        seen.drawn("seeds")
        # A race is told on the page of each of its candidates.
        trained(book, 12.5)
        another = replace(searched, trial=choose_trial(book.optuna_study, 1))
        racing = race([searched, another], 8).ledger
        first, second = racing.ask(), racing.ask()
        assert first is not None
        assert second is not None
        racing.report(second.number, dict.fromkeys(ROW, 1.0) | {"epoch": 3, "error": 11.25})
        seen.page.wait_for_selector("text=trial 1, seed 0 running, epoch 3 of 8, 11.25 px")
        seen.page.goto(f"{url}#/tiny_study/trial/1")
        seen.page.wait_for_selector("text=trial 0, seed 0 running, epoch 0 of 8; trial 1, seed 0 running, epoch 3 of 8")
        for each in (first, second):
            racing.stop(each.number)
        seen.until(lambda: not seen.page.locator("#block-retrained").count(), "the race's end")
        seen.page.goto(f"{url}#/tiny_study/trial/0")
        # With a model it is told by that.
        retrained(folder, book.id, 0, [9.0], epochs=6)
        seen.page.wait_for_selector("#block-retrained table")
        assert "waiting" not in seen.page.inner_text("#block-retrained")
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
        alike = page.locator("#block-trials td", has_text="ties the best")
        seen.until(lambda: 1 <= alike.count() == len(seen.rows()) - 1, "these alone")
        assert seen.rows()[0] == best.number
        assert seen.wrong == []


def test_ticked_trials_are_compared(tmp_path: Path, see: Callable[..., Seen]) -> None:
    book, folder = recorded(tmp_path), tmp_path / "tiny_study"
    for number, error in enumerate((12.0, 13.0, 14.0, 15.0, 16.0)):
        trained(book, error)
        answered(folder, number, [error, error + 1, error + 2], [100 + number, 110 + number // 2], [3, 9])
    trials = book.optuna_study.trials
    with served(sources([str(TINY)], tmp_path, None)) as url:
        seen = see(url)
        page = seen.page
        for number in (2, 0):
            page.get_by_label(f"compare trial {number}", exact=True).check()
        seen.until(lambda: "compare=2%2C0" in page.url, "the ticks in the address")
        assert page.inner_text("#ticked").startswith("2 trials ticked: 2, 0.")
        page.get_by_role("link", name="compare", exact=True).click()
        for block in ("together", "together-1", "joints", "pck"):
            seen.drawn(block)
        told = page.inner_text("#block-differences")
        assert [link.inner_text() for link in page.locator("#block-differences thead a").all()] == ["2", "0"]
        row = page.locator("#block-differences tr", has_text="PixelDiff").inner_text()
        assert row.split() == ["PixelDiff", "[px]", "14", "12", "\N{MINUS SIGN}14", "%"]
        differing = {name for name in trials[0].params if trials[0].params[name] != trials[2].params[name]}
        assert set(page.locator("#block-differences tr.differs th").all_inner_texts()) == differing
        assert ("The same in all" in told) == (differing != set(trials[0].params))
        data = "document.querySelector('#block-%s .js-plotly-plot')._fullData.map((trace) => %s)"
        assert page.evaluate(data % ("joints", "[trace.name, Array.from(trace.x)]")) == [
            ["trial 2", [14, 15, 16]],
            ["trial 0", [12, 13, 14]],
        ]
        assert page.evaluate(data % ("together", "Array.from(trace.y)")) == [[17, 16, 15, 14], [15, 14, 13, 12]]
        # The images that every trial answers, and in this order; both kept 3 and 9 alone.
        pictures = page.locator("#block-images img")
        assert [image.get_attribute("src").rsplit("/", 1)[1] for image in pictures.all()] == [  # type: ignore[union-attr]
            "9.jpg",
            "9.jpg",
            "3.jpg",
            "3.jpg",
        ]

        # Whoever is sent the address sees the same; four are the most.
        other = see(page.url, width=390, dark=True)
        other.drawn("pck")
        assert other.page.inner_text("#block-differences thead") == page.inner_text("#block-differences thead")
        assert other.page.evaluate("document.documentElement.scrollWidth") <= 390
        other.page.get_by_role("link", name="Pareto").click()
        for number in (1, 3):
            other.page.get_by_label(f"compare trial {number}", exact=True).check()
        assert other.page.get_by_label("compare trial 4", exact=True).is_disabled()
        other.page.get_by_role("button", name="untick").click()
        seen.until(lambda: "compare" not in other.page.url, "none ticked")
        assert other.page.get_by_label("compare trial 4", exact=True).is_enabled()

        # Those of a selection; and a point that is clicked with the shift key.
        other.page.goto(f"{url}#/tiny_study/pareto?trials=1,4")
        other.page.get_by_role("button", name="compare them").click()
        other.drawn("pck")
        assert "compare=1%2C4" in other.page.url
        page.get_by_role("link", name="Pareto").click()
        seen.drawn("pareto")
        page.locator("#block-pareto").scroll_into_view_if_needed()
        x, y, number = place(seen, min)
        page.mouse.move(x, y)
        page.wait_for_selector(".hoverlayer .hovertext")
        page.keyboard.down("Shift")
        page.mouse.click(x, y)
        page.keyboard.up("Shift")
        wanted = {2, 0} ^ {number}
        seen.until(
            lambda: page.locator("#block-trials tbody input:checked").count() == len(wanted), "a tick by the point"
        )
        assert page.evaluate("window.hurt") is None
        assert seen.wrong + other.wrong == []


def test_studies_have_one_common_front(tmp_path: Path, see: Callable[..., Seen]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    trials_of(tmp_path, 150)
    (tmp_path / "other").mkdir()
    make(tmp_path / "other" / "study.db", trials=150, seed=5, name="other")
    found = sources([], tmp_path, None)
    points = [
        (view.price(e), e.error, source.name, e.number)
        for source in found
        for view in [source.reader.read()]
        for e in view.by_state["finished"]
    ]
    wanted = sorted(p for p in points if not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in points))
    with served(found) as url:
        seen = see(f"{url}#/big/compare")
        seen.drawn("fronts")
        rows = seen.page.locator("#block-common tbody tr").all()
        listed = [(row.locator("th").inner_text(), int(row.locator("a").inner_text())) for row in rows]
        assert listed == [(study, number) for _, _, study, number in wanted]
        assert {study for study, _ in listed} == {"big", "other"}
        check(axe, seen, "compare")
        seen.page.select_option("select[name=with]", "other")
        seen.until(lambda: "with=other" in seen.page.url, "the choice in the address")
        seen.page.locator("#block-common tbody tr", has_text="other").first.locator("a").click()
        seen.page.wait_for_selector("#block-command")
        assert "#/other/trial/" in seen.page.url
        assert seen.wrong == []


def ended(*trials: tuple[float, float | None]) -> View:
    """Finished trials by their errors, all of one price, and what the sampler expected of each."""
    made = []
    for number, (error, gain) in enumerate(trials):
        attrs = {"params_m": 1.0, "gflops": 1.0, "pixel_diff": error, "score": math.exp(error), "seconds": 60.0}
        attrs |= {} if gain is None else {"expected_gain": gain}
        one = create_trial(value=error, user_attrs=attrs)
        one.number, one.datetime_complete = number, datetime(2026, 1, 1, 0, number)
        made.append(one)
    return View.of("some", CourseScore.name, {"metric": "pixel_diff", "unit": "px"}, made)


def test_what_going_on_is_expected_to_bring() -> None:
    noise = Noise(0.05, 1e6)
    assert decision.going_on(ended((9.0, None), (8.0, None), (8.5, None), (8.2, None)), noise) == [
        "No better score in the last 2 of 4 trials (2 min 00 s of training). Random searches wait as long or longer in "
        "50\xa0% of cases, and find a better one next in 1 of 5; a sampler that learns does better."
    ]
    # A value that falls by ln 2 is half the score; the best has a deviation of 0.05 x 8 = 0.4, a factor of 1.5.
    said = decision.going_on(ended((9.0, None), (9.5, None), (8.0, math.log(2))), noise)
    assert said == [
        "The newest of 3 trials that ended is the best.",
        f"The sampler expects the next trial to gain 50 % of the score on average ({decision.CAME}), and seed noise of "
        "the best is a factor of 1.5 of the score: to go on pays.",
    ]
    assert "sampler expects" not in decision.going_on(ended((9.0, None), (8.0, math.log(2))), noise)[0]
    last = decision.going_on(ended((8.0, 0.5), *((8.5, 0.001) for _ in range(8))), noise)[1]
    assert "gain 0.1 % of the score" in last
    assert "to train the best in full says more than to go on" in last


def test_chance_of_a_wait_is_that_of_random_searches() -> None:
    draw, trials, wait = np.random.default_rng(0), 12, 5
    orders = np.argsort(draw.random((20_000, trials)), axis=1)
    last_best = orders[:, 0]  # where the smallest of each search stands
    assert (trials - 1 - last_best >= wait).mean() == pytest.approx((trials - wait) / trials, abs=0.01)
    more = draw.random((20_000, trials + 1))
    assert (more.argmin(1) == trials).mean() == pytest.approx(1 / (trials + 1), abs=0.01)
