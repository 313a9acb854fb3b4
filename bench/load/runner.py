"""Runs a plan: its blocks in order, every record into the journal, run.json after every block."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bench._version import __version__
from bench.clock import Clock
from bench.errors import BenchError, ServerUnreachable
from bench.load.block import BlockEnd, PhaseSender, run_block
from bench.load.findings import unread_findings
from bench.load.holding import Together
from bench.load.machine_rest import machine_at_rest
from bench.load.observer import Observer
from bench.load.sender import Surroundings
from bench.load.stop import Stop
from bench.load.target import OpenTarget, make_room, restore_keep_alive
from bench.results.directory import RunDirectory, kept_note
from bench.results.record import RequestRecord
from bench.results.run import (
    BlockInfo,
    ClockInfo,
    ModelInfo,
    Residency,
    RunInfo,
    RunStatus,
    RunWarning,
    TransportInfo,
)
from bench.results.warning_codes import WarningCode
from bench.scenario.order import at_once
from bench.scenario.plan import Block, Case, Plan
from bench.telemetry.sampling import Telemetry
from bench.wire.exchange import Outcome


@dataclass(frozen=True, slots=True)
class Preparation:
    """What was found before the start, for run.json.

    Attributes:
        environment: collected while the first model warms up; awaited before the first
            measurement, so that it disturbs none.
    """

    models: tuple[ModelInfo, ...] = ()
    warnings: tuple[RunWarning, ...] = ()
    transport: TransportInfo | None = None
    environment: Awaitable[dict[str, Any]] | None = None


Grow = Callable[[RunInfo, Sequence[RequestRecord]], tuple[Case, Block] | None]
"""Called once all planned blocks have run: the next block and its case, or None to end.

The last block of the info has just ended, and the records are its own, of all phases.
"""


@dataclass(eq=False)
class PlanRunner:
    """One execution of a plan.

    Attributes:
        targets: every target of the plan by name, reached and open.
        watched: watch this process during measured phases.
        one_at_a_time: before a block, unload the model of the block before if it is another one.
        grow: adds blocks to the plan, one at a time, when those planned have run.
        telemetry: samples the machine of local servers; None = nobody does.
    """

    plan: Plan
    targets: Mapping[str, OpenTarget]
    directory: RunDirectory
    send: PhaseSender
    _: KW_ONLY
    clock: Clock
    observer: Observer
    stop: Stop
    preparation: Preparation = Preparation()
    watched: bool = True
    one_at_a_time: bool = False
    grow: Grow | None = None
    telemetry: Telemetry | None = None
    error: BenchError | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        found, now = self.preparation, datetime.now(UTC).isoformat()
        self._environment = found.environment
        self._rest: dict[str, Any] = {}
        self._resting: asyncio.Future[dict[str, Any] | None] | None = None
        self._last_records: list[RequestRecord] = []
        self.info = RunInfo(
            id=self.directory.id,
            status=RunStatus.RUNNING,
            tool_version=__version__,
            created_at=_now(),
            clock=ClockInfo(self.clock.now_ns(), now),
            plan=self.plan,
            targets=tuple(t.info for t in self.targets.values()),
            models=found.models,
            warnings=found.warnings,
            transport=found.transport,
            tags=self.plan.tags,
        )

    async def run(self) -> RunInfo:
        """Run every block, or as many as the user lets; run.json is up to date at every moment.

        Returns:
            What run.json says in the end: `complete`, `interrupted` after a stop, or `failed` when
            the run could not go on; `error` then says why. All that was measured is kept.
        """
        self.directory.write_info(self.info)
        self.observer.run_started(self.info)
        try:
            with self.directory.journal() as journal:
                self._journal = journal
                around = Surroundings(
                    clock=self.clock,
                    origin_ns=self.info.clock.monotonic_origin_ns,
                    keep=self._keep,
                    observer=self.observer,
                    stop=self.stop,
                    before_measuring=self._take_environment,
                    before_sending=self._look_at_rest,
                    watched=self.watched,
                    own_models=frozenset(c.model for c in self.plan.cases),
                    workers=self.info.transport.workers if self.info.transport else 1,
                    formats={(m.target, m.name): m.format for m in self.info.models},
                )
                await self._run_blocks(around)
            if ended := await self._server_that_ended():
                raise ended
        except BenchError as error:
            self.error = await self._server_that_ended() or error
            await self._fail(RunStatus.FAILED)
            return self.info
        except Exception as defect:
            defect.add_note(kept_note(self.directory.path))
            await self._fail(RunStatus.FAILED)
            raise
        except BaseException:
            await self._fail(RunStatus.INTERRUPTED)
            raise
        await self._take_environment()
        interrupted = self.stop.requested and len(self.info.blocks) < len(self.plan.blocks)
        interrupted |= any(not b.complete for b in self.info.blocks) and self.stop.requested
        self._finish(RunStatus.INTERRUPTED if interrupted else RunStatus.COMPLETE)
        await restore_keep_alive(self.plan.cases, self.targets)
        return self.info

    async def _run_blocks(self, around: Surroundings) -> None:
        for blocks in at_once(self.plan.blocks):
            if self.stop.requested:
                return
            if len(blocks) == 1:
                await self._run_block(self.plan.case(blocks[0].case), blocks[0], around)
            else:
                await self._run_together(blocks, around)
        while self.grow is not None and not self.stop.requested:
            grown = self.grow(self.info, self._last_records)
            if grown is None:
                return
            self._add(*grown)
            await self._run_block(*grown, around)

    async def _server_that_ended(self) -> BenchError | None:
        """An error if one that was started for the run is gone: requests failed because of that."""
        for target in self.targets.values():
            if why := await target.why_ended():
                return ServerUnreachable(why, "See its log in the run directory.")
        return None

    async def _run_block(self, case: Case, block: Block, around: Surroundings) -> None:
        if self.one_at_a_time:
            await self._unload_other(case)
        self._last_records.clear()
        before = self._journal.count
        target = self.targets[case.target]
        ended = await run_block(case, block, target, around, self.send)
        counted = replace(ended.info, records=self._journal.count - before)
        self._keep_block(counted, ended.warnings)
        if ended.error is not None:
            raise ended.error

    async def _run_together(self, blocks: Sequence[Block], around: Surroundings) -> None:
        """Blocks that run at the same time: they begin and end to measure together."""
        counts: Counter[int] = Counter()
        given_up = False

        def keep(record: RequestRecord) -> None:
            nonlocal given_up
            counts[record.block] += 1
            given_up |= record.outcome is Outcome.TIMEOUT
            around.keep(record)

        together = Together(len(blocks))
        both = replace(around, keep=keep, together=together)

        async def run(block: Block) -> BlockEnd:
            case = self.plan.case(block.case)
            try:
                return await run_block(case, block, self.targets[case.target], both, self.send)
            finally:
                together.leave(block.index)

        ends = await asyncio.gather(*map(run, blocks), return_exceptions=True)
        for ended in ends:  # one that cannot be run takes nothing from the others
            if isinstance(ended, BlockEnd):
                counted = replace(ended.info, records=counts[ended.info.index])
                self._keep_block(counted, ended.warnings)
        if given_up:
            await make_room([self.plan.case(b.case) for b in blocks], self.targets)
        for ended in ends:
            error = ended.error if isinstance(ended, BlockEnd) else ended
            if error is not None:
                raise error

    def _add(self, case: Case, block: Block) -> None:
        """The plan grows by a block, and by its case unless it is known."""
        cases = self.plan.cases
        if all(known.id != case.id for known in cases):
            cases = (*cases, case)
        self.plan = replace(self.plan, cases=cases, blocks=(*self.plan.blocks, block))
        self.info = replace(self.info, plan=self.plan)

    def _keep(self, record: RequestRecord) -> None:
        self._journal.append(record)
        if self.grow is not None:
            self._last_records.append(record)

    async def _unload_other(self, case: Case) -> None:
        """Make room: unload the model of the block before, unless this block goes on with it."""
        if not self.info.blocks:
            return
        before = self.plan.case(self.info.blocks[-1].case)
        if (before.target, before.model) != (case.target, case.model):
            await self.targets[before.target].control.unload(before.model)

    def _keep_block(self, info: BlockInfo, warnings: list[RunWarning]) -> None:
        """Write a block down before the next one begins."""
        if self.telemetry is not None:
            origin_ns = self.info.clock.monotonic_origin_ns
            case = self.plan.case(info.case)
            samples = self.telemetry.between(case.target, info.start_ns, info.end_ns, origin_ns)
            info = replace(info, utilisation=samples)
            if not self.info.blocks:
                warnings = [*warnings, *unread_findings(self.telemetry.unread())]
        for warning in warnings:
            self.observer.warned(warning)
        self.info = replace(
            self.info,
            blocks=(*self.info.blocks, info),
            warnings=tuple(dict.fromkeys((*self.info.warnings, *warnings))),
        )
        self.directory.write_info(self.info)
        self.observer.block_ended(info)

    async def _look_at_rest(self, case: Case, target: OpenTarget, loaded: Residency | None) -> None:
        """Once: what the server's machine draws and reads while nothing is asked of it.

        Blocks that run at the same time all wait for it.
        """
        if self.telemetry is None:
            return
        if self._resting is None:
            now_ns = self.clock.now_ns
            rest = machine_at_rest(self.telemetry, case.target, target.info, loaded, now_ns)
            self._resting = asyncio.ensure_future(self.stop.or_stopped(rest))
        self._rest = await self._resting or {}

    async def _take_environment(self) -> None:
        """Wait for the environment, once."""
        if self._environment is None:
            return
        environment, self._environment = self._environment, None
        self.info = replace(self.info, environment=await environment | self._rest)
        self.directory.write_info(self.info)

    async def _fail(self, status: RunStatus) -> None:
        """Write down that and why the run ended; its error matters more than a failure to write."""
        if self.error is not None:
            words = self.error.message, self.error.advice
            warning = RunWarning(WarningCode.RUN_FAILED, *words, invalidates=True)
            self.info = replace(self.info, warnings=(*self.info.warnings, warning))
        with contextlib.suppress(Exception):
            await self._take_environment()
        with contextlib.suppress(BenchError):
            self._finish(status)

    def _finish(self, status: RunStatus) -> None:
        environment = self.info.environment | self._rest
        if self.telemetry is not None:
            environment = environment | {"telemetry": self.telemetry.status()}
        self.info = replace(self.info, status=status, finished_at=_now(), environment=environment)
        self.directory.write_info(self.info)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
