"""Many FIFO queues before k slots at once: the recursion of Kiefer and Wolfowitz (1955)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.stats.estimate import Estimate
from bench.stats.queue_memory import judge, load_memory, queue_series


def first_texts(
    load: float,
    n: int,
    queues: int,
    rng: np.random.Generator,
    slots: int = 4,
    service_s: float = 5.0,
    cv: float = 0.4,
    prefill_s: float = 0.3,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times to first text and service times of Poisson arrivals at empty queues, (queues, n).

    Args:
        load: of the slots.
        n: arrivals of each queue.
        queues: how many.
        rng: draws.
        slots: of each queue.
        service_s: mean of the lognormal service times.
        cv: their coefficient of variation.
        prefill_s: mean time from leaving the queue to the first text, with 10 % of noise.
    """
    sigma = math.sqrt(math.log(1 + cv * cv))
    gaps = rng.exponential(service_s / (load * slots), (queues, n))
    service = rng.lognormal(math.log(service_s) - sigma**2 / 2, sigma, (queues, n))
    left = np.zeros((queues, slots))
    waits = np.empty((queues, n))
    for i in range(n):
        left = np.maximum(left - gaps[:, i : i + 1], 0)
        left.sort(axis=1)
        waits[:, i] = left[:, 0]
        left[:, 0] += service[:, i]
    return waits + prefill_s * rng.lognormal(0, 0.1, (queues, n)), service


def as_shown(
    waits: NDArray[np.float64],
    service: NDArray[np.float64],
    settle: int,
    p: float,
    load: float,
    slots: int = 4,
    service_s: float = 5.0,
) -> Estimate | None:
    """The p-quantile as a run shows it, if it does.

    Args:
        waits, service: of `first_texts`, (blocks, arrivals).
        settle: so many arrivals of each block are not measured.
        load, slots, service_s: with which they were drawn.
    """
    told = service[:, :settle] if settle else service
    by_load = load_memory(told.ravel(), load * slots / service_s, slots, 1.0, apart=settle > 0)
    series = queue_series(list(waits[:, settle:]), by_load)
    return judge(series, p).interval
