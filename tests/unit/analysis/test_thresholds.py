"""Thresholds and goodput."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.analysis.summary import ThresholdResult
from bench.ollama.exchange import Outcome
from bench.results.record import RequestRecord

Request = Callable[..., RequestRecord]
RunOf = Callable[..., Any]


def judged(run_of: RunOf, records: list[RequestRecord], *expressions: str) -> list[ThresholdResult]:
    return list(run_of(records, thresholds=expressions).summary().thresholds)


def spread(a_request: Request, count: int = 100, **other: Any) -> list[RequestRecord]:
    """TTFT 0.01, 0.02, ... seconds."""
    return [
        a_request(10.0 * i, ttft=0.01 * (i + 1), load=0.0, index=i, **other) for i in range(count)
    ]


def test_the_point_estimate_decides_and_the_interval_is_shown(
    run_of: RunOf, a_request: Request
) -> None:
    holds, fails = judged(run_of, spread(a_request), "ttft_s.p50 <= 0.51", "ttft_s.p50 < 500ms")
    assert holds.passed and not fails.passed
    assert holds.value == pytest.approx(0.505)
    assert "95 % interval 0.4 to 0.61" in holds.message


def test_an_unsupported_percentile_is_judged_on_the_sample_and_says_so(
    run_of: RunOf, a_request: Request
) -> None:
    (result,) = judged(run_of, spread(a_request, 40), "ttft_s.p95 <= 1")
    assert result.passed
    assert result.value == pytest.approx(0.3805)
    assert "72" in result.message


def test_a_metric_without_samples_fails(run_of: RunOf, a_request: Request) -> None:
    case = {"stream": False}
    made = run_of(
        [a_request(stream=False)], case=case, thresholds=("ttft_s.p95 <= 2", "load_s.p50 <= 1")
    )
    ttft, load = made.summary().thresholds
    assert not ttft.passed
    assert ttft.value is None
    assert "not streamed" in ttft.message
    assert load.passed


def test_thresholds_of_an_empty_case_fail(run_of: RunOf) -> None:
    results = judged(run_of, [], "ttft_s.mean <= 2", "error_rate <= 1%", "decode_tok_per_s > 0")
    assert [r.passed for r in results] == [False, False, False]


def test_the_error_rate_counts_failures_and_not_what_we_stopped(
    run_of: RunOf, a_request: Request
) -> None:
    records = [
        *(a_request(9.0 * i, index=i) for i in range(8)),
        a_request(80, index=8, outcome=Outcome.ABORTED),
        a_request(90, index=9, outcome=Outcome.TIMEOUT),
        a_request(99, index=10, outcome=Outcome.CANCELLED),
    ]
    case = run_of(records).case_summary()
    assert case.metrics["error_rate"].stats["value"].value == 0.2
    assert case.requests.by_outcome == {"ok": 8, "aborted": 1, "timeout": 1, "cancelled": 1}
    assert (case.requests.ok, case.requests.failed) == (8, 2)


def test_goodput_counts_requests_that_meet_every_threshold(
    run_of: RunOf, a_request: Request
) -> None:
    # TTFT 0.01 .. 1.00 and 21 tokens in 1 s: decode 20 tok/s.
    made = run_of(
        spread(a_request),
        thresholds=("ttft_s.p95 <= 0.5", "decode_tok_per_s >= 10", "error_rate <= 0.01"),
    )
    case = made.case_summary()
    assert case.metrics["goodput_share"].stats["value"].value == 0.5
    window = case.window_s
    assert case.metrics["goodput_per_s"].stats["value"].value == pytest.approx(50 / window)
    assert case.blocks[0].values["goodput_per_s"] == pytest.approx(50 / window)


def test_failed_requests_are_never_good(run_of: RunOf, a_request: Request) -> None:
    records = [*spread(a_request, 10), a_request(200, index=10, outcome=Outcome.ABORTED)]
    case = run_of(records, thresholds=("e2e_s.p50 <= 60",)).case_summary()
    assert case.metrics["goodput_share"].stats["value"].value == pytest.approx(10 / 11)


def test_without_a_threshold_on_requests_there_is_no_goodput(
    run_of: RunOf, a_request: Request
) -> None:
    case = run_of(spread(a_request), thresholds=("error_rate <= 1%",)).case_summary()
    assert case.metrics["goodput_share"].n == 0
    assert case.metrics["goodput_per_s"].note == "no threshold on a per-request metric"


@pytest.mark.parametrize(
    "expression",
    [
        "output_tok_per_s > 0",
        "request_per_s > 0",
        "goodput_per_s >= 0",
        "in_flight <= 1",
        "slots_observed >= 1",
        "gpu_share >= 100%",
        "prefill_tok_per_s > 0",
        "itl_s.p99 < 1s",
        "tpot_s.max < 1s",
        "queue_s.min >= 0",
        "overhead_s.mean < 1s",
        "answer_ttft_s.p90 < 9",
    ],
)
def test_every_metric_can_be_asked_for(run_of: RunOf, a_request: Request, expression: str) -> None:
    results = judged(run_of, spread(a_request), expression, "e2e_s.p50 <= 60")
    assert [r.passed for r in results] == [True, True]
