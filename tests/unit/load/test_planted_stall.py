"""A stall of the server shows in open-loop latencies as queueing theory says: none is omitted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary import CaseSummary
from bench.ollama.scripted import scripted_chat
from bench.wire.transports.fake import ScriptedReply

SERVICE_S = 0.5
STALL_S = 10.0
STALL_AT_S = 60.0
REQUESTS = 200
PERIOD_S = 1.0


def stalling() -> Callable[[object, int], ScriptedReply]:
    """One slot, 0.5 s an answer; 10 s of nothing from the minute after the first request."""
    free_at = 0.0
    stall_at: float | None = None

    def script(call: object, number: int) -> ScriptedReply:
        nonlocal free_at, stall_at
        now = asyncio.get_running_loop().time()
        if stall_at is None:
            stall_at = now + STALL_AT_S + 0.1  # between two arrivals, while the server is busy
        start = max(now, free_at)
        free_at = start + SERVICE_S
        if start < stall_at + STALL_S and free_at > stall_at:
            free_at += STALL_S
        # The answer is one line, and is there when the work is done.
        return scripted_chat(["x"], first_s=free_at - now, gap_s=0.0)

    return script


def summary_of(done) -> CaseSummary:  # type: ignore[no-untyped-def]
    return summarise(done.info, done.run.records).cases[0]


def test_the_stall_shows_in_p95_from_the_planned_time(play, kit) -> None:  # type: ignore[no-untyped-def]
    """D/D/1 with a vacation: after it the waits are STALL, STALL - 0.5, STALL - 1, ... seconds.

    One arrival a second finds half a second of work, so the queue shrinks by half a second each.
    """
    load = kit.open_loop(1 / PERIOD_S, requests=REQUESTS)
    done = play(kit.plan(kit.case(load, warmup=0)), stalling())
    case = summary_of(done)
    latencies = np.full(REQUESTS, SERVICE_S)
    ramp = np.arange(SERVICE_S + STALL_S, SERVICE_S, -(PERIOD_S - SERVICE_S))
    latencies[: len(ramp)] = ramp
    seen = case.blocks[0].values
    for stat, p in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95)):
        for metric in ("ttft_s", "e2e_s"):
            expected = float(np.quantile(latencies, p))
            assert seen[f"{metric}.{stat}"] == pytest.approx(expected, abs=2e-3)
    assert seen["ttft_s.p95"] == pytest.approx(5.525, abs=2e-3)
    # One stall says nothing of how often there is one: the case has no such percentile.
    assert case.metrics["ttft_s"].stats["p95"].value is None
    assert "short_block" in {w.code for w in summarise(done.info, done.run.records).warnings}
    assert case.metrics["ttft_s"].stats["max"].value == pytest.approx(SERVICE_S + STALL_S, abs=2e-3)


def test_a_closed_loop_hides_the_same_stall(play, kit) -> None:  # type: ignore[no-untyped-def]
    """The only user waits with the server: one request of two hundred is slow."""
    load = kit.closed(1, requests=REQUESTS, think_s=PERIOD_S - SERVICE_S)
    case = summary_of(play(kit.plan(kit.case(load, warmup=0)), stalling()))
    assert case.metrics["ttft_s"].stats["p95"].value == pytest.approx(SERVICE_S, abs=2e-3)
    assert case.metrics["ttft_s"].stats["max"].value == pytest.approx(SERVICE_S + STALL_S, abs=2e-3)
