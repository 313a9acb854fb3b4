"""Runs a plan: its blocks in order, every record into the journal, run.json after every block."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from bench.clock import Clock
from bench.errors import BenchError, ServerUnreachable
from bench.load.block import PhaseSender, Surroundings, run_block
from bench.load.findings import unread_findings
from bench.load.holding import Together
from bench.load.machine_rest import machine_at_rest
from bench.load.observer import Observer
from bench.load.stop import Stop
from bench.load.target import OpenTarget, make_room, restore_keep_alive
from bench.results.directory import RunDirectory, kept_note
from bench.results.journal import Journal
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
    tool_version: str = ""


class Grow(Protocol):
    """Decides, once all planned blocks have run, whether the plan grows by another one."""

    def __call__(
        self, info: RunInfo, records: Sequence[RequestRecord]
    ) -> tuple[Case, Block] | None:
        """The next block and its case, or None to end.

        The last block of `info` has just ended, and `records` are its own, of all phases.
        """
        ...


class PlanRunner:
    """One execution of a plan.

    Args:
        plan: what to run.
        targets: every target of the plan by name, reached and open.
        directory: where the run is kept.
        send: the sending part of every block.
        clock: tells the time.
        observer: receives what happens.
        stop: the user's wish to stop.
        preparation: what was found before.
        watched: watch this process during measured phases.
        one_at_a_time: before a block, unload the model of the block before if it is another one.
        grow: adds blocks to the plan, one at a time, when those planned have run.
        telemetry: samples the machine of local servers; None = nobody does.
    """

    def __init__(
        self,
        plan: Plan,
        targets: Mapping[str, OpenTarget],
        directory: RunDirectory,
        send: PhaseSender,
        *,
        clock: Clock,
        observer: Observer,
        stop: Stop,
        preparation: Preparation | None = None,
        watched: bool = True,
        one_at_a_time: bool = False,
        grow: Grow | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        found = preparation or Preparation()
        self._plan = plan
        self._targets = targets
        self._directory = directory
        self._send = send
        self._clock = clock
        self._observer = observer
        self._stop = stop
        self._environment = found.environment
        self._watched = watched
        self._one_at_a_time = one_at_a_time
        self._telemetry = telemetry
        self._grow = grow
        self._rest: dict[str, Any] | None = None
        self._last_records: list[RequestRecord] = []
        self.error: BenchError | None = None
        self.info = RunInfo(
            id=directory.id,
            status=RunStatus.RUNNING,
            tool_version=found.tool_version,
            created_at=_now(),
            clock=ClockInfo(clock.now_ns(), datetime.now(UTC).isoformat()),
            plan=plan,
            targets=tuple(t.info for t in targets.values()),
            models=found.models,
            warnings=found.warnings,
            transport=found.transport,
            tags=plan.tags,
        )

    async def run(self) -> RunInfo:
        """Run every block, or as many as the user lets; run.json is up to date at every moment.

        Returns:
            What run.json says in the end: `complete`, `interrupted` after a stop, or `failed` when
            the run could not go on; `error` then says why. All that was measured is kept.
        """
        self._directory.write_info(self.info)
        self._observer.run_started(self.info)
        try:
            with self._directory.journal() as journal:
                self._journal = journal
                around = Surroundings(
                    clock=self._clock,
                    origin_ns=self.info.clock.monotonic_origin_ns,
                    keep=journal.append if self._grow is None else self._keeper(journal),
                    observer=self._observer,
                    stop=self._stop,
                    before_measuring=self._take_environment,
                    before_sending=self._look_at_rest,
                    watched=self._watched,
                    own_models=frozenset(c.model for c in self._plan.cases),
                    workers=self.info.transport.workers if self.info.transport else 1,
                    formats={(m.target, m.name): m.format for m in self.info.models},
                )
                await self._run_blocks(around)
            await self._check_servers()
        except BenchError as error:
            self.error = await self._cause_of(error)
            await self._fail(RunStatus.FAILED)
            return self.info
        except Exception as defect:
            defect.add_note(kept_note(self._directory.path))
            await self._fail(RunStatus.FAILED)
            raise
        except BaseException:
            await self._fail(RunStatus.INTERRUPTED)
            raise
        await self._take_environment()
        interrupted = self._stop.requested and len(self.info.blocks) < len(self._plan.blocks)
        interrupted |= any(not b.complete for b in self.info.blocks) and self._stop.requested
        self._finish(RunStatus.INTERRUPTED if interrupted else RunStatus.COMPLETE)
        await restore_keep_alive(self._plan.cases, self._targets)
        return self.info

    async def _run_blocks(self, around: Surroundings) -> None:
        for blocks in at_once(self._plan.blocks):
            if self._stop.requested:
                return
            if len(blocks) == 1:
                await self._run_block(self._plan.case(blocks[0].case), blocks[0], around)
            else:
                await self._run_together(blocks, around)
        while self._grow is not None and not self._stop.requested:
            grown = self._grow(self.info, self._last_records)
            if grown is None:
                return
            self._add(*grown)
            await self._run_block(*grown, around)

    async def _check_servers(self) -> None:
        """A server that was started for the run must still be there when it ends.

        Raises:
            ServerUnreachable: one has ended, so requests failed for no fault of what was measured.
        """
        for target in self._targets.values():
            if why := await target.why_ended():
                raise ServerUnreachable(why, "See its log in the run directory.")

    async def _cause_of(self, error: BenchError) -> BenchError:
        """Why the run could not go on: if a server of ours has ended, then that."""
        try:
            await self._check_servers()
        except ServerUnreachable as cause:
            return cause
        return error

    async def _run_block(self, case: Case, block: Block, around: Surroundings) -> None:
        if self._one_at_a_time:
            await self._unload_other(case)
        self._last_records.clear()
        before = self._journal.count
        target = self._targets[case.target]
        ended = await run_block(case, block, target, around, self._send)
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

        both = replace(around, keep=keep, together=Together(len(blocks)))
        running = []
        for block in blocks:
            case = self._plan.case(block.case)
            running.append(run_block(case, block, self._targets[case.target], both, self._send))
        ends = await asyncio.gather(*running)
        for ended in ends:
            self._keep_block(replace(ended.info, records=counts[ended.info.index]), ended.warnings)
        if given_up:
            await make_room([self._plan.case(b.case) for b in blocks], self._targets)
        if error := next((e.error for e in ends if e.error is not None), None):
            raise error

    def _add(self, case: Case, block: Block) -> None:
        """The plan grows by a block, and by its case unless it is known."""
        cases = self._plan.cases
        if all(known.id != case.id for known in cases):
            cases = (*cases, case)
        self._plan = replace(self._plan, cases=cases, blocks=(*self._plan.blocks, block))
        self.info = replace(self.info, plan=self._plan)

    def _keeper(self, journal: Journal) -> Callable[[RequestRecord], None]:
        def keep(record: RequestRecord) -> None:
            journal.append(record)
            self._last_records.append(record)

        return keep

    async def _unload_other(self, case: Case) -> None:
        """Make room: unload the model of the block before, unless this block goes on with it."""
        if not self.info.blocks:
            return
        before = self._plan.case(self.info.blocks[-1].case)
        if (before.target, before.model) != (case.target, case.model):
            await self._targets[before.target].control.unload(before.model)

    def _keep_block(self, info: BlockInfo, warnings: list[RunWarning]) -> None:
        """Write a block down before the next one begins."""
        if self._telemetry is not None:
            origin_ns = self.info.clock.monotonic_origin_ns
            case = self._plan.case(info.case)
            samples = self._telemetry.between(case.target, info.start_ns, info.end_ns, origin_ns)
            info = replace(info, utilisation=samples)
            if not self.info.blocks:
                warnings = [*warnings, *unread_findings(self._telemetry.unread())]
        for warning in warnings:
            self._observer.warned(warning)
        self.info = replace(
            self.info,
            blocks=(*self.info.blocks, info),
            warnings=tuple(dict.fromkeys((*self.info.warnings, *warnings))),
        )
        self._directory.write_info(self.info)
        self._observer.block_ended(info)

    async def _look_at_rest(self, case: Case, target: OpenTarget, loaded: Residency | None) -> None:
        """Once: what the server's machine draws and reads while nothing is asked of it."""
        if self._telemetry is None or self._rest is not None:
            return
        self._rest = {}
        rest = machine_at_rest(
            self._telemetry, case.target, target.info, loaded, self._clock.now_ns
        )
        self._rest = await self._stop.or_stopped(rest) or {}

    async def _take_environment(self) -> None:
        """Wait for the environment, once."""
        if self._environment is None:
            return
        environment, self._environment = self._environment, None
        self.info = replace(self.info, environment=await environment | (self._rest or {}))
        self._directory.write_info(self.info)

    async def _fail(self, status: RunStatus) -> None:
        """Write down that and why the run ended; its error matters more than a failure to write."""
        if self.error is not None:
            said = self.error
            warning = RunWarning(
                WarningCode.RUN_FAILED, said.message, said.advice, invalidates=True
            )
            self.info = replace(self.info, warnings=(*self.info.warnings, warning))
        with contextlib.suppress(Exception):
            await self._take_environment()
        with contextlib.suppress(BenchError):
            self._finish(status)

    def _finish(self, status: RunStatus) -> None:
        environment = self.info.environment | (self._rest or {})
        if self._telemetry is not None:
            environment = environment | {"telemetry": self._telemetry.status()}
        self.info = replace(self.info, status=status, finished_at=_now(), environment=environment)
        self._directory.write_info(self.info)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
