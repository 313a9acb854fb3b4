"""Thresholds and goodput."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats

from bench.analysis.run.summary import ThresholdResult, ThresholdVerdict
from bench.analysis.run.summary_json import from_json, to_json
from bench.results.record import RequestRecord
from bench.wire.exchange import Outcome

Request = Callable[..., RequestRecord]
RunOf = Callable[..., Any]


def judged(run_of: RunOf, records: list[RequestRecord], *expressions: str) -> list[ThresholdResult]:
    return list(run_of(records, thresholds=expressions).summary().thresholds)


def spread(a_request: Request, count: int = 100, **other: Any) -> list[RequestRecord]:
    """TTFT 0.01, 0.02, ... seconds, in no order: neighbours are not alike."""
    return [
        a_request(10.0 * i, ttft=0.01 * (17 * i % count + 1), load=0.001, index=i, **other)
        for i in range(count)
    ]


def test_the_point_estimate_decides_and_the_interval_is_shown(
    run_of: RunOf, a_request: Request
) -> None:
    holds, fails = judged(run_of, spread(a_request), "ttft_s.p50 <= 0.51", "ttft_s.p50 < 500ms")
    assert holds.passed and not fails.passed
    assert holds.value == pytest.approx(0.505)
    assert holds.message == fails.message and holds.message.startswith("95 % interval 0.")


def test_a_percentile_that_the_data_cannot_carry_is_judged_neither_way(
    run_of: RunOf, a_request: Request
) -> None:
    below, above = judged(run_of, spread(a_request, 40), "ttft_s.p95 <= 1", "ttft_s.p95 <= 0.379")
    for result in (below, above):
        assert result.verdict is ThresholdVerdict.UNSUPPORTED
        assert not result.passed
        assert result.value == pytest.approx(0.3805)
        assert result.needs == 72
        assert "not supported: p95 needs 72 requests; of these 40 alone" in result.message


def test_an_unsupported_percentile_that_is_broken_beyond_doubt_fails(
    run_of: RunOf, a_request: Request
) -> None:
    """Of 40 requests 2 may be late by chance; by the binomial, 7 or more come once in 290 runs."""
    beyond, near = judged(run_of, spread(a_request, 40), "ttft_s.p95 <= 0.33", "ttft_s.p95 <= 0.35")
    assert scipy.stats.binom.sf(6, 40, 0.05) < 0.01 < scipy.stats.binom.sf(4, 40, 0.05)
    assert beyond.verdict is ThresholdVerdict.NOT_MET
    assert "7 of 40 requests do not keep it" in beyond.message
    assert near.verdict is ThresholdVerdict.UNSUPPORTED


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("decode_tok_per_s.p50 >= 1", ThresholdVerdict.MET),
        ("decode_tok_per_s.p50 >= 1000", ThresholdVerdict.NOT_MET),
        ("decode_tok_per_s.p5 >= 1", ThresholdVerdict.UNSUPPORTED),
        ("output_tokens.p95 <= 1000", ThresholdVerdict.UNSUPPORTED),
        ("prompt_tokens.p50 <= 1000", ThresholdVerdict.MET),
        ("prompt_tokens.p99 <= 1", ThresholdVerdict.NOT_MET),
    ],
)
def test_percentiles_of_rates_and_tokens_are_judged_like_those_of_times(
    run_of: RunOf, a_request: Request, expression: str, verdict: ThresholdVerdict
) -> None:
    (result,) = judged(run_of, spread(a_request, 20), expression)
    assert result.verdict is verdict, result.message
    assert "no samples" not in result.message


def test_who_never_got_an_answer_waited_for_ever(run_of: RunOf, a_request: Request) -> None:
    """Of nine requests of a thinking model five used up num_predict and never answered."""
    records = [a_request(10.0 * i, ttft=0.1, load=0.0, index=i) for i in range(9)]
    records = [
        replace(r, first_thinking_ns=r.first_answer_ns, first_answer_ns=None) if i < 5 else r
        for i, r in enumerate(records)
    ]
    first, answer, worst, least, mean = judged(
        run_of,
        records,
        "ttft_s.p50 <= 1",
        "answer_ttft_s.p50 <= 1",
        "answer_ttft_s.max <= 1",
        "answer_ttft_s.min <= 1",
        "answer_ttft_s.mean <= 1",
    )
    assert first.passed and least.passed
    assert not worst.passed and not mean.passed
    assert answer.verdict is ThresholdVerdict.NOT_MET
    assert answer.value is None
    assert "5 requests of 9 never got it and count as infinitely late" in answer.message


def test_failed_requests_count_as_infinitely_late(run_of: RunOf, a_request: Request) -> None:
    records = spread(a_request, 90)
    failed = [a_request(2000.0 + 10 * i, index=90 + i, outcome=Outcome.TIMEOUT) for i in range(10)]
    median, tail, sent = judged(
        run_of, [*records, *failed], "e2e_s.p50 <= 60", "ttft_s.p95 <= 60", "output_tokens.max < 99"
    )
    assert median.passed and sent.passed
    assert tail.verdict is ThresholdVerdict.NOT_MET
    assert "10 requests of 100 never got it" in tail.message


def test_if_all_requests_failed_nothing_is_met(run_of: RunOf, a_request: Request) -> None:
    records = [a_request(10.0 * i, index=i, outcome=Outcome.TIMEOUT) for i in range(2)]
    for result in judged(run_of, records, "ttft_s.p50 <= 60", "e2e_s.min <= 60", "load_s.max < 1"):
        assert result.verdict is ThresholdVerdict.NOT_MET
        assert "2 requests of 2 never got it" in result.message


def test_the_judged_percentile_is_that_of_all_requests_together(
    run_of: RunOf, a_request: Request
) -> None:
    """Truth: numpy's percentile with the failed ones at infinity."""
    records = spread(a_request, 100)
    late = [a_request(2000.0 + 10 * i, index=100 + i, outcome=Outcome.ABORTED) for i in range(2)]
    (result,) = judged(run_of, [*records, *late], "ttft_s.p90 <= 60")
    values = np.concatenate([np.arange(1, 101) * 0.01, [np.inf, np.inf]])
    assert result.value == pytest.approx(np.quantile(values, 0.9))


def test_a_stored_summary_keeps_every_verdict(run_of: RunOf, a_request: Request) -> None:
    made = run_of(
        spread(a_request, 40), thresholds=("ttft_s.p95 <= 1", "ttft_s.p50 <= 9", "e2e_s.p50 < 1ms")
    ).summary()
    kept = from_json(to_json(made))
    assert kept.thresholds == made.thresholds
    plain = to_json(made)["thresholds"][1]
    assert plain["expression"] == "ttft_s.p50 <= 9"
    assert (plain["passed"], plain["verdict"]) == (True, "met")


def test_a_summary_of_an_earlier_version_is_read(run_of: RunOf, a_request: Request) -> None:
    stored = to_json(run_of(spread(a_request, 9)).summary())
    stored["thresholds"] = [
        {
            "expression": "ttft_s.p95 <= 200%",
            "case": "x",
            "passed": True,
            "value": 1.0,
            "message": "95 % interval 0 to 2",
        }
    ]
    (result,) = from_json(stored).thresholds
    assert result.passed and result.threshold.value == 2.0
    assert result.message == "95 % interval 0 to 2"


def test_a_metric_without_samples_fails(run_of: RunOf, a_request: Request) -> None:
    case = {"stream": False}
    made = run_of(
        [a_request(stream=False)], case=case, thresholds=("ttft_s.p95 <= 2", "load_s.mean <= 1")
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


def test_a_run_without_failures_meets_its_limit_and_says_what_is_not_known(
    run_of: RunOf, a_request: Request
) -> None:
    records = [a_request(9.0 * i, index=i) for i in range(60)]
    limits = ("error_rate <= 1%", "goodput_share >= 99%", "ttft_s.p50 <= 10")
    errors, goodput, _ = judged(run_of, records, *limits)
    assert errors.passed and goodput.passed
    assert (errors.value, errors.low, errors.high) == (0, None, None)
    upper = 100 * scipy.stats.binomtest(0, 60).proportion_ci(0.95, method="exact").high
    assert f"0 to {upper:.3g} % if requests are independent" in errors.message
    assert "needs 2 blocks with each outcome" in goodput.message


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


def test_a_request_without_a_rate_is_neither_good_nor_bad(
    run_of: RunOf, a_request: Request
) -> None:
    """Six answers in ten are too short to have a decode rate; one of the others is too slow."""
    records = [
        a_request(
            30.0 * i, ttft=0.1, tokens=8 if i < 6 else 21, index=i, decode=20.0 * (i == 9) or 1
        )
        for i in range(10)
    ]
    made = run_of(records, thresholds=("decode_tok_per_s >= 10", "ttft_s.p50 <= 1"))
    share = made.case_summary().metrics["goodput_share"]
    assert share.stats["value"].value == 0.75
    assert share.n == 4
    assert share.note == "6 of 10 requests have no decode_tok_per_s to judge, and are left out"
    per_s = made.case_summary().metrics["goodput_per_s"]
    assert per_s.note.startswith("at least: 6 of 10 requests")
    late = run_of(records, thresholds=("decode_tok_per_s >= 10", "ttft_s.p50 <= 0.01"))
    assert late.case_summary().metrics["goodput_share"].stats["value"].value == 0.0


def test_thinking_that_used_up_num_predict_is_a_warning(run_of: RunOf, a_request: Request) -> None:
    records = [a_request(10.0 * i, ttft=0.1, load=0.0, index=i) for i in range(9)]
    records = [
        replace(
            r,
            first_thinking_ns=r.first_answer_ns,
            first_answer_ns=None,
            thinking_chars=80,
            answer_chars=0,
            done_reason="length",
        )
        if i < 5
        else r
        for i, r in enumerate(records)
    ]
    warnings = run_of(records).summary().warnings
    (told,) = [w for w in warnings if w.code == "thinking_only"]
    assert "in 5 of 9 answers thinking used up num_predict" in told.message
    assert not any(w.code == "thinking_only" for w in run_of(records[5:]).summary().warnings)


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "expression",
    [
        "output_tok_per_s > 0",
        "request_per_s > 0",
        "goodput_per_s > 0",
        "in_flight <= 1",
        "slots_observed >= 1",
        "gpu_share >= 100%",
        "prefill_tok_per_s > 0",
        "itl_s.p99 < 1s",
        "tpot_s.max < 1s",
        "queue_s.min < 1s",
        "overhead_s.mean < 1s",
        "answer_ttft_s.p90 < 9",
    ],
)
def test_every_metric_can_be_asked_for(run_of: RunOf, a_request: Request, expression: str) -> None:
    results = judged(run_of, spread(a_request), expression, "e2e_s.p50 <= 60")
    assert [r.passed for r in results] == [True, True]
