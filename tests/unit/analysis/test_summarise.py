"""From records to the summary, and its file."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.run.summary_json import from_json, to_json
from bench.metric_kinds import DISTRIBUTION
from bench.metrics import BLOCK_QUANTILE_MIN, METRICS, WORK
from bench.results.record import Phase, RequestRecord
from bench.thresholds import compared_texts
from bench.wire.exchange import Outcome, ServerTimings

Request = Callable[..., RequestRecord]
RunOf = Callable[..., Any]

maybe = st.none() | st.integers(0, 10**11)
"""A duration or stamp that may be absent, up to 100 s."""


@st.composite
def any_records(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What may come back from servers and networks, plausible or not."""
    rows = []
    for index in range(draw(st.integers(0, 30))):
        sent = draw(maybe)
        first = draw(maybe)
        rows.append(
            {
                "index": index,
                "block": draw(st.integers(0, 2)),
                "phase": draw(st.sampled_from(Phase)),
                "outcome": draw(st.sampled_from([Outcome.OK, Outcome.OK, *Outcome])),
                "planned_ns": draw(maybe),
                "sent_ns": sent,
                "first_thinking_ns": draw(maybe),
                "first_answer_ns": first,
                "last_text_ns": draw(maybe),
                "end_ns": draw(maybe),
                "chunk_gaps_ns": draw(st.lists(st.integers(0, 10**10), max_size=5)),
                "text_chunks": draw(st.integers(0, 5)),
                "stream": draw(st.booleans()),
                "done_reason": draw(st.sampled_from([None, "stop", "length", "load"])),
                "num_predict": draw(st.none() | st.integers(0, 100)),
                "target_input_tokens": draw(st.none() | st.integers(1, 1000)),
                "answer_chars": draw(st.integers(0, 9)),
                "thinking_chars": draw(st.integers(0, 9)),
                "server": ServerTimings(
                    draw(maybe),
                    draw(maybe),
                    draw(st.none() | st.integers(0, 5000)),
                    draw(st.none() | st.integers(0, 5000)),
                    draw(maybe),
                    draw(st.none() | st.integers(0, 500)),
                    draw(maybe),
                ),
            }
        )
    return rows


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, float):
        yield value


@pytest.mark.slow
@settings(max_examples=60)
@given(rows=any_records(), version=st.sampled_from(["0.3.14", "0.12.6", "0.24.0", "0.33.3", "?"]))
def test_whatever_comes_back_the_summary_is_whole(
    run_of: RunOf, a_request: Request, rows: list[dict[str, Any]], version: str
) -> None:
    records = [a_request(**row) for row in rows]
    run = run_of(
        records, blocks=3, version=version, thresholds=("ttft_s.p95 <= 2", "output_tok_per_s > 1")
    )
    summary = run.summary()
    case = summary.cases[0]
    measured = [r for r in records if r.phase is Phase.MEASURE]

    # The parts are the whole.
    stopped = case.requests.by_outcome.get("cancelled", 0)
    assert case.requests.ok + case.requests.failed + stopped == len(measured)
    assert sum(case.requests.by_outcome.values()) == len(measured)
    assert sum(b.n_ok for b in case.blocks) == case.requests.ok
    assert set(case.metrics) == set(METRICS)

    # No NaN, no infinity; absent is absent.
    content = to_json(summary)
    assert all(math.isfinite(x) for x in numbers(content))
    for metric in case.metrics.values():
        assert bool(metric.stats) == (metric.n > 0)
        assert metric.n or metric.note
        for e in metric.stats.values():
            if e.value is None:
                assert e.needs
                assert (e.low, e.high) == (None, None)
            else:
                assert e.low is None or e.low <= e.value + 1e-9 * abs(e.value)
                assert e.high is None or e.high >= e.value - 1e-9 * abs(e.value)

    # Quantiles rise, within the extremes.
    for metric in case.metrics.values():
        if METRICS[metric.id].kind in ("time", "tokens") and metric.n:
            assert tuple(metric.stats) == DISTRIBUTION
            order = [metric.stats[s].value for s in ("min", "p50", "p90", "p95", "p99", "max")]
            known = [x for x in order if x is not None]
            assert known == sorted(known)

    # The file holds all of it.
    assert from_json(json.loads(json.dumps(content, allow_nan=False))) == summary


@pytest.mark.slow
@settings(max_examples=30)
@given(rows=any_records(), seed=st.integers(0, 99))
def test_the_order_of_the_records_does_not_matter(
    run_of: RunOf, a_request: Request, rows: list[dict[str, Any]], seed: int
) -> None:
    records = [a_request(**row) for row in rows]
    shuffled = random.Random(seed).sample(records, len(records))
    first, second = (run_of(r, blocks=3, run={"blocks": ()}) for r in (records, shuffled))
    assert first.summary() == second.summary()


def three_blocks(a_request: Request, **other: Any) -> list[RequestRecord]:
    return [
        a_request(3.0 * i, index=i, block=i // 10, decode=1.0 + 0.01 * i, **other)
        for i in range(30)
    ]


def test_failed_warm_up_and_ramp_up_requests_change_no_latency(
    run_of: RunOf, a_request: Request
) -> None:
    kept = three_blocks(a_request)
    odd = [
        a_request(100.0, ttft=50.0, phase=Phase.WARMUP, index=90),
        a_request(200.0, ttft=50.0, phase=Phase.RAMP_UP, index=91),
        a_request(300.0, ttft=50.0, outcome=Outcome.ABORTED, index=92),
    ]
    windows = {0: (0.0, 30.0), 1: (30.0, 60.0), 2: (60.0, 92.0)}
    plain = run_of(kept, blocks=3, windows=windows).case_summary()
    noisy = run_of(kept + odd, blocks=3, windows=windows).case_summary()
    for id in ("ttft_s", "e2e_s", "itl_s", "decode_tok_per_s", "output_tokens", "queue_s"):
        assert plain.metrics[id] == noisy.metrics[id]
    assert noisy.metrics["error_rate"].n == 31
    assert noisy.requests.failed == 1


def test_the_rate_of_a_case_is_a_ratio_of_sums(run_of: RunOf, a_request: Request) -> None:
    records = [
        a_request(0.0, tokens=101, decode=1.0, index=0),  # 100 tok/s for 1 s
        a_request(10.0, tokens=101, decode=4.0, index=1),  # 25 tok/s for 4 s
    ]
    case = run_of(records).case_summary()
    assert case.metrics["decode_tok_per_s"].stats["value"].value == 40.0
    assert case.metrics["ollama_tok_per_s"].stats["value"].value == pytest.approx(40.4)
    assert case.blocks[0].values["decode_tok_per_s"] == 40.0


def test_throughput_is_over_the_measured_window(run_of: RunOf, a_request: Request) -> None:
    case = run_of(three_blocks(a_request), blocks=3).case_summary()
    windows = [b.values["request_per_s"] for b in case.blocks]
    seconds = [10 / rate for rate in windows]
    assert case.window_s == pytest.approx(sum(seconds))
    assert case.metrics["request_per_s"].stats["value"].value == pytest.approx(30 / sum(seconds))
    assert case.metrics["output_tok_per_s"].stats["value"].value == pytest.approx(
        30 * 21 / sum(seconds)
    )
    assert case.metrics["request_per_s"].stats["value"].method == "t, 3 blocks"


def test_one_block_gives_throughput_without_an_interval(run_of: RunOf, a_request: Request) -> None:
    estimate = run_of([a_request()]).case_summary().metrics["output_tok_per_s"].stats["value"]
    assert estimate.value is not None
    assert (estimate.low, estimate.high, estimate.needs) == (None, None, 2)


def test_block_values_have_the_documented_keys(run_of: RunOf, a_request: Request) -> None:
    case = run_of(three_blocks(a_request), blocks=3).case_summary()
    values = case.blocks[1].values
    rates = {
        "decode_tok_per_s",
        "ollama_tok_per_s",
        "prefill_tok_per_s",
        "output_tok_per_s",
        "request_per_s",
        "in_flight",
        "error_rate",
    }
    times = {key.partition(".")[0] for key in values} - rates
    assert rates <= set(values)
    assert {"ttft_s", "itl_s", "tpot_s", "e2e_s", "queue_s", "output_tokens"} <= times
    assert "ttft_s.p90" in values and "ttft_s.p95" not in values  # ten requests
    assert BLOCK_QUANTILE_MIN["p95"] == 20
    assert values["ttft_s.p50"] == 0.5
    assert case.blocks[1].start_s == pytest.approx(30.0)
    judged = {key for key in values if METRICS[key.partition(".")[0]].better}
    assert judged <= set(compared_texts())
    lacking = {text.partition(".")[0] for text in compared_texts()} - rates - times
    lacking -= {kind.id for kind in WORK}  # no sessions, no pictures, no checks
    machine = {"mem_bw_share", "gpu_power_w", "j_per_token", "j_per_token_above_idle"}
    machine.add("j_per_request")  # nothing was sampled
    assert lacking == {"goodput_per_s", "send_delay_s"} | machine  # no threshold, no open loop


def test_thinking_and_answer_are_told_apart(run_of: RunOf, a_request: Request) -> None:
    records = [
        a_request(
            3.0 * i,
            ttft=0.9,
            index=i,
            first_thinking_ns=round((3.0 * i + 0.5) * 1e9),
            thinking_chars=30,
            answer_chars=10,
        )
        for i in range(10)
    ]
    case = run_of(records).case_summary()
    assert case.metrics["ttft_s"].stats["p50"].value == pytest.approx(0.5)
    assert case.metrics["answer_ttft_s"].stats["p50"].value == pytest.approx(0.9)
    assert case.metrics["thinking_char_share"].stats["value"].value == 0.75


@pytest.mark.parametrize(("never", "p50"), [(0, 0.9), (4, 1.3), (6, None)])
def test_what_never_came_takes_forever_in_the_values_of_a_block(
    run_of: RunOf, a_request: Request, never: int, p50: float | None
) -> None:
    """Comparisons rest on these: the few that got an answer must not stand for all."""
    records = [
        a_request(
            5.0 * i,
            ttft=0.5 + 0.1 * i,
            index=i,
            **(
                {"first_answer_ns": None, "first_thinking_ns": 1, "answer_chars": 0}
                if i < never
                else {}
            ),
        )
        for i in range(9)
    ]
    values = run_of(records).case_summary().blocks[0].values
    found = values.get("answer_ttft_s.p50")
    assert found == (None if p50 is None else pytest.approx(p50))
    assert ("answer_ttft_s.mean" in values) == (never == 0)
    assert values["e2e_s.p50"] > 0


def test_a_case_that_was_not_begun_is_there_and_empty(run_of: RunOf) -> None:
    case = run_of([], blocks=1, run={"blocks": ()}).case_summary()
    assert case.requests.ok == 0
    assert all(m.n == 0 and m.note for m in case.metrics.values())
    assert case.blocks == ()


def test_identity_is_what_was_found(run_of: RunOf, a_request: Request) -> None:
    identity = run_of(three_blocks(a_request), blocks=3).case_summary().identity
    assert identity.server_version == "0.32.15"
    assert identity.era == "llama-server (from 0.30.0)"
    assert (identity.served_context, identity.gpu_share) == (4096, 1.0)
    assert identity.mean_output_tokens == 21
    assert identity.digest == "sha256:abc"


def test_the_workload_is_the_same_whatever_the_nonces(run_of: RunOf, a_request: Request) -> None:
    one = run_of([a_request(prompt_sha256="a" * 16, nonce="x")]).case_summary()
    other = run_of([a_request(prompt_sha256="b" * 16, nonce="y")]).case_summary()
    assert one.identity.prompts_sha256 == other.identity.prompts_sha256
    asked = run_of([a_request()], case={"system": "Be brief."}).case_summary()
    assert asked.identity.prompts_sha256 != one.identity.prompts_sha256


def test_the_file_has_its_documented_shape(run_of: RunOf, a_request: Request) -> None:
    run = run_of(three_blocks(a_request), blocks=3, thresholds=("ttft_s.p50 <= 1",))
    content = to_json(run.summary())
    assert list(content) == [
        "schema",
        "run_id",
        "name",
        "tool_version",
        "created_at",
        "status",
        "simulated",
        "valid",
        "scenario",
        "warnings",
        "thresholds",
        "cases",
    ]
    case = content["cases"][0]
    assert {"model", "target", "load", "options", "requests", "metrics"} <= set(case)
    assert case["requests"] == {
        "ok": 30,
        "failed": 0,
        "by_outcome": {"ok": 30},
        "by_done_reason": {"length": 30},
        "dropped": 0,
    }
    ttft = case["metrics"]["ttft_s"]
    assert {"unit", "better", "n", "note", "mean", "p50", "p99"} <= set(ttft)
    assert ttft["p50"]["value"] == 0.5
    assert ttft["p99"]["value"] is None and ttft["p99"]["needs"] == 368
    keys = {"value", "low", "high", "needs", "method", "needs_unit", "if_independent"}
    assert set(ttft["p50"]) == keys


ERAS = ["0.12.11", "0.24.0", "0.32.15"]


@pytest.mark.parametrize("version", ERAS)
@pytest.mark.parametrize(
    "name",
    [
        "chat-stream",
        "chat-nonstream",
        "chat-one-token",
        "chat-emoji",
        "chat-chinese-stream",
        "chat-natural-stop",
        "thinking-chat-stream",
        "thinking-generate-stream",
        "generate-stream",
        "generate-raw",
    ],
)
def test_recorded_exchanges_give_their_own_numbers(
    run_of: RunOf, recorded: Callable[[str, str], RequestRecord], version: str, name: str
) -> None:
    record = recorded(version, name)
    assert record.outcome is Outcome.OK
    case = run_of([record], version=version, case={"stream": record.stream}).case_summary()
    said = record.server
    assert case.metrics["output_tokens"].stats["mean"].value == said.eval_count
    assert case.metrics["prompt_tokens"].stats["mean"].value == said.prompt_eval_count
    assert case.metrics["load_s"].stats["max"].value == (said.load_duration or 0) / 1e9
    assert case.metrics["total_s"].stats["max"].value == (said.total_duration or 0) / 1e9
    decode = case.metrics["decode_tok_per_s"]
    if (said.eval_count or 0) >= 16:
        expected = ((said.eval_count or 0) - 1) / (said.eval_duration or 0) * 1e9
        assert decode.stats["value"].value == pytest.approx(expected)
    else:
        assert decode.n == 0
    assert (case.metrics["ttft_s"].n == 1) == (record.stream and record.text_chunks > 0)
    # One cold sample of a small prompt: prefill speed could only mislead.
    assert case.metrics["prefill_tok_per_s"].n == 0


@pytest.mark.parametrize("version", ["0.24.0", "0.32.15"])
def test_a_recorded_stream_that_just_ends_is_a_failure(
    run_of: RunOf, recorded: Callable[[str, str], RequestRecord], version: str
) -> None:
    case = run_of([recorded(version, "chat-runner-killed-midstream")]).case_summary()
    assert case.requests.by_outcome == {"stream_error": 1}
    assert case.metrics["error_rate"].stats["value"].value == 1.0
    assert case.metrics["ttft_s"].n == 0
