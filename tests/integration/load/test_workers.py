"""Several processes send together what one would send alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

import bench
from bench.load import worker_process
from bench.load.needs import workers_for
from bench.load.observer import Silent
from bench.results.directory import read_run
from bench.results.record import Phase
from bench.results.run import RunStatus
from bench.server.embedded import start_server

SCENARIO = """
schema: 1
name: shared
prompts: [Hello, "How are you?", "What is new?"]
options: {num_predict: 10}
blocks: 2
warmup: 3
load: {closed: {users: [4], requests: 41}}
"""
OPEN = SCENARIO.replace("closed: {users: [4], requests: 41}", "open: {rate: 40, requests: 41}")


@pytest.fixture
def run(simulated, tmp_path):
    def run_it(text=SCENARIO, workers=3, observer=None, server=simulated, **overrides):
        file = tmp_path / "shared.yaml"
        file.write_text(text)
        return bench.run(
            file,
            models=["sim-small"],
            hosts=[server.url],
            overrides=[f"{k}={v}" for k, v in overrides.items()],
            settings=bench.Settings(output=tmp_path / "runs", workers=workers),
            observer=observer,
            report=False,
        )

    return run_it


@pytest.mark.parametrize("text", [SCENARIO, OPEN])
def test_together_they_send_what_one_would(run, text):
    alone, shared = (read_run(run(text, workers=n).path) for n in (1, 3))
    for block in (0, 1):
        sent = [
            sorted(
                r.prompt_sha256 for r in one.records if r.block == block and r.phase == "measure"
            )
            for one in (alone, shared)
        ]
        assert len(sent[0]) == 41
        assert sent[0] == sent[1]
    assert shared.info.transport.workers == 3
    assert {r.worker for r in shared.records} == {0, 1, 2}
    nonces = [r.nonce for r in shared.records]
    assert len(set(nonces)) == len(nonces)
    indices = [(r.block, r.index) for r in shared.records]
    assert len(set(indices)) == len(indices)


def test_arrivals_are_the_same_and_on_one_clock(run):
    alone, shared = (read_run(run(OPEN, workers=n).path) for n in (1, 2))

    def arrivals(one):
        """When each request was due, and which one it was, in that order."""
        due = sorted(
            (r.planned_ns, r.prompt_sha256, r.seed, r.num_predict)
            for r in one.records
            if r.block == 0 and r.phase is Phase.MEASURE
        )
        return [(planned - due[0][0], *what) for planned, *what in due]

    assert len(arrivals(alone)) == 41
    assert arrivals(alone) == arrivals(shared)
    assert shared.info.blocks[0].planned_arrivals == 41


def test_closed_loop_users_are_shared_out(run):
    records = [r for r in read_run(run().path).records if r.phase is not Phase.WARMUP]
    assert {r.user for r in records} == {0, 1, 2, 3}
    assert all(r.worker == r.user % 3 for r in records)
    for one in records:
        same_time = [r for r in records if r.sent_ns <= one.sent_ns < r.end_ns]
        assert len(same_time) <= 4


@pytest.mark.parametrize("workers", [1, 2])
def test_every_user_goes_on_until_the_last_measured_answer(run, workers):
    """Whichever process sent that one: no user of another stops before it."""
    long = SCENARIO.replace("num_predict: 10", "num_predict: 60").replace(
        "requests: 41", "requests: 8"
    )
    done = read_run(run(long, workers=workers).path)
    for block in done.info.blocks:
        mine = [r for r in done.records if r.block == block.index and r.phase is not Phase.WARMUP]
        last = max(r.end_ns for r in mine if r.phase is Phase.MEASURE)
        assert block.window_end_ns == last
        for user in range(4):
            assert max(r.end_ns for r in mine if r.user == user) >= last
        assert {r.outcome for r in mine} == {"ok"}
        assert sum(r.phase is Phase.MEASURE for r in mine) == 8


@pytest.mark.parametrize("workers", [1, 2])
def test_an_open_loop_settles_and_holds(run, workers):
    text = OPEN.replace("requests: 41", "requests: 41, settle: 0.5s")
    done = read_run(run(text, workers=workers).path)
    for block in done.info.blocks:
        mine = [r for r in done.records if r.block == block.index and r.phase is not Phase.WARMUP]
        measured = [r for r in mine if r.phase is Phase.MEASURE]
        settle = [r for r in mine if r.phase is Phase.SETTLE]
        assert len(measured) == block.planned_arrivals == 41
        assert settle
        begin = block.window_start_ns
        assert max(r.planned_ns for r in settle) < min(r.planned_ns for r in measured)
        assert min(r.planned_ns for r in settle) >= begin - 1.5e9
        last_due = max(r.planned_ns for r in measured)
        last_end = max(r.end_ns for r in measured)
        hold = [r.planned_ns for r in mine if r.phase is Phase.HOLD]
        assert all(last_due < due < last_due + 0.5e9 for due in hold)
        assert all(due < last_end + 0.5e9 for due in hold)


class Killer(Silent):
    """Kills a worker process in the middle of the first block."""

    def __init__(self):
        self.seen = 0

    def request_ended(self, record):
        self.seen += record.phase is Phase.MEASURE
        if self.seen == 10:
            self.seen += 1
            children = [
                int(p) for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            ]
            victims = [
                c
                for c in children
                if b"bench.load.worker" in Path(f"/proc/{c}/cmdline").read_bytes()
            ]
            os.kill(victims[0], signal.SIGKILL)


def test_a_worker_that_dies_fails_its_block_and_loses_nothing(run):
    done = run(observer=Killer())
    first, second = done.info.blocks
    assert not first.complete and second.complete
    assert done.exit_code == 5
    [warning] = [w for w in done.info.warnings if "worker process" in w.message]
    assert warning.code == "worker_died" and warning.invalidates and warning.advice
    assert "of 3 was killed (SIGKILL)" in warning.message and "is kept" in warning.message
    records = read_run(done.path).records
    assert sum(r.block == 0 and r.phase is Phase.MEASURE for r in records) >= 10
    assert sum(r.block == 1 and r.phase is Phase.MEASURE for r in records) == 41


class Interrupter(Silent):
    """One Ctrl-C after some requests, to this process only."""

    def __init__(self):
        self.seen = 0

    def request_ended(self, record):
        self.seen += record.phase is Phase.MEASURE
        if self.seen == 10:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_reaches_the_workers(run):
    done = run(observer=Interrupter(), **{"load.closed.requests": 100_000})
    assert done.info.status is RunStatus.INTERRUPTED
    records = read_run(done.path).records
    assert 10 <= len(records) < 10_000
    assert {r.outcome for r in records} == {"ok"}


class Presser(Silent):
    """Ctrl-C when some requests are in flight; the next one as soon as it was heard."""

    def __init__(self, times):
        self.sent = 0
        self.left = times

    def request_sent(self, phase):
        self.sent += phase is Phase.MEASURE
        if self.sent == 10:
            self.press()

    def stopping(self, at_once):
        self.press()

    def press(self):
        if self.left:
            self.left -= 1
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("times", [2, 3])
def test_a_second_ctrl_c_ends_what_the_workers_have_in_flight(run, times):
    """No answer ever ends but to the preload and the warm-up; all that was sent has a record."""
    numbers = "+".join(str(n) for n in range(5, 200))
    with start_server(profile="test", faults=(f"stall:seconds=600,requests={numbers}",)) as server:
        presser = Presser(times)
        done = run(OPEN, observer=presser, server=server)
    assert done.info.status is RunStatus.INTERRUPTED
    records = [r for r in read_run(done.path).records if r.phase is Phase.MEASURE]
    assert {r.outcome for r in records} == {"cancelled"}
    assert len(records) == presser.sent >= 10


def test_workers_that_cannot_be_started_break_the_block_off(run, monkeypatch):
    """As where the system allows no further process; what was started is ended."""
    module_command, calls = worker_process.module_command, []

    def second_fails(module):
        calls.append(module)
        return module_command(module) if len(calls) % 2 else ["/no/such/program"]

    monkeypatch.setattr(worker_process, "module_command", second_fails)
    done = run(workers=2)
    assert [w.code for w in done.info.warnings].count("worker_died") == 2
    assert "cannot be started" in done.info.warnings[0].message
    children = [" ".join(p.cmdline()) for p in psutil.Process().children()]
    assert not any("bench.load.worker" in command for command in children)


def smoke_with(*overrides):
    return bench.make_plan("smoke", models=["m"], overrides=overrides)


def test_auto_takes_one_process_for_small_loads(simulated):
    small = bench.make_plan("smoke", models=["m"])
    assert workers_for(small, cores=8) == 1
    many_users = "load={closed: {users: 3200, requests: 3200}}"
    assert workers_for(smoke_with(many_users), cores=8) == 4
    assert workers_for(smoke_with(many_users), cores=2) == 2
    assert workers_for(smoke_with("load={open: {rate: 5000, requests: 9}}"), cores=8) == 3
    long_answers = ("load={open: {rate: 100, requests: 9}}", "options.num_predict=900")
    assert workers_for(smoke_with(*long_answers), cores=8) == 3
    assert workers_for(smoke_with(*long_answers, "stream=false"), cores=8) == 1
    unlimited = (long_answers[0], "options.num_predict=-1")
    assert workers_for(smoke_with(*unlimited), cores=8) == 4
