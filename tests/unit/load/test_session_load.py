"""Sessions as load: users play them, or they arrive; none is cut, none loses its order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from session_runs import AGENT, plan_of, play, threads_of
from virtual_runs import run_virtually
from virtual_server import model

from bench.results.record import Phase
from bench.simulation.profile import Length


def test_each_request_waits_for_the_answer_before_it_and_the_pause(tmp_path: Path) -> None:
    run = play(tmp_path, {"agent": AGENT}, {"closed": {"users": 2, "sessions": 4}})
    threads = threads_of(run)
    assert len({session for session, _ in threads}) >= 4
    for records in threads.values():
        for one, two in pairwise(records):
            assert one.end_ns is not None
            assert two.sent_ns is not None
            pause = two.sent_ns - one.end_ns
            assert pause >= (two.gap_ns or 0)
            if (
                two.step == "tool"
                and not two.thread
                and two.turn == one.turn
                and one.step != "user"
            ):
                assert pause == pytest.approx(1e9, abs=5e6)
            if two.step == "user":
                assert pause == pytest.approx(5e9, abs=5e6)
            assert (two.server.prompt_eval_count or 0) > (one.server.prompt_eval_count or 0)


def test_a_limit_of_sessions_measures_each_to_its_end(tmp_path: Path) -> None:
    run = play(tmp_path, {"agent": AGENT}, {"closed": {"users": 2, "sessions": 4}})
    measured = [r for r in run.records if r.phase is Phase.MEASURE]
    assert sum(r.last_of_session for r in measured) == 4
    assert {r.session for r in measured} == {"0", "1", "2", "3"}
    main = [r for r in measured if r.session == "0" and not r.thread]
    assert [r.turn for r in sorted(main, key=lambda r: r.sent_ns or 0)] == [0] * 4 + [1] * 4
    assert [r.last_of_turn for r in sorted(main, key=lambda r: r.sent_ns or 0)] == (
        [False] * 3 + [True]
    ) * 2
    assert run.info.blocks[0].complete


def test_sub_agents_run_at_the_same_time_and_the_agent_waits_for_them(tmp_path: Path) -> None:
    run = play(tmp_path, {"agent": AGENT}, {"closed": {"users": 1, "sessions": 1}})
    threads = threads_of(run)
    one, two = threads["0", "agent 1.1"], threads["0", "agent 1.2"]
    assert len(one) == len(two) == 2
    assert one[0].sent_ns is not None
    assert two[0].sent_ns is not None
    assert abs(one[0].sent_ns - two[0].sent_ns) < 1e6
    main = threads["0", ""]
    last = max(r.end_ns or 0 for r in (*one, *two))
    assert main[1].sent_ns is not None
    assert main[1].sent_ns >= last + 1e9
    title = threads["0", "title"][0]
    assert title.sent_ns is not None
    assert abs(title.sent_ns - (main[0].sent_ns or 0)) < 5e6


def test_late_turns_of_a_session_are_sent_but_not_measured(tmp_path: Path) -> None:
    talk = {"turns": 6, "first_tokens": 50, "turn_tokens": 20, "output_tokens": 16, "pause": 2}
    run = play(tmp_path, {"conversation": talk}, {"closed": {"users": 1, "requests": 9}})
    sent = [r for r in run.records if r.phase is not Phase.WARMUP]
    assert sum(r.phase is Phase.MEASURE for r in sent) == 9
    late = [r for r in sent if r.phase is Phase.HOLD]
    assert [r.turn for r in late] == [3, 4, 5]
    assert late[-1].last_of_session


def test_sessions_arrive_and_their_turns_wait(tmp_path: Path) -> None:
    talk = {"turns": 3, "first_tokens": 50, "turn_tokens": 20, "output_tokens": 16, "pause": 2}
    load = {"open": {"rate": 1, "arrivals": "constant", "sessions": 5, "settle": 0}}
    run = play(tmp_path, {"conversation": talk}, load)
    measured = [r for r in run.records if r.phase is Phase.MEASURE]
    assert len(measured) == 15
    firsts = sorted(r.planned_ns for r in measured if r.turn == 0 and r.planned_ns is not None)
    assert [round((b - a) / 1e9, 3) for a, b in pairwise(firsts)] == [1] * 4
    assert all(r.planned_ns is None for r in measured if r.turn)


def test_the_history_holds_the_servers_own_answers_if_asked(tmp_path: Path) -> None:
    talk = {"turns": 2, "first_tokens": 50, "turn_tokens": 20, "output_tokens": 200, "pause": 0}
    load = {"closed": {"users": 1, "sessions": 1}}
    brief = model(prefill_tok_per_s=20_000.0, step_ms=1.0, output_tokens=Length(median=5, p95=5))
    grown = {}
    for history in ("recorded", "own"):
        plan = plan_of({"conversation": talk | {"history": history}}, load)
        run = run_virtually(plan, brief, tmp_path / history, num_parallel=1)
        one, two = threads_of(run)["0", ""]
        grown[history] = (two.server.prompt_eval_count or 0) - (one.server.prompt_eval_count or 0)
        assert two.text is None
    assert grown["own"] < 80 < 180 < grown["recorded"]


def test_a_history_of_own_answers_has_no_length_that_was_asked_for(tmp_path: Path) -> None:
    talk = {"turns": 3, "first_tokens": 50, "turn_tokens": 20, "output_tokens": 200, "pause": 0}
    load = {"closed": {"users": 1, "sessions": 1}}
    for history, known in (("own", [True, False, False]), ("recorded", [True, True, True])):
        run = play(tmp_path / history, {"conversation": talk | {"history": history}}, load)
        asked = [r.target_input_tokens for r in threads_of(run)["0", ""]]
        assert [tokens is not None for tokens in asked] == known


def test_a_duration_that_sessions_do_not_use_up_is_not_their_window(tmp_path: Path) -> None:
    """Tokens of some seconds were divided by the whole of an hour."""
    for name in ("limited", "free"):
        (tmp_path / name).mkdir()
    load = {"users": 2, "sessions": 4}
    free = play(tmp_path / "free", {"agent": AGENT}, {"closed": load})
    limited = play(tmp_path / "limited", {"agent": AGENT}, {"closed": load | {"duration": "1h"}})
    windows = [
        block.window_end_ns - block.window_start_ns
        for run in (free, limited)
        for block in run.info.blocks
    ]
    assert windows[1] == pytest.approx(windows[0], rel=0.01)
    assert windows[1] < 600e9
