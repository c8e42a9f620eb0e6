"""The dashboard where something is to be decided: narrowing, links that keep it, tables, keyboard, phone."""

import csv
import io
import json
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from search.dashboard.source import Source, sources
from tests.big_study import make
from tests.dashboard.seen import TINY, Seen, place, recorded, served, trained


def trials_of(out: Path, count: int = 60) -> Path:
    folder = out / "big"
    folder.mkdir()
    make(folder / "study.db", trials=count, seed=1)
    return out


def test_a_study_appears_while_the_page_is_open(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    def find(known: Collection[str]) -> list[Source]:
        return sources([], tmp_path, None, known=known)

    with served(find(()), find) as url:
        seen = see(url)
        seen.page.wait_for_selector("text=There is no search here yet")
        trained(recorded(tmp_path), 12.0)
        seen.drawn("pareto")
        trained(recorded(tmp_path, "another"), 14.0)
        seen.until(lambda: seen.page.locator("#studies option").count() == 2, "the second study", 40)
        seen.page.select_option("#studies", "another")
        seen.page.wait_for_selector("text=another: price against")
        seen.page.goto(f"{url}#/gone/pareto")
        seen.page.wait_for_selector("text=There is no study gone here; there are")
        assert seen.wrong == []


def test_a_filter_line_narrows_all_and_stands_in_the_address(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    with served(sources([], trials_of(tmp_path), None)) as url:
        seen = see(url)
        seen.drawn("pareto")
        page = seen.page
        page.fill("#filter", "state=finished, head=heatmap|simcc")
        page.keyboard.press("Enter")
        seen.until(lambda: "filter=" in page.url and page.is_visible("#chosen"), "the filter")
        view = sources([], tmp_path, None)[0].reader.read()
        wanted = {e.number for e in view.entries if e.state == "finished" and e.params["head"] in ("heatmap", "simcc")}
        seen.until(lambda: set(seen.rows()) == wanted, "those trials alone")
        assert set(seen.numbers("pareto")) == wanted
        assert f"{len(wanted)} trials selected" in page.inner_text("#chosen")

        # Whoever is sent the address sees the same.
        page.locator("#block-trials").get_by_role("button", name="score", exact=True).click()
        seen.until(lambda: "sort.trials=score" in page.url, "the order in the address")
        other = see(page.url)
        other.until(lambda: other.rows() == seen.rows(), "the same lines")
        assert other.page.input_value("#filter") == "state=finished, head=heatmap|simcc"
        assert other.page.locator("#block-trials th[aria-sort=ascending]").inner_text() == "score"

        page.get_by_role("link", name="Now").click()
        page.wait_for_selector("text=This page shows all trials")
        page.get_by_role("link", name="Curves").click()
        seen.drawn("learning")
        seen.until(lambda: set(seen.numbers("learning")) == wanted, "their curves alone")
        assert "Curves - big" in page.title()

        page.fill("#filter", "heat=heatmap")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=No trial has 'heat': did you mean head")
        page.get_by_role("button", name="show all").click()
        seen.until(lambda: not page.is_visible("#chosen"), "all")
        page.locator("#facts a", has_text=re.compile(r"^9$")).or_(page.locator("#facts a").nth(1)).first.click()
        seen.until(lambda: page.input_value("#filter").startswith("state="), "a fact's trials")
        assert seen.wrong + other.wrong == []


def test_an_empty_lasso_lets_go(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    with served(sources([], trials_of(tmp_path), None)) as url:
        seen = see(url)
        seen.drawn("pareto")
        page = seen.page
        page.locator("#block-pareto .modebar-btn[data-title='Box Select']").click()
        x, y, number = place(seen, min)

        def box(left: float, top: float, right: float, bottom: float) -> None:
            page.mouse.move(left, top)
            page.mouse.down()
            page.mouse.move((left + right) / 2, (top + bottom) / 2, steps=4)
            page.mouse.move(right, bottom, steps=4)
            page.mouse.up()

        box(x - 9, y - 9, x + 9, y + 9)
        seen.until(lambda: number in seen.rows() and "trials=" in page.url, "a selection")
        frame = page.locator("#block-pareto .js-plotly-plot .nsewdrag").first.bounding_box()
        assert frame is not None
        bottom = frame["y"] + frame["height"]
        box(frame["x"] + 4, bottom - 24, frame["x"] + 30, bottom - 2)
        seen.until(lambda: not page.is_visible("#chosen") and "trials=" not in page.url, "nothing selected")
        points = "[...document.querySelectorAll('#block-pareto .points path')]"
        faint = f"{points}.filter((point) => point.style.opacity < 0.5).length"
        seen.until(lambda: page.evaluate(faint) == 0, "no faint point")


def test_a_brush_selects_and_points_have_colours(tmp_path: Path, see: Callable[..., Seen]) -> None:
    with served(sources([], trials_of(tmp_path), None)) as url:
        seen = see(f"{url}#/big/why", width=1920)
        seen.drawn("parallel")
        page = seen.page
        page.locator("#block-parallel").scroll_into_view_if_needed()
        axes = page.locator("#block-parallel .axis-brush .background")
        box = axes.nth(axes.count() - 2).bounding_box()
        assert box is not None
        x = box["x"] + box["width"] / 2
        page.mouse.move(x, box["y"] + box["height"])
        page.mouse.down()
        page.mouse.move(x, box["y"] + box["height"] * 0.8, steps=4)
        page.mouse.move(x, box["y"] + box["height"] * 0.55, steps=4)
        page.mouse.up()
        seen.until(lambda: "brush=" in page.url and page.is_visible("#chosen"), "a selection")
        brushed = parse_qs(page.url.partition("?")[2])
        low, high = json.loads(brushed["brush"][0])["PixelDiff [px]"][0]
        view = sources([], tmp_path, None)[0].reader.read()
        inside = {e.number for e in view.by_state["finished"] if low <= (e.error or 0) <= high}
        assert 0 < len(inside) < len(view.by_state["finished"])
        assert f"{len(inside)} trial" in page.inner_text("#chosen")

        # Whoever is sent the address sees the same; other pages and colours keep it.
        other = see(page.url)
        other.drawn("parallel")
        constraint = """JSON.stringify(document.querySelector('#block-parallel .js-plotly-plot').data[0].dimensions
            .filter((axis) => axis.constraintrange).map((axis) => axis.name))"""
        other.until(lambda: other.page.evaluate(constraint) == '["PixelDiff [px]"]', "the brush")
        page.get_by_role("link", name="Pareto", exact=True).click()
        seen.until(lambda: set(seen.rows()) == inside, "those trials alone")
        page.select_option("select[name=colour]", "head")
        seen.until(lambda: "colour=head" in page.url and page.locator("text=head = heatmap").count(), "its colours")
        assert "brush=" in page.url
        page.get_by_role("button", name="show all").click()
        seen.until(lambda: "brush=" not in page.url, "no brush")
        assert "colour=head" in page.url
        page.get_by_role("link", name="Why", exact=True).click()
        seen.drawn("parallel")
        assert page.evaluate(constraint) == "[]"
        assert seen.wrong + other.wrong == []


def test_a_table_keeps_its_place(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    book = recorded(tmp_path)
    for error in range(40):
        trained(book, 20.0 + error)
    with served(sources([str(TINY)], tmp_path, None)) as url:
        seen = see(url)
        seen.drawn("pareto")
        page = seen.page
        scroll = "document.querySelector('#block-trials .scroll')"
        page.evaluate(f"{scroll}.scrollLeft = 90")
        page.locator("#block-trials tbody tr").nth(3).locator("a").focus()
        cell = "document.querySelector('#block-trials tbody tr td:nth-child(3)')"
        page.evaluate(f"getSelection().selectAllChildren({cell})")
        updates = int(page.evaluate("document.documentElement.dataset.updates"))
        trained(book, 90.0)
        seen.until(lambda: int(page.evaluate("document.documentElement.dataset.updates")) > updates, "an update")
        assert page.evaluate(f"{scroll}.scrollLeft") == 90
        assert page.evaluate("document.activeElement.closest('tr').dataset.trial") == str(seen.rows()[3])
        assert page.evaluate("String(getSelection())") == "finished"

        # The first column stays in sight.
        first = page.locator("#block-trials tbody tr").first.locator("th").bounding_box()
        outer = page.locator("#block-trials .scroll").bounding_box()
        assert first is not None
        assert outer is not None
        assert abs(first["x"] - outer["x"]) < 3

        # Sorted by the keyboard, over all pages; and back and forth.
        page.locator("#block-trials").get_by_role("button", name="PixelDiff [px]").focus()
        page.keyboard.press(" ")
        page.keyboard.press(" ")
        seen.until(lambda: seen.rows()[0] == 40, "the largest error first")
        page.get_by_role("button", name="next").click()
        seen.until(lambda: seen.rows()[0] == 15, "the second page")
        assert page.evaluate("document.activeElement.textContent") == "next"
        page.locator("#block-trials tbody tr").first.locator("a").click()
        page.wait_for_selector("#block-command")
        assert "Trial 15" in page.title()
        page.go_back()
        seen.until(lambda: seen.rows()[:1] == [15], "the same lines")

        # Columns away, and what is left as a file.
        page.locator("#block-trials summary").click()
        page.locator("#block-trials .columns label", has_text="images/s").locator("input").uncheck()
        assert "images/s" not in page.inner_text("#block-trials thead")
        with page.expect_download() as saved:
            page.get_by_role("button", name="CSV").click()
        table = list(csv.DictReader(io.StringIO(Path(saved.value.path()).read_text())))
        assert [int(line["trial"]) for line in table][:2] == [40, 39]
        assert len(table) == 41
        assert "images/s" not in table[0]
        assert "hide.trials=" in page.url
        assert seen.wrong == []


def test_nothing_offers_to_leave_and_figures_are_saved(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    with served(sources([], trials_of(tmp_path), None)) as url:
        seen = see(url)
        seen.drawn("pareto")
        titles = seen.page.evaluate("[...document.querySelectorAll('.modebar-btn')].map((b) => b.dataset.title)")
        assert not [title for title in titles if re.search("share|cloud|edit", title, re.IGNORECASE)]
        with seen.page.expect_download() as saved:
            seen.page.locator("#block-pareto .modebar-btn[data-title='Save as SVG, at print size']").click()
        assert Path(saved.value.path()).read_text().startswith("<svg")
        assert saved.value.suggested_filename == "big-pareto.svg"


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, True)])
def test_axe_finds_nothing_serious(tmp_path: Path, see: Callable[..., Seen], width: int, dark: bool) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with served(sources([], trials_of(tmp_path), None)) as url:
        seen = see(url, width=width, dark=dark)
        for tab, block in (
            ("pareto", "pareto"),
            ("compare", "together"),
            ("progress", "best"),
            ("why", "contour"),
            ("curves", "learning"),
        ):
            seen.page.goto(f"{url}#/big/{tab}")
            seen.drawn(block)
            check(axe, seen, tab)
        for path, block in (("now", "training"), ("trial/0", "facts")):
            seen.page.goto(f"{url}#/big/{path}")
            seen.page.wait_for_selector(f"#block-{block}")
            check(axe, seen, path)
        wide = seen.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width


def check(axe: object, seen: Seen, where: str) -> None:
    found = axe.Axe().run(seen.page).response["violations"]  # type: ignore[attr-defined]
    serious = [
        (where, each["id"], [node["html"][:120] for node in each["nodes"]][:3])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_page_does_not_wait_for_what_comes_late(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    held: dict[str, Any] = {}

    def hold(name: str) -> Callable[[Any], None]:
        return lambda route: held.__setitem__(name, route)

    with served(sources([], trials_of(tmp_path), None)) as url:
        seen = see("about:blank")
        page = seen.page
        page.route("**/assets/plotly.min.js", hold("plotly"))
        page.route("**/view/big/why", hold("why"))
        page.goto(url, wait_until="commit")
        page.wait_for_selector("#block-trials tbody tr")
        assert page.locator(".js-plotly-plot").count() == 0
        held["plotly"].continue_()
        seen.drawn("pareto")
        page.get_by_role("link", name="Why", exact=True).click()
        page.wait_for_selector("main[aria-busy='true']")
        assert page.locator("#block-pareto").count() == 1
        held["why"].continue_()
        seen.drawn("slices")
        assert page.locator("main[aria-busy]").count() == 0
        assert page.locator("#block-pareto").count() == 0
