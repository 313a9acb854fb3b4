from __future__ import annotations

import dataclasses
import io
import time

import numpy as np
import pytest
from many_queues import first_texts
from rich.console import Console
from small_runs import record

from bench.analysis.run.summarise import summarise
from bench.cli.case_progress import CaseProgress, get_ready, rate, seconds
from bench.cli.live import LiveView
from bench.cli.progress import PlainView, Progress, duration
from bench.cli.screen import Screen, shortened
from bench.cli.web_server import RunState
from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo
from bench.wire.exchange import Outcome, ServerTimings


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, height=30)


def test_plain_lines_for_logs_and_pipes(play, kit):
    lines: list[str] = []
    plan = kit.plan(kit.case(kit.closed(2, requests=10)), blocks=2)
    play(plan, kit.answers(tokens=20), observer=PlainView(lines.append))
    text = "\n".join(lines)
    assert "1 case, 2 blocks, 20 requests" in text
    assert "block 2/2: m:1b" in text
    assert "20 ok, 0 failed, 9.5 tok/s each, " in text
    assert "TTFT p50/p95 500 ms / -" in text
    assert "\x1b" not in text


def test_the_table_counts_what_happens(play, kit):
    out = console(terminal=True)
    view = LiveView(out)
    with view.shown():
        play(kit.plan(kit.case(kit.closed(3, requests=30))), observer=view)
    progress = view.cases["m:1b"]
    assert (progress.ok, progress.failed, progress.blocks_done) == (30, 0, 1)
    assert view.in_flight == 0
    assert view.share("m:1b") == 1.0
    assert "m:1b" in out.file.getvalue()


def test_the_phase_is_that_of_the_last_request_sent(play, kit):
    class Noting(PlainView):
        phases: list[str] = []  # noqa: RUF012

        def request_sent(self, phase):
            super().request_sent(phase)
            self.phases.append(self.phase)

    view = Noting(str)
    play(kit.plan(kit.case(kit.closed(3, requests=9, ramp_up_s=5.0))), observer=view)
    order = list(dict.fromkeys(view.phases))
    assert order == ["warm-up", "ramp-up", "measure"]


def test_shares_and_time_left_grow_with_what_is_done(play, kit):
    shares = []

    class Noting(PlainView):
        def request_ended(self, record):
            super().request_ended(record)
            if record.phase is Phase.MEASURE:
                shares.append(self.share(record.case))

    play(kit.plan(kit.case(kit.closed(1, requests=10))), observer=Noting(str))
    assert shares == pytest.approx([n / 10 for n in range(1, 11)])


def test_times_as_people_read_them():
    assert [seconds(v) for v in (0.0123, 2.5)] == ["12 ms", "2.50 s"]
    assert [duration(v) for v in (0.2, 60, 600, 7200)] == ["1 s", "60 s", "10 min", "2.0 h"]
    assert [rate(v) for v in (7.25, 99.94, 1234.5)] == ["7.2", "99.9", "1,234"]


def drawn(progress, width, height):
    out = Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None
    )
    out.print(Screen(progress, out).draw())
    return out.file.getvalue().splitlines()


def test_a_narrow_screen_has_room_for_every_number(play, kit):
    progress = Progress()
    long_name = "llama3.2:3b-instruct-q8_0-and-more, users=4"
    play(kit.plan(kit.case(kit.closed(4, requests=20), id=long_name)), observer=progress)
    progress.last_error = "the connection broke " * 9
    progress.stopping(at_once=False)
    lines = drawn(progress, 80, 24)
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["case", "ok", "failed", "tok/s", "TTFT", "p50", "/", "p95"]
    assert lines[1].startswith("  llama3.2:3b-") and "…, users=4" in lines[1]
    assert lines[1].endswith("500 ms / -")
    text = "\n".join(lines)
    assert "100%  block 1/1" in text and "0 in flight" in text
    assert "stopping: waiting for the answers under way; Ctrl-C again" in text
    assert "last failure: the connection broke" in text
    assert "tok/s each" in drawn(progress, 120, 24)[0]


def test_only_the_cases_around_the_current_one_are_shown_where_not_all_fit(play, kit):
    progress = Progress()
    cases = [kit.case(kit.closed(1, requests=2), id=f"m, users={n}") for n in range(40)]
    play(kit.plan(*cases), observer=progress)
    progress.block_started(progress.block, cases[30])
    progress.block = dataclasses.replace(progress.block, case=cases[30].id)
    lines = drawn(progress, 80, 24)
    assert len(lines) < 24
    assert any(line.startswith("> m, users=30") for line in lines)
    assert any("... and 23 more cases" in line for line in lines)


def test_the_end_of_a_name_is_kept():
    assert shortened("m, users=4", 20) == "m, users=4"
    assert shortened("a-very-long-model:3b, users=4", 20) == "a-very-lon…, users=4"
    assert len(shortened("a-very-long-model:3b, users=4", 20)) == 20
    assert shortened("no-comma-in-this-name", 10) == "no-comma-…"


def test_throughput_is_right_before_all_answers_are_there(kit, monkeypatch):
    """Four users, answers of 20 tokens that take 2 s: 40 tokens a second, from the first one on."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    case = kit.case(kit.closed(4, requests=8))
    plan = kit.plan(case)
    progress = Progress()
    progress.block_started(plan.blocks[0], case)
    for _ in range(4):
        progress.request_sent(Phase.MEASURE)
    now[0] += 2.0
    for _ in range(2):  # the other two are a moment later
        progress.request_ended(answer(tokens=20, seconds=2.0))
    assert progress.cases[case.id].throughput_so_far() == "40.0"


def answer(tokens, seconds):
    return RequestRecord(
        case="m:1b",
        block=0,
        index=0,
        phase=Phase.MEASURE,
        outcome=Outcome.OK,
        model="m:1b",
        stream=True,
        sent_ns=0,
        end_ns=round(seconds * 1e9),
        server=ServerTimings(eval_count=tokens),
    )


def test_plain_lines_say_what_ctrl_c_does():
    lines: list[str] = []
    view = PlainView(lines.append)
    view.stopping(at_once=False)
    view.stopping(at_once=True)
    assert "Ctrl-C again" in lines[0] and "ending" in lines[1]


def test_a_percentile_that_the_requests_do_not_carry_is_not_shown():
    progress = CaseProgress()
    shown = []
    for i in range(72):
        progress.count(timed(i, ttft=0.1 + 0.01 * (i % 5)))
        shown.append(progress.ttft_so_far())
    assert shown[4] == "-"
    assert shown[5].endswith(" / -") and shown[70].endswith(" / -")
    assert shown[71] == "120 ms / 140 ms"


def test_in_an_open_loop_neighbours_that_wait_together_carry_no_percentile():
    """The report refuses these: 100 requests of a queue at 90 % load saw one episode of it."""
    waits, _ = first_texts(0.9, 125, 1, np.random.default_rng(5))
    independent, queue = CaseProgress(), CaseProgress(open_loop=True)
    for i, ttft in enumerate(waits[0, 25:].tolist()):
        independent.count(timed(i, ttft=ttft))
        queue.count(timed(i, ttft=ttft))
    assert "-" not in independent.ttft_so_far()
    assert queue.ttft_so_far() == "-"
    free = CaseProgress(open_loop=True)
    for i in range(200):
        free.count(timed(i, ttft=0.1 + 0.001 * (i % 5)))
    assert free.ttft_values()[0] == pytest.approx(0.102)


def test_answers_too_short_for_a_rate_have_none_in_the_view_either():
    progress = CaseProgress()
    progress.count(timed(0, tokens=15, eval_s=0.1))
    assert progress.speed_so_far() == "-"
    progress.count(timed(1, tokens=21, eval_s=1.0))
    assert progress.speed_so_far() == "20.0"


def test_negative_numbers_of_a_server_are_in_no_rate():
    progress = CaseProgress()
    progress.count(timed(0, tokens=21, eval_s=1.0))
    progress.count(timed(1, tokens=-500, eval_s=1.0))
    progress.count(timed(2, tokens=21, eval_s=-5.0))
    assert progress.speed_so_far() == "20.0"
    assert progress.tokens == 42
    assert min(progress.spans) >= 0


def test_of_a_block_that_has_ended_throughput_is_what_the_tables_say(kit):
    """Two answers of 20 tokens, 2 s each; the window holds one of them and half of the other."""
    progress = CaseProgress()
    progress.count(timed(0, sent_s=0.0, e2e_s=2.0, phase=Phase.RAMP_UP))
    progress.count(timed(1, sent_s=1.0, e2e_s=2.0))
    window = {"start_ns": 0, "end_ns": 9 * 10**9, "window_start_ns": 10**9}
    progress.end_block(BlockInfo(0, "m:1b", window_end_ns=3 * 10**9, **window))
    assert progress.throughput_so_far() == "15.0"
    assert (progress.in_block, progress.blocks_done) == (0, 1)


def test_the_view_and_the_report_say_the_same(play, kit):
    progress = Progress()
    case = kit.case(kit.closed(2, requests=12), stream=True, options={"num_predict": 20})
    played = play(kit.plan(case, blocks=2), kit.answers(tokens=20), observer=progress)
    summary = summarise(played.info, played.run.records)
    metrics = summary.cases[0].metrics
    live = progress.cases[case.id]
    assert live.throughput_so_far() == rate(metrics["output_tok_per_s"].stats["value"].value)
    told = metrics["ttft_s"].stats["p50"].value
    assert live.ttft_so_far().split(" / ")[0] == ("-" if told is None else seconds(told))


def timed(index, *, ttft=0.1, tokens=20, eval_s=1.0, sent_s=0.0, e2e_s=2.0, phase=Phase.MEASURE):
    """A streamed answer whose text comes from `ttft` on, or (without) from the send on."""
    sent = round(sent_s * 1e9)
    whole = phase is Phase.RAMP_UP or sent_s
    return RequestRecord(
        case="m:1b",
        block=0,
        index=index,
        phase=phase,
        outcome=Outcome.OK,
        model="m:1b",
        stream=True,
        sent_ns=sent,
        first_answer_ns=sent if whole else sent + round(ttft * 1e9),
        last_text_ns=sent + round(e2e_s * 1e9),
        end_ns=sent + round(e2e_s * 1e9),
        server=ServerTimings(eval_count=tokens, eval_duration=round(eval_s * 1e9)),
    )


def test_the_page_of_a_run_counts_as_the_live_view_does():
    """Once a request that was cancelled when the run was stopped was a failure on the page."""
    state = RunState()
    timings = ServerTimings(eval_count=21, eval_duration=400_000_000)
    stamps = {"sent_ns": 0, "first_answer_ns": 50_000_000, "end_ns": 450_000_000}
    state._count(record(server=timings, **stamps))
    state._count(record(1, outcome=Outcome.CANCELLED))
    state._count(record(2, outcome=Outcome.TIMEOUT))
    (case,) = state._state()["cases"]
    assert case["requests"] == 3
    assert case["failed"] == 1
    assert case["ttft_p50_s"] is None  # one request carries no median
    assert case["decode_tok_per_s"] == pytest.approx(20 / 0.4)
    assert state._state()["recent"] == [
        {"ttft_s": pytest.approx(0.05), "ok": True},
        {"ttft_s": None, "ok": False},
        {"ttft_s": None, "ok": False},
    ]


def test_what_is_imported_early_is_what_the_figures_import() -> None:
    """The modules are named as text, which no type checker follows when one is moved."""
    get_ready()
