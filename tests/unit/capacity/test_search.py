from __future__ import annotations

import math

import numpy as np
import pytest
from mgk_queue import waits

from bench.analysis.capacity.judge import (
    Verdict,
    backlog_grows,
    percentile_bound,
    settled,
    share_bound,
    together,
)
from bench.analysis.capacity.limit import ProbeShare, fit_limit, stated_range
from bench.analysis.capacity.search import Ending, Probe, Purpose, SearchSettings, run_search


def exact(limit: float):  # type: ignore[no-untyped-def]
    return lambda probe: Verdict.PASS if probe.load <= limit else Verdict.FAIL


@pytest.mark.parametrize("limit", [0.3, 1.0, 7.77, 123.0])
def test_with_a_perfect_judge_the_bracket_holds_the_limit(limit: float) -> None:
    search = run_search(SearchSettings(start=0.5), exact(limit))
    answer = search.answer()
    assert answer.low is not None
    assert answer.high is not None
    assert answer.low <= limit < answer.high
    assert answer.high / answer.low <= 1.1 + 1e-9
    assert answer.ending is Ending.CONFIRMED


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 17, 64])
def test_users_are_whole_numbers_and_exact(limit: int) -> None:
    search = run_search(SearchSettings(start=1, whole=True), exact(limit))
    answer = search.answer()
    assert answer.load == limit
    assert all(probe.load == int(probe.load) >= 1 for probe, _ in search.history)


def test_a_promise_broken_at_every_load_ends_and_says_so() -> None:
    search = run_search(SearchSettings(start=1), lambda _: Verdict.FAIL)
    assert search.answer().ending is Ending.NEVER_PASSED
    assert search.answer().load is None
    one_user = run_search(SearchSettings(start=1, whole=True), lambda _: Verdict.FAIL)
    assert one_user.answer().ending is Ending.NEVER_PASSED
    assert len(one_user.history) == 1


def test_a_server_that_never_saturates_ends_at_the_ceiling() -> None:
    search = run_search(SearchSettings(start=1, ceiling=50), lambda _: Verdict.PASS)
    assert search.answer().ending is Ending.NEVER_SATURATED
    assert search.answer().load == 50
    assert max(probe.load for probe, _ in search.history) == 50


def test_an_undecided_probe_is_extended_and_then_leaves_a_range() -> None:
    def judge(probe: Probe) -> Verdict:
        if 0.9 < probe.load < 1.1:
            return Verdict.UNDECIDED
        return exact(1.0)(probe)  # type: ignore[no-any-return]

    search = run_search(SearchSettings(start=0.25, extensions=2), judge)
    assert search.answer().ending is Ending.RANGE
    extended = [p for p, _ in search.history if p.extension == 2]
    assert extended
    assert extended[0].requests == 4 * SearchSettings(start=1).probe_requests


def test_always_undecided_ends() -> None:
    search = run_search(SearchSettings(start=1), lambda _: Verdict.UNDECIDED)
    assert search.answer().ending is Ending.OUT_OF_BUDGET
    assert search.answer().load is None


def test_a_failed_confirmation_searches_again_below() -> None:
    def judge(probe: Probe) -> Verdict:
        limit = 1.0 if probe.purpose is Purpose.SEARCH else 0.8
        return Verdict.PASS if probe.load <= limit else Verdict.FAIL

    answer = run_search(SearchSettings(start=0.25), judge).answer()
    assert answer.high is not None
    assert answer.high <= 1.0
    assert answer.low is not None
    assert answer.low <= 0.8


def test_percentile_bounds_hold_at_their_nominal_rate() -> None:
    rng = np.random.default_rng(5)
    truth = 1.6448536269514722
    bounds = [percentile_bound(rng.normal(size=400), 0.95) for _ in range(600)]
    above = np.mean([b.upper >= truth for b in bounds])
    below = np.mean([b.lower <= truth for b in bounds])
    assert 0.93 <= above <= 0.995
    assert 0.93 <= below <= 0.995


def test_a_percentile_that_the_data_cannot_bound_is_undecided() -> None:
    few = percentile_bound(np.arange(1, 21, dtype=float), 0.95)
    assert math.isinf(few.upper)
    assert few.against(1000.0) is Verdict.UNDECIDED
    assert percentile_bound(np.array([]), 0.95).against(1) is Verdict.UNDECIDED


def test_failed_requests_break_the_promise() -> None:
    latencies = np.where(np.arange(400) % 5 == 0, np.inf, 0.1)
    assert percentile_bound(latencies, 0.95).against(2.0) is Verdict.FAIL


def test_wilson_bounds_match_the_textbook() -> None:
    # R: prop.test-like score bounds, 10 of 100, one-sided 95 %
    bound = share_bound(10, 100)
    assert bound.value == 0.1
    assert bound.lower == pytest.approx(0.0607, abs=2e-4)
    assert bound.upper == pytest.approx(0.1602, abs=2e-4)
    assert share_bound(0, 0).upper == 1.0


def test_backlog_grows_beyond_the_capacity_and_not_below() -> None:
    rng = np.random.default_rng(2)
    assert backlog_grows(waits(1.1, 400, rng)[1])
    steady = [backlog_grows(settled(waits(0.4, 400, rng)[1])) for _ in range(100)]
    assert sum(steady) <= 5


def test_together() -> None:
    assert together([Verdict.PASS, Verdict.PASS]) is Verdict.PASS
    assert together([Verdict.PASS, Verdict.UNDECIDED]) is Verdict.UNDECIDED
    assert together([Verdict.UNDECIDED, Verdict.FAIL]) is Verdict.FAIL


def test_searches_on_a_queue_find_its_limit() -> None:
    """M/G/4, p95 of the wait <= 2 s: the long-run limit is 0.394 requests/s (300,000 arrivals)."""
    truth, near, held = 0.394, 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        shares: list[ProbeShare] = []

        def judge(
            probe: Probe,
            rng: np.random.Generator = rng,
            shares: list[ProbeShare] = shares,
        ) -> Verdict:
            latencies = settled(waits(probe.load, probe.requests, rng)[0])
            shares.append(ProbeShare.of(probe.load, latencies, 2.0))
            return percentile_bound(latencies, 0.95).against(2.0)

        settings = SearchSettings(start=0.05, extensions=2, precision=1.1, probe_requests=250)
        answer = run_search(settings, judge).answer()
        assert answer.low
        assert answer.high
        fit = fit_limit(shares, 0.95, math.sqrt(answer.low * answer.high))
        assert fit is not None
        low, high = stated_range(fit, answer)
        assert low
        assert high
        near += abs(fit.load / truth - 1) <= 0.10
        held += low <= truth <= high
    assert near >= 19
    assert held >= 18
