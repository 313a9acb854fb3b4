"""What one probe of a search for capacity has shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.capacity.probe import Probe
from bench.analysis.capacity.promises import ERROR_RATE, ProbeOutcome
from bench.analysis.capacity.result import ProbeResult, PromiseResult
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
