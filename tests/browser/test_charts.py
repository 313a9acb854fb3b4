"""Charts in a browser: legends that isolate, points that lead to requests, texts that are apart."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "report"))

from runs import LLAMA, LLAMA_Q8, QWEN, THINKER, Workload, build

from bench.analysis.capacity.probe import SearchEnding
from bench.analysis.capacity.result import (
    Bottleneck,
    CapacityResult,
    ProbeResult,
    PromiseResult,
)
from bench.analysis.capacity.sweep import Level, Sweep
from bench.analysis.comparison.compare_runs import Subject, compare_runs
from bench.analysis.comparison.metric_verdicts import Rules
from bench.analysis.comparison.trend import trends
from bench.analysis.run.summary import Estimate
from bench.report.capacity.capacity_page import capacity_page
from bench.report.comparison.comparison_page import shown_page
from bench.report.comparison.trend_page import trend_page
from bench.report.formats import render
from bench.report.page import Page as Report
from bench.report.run_page import run_page
from bench.results.history import IndexedCase, IndexedRun, Value
from bench.thresholds import parse_threshold

USUAL = Workload(
    models=(LLAMA, QWEN, THINKER),
    requests=30,
    blocks=2,
    failures=0.1,
    thresholds=("ttft_s.p95 <= 400ms", "decode_tok_per_s >= 30", "e2e_s.p50 <= 3"),
)
SWEEP = Workload(
    name="sweep",
    models=(LLAMA,),
    users=(1, 2, 4),
    prompt_tokens=(200, 500, 1000, 2000),
    requests=12,
    blocks=2,
    thresholds=("ttft_s.p50 <= 1",),
)


def usual() -> Report:
    run, summary = build(USUAL)
    return run_page([run], [summary])


def two_runs() -> Report:
    """Two runs of one plan: block and index of a request stand in both, the second is slower."""
    queued = replace(USUAL, users=(2,), slots=1, requests=12)
    made = [
        build(replace(queued, models=(replace(LLAMA, step_s=s),), version=v))
        for s, v in ((0.02, "0.30.0"), (0.04, "0.32.15"))
    ]
    return run_page([r for r, _ in made], [s for _, s in made])


def sweep() -> Report:
    run, summary = build(SWEEP)
    return run_page([run], [summary])


def compared() -> Report:
    made = [build(replace(USUAL, version=v, seed=s)) for v, s in (("0.30.0", 1), ("0.32.15", 2))]
    sides = [Subject(r.info.targets[0].version, r.info, s) for r, s in made]
    return shown_page([compare_runs(*sides, Rules(primary=("decode_tok_per_s", "ttft_s.p50")))])


def trend() -> Report:
    """30 runs, a new version every third, a step in the middle."""
    runs = []
    for i in range(30):
        value = 60.0 - 4 * (i >= 15) + 0.3 * math.sin(i)
        case = IndexedCase(
            "m, users=1",
            "same",
            f"0.{20 + i // 3}.0",
            "m",
            {"decode_tok_per_s": Value(value, value * 0.99, value * 1.01)},
        )
        when = f"2026-{1 + i // 28:02}-{1 + i % 28:02}T10:00:00+00:00"
        runs.append(
            IndexedRun(
                f"r{i}",
                Path("x"),
                "chat",
                when,
                status="complete",
                valid=True,
                simulated=False,
                cases=(case,),
            )
        )
    return trend_page(trends(runs, "decode_tok_per_s"))


def capacity() -> Report:
    promise = parse_threshold("ttft_s.p95 <= 500ms")
    probes = []
    for i, load in enumerate((0.5, 1.0, 2.0, 3.0, 4.0)):
        wait = 0.1 * 1.6**i
        verdict = "pass" if wait < 0.4 else "fail"
        kept = PromiseResult(promise.text, verdict, wait, wait * 0.8, wait * 1.3, 0.9)
        probes.append(
            ProbeResult(
                i,
                f"load={load}",
                load,
                "search",
                0,
                verdict,
                False,
                200,
                30.0,
                40 * load,
                load * 0.9,
                (kept,),
                wait / 2,
                wait,
                wait / 3,
                1.0,
                0.5,
                wait / 4,
            )
        )
    near = lambda x: Estimate(x, x * 0.95, x * 1.05)  # noqa: E731
    levels = [
        Level(
            u,
            60,
            near(45 * u**0.7),
            near(45 / u**0.3),
            near(0.1 * u),
            near(0.2 * u),
            near(0.01 * u),
            near(2.0 * u),
            0.8,
            1.0,
            None,
        )
        for u in (1, 2, 4, 8)
    ]
    return capacity_page(
        CapacityResult(
            "run",
            "llama3.2:3b",
            "rate",
            (promise,),
            SearchEnding.RANGE,
            2.0,
            2.5,
            2.0,
            3.0,
            promise.text,
            Bottleneck.SLOTS,
            tuple(probes),
            4,
            True,
            4,
            1.5,
            600.0,
            300.0,
            False,
            Sweep(tuple(levels), 4),
        )
    )


def simulated(models: int = 1) -> Report:
    made_up = replace(USUAL, models=(LLAMA, LLAMA_Q8, QWEN)[:models], simulated=True)
    run, summary = build(made_up)
    return run_page([run], [summary])


PAGES: dict[str, Callable[[], Report]] = {
    "usual": usual,
    "two runs": two_runs,
    "sweep": sweep,
    "compared": compared,
    "trend": trend,
    "capacity": capacity,
    "simulated": simulated,
    "simulated, two": lambda: simulated(2),
    "simulated, three": lambda: simulated(3),
}


@pytest.fixture(scope="module")
def shown(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Page]]:
    """Opens each page once; whatever a test does to it, a reload undoes."""
    folder, pages = tmp_path_factory.mktemp("charts"), dict[str, Page]()
    context = browser.new_context()
    troubles: list[str] = []

    def show(name: str) -> Page:
        if name not in pages:
            path = folder / f"{name}.html"
            path.write_text(render(PAGES[name](), "html"), encoding="utf-8")
            pages[name] = context.new_page()
            pages[name].on("pageerror", lambda e: troubles.append(str(e)))
            pages[name].goto(path.as_uri())
        else:
            pages[name].reload()
        pages[name].set_viewport_size({"width": 1440, "height": 900})
        return pages[name]

    yield show
    context.close()
    assert troubles == []


# The watermark lies behind curves and names, but behind no number; upright, in its corner, behind
# nothing.
OVERLAPS = """() => {
  const found = [];
  const behind = (mark, other) =>
    mark.text === "SIMULATED" && mark.turned && !/^[0-9.]/.test(other.text);
  for (const svg of document.querySelectorAll(".plot svg")) {
    const chart = svg.closest("figure").id;
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")]
      .filter((t) => t.textContent.trim())
      .map((t) => ({
        text: t.textContent,
        turned: (t.getAttribute("transform") || "").includes("rotate"),
        box: t.getBoundingClientRect(),
      }))
      .filter(({ box }) => box.width > 0);
    texts.forEach((one, i) => {
      const { text, box: a } = one;
      const cut = a.left < frame.left - 2 || a.right > frame.right + 2;
      if (cut) found.push(`${chart}: ${text} is cut`);
      for (const other of texts.slice(i + 1)) {
        const b = other.box;
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        const touch = across > 1 && down > 2 && !behind(one, other) && !behind(other, one);
        if (touch) found.push(`${chart}: ${text} | ${other.text}`);
      }
    });
  }
  return found;
}"""


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in PAGES if n != "two runs"])
def test_texts_of_charts_do_not_overlap(shown: Callable[[str], Page], name: str) -> None:
    page = shown(name)
    drawn = page.locator(".plot svg").count()
    assert drawn >= 2
    page.evaluate("() => document.querySelectorAll('details').forEach((d) => (d.open = true))")
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for view in range(2):
            for choice in page.locator(f".show-{view}").all():
                choice.check()
            assert page.evaluate(OVERLAPS) == [], (width, view)
            if not page.locator(f".show-{view}").count():
                break
    page.evaluate(
        "() => { const t = [...document.querySelectorAll('.plot svg text')].find("
        "(x) => x.textContent !== 'SIMULATED' && x.getClientRects().length > 0);"
        " t.after(t.cloneNode(true)); }"
    )
    assert len(page.evaluate(OVERLAPS)) == 1  # it can fail


def aside(page: Page, chart: str) -> list[str]:
    """Which cases of a chart stand aside."""
    marks = page.locator(f"#{chart} .plot-wide .aside:not([data-entry])")
    return sorted({t for m in marks.all() for t in (m.get_attribute("data-in") or "").split()})


def test_an_entry_of_a_legend_isolates_its_case_in_every_chart(
    shown: Callable[[str], Page],
) -> None:
    page = shown("usual")
    entry = page.locator("#first-text .plot-wide button.entry").nth(1)
    entry.focus()
    page.keyboard.press("Enter")
    assert entry.get_attribute("aria-pressed") == "true"
    assert entry.get_attribute("title") == f"Only {QWEN.name}"
    for chart in ("first-text", "per-token", "speed", "drift"):
        assert aside(page, chart) == ["c.0", "c.2"], chart
    other = page.locator("#per-token .plot-wide button.entry").nth(1)
    assert other.get_attribute("aria-pressed") == "true"
    plot = page.locator("#speed [data-plot]")
    plot.focus()
    said = []
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        said.append(plot.locator(".tip").inner_text().split("\n")[0])
    assert said == [QWEN.name] * 2
    page.keyboard.press("Escape")
    assert page.locator(".aside").count() == 0
    entry.focus()
    page.keyboard.press("Space")
    assert aside(page, "speed") == ["c.0", "c.2"]
    page.keyboard.press("Space")
    assert entry.get_attribute("aria-pressed") == "false"
    assert page.locator(".aside").count() == 0
    part = page.locator("#split .plot-wide").get_by_role("button", name="Only decode")
    part.click()
    assert all("p.decode" not in t for t in aside(page, "split"))
    assert aside(page, "first-text") == []


def test_points_and_curves_of_a_distribution_lead_to_their_request(
    shown: Callable[[str], Page],
) -> None:
    page = shown("usual")
    _, summary = build(USUAL)
    median = summary.cases[1].metrics["ttft_s"].stats["p50"].value
    plot = page.locator("#first-text [data-plot]")
    plot.focus()
    while f"{QWEN.name}\np50" not in plot.locator(".tip").inner_text():
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    rows = page.locator("[data-requests] tbody tr")
    expect(rows).to_have_count(2)  # its row and its details
    head = page.locator("[data-requests] thead th")
    place = [h.inner_text() for h in head.all()].index("First text")
    expect(rows.first).to_contain_text(QWEN.name)
    cells = rows.first.locator("th, td").all_inner_texts()
    assert float(cells[place].replace(",", "")) == pytest.approx(median * 1000, rel=0.01)
    # Between its points, a curve: its upper end is the slowest request.
    times = page.evaluate(
        """(at) => {
      const { columns, rows } = JSON.parse(document.getElementById("request-data").textContent);
      return rows.filter((r) => r[0] === 0 && r[at] !== null).map((r) => r[at]);
    }""",
        place,
    )
    end = page.evaluate("""() => {
      const path = document.querySelector('#first-text .plot-wide .view-0 [data-in="c.0"] path');
      const at = path.getPointAtLength(path.getTotalLength());
      const [svg, frame] = [path.ownerSVGElement, path.ownerSVGElement.getBoundingClientRect()];
      svg.scrollIntoView({ block: "center" });
      const k = frame.width / svg.viewBox.baseVal.width;
      const box = svg.getBoundingClientRect();
      return [box.left + at.x * k, box.top + at.y * k];
    }""")
    page.mouse.move(*end)
    tip = plot.locator(".tip")
    expect(tip).to_contain_text("100 % take no longer")
    expect(tip).to_contain_text(f"First text: {max(times):g} ms")
    page.mouse.click(*end)
    expect(rows.first).to_contain_text(LLAMA.name)


def test_the_timeline_of_several_runs_leads_into_its_own(shown: Callable[[str], Page]) -> None:
    page = shown("two runs")
    message = page.locator("#timeline .chart-message").inner_text()
    plot = page.locator("#timeline [data-plot]")
    plot.focus()
    while "measure request 1," not in plot.locator(".tip").inner_text():
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert "0.32.15" in message  # its requests wait longer; those of the first run stand before
    expect(page.locator("[data-requests] tbody tr").first).to_contain_text("0.32.15")
