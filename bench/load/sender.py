"""Sends the requests of one block and keeps their records; the schedules decide when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.clock import Clock
from bench.load.observer import Observer
from bench.load.recording import Sending, make_record
from bench.load.stop import Stop
from bench.load.supply import Prepared, Supply
from bench.load.tally import BlockTally
from bench.results.record import Phase, RequestRecord
from bench.scenario.plan import Block, Case
from bench.wire.exchange import Outcome, Reply, Transport


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a block that one worker process sends: every `of`-th, beginning with `worker`.

    Attributes:
        thinned: arrivals are drawn instead, so that each worker's are Poisson if all are: every
            third arrival of a Poisson process comes too regularly (Kingman 1993, section 5.1).
    """

    worker: int = 0
    of: int = 1
    thinned: bool = False

    def count(self, total: int) -> int:
        """How many of `total` things are this worker's."""
        return len(range(self.worker, total, self.of))

    def arrivals(self, total: int, seed: int) -> Sequence[int]:
        """Which of `total` arrivals are this worker's; of more, the same and further ones."""
        if not self.thinned:
            return range(self.worker, total, self.of)
        draw = random.Random(seed).random
        return [n for n in range(total) if int(draw() * self.of) == self.worker]


class Sender:
    """Sends, counts, records.

    Args:
        case, block: whose requests these are.
        transport: puts them on the wire.
        clock: tells the time.
        origin_ns: start of the run on that clock.
        keep: called with every record as its request ends.
        observer: receives every request.
        stop: the user's wish to stop.
        share: this worker's part.
        watched: watch this process during measured phases; no use in virtual time.
        together: other blocks run at the same time, so the load is kept up until they end.

    Attributes:
        measured: what is remembered of measured requests.
        warmed_up: the records of the warm-up, in the order they ended.
        errors: failed requests since the warm-up.
        dropped: arrivals that were not sent.
        failure: the error that ended the block: a record could not be kept.
        measuring: measured requests in flight.
        alone: nobody else keeps the load of this moment up.
    """

    def __init__(
        self,
        case: Case,
        block: Block,
        transport: Transport,
        clock: Clock,
        origin_ns: int,
        keep: Callable[[RequestRecord], None],
        observer: Observer,
        stop: Stop,
        share: Share = Share(),
        watched: bool = True,
        together: bool = False,
    ) -> None:
        self.alone = share.of == 1 and not together
        self.together = together
        self.case = case
        self.block = block
        self.clock = clock
        self.share = share
        self.stop = stop
        self.observer = observer
        self.measured = BlockTally()
        self.warmed_up: list[RequestRecord] = []
        self.dropped = 0
        self.errors = 0
        self._unheard = 0
        self.failure: Exception | None = None
        self._transport = transport
        self.origin_ns = origin_ns
        self.watched = watched
        self._keep = keep
        self._in_flight: set[asyncio.Future[Reply]] = set()
        self._sent = 0
        self._halt = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.measuring = 0
        self._none_measured = asyncio.Event()
        self._none_measured.set()

    @property
    def kernel_stamped(self) -> bool:
        """Whether the kernel stamps what arrives: reading it a moment later bends nothing."""
        return self._transport.name == "kernel"

    @property
    def in_flight(self) -> int:
        """Requests without an end so far."""
        return len(self._in_flight)

    @property
    def sent(self) -> int:
        """Requests sent so far, in all phases."""
        return self._sent

    @property
    def too_many_errors(self) -> bool:
        """Did the block reach its limit of failed requests?"""
        limit = self.case.load.max_errors
        return limit is not None and self.errors >= limit

    @property
    def _starved(self) -> bool:
        """Do other blocks take all turns? Their load is kept up for as long as this one asks."""
        return self.together and self._unheard >= (self.case.load.users or 1)

    def send(
        self,
        supply: Supply,
        phase: Phase,
        user: int | None = None,
        planned_ns: int | None = None,
        due_ns: int | None = None,
    ) -> asyncio.Future[RequestRecord]:
        """Send the next request now; the future resolves with its record, whatever its outcome.

        Cancelling the future does not touch the request.

        Args:
            supply: has the requests of this phase.
            phase: it is sent in.
            user: who sends it, in a closed loop.
            planned_ns: when it was due in an open loop.
            due_ns: when its user was ready to send it, in a closed loop.
        """
        return self.send_prepared(supply.take(), phase, user, planned_ns, due_ns)

    def send_prepared(
        self,
        prepared: Prepared,
        phase: Phase,
        user: int | None = None,
        planned_ns: int | None = None,
        due_ns: int | None = None,
    ) -> asyncio.Future[RequestRecord]:
        """Send this request now; the rest is as `send` says."""
        reply = self._transport.send(prepared.call)
        ended: asyncio.Future[RequestRecord] = asyncio.get_running_loop().create_future()
        sending = Sending(
            index=self._sent * self.share.of + self.share.worker,
            phase=phase,
            user=user,
            planned_ns=planned_ns,
            due_ns=due_ns,
        )
        self._sent += 1
        self._in_flight.add(reply)
        self._idle.clear()
        if phase is Phase.MEASURE:
            self.measuring += 1
            self._none_measured.clear()
        self.observer.request_sent(phase)
        reply.add_done_callback(partial(self._ended, prepared, sending, ended))
        return ended

    def _ended(
        self,
        prepared: Prepared,
        sending: Sending,
        ended: asyncio.Future[RequestRecord],
        reply: asyncio.Future[Reply],
    ) -> None:
        self._in_flight.discard(reply)
        if not self._in_flight:
            self._idle.set()
        try:
            result = Reply(outcome=Outcome.CANCELLED) if reply.cancelled() else reply.result()
            record = make_record(
                self.case,
                self.block,
                prepared,
                sending,
                result,
                self.origin_ns,
                self.share.worker,
            )
            self._keep(record)
            self._count(record, sending)
            self.observer.request_ended(record)
        except Exception as error:
            # A callback has no caller to raise to: the block ends, and `run` raises it.
            self.failure = self.failure or error
            self._halt.set()
            ended.cancel()
            return
        if not ended.done():
            ended.set_result(record)
        if sending.phase is Phase.MEASURE:
            self.measuring -= 1
            if not self.measuring:
                self._none_measured.set()

    def _count(self, record: RequestRecord, sending: Sending) -> None:
        if record.phase is Phase.WARMUP:
            self.warmed_up.append(record)
            return
        if record.outcome is not Outcome.OK and record.phase is not Phase.HOLD:
            self.errors += 1
            self._unheard += record.outcome is Outcome.TIMEOUT and record.headers_ns is None
            if self.too_many_errors or self._starved:
                self._halt.set()
        if record.phase is Phase.MEASURE:
            due_ns = sending.due_ns if sending.planned_ns is None else sending.planned_ns
            self.measured.count(record, None if due_ns is None else due_ns - self.origin_ns)

    async def run(self, schedule: Coroutine[Any, Any, None]) -> bool:
        """Run a schedule to its end, or until it has to stop; what is in flight goes on.

        Returns:
            True if it came to its end.

        Raises:
            Exception: a record could not be kept.
        """
        work = asyncio.ensure_future(schedule)
        halted = asyncio.ensure_future(self._halted())
        try:
            await asyncio.wait({work, halted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            finished = work.done()
            work.cancel()
            halted.cancel()
            results = await asyncio.gather(work, halted, return_exceptions=True)
        if self.failure is not None:
            raise self.failure
        if isinstance(results[0], Exception):
            raise results[0]
        return finished

    async def drain(self, grace_s: float) -> None:
        """Wait for what is in flight; after a stop only for `grace_s`, after a second not at all.

        Raises:
            Exception: a record could not be kept.
        """
        await _first_of(self._idle.wait(), self.stop.wait_requested())
        await _first_of(self._idle.wait(), self.stop.wait_at_once(), timeout_s=grace_s)
        await self.cancel_all()
        if self.failure is not None:
            raise self.failure

    async def none_measured(self) -> None:
        """Return when no measured request is in flight."""
        await self._none_measured.wait()

    async def cancel_all(self) -> None:
        """End what is in flight as `cancelled`; every request still gets its record."""
        for reply in tuple(self._in_flight):
            self._transport.cancel(reply)
        await self._idle.wait()

    async def _halted(self) -> None:
        await _first_of(self._halt.wait(), self.stop.wait_requested())


async def _first_of(*waits: Coroutine[Any, Any, object], timeout_s: float | None = None) -> None:
    """Return when one of these has ended, or after the time; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
