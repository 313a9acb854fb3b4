"""A server that cannot keep up is named, and its latencies are no steady state."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary import ThresholdVerdict
from bench.ollama.scripted import scripted_chat
from bench.thresholds import parse_threshold


def one_slot(service_s, told=False):
    """Requests one after the other; the wait is told as one, or as part of reading the prompt."""
    free_at = 0.0

    def script(call, number):
        nonlocal free_at
        now = asyncio.get_running_loop().time()
        start = max(now, free_at)
        free_at = start + service_s
        wait_s = start - now if told else 0.0
        return scripted_chat(["x", "y"], first_s=free_at - now - 0.1, gap_s=0.05, queue_s=wait_s)

    return script


def codes(done):
    return {w.code: w for w in summarise(done.info, done.run.records).warnings}


@pytest.mark.parametrize("rate", [1.15, 2.0])
def test_an_overloaded_open_loop_is_named(play, kit, rate):
    load = kit.open_loop(rate, duration_s=120.0, arrivals="poisson", settle_s=30.0)
    done = play(kit.plan(kit.case(load, warmup=0), blocks=3), one_slot(1.0))
    found = codes(done)
    assert "overload" in found
    assert "keep up" in found["overload"].message
    assert "littles_law" not in found
    metrics = summarise(done.info, done.run.records).cases[0].metrics
    for id in ("ttft_s", "e2e_s"):
        assert {metrics[id].stats[s].value for s in ("mean", "p50", "p90", "p95", "p99")} == {None}
        assert "steady state" in metrics[id].note
    # What it can do is known, and steady.
    assert metrics["request_per_s"].stats["value"].value == pytest.approx(1.0, rel=0.02)


def test_a_server_that_keeps_up_is_not(play, kit):
    load = kit.open_loop(0.5, duration_s=600.0, arrivals="poisson", settle_s=60.0)
    done = play(kit.plan(kit.case(load, warmup=0), blocks=3), one_slot(0.4))
    assert "overload" not in codes(done)
    metrics = summarise(done.info, done.run.records).cases[0].metrics
    assert metrics["ttft_s"].stats["p50"].value == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(("rate", "why"), [(2.0, "not a steady state"), (0.8, "mean needs")])
def test_a_mean_that_cannot_be_given_is_judged_neither_way(play, kit, rate, why):
    """It ended the analysis with an assertion."""
    load = kit.open_loop(rate, duration_s=40.0, arrivals="poisson", settle_s=5.0)
    done = play(kit.plan(kit.case(load, warmup=0), blocks=3), one_slot(1.0))
    plan = replace(done.info.plan, thresholds=(parse_threshold("ttft_s.mean <= 2"),))
    [found] = summarise(replace(done.info, plan=plan), done.run.records).thresholds
    assert (found.verdict, found.value) == (ThresholdVerdict.UNSUPPORTED, None)
    assert why in found.message


def test_dropped_arrivals_are_an_overload(play, kit):
    load = kit.open_loop(4.0, requests=200, max_in_flight=5)
    done = play(kit.plan(kit.case(load, warmup=0)), one_slot(1.0))
    assert "overload" in codes(done)


def test_a_block_that_is_too_short_says_so(play, kit):
    load = kit.open_loop(0.8, requests=25, arrivals="poisson", settle_s=5.0)
    done = play(kit.plan(kit.case(load, warmup=0), blocks=3), one_slot(1.0))
    found = codes(done)["short_block"]
    assert "load.open.duration" in found.advice
    stats = summarise(done.info, done.run.records).cases[0].metrics["ttft_s"].stats
    assert stats["p95"].value is None
    assert stats["p95"].needs > 75


@pytest.mark.slow
def test_a_percentile_where_waiting_begins_is_not_shown(play, kit):
    """One slot in use for 5 % of the time: 5 % of the requests wait (PASTA), p95 is the first."""
    load = kit.open_loop(0.05, requests=400, arrivals="poisson", settle_s=2000.0)
    done = play(kit.plan(kit.case(load, warmup=0)), one_slot(1.0))
    summary = summarise(done.info, done.run.records)
    stats = summary.cases[0].metrics["ttft_s"].stats
    assert stats["p50"].value is not None
    assert stats["p95"].value is None
    assert "waiting begins near it" in stats["p95"].method
    assert stats["p95"].needs > 400
    (short,) = (w for w in summary.warnings if w.code == "short_block")
    assert "p95 of the latencies is not given: waiting begins near it" in short.message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settle_s", "told", "shown"), [(500.0, True, True), (500.0, False, False), (0.0, True, False)]
)
def test_the_load_is_read_from_requests_that_are_not_measured(play, kit, settle_s, told, shown):
    """At 80 % load the measured ones would show the runs whose queue was short by luck.

    So would the server's times if the wait is before them, as in a proxy that queues.
    """
    load = kit.open_loop(0.8, requests=2400, arrivals="poisson", settle_s=settle_s)
    done = play(kit.plan(kit.case(load, warmup=0)), one_slot(1.0, told))
    summary = summarise(done.info, done.run.records)
    p50 = summary.cases[0].metrics["ttft_s"].stats["p50"]
    assert (p50.value is not None) == shown
    if not shown:
        assert p50.needs > 2400
        assert "only the measured requests" in p50.method
        (short,) = (w for w in summary.warnings if w.code == "short_block")
        assert "p50" in short.message
        assert ("settle" in short.advice) == (settle_s == 0)
