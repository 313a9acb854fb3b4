"""Tails end where their support does; what was asked stands in its charts; thinking is split."""

import re
from dataclasses import replace

import numpy as np
import pytest
from runs import CHAT, LLAMA, QWEN, THINKER, Workload, build
from scipy import stats

from bench.report.charts import run_charts
from bench.report.charts.axes import limits, with_limits
from bench.report.charts.distribution import in_tail, supported_share, tail_curve
from bench.report.charts.drawing import inline_svg
from bench.report.charts.request_parts import thought_of
from bench.report.model import build_report
from bench.report.page import Chart
from bench.report.run_page import run_page
from bench.report.samples import samples_of
from bench.thresholds import parse_threshold

S = 1_000_000_000


def charts_of(workload: Workload) -> dict[str, Chart]:
    run, summary = build(workload)
    return {c.id: c for c in run_charts(build_report([run], [summary]))}


@pytest.mark.parametrize("n", [5, 6, 40, 120, 1000, 20_000])
def test_a_tail_ends_where_its_interval_has_no_upper_end(n: int) -> None:
    """The upper end is a value if not all lie below the percentile with more than 2.5 %."""
    ranks = np.arange(n)
    bounded = stats.binom.sf(n - 1, n, ranks / n) <= 0.025
    assert supported_share(n) == ranks[bounded].max() / n


@pytest.mark.parametrize("n", [1, 3, 8, 120, 5000])
def test_a_tail_is_thinned_and_not_bent(n: int) -> None:
    ordered = np.sort(np.random.default_rng(3).exponential(size=n))
    x, share = tail_curve(ordered, 60)
    assert len(x) <= 61
    assert (np.diff(share) > 0).all()
    for value, part in zip(x, share, strict=True):
        assert (ordered <= value).mean() == pytest.approx(part)
    if n > 5:
        assert share[-1] == pytest.approx(supported_share(n))
    assert np.diff(in_tail(np.array([0.0, 0.9, 0.99, 0.999]))) == pytest.approx([1, 1, 1])


@pytest.mark.slow
def test_what_was_asked_stands_in_every_chart_of_its_metric() -> None:
    asked = ("ttft_s.p95 <= 200ms", "decode_tok_per_s >= 40", "e2e_s.mean <= 4")
    found = charts_of(
        Workload(models=(LLAMA, QWEN), users=(1, 2), requests=12, blocks=2, thresholds=asked)
    )
    named = {
        id: [t for t in asked if f"asked: {t}" in re.sub("&lt;", "<", re.sub("&gt;", ">", svg))]
        for id, chart in found.items()
        for svg in inline_svg(chart)
    }
    assert named == {
        "speed": [asked[1]],
        "split": [asked[2]],
        "throughput": [],
        "latency-load": [asked[0]],
        "first-text": [asked[0]],
        "per-token": [],
        "timeline": [asked[0], asked[2]],
        "drift": [],
    }


def test_a_limit_far_from_the_values_is_named_and_leaves_the_axis_alone() -> None:
    asked = [parse_threshold(t) for t in ("ttft_s.p95 <= 0.3", "ttft_s.p99 <= 60")]
    near, far = limits(asked, [np.array([0.1, 0.2])])
    assert near.drawn and not far.drawn
    assert far.entry[0] == "asked: ttft_s.p99 <= 60 (beyond this axis)"
    assert [v.tolist() for v in with_limits([np.array([0.1])], [near, far])] == [[0.1], [0.3]]


def test_thinking_and_answer_are_the_planted_times() -> None:
    """Thinking from 1 s to 3 s and an answer until 7 s; every fourth request only thinks."""
    run, summary = build(Workload(models=(THINKER,), requests=8, blocks=2))
    records = []
    for r in run.records:
        sent = r.sent_ns or 0
        silent = r.index % 4 == 3
        records.append(
            replace(
                r,
                first_thinking_ns=sent + S,
                first_answer_ns=None if silent else sent + 3 * S,
                last_text_ns=sent + (5 if silent else 7) * S,
                end_ns=sent + 8 * S,
            )
        )
    run = replace(run, records=records)
    thought = thought_of(samples_of(build_report([run], [summary])).cases[0])
    assert thought is not None
    assert thought.n == 16
    assert thought.thinking.value == pytest.approx((3 * 2 + 4) / 4)
    assert thought.answer.value == pytest.approx(3 * 4 / 4)
    assert thought.silent.value == 0.25
    low, high = stats.beta.ppf([0.025, 0.975], 4.5, 12.5)  # Jeffreys, 4 of 16
    assert thought.silent.low is not None and thought.silent.high is not None
    assert thought.silent.low <= low + 1e-9 and thought.silent.high >= high - 1e-9


def test_a_piece_of_thinking_is_never_called_the_first_word() -> None:
    run, summary = build(Workload(models=(THINKER,), requests=8, blocks=2))
    page = run_page([run], [summary])
    said = [t for a in (*page.findings, *page.answers) for t in a.texts]
    assert any("starts to think after" in t for t in said)
    assert not any("first word" in t for t in said)
    assert "thinking" in {c.id for c in run_charts(build_report([run], [summary]))}
    assert "thinking" not in charts_of(replace(CHAT, requests=6, blocks=1))
