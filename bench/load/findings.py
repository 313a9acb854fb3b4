"""What went wrong inside or around a block, found in what was read before and after it."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence

from bench.clock import NS
from bench.load.client_findings import client_findings
from bench.load.tally import BlockTally
from bench.ollama.eras import LOAD_S, Era
from bench.ollama.names import same_model
from bench.results.record import RequestRecord
from bench.results.run import BlockInfo, Residency, RunWarning
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Block, Case
from bench.wire.exchange import Outcome

_ODD_FIELDS = 8
_DROPPED_SHARE = 0.01


def block_findings(
    case: Case,
    info: BlockInfo,
    measured: BlockTally,
    era: Era,
    own_models: frozenset[str] = frozenset(),
    workers: int = 1,
    kernel_stamps: bool = True,
) -> list[RunWarning]:
    """All that a reader must know of one block.

    `own_models` are those of the plan; each may stay in memory while another is measured.
    """
    window_s = (info.window_end_ns - info.window_start_ns) / NS
    client = info.health, measured.requests, workers
    return [
        *_placement(case, info, own_models),
        *_changes(case, info),
        *_errors(case, info, measured),
        *reloads(case, info, measured, era),
        *_arrivals(case, info),
        *client_findings(case, *client, window_s=window_s, kernel_stamps=kernel_stamps),
    ]


def unread_findings(unread: Mapping[str, str]) -> list[RunWarning]:
    """What was named in `telemetry` and could not be read."""
    advice = "Its numbers will be missing. Leave it out, or mend it and run again."
    said = (
        f"telemetry {k} was asked for, and nothing is read of it: {w}" for k, w in unread.items()
    )
    return [RunWarning(WarningCode.TELEMETRY_UNREAD, message, advice) for message in said]


def _placement(case: Case, info: BlockInfo, own_models: frozenset[str]) -> Iterator[RunWarning]:
    """Where and how the server put the model."""
    after = info.after
    if after is None or not after.loaded:
        return
    share = after.gpu_share
    if share is not None and 0 < share < 1:
        yield RunWarning(
            WarningCode.GPU_SPILL,
            f"only {share:.0%} of {case.model} is on the GPU, the rest is computed by the CPU",
            "Use a smaller num_ctx, fewer parallel slots or a smaller quantisation.",
            case.id,
        )
    asked = case.options.get("num_ctx")
    if isinstance(asked, int) and after.served_context not in (None, asked):
        yield RunWarning(
            WarningCode.SERVED_CONTEXT,
            f"num_ctx {asked} was asked of {case.model}, {after.served_context} is served",
            "Ask for no more than the model was trained for, "
            "or see why the server chose another value.",
            case.id,
        )
    others = [n for n in after.others if not any(same_model(n, own) for own in own_models)]
    if others:
        yield RunWarning(
            WarningCode.OTHER_MODELS,
            f"also in memory while {case.model} was measured: {', '.join(others)}",
            "They take memory, and their users take time. Unload them: ollama stop NAME",
            case.id,
        )


def _changes(case: Case, info: BlockInfo) -> Iterator[RunWarning]:
    """What is different after the block from what it was before."""
    before, after = info.before, info.after
    if before is None or after is None or case.cold or case.together:
        return
    if what := _change(before, after):
        yield RunWarning(
            WarningCode.MODEL_CHANGED,
            f"block {info.number}: {case.model} {what} between the start and the end of the block",
            "Another client or a short keep_alive is at work: the block mixes two states.",
            case.id,
            invalidates=True,
        )


def _change(before: Residency, after: Residency) -> str:
    if before.loaded != after.loaded:
        return "was evicted from memory" if before.loaded else "was loaded again"
    if before.digest != after.digest:
        return "was replaced by another version (its digest changed)"
    if before.served_context != after.served_context:
        return f"went from context {before.served_context} to {after.served_context}"
    if before.vram_bytes != after.vram_bytes and before.gpu_share != after.gpu_share:
        return "moved between GPU and CPU"
    return ""


def _errors(case: Case, info: BlockInfo, measured: BlockTally) -> Iterator[RunWarning]:
    """Failed requests, with the first one's words; and cloud models found out by their chunks."""
    if measured.failed:
        yield RunWarning(
            WarningCode.FAILED_REQUESTS,
            f"block {info.number}: {measured.failed} of {measured.requests} requests failed, "
            f"first: {measured.first_failure}",
            "Failed requests are in no latency; look at error_rate and at the server's log.",
            case.id,
            invalidates=measured.failed == measured.requests,
        )
    if measured.odd:
        counts = ", ".join(f"{name} ({n})" for name, n in measured.odd.most_common(_ODD_FIELDS))
        yield RunWarning(
            WarningCode.ODD_REPLIES,
            f"block {info.number}: what could not be read of {measured.requests} replies: {counts}",
            "Those values are missing from the numbers. A proxy, or a server that only resembles "
            "Ollama?",
            case.id,
        )
    if measured.remote:
        yield RunWarning(
            WarningCode.CLOUD_MODEL,
            f"{case.model} is answered by a cloud service, not by this server",
            "Measure a local model.",
            case.id,
            invalidates=True,
        )


def _arrivals(case: Case, info: BlockInfo) -> Iterator[RunWarning]:
    """Arrivals that were not sent."""
    if not info.dropped or not info.planned_arrivals:
        return
    share = info.dropped / info.planned_arrivals
    yield RunWarning(
        WarningCode.ARRIVALS_DROPPED,
        f"block {info.number}: {info.dropped} of {info.planned_arrivals} arrivals ({share:.1%}) "
        f"were not sent, because {case.load.max_in_flight} requests were in flight",
        "The server cannot keep up with this rate: lower it, or raise max_in_flight.",
        case.id,
        invalidates=share > _DROPPED_SHARE,
    )


SCATTER_FACTOR = 16.0
"""In median absolute deviations: how far warm requests may be from the usual one."""
CROWD_FACTOR = 4.0
"""Of the usual warm request: what those that come at once may wait for each other."""

_RUNNER_DIED = re.compile(r"unexpected EOF|unexpectedly stopped|has terminated|has died", re.I)
"""What Ollama says of a request whose runner ended under it."""
_DIED = "The runner had died: see the server's log for why."


def reload_limit_s(era: Era, users: int | None, loads_s: Sequence[float]) -> float:
    """A `load_duration` above this is a load; below it is what a warm request of the era costs.

    Where the era's warm requests are known to be quick, a block is also found out that has every
    request reload. Users (None = any number) who come together wait for each other. `loads_s` are
    those of the block's requests, at least one.
    """
    low, high = era.warm_load_s
    usual = statistics.median(loads_s)
    scatter = statistics.median(abs(load - usual) for load in loads_s)
    if high < LOAD_S and not era.assumed:
        usual, scatter = min(usual, high), min(scatter, high - low)
    limit = usual + max(LOAD_S, SCATTER_FACTOR * scatter)
    return limit if users == 1 else max(limit, high, CROWD_FACTOR * usual)


def reloads(case: Case, info: BlockInfo, measured: BlockTally, era: Era) -> Iterator[RunWarning]:
    """Requests whose load_duration says that the model was loaded for them."""
    loads = [(index, ns / NS) for index, ns in measured.loads]
    if not loads or case.cold or case.together:  # models that take turns are what is measured
        return
    limit = reload_limit_s(era, case.load.users, [seconds for _, seconds in loads])
    jumped = [(i, s) for i, s in loads if s > limit]
    if not jumped:
        return
    first, seconds = jumped[0]
    count = f"{len(jumped)} request{'s' if len(jumped) > 1 else ''} waited"
    other = "Another client with other options, or an eviction: stop it and measure again."
    yield RunWarning(
        WarningCode.RELOADED,
        f"block {info.number}: {case.model} was loaded again while it was measured "
        f"({count}; first at request {first}, {seconds:.2g} s)",
        _DIED if _RUNNER_DIED.search(measured.first_failure) else other,
        case.id,
        invalidates=True,
    )


def warm_up_findings(
    case: Case, block: Block, warmed_up: Sequence[RequestRecord]
) -> list[RunWarning]:
    """Warm-up requests that failed, though measuring went on."""
    failed = [r for r in warmed_up if r.outcome not in (Outcome.OK, Outcome.CANCELLED)]
    if not failed:
        return []
    said = [r.error or r.outcome.value for r in failed]
    died = next((text for text in said if _RUNNER_DIED.search(text)), "")
    message = (
        f"block {block.number} of {case.id}: {len(failed)} of {len(warmed_up)} warm-up requests "
        f"failed, {'one of them' if died else 'first'}: {died or said[0]}"
    )
    other = "What failed there may fail again: look at error_rate and at the server's log."
    return [RunWarning(WarningCode.WARM_UP_FAILED, message, _DIED if died else other, case.id)]
