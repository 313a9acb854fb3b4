"""What stands in the way of more load: read off the requests of a probe that broke its promise."""

from __future__ import annotations

import numpy as np

from bench.analysis.capacity.judge import Verdict
from bench.analysis.capacity.promises import ERROR_RATE, ProbeOutcome
from bench.analysis.capacity.result import Limit
from bench.analysis.columns import Columns
from bench.analysis.latency import latencies

ERRORS_SHARE = 0.01
"""From this share of failures on, errors are the reason, whatever else is slow."""


def broken_promise(outcome: ProbeOutcome) -> str:
    """The promise that is broken most clearly; "" if none is."""
    broken = [k for k in outcome.kept if k.verdict is Verdict.FAIL]
    if not broken:
        return ""
    return min(broken, key=lambda k: k.share.kept / k.share.requests if k.share else 0.0).promise


def limiting(measured: Columns, outcome: ProbeOutcome, gpu_share: float | None) -> Limit:
    """Why a probe broke its promise.

    Args:
        measured: the probe's measured requests.
        outcome: its judgement.
        gpu_share: of the model after the probe; None = unknown.
    """
    promise = broken_promise(outcome)
    if promise.startswith(ERROR_RATE) or np.mean(~measured.ok) > ERRORS_SHARE:
        return Limit.ERRORS
    if gpu_share is not None and 0 < gpu_share < 1:
        return Limit.SPILL
    if promise.startswith(("tpot_s", "eval_s")):
        return Limit.DECODE
    times = latencies(measured.select(measured.ok))
    parts = {Limit.SLOTS: "queue_s", Limit.PREFILL: "prompt_eval_s"}
    if promise.startswith(("e2e_s", "total_s")):
        parts[Limit.DECODE] = "eval_s"
    return max(parts, key=lambda part: float(np.nansum(times[parts[part]])))
