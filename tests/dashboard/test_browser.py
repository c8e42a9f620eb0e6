"""The dashboard as a person sees it: a real Chromium, a real server, and once a search that is running."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data.errors import UserError
from search.dashboard import report
from search.dashboard.source import sources
from search.results import answers
from tests.dashboard.seen import HOSTILE, POSEFRONT, TINY, Seen, place, recorded, served, trained


@pytest.mark.timeout(280)
def test_a_search_that_is_running(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    environment = os.environ | {"TINY_SLEEP": "0.5"}
    search = subprocess.Popen(
        [sys.executable, "-m", "tests.without_ray", "search", TINY, "--out", tmp_path, "--trials", "60"],
        cwd=TINY.parents[1],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    shown = None
    try:
        for _ in range(600):
            try:
                sources([str(TINY)], tmp_path, None)[0].reader.read()
                break
            except UserError:
                time.sleep(0.1)
        shown = subprocess.Popen(
            [POSEFRONT, "dashboard", TINY, "--out", tmp_path, "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert shown.stdout is not None
        url = re.findall(r"http://127\.0\.0\.1:\d+/", shown.stdout.readline())[0]
        watch(see, url, tmp_path)
        assert search.poll() is None, "the search should still have been running"
    finally:
        for process in (search, shown):
            if process is not None:
                process.send_signal(signal.SIGINT)
                process.wait(60)
                if process.stdout is not None:
                    process.stdout.close()
    assert shown is not None
    assert shown.returncode in (0, 130)


def watch(see: Callable[[str], Seen], url: str, out: Path) -> None:
    """Points appear without reload, a selection filters and survives, a trial's page has its gallery."""
    seen = see(url)
    page = seen.page
    page.evaluate("window.mark = 'not reloaded'")
    seen.until(lambda: page.locator("#block-pareto .js-plotly-plot").count(), "a first figure", 90)
    few = seen.until(lambda: seen.numbers("pareto"), "a first point", 60)
    seen.until(lambda: len(seen.rows()) >= 3 and len(set(seen.numbers("pareto"))) >= 3, "three trials", 90)
    assert page.evaluate("window.mark") == "not reloaded"
    assert len(set(few)) <= len(set(seen.numbers("pareto")))

    # Zoom, and see it kept by the next update.
    figure = "document.querySelector('#block-pareto .js-plotly-plot')"
    ranges = f"[{figure}.layout.xaxis.range, {figure}.layout.yaxis.range]"
    page.locator("#block-pareto .modebar-btn[data-title='Zoom in']").click()
    zoomed = page.evaluate(ranges)
    before = len(seen.rows())
    # From the plane on: what is to be decided stands above it, and comes with the first finished trial.
    tops = """(() => { const all = [...document.querySelectorAll('main > *')];
        const plane = all.findIndex((one) => one.id === 'block-pareto');
        return all.slice(plane).map((one) => one.offsetTop - all[plane].offsetTop); })()"""
    boxes = page.evaluate(tops)
    seen.until(lambda: len(seen.rows()) > before, "another trial", 60)
    assert page.evaluate(ranges) == zoomed
    assert page.evaluate(tops)[: len(boxes)] == boxes  # nothing jumps

    # Draw a box around the whole plane but its right edge's points, by mouse.
    page.locator("#block-pareto .modebar-btn[data-title='Reset axes']").click()
    page.locator("#block-pareto .modebar-btn[data-title='Box Select']").click()
    x, y, number = place(seen, min)
    page.mouse.move(x - 14, y - 14)
    page.mouse.down()
    page.mouse.move(x + 7, y + 7, steps=4)
    page.mouse.move(x + 14, y + 14, steps=4)
    page.mouse.up()
    seen.until(lambda: number in seen.rows() and len(seen.rows()) < before, "the table filtered")
    chosen = seen.rows()
    updates = int(page.evaluate("document.documentElement.dataset.updates"))
    seen.until(lambda: int(page.evaluate("document.documentElement.dataset.updates")) > updates, "an update", 60)
    assert seen.rows() == chosen
    page.get_by_role("link", name="Curves").click()
    seen.drawn("learning")
    seen.until(lambda: set(seen.numbers("learning")) == set(chosen), "the curves of the selection alone")
    page.get_by_role("link", name="Pareto").click()
    page.get_by_role("button", name="show all").click()
    seen.until(lambda: len(seen.rows()) > len(chosen), "the whole table")

    for title, block in (("Progress", "best"), ("Why", "importance")):
        page.get_by_role("link", name=title).click()
        seen.drawn(block)
    page.get_by_role("link", name="Now").click()
    page.wait_for_selector("#block-training progress")
    assert "CPU cores" in page.inner_text("#block-devices")

    # A trial that has ended has a gallery of pictures that load, and a drawing of its network.
    page.get_by_role("link", name="Pareto").click()
    page.wait_for_selector("#block-trials tbody tr")
    page.locator("#block-trials tbody tr").first.click()
    page.wait_for_selector("#block-gallery img, #block-gallery image")
    number = int(page.url.rsplit("/", 1)[1])
    assert answers.file(out / "tiny_study", number).is_file()
    pictures = page.evaluate(
        """async () => { const all = [...document.querySelectorAll("#block-gallery img, #block-gallery image")];
        const sizes = await Promise.all(all.map(async (one) => { const image = new Image();
            image.src = one.src || one.href.baseVal; await image.decode(); return image.naturalWidth; }));
        return sizes; }"""
    )
    assert len(pictures) >= 9
    assert set(pictures) == {224}
    page.wait_for_selector("#block-network svg", timeout=60_000)
    page.wait_for_selector("#block-layers table", timeout=60_000)
    assert f"posefront retrain {TINY} --trial {number} --out {out}" in page.inner_text("#block-command")

    # Optuna's own pages, on the same address.
    other = see(f"{url}dashboard")
    other.page.wait_for_selector("text=tiny_study", timeout=30_000)
    other.page.goto(f"{url}dashboard/studies/1")
    other.page.wait_for_selector("text=tiny_study", timeout=30_000)
    other.page.wait_for_selector(".js-plotly-plot", timeout=30_000)

    assert seen.wrong == []
    assert other.wrong == []
    assert {address for address in seen.asked + other.asked if not address.startswith((url, "data:", "blob:"))} == set()


def test_nothing_to_see_is_said_in_a_sentence(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    book = recorded(tmp_path)
    with served(sources([str(TINY)], tmp_path, None)) as url:
        seen = see(url)
        page = seen.page
        for tab in ("Pareto", "Progress", "Why", "Curves", "Now"):
            page.get_by_role("link", name=tab).click()
            page.wait_for_selector("text=no trials yet")
        page.get_by_role("link", name="Pareto").click()
        for _ in range(3):
            trained(book, 20.0, epochs=0, end="fail")
        page.wait_for_selector("text=All 3 trials that were tried failed")
        assert "broke <img" in page.inner_text("main")
        book.optuna_study._storage.delete_study(book.optuna_study._study_id)
        page.wait_for_selector("text=is no longer in its storage")
        assert page.evaluate("window.hurt") is None
        assert seen.wrong == []


def test_a_file_deleted_while_open_and_a_server_that_ends(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    book = recorded(tmp_path)
    trained(book, 12.0)
    with served(sources([str(TINY)], tmp_path, None)) as url:
        seen = see(url)
        seen.drawn("pareto")
        (tmp_path / "tiny_study" / "study.db").unlink()
        seen.page.wait_for_selector("text=is no longer in its storage")
        assert seen.wrong == []
    seen.page.wait_for_selector("text=no longer answers")


def test_hostile_text_is_text_on_every_page(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    book = recorded(tmp_path)
    for error, end in ((20.0, "finish"), (12.0, "finish"), (30.0, "stop"), (15.0, "fail"), (25.0, "")):
        book.optuna_study.enqueue_trial({}, user_attrs={"name": HOSTILE})
        trained(book, error, end=end)
    for _ in range(8):
        trained(book, 14.0)
    with served(sources([str(TINY)], tmp_path, None)) as url:
        seen = see(url)
        for tab, block in (("Pareto", "pareto"), ("Progress", "best"), ("Why", "parallel"), ("Curves", "learning")):
            seen.page.get_by_role("link", name=tab).click()
            seen.drawn(block)
        seen.page.get_by_role("link", name="Pareto").click()
        seen.drawn("pareto")
        x, y, _ = place(seen, min)
        seen.page.mouse.move(x, y)
        seen.page.wait_for_selector(".hoverlayer .hovertext")
        for number in (0, 3):
            seen.page.goto(f"{url}#/tiny_study/trial/{number}")
            seen.page.wait_for_selector("#block-facts table")
            seen.page.wait_for_selector("#block-network svg, #block-network p", timeout=60_000)
        assert HOSTILE in seen.page.inner_text("main")
        assert seen.page.evaluate("window.hurt") is None
        assert seen.page.locator("main img[src='x']").count() == 0
        assert seen.wrong == []


def test_the_report_opens_offline_and_has_every_page(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    book = recorded(tmp_path)
    for error in (20.0, 12.0, 31.0):
        trained(book, error)
    file = tmp_path / "report.html"
    assert report.write(sources([str(TINY)], tmp_path, None), file) == 3
    seen = see(file.as_uri())
    for tab, block in (
        ("Pareto", "pareto"),
        ("Compare", "together"),
        ("Progress", "best"),
        ("Why", "importance"),
        ("Curves", "learning"),
    ):
        seen.page.get_by_role("link", name=tab).click()
        seen.drawn(block)
    # Its lists work, alone and together, and stand in the address.
    seen.page.get_by_role("link", name="Why").click()
    seen.drawn("contour")
    seen.page.select_option("select[name=target]", "cost")
    seen.page.wait_for_selector("text=Price against each parameter")
    before = seen.page.input_value("select[name=x]")
    other = seen.page.input_value("select[name=y]")
    seen.page.select_option("select[name=x]", other)
    seen.page.select_option("select[name=y]", before)
    seen.page.wait_for_selector(f"text=Price over {other} and {before}")
    assert {"target=cost", f"x={other}", f"y={before}"} <= set(seen.page.url.partition("?")[2].split("&"))
    seen.page.get_by_role("link", name="Pareto").click()
    seen.page.select_option("select[name=colour]", "size")
    seen.page.wait_for_selector("#block-pareto >> text=size = 32")
    assert re.search(r"Report of 20\d\d-\d\d-\d\d \d\d:\d\d", seen.page.inner_text("body"))
    seen.page.wait_for_selector("#block-edges p")
    assert seen.page.locator("#block-trials tbody input").count() == 0  # a report compares the best trials alone
    seen.page.locator("#block-trials tbody tr").first.click()
    seen.page.wait_for_selector("#block-network svg")
    seen.page.wait_for_selector("#block-layers table")
    assert seen.wrong == []
    asked = {address.partition("#")[0] for address in seen.asked if not address.startswith(("data:", "blob:"))}
    assert asked == {file.as_uri()}


def test_light_and_dark(tmp_path: Path, see: Callable[[str], Seen]) -> None:
    book = recorded(tmp_path)
    trained(book, 12.0)
    with served(sources([str(TINY)], tmp_path, None)) as url:
        seen = see(url)
        seen.drawn("pareto")
        ink = "getComputedStyle(document.querySelector('#block-pareto .xtitle')).fill"
        light = seen.page.evaluate(ink)
        seen.page.get_by_title("light or dark").click()
        seen.until(lambda: seen.page.evaluate(ink) != light, "another ink")
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
        assert seen.wrong == []
