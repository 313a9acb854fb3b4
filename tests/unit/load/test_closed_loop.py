from __future__ import annotations

import itertools

import pytest

from bench.clock import NS
from bench.load.closed import ClosedSchedule
from bench.results.record import Phase
from bench.results.run import RunStatus
from bench.wire.exchange import Outcome
from bench.wire.transports.fake import ScriptedReply


def in_flight_at(records, at_ns):
    return sum(1 for r in records if r.sent_ns <= at_ns < r.end_ns)


def test_sends_exactly_the_requests_asked_for(play, kit):
    done = play(kit.plan(kit.case(kit.closed(4, requests=40))))
    assert len(done.records()) == 40
    assert done.info.status is RunStatus.COMPLETE
    assert {r.outcome for r in done.records()} == {Outcome.OK}
    assert sorted(r.index for r in done.run.records) == list(range(len(done.run.records)))


def test_never_more_in_flight_than_users(play, kit):
    done = play(kit.plan(kit.case(kit.closed(4, requests=40))))
    moments = [r.sent_ns for r in done.records()]
    assert max(in_flight_at(done.run.records, m) for m in moments) == 4


def test_a_user_waits_for_its_answer_and_thinks_before_it_asks_again(play, kit):
    done = play(kit.plan(kit.case(kit.closed(3, requests=12, think_s=2.0))))
    for user in range(3):
        mine = sorted((r for r in done.run.records if r.user == user), key=lambda r: r.sent_ns)
        for before, after in itertools.pairwise(mine):
            assert after.sent_ns - before.end_ns == pytest.approx(2 * NS, abs=1000)


def test_ramp_up_spreads_the_first_requests_and_stays_out_of_the_window(play, kit):
    done = play(kit.plan(kit.case(kit.closed(10, requests=50, ramp_up_s=10.0))))
    ramp, measured = done.records(Phase.RAMP_UP), done.records()
    first_sends = sorted(min(r.sent_ns for r in ramp + measured if r.user == u) for u in range(10))
    gaps = [b - a for a, b in itertools.pairwise(first_sends)]
    assert gaps == pytest.approx([NS] * 9, abs=1000)
    begin = min(r.sent_ns for r in ramp)
    assert all(r.sent_ns < begin + 10 * NS for r in ramp)
    assert all(r.sent_ns >= begin + 10 * NS for r in measured)
    assert done.info.blocks[0].window_start_ns == min(r.sent_ns for r in measured)
    assert len(measured) == 50


def test_without_a_ramp_up_the_users_still_do_not_start_in_step(play, kit):
    done = play(kit.plan(kit.case(kit.closed(5, requests=20))))
    sends = sorted(r.sent_ns for r in done.run.records if r.phase is not Phase.WARMUP)[:5]
    took = 1.0 * NS  # one answer: 0.5 s + 5 x 0.1 s
    assert [b - a for a, b in itertools.pairwise(sends)] == pytest.approx([took / 5] * 4, rel=0.01)


def test_without_a_warm_up_the_users_do_not_start_in_step_either(play, kit):
    done = play(kit.plan(kit.case(kit.closed(5, requests=20), warmup=0)))
    sends = sorted(r.sent_ns for r in done.run.records)[:5]
    assert [b - a for a, b in itertools.pairwise(sends)] == pytest.approx([NS // 10] * 4, rel=0.01)
    assert len(done.records()) == 20


def test_one_user_needs_no_ramp_up(play, kit):
    done = play(kit.plan(kit.case(kit.closed(1, requests=5))))
    assert done.records(Phase.RAMP_UP) == []


def test_duration_ends_sending_and_the_window_but_not_the_answers(play, kit):
    done = play(kit.plan(kit.case(kit.closed(2, duration_s=10.3))))
    measured, block = done.records(), done.info.blocks[0]
    deadline = block.window_start_ns + round(10.3 * NS)
    assert all(r.sent_ns < deadline for r in measured)
    assert all(r.outcome is Outcome.OK for r in measured)
    assert max(r.end_ns for r in measured) > deadline
    assert block.window_end_ns == pytest.approx(deadline, abs=NS)
    assert block.window_end_ns < max(r.end_ns for r in measured)


def test_who_asks_on_after_the_last_measured_request_was_not_idle(play, kit, monkeypatch):
    """With both limits, the requests run out long before the time: nobody came too late."""
    late_ns: list[int] = []

    async def watched(schedule, *supplies):
        await run(schedule, *supplies)
        late_ns.extend(schedule._sender.measured.late_ns)

    run = ClosedSchedule.run
    monkeypatch.setattr(ClosedSchedule, "run", watched)
    load = kit.closed(4, requests=7, duration_s=60.0)
    done = play(kit.plan(kit.case(load)), kit.answers())
    assert any(r.phase is Phase.HOLD for r in done.run.records)
    assert late_ns and max(late_ns) < 1_000_000


def test_gives_up_after_max_errors(play, kit):
    refuse = ScriptedReply(((0.01, b'{"error":"no"}'),), status=500)
    script = lambda call, number: kit.answers()(call, number) if number < 6 else refuse  # noqa: E731
    done = play(kit.plan(kit.case(kit.closed(1, requests=100, max_errors=3))), script)
    assert [r.outcome for r in done.records()].count(Outcome.HTTP_ERROR) == 3
    assert not done.info.blocks[0].complete
    assert "failed_requests" in done.warning_codes


def test_a_server_that_refuses_at_once_is_not_flooded(play, kit):
    dead = ScriptedReply(connect_error="connection refused")
    script = lambda call, number: kit.answers()(call, number) if number < 2 else dead  # noqa: E731
    done = play(kit.plan(kit.case(kit.closed(1, duration_s=10.0))), script)
    assert 10 <= len(done.records()) <= 51
    assert {r.outcome for r in done.records()} == {Outcome.CONNECT_ERROR}


def test_hours_of_load_take_no_time(play, kit):
    done = play(kit.plan(kit.case(kit.closed(2, duration_s=4 * 3600, think_s=60.0))))
    assert done.info.blocks[0].end_ns > 4 * 3600 * NS
    assert len(done.records()) == pytest.approx(2 * 4 * 3600 / 61, rel=0.02)
