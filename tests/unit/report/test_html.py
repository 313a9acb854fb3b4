"""The page: every number is the summary's, nothing comes from outside, nothing can break out."""

import base64
import gzip
import json
import re
from functools import cache

import pytest
from pages import Element, parse
from runs import CHAT, CONCURRENCY, DEPTH, HARD, HOSTILE, Workload, build

from bench.analysis.run.summary import Summary
from bench.analysis.run.summary_json import to_json
from bench.report.formats import render
from bench.report.html import csp_hash, embedded_json
from bench.report.run_page import run_page
from bench.results.run import RunStatus

WORKLOADS = {"chat": CHAT, "concurrency": CONCURRENCY, "depth": DEPTH, "hard": HARD}
FACTORS = {"ms": 1e3, "µs": 1e6, "min": 1 / 60, "%": 100.0}
LEADING_NUMBER = re.compile(r"[−-]?[\d,]+(?:\.\d+)?")


@cache
def made(name: str) -> tuple[str, Summary]:
    run, summary = build(WORKLOADS[name])
    return render(run_page([run], [summary]), "html"), summary


@cache
def tree(name: str) -> Element:
    return parse(made(name)[0])


def displayed(text: str) -> tuple[float, int]:
    """A displayed number, and its decimals."""
    match = LEADING_NUMBER.search(text)
    assert match, text
    digits = match.group().replace(",", "").replace("−", "-")
    return float(digits), len(digits.partition(".")[2])


def assert_rounds(text: str, value: float, factor: float) -> None:
    number, decimals = displayed(text)
    assert abs(number - value * factor) <= 0.5 * 10.0**-decimals * (1 + 1e-9), (text, value, factor)


def rows_of_cases(name: str) -> list[tuple[str, str, Element, float]]:
    """(case key, metric.statistic, cell, factor) of every number that comes from a summary."""
    found = []
    for table in tree(name).all("table"):
        heads = table.all("thead")[0].all("th")
        for row in table.all("tbody")[0].all("tr"):
            if "data-case" not in row.attributes:
                continue
            for head, cell in zip(heads, row.kids("th", "td"), strict=True):
                if "data-metric" in head.attributes:
                    key, metric = row.attributes["data-case"], head.attributes["data-metric"]
                    found.append((key, metric, cell, float(head.attributes["data-factor"])))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_golden_every_number_in_a_table_is_that_of_the_summary(name: str) -> None:
    _, summary = made(name)
    checked = 0
    for key, metric, cell, factor in rows_of_cases(name):
        case = summary.cases[int(key.partition("c")[2])]
        metric_id, _, stat = metric.partition(".")
        estimate = case.metrics[metric_id].stats.get(stat) if metric_id in case.metrics else None
        numbers = cell.all("data")
        if not numbers:
            absent = estimate is None or estimate.value is None or estimate.high is None
            assert absent, (key, metric, cell.text)
            continue
        assert estimate is not None
        assert float(numbers[0].attributes["value"]) == pytest.approx(estimate.value, rel=1e-9)
        assert_rounds(numbers[0].text, estimate.value or 0.0, factor)
        small = cell.all("small")
        ends = estimate.if_independent or (estimate.low, estimate.high)
        says_so = bool(small) and "if independent" in small[0].text
        assert says_so == (estimate.if_independent is not None)
        if small and not small[0].text.startswith("±"):
            low, high = small[0].text.strip("()").split("–")
            assert_rounds(low, ends[0] or 0.0, factor)
            assert_rounds(high, ends[1] or 0.0, factor)
        elif small:
            half = max(ends[1] - estimate.value, estimate.value - ends[0]) * factor  # type: ignore[operator]
            if "<" in small[0].text:
                assert half < float(small[0].text.partition("<")[2].replace(",", ""))
            else:
                assert_rounds(small[0].text, half / factor, factor)
        checked += 1
    assert checked > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_golden_every_number_in_a_sentence_is_one_of_the_summary(name: str) -> None:
    _, summary = made(name)
    known = {
        f"{estimate.value:.10g}"
        for case in summary.cases
        for metric in case.metrics.values()
        for estimate in metric.stats.values()
        if estimate.value is not None
    }
    speeds = [c.metrics["decode_tok_per_s"].stats["value"].value or 0.0 for c in summary.cases]
    ratios = {f"{a / b:.10g}" for a in speeds for b in speeds if b}
    quantities = [e for e in tree(name).all("data") if e.attributes.get("class") == "quantity"]
    assert len(quantities) >= 2 * len(summary.cases)
    for element in quantities:
        value = element.attributes["value"]
        assert value in known | ratios
        number = LEADING_NUMBER.search(element.text)
        assert number
        unit = element.text[number.end() :].split()[:1]
        assert_rounds(element.text, float(value), FACTORS.get(unit[0] if unit else "", 1.0))


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_summary_inside_is_the_summary(name: str) -> None:
    page, summary = made(name)
    script = next(e for e in tree(name).all("script") if e.attributes.get("id") == "summary-data")
    inside = gzip.decompress(base64.b64decode(script.text, validate=False))
    assert json.loads(inside) == json.loads(json.dumps(to_json(summary)))
    assert len(page.encode()) < 400_000 + 45_000 * max(len(summary.cases) - 3, 0)


@pytest.mark.parametrize("name", WORKLOADS)
def test_nothing_comes_from_outside(name: str) -> None:
    root = tree(name)
    for element in root.all():
        for attribute in ("src", "srcset", "poster", "action", "formaction", "ping"):
            assert attribute not in element.attributes
        href = element.attributes.get("href", "#")
        assert href.startswith("#") or href == "data:,"
        assert "style" not in element.attributes
        assert not any(a.startswith("on") for a in element.attributes)
        assert element.tag not in {"iframe", "object", "embed", "base", "form", "img"}
    styles = "".join(e.text for e in root.all("style"))
    assert "url(" not in styles
    assert "@import" not in styles


@pytest.mark.parametrize("name", WORKLOADS)
def test_policy_allows_exactly_what_is_inside(name: str) -> None:
    root = tree(name)
    policy = next(
        e.attributes["content"]
        for e in root.all("meta")
        if e.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    scripts = [e for e in root.all("script") if "type" not in e.attributes]
    assert len(scripts) == len(root.all("style")) == 1
    assert f"script-src '{csp_hash(scripts[0].text)}'" in policy
    assert f"style-src '{csp_hash(root.all('style')[0].text)}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", WORKLOADS)
def test_ids_are_unique_and_links_lead_somewhere(name: str) -> None:
    ids = [e.attributes["id"] for e in tree(name).all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in tree(name).all():
        for attribute in ("href", "aria-labelledby", "clip-path", "fill"):
            value = element.attributes.get(attribute, "")
            target = re.fullmatch(r"(?:url\()?#(.+?)\)?", value)
            if attribute == "aria-labelledby" and value:
                assert value in ids
            elif target and not re.fullmatch(r"#[0-9a-f]{6}", value):
                assert target.group(1) in ids


def test_hostile_names_and_bodies_stay_text() -> None:
    page, _ = made("hard")
    root = tree("hard")
    assert HOSTILE.name in root.text
    assert "<script>alert" not in page
    assert "onerror=alert(1)>" not in page
    assert "<b>case</b>" not in page
    assert len(root.all("script")) == 4
    said = next(t for t in root.all("div") if t.attributes.get("id") == "table-errors")
    assert '</script><img src=x onerror=alert(1)>{"error":"内存不足 💥"}' in said.text


def test_chinese_and_emoji_reach_texts_tables_and_charts() -> None:
    name = "通义千问:7b-智能助手 🦙"
    root = tree("hard")
    assert any(name in e.text for e in root.all("h3"))
    assert any(name in e.text for e in root.all("table"))
    assert any(name in e.text for e in root.all("text"))


def test_simulated_numbers_are_marked_everywhere() -> None:
    root = tree("hard")
    drawings = [e for e in root.all("svg") if e.attributes.get("role") == "img"]
    assert len(drawings) >= 10
    for drawing in drawings:
        assert "SIMULATED" in drawing.text
    assert any(e.attributes.get("class", "").startswith("badge") for e in root.all("li"))
    assert "SIMULATED" not in made("chat")[0]


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_chart_has_words_and_numbers(name: str) -> None:
    figures = tree(name).all("figure")
    assert len(figures) >= 6
    for figure in figures:
        caption = figure.all("figcaption")[0].text
        assert re.search(r"n = [\d,]+ \w+", caption), caption
        message = next(p for p in figure.all("p") if p.attributes["class"] == "chart-message")
        assert len(message.text) > 20
        for drawing in (e for e in figure.all("svg") if e.attributes.get("role") == "img"):
            assert message.text in drawing.attributes["aria-label"]
            assert re.search(r"n = [\d,]+ \w+", drawing.text)
        assert figure.all("details")[0].all("table")


@pytest.mark.slow
def test_incomplete_run_is_labelled() -> None:
    run, summary = build(Workload(status=RunStatus.RUNNING))
    root = parse(render(run_page([run], [summary]), "html"))
    badges = [e.text for e in root.all("li") if "badge" in e.attributes.get("class", "")]
    assert any("incomplete" in b for b in badges)


def test_one_request_makes_a_page_that_says_what_is_missing() -> None:
    run, summary = build(Workload(requests=1, blocks=1, warmup=0))
    root = parse(render(run_page([run], [summary]), "html"))
    assert "needs 6 requests" in root.text


@pytest.mark.slow
def test_without_streaming_there_is_no_first_word_and_the_page_stands() -> None:
    run, summary = build(Workload(stream=False))
    root = parse(render(run_page([run], [summary]), "html"))
    assert "first word" not in next(s for s in root.all("section")).text
    assert not [f for f in root.all("figure") if f.attributes["id"] == "first-text"]


def test_only_failures_make_a_page() -> None:
    run, summary = build(Workload(failures=1.0))
    root = parse(render(run_page([run], [summary]), "html"))
    assert "failed in all 120 requests (120 HTTP errors)" in root.text


@pytest.mark.slow
def test_several_runs_join_in_one_page() -> None:
    old, new = (build(Workload(version=v)) for v in ("0.24.0", "0.32.15"))
    page = render(run_page([old[0], new[0]], [old[1], new[1]]), "html")
    root = parse(page)
    assert "Ollama 0.24.0" in root.text
    assert "Ollama 0.32.15" in root.text
    data = next(e for e in root.all("script") if e.attributes.get("id") == "summary-data")
    inside = gzip.decompress(base64.b64decode(data.text))
    assert len(json.loads(inside)) == 2


@pytest.mark.slow
def test_the_same_run_gives_the_same_page() -> None:
    run, summary = build(CHAT)
    assert render(run_page([run], [summary]), "html") == made("chat")[0]


def test_embedded_json_cannot_end_its_element() -> None:
    data = json.dumps({"a": "</script><!--<script>&\u2028"}).encode()
    text = str(embedded_json(data))
    assert "<" not in text
    assert ">" not in text
    assert "&" not in text
    assert json.loads(text) == json.loads(data)
