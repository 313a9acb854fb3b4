"""Reports in a headless Chromium.

Debian's `chromium` (or any on the PATH) is used through Playwright; nothing is downloaded. Without
a browser these tests are skipped on a developer's machine and fail in CI.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "report"))

from runs import CHAT, CONCURRENCY, DEPTH, HARD, Workload, build

from bench.report.formats import render
from bench.report.run_page import run_page
from bench.results.run import RunStatus

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WORKLOADS = {
    "chat": CHAT,
    "concurrency": CONCURRENCY,
    "depth": DEPTH,
    "hard": HARD,
    "small": Workload(requests=2, blocks=1, status=RunStatus.INTERRUPTED, stream=False),
}


def browser_path() -> str:
    """Where the browser is; ends the test if there is none."""
    path = next((p for name in NAMES if (p := shutil.which(name))), None)
    if path is not None:
        return path
    message = "no Chromium on the PATH: apt install chromium (macOS: brew install --cask chromium)"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def find_browser() -> Callable[[], str]:
    return browser_path


@pytest.fixture(scope="module")
def browser(find_browser: Callable[[], str]) -> Iterator[Browser]:
    path = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Renders each page once."""
    folder = tmp_path_factory.mktemp("reports")

    def page(name: str) -> Path:
        path = folder / f"{name}.html"
        if not path.exists():
            run, summary = build(WORKLOADS[name])
            path.write_text(render(run_page([run], [summary]), "html"), encoding="utf-8")
        return path

    return page


Opened = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, reports: Callable[[str], Path]) -> Iterator[Opened]:
    """Opens a report; at the end of the test nothing may have gone wrong in any of them."""
    contexts = []
    troubles: list[str] = []

    def open_page(name: str, width: int = 1280, hash: str = "", **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        address = reports(name).as_uri()
        page.on("console", lambda m: troubles.append(f"console: {m.text}"))
        page.on("pageerror", lambda e: troubles.append(f"error: {e}"))
        page.on("dialog", lambda d: troubles.append(f"dialog: {d.message}"))
        page.on("request", lambda r: _only(r.url, address, troubles))
        page.goto(address + hash)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def _only(url: str, address: str, troubles: list[str]) -> None:
    if url.partition("#")[0] != address and not url.startswith(("data:", "blob:")):
        troubles.append(f"request: {url}")
