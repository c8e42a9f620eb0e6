"""`make pictures`: the README's pictures of the dashboard, taken of runs/quickstart in a real Chromium."""

import io
import re
import shutil
import subprocess
import sys
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
    "now": ("#/quickstart/now", "#block-devices table"),
    "trial": ("#/quickstart/trial/{best}", "#block-network svg"),
}


def take(page: Any, name: str, full: bool) -> None:
    """A picture in 256 colours: a third of the bytes, and no difference to be seen."""
    taken = Image.open(io.BytesIO(page.screenshot(full_page=full))).convert("RGB")
    taken.quantize(256, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)


def main() -> None:
    chromium = shutil.which("chromium") or sys.exit("there is no Chromium on the PATH: apt-get install chromium")
    command = [Path(sys.executable).with_name("posefront"), "dashboard", "quickstart", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        url = re.findall(r"http://\S+", server.stdout.readline())[0]
        with sync_playwright() as started:
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
                    full = name in ("trial", "why", "progress", "compare")
                    suffix = "-dark" if theme == "dark" else ""
                    take(page, f"dashboard-{name}{suffix}.png", full)
                if theme == "light":
                    page.goto(f"{url}dashboard/studies/1")
                    page.wait_for_selector(".js-plotly-plot", timeout=30_000)
                    page.wait_for_timeout(1500)
                    take(page, "dashboard-optuna.png", False)
                window.close()
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
