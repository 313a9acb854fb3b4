"""Load before and after what is measured: an open loop settles, and every loop holds its load."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.run.summarise import summarise
from bench.clock import NS
from bench.ollama.scripted import scripted_chat
from bench.results.record import Phase
from bench.scenario.arrivals import arrival_times
from bench.scenario.plan import Arrivals, Load
from bench.wire.transports.fake import ScriptedReply

USERS, REQUESTS, BLOCKS = 4, 24, 60
SIGMA, MEDIAN_TOKENS, TOKEN_S, FIRST_S = 0.6, 40.0, 0.01, 0.1
MEAN_TOKENS = MEDIAN_TOKENS * np.exp(SIGMA**2 / 2)
PER_USER_S = FIRST_S + (MEAN_TOKENS + 1) * TOKEN_S
"""Mean time of an answer, done line included, whatever the number of users: there is room."""


def natural_lengths(seed=3):
    """A server with room for everyone, whose answers end by themselves."""
    rng = np.random.default_rng(seed)

    def script(call, number):
        tokens = max(1, round(rng.lognormal(np.log(MEDIAN_TOKENS), SIGMA)))
        return scripted_chat(
            ["x "] * tokens, first_s=FIRST_S + TOKEN_S, gap_s=TOKEN_S, done_reason="stop"
        )

    return script


def one_slot(service_s):
    free_at = 0.0

    def script(call, number):
        nonlocal free_at
        now = asyncio.get_running_loop().time()
        start = max(now, free_at)
        free_at = start + service_s
        return scripted_chat(["x"], first_s=free_at - now, gap_s=0.0, done_reason="stop")

    return script


def in_flight_at(records, at_ns):
    return sum(1 for r in records if r.sent_ns <= at_ns < r.end_ns)


@pytest.mark.slow
def test_throughput_of_a_closed_loop_is_the_long_runs(play, kit):
    """Renewal theory: each of N users brings one request, and its tokens, every mean cycle."""
    case = kit.case(kit.closed(USERS, requests=REQUESTS))
    case = replace(case, options={**case.options, "num_predict": 10_000})
    asked = kit.plan(case, blocks=BLOCKS)
    done = play(asked, natural_lengths())
    metrics = summarise(done.info, done.run.records).cases[0].metrics
    found = {id: metrics[id].stats["value"].value for id in ("request_per_s", "output_tok_per_s")}
    # The draws of this seed, not the law: what is tested is the window, not the generator.
    everything = [r for r in done.run.records if r.phase is not Phase.WARMUP]
    cycle_s = np.mean([(r.end_ns - r.sent_ns) / NS for r in everything])
    assert cycle_s == pytest.approx(PER_USER_S, rel=0.02)
    assert found["request_per_s"] == pytest.approx(USERS / cycle_s, rel=0.01)
    expected = USERS * np.mean([r.server.eval_count for r in everything]) / cycle_s
    assert found["output_tok_per_s"] == pytest.approx(expected, rel=0.01)
    assert len(done.records()) == BLOCKS * REQUESTS
    assert metrics["in_flight"].stats["value"].value == pytest.approx(USERS, rel=1e-3)


def test_users_ask_until_the_last_measured_answer_has_ended(play, kit):
    done = play(kit.plan(kit.case(kit.closed(USERS, requests=REQUESTS))), natural_lengths())
    measured, hold = done.records(), done.records(Phase.HOLD)
    last = max(r.end_ns for r in measured)
    assert len(measured) == REQUESTS
    assert hold
    assert all(r.sent_ns < last for r in hold)
    assert {r.outcome for r in hold} == {"ok"}  # awaited, not aborted
    for moment in np.linspace(measured[0].sent_ns, last - 1, 50):
        assert in_flight_at(done.run.records, moment) == USERS
    assert done.info.blocks[0].window_end_ns == last


def test_users_ask_past_the_end_of_a_duration(play, kit):
    done = play(kit.plan(kit.case(kit.closed(3, duration_s=5.0))), natural_lengths())
    block = done.info.blocks[0]
    assert block.window_end_ns - block.window_start_ns == 5 * NS
    last = max(r.end_ns for r in done.records())
    assert last > block.window_end_ns
    assert in_flight_at(done.run.records, last - 1) == 3


def test_one_user_has_nothing_to_hold(play, kit):
    done = play(kit.plan(kit.case(kit.closed(1, requests=5))))
    assert done.records(Phase.HOLD) == []


def test_users_who_think_are_not_waited_for(play, kit):
    done = play(kit.plan(kit.case(kit.closed(2, requests=4, think_s=1000.0))))
    end = max(r.end_ns for r in done.run.records)
    assert (done.info.blocks[0].end_ns - end) / NS < 1.0


def test_an_open_loop_settles_before_it_measures(play, kit):
    load = kit.open_loop(2.0, requests=20, settle_s=10.0)
    done = play(kit.plan(kit.case(load, warmup=0)), one_slot(0.4))
    settle = done.records(Phase.SETTLE)
    measured = done.records()
    assert (len(settle), len(measured)) == (20, 20)
    due = sorted(r.planned_ns for r in (*settle, *measured))
    assert {b - a for a, b in itertools.pairwise(due)} == {NS // 2}
    assert max(r.planned_ns for r in settle) < min(r.planned_ns for r in measured)
    assert done.info.blocks[0].planned_arrivals == 20
    case = summarise(done.info, done.run.records).cases[0]
    assert case.requests.ok == 20
    # 40 % of the time, one of them is at work; what was sent before the window counts in it, too.
    assert case.metrics["in_flight"].stats["value"].value == pytest.approx(0.8, rel=0.03)


def test_arrivals_go_on_until_all_measured_ones_have_ended(play, kit):
    load = kit.open_loop(2.0, requests=20, settle_s=10.0)
    done = play(kit.plan(kit.case(load, warmup=0)), kit.answers(first_s=3.0, gap_s=0.0))
    hold = sorted(r.planned_ns for r in done.records(Phase.HOLD))
    last = max(r.end_ns for r in done.records())
    assert [round((d - done.records()[-1].planned_ns) / NS, 3) for d in hold] == [
        0.5,
        1.0,
        1.5,
        2.0,
        2.5,
        3.0,
    ][: len(hold)]
    assert len(hold) >= 5
    assert hold[-1] <= last


def test_an_overloaded_server_is_not_held_for_ever(play, kit):
    load = kit.open_loop(4.0, requests=40, settle_s=2.0)
    done = play(kit.plan(kit.case(load, warmup=0)), one_slot(1.0))
    assert len(done.records(Phase.HOLD)) <= 8
    assert {r.outcome for r in done.run.records} == {"ok"}


def test_a_failure_after_measuring_is_no_failure_of_the_block(play, kit):
    """The limit of errors is one of what is measured, and of what came before it."""

    def script(call, number):
        # Two warm up, two ramp up, four are measured; the last of these takes long.
        if number >= 8:
            return ScriptedReply(((0.01, b"no"),), status=500)
        return scripted_chat(["x"], first_s=0.5 if number < 7 else 5.0, gap_s=0.0)

    load = kit.closed(2, requests=4, max_errors=1, ramp_up_s=0.1)
    done = play(kit.plan(kit.case(load)), script)
    failed = [r for r in done.run.records if r.outcome != "ok"]
    assert {r.phase for r in failed} == {Phase.HOLD}
    assert done.info.blocks[0].complete


LOADS = st.builds(
    Load,
    loop=st.just("open"),
    rate_per_s=st.floats(0.5, 50.0),
    arrivals=st.sampled_from([Arrivals("constant"), Arrivals("poisson"), Arrivals("gamma", 4.0)]),
    requests=st.one_of(st.none(), st.integers(1, 50)),
    duration_s=st.floats(1.0, 30.0),
    settle_s=st.floats(0.1, 20.0),
)


@given(LOADS, st.integers(0, 2**32))
def test_settling_changes_no_measured_arrival(load, seed):
    import dataclasses

    times = arrival_times(load, seed)
    bare = arrival_times(dataclasses.replace(load, settle_s=0.0), seed)
    assert times.measure_ns == bare.measure_ns
    assert (bare.settle_ns, bare.hold_ns) == ([], [])
    everything = [*times.settle_ns, *times.measure_ns, *times.hold_ns]
    assert everything == sorted(everything)
    assert all(-load.settle_s * NS - 1 <= at < 0 for at in times.settle_ns)
    last = times.measure_ns[-1] if times.measure_ns else 0
    assert all(at >= last for at in times.hold_ns)


def test_settling_arrivals_come_at_the_same_rate():
    load = Load("open", rate_per_s=5.0, arrivals=Arrivals(), requests=100, settle_s=20.0)
    counts = [
        (len(t.settle_ns), len(t.hold_ns)) for t in (arrival_times(load, n) for n in range(400))
    ]
    # 100 expected in each, and as many draws: a mean is within 0.5 at one standard error.
    assert np.mean(counts, axis=0) == pytest.approx([100, 100], abs=2.5)
    assert np.corrcoef(np.transpose(counts))[0, 1] == pytest.approx(0.0, abs=0.2)


def test_a_trace_is_measured_whole_and_settles_on_its_own_rows(play, kit):
    from bench.scenario.plan import Distribution, PromptSpec, SyntheticPrompts

    at_s = tuple(0.5 * n for n in range(20))
    arrivals = Arrivals(
        "trace",
        times_s=at_s,
        prompt_tokens=tuple(100 + n for n in range(20)),
        output_tokens=tuple(10 + n for n in range(20)),
    )
    load = Load("open", arrivals=arrivals, settle_s=2.0)
    fixed = Distribution("fixed", {"value": 60})
    prompts = PromptSpec(synthetic=SyntheticPrompts(fixed, None, "en"))
    done = play(
        kit.plan(kit.case(load, warmup=0, prompts=prompts)), kit.answers(first_s=1.0, gap_s=0.0)
    )
    measured = sorted(done.records(), key=lambda r: r.planned_ns)
    assert [r.target_input_tokens for r in measured] == list(range(100, 120))
    assert [r.num_predict for r in measured] == list(range(10, 30))
    settle = sorted(done.records(Phase.SETTLE), key=lambda r: r.planned_ns)
    assert [r.target_input_tokens for r in settle] == [100, 101, 102, 103]
    assert [r.num_predict for r in settle] == [10, 11, 12, 13]
    hold = sorted(done.records(Phase.HOLD), key=lambda r: r.planned_ns)
    assert [r.target_input_tokens for r in hold] == [116, 117][: len(hold)]
    assert hold
    assert not {r.nonce for r in measured} & {r.nonce for r in (*settle, *hold)}
