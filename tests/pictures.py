"""`make pictures`: the README's pictures of the dashboard, taken of runs/quickstart in a real Chromium."""

import io
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = {
    "pareto": ("#/quickstart/pareto", "#block-pareto .main-svg"),
    "compare": ("#/quickstart/compare", "#block-pck .main-svg"),
    "progress": ("#/quickstart/progress", "#block-edf .main-svg"),
    "why": ("#/quickstart/why", "#block-importance .main-svg"),
    "curves": ("#/quickstart/curves", "#block-learning .main-svg"),
    "trial": ("#/quickstart/trial/{best}", "#block-network svg"),
}


def take(page: Any, name: str, full: bool) -> None:
    """A picture; one with photographs in 256 colours, which is a third of the bytes."""
    elsewhere = (
        "(here) => { for (const e of document.querySelectorAll('pre')) "
        "e.textContent = e.textContent.replace(here, '~/posefront'); }"
    )
    page.evaluate(elsewhere, str(Path.cwd()))  # no path of the machine that it is taken on
    page.evaluate("document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; })")
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    taken = Image.open(io.BytesIO(page.screenshot(full_page=full))).convert("RGB")
    if taken.getcolors(1 << 15) is None:  # photographs; of a figure's pale colours two would become one
        taken = taken.quantize(256, dither=Image.Dither.NONE)
    taken.save(DOCS / name, optimize=True)


POSEFRONT = Path(sys.executable).with_name("posefront")


@contextmanager
def dashboard(*options: str) -> Iterator[str]:
    """The address of one, while it runs."""
    server = subprocess.Popen([POSEFRONT, "dashboard", *options, "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield re.findall(r"http://\S+", server.stdout.readline())[0]
    finally:
        server.terminate()
        server.wait(20)


def take_now(page: Any) -> None:
    """What runs at this moment is a picture of a search of its own, which is ended after a few trials."""
    with tempfile.TemporaryDirectory() as out:
        search = subprocess.Popen([POSEFRONT, "search", "quickstart", "--out", out], stdout=subprocess.DEVNULL)
        try:
            with dashboard("--out", out) as url:
                page.goto(f"{url}#/quickstart/now")
                over = "parseInt((document.querySelector('#facts .value') || {}).textContent) >= 4"
                page.wait_for_function(over, timeout=240_000)
                page.wait_for_selector("dd:text('images/s')", timeout=60_000)
                page.wait_for_timeout(3000)
                take(page, "dashboard-now.png", True)
        finally:
            search.send_signal(signal.SIGINT)
            search.wait(60)


def main() -> None:
    chromium = shutil.which("chromium") or sys.exit("there is no Chromium on the PATH: apt-get install chromium")
    with dashboard("quickstart") as url, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for theme in ("light", "dark"):
            window = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=theme)
            page = window.new_page()
            page.goto(url)
            page.wait_for_selector("#facts a[href*='/trial/']")
            best = (page.get_attribute("#facts a[href*='/trial/']", "href") or "").rsplit("/", 1)[1]
            for name, (path, ready) in PAGES.items():
                if theme == "dark" and name != "pareto":
                    continue
                page.goto(url + path.format(best=best))
                page.wait_for_selector(ready, timeout=60_000)
                page.wait_for_timeout(1200)
                full = name != "curves"
                suffix = "-dark" if theme == "dark" else ""
                take(page, f"dashboard-{name}{suffix}.png", full)
            if theme == "light":
                page.goto(f"{url}dashboard/studies/1")
                page.wait_for_selector(".js-plotly-plot", timeout=30_000)
                page.wait_for_timeout(1500)
                take(page, "dashboard-optuna.png", False)
                take_now(page)
            window.close()
        browser.close()


if __name__ == "__main__":
    main()
