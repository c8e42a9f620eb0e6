"""A real Chromium."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.dashboard.seen import Seen

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")  # its event loop would be in the way of other files' notebooks
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def see(browser: Any) -> Iterator[Callable[..., Seen]]:
    opened = []

    def go(url: str, width: int = 1280, dark: bool = False) -> Seen:
        scheme = "dark" if dark else "light"
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        opened.append(page)
        seen = Seen(page)
        page.goto(url)
        return seen

    yield go
    for page in opened:
        page.close()
