from __future__ import annotations

import pytest

from bench.analysis.metrics import LATENCY_STATS, METRICS, RATE_QUANTILES
from bench.scenario.thresholds import METRICS as NAMED
from bench.scenario.thresholds import MetricRef, Threshold, parse_metric, parse_threshold


def test_a_threshold_is_taken_apart() -> None:
    text = "ttft_s.p95 <= 2"
    assert parse_threshold(text) == Threshold("ttft_s", "p95", "<=", 2.0, text)


@pytest.mark.parametrize(
    ("text", "metric", "statistic", "op", "value"),
    [
        ("decode_tok_per_s>=40", "decode_tok_per_s", "", ">=", 40),
        ("decode_tok_per_s.p5 > 30", "decode_tok_per_s", "p5", ">", 30),
        ("error_rate <= 1%", "error_rate", "", "<=", 0.01),
        ("ttft_s.p99 < 800ms", "ttft_s", "p99", "<", 0.8),
        ("e2e_s.max < 1m30s", "e2e_s", "max", "<", 90),
        ("gpu_share >= 1", "gpu_share", "", ">=", 1),
    ],
)
def test_forms(text: str, metric: str, statistic: str, op: str, value: float) -> None:
    made = parse_threshold(text)
    assert (made.metric, made.statistic, made.op) == (metric, statistic, op)
    assert made.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ttft <= 2", "did you mean ttft_s"),
        ("ttft_s <= 2", "say which statistic of ttft_s, e.g. ttft_s.p95"),
        ("ttft_s.p42 <= 2", "no statistic 'p42': give one of mean, p50"),
        ("error_rate.p95 <= 2", "one value per case"),
        ("ttft_s.p95 == 2", "cannot be used"),
        ("ttft_s.p95 <= fast", "is not a number"),
        ("ttft_s.p95", "METRIC OPERATOR VALUE"),
        ("ttft_s.p95 <= nan", "is not a number"),
        ("", "METRIC OPERATOR VALUE"),
    ],
)
def test_what_is_no_threshold_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_threshold(text)


@pytest.mark.parametrize(
    ("op", "below", "equal", "above"),
    [
        ("<=", True, True, False),
        ("<", True, False, False),
        (">=", False, True, True),
        (">", False, False, True),
    ],
)
def test_a_threshold_holds(op: str, below: bool, equal: bool, above: bool) -> None:
    made = parse_threshold(f"ttft_s.p95 {op} 2")
    assert (made.holds(1.9), made.holds(2.0), made.holds(2.1)) == (below, equal, above)


def test_metric_texts_read_back() -> None:
    assert str(parse_metric("ttft_s.p50")) == "ttft_s.p50"
    assert parse_metric("decode_tok_per_s") == MetricRef("decode_tok_per_s")


def test_every_metric_that_is_computed_can_be_asked_for() -> None:
    assert set(NAMED) == set(METRICS)
    for id, kind in METRICS.items():
        if kind.kind == "per_request":
            assert NAMED[id] == LATENCY_STATS
        elif "" not in NAMED[id] or set(NAMED[id]) - {""} not in (set(), set(RATE_QUANTILES)):
            pytest.fail(f"{id}: {NAMED[id]}")
