"""The steadiness label of a case: every metric that is shown, from planted runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from many_queues import first_texts

from bench.analysis.run.columns import Floats
from bench.results.record import RequestRecord
from bench.scenario.plan import Load


def step(size: float, n: int = 40) -> Floats:
    return np.where(np.arange(n) >= n // 2, size, 0.0)


Request = Callable[..., RequestRecord]


def series_of(a_request: Request, speeds: Floats, **other: object) -> list[RequestRecord]:
    """Requests one after the other, at these speeds (tok/s)."""
    return [
        a_request(10.0 * i, tokens=101, decode=100 / s, index=i, **other)
        for i, s in enumerate(speeds.tolist())
    ]


def test_a_case_that_slows_down_is_labelled_with_the_request(
    run_of: Callable[..., Any], a_request: Request
) -> None:
    rng = np.random.default_rng(8)
    speeds = 50 * np.exp(rng.normal(0, 0.01, 40) + step(np.log(0.9)))
    case = run_of(series_of(a_request, speeds)).case_summary()
    assert case.steadiness.steady is False
    assert "at request 2" in case.steadiness.message
    assert "decode_tok_per_s" in case.steadiness.metrics
    # One cause moves every time that decoding is in, and none other.
    assert "ttft_s" not in case.steadiness.metrics
    # Nothing is deleted for it.
    assert case.metrics["decode_tok_per_s"].n == 40


def test_growing_prompts_are_no_drift(run_of: Callable[..., Any], a_request: Request) -> None:
    """Decoding slows with the context: known, so it is taken out first."""
    rng = np.random.default_rng(9)
    sizes = np.linspace(100, 4000, 40)
    speeds = 50 * np.exp(rng.normal(0, 0.01, 40) - sizes / 8000)
    records = [
        a_request(10.0 * i, tokens=101, decode=100 / v, prompt_tokens=round(size), index=i)
        for i, (v, size) in enumerate(zip(speeds.tolist(), sizes.tolist(), strict=True))
    ]
    case = run_of(records).case_summary()
    assert case.steadiness.steady is True


def test_few_requests_tell_nothing(run_of: Callable[..., Any], a_request: Request) -> None:
    records = series_of(a_request, np.full(19, 50.0))
    case = run_of(records).case_summary()
    assert case.steadiness.steady is None


def test_a_queue_that_wanders_is_not_unsteady(
    run_of: Callable[..., Any], a_request: Request
) -> None:
    """M/G/4 at 80 % load, the server the same: in two of five runs their waits change level."""
    rng = np.random.default_rng(12)
    for waits in first_texts(0.8, 150, 20, rng)[0][:, 30:]:
        decode = 2 * np.exp(rng.normal(0, 0.01, len(waits)))
        records = [
            a_request(1.6 * i, tokens=101, decode=d, ttft=w)
            for i, (d, w) in enumerate(zip(decode.tolist(), waits.tolist(), strict=True))
        ]
        records = [replace(r, index=i, planned_ns=r.sent_ns) for i, r in enumerate(records)]
        case = run_of(records, case={"load": Load("open", rate_per_s=0.64)}).case_summary()
        assert not {"ttft_s", "e2e_s", "total_s"} & set(case.steadiness.metrics)


def in_blocks(
    a_request: Request, blocks: int, requests: int, ttft: Callable[[int, int], float]
) -> list[RequestRecord]:
    """Blocks of requests with these times to first text; decode noise of 1 %."""
    rng = np.random.default_rng(11)
    return [
        a_request(
            1000.0 * b + 10.0 * i,
            block=b,
            index=i,
            tokens=101,
            decode=2.0 * float(np.exp(rng.normal(0, 0.01))),
            ttft=ttft(b, i),
        )
        for b in range(blocks)
        for i in range(requests)
    ]


def test_a_step_in_the_time_to_first_text_alone_is_found(
    run_of: Callable[..., Any], a_request: Request
) -> None:
    rng = np.random.default_rng(12)
    records = in_blocks(
        a_request,
        3,
        25,
        lambda b, i: (0.3 if 25 * b + i < 37 else 0.4) * np.exp(rng.normal(0, 0.03)),
    )
    case = run_of(records, blocks=3).case_summary()
    assert case.steadiness.steady is False
    assert "ttft_s" in case.steadiness.metrics
    assert "decode_tok_per_s" not in case.steadiness.metrics
    assert case.steadiness.message.startswith(("step of +3", "step of -2"))  # the time, the speed


def test_noise_between_three_blocks_is_no_step(
    run_of: Callable[..., Any], a_request: Request
) -> None:
    rng = np.random.default_rng(13)
    levels = (0.3, 0.33, 0.36)
    records = in_blocks(a_request, 3, 25, lambda b, i: levels[b] * np.exp(rng.normal(0, 0.03)))
    assert run_of(records, blocks=3).case_summary().steadiness.steady is True


def test_a_step_between_blocks_is_found_where_there_are_enough(
    run_of: Callable[..., Any], a_request: Request
) -> None:
    rng = np.random.default_rng(14)
    records = in_blocks(
        a_request, 8, 10, lambda b, i: (0.3 if b < 4 else 0.4) * np.exp(rng.normal(0, 0.03))
    )
    case = run_of(records, blocks=8).case_summary()
    assert case.steadiness.steady is False
    assert "from block 5 of its 8 on" in case.steadiness.message
    assert "ttft_s" in case.steadiness.metrics


def test_a_change_of_microseconds_is_not_worth_a_label(
    run_of: Callable[..., Any], a_request: Request
) -> None:
    rng = np.random.default_rng(15)
    records = [
        a_request(
            10.0 * i,
            tokens=101,
            decode=2 * float(np.exp(rng.normal(0, 0.01))),
            index=i,
            load=(0.0004 if i < 20 else 0.0008) * float(np.exp(rng.normal(0, 0.02))),
        )
        for i in range(40)
    ]
    assert run_of(records).case_summary().steadiness.steady is True


def test_users_who_start_together_are_no_step(
    run_of: Callable[..., Any], a_request: Request
) -> None:
    """Of four users on one slot the first waits for nobody, and the others for ever more."""
    rng = np.random.default_rng(16)
    records = []
    for b in range(3):
        free, due = 0.0, [0.0] * 4
        for i in range(24):
            start = max(free, due[i % 4])
            spent = float(np.exp(rng.normal(0, 0.02)))
            records.append(
                a_request(
                    1000.0 * b + due[i % 4],
                    ttft=start - due[i % 4] + 0.2 * spent,
                    queue=start - due[i % 4],
                    decode=spent,
                    tokens=101,
                    block=b,
                    index=i,
                )
            )
            free = due[i % 4] = start + 1.2 * spent
    run = run_of(records, blocks=3, case={"load": Load("closed", users=4, requests=24)})
    assert run.case_summary().steadiness.steady is True


def test_requests_whose_send_is_not_known_end_no_analysis(
    run_of: Callable[..., Any], a_request: Request
) -> None:
    records = [replace(r, sent_ns=None) for r in series_of(a_request, np.full(40, 50.0))]
    case = run_of(records, case={"load": Load("closed", users=2, requests=40)}).case_summary()
    assert case.steadiness.steady is None
