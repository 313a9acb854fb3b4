"""What a reader does with a report: sort, filter, hide, hover, copy, print, on any width."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from runs import CHAT, build

from bench.report.formats import render
from bench.report.run_page import run_page

Opened = Callable[..., Page]
PAGES = ("chat", "concurrency", "depth", "hard", "small")
COMPARISON = "#table-comparison"
AXE = Path(__file__).parent / "vendor" / "axe.min.js"


def column(page: Page, table: str, number: int) -> list[float]:
    """The numbers of a column, in the order shown."""
    cells = page.locator(f"{table} tbody tr:not(.filtered) > :nth-child({number}) data")
    return [float(c.get_attribute("value") or "nan") for c in cells.all()]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [360, 768, 1440, 2560])
def test_page_never_scrolls_sideways(opened: Opened, name: str, width: int) -> None:
    page = opened(name, width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("h1")).to_be_visible()


def test_phones_get_drawings_of_their_own(opened: Opened) -> None:
    for width, wide in ((360, False), (1280, True)):
        page = opened("chat", width)
        assert page.locator("#speed .plot-wide").is_visible() is wide
        assert page.locator("#speed .plot-narrow").is_visible() is not wide
        svg = page.locator("#speed svg[role=img]").nth(0 if wide else 1)
        size = svg.locator("text").first.evaluate("t => t.getBoundingClientRect().height")
        assert size >= 9


def test_sorting_by_click(opened: Opened) -> None:
    page = opened("concurrency")
    before = column(page, COMPARISON, 3)
    head = page.locator(f"{COMPARISON} thead th").nth(2)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, COMPARISON, 3) == sorted(before, reverse=True)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, COMPARISON, 3) == sorted(before)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") is None
    assert column(page, COMPARISON, 3) == before


def test_ratios_to_another_baseline(opened: Opened) -> None:
    page = opened("concurrency")
    heads = [h.split("\n")[0] for h in page.locator(f"{COMPARISON} thead th").all_inner_texts()]
    speed, ratio = (1 + next(i for i, h in enumerate(heads) if h.startswith(name))
                    for name in ("Decode speed", "Decode speed / best"))  # fmt: skip
    before = page.locator(f"{COMPARISON} tbody").inner_text()
    choose = page.get_by_label("Ratios to: Speed and waiting, case by case")
    choose.select_option(index=3)
    speeds = column(page, COMPARISON, speed)
    expected = [s / speeds[2] for s in speeds]
    assert column(page, COMPARISON, ratio) == pytest.approx(expected[:2] + expected[3:], rel=1e-6)
    cell = page.locator(f"{COMPARISON} tbody tr > :nth-child({ratio})")
    expect(cell.nth(2)).to_have_text("baseline")
    expect(cell.nth(0)).to_contain_text("±")
    expect(page.locator(f"{COMPARISON} thead th").nth(ratio - 1)).to_contain_text("/ chosen")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    choose.select_option(index=0)
    assert page.locator(f"{COMPARISON} tbody").inner_text() == before


def test_sorting_by_keyboard_and_by_text(opened: Opened) -> None:
    page = opened("chat")
    first = page.locator(f"{COMPARISON} thead th").first
    first.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert first.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    names = page.locator(f"{COMPARISON} tbody th").all_inner_texts()
    assert names == sorted(names, reverse=True)


def test_absent_numbers_stay_last(opened: Opened) -> None:
    page = opened("concurrency")
    table = "#table-metric-ttft_s"
    page.locator("#data-tables-fold > summary").click()
    page.locator("#metric-ttft_s-fold > summary").click()
    heads = page.locator(f"{table} thead th").all_inner_texts()
    p99 = next(i for i, h in enumerate(heads) if h.startswith("p99"))
    for _ in range(2):
        page.locator(f"{table} thead th").nth(p99).get_by_role("button").click()
        texts = page.locator(f"{table} tbody tr > :nth-child({p99 + 1})").all_inner_texts()
        missing = ["needs" in t for t in texts]
        assert missing == sorted(missing)


def test_filtering(opened: Opened) -> None:
    page = opened("concurrency")
    box = page.get_by_label("Filter rows: Speed and waiting, case by case")
    rows = page.locator(f"{COMPARISON} tbody tr:visible")
    box.fill("QWEN  40")
    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("qwen2.5:7b")
    box.fill("no such row")
    expect(rows).to_have_count(0)
    box.fill("")
    expect(rows).to_have_count(8)


def test_hiding_and_showing_a_model(opened: Opened) -> None:
    page = opened("concurrency")
    button = page.get_by_role("group", name="Show models").get_by_role("button", name="qwen2.5:7b")
    rows = page.locator(f"{COMPARISON} tbody tr:visible")
    bars = page.locator("#speed .plot-wide [data-model='qwen2.5:7b'] .pt:visible")
    shown = bars.count()
    assert shown == 4
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    expect(rows).to_have_count(4)
    expect(bars).to_have_count(0)
    button.press("Enter")
    expect(rows).to_have_count(8)
    expect(bars).to_have_count(shown)


@pytest.mark.parametrize("system", ["light", "dark"])
def test_theme_follows_the_system_until_the_reader_chooses(opened: Opened, system: str) -> None:
    page = opened("chat", color_scheme=system)
    grounds = {"light": "rgb(251, 250, 247)", "dark": "rgb(19, 22, 27)"}
    ground = page.locator("body")
    expect(ground).to_have_css("background-color", grounds[system])
    other = "dark" if system == "light" else "light"
    page.get_by_role("group", name="Colours").get_by_role("button", name=other.title()).click()
    expect(ground).to_have_css("background-color", grounds[other])
    bar = page.locator("#speed .plot-wide .f-s0").first
    fills = {"light": "rgb(11, 106, 168)", "dark": "rgb(98, 181, 238)"}
    expect(bar).to_have_css("fill", fills[other])
    page.reload()
    expect(ground).to_have_css("background-color", grounds[other])
    page.get_by_role("button", name="System").click()
    expect(ground).to_have_css("background-color", grounds[system])


def test_hovering_a_point_shows_its_value(opened: Opened) -> None:
    page = opened("concurrency")
    plot = page.locator("#throughput [data-plot]")
    plot.scroll_into_view_if_needed()
    point = plot.locator(".plot-wide .pt").nth(2)
    box = point.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = plot.locator(".tip")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text("4 users")
    expect(tip).to_contain_text("tok/s ±")
    page.mouse.move(5, 5)
    expect(tip).to_be_hidden()


def test_arrow_keys_step_through_the_points(opened: Opened) -> None:
    page = opened("chat")
    plot = page.locator("#speed [data-plot]")
    plot.focus()
    seen = []
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        seen.append(plot.locator(".tip").inner_text())
    assert len(set(seen)) == 3
    page.keyboard.press("ArrowRight")
    assert plot.locator(".tip").inner_text() == seen[0]
    page.keyboard.press("ArrowLeft")
    assert plot.locator(".tip").inner_text() == seen[2]
    assert page.get_by_role("status").inner_text().split() == seen[2].split()
    page.keyboard.press("Escape")
    expect(plot.locator(".tip")).to_be_hidden()


@pytest.mark.parametrize("chart", ["speed", "first-text", "split", "timeline", "drift"])
def test_every_chart_answers_the_pointer(opened: Opened, chart: str) -> None:
    page = opened("chat")
    page.locator("#evidence-fold > summary").click()
    plot = page.locator(f"#{chart} [data-plot]")
    plot.focus()
    page.keyboard.press("ArrowRight")
    expect(plot.locator(".tip")).to_be_visible()
    frame, tip = plot.bounding_box(), plot.locator(".tip").bounding_box()
    assert frame
    assert tip
    assert tip["x"] >= frame["x"] - 1
    assert tip["x"] + tip["width"] <= frame["x"] + frame["width"] + 1


def test_single_requests_are_sorted_filtered_and_opened(opened: Opened) -> None:
    page = opened("hard")
    table = page.locator("[data-requests]")
    whole = [float(t.replace(",", "")) for t in table.locator("td:nth-child(11)").all_inner_texts()]
    assert len(whole) == 8
    assert whole == sorted(whole, reverse=True)
    table.get_by_role("button", name="Failed only").click()
    expect(table.locator("tbody tr").first).to_contain_text("http error")
    table.locator("tbody th button").first.press("Enter")
    expect(table.locator(".detail")).to_contain_text("Status 500")
    table.get_by_role("button", name="All requests").click()
    table.get_by_label("Requests of which case").select_option("1")
    expect(table.locator("tbody tr").first).to_contain_text("通义千问")


def test_single_requests_by_the_phase_that_took_longest(opened: Opened) -> None:
    page = opened("concurrency")
    table = page.locator("[data-requests]")
    heads = table.locator("thead th").all_inner_texts()
    phases = ["Queue", "Load", "Prefill", "Decode", "Overhead"]

    def shown() -> list[dict[str, float]]:
        rows = [r.locator("th, td").all_inner_texts() for r in table.locator("tbody tr").all()]
        cells = [dict(zip(heads, row, strict=True)) for row in rows]
        return [{p: float(c[p].replace(",", "")) for p in phases} for c in cells]

    most = table.get_by_label("Requests that spent most of their time in")
    most.select_option("Queue")
    rows = shown()
    assert len(rows) == 8
    assert all(max(r, key=lambda p: r[p]) == "Queue" for r in rows)
    assert [r["Queue"] for r in rows] == sorted((r["Queue"] for r in rows), reverse=True)
    most.select_option("Decode")
    assert all(max(r, key=lambda p: r[p]) == "Decode" for r in shown())
    most.select_option("Load")
    expect(table.locator("tbody tr")).to_have_count(0)
    table.get_by_role("button", name="All requests").click()
    assert len(shown()) == 8


def test_a_bar_of_the_timeline_leads_to_its_request(opened: Opened) -> None:
    page = opened("chat")
    page.locator("#evidence-fold > summary").click()
    plot = page.locator("#timeline [data-plot]")
    plot.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    said = plot.locator(".tip").inner_text()
    page.keyboard.press("Enter")
    rows = page.locator("[data-requests] tbody tr")
    expect(rows).to_have_count(2)
    request = rows.first.locator("td").nth(1).inner_text()
    assert f"measure request {request}," in said
    expect(rows.nth(1)).to_contain_text("Where the time went")


def copied(page: Page, name: str, table: str) -> str:
    page.evaluate(
        """() => Object.defineProperty(navigator, 'clipboard', {
             configurable: true, value: {writeText: async (text) => { window.copied = text; }}})"""
    )
    page.locator(table).get_by_role("button", name=name).click()
    expect(page.locator(table).get_by_role("button", name=name)).to_have_text("Copied")
    text = page.evaluate("window.copied")
    assert isinstance(text, str)
    return text


def test_copying_a_table(opened: Opened) -> None:
    page = opened("concurrency")
    markdown = copied(page, "Copy as Markdown", COMPARISON).splitlines()
    assert markdown[0].startswith("| Model | Users | Requests | Decode speed (tok/s) |")
    assert markdown[1].startswith("| --- | --- | ---: | ---: |")
    assert len(markdown) == 10
    table = copied(page, "Copy as CSV", COMPARISON).splitlines()
    exact = [float(row.split(",")[3]) for row in table[1:]]
    assert exact == pytest.approx(column(page, COMPARISON, 4))


def test_copying_the_summary(opened: Opened) -> None:
    page = opened("chat")
    page.evaluate(
        """() => Object.defineProperty(navigator, 'clipboard', {
             configurable: true, value: {writeText: async (text) => { window.copied = text; }}})"""
    )
    button = page.locator("[data-copy-summary] button")
    button.click()
    expect(button).to_have_text("Copied")
    run, summary = build(CHAT)
    assert page.evaluate("window.copied") == render(run_page([run], [summary]), "markdown")
    expect(button).to_have_text("Copy summary")


def test_copying_hostile_text_as_csv(opened: Opened) -> None:
    page = opened("hard")
    text = copied(page, "Copy as CSV", "#table-errors")
    assert '"</script><img src=x onerror=alert(1)>{""error"":""内存不足 💥""}"' in text


def test_downloading_the_summary(opened: Opened, tmp_path: Path) -> None:
    page = opened("chat")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the summary (JSON)").click()
    target = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(target)
    assert target.name.endswith("-summary.json")
    content = json.loads(target.read_text())
    assert content["name"] == "chat"
    assert len(content["cases"]) == 3


def test_links_open_what_is_folded(opened: Opened) -> None:
    page = opened("chat", hash="#table-metric-e2e_s")
    expect(page.locator("#table-metric-e2e_s table")).to_be_visible()
    expect(page.locator("#table-metric-e2e_s table")).to_be_in_viewport()


def test_keyboard_reaches_the_answers_first(opened: Opened) -> None:
    page = opened("chat")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the verdict")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#answers"


@pytest.mark.parametrize("name", PAGES)
def test_page_is_complete_without_script(opened: Opened, name: str) -> None:
    page = opened(name, java_script_enabled=False)
    for section in ("answers", "evidence", "method", "data"):
        expect(page.locator(f"#{section} > h2")).to_be_visible()
    expect(page.locator(f"{COMPARISON} table")).to_be_visible()
    expect(page.locator("figure svg[role=img]:visible").first).to_be_visible()
    for depth in (0, 1):
        page.locator("#data details > summary").nth(depth).click()
    expect(page.locator("#data table").first).to_be_visible()


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_printing(opened: Opened, tmp_path: Path, paper: str) -> None:
    page = opened("concurrency", color_scheme="dark")
    page.emulate_media(media="print")
    for hidden in (".contents", ".switch", ".table-tools", ".download"):
        expect(page.locator(hidden).first).to_be_hidden()
    expect(page.locator("body")).to_have_css("color", "rgb(27, 29, 34)")
    expect(page.locator("#speed .plot-wide")).to_be_visible()
    expect(page.locator("#speed .plot-narrow")).to_be_hidden()
    pdf = page.pdf(path=tmp_path / "report.pdf", format=paper)
    pages = pdf.count(b"/Type /Page\n") or pdf.count(b"/Type /Page ")
    assert 3 <= pages <= 12
    # 96 px an inch, less the margins: what is printed fits the width of the sheet.
    page.set_viewport_size({"width": 680, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 680


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(opened: Opened, name: str, theme: str) -> None:
    page = opened(name, color_scheme=theme, bypass_csp=True)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.add_script_tag(path=AXE)
    found = page.evaluate(
        """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
             .map(v => [v.id, v.help, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200))])"""
    )
    assert found == []


def test_axe_sees_the_whole_phone_page(opened: Opened) -> None:
    page = opened("concurrency", 360, bypass_csp=True)
    page.add_script_tag(path=AXE)
    found = page.evaluate("async () => (await axe.run()).violations.map(v => [v.id, v.help])")
    assert found == []


def test_policy_stops_what_does_not_belong(
    browser: Browser, reports: Callable[[str], Path]
) -> None:
    page = browser.new_page()
    page.goto(reports("hard").as_uri())
    blocked = page.evaluate(
        """() => new Promise(resolve => {
             const stopped = e => resolve(e.effectiveDirective);
             document.addEventListener('securitypolicyviolation', stopped);
             const script = document.createElement('script');
             script.textContent = 'window.broken = true';
             document.body.append(script);
             setTimeout(() => resolve('nothing'), 2000);
           })"""
    )
    assert blocked.startswith("script-src")
    assert page.evaluate("window.broken") is None
    page.close()


@pytest.mark.parametrize(
    ("ci", "ending"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_missing_browser_fails_in_ci(
    find_browser: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    ci: str,
    ending: type[BaseException],
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ending, match="apt install chromium"):
        find_browser()
