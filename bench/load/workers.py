"""Several worker processes send one block together: for loads beyond one core."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from bench.clock import NS
from bench.load import messages
from bench.load.block import PhaseSender, Sent, hopeless, uncalibrated
from bench.load.findings import warm_up_findings
from bench.load.measure import MeasuredPhase
from bench.load.sender import Surroundings
from bench.load.stop import Stop
from bench.load.tally import BlockTally
from bench.load.target import OpenTarget
from bench.load.warming import GRACE_S, ramp_up_s
from bench.load.worker_process import StartAll, Worker, WorkerDied, start_here
from bench.load.workload import Workloads
from bench.results.record import Phase, RequestRecord, scrubbed
from bench.results.run import ClientHealth, RunWarning, SenderInfo
from bench.results.warning_codes import WarningCode
from bench.scenario.corpus import TokenRates
from bench.scenario.plan import Block, Case
from bench.wire.exchange import Outcome

_ELSEWHERE_GRACE_S = 6.0
"""As `GRACE_S`, where machines can be lost: within 10 s it is known what is left."""
_HEAD_START_S = 0.1
"""Between the order to measure and its start: all workers have read the order by then."""


_Answer = TypeVar("_Answer", bound=messages.WarmedUp | messages.Done)


class _WorkerEvents:
    """Listens to the workers during one block and keeps what they say."""

    def __init__(self, case: Case, around: Surroundings, workers: Sequence[Worker]) -> None:
        self._limit = case.load.max_errors
        self._around = around
        self.workers = workers
        self._errors = 0
        self._pending: dict[Worker, type[Any]] = {}
        self._measuring = len(workers)
        self.warmed_up: list[RequestRecord] = []
        self.measured = BlockTally()
        self.gave_up = False

    async def all(self, order: messages.Order, answer: type[_Answer]) -> list[_Answer]:
        """Give an order to every worker, and listen until each has given this answer.

        Raises:
            WorkerDied: one will not.
        """
        self._tell_all(order)
        self._pending = dict.fromkeys(self.workers, answer)
        tasks = [asyncio.ensure_future(self._until(w, answer)) for w in self.workers]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def survivors(self) -> None:
        """Let the workers that are left end what is in flight, so that nothing that ended is lost.

        Raises:
            Exception: a record could not be kept.
        """
        self.stop()
        last = [self._until(worker, answer) for worker, answer in self._pending.items()]
        with contextlib.suppress(TimeoutError):
            elsewhere = any(worker.machine for worker in self.workers)
            async with asyncio.timeout(_ELSEWHERE_GRACE_S if elsewhere else GRACE_S):
                for said in await asyncio.gather(*last, return_exceptions=True):
                    if isinstance(said, Exception) and not isinstance(said, WorkerDied):
                        raise said

    def stop(self) -> None:
        """Tell every worker to send nothing more."""
        self._tell_all(messages.StopSending())

    def _tell_all(self, order: messages.Order) -> None:
        for worker in self.workers:
            worker.tell(order)

    async def _until(self, worker: Worker, answer: type[_Answer]) -> _Answer:
        while not isinstance(word := await worker.hear(), answer):
            if isinstance(word, messages.Departed):
                self._around.observer.request_sent(word.phase)
            elif isinstance(word, messages.Arrived):
                self._take(word.record)
            elif isinstance(word, messages.NoneMeasured):
                self._measuring -= 1
                if not self._measuring:
                    self._tell_all(messages.Release())
        self._pending.pop(worker)
        return word

    def _take(self, record: RequestRecord) -> None:
        record = scrubbed(record)  # a worker does not know the secrets of servers started here
        self._around.keep(record)
        self._around.observer.request_ended(record)
        if record.phase is Phase.WARMUP:
            self.warmed_up.append(record)
            return
        if record.phase is Phase.MEASURE:
            self.measured.count(record)
        if record.phase is not Phase.HOLD:
            self._errors += record.outcome is not Outcome.OK
        if self._limit is not None and self._errors >= self._limit and not self.gave_up:
            self.gave_up = True
            self.stop()


@dataclasses.dataclass(eq=False)
class WorkerPool:
    """Sends blocks with several processes; a `PhaseSender`.

    Every process sends every n-th request (open loop) or is every n-th user (closed loop), so what
    is sent does not depend on chance. A worker that dies fails its block; the records of requests
    that had ended are kept, and the next block begins with new workers.

    Attributes:
        init: what every worker receives first; its number and the start of the run are filled in.
        here: sends what cannot be shared out: blocks of cold cases.
    """

    init: messages.Init
    here: PhaseSender
    workloads: Workloads
    start: StartAll = start_here
    _workers: Sequence[Worker] = ()

    async def aclose(self) -> None:
        """End every worker."""
        workers, self._workers = self._workers, ()
        await asyncio.gather(*(w.end() for w in workers))

    async def __call__(
        self, case: Case, block: Block, target: OpenTarget, around: Surroundings
    ) -> Sent:
        """Send a block's requests."""
        if case.cold:
            return await self.here(case, block, target, around)
        rates, why = await self.workloads.calibrated(case, block, target)
        warnings = uncalibrated(case, why)
        if not self._workers:
            try:
                self._workers = await self.start(replace(self.init, origin_ns=around.origin_ns))
            except WorkerDied as error:
                return Sent(None, warnings=[*warnings, _died(case, block, error, self.init.of)])
        events = _WorkerEvents(case, around, self._workers)
        stops = asyncio.ensure_future(_pass_on(around.stop, events))
        try:
            sent = await _send(case, block, rates, around, events)
        except WorkerDied as error:
            await events.survivors()
            await self.aclose()
            warnings.append(_died(case, block, error, len(events.workers)))
            return Sent(None, events.measured, warnings=warnings)
        finally:
            stops.cancel()
        if events.gave_up:  # workers that were stopped stay stopped
            await self.aclose()
        warnings += [] if sent.note else warm_up_findings(case, block, events.warmed_up)
        return Sent(sent.measured, sent.tally, sent.note, warnings)


async def _send(
    case: Case, block: Block, rates: TokenRates | None, around: Surroundings, events: _WorkerEvents
) -> Sent:
    """Warm up, then measure, all workers together."""
    around.observer.phase_started(block, Phase.WARMUP)
    warmed = await events.all(messages.WarmUp(case, block, rates), messages.WarmedUp)
    if not all(w.finished for w in warmed):
        return Sent(None)
    if why := hopeless(events.warmed_up):
        return Sent(None, note=why)
    if around.before_measuring is not None:
        await around.before_measuring()
    ramp_s = 0.0 if case.load.loop == "open" else ramp_up_s(case, events.warmed_up)
    first = Phase.SETTLE if case.load.settle_s else Phase.MEASURE
    around.observer.phase_started(block, Phase.RAMP_UP if ramp_s else first)
    head_start_s = max(_HEAD_START_S, *(w.head_start_s for w in events.workers))
    start_ns = around.clock.now_ns() + round(head_start_s * NS)
    done = await events.all(messages.Measure(start_ns, ramp_s), messages.Done)
    measured = together([d.measured for d in done])
    senders = []
    for number, (worker, d, w) in enumerate(zip(events.workers, done, warmed, strict=True)):
        health, complete = d.measured.health, d.measured.complete
        seen = worker.clock(), w.server_rtt_ns, w.transport
        senders.append(SenderInfo(number, worker.machine, health, *seen, complete))
    complete = measured.complete and not events.gave_up
    measured = dataclasses.replace(measured, complete=complete, senders=tuple(senders))
    return Sent(measured, events.measured)


def _died(case: Case, block: Block, error: WorkerDied, of: int) -> RunWarning:
    return RunWarning(
        WarningCode.WORKER_DIED,
        f"block {block.number} of {case.id} broke off: {error}; it was to send 1/{of} of the "
        "block; what had ended by then is kept",
        "Was there enough memory? See the system's log, and run it again.",
        case.id,
        invalidates=True,
    )


async def _pass_on(stop: Stop, events: _WorkerEvents) -> None:
    """Forward every Ctrl-C to the workers."""
    await stop.wait_requested()
    events.stop()
    await stop.wait_at_once()
    events.stop()


_SUMMED = ("idle_s", "gc_collections", "reads", "coalesced_lines", "user_stamps", "rss_bytes")
"""Of a client's health; of the rest the worst process counts."""


def together(parts: Sequence[MeasuredPhase]) -> MeasuredPhase:
    """What several processes measured of one block, as one."""
    planned = [p.planned_arrivals for p in parts if p.planned_arrivals is not None]
    busy = [p for p in parts if p.window_end_ns > p.window_start_ns] or parts
    health: dict[str, Any] = {}
    for name in (f.name for f in dataclasses.fields(ClientHealth)):
        values = [v for p in parts if (v := getattr(p.health, name)) is not None]
        health[name] = (sum if name in _SUMMED else max)(values) if values else None
    return MeasuredPhase(
        window_start_ns=min(p.window_start_ns for p in busy),
        window_end_ns=max(p.window_end_ns for p in busy),
        planned_arrivals=sum(planned) if planned else None,
        dropped=sum(p.dropped for p in parts),
        complete=all(p.complete for p in parts),
        health=ClientHealth(**health),
    )
