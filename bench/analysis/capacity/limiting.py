"""What stands in the way of more load: read off the requests of a probe that broke its promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.capacity.judge import ProbeVerdict
from bench.analysis.capacity.promises import ERROR_RATE, ProbeOutcome, percentile_of, waited
from bench.analysis.capacity.result import Bottleneck
from bench.analysis.run.columns import Columns
from bench.analysis.run.latency import latencies
from bench.thresholds import Threshold

SURPRISING = 0.01
"""Below this probability a single user's late requests are no accident."""
ERRORS_SHARE = 0.01
"""From this share of failures on, errors are the reason, whatever else is slow."""


def broken_promise(outcome: ProbeOutcome) -> Threshold | None:
    """The promise that is broken most clearly; None if none is."""
    broken = [k for k in outcome.kept if k.verdict is ProbeVerdict.FAIL]
    if not broken:
        return None
    return min(broken, key=lambda k: k.share.kept / k.share.requests if k.share else 0.0).promise


def limiting(measured: Columns, promise: Threshold | None, gpu_share: float | None) -> Bottleneck:
    """Why a probe broke its promise."""
    return _reason(measured, promise, gpu_share)


@dataclass(frozen=True, slots=True)
class Alone:
    """What a single user, who never has another request beside its own, says of the promises.

    Attributes:
        breaks: a promise that is broken even then; "" if none is.
        limit: why.
    """

    breaks: str
    limit: Bottleneck


def alone(measured: Columns, promises: Sequence[Threshold], gpu_share: float | None) -> Alone:
    """Is a promise broken by requests that are alone in the server? Then it is at any load.

    Requests that are alone do not wait for each other, so the number of late ones is binomial; a
    promise is broken if so many would be late with a probability below 1 % were it kept.
    """
    late = {p: _late(measured, p) for p in promises}
    chance = {p: _chance(n, len(measured), _allowed(p)) for p, n in late.items()}
    worst = min(promises, key=lambda p: chance[p])
    if not len(measured) or chance[worst] >= SURPRISING:
        return Alone("", Bottleneck.NONE)
    return Alone(worst.text, _reason(measured, worst, gpu_share))


def _late(measured: Columns, promise: Threshold) -> int:
    if promise.metric == ERROR_RATE:
        return int(np.sum(~measured.ok))
    return int(np.sum(~promise.holds(waited(measured, promise))))


def _allowed(promise: Threshold) -> float:
    """The share of requests that may be late."""
    return promise.value if promise.metric == ERROR_RATE else 1 - percentile_of(promise)


def _chance(late: int, n: int, allowed: float) -> float:
    """Probability of so many late requests or more."""
    fewer = (math.comb(n, k) * allowed**k * (1 - allowed) ** (n - k) for k in range(late))
    return max(0.0, 1 - sum(fewer))


def _reason(measured: Columns, promise: Threshold | None, gpu_share: float | None) -> Bottleneck:
    """Where the time goes of requests that break a promise."""
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
