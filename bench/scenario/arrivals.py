"""When requests arrive in an open loop: all offsets are drawn before the block starts."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bench.clock import NS
from bench.scenario.draws import Stream
from bench.scenario.plan import Arrivals, Load


def arrival_offsets_ns(load: Load, seed: int) -> npt.NDArray[np.int64]:
    """Planned arrivals of a block, in nanoseconds from its start, ascending.

    Constant arrivals come at 0, 1/rate, 2/rate, ... The others are renewal processes: the gaps are
    independent, exponential for Poisson, gamma-distributed with the squared coefficient of
    variation `burstiness` for gamma; the first arrival comes after one gap. A trace is played as
    it stands. Arrivals end with `load.requests` or before `load.duration_s`, whichever is first.

    Args:
        load: an open load with at least one limit (a trace is a limit of its own).
        seed: of the block.

    Raises:
        ValueError: a closed load, or one without any limit.
    """
    arrivals = load.arrivals
    if load.loop != "open" or arrivals is None:
        raise ValueError("a closed load has no arrivals")
    if arrivals.kind == "trace":
        times = np.asarray(arrivals.times_s, float) * arrivals.time_scale
    else:
        times = _drawn(load, arrivals, seed)
    if load.duration_s is not None:
        times = times[times < load.duration_s]
    if load.requests is not None:
        times = times[: load.requests]
    return np.rint(times * NS).astype(np.int64)


def _drawn(load: Load, arrivals: Arrivals, seed: int) -> npt.NDArray[np.float64]:
    rate = load.rate_per_s
    if rate is None or (load.requests is None and load.duration_s is None):
        raise ValueError("an open load needs a rate, and requests or a duration")
    if arrivals.kind == "constant":
        count = load.requests if load.requests is not None else math.inf
        if load.duration_s is not None:
            count = min(count, math.ceil(load.duration_s * rate))
        return np.arange(int(count)) / rate
    rng = np.random.default_rng([seed, int(Stream.ARRIVALS)])
    shape = 1.0 / arrivals.burstiness if arrivals.kind == "gamma" else 1.0
    if load.duration_s is None:
        assert load.requests is not None
        return np.cumsum(_gaps(rng, shape, rate, load.requests))
    # Draw in pieces until the end of the block is passed: the law of the gaps stays untouched.
    pieces: list[npt.NDArray[np.float64]] = []
    reached = 0.0
    while reached < load.duration_s:
        piece = reached + np.cumsum(_gaps(rng, shape, rate, max(16, int(load.duration_s * rate))))
        pieces.append(piece)
        reached = float(piece[-1])
    return np.concatenate(pieces)


def _gaps(
    rng: np.random.Generator, shape: float, rate: float, count: int
) -> npt.NDArray[np.float64]:
    return rng.gamma(shape, 1.0 / (rate * shape), count)
