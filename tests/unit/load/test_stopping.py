from __future__ import annotations

import json

import pytest

from bench.clock import NS
from bench.errors import ResultsError, ServerUnreachable
from bench.results.journal import Journal
from bench.results.run import RunStatus
from bench.wire.exchange import Outcome
from bench.wire.transports.fake import ScriptedReply

LOAD = {"duration_s": 1000.0}


def stop_at(*times_s):
    async def when(stop, clock):
        for at in times_s:
            await clock.sleep_until(round(at * NS))
            stop.request()

    return when


def test_one_ctrl_c_stops_sending_and_lets_answers_end(play, kit):
    done = play(kit.plan(kit.case(kit.closed(3, **LOAD)), blocks=3), when=stop_at(20.25))
    assert done.info.status is RunStatus.INTERRUPTED
    assert max(r.sent_ns for r in done.run.records) <= 20.25 * NS
    assert {r.outcome for r in done.run.records} == {Outcome.OK}
    assert max(r.end_ns for r in done.run.records) > 20.25 * NS
    assert [b.complete for b in done.info.blocks] == [False]
    assert done.run.incomplete


def test_answers_that_do_not_end_are_given_up_after_the_grace(play, kit):
    hang = ScriptedReply(((0.1, b'{"message":{"content":"a"},"done":false}\n'),), ending="hang")
    script = lambda call, number: kit.answers()(call, number) if number < 2 else hang  # noqa: E731
    done = play(kit.plan(kit.case(kit.closed(2, **LOAD))), script, when=stop_at(10.0))
    assert [r.outcome for r in done.records()] == [Outcome.CANCELLED] * len(done.records())
    assert all(r.end_ns == pytest.approx(40 * NS, rel=0.01) for r in done.records())


def test_a_second_ctrl_c_ends_everything_now_and_keeps_it(play, kit):
    script = kit.answers(first_s=100.0)
    done = play(kit.plan(kit.case(kit.closed(4, **LOAD), warmup=0)), script, when=stop_at(10, 12))
    assert [r.outcome for r in done.run.records] == [Outcome.CANCELLED] * 4
    assert all(r.end_ns == pytest.approx(12 * NS, rel=0.01) for r in done.run.records)
    assert done.info.status is RunStatus.INTERRUPTED


@pytest.mark.parametrize("at_s", [0.5, 2.5, 3.9])
def test_ctrl_c_before_measuring(play, kit, at_s):
    """While the model loads, while it warms up: nothing is measured, and that is said."""
    done = play(kit.plan(kit.case(kit.closed(1, **LOAD))), when=stop_at(at_s))
    assert done.info.status is RunStatus.INTERRUPTED
    assert done.records() == []


def test_ctrl_c_in_an_open_loop(play, kit):
    load = kit.open_loop(10.0, duration_s=1000.0)
    done = play(kit.plan(kit.case(load)), when=stop_at(20.0))
    assert max(r.planned_ns for r in done.records()) <= 20 * NS
    assert {r.outcome for r in done.records()} == {Outcome.OK}
    assert done.info.blocks[0].planned_arrivals == len(done.records())


def test_ctrl_c_after_the_last_answer_is_no_interruption(play, kit):
    done = play(kit.plan(kit.case(kit.closed(1, requests=2))), when=stop_at(1000.0))
    assert done.info.status is RunStatus.COMPLETE


def test_run_json_is_there_before_the_first_request_and_after_every_block(play, kit, tmp_path):
    seen = []

    def look(record):
        [file] = tmp_path.glob("*/run.json")
        content = json.loads(file.read_text())
        seen.append((record.block, content["status"], len(content["blocks"])))

    play(kit.plan(kit.case(kit.closed(1, requests=3)), blocks=3), observer=kit.Watcher(look))
    assert set(seen) == {(0, "running", 0), (1, "running", 1), (2, "running", 2)}


def test_every_record_is_on_disk_when_its_request_has_ended(play, kit, tmp_path):
    lines = []

    def look(record):
        [file] = tmp_path.glob("*/requests.jsonl")
        lines.append(len(file.read_bytes().splitlines()))

    play(kit.plan(kit.case(kit.closed(2, requests=10))), observer=kit.Watcher(look))
    assert lines == list(range(1, len(lines) + 1))


def test_a_full_disk_ends_the_run_with_one_error(play, kit, monkeypatch):
    append = Journal.append

    def until_full(journal, record):
        if journal.count == 5:
            raise ResultsError("cannot write requests.jsonl: No space left on device")
        append(journal, record)

    monkeypatch.setattr(Journal, "append", until_full)
    done = play(kit.plan(kit.case(kit.closed(3, requests=50)), blocks=2))
    assert isinstance(done.error, ResultsError)
    assert done.info.status is RunStatus.FAILED
    assert len(done.run.records) == 5


def test_a_server_that_goes_away_between_blocks_fails_the_run_and_keeps_it(play, kit):
    class Dying(kit.Control):
        async def ps(self):
            if self.log.count("ps") >= 4:
                raise ServerUnreachable("no server answers at http://x")
            return await super().ps()

    done = play(kit.plan(kit.case(kit.closed(1, requests=5)), blocks=4), control=Dying())
    assert isinstance(done.error, ServerUnreachable)
    assert done.info.status is RunStatus.FAILED
    assert len(done.info.blocks) == 1
    assert len(done.records()) == 5
    assert "run_failed" in done.warning_codes


def test_a_server_that_dies_in_a_block_fails_the_run_but_the_block_is_kept(play, kit):
    class Dying(kit.Control):
        async def ps(self):
            if self.log.count("ps") == 2:
                raise ServerUnreachable("no server answers at http://x")
            return await super().ps()

    done = play(kit.plan(kit.case(kit.closed(1, requests=5)), blocks=4), control=Dying())
    assert done.info.status is RunStatus.FAILED
    [block] = done.info.blocks
    assert block.window_end_ns > block.window_start_ns and block.after is None


def test_ctrl_c_does_not_wait_for_a_model_that_loads(play, kit):
    control = kit.Control(load_s=600.0)
    done = play(kit.plan(kit.case(kit.closed(1, **LOAD))), control=control, when=stop_at(5.0))
    assert done.info.status is RunStatus.INTERRUPTED
    assert done.run.records == []
    assert done.info.blocks[0].end_ns == pytest.approx(5 * NS, rel=0.01)
