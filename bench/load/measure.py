"""The sending part of a block: warm-up, then the measured phase of a closed or open loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.clock import NS
from bench.load.closed import ClosedSchedule
from bench.load.holding import Release, at_once
from bench.load.open import ArrivalStretch, OpenSchedule
from bench.load.sender import Sender
from bench.load.session_users import SessionArrivals, SessionOf, SessionStretch, SessionUsers
from bench.load.supply import Supply
from bench.load.warming import GRACE_S, Maker
from bench.load.watch import Watch
from bench.load.workload import BlockWorkload
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


async def put_on(
    sender: Sender,
    load: BlockWorkload,
    start_ns: int,
    ramp_s: float = 0.0,
    release: Release = at_once,
) -> MeasuredPhase:
    """Put a block's load on, measure until a limit is reached, and let what is in flight end.

    The users of a closed loop start over `ramp_s` seconds. Of an open loop, the share of this
    process is sent when it is due; what is measured begins `settle_s` after `start_ns`. `release`
    says when the load may end, as far as others are concerned.
    """
    if load.arrivals is None:
        users: ClosedSchedule | SessionUsers
        if load.sessions is not None:
            users = SessionUsers(sender, start_ns, ramp_s, load.sessions.session)
            run = users.run(release)
        else:
            users = ClosedSchedule(sender, start_ns, ramp_s, load.think)
            run = users.run(_users_supplies(sender, load.make, ramp_s), release)
        first = Phase.RAMP_UP if ramp_s else Phase.MEASURE
        return await _measured(sender, run, first, users.measure_from_ns, users.measure_until_ns)
    from_ns = start_ns + round(sender.case.load.settle_s * NS)
    if load.sessions is not None:
        run = _arriving_sessions(sender, load.sessions.session, load.arrivals, from_ns, release)
    else:
        run = _arriving_requests(sender, load.make, load.arrivals, from_ns, release)
    settles = sender.share.arrivals(len(load.arrivals.settle_ns), sender.block.seed)
    first = Phase.SETTLE if settles else Phase.MEASURE
    return await _measured(sender, run, first, from_ns, sender.until_ns(from_ns))


def _arriving_sessions(
    sender: Sender, session_of: SessionOf, arrivals: ArrivalTimes, from_ns: int, release: Release
) -> Coroutine[Any, Any, None]:
    def stretch(phase: Phase, offsets_ns: Sequence[int], first: int) -> SessionStretch:
        mine = sender.share.arrivals(len(offsets_ns), sender.block.seed)
        return phase, [(offsets_ns[n], first + n) for n in mine]

    measured, settling = len(arrivals.measure_ns), len(arrivals.settle_ns)
    before = (
        stretch(Phase.SETTLE, arrivals.settle_ns, measured),
        stretch(Phase.MEASURE, arrivals.measure_ns, 0),
    )
    hold = stretch(Phase.HOLD, arrivals.hold_ns, measured + settling)
    schedule = SessionArrivals(_most_in_flight(sender), sender, from_ns, session_of)
    return schedule.run(before, hold, release)


def _arriving_requests(
    sender: Sender, make: Maker, arrivals: ArrivalTimes, from_ns: int, release: Release
) -> Coroutine[Any, Any, None]:
    def stretch(phase: Phase, offsets_ns: Sequence[int]) -> ArrivalStretch:
        mine = sender.share.arrivals(len(offsets_ns), sender.block.seed)
        supply = _arrival_supply(mine, len(offsets_ns), make, phase)
        return ArrivalStretch(phase, [offsets_ns[n] for n in mine], supply)

    before = (
        stretch(Phase.SETTLE, arrivals.settle_ns),
        stretch(Phase.MEASURE, arrivals.measure_ns),
    )
    hold = stretch(Phase.HOLD, arrivals.hold_ns)
    return OpenSchedule(_most_in_flight(sender), sender, from_ns).run(before, hold, release)


async def measure_cold(
    sender: Sender, make: Maker, unload: Callable[[], Awaitable[None]]
) -> MeasuredPhase:
    """Unload the model before every request and send one at a time."""
    started_ns = sender.clock.now_ns()
    until_ns = sender.until_ns(started_ns)
    requests = sender.case.load.requests
    measure = _users_supply(sender, make, Phase.MEASURE, requests, users=1)

    async def one_after_another() -> None:
        sent = 0
        while requests is None or sent < requests:
            if until_ns is not None and sender.clock.now_ns() >= until_ns:
                return
            await unload()
            await sender.send(measure.take(), Phase.MEASURE, user=0)
            measure.refill()
            sent += 1

    return await _measured(sender, one_after_another(), Phase.MEASURE, started_ns, until_ns)


def _users_supplies(sender: Sender, make: Maker, ramp_s: float) -> dict[Phase, Supply]:
    users = sender.case.load.users or 1
    wanted = {
        Phase.RAMP_UP: users if ramp_s else 0,
        Phase.MEASURE: sender.case.load.requests,
        Phase.HOLD: users if users > 1 else 0,
    }
    return {phase: _users_supply(sender, make, phase, most) for phase, most in wanted.items()}


def _most_in_flight(sender: Sender) -> int:
    return max(1, sender.case.load.max_in_flight // sender.share.of)


def _users_supply(
    sender: Sender, make: Maker, phase: Phase, wanted: int | None, users: int = 0
) -> Supply:
    """The calls of one phase of a closed loop: every n-th is the n-th user's, of `users`.

    So all processes together send the same requests as one would.
    """
    users, share = users or sender.case.load.users or 1, sender.share
    mine = share.each(users)

    def number(nth: int) -> int:
        turn, position = divmod(nth, len(mine))
        return turn * users + mine[position]

    most = _READY_AHEAD if wanted is None else min(_READY_AHEAD, wanted)
    supply = Supply(lambda nth: make(phase, number(nth)), share.of_users(users, most) or 0)
    supply.refill()
    return supply


def _arrival_supply(mine: Sequence[int], total: int, make: Maker, phase: Phase) -> Supply:
    """The calls of this process's arrivals; none is sent beyond the last, though one is made."""

    def number(nth: int) -> int:
        return mine[nth] if nth < len(mine) else total + nth

    supply = Supply(lambda nth: make(phase, number(nth)), min(_READY_AHEAD, len(mine)))
    supply.refill()
    return supply


async def _measured(
    sender: Sender,
    schedule: Coroutine[Any, Any, None],
    first: Phase,
    from_ns: int,
    until_ns: int | None,
) -> MeasuredPhase:
    """Run a schedule that begins with this phase and let its requests end, watching this process.

    `from_ns` and `until_ns` are when measuring is to begin and to end by its duration.
    """
    sender.observer.phase_started(sender.block, first)
    watch = Watch(sender.clock, sender.origin_ns) if sender.watched else None
    health = ClientHealth()
    try:
        finished = await sender.run(schedule)
        await sender.drain(GRACE_S)
    finally:
        if watch is not None:
            health = watch.stop(sender.measured)
    finished &= not sender.stop.requested and not sender.too_many_errors
    start, end = _window(sender, from_ns, until_ns, finished)
    arrived = sender.arrived if sender.case.load.loop == "open" else None
    return MeasuredPhase(start, end, arrived, sender.dropped, finished, health)


def _window(sender: Sender, from_ns: int, until_ns: int | None, finished: bool) -> tuple[int, int]:
    """The measured window of a block, counted from the start of the run.

    A duration that was used up is the window, whole: cut to the requests that happened to fall into
    it, n arrivals would be divided by little more than n - 1 gaps. Else the window goes from the
    first measured request's (planned) send to the end of the last one. `finished` is False if it
    was stopped, or gave up after too many errors.
    """
    origin_ns, load, measured = sender.origin_ns, sender.case.load, sender.measured
    planned_start = from_ns - origin_ns
    planned_end = None if until_ns is None else until_ns - origin_ns
    # A number of requests or the end of a trace may come before the duration's.
    wanted: int | None = None
    if load.loop == "closed":
        wanted = sender.share.of_users(load.users or 1, load.requests)
    elif load.requests is not None and not sender.case.in_sessions:  # else it counts sessions
        wanted = len(sender.share.arrivals(load.requests, sender.block.seed))
    all_sent = wanted is not None and measured.requests + sender.dropped >= wanted
    if load.loop == "closed" and sender.case.in_sessions and until_ns is not None:
        all_sent = sender.clock.now_ns() < until_ns  # its sessions were over before
    is_trace = load.arrivals is not None and load.arrivals.kind == "trace"
    if planned_end is not None and finished and not all_sent and not is_trace:
        return planned_start, planned_end
    start = planned_start if measured.begun_ns is None else measured.begun_ns
    end = start if measured.ended_ns is None else measured.ended_ns
    return start, end if planned_end is None else min(end, planned_end)
