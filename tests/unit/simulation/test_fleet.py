from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mgk_queue import waits_of

from bench.simulation.fleet import FleetResult, Routing, Workload, simulate_fleet
from bench.simulation.service import ServiceParameters

MS = 1_000_000
FAST = ServiceParameters(slots=2, prefill_ns_per_token=0.1 * MS, base_ns=10 * MS)


def workload(rate: float, n: int, seed: int = 0) -> Workload:
    rng = np.random.default_rng(seed)
    return Workload(
        at_ns=np.cumsum(rng.exponential(1e9 / rate, n)).astype(np.int64),
        prompt_n=rng.integers(1, 400, n),
        output_n=rng.integers(1, 60, n),
    )


def test_one_request_alone_takes_prefill_and_then_a_step_a_token() -> None:
    one = Workload(np.array([5 * MS]), np.array([200]), np.array([11]))
    result = simulate_fleet(FAST, one)
    assert result.started_ns[0] == 5 * MS
    assert result.ttft_s[0] == pytest.approx(0.020)  # 200 x 0.1 ms
    assert result.tpot_s[0] == pytest.approx(0.010)
    assert result.e2e_s[0] == pytest.approx(0.120)
    assert result.queue_s[0] == 0


def test_slots_of_independent_speed_are_a_fifo_queue_before_k_servers() -> None:
    """Fixed steps and almost free prefill: every answer takes the same time whoever is beside."""
    parameters = ServiceParameters(slots=3, prefill_ns_per_token=1e-3, base_ns=10 * MS)
    rng = np.random.default_rng(4)
    n = 3000
    output = rng.integers(20, 60, n)
    at = np.cumsum(rng.exponential(1e9 / 6, n)).astype(np.int64)
    result = simulate_fleet(parameters, Workload(at, np.ones(n, dtype=np.int64), output))
    expected, _ = waits_of(at / 1e9, output * 0.010, 3)
    # The engine works in steps: a request can join only when the step under way has ended.
    assert result.queue_s.mean() == pytest.approx(expected.mean(), rel=0.15)
    assert np.quantile(result.queue_s, 0.95) == pytest.approx(np.quantile(expected, 0.95), rel=0.1)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 4),
    st.sampled_from(["round-robin", "least-loaded", "prefix-affine"]),
    st.floats(1, 60),
    st.integers(0, 10),
)
def test_time_never_runs_backwards(servers: int, routing: Routing, rate: float, seed: int) -> None:
    work = workload(rate, 120, seed)
    result = simulate_fleet(FAST, work, servers=servers, routing=routing, seed=seed)
    assert np.all(result.started_ns >= result.at_ns)
    assert np.all(result.first_ns > result.started_ns)
    assert np.all(result.end_ns >= result.first_ns)
    assert np.all((result.server >= 0) & (result.server < servers))
    for k in range(servers):  # FIFO within a server
        assert np.all(np.diff(result.started_ns[result.server == k]) >= 0)
    assert most_at_once(result, servers) <= FAST.slots


def most_at_once(result: FleetResult, servers: int) -> int:
    most = 0
    for k in range(servers):
        mine = result.server == k
        times = np.concatenate([result.end_ns[mine], result.started_ns[mine]])
        change = np.concatenate([-np.ones(mine.sum()), np.ones(mine.sum())])
        order = np.lexsort((change, times))
        most = max(most, int(np.cumsum(change[order]).max(initial=0)))
    return most


def test_the_same_seed_gives_the_same_times() -> None:
    jittery = ServiceParameters(slots=2, prefill_ns_per_token=0.1 * MS, base_ns=10 * MS, jitter=0.1)
    first = simulate_fleet(jittery, workload(5, 200), servers=2, seed=3)
    again = simulate_fleet(jittery, workload(5, 200), servers=2, seed=3)
    other = simulate_fleet(jittery, workload(5, 200), servers=2, seed=4)
    assert np.array_equal(first.end_ns, again.end_ns)
    assert not np.array_equal(first.end_ns, other.end_ns)


def test_more_servers_wait_less_and_least_loaded_beats_round_robin() -> None:
    work = workload(18, 1500)
    waits = {
        (servers, routing): simulate_fleet(
            FAST, work, servers=servers, routing=routing
        ).queue_s.mean()
        for servers in (3, 4)
        for routing in ("round-robin", "least-loaded")
    }
    assert waits[4, "least-loaded"] < waits[3, "least-loaded"]
    assert waits[3, "least-loaded"] < waits[3, "round-robin"]


def test_affinity_finds_the_cache_that_round_robin_misses() -> None:
    n = 400
    turns = Workload(
        at_ns=np.arange(n, dtype=np.int64) * 300 * MS,
        prompt_n=np.full(n, 1000),
        output_n=np.full(n, 5),
        conversation=np.arange(n, dtype=np.int64) % 5,
        shared_n=np.full(n, 900),
    )
    affine = simulate_fleet(FAST, turns, servers=3, routing="prefix-affine")
    spread = simulate_fleet(FAST, turns, servers=3, routing="round-robin")
    assert np.median(affine.ttft_s) < 0.3 * np.median(spread.ttft_s)


def test_in_system_counts_what_an_arrival_finds() -> None:
    at = np.array([0, 1 * MS, 2 * MS, 3000 * MS])
    result = simulate_fleet(FAST, Workload(at, np.full(4, 10), np.full(4, 20)))
    assert result.in_system.tolist() == [0, 1, 2, 0]
