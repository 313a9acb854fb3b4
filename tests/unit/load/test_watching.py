from __future__ import annotations

import asyncio
import functools
import gc
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.clock import NS, VirtualClock, run_virtual
from bench.load.findings import block_findings
from bench.load.recording import Sending, make_record
from bench.load.supply import Prepared, Supply
from bench.load.tally import BlockTally
from bench.load.watch import TICK_NS, Watch, quiet
from bench.ollama.eras import era_of
from bench.ollama.line_reader import ollama_call
from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo, ClientHealth, Residency
from bench.scenario.plan import Block, Case, Load, PromptSpec
from bench.wire.exchange import Outcome, Reply, ServerTimings


def watched(disturb):
    async def main():
        watch = Watch(VirtualClock())
        await disturb()
        return watch.stop(BlockTally())

    return run_virtual(main())


def test_an_idle_loop_has_no_lag():
    health = watched(lambda: asyncio.sleep(10))
    assert health.loop_lag_max_ms == pytest.approx(0, abs=1e-3)


def test_a_stall_weighs_as_much_as_it_lasted():
    """100 ms without a turn swallow ten ticks, with lags of 90, 80, ... 0 ms."""

    async def stall():
        await asyncio.sleep(1.0)
        asyncio.get_running_loop().now_ns += 100_000_000
        await asyncio.sleep(0.5)

    health = watched(stall)
    assert health.loop_lag_max_ms == pytest.approx(100, abs=TICK_NS / 1e6)
    assert health.loop_lag_p99_ms >= 80


def test_a_stop_for_garbage_is_seen_and_nothing_listens_afterwards():
    before = list(gc.callbacks)

    async def collect():
        await asyncio.sleep(0.1)
        gc.collect()

    health = watched(collect)
    assert health.gc_pause_max_ms > 0
    assert health.gc_collections >= 1
    assert gc.callbacks == before
    assert watched(lambda: asyncio.sleep(0.1)).gc_pause_max_ms is None


def test_the_tally_remembers_what_the_findings_need(kit):
    tally = BlockTally()
    done = ServerTimings(load_duration=7)
    make = functools.partial(
        RequestRecord, case="c", block=0, phase=Phase.MEASURE, model="m", stream=True
    )
    ok = make(
        index=0,
        outcome=Outcome.OK,
        sent_ns=120,
        connect_ns=15,
        end_ns=400,
        chunks=5,
        coalesced=2,
        user_stamps=1,
        server=done,
    )
    tally.count(ok, due_ns=100)
    tally.count(make(index=1, outcome=Outcome.TIMEOUT, error="too slow", sent_ns=50, end_ns=300))
    tally.count(make(index=2, outcome=Outcome.CANCELLED, remote_model="x"))
    assert (tally.requests, tally.failed, tally.first_failure) == (3, 1, "too slow")
    assert (tally.begun_ns, tally.ended_ns) == (50, 400)
    assert (tally.reads, tally.coalesced, tally.user_stamps) == (3, 2, 1)
    assert list(tally.late_ns) == [5]
    assert tally.loads == [(0, 7)]
    assert tally.remote


def test_the_collector_is_off_only_inside():
    assert gc.isenabled()
    with quiet():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError), quiet():
        raise ValueError
    assert gc.isenabled()
    with quiet(active=False):
        assert gc.isenabled()


def test_the_collector_is_off_until_the_last_of_two_blocks_has_ended():
    first, second = quiet(), quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_supply_shares_the_numbers_out():
    def make(number):
        return Prepared(ollama_call("/", b""), number)

    shares = [Supply(make, ahead=3, start=w, step=3) for w in range(3)]
    for share in shares:
        share.refill()
    taken = [[share.take().number for _ in range(5)] for share in shares]
    assert sorted(n for share in taken for n in share) == list(range(15))
    assert taken[1] == [1, 4, 7, 10, 13]


CASE = Case(
    id="c",
    axes={},
    target="t",
    model="m",
    endpoint="chat",
    stream=True,
    options={},
    think=False,
    keep_alive="5m",
    prompts=PromptSpec(inline=("x",)),
    load=Load("closed", users=1),
    warmup=0,
)

stamps = st.lists(st.integers(0, 10**12), min_size=1, max_size=50).map(sorted)


@given(stamps, st.integers(0, 10**12))
def test_gaps_give_the_stamps_back(times, origin):
    sent, *chunks = times
    reply = Reply(outcome=Outcome.OK, sent_ns=sent + origin, chunk_ns=array("q"))
    reply.chunk_ns.extend(c + origin for c in chunks)
    record = make_record(
        CASE,
        Block(0, "c", 0, 1),
        Prepared(ollama_call("/", b""), 0),
        Sending(0, Phase.MEASURE),
        reply,
        origin,
    )
    back, at = [], record.sent_ns
    for gap in record.chunk_gaps_ns:
        at += gap
        back.append(at)
    assert back == chunks
    assert record.chunks == len(chunks)


def test_what_did_not_happen_stays_absent():
    reply = Reply(outcome=Outcome.CONNECT_ERROR, error="refused")
    record = make_record(
        CASE,
        Block(0, "c", 0, 1),
        Prepared(ollama_call("/", b""), 0),
        Sending(0, Phase.MEASURE),
        reply,
        5,
    )
    assert record.sent_ns is None and record.end_ns is None and record.chunk_gaps_ns == []
    assert record.server == ServerTimings()


def findings(kit, health=None, workers=1, **block):
    info = BlockInfo(
        0,
        "m:1b",
        0,
        NS,
        0,
        NS,
        health=health or ClientHealth(),
        **block,
    )
    case = kit.case(kit.open_loop(1.0, requests=1))
    return {
        w.code: w for w in block_findings(case, info, BlockTally(), era_of(""), workers=workers)
    }


def test_a_client_that_may_have_bent_numbers_says_so(kit):
    found = findings(kit, ClientHealth(loop_lag_p99_ms=50, send_late_p99_ms=20, cpu_share=0.97))
    assert set(found) == {"client_lag", "late_sends", "client_cpu"}
    assert not any(w.invalidates for w in found.values())
    assert findings(kit, ClientHealth(send_late_p99_ms=500))["late_sends"].invalidates
    assert findings(kit, ClientHealth(loop_lag_p99_ms=1, send_late_p99_ms=0.1, cpu_share=0.2)) == {}


def test_the_limit_of_one_process_is_told_with_what_to_do(kit):
    found = findings(kit, ClientHealth(cpu_share=0.85, gc_pause_max_ms=30.0))
    assert set(found) == {"client_cpu", "gc_pause"}
    assert "--workers 2 " in found["client_cpu"].advice


@pytest.mark.parametrize(
    ("code", "fine", "too_much"),
    [
        ("late_sends", {"send_late_p99_ms": 5.0}, {"send_late_p99_ms": 5.1}),
        ("client_lag", {"loop_lag_p99_ms": 20.0}, {"loop_lag_p99_ms": 20.1}),
        ("client_cpu", {"cpu_share": 0.8}, {"cpu_share": 0.81}),
        ("gc_pause", {"gc_pause_max_ms": 10.0}, {"gc_pause_max_ms": 10.1}),
        (
            "coalesced",
            {"reads": 950, "coalesced_lines": 50},
            {"reads": 949, "coalesced_lines": 51},
        ),
        ("user_stamps", {"reads": 1000, "user_stamps": 10}, {"reads": 1000, "user_stamps": 11}),
    ],
)
def test_each_thing_has_a_threshold_and_advice(kit, code, fine, too_much):
    """That alone makes no run invalid: `client_bent` does, which knows the intervals."""
    assert findings(kit, ClientHealth(**fine)) == {}
    found = findings(kit, ClientHealth(**too_much))
    assert list(found) == [code]
    assert found[code].advice and not found[code].invalidates


def test_arrivals_that_are_no_longer_those_asked_for_make_a_run_invalid(kit):
    for late_ms, invalid in ((100.0, False), (100.1, True)):
        found = findings(kit, ClientHealth(send_late_p99_ms=late_ms))["late_sends"]
        assert found.invalidates == invalid


def test_advice_is_never_what_was_done_already(kit):
    """Also where `--workers auto` has found that so many will do."""
    health = ClientHealth(cpu_share=0.97, send_late_p99_ms=20)
    for warning in findings(kit, health, workers=3).values():
        assert "--workers 4" in warning.advice and "auto" not in warning.advice


def test_poor_stamps_are_told(kit):
    found = findings(kit, ClientHealth(reads=900, coalesced_lines=100, user_stamps=50))
    assert set(found) == {"coalesced", "user_stamps"}


def test_spill_and_another_context_are_told(kit):
    after = Residency(True, "d", size_bytes=100, vram_bytes=60, served_context=2048)
    found = findings(kit, after=after)
    assert set(found) == {"gpu_spill", "served_context"}
    assert "60%" in found["gpu_spill"].message
    fine = Residency(True, "d", size_bytes=100, vram_bytes=100, served_context=4096)
    assert findings(kit, after=fine) == {}


def stalled(load, health, window_s=20.0, kernel=True):
    """Whether a stall is found, and that it invalidates."""
    case = closed_case(load)
    info = BlockInfo(0, case.id, 0, 0, 0, round(window_s * NS), health=health)
    found = block_findings(case, info, BlockTally(), era_of(""), kernel_stamps=kernel)
    return [w.invalidates for w in found if w.code == "client_stalled"]


def closed_case(load):
    return Case(
        id="m",
        axes={},
        target="here",
        model="m",
        endpoint="chat",
        stream=True,
        options={},
        think=False,
        keep_alive="5m",
        prompts=PromptSpec(inline=("Hi",)),
        load=load,
        warmup=0,
    )


def test_a_stall_invalidates_what_it_bends_and_nothing_else():
    four_users, arrivals = Load("closed", users=4), Load("open", rate_per_s=1.0)
    still = ClientHealth(stalled_s=4.0, loop_lag_max_ms=4000.0)
    assert stalled(four_users, ClientHealth(stalled_s=4.0, idle_s=16.0)) == [True]
    assert stalled(four_users, still) == []  # no user had to wait, and the kernel stamped
    assert stalled(four_users, still, kernel=False) == [True]
    assert stalled(arrivals, still) == [True]
    assert stalled(arrivals, still, window_s=900.0) == []
    assert stalled(four_users, ClientHealth(stalled_s=0.3, idle_s=0.3)) == []


def test_a_stall_counts_until_the_last_measured_answer():
    async def main():
        watch, tally = Watch(VirtualClock()), BlockTally()
        for _ in range(2):
            await asyncio.sleep(1.0)
            asyncio.get_running_loop().now_ns += 4 * NS
        await asyncio.sleep(0.1)
        tally.ended_ns = 3 * NS  # in the middle of the first
        tally.late_ns.extend([5_000_000, 3 * NS, 1 * NS])
        return watch.stop(tally)

    health = run_virtual(main())
    assert health.stalled_s == pytest.approx(2.0, abs=0.02)
    assert health.idle_s == 4.0
