"""What one probe of a search for capacity has shown, and what stands in the way of more load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.capacity.judge import ProbeVerdict
from bench.analysis.capacity.probe import Probe
from bench.analysis.capacity.promises import (
    ERROR_RATE,
    ProbeOutcome,
    PromiseAtProbe,
    percentile_of,
    waited,
)
from bench.analysis.capacity.result import Bottleneck, ProbeResult, PromiseResult
from bench.analysis.run.case_data import goodness
from bench.analysis.run.columns import Columns
from bench.analysis.run.latency import latencies
from bench.results.run import BlockInfo
from bench.stats.queueing import mean_wait_s
from bench.thresholds import Threshold

_NS = 1e9


@dataclass(frozen=True, slots=True)
class JudgedProbe:
    """A probe that has been run.

    Attributes:
        measured: all requests of its measured phase, failed ones too.
        block: of the run, as it was run.
        judged: how many requests, or turns of sessions, were judged.
    """

    probe: Probe
    outcome: ProbeOutcome
    measured: Columns
    block: BlockInfo
    judged: int


def probe_result(j: JudgedProbe, promises: Sequence[Threshold], slots: int | None) -> ProbeResult:
    """The numbers of a probe.

    The wait is modelled (`mean_wait_s`) only where `slots` are known.
    """
    served = j.measured.select(j.measured.ok)
    times = latencies(served)
    seconds = window_s(j.block)
    service, ttft, waits = (
        v[~np.isnan(v)]
        for v in (times["prompt_eval_s"] + times["eval_s"], times["ttft_s"], times["queue_s"])
    )
    mean = float(service.mean()) if len(service) else None
    cv2 = float(service.var() / service.mean() ** 2) if len(service) else None
    modelled = None
    if slots is not None and mean is not None and cv2 is not None:
        wait_s = mean_wait_s(slots, j.probe.load, mean, cv2_service=cv2)
        modelled = wait_s if math.isfinite(wait_s) else None
    return ProbeResult(
        block=j.block.index,
        case=j.block.case,
        load=j.probe.load,
        purpose=str(j.probe.purpose),
        extension=j.probe.extension,
        verdict=str(j.outcome.verdict),
        growing=j.outcome.growing,
        requests=j.judged,
        settle=min(j.probe.settle, len(j.measured)),
        duration_s=seconds,
        tok_per_s=float(np.nansum(served.output_tokens)) / seconds,
        goodput_per_s=_in_time(served, promises) / seconds,
        kept=tuple(PromiseResult.of(k) for k in j.outcome.kept),
        ttft_p50_s=float(np.quantile(ttft, 0.5)) if len(ttft) else None,
        ttft_p95_s=float(np.quantile(ttft, 0.95)) if len(ttft) else None,
        queue_mean_s=float(waits.mean()) if len(waits) else None,
        service_mean_s=mean,
        service_cv2=cv2,
        modelled_wait_s=modelled,
    )


def _in_time(served: Columns, promises: Sequence[Threshold]) -> int:
    """How many requests broke no promised time; one that has no such time breaks none."""
    timed = [p for p in promises if p.metric != ERROR_RATE]
    good, without = goodness(latencies(served), timed, len(served))
    return int((good | without).sum()) if timed else len(served)


def window_s(block: BlockInfo) -> float:
    """Length of a block's measured window in seconds; above 0, to be divided by."""
    return max((block.window_end_ns - block.window_start_ns) / _NS, 1e-9)


SURPRISING = 0.01
"""Below this probability a single user's late requests are no accident."""
ERRORS_SHARE = 0.01
"""From this share of failures on, errors are the reason, whatever else is slow."""


def broken_promise(outcome: ProbeOutcome) -> Threshold | None:
    """The promise that is broken most clearly; None if none is."""
    broken = [k for k in outcome.kept if k.verdict is ProbeVerdict.FAIL]
    return max(broken, key=_times_too_many).promise if broken else None


def _times_too_many(kept: PromiseAtProbe) -> float:
    """How many times more requests were late, or failed, than may."""
    wrong = kept.bound.value if kept.share is None else 1 - (kept.in_time or 0.0)
    return wrong / max(allowed_share(kept.promise), 1e-9)


def alone(
    measured: Columns, promises: Sequence[Threshold], gpu_share: float | None
) -> tuple[str, Bottleneck]:
    """The promise that a single user's requests break, and why; "" if they break none.

    Alone in the server, they have no other request beside them, so it is broken at any load.

    Requests that are alone do not wait for each other, so the number of late ones is binomial; a
    promise is broken if so many would be late with a probability below 1 % were it kept.
    """
    chance = {p: _chance(measured, p) for p in promises}
    worst = min(promises, key=lambda p: chance[p])
    if chance[worst] >= SURPRISING:
        return "", Bottleneck.NONE
    return worst.text, limiting(measured, worst, gpu_share)


def allowed_share(promise: Threshold) -> float:
    """The share of requests that may be late, or fail."""
    return promise.value if promise.metric == ERROR_RATE else 1 - percentile_of(promise)


def _chance(measured: Columns, promise: Threshold) -> float:
    """Probability of so many late requests (or turns) or more, if the promise is kept."""
    if promise.metric == ERROR_RATE:
        late = ~measured.ok
    else:
        late = ~promise.holds(waited(measured, promise))
    n, count, allowed = len(late), int(late.sum()), allowed_share(promise)
    if not allowed:
        return float(count == 0)
    fewer = (
        math.log(math.comb(n, k)) + k * math.log(allowed) + (n - k) * math.log1p(-allowed)
        for k in range(count)
    )
    return max(0.0, 1 - sum(map(math.exp, fewer)))


def limiting(measured: Columns, promise: Threshold | None, gpu_share: float | None) -> Bottleneck:
    """Why a probe broke its promise: where the time goes of its requests."""
    broken = promise.metric if promise is not None else ""
    if broken == ERROR_RATE or np.mean(~measured.ok) > ERRORS_SHARE:
        return Bottleneck.ERRORS
    if gpu_share is not None and 0 < gpu_share < 1:
        return Bottleneck.SPILL
    if broken in ("tpot_s", "eval_s"):
        return Bottleneck.DECODE
    times = latencies(measured.select(measured.ok))
    parts = {Bottleneck.SLOTS: "queue_s", Bottleneck.PREFILL: "prompt_eval_s"}
    if broken in ("e2e_s", "total_s"):
        parts[Bottleneck.DECODE] = "eval_s"
    return max(parts, key=lambda part: float(np.nansum(times[parts[part]])))
