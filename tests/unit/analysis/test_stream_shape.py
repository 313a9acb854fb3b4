"""What a stream's arrivals can carry, against streams whose truth is planted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.capacity.promises import check_judgeable
from bench.analysis.run.columns import Columns
from bench.analysis.run.evidence import Shape
from bench.analysis.run.latency import latencies
from bench.errors import MeasurementInvalid
from bench.results.record import RequestRecord
from bench.results.run import ClientHealth, TransportInfo
from bench.thresholds import parse_threshold
from bench.wire.exchange import Outcome, ServerTimings

Made = Callable[[list[RequestRecord]], Columns]
Request = Callable[..., RequestRecord]

MS = 10**6
STEP = 20 * MS
"""Planted: a token takes this long."""
PROMPT = 300 * MS


def arriving(
    a_request: Request,
    arrivals: list[int],
    tokens: int,
    *,
    decode_ns: int | None = None,
    prompt_ns: int = PROMPT,
    stop: bool = False,
    chars: int = 4,
) -> RequestRecord:
    """A reply whose chunks of text arrive then (ns since the send); the done line with the last."""
    end = arrivals[-1]
    decode = (tokens - 1) * STEP if decode_ns is None else decode_ns
    server = ServerTimings(end - MS, MS, 100, None, prompt_ns, tokens, decode)
    gaps = [arrivals[0], *(b - a for a, b in pairwise(arrivals)), 0]
    return a_request(
        server=server,
        sent_ns=0,
        first_answer_ns=arrivals[0],
        last_text_ns=end,
        end_ns=end,
        chunk_gaps_ns=gaps,
        chunks=len(gaps),
        text_chunks=len(arrivals),
        answer_chars=chars * len(arrivals),
        done_reason="stop" if stop else "length",
    )


def made_at(tokens: int) -> list[int]:
    """When each token is made."""
    return [2 * MS + PROMPT + i * STEP for i in range(tokens)]


def found(columns_from: Made, record: RequestRecord) -> tuple[Shape, float]:
    columns = columns_from([record])
    return Shape(int(columns.shape[0])), float(latencies(columns)["tpot_s"][0])


def test_one_by_one(columns_from: Made, a_request: Request) -> None:
    shape, tpot = found(columns_from, arriving(a_request, made_at(40), 40))
    assert (shape, tpot) == (Shape.TOKENS, 0.02)


def test_an_end_token_brings_no_text_and_counts_for_no_step(
    columns_from: Made, a_request: Request
) -> None:
    record = arriving(a_request, made_at(39), 40, stop=True)
    assert found(columns_from, record) == (Shape.TOKENS, 0.02)


@pytest.mark.parametrize("size", [2, 4, 7])
def test_bursts_count_from_the_arrival_of_the_first(
    columns_from: Made, a_request: Request, size: int
) -> None:
    """`size` tokens go out when the last of them is made."""
    made = made_at(120)
    ends = [made[min(i - i % size + size - 1, 119)] for i in range(120)]
    shape, tpot = found(columns_from, arriving(a_request, ends, 120))
    assert tpot == pytest.approx(0.02, rel=0.001)
    assert shape is (Shape.TOKENS if size == 2 else Shape.BURSTS)


def test_a_few_bursts_carry_nothing(columns_from: Made, a_request: Request) -> None:
    made = made_at(40)
    arrivals = [made[min(i // 10 * 10 + 9, 39)] for i in range(40)]
    shape, tpot = found(columns_from, arriving(a_request, arrivals, 40))
    assert shape is Shape.FEW_BURSTS and np.isnan(tpot)


@pytest.mark.parametrize("gap", [0, 1_000, 40_000])
def test_all_at_once(columns_from: Made, a_request: Request, gap: int) -> None:
    """In one read, or in reads that follow each other at once."""
    end = made_at(40)[-1]
    record = arriving(a_request, [end + i * gap for i in range(40)], 40)
    shape, tpot = found(columns_from, record)
    assert shape is Shape.ONE_PIECE and np.isnan(tpot)


def test_a_replay_in_its_own_rhythm_was_held_back(columns_from: Made, a_request: Request) -> None:
    """All is made before the first line goes out, one a millisecond."""
    end = made_at(40)[-1]
    shape, tpot = found(columns_from, arriving(a_request, [end + i * MS for i in range(40)], 40))
    assert shape is Shape.HELD_BACK and np.isnan(tpot)


def test_the_beginning_held_back_does_not_make_tokens_faster(
    columns_from: Made, a_request: Request
) -> None:
    """The first 20 tokens come with the 20th; then one by one."""
    made = made_at(60)
    shape, tpot = found(columns_from, arriving(a_request, [made[19]] * 19 + made[19:], 60))
    assert (shape, tpot) == (Shape.HELD_AT_START, 0.02)


def test_hidden_tokens_before_the_text_are_not_in_its_span(
    columns_from: Made, a_request: Request
) -> None:
    """200 tokens of thinking are not shown, 20 are; their own rhythm is kept."""
    visible = made_at(220)[200:]
    assert found(columns_from, arriving(a_request, visible, 220)) == (Shape.TOKENS, 0.02)
    # Hidden ones in half the time: the server's mean says nothing of those that were seen.
    faster = 200 * STEP // 2 + 19 * STEP
    record = arriving(a_request, visible, 220, decode_ns=faster)
    assert found(columns_from, record) == (Shape.HIDDEN, 0.02)
    long = arriving(a_request, visible, 220, decode_ns=faster, chars=40)
    shape, tpot = found(columns_from, long)
    assert shape is Shape.HIDDEN and np.isnan(tpot)


def test_characters_of_several_tokens_are_all_between(
    columns_from: Made, a_request: Request
) -> None:
    """Every third token completes a character."""
    made = made_at(60)
    shape, tpot = found(columns_from, arriving(a_request, [*made[::3], made[-1]], 60))
    assert shape is Shape.TOKENS
    assert tpot == pytest.approx(0.02, rel=0.001)


def test_without_a_count_there_is_no_time_per_token(columns_from: Made, a_request: Request) -> None:
    record = arriving(a_request, made_at(40), 40)
    unsaid = replace(record, server=replace(record.server, eval_count=None))
    shape, tpot = found(columns_from, unsaid)
    assert shape is Shape.TOKENS and np.isnan(tpot)


@pytest.mark.parametrize("seed", range(5))
def test_jitter_of_a_network_bends_nothing(
    columns_from: Made, a_request: Request, seed: int
) -> None:
    """Each line is late by some milliseconds, in order: means stay within 1 %."""
    rng = np.random.default_rng(seed)
    late = np.array(made_at(200)) + (rng.gamma(2, 5, 200) * MS).astype(np.int64)
    arrivals = np.maximum.accumulate(late).tolist()
    shape, tpot = found(columns_from, arriving(a_request, arrivals, 200))
    assert shape is Shape.TOKENS
    assert tpot == pytest.approx(0.02, rel=0.02)


RECORDINGS = Path(__file__).parents[2] / "recordings"


@pytest.mark.parametrize("version", ["0.12.11", "0.24.0", "0.32.15"])
def test_recorded_streams_agree_with_their_servers(
    columns_from: Made, recorded: Any, version: str
) -> None:
    """The client's time per token is the server's; 0.12.11 and 0.24.0 leave out sampling."""
    seen = 0
    for file in sorted((RECORDINGS / f"ollama-{version}").glob("*.json")):
        exchange = json.loads(file.read_text())
        if isinstance(exchange, list) or "format" in file.stem or "logprobs" in file.stem:
            continue
        body = exchange["request"]["body"]
        if exchange["request"]["path"] not in ("/api/chat", "/api/generate"):
            continue
        if not isinstance(body, dict) or not body.get("stream", True):
            continue
        if exchange["response"]["status"] != 200:
            continue
        record = recorded(version, file.stem)
        if record.outcome is not Outcome.OK or (record.server.eval_count or 0) < 12:
            continue
        shape, tpot = found(columns_from, record)
        assert shape is Shape.TOKENS, file.stem
        assert record.server.eval_duration and record.server.eval_count
        server = record.server.eval_duration / 1e9 / (record.server.eval_count - 1)
        assert tpot == pytest.approx(server, rel=0.11), file.stem
        seen += 1
    assert seen >= 8


def test_chunks_that_are_not_those_that_came_give_no_time_per_token(
    columns_from: Made, a_request: Request
) -> None:
    """A record whose count of chunks is that of its first piece alone: it took forever a token."""
    arrivals = [400 * MS] * 5 + [500 * MS + i * STEP for i in range(5)]
    record = replace(arriving(a_request, arrivals, 10), text_chunks=5)
    assert np.isnan(found(columns_from, record)[1])


def test_a_promise_about_tokens_is_not_judged_on_streams_that_were_held_back(
    columns_from: Made, a_request: Request
) -> None:
    """It was kept by an artefact of 0 s a token."""
    end = made_at(40)[-1]
    held = [replace(arriving(a_request, [end] * 40, 40), index=i) for i in range(5)]
    promises = [parse_threshold("tpot_s.p50 <= 0.002"), parse_threshold("ttft_s.p50 <= 9")]
    with pytest.raises(MeasurementInvalid, match=r"none of 5 answers has a tpot_s: .*at once"):
        check_judgeable(columns_from(held), promises)
    check_judgeable(columns_from(held), promises[1:])
    # One stream in its own rhythm can be judged.
    check_judgeable(columns_from([*held, arriving(a_request, made_at(40), 40)]), promises)


@pytest.mark.parametrize(("stalled_s", "named"), [(0.0, "holds the stream back"), (4.0, "stood")])
def test_streams_that_were_read_late_are_not_blamed_on_a_proxy(
    run_of: Callable[..., Any], a_request: Request, stalled_s: float, named: str
) -> None:
    end = made_at(40)[-1]
    held = [replace(arriving(a_request, [end] * 40, 40), index=i) for i in range(5)]
    run = run_of(held, block_info={"health": ClientHealth(stalled_s=stalled_s)})
    (warning,) = (w for w in run.summary().warnings if w.code == "stream_held_back")
    assert named in warning.message
    assert ("proxy" in warning.advice) == (stalled_s == 0)
    assert "tpot_s 5 of them" in warning.advice


@pytest.mark.parametrize(
    ("mean_ms", "longest_ms", "ours", "proxy"),
    [
        (0.3, 2.0, False, True),  # an idle machine
        (0.5, 900.0, False, True),  # one stop does not reach five streams in five of their times
        (40.0, 90.0, False, True),  # late all the time, but never for as long as the text took
        (60.0, 900.0, True, True),
        (300.0, 900.0, True, False),
    ],
)
def test_the_own_lag_tells_who_held_streams_back(
    run_of: Callable[..., Any],
    a_request: Request,
    mean_ms: float,
    longest_ms: float,
    ours: bool,
    proxy: bool,
) -> None:
    """It blamed a proxy wherever this program had not stood still for half a second."""
    end = made_at(40)[-1]  # 0.78 s of text in replies of 1.08 s
    held = [replace(arriving(a_request, [end] * 40, 40), index=i) for i in range(5)]
    health = ClientHealth(loop_lag_mean_ms=mean_ms, loop_lag_max_ms=longest_ms)
    summary = run_of(held, block_info={"health": health}).summary()
    (warning,) = (w for w in summary.warnings if w.code == "stream_held_back")
    assert ("this program read them late" in warning.message) == ours
    assert ("Stop other work" in warning.advice) == ours
    assert ("something between here and the server" in warning.message) == proxy
    assert ("proxy" in warning.advice) == proxy
    assert "let go" not in summary.cases[0].metrics["ttft_s"].note


@pytest.mark.parametrize(
    ("mean_ms", "named", "not_named"),
    [
        (0.3, "sends in bursts, or something between", "This program"),
        (5.0, "or this machine reads late", "This program"),
        (None, "or this machine reads late", "This program"),  # of an earlier version
        (60.0, "This program was 0.06 s late on average", "The server"),
    ],
)
def test_bursts_are_ours_where_reading_was_late_for_longer_than_a_token(
    run_of: Callable[..., Any],
    a_request: Request,
    mean_ms: float | None,
    named: str,
    not_named: str,
) -> None:
    made = made_at(40)  # a token takes 20 ms; each piece holds four
    pieces = [made[i // 4 * 4 + 3] for i in range(40)]
    records = [replace(arriving(a_request, pieces, 40), index=i) for i in range(5)]
    health = {"health": ClientHealth(loop_lag_mean_ms=mean_ms)}
    found = run_of(records, block_info=health).summary().warnings
    (warning,) = (w for w in found if w.code == "stream_in_bursts")
    assert named in warning.advice and not_named not in warning.advice


@pytest.mark.parametrize(
    ("mean_ms", "transport", "ours"),
    [(0.3, "user", False), (200.0, "user", True), (200.0, "kernel", False)],
)
def test_late_stamps_of_our_own_are_named_before_networks_and_servers(
    run_of: Callable[..., Any], a_request: Request, mean_ms: float, transport: str, ours: bool
) -> None:
    """Clocks that disagree and time outside the server were always blamed on others."""
    slow = [a * 13 // 10 for a in made_at(40)]
    late = [a + 700 * MS for a in made_at(40)]
    kept = {"block_info": {"health": ClientHealth(loop_lag_mean_ms=mean_ms)}}
    for arrivals, code in ((slow, "clocks_disagree"), (late, "time_outside_server")):
        record = arriving(a_request, arrivals, 40)
        server = replace(record.server, total_duration=made_at(40)[-1])
        records = [replace(record, server=server, index=i) for i in range(5)]
        run = run_of(records, run={"transport": TransportInfo(transport)}, **kept)
        (warning,) = (w for w in run.summary().warnings if w.code == code)
        assert warning.advice.startswith("This program was 0.2 s late") == ours
