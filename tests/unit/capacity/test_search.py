from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mgk_queue import waits
from simulated_search import Server, search_on, service_of

from bench.analysis.capacity.judge import (
    Verdict,
    backlog_grows,
    least_requests,
    percentile_bound,
    settled,
    share_bound,
    together,
)
from bench.analysis.capacity.limit import Limit, ProbeShare, fit_limit, stated_range
from bench.analysis.capacity.search import (
    Answer,
    Ending,
    Probe,
    Purpose,
    Search,
    SearchSettings,
    run_search,
)


def exact(limit: float) -> Callable[[Probe], Verdict]:
    return lambda probe: Verdict.PASS if probe.load <= limit else Verdict.FAIL


@pytest.mark.parametrize("limit", [0.3, 1.0, 7.77, 123.0])
def test_with_a_perfect_judge_the_bracket_holds_the_limit(limit: float) -> None:
    search = run_search(SearchSettings(start=0.5), exact(limit))
    answer = search.answer()
    assert answer.low is not None
    assert answer.high is not None
    assert answer.low <= limit < answer.high
    assert answer.high / answer.low <= 1.2 + 1e-9
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


def test_what_a_search_cannot_decide_it_leans_on_and_what_it_must_prove_it_extends() -> None:
    def judge(probe: Probe) -> tuple[Verdict, Verdict]:
        leans = exact(1.0)(probe)
        sure = not 0.85 < probe.load < 1.15
        return (leans if sure else Verdict.UNDECIDED), leans

    search = Search(SearchSettings(start=0.25, extensions=2))
    while (probe := search.next_probe()) is not None:
        search.record(probe, *judge(probe))
    answer = search.answer()
    assert answer.ending is Ending.RANGE
    assert answer.low is not None and answer.high is not None
    assert 0.7 < answer.low <= 0.85
    assert 1.15 <= answer.high < 1.4
    assert answer.load == answer.low
    size = SearchSettings(start=1).probe_requests
    searching = [p for p, _ in search.history if p.purpose is Purpose.SEARCH]
    assert {(p.requests, p.extension) for p in searching} == {(size, 0)}
    proving = [p for p, _ in search.history if p.purpose is not Purpose.SEARCH]
    # As many again as all tries before had together.
    assert {(p.requests, p.extension) for p in proving} == {
        (4 * size, 0),
        (4 * size, 1),
        (8 * size, 2),
    }


def test_always_undecided_ends() -> None:
    search = run_search(SearchSettings(start=1), lambda _: Verdict.UNDECIDED)
    assert search.answer().ending is Ending.UNDECIDED
    assert search.answer().load is None


def test_a_long_run_overrules_short_ones() -> None:
    def judge(probe: Probe) -> Verdict:
        limit = 1.0 if probe.purpose is Purpose.SEARCH else 0.8
        return Verdict.PASS if probe.load <= limit else Verdict.FAIL

    answer = run_search(SearchSettings(start=0.25), judge).answer()
    assert answer.low is not None and answer.high is not None
    assert answer.low <= 0.8 < answer.high <= 1.0
    assert answer.ending is Ending.CONFIRMED


def test_the_search_ends_at_what_time_allows() -> None:
    search = Search(SearchSettings(start=1))
    probe = search.next_probe()
    assert probe is not None
    search.record(probe, Verdict.PASS)
    search.stop()
    assert search.next_probe() is None
    assert search.answer() == Answer(Ending.UNDECIDED, 1, 1, None)


@given(st.floats(0.01, 50), st.integers(0, 10_000))
def test_whatever_the_verdicts_a_search_ends_and_its_answer_is_consistent(
    limit: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)

    def judge(probe: Probe) -> Verdict:
        p_pass = 1 / (1 + (probe.load / limit) ** 8)
        return Verdict(rng.choice(list(Verdict), p=[p_pass * 0.8, (1 - p_pass) * 0.8, 0.2]))

    search = run_search(SearchSettings(start=0.5, ceiling=100), judge)
    answer = search.answer()
    assert len(search.history) <= SearchSettings(start=1).max_probes
    assert all(0 < probe.load <= 100 * 1.1 for probe, _ in search.history)
    if answer.low is not None and answer.high is not None:
        assert answer.low < answer.high
    assert (answer.load is None) == (answer.low is None)


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


def test_least_requests_can_prove_and_fewer_cannot() -> None:
    for p in (0.5, 0.9, 0.95, 0.99):
        n = least_requests(p)
        kept = settled(np.zeros(n))
        assert percentile_bound(kept, p).against(1.0) is Verdict.PASS
    fewer = settled(np.zeros(least_requests(0.95) - 20))
    assert percentile_bound(fewer, 0.95).against(1.0) is Verdict.UNDECIDED


def test_a_fit_gives_back_the_line_it_was_made_from() -> None:
    def share(load: float) -> ProbeShare:
        logit = math.log(19) - 6 * math.log(load / 2.0)
        return ProbeShare(load, round(100_000 / (1 + math.exp(-logit))), 100_000, 1.0)

    fit = fit_limit([share(x) for x in (0.5, 1.2, 1.6, 1.9, 2.1, 2.6, 9.0)], 0.95, around=1.5)
    assert fit is not None
    assert fit.load == pytest.approx(2.0, rel=1e-3)
    assert fit.low is not None and fit.high is not None
    assert 1.95 < fit.low < 2.0 < fit.high < 2.05


def test_no_fit_without_three_loads_or_without_a_fall() -> None:
    flat = [ProbeShare(x, 90, 100, 1.0) for x in (0.9, 1.0, 1.1)]
    assert fit_limit(flat, 0.95, 1.0) is None
    assert fit_limit(flat[:2], 0.95, 1.0) is None
    assert fit_limit([], 0.95, 1.0) is None


def test_fits_cover_at_their_nominal_rate() -> None:
    rng = np.random.default_rng(6)
    loads = np.array([0.6, 0.8, 0.9, 1.0, 1.1, 1.25])
    held = 0
    for _ in range(200):
        true = 1 / (1 + np.exp(-(math.log(19) - 5 * np.log(loads))))
        kept = rng.binomial(300, true)
        shares = [ProbeShare(x, int(k), 300, 1.0) for x, k in zip(loads, kept, strict=True)]
        fit = fit_limit(shares, 0.95, 1.0)
        held += fit is not None and (fit.low or 0) <= 1.0 <= (fit.high or math.inf)
    assert held >= 185


def test_the_stated_range_is_the_wider_of_tests_and_fit() -> None:
    answer = Answer(Ending.RANGE, 0.9, 0.9, 1.2)
    assert stated_range(None, answer) == (0.9, 1.2)
    assert stated_range(Limit(1.0, 0.95, None, 5), answer) == (0.9, 1.2)
    assert stated_range(Limit(1.0, 0.8, 1.3, 5), answer) == (0.8, 1.3)


def test_searches_find_the_limit_of_a_simulated_server() -> None:
    """The true limit is from simulations of 300,000 requests; tests/performance has more."""
    server, truth = Server("", service_of("gpu-12gb", 4), "ttft_s.p95 <= 1"), 0.5162
    one = server.one_user_rate()
    settings = SearchSettings(start=one / 2, ceiling=20 * one)
    found = [search_on(server, seed, settings).found for seed in range(20)]
    near = sum(f.best is not None and abs(f.best / truth - 1) <= 0.10 for f in found)
    covers = sum((f.low or 0) <= truth <= (f.high or math.inf) for f in found)
    assert near >= 19
    assert covers >= 18
    assert all(f.answer.ending in (Ending.RANGE, Ending.CONFIRMED) for f in found)
    widths = [(f.high or math.inf) / (f.low or 1e-9) for f in found]
    assert np.median(widths) < 1.5
