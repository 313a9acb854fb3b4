"""What stands in the way of more load: read off the requests of a probe that broke its promise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.capacity.judge import Verdict
from bench.analysis.capacity.promises import ERROR_RATE, ProbeOutcome, percentile_of
from bench.analysis.capacity.result import Limit
from bench.analysis.columns import Bools, Columns
from bench.analysis.latency import latencies
from bench.scenario.thresholds import Threshold

SURPRISING = 0.01
"""Below this probability a single user's late requests are no accident."""
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
    return _reason(measured, broken_promise(outcome), gpu_share)


@dataclass(frozen=True, slots=True)
class Alone:
    """What a single user, who never has another request beside its own, says of the promises.

    Attributes:
        breaks: a promise that is broken even then; "" if none is.
        limit: why.
    """

    breaks: str
    limit: Limit


def alone(measured: Columns, promises: Sequence[Threshold], gpu_share: float | None) -> Alone:
    """Is a promise broken by requests that are alone in the server? Then it is at any load.

    Requests that are alone do not wait for each other, so the number of late ones is binomial; a
    promise is broken if so many would be late with a probability below 1 % were it kept.

    Args:
        measured: the measured requests of a closed loop with one user, failed ones among them.
        promises: that `check_promise` accepts.
        gpu_share: of the model; None = unknown.
    """
    late = {p: int(_late(measured, p).sum()) for p in promises}
    chance = {p: _chance(n, len(measured), _allowed(p)) for p, n in late.items()}
    worst = min(promises, key=lambda p: chance[p])
    if not len(measured) or chance[worst] >= SURPRISING:
        return Alone("", Limit.NONE)
    return Alone(worst.text, _reason(measured, worst.text, gpu_share))


def _late(measured: Columns, promise: Threshold) -> Bools:
    if promise.metric == ERROR_RATE:
        return ~measured.ok
    times = latencies(measured)[promise.metric]
    return np.asarray(~measured.ok | (times > promise.value))


def _allowed(promise: Threshold) -> float:
    """The share of requests that may be late."""
    return promise.value if promise.metric == ERROR_RATE else 1 - percentile_of(promise)


def _chance(late: int, n: int, allowed: float) -> float:
    """Probability of so many late requests or more."""
    fewer = (math.comb(n, k) * allowed**k * (1 - allowed) ** (n - k) for k in range(late))
    return max(0.0, 1 - sum(fewer))


def _reason(measured: Columns, promise: str, gpu_share: float | None) -> Limit:
    """Where the time goes of requests that break a promise."""
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
