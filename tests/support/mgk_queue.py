"""A FIFO queue before k slots, as a reference for the tests of capacity."""

from __future__ import annotations

import heapq
import math

import numpy as np
from numpy.typing import NDArray


def waits(
    rate: float,
    n: int,
    rng: np.random.Generator,
    *,
    slots: int = 4,
    mean_s: float = 5.0,
    cv: float = 0.4,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Waits of n Poisson arrivals, and the number in the system that each found."""
    s = math.sqrt(math.log(1 + cv * cv))
    service = rng.lognormal(math.log(mean_s) - s * s / 2, s, n) if cv else np.full(n, mean_s)
    return waits_of(np.cumsum(rng.exponential(1 / rate, n)), service, slots)


def waits_of(
    arrivals: NDArray[np.float64], service: NDArray[np.float64], slots: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    free = [0.0] * slots
    leaving: list[float] = []
    wait = np.empty(len(arrivals))
    found = np.empty(len(arrivals))
    for i, arrival in enumerate(arrivals):
        start = max(float(arrival), heapq.heappop(free))
        end = start + float(service[i])
        heapq.heappush(free, end)
        while leaving and leaving[0] <= arrival:
            heapq.heappop(leaving)
        wait[i] = start - arrival
        found[i] = len(leaving)
        heapq.heappush(leaving, end)
    return wait, found
