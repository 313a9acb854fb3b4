"""What the error of the senders' clocks does to numbers: wider intervals, or none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from honest_runs import honest_run

from bench.analysis.run.sender_clocks import sender_latencies
from bench.analysis.run.summarise import summarise
from bench.results.run import SenderClock, SenderInfo

RATES = ("output_tok_per_s", "request_per_s", "in_flight")


@pytest.fixture(scope="module")
def honest():
    """Three blocks of the same requests, in windows that differ a little."""
    info, records = honest_run("0.32.15 (E3)", np.random.default_rng(3))
    [planned], [block] = info.plan.blocks, info.blocks
    blocks = tuple(
        replace(block, index=n, window_end_ns=round(block.window_end_ns * (1 + 0.02 * n)))
        for n in range(3)
    )
    planned = tuple(replace(planned, index=n, repetition=n) for n in range(3))
    info = replace(info, plan=replace(info.plan, blocks=planned), blocks=blocks)
    return info, [replace(r, block=n) for n in range(3) for r in records]


def sent_from(info, *, error_s, senders=2):
    clock = SenderClock(10**15, 20.0, round(error_s * 1e9), 200_000, 300_000)
    each = tuple(SenderInfo(n, f"office-{n}", clock=clock) for n in range(senders))
    return replace(info, blocks=tuple(replace(b, senders=each) for b in info.blocks))


def test_rates_are_wider_by_what_the_clocks_can_do(honest):
    info, records = honest
    [before], [after] = (summarise(i, records).cases for i in (info, sent_from(info, error_s=0.01)))
    spent = [(b.window_end_ns - b.window_start_ns) / 1e9 for b in info.blocks]
    share = 2 * 0.01 * len(spent) / sum(spent)
    for id in RATES:
        was, now = (c.metrics[id].stats["value"] for c in (before, after))
        assert now.value == was.value
        assert was.low - now.low == pytest.approx(share * was.value, rel=0.01)
        assert now.high - was.high == pytest.approx(share * was.value, rel=0.01)
    for id in ("ttft_s", "e2e_s", "decode_tok_per_s"):
        assert before.metrics[id] == after.metrics[id]


def test_overlaps_are_refused_where_clocks_are_bad(honest):
    info, records = honest
    good, bad = (summarise(sent_from(info, error_s=e), records) for e in (0.0002, 0.5))
    assert good.cases[0].metrics["slots_observed"].n
    assert not bad.cases[0].metrics["slots_observed"].n
    assert not any(w.code == "sender_clocks" for w in good.warnings)
    [warning] = [w for w in bad.warnings if w.code == "sender_clocks"]
    assert "1e+03 ms apart" in warning.message or "1000 ms apart" in warning.message
    assert "slots and waits for other load are left out" in warning.message


def test_one_sender_has_one_clock(honest):
    info, records = honest
    alone = summarise(sent_from(info, error_s=0.5, senders=1), records)
    assert alone.cases == summarise(info, records).cases


def test_latencies_of_each_sender_are_its_own(honest):
    info, records = honest
    slow = [
        replace(r, worker=r.index % 2, end_ns=r.end_ns + (r.index % 2) * 10**10) for r in records
    ]
    first, second = sender_latencies(slow, [c.id for c in info.plan.cases])
    assert (first.worker, second.worker) == (0, 1)
    assert first.n + second.n == sum(r.phase == "measure" for r in records)
    assert second.e2e_s.value - first.e2e_s.value == pytest.approx(10, abs=1)
    assert first.e2e_s.low <= first.e2e_s.value <= first.e2e_s.high
