"""What went wrong inside or around a block, found in what was read before and after it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from bench.clock import NS
from bench.ollama.exchange import Outcome
from bench.ollama.names import same_model
from bench.results.record import RequestRecord
from bench.results.run import BlockInfo, ClientHealth, Residency, RunWarning
from bench.scenario.plan import Case

RELOAD_S = 1.0
"""A load_duration above this inside a measured phase is a load: warm ones stay below 0.6 s in all
recorded versions."""

_RELOAD_FACTOR = 5.0
_DROPPED_SHARE = 0.01
_LAG_P99_MS = 20.0
_LATE_P99_MS = 5.0
_LATE_INVALID_MS = 100.0
_CPU_SHARE = 0.9
_COALESCED_SHARE = 0.05
_USER_STAMPS_SHARE = 0.01


def block_findings(
    case: Case,
    info: BlockInfo,
    records: Sequence[RequestRecord],
    own_models: frozenset[str] = frozenset(),
) -> list[RunWarning]:
    """All that a reader must know of one block.

    Args:
        case: of the block.
        info: the block, without its notes.
        records: of its measured phase.
        own_models: those of the plan; each may stay in memory while another is measured.
    """
    found = [*_placement(case, info, own_models), *_changes(case, info), *_errors(case, records)]
    if not case.cold:
        found += _reloads(case, records)
    return [*found, *_arrivals(case, info), *_client(case, info.health, len(records))]


def _placement(case: Case, info: BlockInfo, own_models: frozenset[str]) -> list[RunWarning]:
    """Where and how the server put the model."""
    after = info.after
    if after is None or not after.loaded:
        return []
    found = []
    share = after.gpu_share
    if share is not None and 0 < share < 1:
        found.append(
            RunWarning(
                "gpu_spill",
                f"only {share:.0%} of {case.model} is on the GPU, the rest is computed by the CPU",
                "Use a smaller num_ctx, fewer parallel slots or a smaller quantisation.",
                case.id,
            )
        )
    asked = case.options.get("num_ctx")
    if isinstance(asked, int) and after.served_context not in (None, asked):
        found.append(
            RunWarning(
                "served_context",
                f"num_ctx {asked} was asked of {case.model}, {after.served_context} is served",
                "Ask for no more than the model was trained for, "
                "or see why the server chose another value.",
                case.id,
            )
        )
    others = [n for n in after.others if not any(same_model(n, own) for own in own_models)]
    if others:
        found.append(
            RunWarning(
                "other_models",
                f"also in memory while {case.model} was measured: {', '.join(others)}",
                "They take memory, and their users take time. Unload them: ollama stop NAME",
                case.id,
            )
        )
    return found


def _changes(case: Case, info: BlockInfo) -> list[RunWarning]:
    """What is different after the block from what it was before."""
    before, after = info.before, info.after
    if before is None or after is None or case.cold:
        return []
    what = _change(before, after)
    if not what:
        return []
    return [
        RunWarning(
            "model_changed",
            f"block {info.index}: {case.model} {what} between the start and the end of the block",
            "Another client or a short keep_alive is at work: the block mixes two states.",
            case.id,
            invalidates=True,
        )
    ]


def _change(before: Residency, after: Residency) -> str:
    if before.loaded and not after.loaded:
        return "was evicted from memory"
    if before.digest != after.digest:
        return "was replaced by another version (its digest changed)"
    if before.served_context != after.served_context:
        return f"went from context {before.served_context} to {after.served_context}"
    if before.vram_bytes != after.vram_bytes and before.gpu_share != after.gpu_share:
        return "moved between GPU and CPU"
    return ""


def _reloads(case: Case, records: Sequence[RequestRecord]) -> list[RunWarning]:
    """Requests whose load_duration says that the model was loaded for them."""
    loads = [
        (r, r.server.load_duration / NS) for r in records if r.server.load_duration is not None
    ]
    if not loads:
        return []
    usual = statistics.median(seconds for _, seconds in loads)
    jumped = [(r, s) for r, s in loads if s > max(RELOAD_S, _RELOAD_FACTOR * usual)]
    if not jumped:
        return []
    first, seconds = jumped[0]
    return [
        RunWarning(
            "reloaded",
            f"block {first.block}: {case.model} was loaded again while it was measured "
            f"({len(jumped)} requests waited; first at request {first.index}, {seconds:.1f} s)",
            "Another client with other options, or an eviction: stop it and measure again.",
            case.id,
            invalidates=True,
        )
    ]


def _errors(case: Case, records: Sequence[RequestRecord]) -> list[RunWarning]:
    """Failed requests, with the first one's words; and cloud models found out by their chunks."""
    found = []
    failed = [r for r in records if r.outcome not in (Outcome.OK, Outcome.CANCELLED)]
    if failed:
        said = failed[0].error or failed[0].outcome.value
        found.append(
            RunWarning(
                "failed_requests",
                f"block {failed[0].block}: {len(failed)} of {len(records)} requests failed, "
                f"first: {said}",
                "Failed requests are in no latency; look at error_rate and at the server's log.",
                case.id,
                invalidates=len(failed) == len(records),
            )
        )
    if any(r.remote_model for r in records):
        found.append(
            RunWarning(
                "cloud_model",
                f"{case.model} is answered by a cloud service, not by this server",
                "Measure a local model.",
                case.id,
                invalidates=True,
            )
        )
    return found


def _arrivals(case: Case, info: BlockInfo) -> list[RunWarning]:
    """Arrivals that were not sent."""
    if not info.dropped or not info.planned_arrivals:
        return []
    share = info.dropped / info.planned_arrivals
    return [
        RunWarning(
            "arrivals_dropped",
            f"block {info.index}: {info.dropped} of {info.planned_arrivals} arrivals ({share:.1%}) "
            f"were not sent, because {case.load.max_in_flight} requests were in flight",
            "The server cannot keep up with this rate: lower it, or raise max_in_flight.",
            case.id,
            invalidates=share > _DROPPED_SHARE,
        )
    ]


def _client(case: Case, health: ClientHealth, requests: int) -> list[RunWarning]:
    """Whether this process may have bent a number."""
    found = []
    late = health.send_late_p99_ms
    if late is not None and late > _LATE_P99_MS:
        found.append(
            RunWarning(
                "late_sends",
                f"requests were sent up to {late:.1f} ms late (p99)",
                "This machine is too busy: stop other work, or use --workers auto.",
                case.id,
                invalidates=late > _LATE_INVALID_MS,
            )
        )
    lag = health.loop_lag_p99_ms
    if lag is not None and lag > _LAG_P99_MS:
        found.append(
            RunWarning(
                "client_lag",
                f"this program was up to {lag:.0f} ms late in its own work (p99)",
                "Other work on this machine slows it: stop that, or measure from another machine.",
                case.id,
            )
        )
    if health.cpu_share is not None and health.cpu_share > _CPU_SHARE:
        found.append(
            RunWarning(
                "client_cpu",
                f"this program used {health.cpu_share:.0%} of a core: it may be the bottleneck",
                "Use --workers auto.",
                case.id,
            )
        )
    lines = health.reads + health.coalesced_lines
    # The done line mostly comes right behind the last token, and bends nothing.
    shared = health.coalesced_lines - requests
    if lines and shared > _COALESCED_SHARE * lines:
        found.append(
            RunWarning(
                "coalesced",
                f"{shared / lines:.0%} of the chunks shared a read with another, "
                "so their gaps are not exact",
                "The server sends in bursts or this machine is too busy; TTFT and totals stand.",
                case.id,
            )
        )
    if lines and health.user_stamps > _USER_STAMPS_SHARE * lines:
        found.append(
            RunWarning(
                "user_stamps",
                f"{health.user_stamps / lines:.0%} of the reads have no kernel time stamp",
                "Their times hold this program's own delays (see loop lag).",
                case.id,
            )
        )
    return found
