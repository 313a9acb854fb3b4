"""The sending part of a block: warm-up, then the measured phase of a closed or open loop."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.clock import NS
from bench.load.closed import ClosedLoop, ClosedSchedule, ThinkTime
from bench.load.open import OpenSchedule
from bench.load.sender import Sender
from bench.load.supply import Prepared, Supply
from bench.load.watch import Watch
from bench.ollama.exchange import Outcome
from bench.results.record import Phase, RequestRecord
from bench.results.run import ClientHealth
from bench.scenario.plan import Case

GRACE_S = 30.0
"""How long requests in flight may take to end after the first Ctrl-C."""

_READY_AHEAD = 256
_LONGEST_RAMP_S = 30.0
_GUESSED_RAMP_S = 0.1
"""Per user, where no warm-up tells how long a request takes."""

Maker = Callable[[Phase, int], Prepared]
"""The prepared call with this number in this phase."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a measured phase leaves behind, besides its records.

    Attributes:
        window_start_ns, window_end_ns: see `BlockInfo`; counted from the start of the run.
        planned_arrivals: open loop: arrivals that fell due; None in a closed loop.
        complete: False if it was stopped, or gave up after too many errors.
    """

    window_start_ns: int
    window_end_ns: int
    planned_arrivals: int | None = None
    dropped: int = 0
    complete: bool = True
    health: ClientHealth = field(default_factory=ClientHealth)


async def warm_up(sender: Sender, make: Maker, count: int) -> bool:
    """Send warm-up requests, as many at once as the load will have; True unless stopped."""
    share = sender.share
    mine = share.count(count)
    if mine == 0:
        return not sender.stop.requested
    supply = Supply(lambda n: make(Phase.WARMUP, n), mine, share.worker, share.of)
    supply.refill()
    left = mine

    async def one_at_a_time() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            ended = sender.send(supply, Phase.WARMUP)
            supply.refill()
            await ended

    async def all_users() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(mine, share.count(sender.case.load.users or 1) or 1)):
                group.create_task(one_at_a_time())

    sender.observer.phase_started(sender.block, Phase.WARMUP)
    finished = await sender.run(all_users())
    await sender.drain(GRACE_S)
    return finished


def ramp_up_s(case: Case, warmed_up: Sequence[RequestRecord]) -> float:
    """Over how many seconds a closed loop's users start.

    Users that all start at once stay in step and queue up behind each other: a burst that says
    nothing about the load asked for. Unless the scenario says otherwise, their starts are spread
    over the time one request took in the warm-up, or over a guess where there was none.
    """
    load = case.load
    if load.ramp_up_s > 0 or (load.users or 1) == 1:
        return load.ramp_up_s
    took = [
        r.end_ns - r.sent_ns
        for r in warmed_up
        if r.outcome is Outcome.OK and r.end_ns is not None and r.sent_ns is not None
    ]
    if not took:
        return min((load.users or 1) * _GUESSED_RAMP_S, _LONGEST_RAMP_S)
    return min(statistics.median(took) / NS, _LONGEST_RAMP_S)


async def measure_closed(
    sender: Sender, make: Maker, start_ns: int, ramp_s: float, think: ThinkTime | None
) -> Measured:
    """Ramp up, measure until a limit is reached, and let what is in flight end.

    Args:
        sender: sends them.
        make: makes them.
        start_ns: when the first user starts, absolute.
        ramp_s: over how many seconds the users start.
        think: pause of a user after an answer.
    """
    load, share = sender.case.load, sender.share
    users = load.users or 1
    schedule = ClosedSchedule(
        ClosedLoop(
            users=users,
            ramp_up_s=ramp_s,
            requests=None if load.requests is None else share.count(load.requests),
            duration_s=load.duration_s,
            think_time=think,
            first_user=share.worker,
            user_step=share.of,
        ),
        sender,
        start_ns,
    )
    ramp_up = _supply(sender, make, Phase.RAMP_UP, users if ramp_s else 0)
    measure = _supply(sender, make, Phase.MEASURE, load.requests)
    sender.observer.phase_started(sender.block, Phase.RAMP_UP if ramp_s else Phase.MEASURE)
    finished, health = await _run(sender, schedule.run(ramp_up, measure))
    start, end = _window(sender, schedule.measure_from_ns, schedule.measure_until_ns, finished)
    return Measured(start, end, complete=finished, health=health)


async def measure_open(
    sender: Sender, make: Maker, start_ns: int, offsets_ns: Sequence[int]
) -> Measured:
    """Send every arrival of this share when it is due, and let what is in flight end.

    Args:
        sender: sends them.
        make: makes them.
        start_ns: time 0 of the arrivals, absolute.
        offsets_ns: all arrivals of the block, ascending.
    """
    load, share = sender.case.load, sender.share
    mine = offsets_ns[share.worker :: share.of]
    ceiling = max(1, load.max_in_flight // share.of)
    schedule = OpenSchedule(mine, ceiling, sender, start_ns)
    measure = _supply(sender, make, Phase.MEASURE, len(mine))
    sender.observer.phase_started(sender.block, Phase.MEASURE)
    finished, health = await _run(sender, schedule.run(measure))
    until = None if load.duration_s is None else start_ns + round(load.duration_s * NS)
    start, end = _window(sender, start_ns, until, finished)
    return Measured(start, end, schedule.arrived, sender.dropped, finished, health)


async def measure_cold(
    sender: Sender, make: Maker, unload: Callable[[], Awaitable[None]]
) -> Measured:
    """Unload the model before every request and send one at a time."""
    load = sender.case.load
    started_ns = sender.clock.now_ns()
    until = None if load.duration_s is None else started_ns + round(load.duration_s * NS)
    measure = _supply(sender, make, Phase.MEASURE, load.requests)

    async def one_after_another() -> None:
        sent = 0
        while load.requests is None or sent < load.requests:
            if until is not None and sender.clock.now_ns() >= until:
                return
            await unload()
            await sender.send(measure, Phase.MEASURE, user=0)
            measure.refill()
            sent += 1

    sender.observer.phase_started(sender.block, Phase.MEASURE)
    finished, health = await _run(sender, one_after_another())
    start, end = _window(sender, started_ns, until, finished)
    return Measured(start, end, complete=finished, health=health)


def _supply(sender: Sender, make: Maker, phase: Phase, wanted: int | None) -> Supply:
    """The calls of one phase, with as many ready as are wanted and fit."""
    share = sender.share
    ahead = _READY_AHEAD if wanted is None else min(_READY_AHEAD, share.count(wanted))
    supply = Supply(lambda n: make(phase, n), ahead, share.worker, share.of)
    supply.refill()
    return supply


async def _run(sender: Sender, schedule: Coroutine[Any, Any, None]) -> tuple[bool, ClientHealth]:
    """Run a schedule and let its requests end, watching this process meanwhile."""
    watch = Watch(sender.clock) if sender.watched else None
    if watch is not None:
        watch.start()
    health = ClientHealth()
    try:
        finished = await sender.run(schedule)
        await sender.drain(GRACE_S)
    finally:
        if watch is not None:
            health = watch.stop(sender.measured)
    return finished and not sender.stop.requested and not sender.too_many_errors, health


def _window(sender: Sender, from_ns: int, until_ns: int | None, finished: bool) -> tuple[int, int]:
    """The measured window of a block, counted from the start of the run.

    A duration that was used up is the window, whole: cut to the requests that happened to fall into
    it, n arrivals would be divided by little more than n - 1 gaps. Else the window goes from the
    first measured request's (planned) send to the end of the last one.

    Args:
        sender: knows what was measured.
        from_ns: when measuring was to begin, absolute.
        until_ns: when it was to end by its duration, absolute; None without one.
        finished: False if it was stopped, or gave up after too many errors.
    """
    origin_ns, load, measured = sender.origin_ns, sender.case.load, sender.measured
    planned_start = from_ns - origin_ns
    planned_end = None if until_ns is None else until_ns - origin_ns
    # A number of requests or the end of a trace may come before the duration's.
    all_sent = load.requests is not None and (
        measured.requests + sender.dropped >= sender.share.count(load.requests)
    )
    is_trace = load.arrivals is not None and load.arrivals.kind == "trace"
    if planned_end is not None and finished and not all_sent and not is_trace:
        return planned_start, planned_end
    start = planned_start if measured.begun_ns is None else measured.begun_ns
    end = start if measured.ended_ns is None else measured.ended_ns
    return start, end if planned_end is None else min(end, planned_end)
