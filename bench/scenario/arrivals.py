"""When requests arrive in an open loop: all offsets are drawn before the block starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bench.clock import NS
from bench.scenario.draws import Stream
from bench.scenario.plan import Arrivals, Load


@dataclass(frozen=True, slots=True)
class ArrivalTimes:
    """When the requests of an open block arrive, in nanoseconds from the begin of measuring.

    Attributes:
        settle_ns: before measuring begins, so negative; not measured.
        measure_ns: the measured ones.
        hold_ns: after the last of them; not measured.
    """

    settle_ns: list[int]
    measure_ns: list[int]
    hold_ns: list[int]


def arrival_times(load: Load, seed: int) -> ArrivalTimes:
    """All arrivals of a block, drawn before it starts.

    The same process goes on before and after what is measured, for `load.settle_s` each; its draws
    there come from streams of their own, so the measured arrivals do not depend on it. A trace is
    measured as it stands, every row once: before it its first rows are played, and after it its
    last rows again, unmeasured.

    Raises:
        ValueError: see `arrival_offsets_ns`.
    """
    measured = arrival_offsets_ns(load, seed)
    span_ns, arrivals = round(load.settle_s * NS), load.arrivals
    if not span_ns or arrivals is None:
        return ArrivalTimes([], measured.tolist(), [])
    # The measured arrivals are over at their duration's end, or with the last of them.
    end_ns = int(measured[-1]) if len(measured) else 0
    all_sent = load.requests is not None and len(measured) >= load.requests
    if load.duration_s is not None and not all_sent and arrivals.kind != "trace":
        end_ns = round(load.duration_s * NS)
    if arrivals.kind == "trace":
        before = measured[measured < span_ns] - span_ns
        after = measured[measured > end_ns - span_ns] + span_ns
    elif arrivals.kind == "constant":
        assert load.rate_per_s is not None
        gap_ns = NS / load.rate_per_s
        steps = np.arange(1, int(span_ns / gap_ns) + 1)
        before = np.rint(-gap_ns * steps[::-1]).astype(np.int64)
        after = np.rint(gap_ns * (len(measured) - 1 + steps)).astype(np.int64)
    else:
        part = replace(load, requests=None, duration_s=load.settle_s)
        before = _ns(_drawn(part, arrivals, seed, Stream.SETTLE_ARRIVALS)) - span_ns
        after = _ns(_drawn(part, arrivals, seed, Stream.HOLD_ARRIVALS)) + end_ns
    return ArrivalTimes(before.tolist(), measured.tolist(), after.tolist())


def arrival_offsets_ns(load: Load, seed: int) -> npt.NDArray[np.int64]:
    """Planned arrivals of a block, in nanoseconds from its start, ascending.

    Constant arrivals come at 0, 1/rate, 2/rate, ... The others are renewal processes: the gaps are
    independent, exponential for Poisson, gamma-distributed with the squared coefficient of
    variation `burstiness` for gamma; the first arrival comes after one gap. A trace is played as
    it stands. Arrivals end with `load.requests` or before `load.duration_s`, whichever is first.

    Raises:
        ValueError: a closed load, or one without any limit.
    """
    arrivals = load.arrivals
    if load.loop != "open" or arrivals is None:
        raise ValueError("a closed load has no arrivals")
    if arrivals.kind == "trace":
        times = np.asarray(arrivals.times_s, float) * arrivals.time_scale
    else:
        times = _drawn(load, arrivals, seed, Stream.ARRIVALS)
    if load.duration_s is not None:
        times = times[times < load.duration_s]
    if load.requests is not None:
        times = times[: load.requests]
    return _ns(times)


def _ns(times_s: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.rint(times_s * NS).astype(np.int64)


def _drawn(load: Load, arrivals: Arrivals, seed: int, stream: Stream) -> npt.NDArray[np.float64]:
    rate = load.rate_per_s
    if rate is None or (load.requests is None and load.duration_s is None):
        raise ValueError("an open load needs a rate, and requests or a duration")
    if arrivals.kind == "constant":
        count = load.requests if load.requests is not None else math.inf
        if load.duration_s is not None:
            count = min(count, math.ceil(load.duration_s * rate))
        return np.arange(int(count)) / rate
    rng = np.random.default_rng([seed, int(stream)])
    shape = 1.0 / arrivals.burstiness if arrivals.kind == "gamma" else 1.0
    scale = 1.0 / (rate * shape)
    if load.duration_s is None:
        assert load.requests is not None
        return np.cumsum(rng.gamma(shape, scale, load.requests))
    # Draw in pieces until the end of the block is passed: the law of the gaps stays untouched.
    pieces: list[npt.NDArray[np.float64]] = []
    reached = 0.0
    while reached < load.duration_s:
        size = max(16, int(load.duration_s * rate))
        piece = reached + np.cumsum(rng.gamma(shape, scale, size))
        pieces.append(piece)
        reached = float(piece[-1])
    drawn = np.concatenate(pieces)
    return drawn[drawn < load.duration_s]
