"""The start of a block: warm-up requests, and how long a closed loop's users take to start."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Sequence

from bench.clock import NS
from bench.load.sender import Sender
from bench.load.supply import Prepared, Supply
from bench.results.record import Phase, RequestRecord
from bench.scenario.plan import Case
from bench.wire.exchange import Outcome

GRACE_S = 30.0
"""How long requests in flight may take to end after the first Ctrl-C."""

_LONGEST_RAMP_S = 30.0
_GUESSED_RAMP_S = 0.1
"""Per user, where no warm-up tells how long a request takes."""

Maker = Callable[[Phase, int], Prepared]
"""The prepared call with this number in this phase."""


async def warm_up(sender: Sender, make: Maker, count: int) -> bool:
    """Send warm-up requests, as many at once as the load will have; True unless stopped."""
    share = sender.share
    mine = len(share.each(count))
    if mine == 0:
        return not sender.stop.requested
    supply = Supply(lambda n: make(Phase.WARMUP, n), mine, share.worker, share.of)
    supply.refill()
    left = mine

    async def one_at_a_time() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            ended = sender.send(supply.take(), Phase.WARMUP)
            supply.refill()
            await ended

    async def all_users() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(mine, len(share.each(sender.case.load.users or 1)) or 1)):
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
