from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mgk_queue import waits
from simulated_machines import MACHINES
from simulated_search import search_on

from bench.analysis.capacity.judge import (
    ProbeVerdict,
    backlog_grows,
    batches_for,
    least_requests,
    percentile_bound,
    share_bound,
    together,
)
from bench.analysis.capacity.limit import LoadLimit, ProbeShare, fit_limit, stated
from bench.analysis.capacity.probe import Probe, Purpose, SearchAnswer, SearchEnding, SearchSettings
from bench.analysis.capacity.promises import (
    ProbeSample,
    judge_probe,
    least_to_prove,
    parse_promises,
)
from bench.analysis.capacity.search import LEAST_REQUESTS, Search
from bench.thresholds import parse_threshold


def run_search(settings: SearchSettings, judge: Callable[[Probe], ProbeVerdict]) -> Search:
    search = Search(settings)
    while (probe := search.next_probe()) is not None:
        search.record(probe, judge(probe))
    return search


def exact(limit: float) -> Callable[[Probe], ProbeVerdict]:
    return lambda probe: ProbeVerdict.PASS if probe.load <= limit else ProbeVerdict.FAIL


@pytest.mark.parametrize("limit", [0.3, 1.0, 7.77, 123.0])
def test_with_a_perfect_judge_the_bracket_holds_the_limit(limit: float) -> None:
    search = run_search(SearchSettings(start=0.5), exact(limit))
    answer = search.answer()
    assert answer.low is not None
    assert answer.high is not None
    assert answer.low <= limit < answer.high
    assert answer.high / answer.low <= 1.1 + 1e-9
    assert answer.ending is SearchEnding.CONFIRMED


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 17, 64])
def test_users_are_whole_numbers_and_exact(limit: int) -> None:
    search = run_search(SearchSettings(start=1, whole=True), exact(limit))
    answer = search.answer()
    assert answer.load == limit
    assert all(probe.load == int(probe.load) >= 1 for probe, _ in search.history)


def test_a_promise_broken_at_every_load_ends_and_says_so() -> None:
    search = run_search(SearchSettings(start=1), lambda _: ProbeVerdict.FAIL)
    assert search.answer().ending is SearchEnding.NEVER_PASSED
    assert search.answer().load is None
    one_user = run_search(SearchSettings(start=1, whole=True), lambda _: ProbeVerdict.FAIL)
    assert one_user.answer().ending is SearchEnding.NEVER_PASSED
    assert len(one_user.history) == 1


def test_a_server_that_never_saturates_ends_at_the_ceiling() -> None:
    search = run_search(SearchSettings(start=1, ceiling=50), lambda _: ProbeVerdict.PASS)
    assert search.answer().ending is SearchEnding.NEVER_SATURATED
    assert search.answer().load == 50
    assert max(probe.load for probe, _ in search.history) == 50


def test_what_a_search_must_prove_is_doubled_and_what_stays_open_is_a_range() -> None:
    def judge(probe: Probe) -> tuple[ProbeVerdict, ProbeVerdict]:
        leans = exact(1.0)(probe)
        sure = not 0.85 < probe.load < 1.15
        return (leans if sure else ProbeVerdict.UNDECIDED), leans

    search = Search(SearchSettings(start=0.25, doublings=2))
    while (probe := search.next_probe()) is not None:
        search.limit = 1.0
        search.record(probe, *judge(probe))
    answer = search.answer()
    assert answer.ending is SearchEnding.RANGE
    assert answer.low is not None and answer.high is not None
    assert 0.7 < answer.low <= 0.85
    assert 1.15 <= answer.high < 1.4
    assert answer.load == answer.low
    size = SearchSettings(start=1).probe_requests
    searching = [p for p, _ in search.history if p.purpose is Purpose.SEARCH]
    assert {(p.requests, p.extension) for p in searching} == {(size, 0)}
    first = SearchSettings(start=1).proof_requests
    for load in {p.load for p, _ in search.history if p.purpose is not Purpose.SEARCH}:
        looks = [p.requests for p, _ in search.history if p.load == load and p not in searching]
        # As many again as all looks before had together.
        assert looks == [first, first, 2 * first][: len(looks)]
        assert len(looks) == (3 if 0.85 < load < 1.15 else 1)


@given(st.floats(0.05, 2.0), st.floats(0.05, 10.0))
def test_probes_near_saturation_settle_and_last_longer(load: float, saturation: float) -> None:
    settings = SearchSettings(start=load, saturation=saturation, slots=4)
    search = run_search(settings, exact(0.8 * saturation))
    for probe, _ in search.history:
        free = max(1 - probe.load / saturation, 0.1)
        assert probe.settle >= min(4 / free**2, probe.requests) - 1
        if probe.purpose is not Purpose.SEARCH:
            assert probe.requests >= 40 / free**2 - 1


def test_a_probe_never_takes_more_than_the_budget_left_and_locating_a_quarter() -> None:
    for budget in (30, 90, 200, 700, 5000):
        search, left = Search(SearchSettings(start=0.1, saturation=1.0)), budget
        while (probe := search.next_probe(lambda _, left=left: left)) is not None:
            assert probe.total <= left
            if probe.purpose is Purpose.SEARCH:
                assert probe.total <= max(left / 4, 40)
            search.record(probe, exact(0.5)(probe), exact(0.5)(probe))
            left -= probe.total
        assert len(search.history) >= (1 if budget < 200 else 4)
        assert budget < 5000 or search.answer().ending is SearchEnding.CONFIRMED


def test_a_probe_shorter_than_the_memory_of_its_queue_proves_nothing() -> None:
    promise = [parse_threshold("ttft_s.p95<=1")]
    fast = ProbeSample((np.full(400, 0.1),), np.zeros(400))
    assert judge_probe(1.0, [fast], promise).verdict is ProbeVerdict.PASS
    short = judge_probe(1.0, [fast], promise, can_prove=False)
    assert (short.verdict, short.leans) == (ProbeVerdict.UNDECIDED, ProbeVerdict.PASS)
    overrun = ProbeSample((np.arange(400) / 50,), np.arange(400, dtype=float))
    assert judge_probe(1.0, [overrun], promise, can_prove=False).verdict is ProbeVerdict.FAIL
    search = Search(SearchSettings(start=1, saturation=1.0))
    assert search.valid(Probe(0.5, 80), 80)
    assert not search.valid(Probe(0.8, 80), 80)


def test_more_batches_only_where_each_outlives_the_memory() -> None:
    assert batches_for(100, 50.0) == 6
    assert batches_for(1500, 10.0) == 10
    assert batches_for(10**6, 10.0) == 20
    assert batches_for(10**6, math.inf) == 6


def test_always_undecided_ends() -> None:
    search = run_search(SearchSettings(start=1), lambda _: ProbeVerdict.UNDECIDED)
    assert search.answer().ending is SearchEnding.UNDECIDED
    assert search.answer().load is None


def test_a_long_run_overrules_short_ones() -> None:
    def judge(probe: Probe) -> ProbeVerdict:
        limit = 1.0 if probe.purpose is Purpose.SEARCH else 0.8
        return ProbeVerdict.PASS if probe.load <= limit else ProbeVerdict.FAIL

    answer = run_search(SearchSettings(start=0.25), judge).answer()
    assert answer.low is not None and answer.high is not None
    assert answer.low <= 0.8 < answer.high <= 1.0
    assert answer.ending is SearchEnding.CONFIRMED


def test_the_search_ends_at_what_time_allows() -> None:
    search = Search(SearchSettings(start=1))
    probe = search.next_probe()
    assert probe is not None
    search.record(probe, ProbeVerdict.PASS)
    assert search.next_probe(lambda load: 0) is None
    assert search.answer() == SearchAnswer(SearchEnding.UNDECIDED, 1, 1, None)


@given(st.floats(0.01, 50), st.integers(0, 10_000))
def test_whatever_the_verdicts_a_search_ends_and_its_answer_is_consistent(
    limit: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)

    def judge(probe: Probe) -> ProbeVerdict:
        p_pass = 1 / (1 + (probe.load / limit) ** 8)
        return ProbeVerdict(
            rng.choice(list(ProbeVerdict), p=[p_pass * 0.8, (1 - p_pass) * 0.8, 0.2])
        )

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
    bounds = [percentile_bound(rng.normal(size=1500), 0.95) for _ in range(600)]
    above = np.mean([b.upper >= truth for b in bounds])
    below = np.mean([b.lower <= truth for b in bounds])
    assert 0.96 <= above <= 0.9985
    assert 0.96 <= below <= 0.9985


def test_a_percentile_that_the_data_cannot_bound_is_undecided() -> None:
    few = percentile_bound(np.arange(1, 21, dtype=float), 0.95)
    assert math.isinf(few.upper)
    assert few.against(1000.0) is ProbeVerdict.UNDECIDED
    assert percentile_bound(np.array([]), 0.95).against(1) is ProbeVerdict.UNDECIDED


def test_failed_requests_break_the_promise() -> None:
    latencies = np.where(np.arange(400) % 5 == 0, np.inf, 0.1)
    assert percentile_bound(latencies, 0.95).against(2.0) is ProbeVerdict.FAIL


def test_wilson_bounds_match_the_textbook() -> None:
    # R: prop.test(10, 100, correct = FALSE), two-sided 95 % = one-sided 97.5 %
    bound = share_bound(10, 100)
    assert bound.value == 0.1
    assert bound.lower == pytest.approx(0.05523, abs=2e-5)
    assert bound.upper == pytest.approx(0.17437, abs=2e-5)
    assert share_bound(0, 0).upper == 1.0


def test_backlog_grows_beyond_the_capacity_and_not_below() -> None:
    rng = np.random.default_rng(2)
    assert backlog_grows(waits(1.1, 400, rng)[1])
    steady = [backlog_grows(waits(0.4, 400, rng)[1][80:]) for _ in range(100)]
    assert sum(steady) <= 5


def test_together() -> None:
    assert together([ProbeVerdict.PASS, ProbeVerdict.PASS]) is ProbeVerdict.PASS
    assert together([ProbeVerdict.PASS, ProbeVerdict.UNDECIDED]) is ProbeVerdict.UNDECIDED
    assert together([ProbeVerdict.UNDECIDED, ProbeVerdict.FAIL]) is ProbeVerdict.FAIL


def test_least_requests_can_prove_and_fewer_cannot() -> None:
    for p in (0.5, 0.9, 0.95, 0.99):
        n = least_requests(p)
        assert percentile_bound(np.zeros(n), p).against(1.0) is ProbeVerdict.PASS
    fewer = np.zeros(least_requests(0.95) - 20)
    assert percentile_bound(fewer, 0.95).against(1.0) is ProbeVerdict.UNDECIDED


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


def test_what_is_stated_is_the_fit_and_no_load_above_its_low_end_is_served() -> None:
    tests = SearchAnswer(SearchEnding.CONFIRMED, 0.95, 0.95, 1.05)

    def said(
        fit: LoadLimit | None, answer: SearchAnswer, whole: bool = False
    ) -> tuple[object, ...]:
        s = stated(fit, answer, whole=whole)
        return s.ending, s.load, s.low, s.high

    assert said(None, tests) == (SearchEnding.CONFIRMED, 0.95, 0.95, 1.05)
    assert said(LoadLimit(1.0, 0.97, 1.03), tests) == (SearchEnding.CONFIRMED, 0.95, 0.97, 1.03)
    assert said(LoadLimit(1.0, 0.9, 1.1), tests) == (SearchEnding.CONFIRMED, 0.9, 0.9, 1.1)
    assert said(LoadLimit(1.0, 0.97, None), tests) == (SearchEnding.CONFIRMED, 0.95, 0.97, 1.05)
    # Where the fit is too unsure to have an end, the tests' own is not taken for a nearer one.
    unsure = LoadLimit(1.0, None, None, about=(0.9, 1.2))
    assert said(unsure, tests) == (SearchEnding.CONFIRMED, 0.9, 0.9, 1.2)
    # The tests proved what all probes together contradict.
    assert said(LoadLimit(0.8, 0.7, 0.9), tests) == (SearchEnding.RANGE, 0.7, 0.7, 0.9)
    nothing = SearchAnswer(SearchEnding.UNDECIDED, None, None, None)
    assert said(LoadLimit(1.0, 0.9, 1.2), nothing) == (SearchEnding.RANGE, 0.9, 0.9, 1.2)
    assert said(LoadLimit(1.0, None, 1.2), nothing)[:2] == (SearchEnding.UNDECIDED, None)
    users = SearchAnswer(SearchEnding.CONFIRMED, 4, 4, 5)
    assert said(LoadLimit(4.5, 3.96, 5.2), users, whole=True) == (
        SearchEnding.CONFIRMED,
        4,
        4,
        5,
    )


@pytest.mark.slow
def test_searches_find_the_limit_of_a_simulated_server() -> None:
    """The true limit is from long simulations; tests/performance/capacity_searches.py has more."""
    machine = MACHINES[0]
    found = [search_on(machine, seed).found for seed in range(5)]
    truth = machine.truth
    assert all(f.best is not None and abs(f.best / truth - 1) <= 0.12 for f in found)
    assert sum((f.low or 0) <= truth <= (f.high or math.inf) for f in found) == 5
    assert sum(f.load is not None and f.load > 1.05 * truth for f in found) == 0
    assert all(f.ending in (SearchEnding.RANGE, SearchEnding.CONFIRMED) for f in found)
    assert all((f.load or 0) <= (f.low or 0) <= (f.best or 0) <= (f.high or 0) for f in found)
    widths = [(f.high or math.inf) / (f.low or 1e-9) for f in found]
    assert np.median(widths) < 1.25


@pytest.mark.slow
def test_a_search_with_little_time_keeps_to_it_and_says_what_it_does_not_know() -> None:
    """A range holds the limit in 95 % of searches, so one of 24 may miss it."""
    machine = MACHINES[0]
    budget_s = 600 / machine.one_user_rate()
    held = 0
    for seed in range(24):
        found = search_on(machine, seed, budget_s)
        assert found.probes >= 4
        assert found.seconds <= budget_s
        assert found.longest <= 0.6
        held += (found.found.low or 0) <= machine.truth <= (found.found.high or math.inf)
    assert held >= 23


def test_a_probe_that_is_run_again_must_fit_into_the_time_that_is_left() -> None:
    """One that the client spoiled was run again as it was, beyond the budget."""
    search = Search(SearchSettings(start=1.0))
    first = search.next_probe(lambda load: 1000)
    assert first is not None
    again = search.next_probe(lambda load: 160)
    assert again is not None and again.load == first.load
    assert LEAST_REQUESTS <= again.total <= 40
    assert search.next_probe(lambda load: 5) is None


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05])
def test_the_first_look_at_an_error_rate_can_prove_it(share: float) -> None:
    """It had 30 % fewer requests than the bound takes, so it never could."""
    (promise,) = parse_promises([f"error_rate <= {share}"])
    n = least_to_prove(promise)
    assert share_bound(0, n).against(share) is ProbeVerdict.PASS
    assert share_bound(0, n - 11).against(share) is ProbeVerdict.UNDECIDED
