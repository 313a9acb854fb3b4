"""One block: get the model ready, warm up, measure, and look at what the server did meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from bench.errors import ModelError, ServerError
from bench.load.findings import block_findings, warm_up_findings
from bench.load.holding import at_once
from bench.load.measure import MeasuredPhase, measure_cold, put_on
from bench.load.sender import Sender, Surroundings
from bench.load.tally import BlockTally
from bench.load.target import OpenTarget, look
from bench.load.warming import ramp_up_s, warm_up
from bench.load.watch import quiet
from bench.load.workload import BlockWorkload
from bench.ollama.eras import era_of
from bench.results.record import RequestRecord
from bench.results.run import BlockInfo, Residency, RunWarning
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Block, Case
from bench.wire.exchange import Outcome

LOADED_AT_ONCE_NS = 1_000_000_000
"""A preload quicker than this found its model in memory."""

_CONNECTIONS_AHEAD = 128


@dataclass(frozen=True, slots=True)
class Sent:
    """What the sending part of a block leaves behind.

    Attributes:
        measured: None if it never came to measuring; `note` says why.
        tally: of the measured requests.
    """

    measured: MeasuredPhase | None
    tally: BlockTally = field(default_factory=BlockTally)
    note: str = ""
    warnings: Sequence[RunWarning] = ()


PhaseSender = Callable[[Case, Block, OpenTarget, Surroundings], Awaitable[Sent]]
"""Warms up and measures a block: in this process, or shared out to several."""


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """A block that has ended, and why no further one can be run, if so."""

    info: BlockInfo
    warnings: list[RunWarning]
    error: ServerError | None = None


async def run_block(
    case: Case, block: Block, target: OpenTarget, around: Surroundings, send: PhaseSender
) -> BlockEnd:
    """Run one block.

    `/api/ps` is read before the warm-up and after the last answer, never in between.

    Raises:
        ServerError: the server cannot be used, and nothing of the block was sent.
        ResultsError: a record could not be kept.
    """

    def now_ns() -> int:
        return around.clock.now_ns() - around.origin_ns

    start_ns = now_ns()
    around.observer.block_started(block, case)
    try:
        ready = await around.stop.or_stopped(_get_ready(case, target))
    except ModelError as error:
        at = now_ns()
        info = BlockInfo(block.index, case.id, start_ns, at, at, at, complete=False)
        what = f"{case.model} could not be loaded: {error.message}"
        failed = RunWarning(WarningCode.LOAD_FAILED, what, error.advice, case.id, invalidates=True)
        return BlockEnd(replace(info, notes=(error.message,)), [failed])
    load_ns, before = ready or (None, None)
    if ready and around.together is not None:
        await around.together.meet("loaded", block.index)
    if ready and around.before_sending is not None:
        await around.before_sending(case, target, before)
    try:
        sent = await send(case, block, target, around) if ready else Sent(None)
    finally:
        if around.together is not None:
            around.together.leave(block.index)
    after, version, lost = None, "", None
    try:
        after = await look(target.control, case.model)
        version = (await target.control.version()).version
    except ServerError as error:
        lost = error if after is None else None
    end_ns = now_ns()
    measured = sent.measured or MeasuredPhase(end_ns, end_ns, complete=False)
    info = BlockInfo(
        block.index,
        case.id,
        start_ns,
        end_ns,
        measured.window_start_ns,
        measured.window_end_ns,
        load_ns=load_ns,
        before=before,
        after=after,
        planned_arrivals=measured.planned_arrivals,
        dropped=measured.dropped,
        health=measured.health,
        complete=measured.complete,
        senders=measured.senders,
    )
    warnings = _warnings(case, block, target, around, sent, info)
    notes = tuple(w.message for w in warnings)
    info = replace(info, notes=notes, server_version=version)
    return BlockEnd(info, [*warnings, *target.notes()], lost)


def _warnings(
    case: Case, block: Block, target: OpenTarget, around: Surroundings, sent: Sent, info: BlockInfo
) -> list[RunWarning]:
    era = era_of(target.info.version, around.formats.get((case.target, case.model)) or "gguf")
    used = {s.transport for s in info.senders if s.transport} or {target.transport.name}
    stamps = used == {"kernel"}
    found = [
        *sent.warnings,
        *block_findings(case, info, sent.tally, era, around.own_models, around.workers, stamps),
    ]
    if sent.note and not around.stop.requested:
        message = f"block {block.number} of {case.id} was not measured: {sent.note}"
        found.insert(
            0, RunWarning(WarningCode.NOT_MEASURED, message, "", case.id, invalidates=True)
        )
    return found


async def _get_ready(case: Case, target: OpenTarget) -> tuple[int | None, Residency | None]:
    """Load the model with the block's options; how long it took, and where it is then.

    A cold case begins with the model unloaded instead.
    """
    if case.cold:
        await target.control.unload(case.model)
        return None, await look(target.control, case.model)
    before = await look(target.control, case.model)
    took_ns = await target.control.preload(
        case.model,
        case.options,
        case.keep_alive,
        case.timeouts.first_byte_s,
        **({"embed": True} if case.endpoint == "embed" else {}),
    )
    resident = (before is None or before.loaded) and took_ns < LOADED_AT_ONCE_NS
    return None if resident else took_ns, await look(target.control, case.model)


WorkloadOf = Callable[[Case, Block, OpenTarget], Coroutine[Any, Any, BlockWorkload]]
"""What a block sends; asked for when its model is loaded."""


def send_here(workload_of: WorkloadOf) -> PhaseSender:
    """The sending part in this process."""

    async def send(case: Case, block: Block, target: OpenTarget, around: Surroundings) -> Sent:
        await target.transport.open(connections_wanted(case))
        load = await around.stop.or_stopped(workload_of(case, block, target))
        if load is None:
            return Sent(None)
        warnings = uncalibrated(case, load.uncalibrated)
        sender = Sender(case, block, target.transport, around)
        if not await warm_up(sender, load.make, case.warmup):
            return Sent(None, warnings=warnings)
        if why := hopeless(sender.warmed_up):
            return Sent(None, note=why, warnings=warnings)
        warnings += warm_up_findings(case, block, sender.warmed_up)
        if around.before_measuring is not None:
            await around.before_measuring()
        release = at_once
        if around.together is not None:
            await around.together.meet("measure", block.index)
            release = partial(around.together.meet, "end", block.index)
        with quiet(target.transport.name != "httpx" and around.watched):
            if case.cold:
                unload = partial(target.control.unload, case.model)
                measured = await measure_cold(sender, load.make, unload)
            else:
                start_ns, ramp_s = around.clock.now_ns(), ramp_up_s(case, sender.warmed_up)
                measured = await put_on(sender, load, start_ns, ramp_s, release)
        return Sent(measured, sender.measured, warnings=warnings)

    return send


def hopeless(warmed_up: Sequence[RequestRecord]) -> str:
    """Why measuring makes no sense after this warm-up, or "" if it does."""
    if not warmed_up or any(r.outcome is Outcome.OK for r in warmed_up):
        return ""
    first = warmed_up[0]
    return f"every warm-up request failed, first: {first.error or first.outcome}"


def uncalibrated(case: Case, why: str) -> list[RunWarning]:
    """A warning if the prompts could not be made to length."""
    if not why:
        return []
    message = f"prompts for {case.model} are only roughly as long as asked for: {why}"
    advice = "See prompt_tokens for their real lengths."
    return [RunWarning(WarningCode.NOT_CALIBRATED, message, advice, case.id)]


def connections_wanted(case: Case) -> int:
    """How many connections to open beforehand."""
    if case.load.loop == "closed":
        return case.load.users or 1
    return min(case.load.max_in_flight, _CONNECTIONS_AHEAD)
