"""Waiting in a FIFO queue before k slots: Erlang C, and Allen-Cunneen for general distributions.

Models, to be labelled as such and shown beside measured points.
"""

from __future__ import annotations

import math


def erlang_c(slots: int, offered: float) -> float:
    """Probability that an arrival must wait in M/M/k.

    Args:
        slots: k, at least 1.
        offered: a = arrival rate x mean service time, in Erlang; at k or above everyone waits.

    Computed by the stable recursion of Erlang B: B(k) = aB(k-1) / (k + aB(k-1)).
    """
    if slots < 1 or offered < 0:
        raise ValueError("slots must be at least 1 and the offered load not negative")
    if offered >= slots:
        return 1.0
    blocked = 1.0
    for k in range(1, slots + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return slots * blocked / (slots - offered * (1 - blocked))


def mean_wait_s(
    slots: int, rate_per_s: float, service_s: float, *, cv2_service: float, cv2_arrivals: float = 1
) -> float:
    """Mean wait in G/G/k by Allen and Cunneen: C(k,a) S / (k - a) x (ca^2 + cs^2) / 2.

    Args:
        slots: k.
        rate_per_s: arrivals per second.
        service_s: mean service time *at that occupancy* (service slows down as slots fill).
        cv2_service: squared coefficient of variation of the service time.
        cv2_arrivals: the same of the gaps between arrivals; Poisson has 1.

    Returns:
        Seconds; infinite at or beyond full use of the slots.

    Source: A. O. Allen, Probability, Statistics and Queueing Theory, 1990; with ca^2 = 1 it is
    M/G/k. Exact for M/M/k and, with k = 1, for M/G/1 (Pollaczek-Khinchine).
    """
    offered = rate_per_s * service_s
    if offered >= slots:
        return math.inf
    wait = erlang_c(slots, offered) * service_s / (slots - offered)
    return wait * (cv2_arrivals + cv2_service) / 2
