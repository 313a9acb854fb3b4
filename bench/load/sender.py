"""Sends the requests of one block and keeps their records; the schedules decide when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.clock import NS, Clock
from bench.load.holding import Together
from bench.load.observer import Observer
from bench.load.recording import Sending, make_record
from bench.load.stop import Stop, first_of
from bench.load.supply import Prepared
from bench.load.tally import BlockTally
from bench.load.target import OpenTarget
from bench.results.record import Phase, RequestRecord
from bench.results.run import Residency
from bench.scenario.plan import Block, Case
from bench.wire.exchange import Outcome, Reply, Transport


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all blocks of a run share.

    Attributes:
        origin_ns: start of the run on the clock.
        keep: called with every record as its request ends.
        before_measuring: awaited between the first warm-up and the first measurement, so that
            work which would disturb a measurement has ended.
        before_sending: awaited when a block's model is loaded and nothing has been sent yet.
        watched: watch this process; no use in virtual time.
        own_models: the models of the plan: they may stay in memory beside each other.
        workers: processes that send.
        formats: of the models, by target and name; "" = not known.
        together: where blocks that run at the same time meet; None = this one runs alone.
    """

    clock: Clock
    origin_ns: int
    keep: Callable[[RequestRecord], None]
    observer: Observer
    stop: Stop
    before_measuring: Callable[[], Awaitable[None]] | None = None
    before_sending: Callable[[Case, OpenTarget, Residency | None], Awaitable[None]] | None = None
    watched: bool = True
    own_models: frozenset[str] = frozenset()
    workers: int = 1
    formats: Mapping[tuple[str, str], str] = field(default_factory=dict)
    together: Together | None = None


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

    def each(self, total: int) -> range:
        """Which of `total` things are this worker's."""
        return range(self.worker, total, self.of)

    def arrivals(self, total: int, seed: int) -> Sequence[int]:
        """Which of `total` arrivals are this worker's; of more, the same and further ones."""
        if not self.thinned:
            return self.each(total)
        draw = random.Random(seed).random
        return [n for n in range(total) if int(draw() * self.of) == self.worker]

    def of_users(self, users: int, total: int | None) -> int | None:
        """How many of a closed block's requests or sessions this worker's users begin.

        Every user has the same share, or one more: a process with fewer users sends fewer.
        """
        if total is None:
            return None
        return sum(len(range(user, total, users)) for user in self.each(users))


class Sender:
    """Sends, counts, records.

    Attributes:
        measured: what is remembered of measured requests.
        warmed_up: the records of the warm-up, in the order they ended.
        errors: failed requests since the warm-up.
        arrived, dropped: measured arrivals that fell due so far, and those of them not sent.
        failure: the error that ended the block: a record could not be kept.
        measuring: measured requests in flight.
        alone: nobody else keeps the load of this moment up.
    """

    def __init__(
        self,
        case: Case,
        block: Block,
        transport: Transport,
        around: Surroundings,
        share: Share = Share(),
    ) -> None:
        self.case, self.block, self.share = case, block, share
        self.clock, self.origin_ns = around.clock, around.origin_ns
        self.observer, self.stop = around.observer, around.stop
        self.watched, self.together = around.watched, around.together is not None
        self.alone = share.of == 1 and not self.together
        self.measured = BlockTally()
        self.warmed_up: list[RequestRecord] = []
        self.errors = self.arrived = self.dropped = self.measuring = 0
        self.failure: Exception | None = None
        self._keep = around.keep
        self._transport = transport
        self._in_flight: set[asyncio.Future[Reply]] = set()
        self._sent = self._unheard = 0
        self._halt, self._idle, self._none_measured = (asyncio.Event() for _ in range(3))
        self._idle.set()
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
        prepared: Prepared,
        phase: Phase,
        user: int | None = None,
        planned_ns: int | None = None,
        due_ns: int | None = None,
    ) -> asyncio.Future[RequestRecord]:
        """Send a request now; the future resolves with its record, whatever its outcome.

        Cancelling the future does not touch the request. It was due at `planned_ns` in an open
        loop; in a closed one its user was ready to send it at `due_ns`.
        """
        reply = self._transport.send(prepared.call)
        ended: asyncio.Future[RequestRecord] = asyncio.get_running_loop().create_future()
        index = self._sent * self.share.of + self.share.worker
        sending = Sending(index, phase, user, planned_ns, due_ns)
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
                self.case, self.block, prepared, sending, result, self.origin_ns, self.share.worker
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
        """Run a schedule; True if it came to its end. What is in flight goes on.

        Raises:
            Exception: a record could not be kept.
        """
        work = asyncio.ensure_future(schedule)
        halted = asyncio.ensure_future(first_of(self._halt.wait(), self.stop.wait_requested()))
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
        await first_of(self._idle.wait(), self.stop.wait_requested())
        await first_of(self._idle.wait(), self.stop.wait_at_once(), timeout_s=grace_s)
        for reply in tuple(self._in_flight):  # every request still gets its record
            self._transport.cancel(reply)
        await self._idle.wait()
        if self.failure is not None:
            raise self.failure

    def until_ns(self, from_ns: int) -> int | None:
        """When measuring that begins then ends by the load's duration; None = by no time."""
        seconds = self.case.load.duration_s
        return None if seconds is None else from_ns + round(seconds * NS)

    async def none_measured(self) -> None:
        """Return when no measured request is in flight."""
        await self._none_measured.wait()
