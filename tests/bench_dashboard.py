"""`make bench`, the dashboard's part: a study of 10,000 trials opened and brought up to date in a real Chromium."""

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.big_study import make

TRIALS = 10_000
DRAWN = "document.querySelector('#block-%s .js-plotly-plot .main-svg') !== null"


def painted(page: Any, block: str) -> None:
    """Wait until a figure is on the screen: drawn, and two frames later."""
    page.wait_for_function(DRAWN % block)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def one_more_report(file: Path) -> None:
    """What the driver writes at a trial's end: another process's commit."""
    with sqlite3.connect(file) as book:
        row = book.execute("select trial_id, number from trials where state = 'RUNNING' limit 1").fetchone()
        book.execute("update trials set state = 'FAIL', datetime_complete = datetime_start where trial_id = ?", row[:1])
        value = (row[0], "failed", json.dumps("bench"))
        book.execute("insert or replace into trial_user_attributes (trial_id, key, value_json) values (?, ?, ?)", value)


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("the dashboard was not measured: no Chromium on the PATH")
        return
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        file = Path(folder) / "big" / "study.db"
        file.parent.mkdir()
        make(file, trials=TRIALS)
        command = [Path(sys.executable).with_name("posefront"), "dashboard", "--out", folder, "--port", "0"]
        began = time.perf_counter()
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            url = next(word for word in server.stdout.readline().split() if word.startswith("http"))
            up = time.perf_counter() - began
            browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            began = time.perf_counter()
            page.goto(url, wait_until="commit")
            page.wait_for_selector("#block-trials tbody tr")
            listed = time.perf_counter() - began
            painted(page, "pareto")
            first = time.perf_counter() - began
            page.close()
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            began = time.perf_counter()
            page.goto(url)
            painted(page, "pareto")
            print(f"{TRIALS:,} trials ({file.stat().st_size / 1e6:.0f} MB): the command answers after {up:.2f} s;")
            second = time.perf_counter() - began
            print(f"the first page has its table after {listed:.2f} s, its figure after {first:.2f} s;")
            print(f"a second window's is painted after {second:.2f} s")
            for tab, *blocks in (
                ("Progress", "best"),
                ("Why", "slices", "importance"),
                ("Curves", "learning"),
                ("Pareto", "pareto"),
            ):
                began = time.perf_counter()
                page.get_by_role("link", name=tab, exact=True).click()
                for block in blocks:
                    painted(page, block)
                    print(f"  page {tab}, {block}: {time.perf_counter() - began:.2f} s")
            key = file.parent.name
            for name in ("pareto", "curves"):
                one_more_report(file)
                asked = urllib.request.Request(  # noqa: S310
                    f"{url}view/{key}/{name}", b"{}", {"Content-Type": "application/json"}, method="POST"
                )
                began = time.perf_counter()
                with urllib.request.urlopen(asked) as reply:  # noqa: S310
                    size = len(reply.read())
                print(f"  update of {name}: answered in {time.perf_counter() - began:.2f} s, {size / 1e6:.1f} MB")
            updates = int(page.evaluate("document.documentElement.dataset.updates"))
            one_more_report(file)
            began = time.perf_counter()
            page.wait_for_function(f"Number(document.documentElement.dataset.updates) > {updates}")
            waited = time.perf_counter() - began
            took = page.evaluate("Number(document.documentElement.dataset.took)")
            print(f"  one more report: on the screen {waited:.2f} s later, of which {took / 1000:.2f} s are the update")
            browser.close()
        finally:
            server.terminate()
            server.wait(20)


if __name__ == "__main__":
    main()
