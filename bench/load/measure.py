"""The sending part of a block: warm-up, then the measured phase of a closed or open loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.clock import NS
from bench.load.closed import ClosedLoop, ClosedSchedule, ThinkTime
from bench.load.holding import Release, at_once
from bench.load.open import ArrivalStretch, OpenSchedule
from bench.load.sender import Sender, Share
from bench.load.session_users import SessionArrivals, SessionOf, SessionStretch, SessionUsers
from bench.load.supply import Supply
from bench.load.warming import GRACE_S, Maker
from bench.load.watch import Watch
from bench.results.record import Phase
from bench.results.run import ClientHealth, SenderInfo

if TYPE_CHECKING:
    from bench.scenario.arrivals import ArrivalTimes

_READY_AHEAD = 256


@dataclass(frozen=True, slots=True)
class MeasuredPhase:
    """What a measured phase leaves behind, besides its records.

    Attributes:
        window_start_ns, window_end_ns: see `BlockInfo`; counted from the start of the run.
        planned_arrivals: open loop: arrivals that fell due; None in a closed loop.
        complete: False if it was stopped, or gave up after too many errors.
        senders: the processes that sent it, if there were several.
    """

    window_start_ns: int
    window_end_ns: int
    planned_arrivals: int | None = None
    dropped: int = 0
    complete: bool = True
    health: ClientHealth = field(default_factory=ClientHealth)
    senders: tuple[SenderInfo, ...] = ()


async def measure_closed(
    sender: Sender,
    make: Maker,
    start_ns: int,
    ramp_s: float,
    think: ThinkTime | None,
    release: Release = at_once,
) -> MeasuredPhase:
    """Ramp up, measure until a limit is reached, and let what is in flight end.

    The users start over `ramp_s` seconds. `release` says when the load may end, as far as other
    processes are concerned.
    """
    load, share = sender.case.load, sender.share
    users = load.users or 1
    schedule = ClosedSchedule(_closed_loop(sender, ramp_s, think), sender, start_ns)
    ramp_up = _users_supply(share, users, make, Phase.RAMP_UP, users if ramp_s else 0)
    measure = _users_supply(share, users, make, Phase.MEASURE, load.requests)
    hold = _users_supply(share, users, make, Phase.HOLD, users if users > 1 else 0)
    sender.observer.phase_started(sender.block, Phase.RAMP_UP if ramp_s else Phase.MEASURE)
    finished, health = await _run(sender, schedule.run(ramp_up, measure, hold, release))
    start, end = _window(sender, schedule.measure_from_ns, schedule.measure_until_ns, finished)
    return MeasuredPhase(start, end, complete=finished, health=health)


async def measure_session_users(
    sender: Sender,
    session_of: SessionOf,
    start_ns: int,
    ramp_s: float,
    release: Release = at_once,
) -> MeasuredPhase:
    """Closed users that play sessions; the rest is as `measure_closed` says."""
    schedule = SessionUsers(_closed_loop(sender, ramp_s), sender, start_ns, session_of)
    sender.observer.phase_started(sender.block, Phase.RAMP_UP if ramp_s else Phase.MEASURE)
    finished, health = await _run(sender, schedule.run(release))
    start, end = _window(sender, schedule.measure_from_ns, schedule.measure_until_ns, finished)
    return MeasuredPhase(start, end, complete=finished, health=health)


def _closed_loop(sender: Sender, ramp_s: float, think: ThinkTime | None = None) -> ClosedLoop:
    """This process's part of a block's users."""
    load, share = sender.case.load, sender.share
    users = load.users or 1
    return ClosedLoop(
        users=users,
        ramp_up_s=ramp_s,
        requests=_requests_of(share, users, load.requests),
        duration_s=load.duration_s,
        think_time=think,
        first_user=share.worker,
        user_step=share.of,
        sessions=_requests_of(share, users, load.sessions),
    )


async def measure_session_arrivals(
    sender: Sender,
    session_of: SessionOf,
    start_ns: int,
    arrivals: ArrivalTimes,
    release: Release = at_once,
) -> MeasuredPhase:
    """Sessions that arrive; the rest is as `measure_open` says."""
    load, share = sender.case.load, sender.share
    from_ns = start_ns + round(load.settle_s * NS)
    until = None if load.duration_s is None else from_ns + round(load.duration_s * NS)
    most = max(1, load.max_in_flight // share.of)
    schedule = SessionArrivals(most, sender, from_ns, until, session_of)

    def stretch(phase: Phase, offsets_ns: Sequence[int], first: int) -> SessionStretch:
        mine = share.arrivals(len(offsets_ns), sender.block.seed)
        due = [(offsets_ns[n], first + n) for n in mine]
        return SessionStretch(phase, due)

    measured = stretch(Phase.MEASURE, arrivals.measure_ns, 0)
    settle = stretch(Phase.SETTLE, arrivals.settle_ns, len(arrivals.measure_ns))
    after = len(arrivals.measure_ns) + len(arrivals.settle_ns)
    hold = stretch(Phase.HOLD, arrivals.hold_ns, after)
    begins = Phase.SETTLE if settle.due else Phase.MEASURE
    sender.observer.phase_started(sender.block, begins)
    finished, health = await _run(sender, schedule.run((settle, measured), hold, release))
    start, end = _window(sender, from_ns, until, finished)
    return MeasuredPhase(start, end, schedule.arrived, sender.dropped, finished, health)


async def measure_open(
    sender: Sender,
    make: Maker,
    start_ns: int,
    arrivals: ArrivalTimes,
    release: Release = at_once,
) -> MeasuredPhase:
    """Settle, send every arrival of this share when it is due, and let what is in flight end.

    What is measured begins `settle_s` after `start_ns`. `release` says when the load may end, as
    far as other processes are concerned.
    """
    load, share = sender.case.load, sender.share
    from_ns = start_ns + round(load.settle_s * NS)

    def stretch(phase: Phase, offsets_ns: Sequence[int]) -> ArrivalStretch:
        mine = share.arrivals(len(offsets_ns), sender.block.seed)
        supply = _arrival_supply(mine, len(offsets_ns), make, phase)
        return ArrivalStretch(phase, [offsets_ns[n] for n in mine], supply)

    settle = stretch(Phase.SETTLE, arrivals.settle_ns)
    measure = stretch(Phase.MEASURE, arrivals.measure_ns)
    hold = stretch(Phase.HOLD, arrivals.hold_ns)
    schedule = OpenSchedule(max(1, load.max_in_flight // share.of), sender, from_ns)
    sender.observer.phase_started(
        sender.block, Phase.SETTLE if settle.offsets_ns else Phase.MEASURE
    )
    finished, health = await _run(sender, schedule.run((settle, measure), hold, release))
    until = None if load.duration_s is None else from_ns + round(load.duration_s * NS)
    start, end = _window(sender, from_ns, until, finished)
    return MeasuredPhase(start, end, schedule.arrived, sender.dropped, finished, health)


async def measure_cold(
    sender: Sender, make: Maker, unload: Callable[[], Awaitable[None]]
) -> MeasuredPhase:
    """Unload the model before every request and send one at a time."""
    load = sender.case.load
    started_ns = sender.clock.now_ns()
    until = None if load.duration_s is None else started_ns + round(load.duration_s * NS)
    measure = _users_supply(sender.share, 1, make, Phase.MEASURE, load.requests)

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
    return MeasuredPhase(start, end, complete=finished, health=health)


def _requests_of(share: Share, users: int, requests: int | None) -> int | None:
    """How many of a closed block's requests the users of one process send.

    Every user has the same share, or one more: a process with fewer users sends fewer.
    """
    if requests is None:
        return None
    mine = range(share.worker, users, share.of)
    return sum(len(range(user, requests, users)) for user in mine)


def _users_supply(
    share: Share, users: int, make: Maker, phase: Phase, wanted: int | None
) -> Supply:
    """The calls of one phase of a closed loop: every n-th is the n-th user's, of `users`.

    So all processes together send the same requests as one would.
    """
    mine = range(share.worker, users, share.of)

    def number(nth: int) -> int:
        turn, position = divmod(nth, len(mine))
        return turn * users + mine[position]

    most = _READY_AHEAD if wanted is None else min(_READY_AHEAD, wanted)
    supply = Supply(lambda nth: make(phase, number(nth)), _requests_of(share, users, most) or 0)
    supply.refill()
    return supply


def _arrival_supply(mine: Sequence[int], total: int, make: Maker, phase: Phase) -> Supply:
    """The calls of this process's arrivals; none is sent beyond the last, though one is made."""

    def number(nth: int) -> int:
        return mine[nth] if nth < len(mine) else total + nth

    supply = Supply(lambda nth: make(phase, number(nth)), min(_READY_AHEAD, len(mine)))
    supply.refill()
    return supply


async def _run(sender: Sender, schedule: Coroutine[Any, Any, None]) -> tuple[bool, ClientHealth]:
    """Run a schedule and let its requests end, watching this process meanwhile."""
    watch = Watch(sender.clock, sender.origin_ns) if sender.watched else None
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
    first measured request's (planned) send to the end of the last one. `from_ns` and `until_ns` are
    when measuring was to begin and to end by its duration. `finished` is False if it was stopped,
    or gave up after too many errors.
    """
    origin_ns, load, measured = sender.origin_ns, sender.case.load, sender.measured
    planned_start = from_ns - origin_ns
    planned_end = None if until_ns is None else until_ns - origin_ns
    # A number of requests or the end of a trace may come before the duration's.
    wanted = len(sender.share.arrivals(load.requests or 0, sender.block.seed))
    if load.loop == "closed":
        wanted = _requests_of(sender.share, load.users or 1, load.requests) or 0
    all_sent = load.requests is not None and measured.requests + sender.dropped >= wanted
    if sender.case.in_sessions and load.loop == "open":
        all_sent = False  # what it counts are sessions
    is_trace = load.arrivals is not None and load.arrivals.kind == "trace"
    if planned_end is not None and finished and not all_sent and not is_trace:
        return planned_start, planned_end
    start = planned_start if measured.begun_ns is None else measured.begun_ns
    end = start if measured.ended_ns is None else measured.ended_ns
    return start, end if planned_end is None else min(end, planned_end)
