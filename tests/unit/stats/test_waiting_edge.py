"""How far off a percentile is that lies where waiting begins, against simulated queues."""

from __future__ import annotations

import numpy as np
import pytest
from many_queues import first_texts

from bench.stats.queue_memory import memory_of_load
from bench.stats.queueing import erlang_c
from bench.stats.waiting_edge import (
    LIMIT,
    relative_bias,
    requests_needed,
    share_error,
)

CV2, SLOTS, SERVICE_S, PREFILL_S = 0.16, 4, 5.0, 0.3


def predicted(load: float, p: float, n: int) -> float:
    wait_s = SERVICE_S * (1 + CV2) / (2 * SLOTS * (1 - load))
    error = share_error(p, memory_of_load(load, 1.0, CV2), n)
    return relative_bias(p, error, erlang_c(SLOTS, load * SLOTS), wait_s, PREFILL_S)


@pytest.fixture(scope="module")
def simulated():
    """Mean error of the plain percentile over queues, by load, p and number of requests."""

    def mean_error(load: float, p: float, n: int) -> float:
        rng = np.random.default_rng(11)
        long, _ = first_texts(load, 6000, 400, rng)
        truth = np.quantile(long[:, 1500:], p)
        waits, _ = first_texts(load, n + n // 4, 1500, rng)
        return float((np.quantile(waits[:, n // 4 :], p, axis=1) / truth - 1).mean())

    return mean_error


@pytest.mark.slow
@pytest.mark.parametrize(("load", "p", "n"), [(0.3, 0.95, 250), (0.35, 0.95, 750), (0.4, 0.9, 750)])
def test_near_the_edge_percentiles_are_too_high_and_it_says_so(simulated, load, p, n):
    true = simulated(load, p, n)
    assert true > 0.05
    assert 0.7 * true < predicted(load, p, n) < 3 * true


@pytest.mark.slow
@pytest.mark.parametrize(("load", "p", "n"), [(0.4, 0.95, 750), (0.5, 0.95, 750), (0.2, 0.95, 250)])
def test_away_from_the_edge_nothing_is_refused(simulated, load, p, n):
    assert abs(simulated(load, p, n)) < 0.05
    assert predicted(load, p, n) < LIMIT


@pytest.mark.parametrize(("load", "p"), [(0.0, 0.5), (0.5, 0.5), (0.9, 0.95)])
def test_far_from_the_edge_there_is_no_bias(load, p):
    assert predicted(load, p, 100_000) < 0.005


def test_more_requests_help():
    memory, share = memory_of_load(0.35, 1.0, CV2), erlang_c(SLOTS, 0.35 * SLOTS)
    needed = requests_needed(0.95, memory, 750, share, 1.1, PREFILL_S)
    assert needed > 2000
    error = share_error(0.95, memory, needed)
    assert relative_bias(0.95, error, share, 1.1, PREFILL_S) <= LIMIT
    assert requests_needed(0.5, memory, 750, share, 1.1, PREFILL_S) == 750


def test_a_long_time_is_not_bent_by_a_short_wait():
    """The time of a whole answer lies there, too, and a second of 20 changes it little."""
    error = share_error(0.95, memory_of_load(0.35, 1.0, CV2), 750)
    assert relative_bias(0.95, error, erlang_c(SLOTS, 0.35 * SLOTS), 1.1, 20.0) < 0.01
