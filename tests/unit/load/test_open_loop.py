from __future__ import annotations

import asyncio
import itertools

import pytest

from bench.clock import NS
from bench.load.open import ArrivalStretch, OpenSchedule
from bench.load.supply import Supply
from bench.ollama.scripted import scripted_chat
from bench.results.record import Phase


def one_slot(service_s):
    """A server that serves one request at a time; the others wait in a queue."""
    free_at = 0.0
    sent = []

    def script(call, number):
        nonlocal free_at
        now = asyncio.get_running_loop().time()
        sent.append(now)
        start = max(now, free_at)
        free_at = start + service_s
        return scripted_chat(["x"] * 4, first_s=start - now + service_s / 2, gap_s=service_s / 8)

    return script


def test_every_arrival_is_sent_when_it_is_due(play, kit):
    done = play(kit.plan(kit.case(kit.open_loop(4.0, requests=40))))
    planned = [r.planned_ns for r in done.records()]
    assert [b - a for a, b in itertools.pairwise(planned)] == [NS // 4] * 39
    assert all(r.sent_ns == r.planned_ns for r in done.records())
    assert done.info.blocks[0].planned_arrivals == 40
    assert done.info.blocks[0].window_start_ns == planned[0]


def test_arrivals_do_not_wait_for_answers(play, kit):
    done = play(kit.plan(kit.case(kit.open_loop(10.0, requests=30))), kit.answers(first_s=60.0))
    sends = [r.sent_ns for r in done.records()]
    assert max(sends) - min(sends) == pytest.approx(2.9 * NS, rel=1e-6)
    assert min(r.end_ns for r in done.records()) > max(sends)


def test_latency_counts_from_the_planned_time_in_an_overload(play, kit):
    """A queue at twice its capacity grows without end: wait(n) = n x (service - gap)."""
    done = play(kit.plan(kit.case(kit.open_loop(2.0, requests=20), warmup=0)), one_slot(1.0))
    latencies = [(r.end_ns - r.planned_ns) / NS for r in done.records()]
    assert latencies == pytest.approx([1.0 + 0.5 * n for n in range(20)], abs=1e-6)


def test_arrivals_above_the_ceiling_are_dropped_counted_and_invalidate(play, kit):
    load = kit.open_loop(10.0, requests=100, max_in_flight=5)
    done = play(kit.plan(kit.case(load, warmup=0)), kit.answers(first_s=0.95, gap_s=0.0))
    block = done.info.blocks[0]
    assert block.planned_arrivals == 100
    assert block.dropped == 50
    assert len(done.records()) == 50
    assert [w.invalidates for w in done.info.warnings if w.code == "arrivals_dropped"] == [True]


def test_the_window_of_a_duration_ends_with_it(play, kit):
    done = play(kit.plan(kit.case(kit.open_loop(1.0, duration_s=20.0))), kit.answers(first_s=5.0))
    block = done.info.blocks[0]
    assert block.window_end_ns - block.window_start_ns == 20 * NS
    assert max(r.end_ns for r in done.records()) > block.window_end_ns


@pytest.mark.parametrize("requests", [None, 25])
def test_the_rate_of_a_short_duration_is_that_of_its_arrivals(play, kit, requests):
    """Cut to its requests, the window of 4 arrivals at 0.2/s would be some 15.5 s: 0.26/s."""
    load = kit.open_loop(0.2, requests=requests, duration_s=20.0)
    done = play(kit.plan(kit.case(load)), kit.answers(first_s=0.1))
    block = done.info.blocks[0]
    assert len(done.records()) == 4
    assert max(r.end_ns for r in done.records()) < block.window_end_ns
    assert block.window_end_ns - block.window_start_ns == 20 * NS


def test_a_number_of_requests_that_comes_first_ends_the_window_of_a_duration(play, kit):
    done = play(kit.plan(kit.case(kit.open_loop(1.0, requests=5, duration_s=60.0))))
    block = done.info.blocks[0]
    assert block.window_end_ns == max(r.end_ns for r in done.records())


def test_poisson_arrivals_are_those_of_the_plan(play, kit):
    from bench.scenario.arrivals import arrival_offsets_ns

    load = kit.open_loop(5.0, requests=200, arrivals="poisson")
    the_plan = kit.plan(kit.case(load))
    done = play(the_plan)
    offsets = arrival_offsets_ns(load, the_plan.blocks[0].seed)
    start = done.records()[0].planned_ns - int(offsets[0])
    planned = sorted(r.planned_ns - start for r in done.records())
    assert planned == offsets.tolist()


class SteppingClock:
    """Every look at it takes 5 us."""

    def __init__(self):
        self.ns = 0
        self.slept_until = []

    def now_ns(self):
        self.ns += 5_000
        return self.ns

    async def sleep_until(self, deadline_ns):
        self.slept_until.append(deadline_ns)
        self.ns = max(self.ns, deadline_ns)


class NotingSender:
    def __init__(self, kernel_stamped):
        self.clock = SteppingClock()
        self.kernel_stamped = kernel_stamped
        self.in_flight = self.dropped = self.arrived = 0
        self.sent = []

    async def none_measured(self):
        return

    def send(self, prepared, phase, planned_ns):
        self.sent.append((planned_ns, self.clock.ns))


def sent_by(kernel_stamped, offsets):
    sender = NotingSender(kernel_stamped)
    supply = Supply(lambda number: None, ahead=0)
    measured = ArrivalStretch(Phase.MEASURE, offsets, supply)
    asyncio.run(OpenSchedule(1000, sender, 1_000_000).run([measured]))
    assert [planned for planned, _ in sender.sent] == [1_000_000 + o for o in offsets]
    assert all(at >= planned for planned, at in sender.sent)
    return sender


def test_arrivals_close_together_go_out_without_a_turn_between_them_if_the_kernel_stamps():
    close = [n * 50_000 for n in range(10)]
    assert len(sent_by(True, close).clock.slept_until) == 1
    assert len(sent_by(False, close).clock.slept_until) == 10


def test_answers_are_read_now_and_then_however_close_the_arrivals():
    sender = sent_by(True, [n * 20_000 for n in range(1000)])  # 20 ms
    assert len(sender.clock.slept_until) >= 10


def test_arrears_are_sent_one_after_the_other():
    sender = sent_by(False, [0] * 20)
    assert len(sender.clock.slept_until) <= 2


def test_after_a_dropped_arrival_the_others_keep_their_own_prompts(play, kit):
    """Arrival n has prompt n, whatever became of the arrivals before it."""
    load = kit.open_loop(10.0, requests=60, max_in_flight=3)
    asked = kit.plan(kit.case(load, warmup=0))
    done = play(asked, kit.answers(first_s=0.75, gap_s=0.0))
    assert done.info.blocks[0].dropped > 10
    everything = play(kit.plan(kit.case(kit.open_loop(10.0, requests=60), warmup=0)))
    prompt_at = {r.planned_ns: (r.nonce, r.prompt_sha256) for r in everything.records()}
    assert len(prompt_at) == 60
    first = min(r.planned_ns for r in done.records())
    assert first == min(prompt_at)
    for record in done.records():
        assert (record.nonce, record.prompt_sha256) == prompt_at[record.planned_ns]
