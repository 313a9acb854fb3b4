"""Take the README's pictures again, from the example reports.

    python reports/examples/readme_pictures.py

Needs Chromium and the extra `test`. The example reports themselves are made by `make.py`.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FloatRect, Page, sync_playwright

HERE = Path(__file__).parent
WIDTH = 1180
MARGIN = 10
COLOURS = 64


def main() -> None:
    """Write the pictures beside the reports."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        top = opened(browser, "real-tokens")
        keep(top, "readme-report.png", 0, below(top, "#table-comparison"))
        charts = opened(browser, "concurrency")
        start = charts.locator("#throughput").bounding_box()
        assert start is not None
        keep(charts, "readme-charts.png", start["y"] - MARGIN, below(charts, "#first-text"))
        models = opened(browser, "quantisations")
        start = models.locator("#speed").bounding_box()
        assert start is not None
        keep(models, "readme-models.png", start["y"] - MARGIN, below(models, "#speed"))
        verdict = opened(browser, "upgrade")
        keep(verdict, "readme-verdict.png", 0, below(verdict, "#answers"))
        browser.close()


def opened(browser: Browser, report: str) -> Page:
    """An example report in a window, with its navigation bar where it begins."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": 900}, color_scheme="light", bypass_csp=True
    )
    page.goto((HERE / f"{report}.html").as_uri())
    page.add_style_tag(content="nav { position: static !important; }")
    return page


def below(page: Page, selector: str) -> float:
    """Where an element ends, in CSS pixels from the top of the page."""
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["y"] + box["height"]


def keep(page: Page, name: str, top: float, bottom: float) -> None:
    """Keep a stretch of the page as a small PNG."""
    clip: FloatRect = {"x": 0, "y": top, "width": WIDTH, "height": bottom - top + MARGIN}
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip)))
    picture.convert("RGB").quantize(COLOURS).save(HERE / name, optimize=True)


if __name__ == "__main__":
    main()
