"""Quantiles and their intervals: tables, textbook values, and coverage by seeded simulation.

The coverage figures are those that the choice of method rests on: 0.95 is promised; the intervals
of independent requests give much less when requests of a block resemble each other.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from bench.analysis.columns import Floats, Ints
from bench.analysis.quantile_ci import (
    order_statistic_ranks,
    quantile_estimates,
    read_quantile,
    requests_needed,
)
from bench.analysis.sample import Sample, many_per_request, one_per_request

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


@pytest.mark.parametrize(("p", "n"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.05, 72)])
def test_so_many_requests_bound_a_percentile(p: float, n: int) -> None:
    assert requests_needed(p) == n
    low, high = order_statistic_ranks(n, p)
    assert low >= 1 and high <= n
    low, high = order_statistic_ranks(n - 1, p)
    assert low == 0 or high == n


def test_order_statistics_of_hahn_and_meeker() -> None:
    # Statistical Intervals, table A.15 and the worked median of benchstat: n = 10, p50.
    assert order_statistic_ranks(10, 0.5) == (2, 9)
    assert order_statistic_ranks(100, 0.5) == (40, 61)
    assert order_statistic_ranks(100, 0.9)[0] == 84


@given(st.integers(1, 3000), st.floats(0.01, 0.99))
def test_ranks_hold_the_promised_coverage(n: int, p: float) -> None:
    low, high = order_statistic_ranks(n, p)
    missed = 0.0
    if low >= 1:
        missed += stats.binom.cdf(low - 1, n, p)
        assert stats.binom.cdf(low - 1, n, p) <= 0.025 + 1e-9
    if high <= n:
        missed += 1 - stats.binom.cdf(high - 1, n, p)
    assert missed <= 0.05 + 1e-9


@given(
    arrays(np.float64, st.integers(1, 200), elements=st.floats(0, 1e6)),
    st.floats(0, 1),
)
def test_the_quantile_is_numpys_default(values: Floats, p: float) -> None:
    assert read_quantile(np.sort(values), p) == pytest.approx(np.quantile(values, p), rel=1e-12)


def one_block(values: Floats) -> Sample:
    return one_per_request(values, np.zeros(len(values), np.int64))


def test_an_unbounded_percentile_says_what_it_needs_instead() -> None:
    estimates = quantile_estimates(one_block(np.arange(60.0)), QUANTILES)
    assert estimates["p50"].value == 29.5
    assert estimates["p90"].value is not None
    assert (estimates["p95"].value, estimates["p95"].needs) == (None, 72)
    assert (estimates["p99"].value, estimates["p99"].needs) == (None, 368)


def test_no_values_give_no_estimate() -> None:
    estimates = quantile_estimates(one_block(np.array([np.nan])), QUANTILES)
    assert all(e.value is None for e in estimates.values())
    assert estimates["p50"].needs == 6


def test_equal_values_have_an_interval_of_no_width() -> None:
    blocks = np.repeat([0, 1, 2], 40)
    estimate = quantile_estimates(one_per_request(np.full(120, 2.0), blocks), QUANTILES)["p50"]
    assert (estimate.value, estimate.low, estimate.high) == (2.0, 2.0, 2.0)


def test_gaps_of_one_request_are_one_unit() -> None:
    """1000 gaps of 3 requests, each with its own speed: the spread is between requests."""
    gaps = np.repeat([0.01, 0.02, 0.03], 1000)
    sample = many_per_request(gaps, np.repeat([0, 1, 2], 1000), np.zeros(3, np.int64))
    estimate = quantile_estimates(sample, QUANTILES)["p50"]
    assert estimate.method == "Woodruff, 3 requests"
    assert estimate.value is None
    assert estimate.needs is not None and estimate.needs > 3


def test_requests_without_gaps_do_not_count_as_clusters() -> None:
    sample = many_per_request(np.ones(4), np.array([1, 1, 3, 3]), np.array([5, 5, 7, 7, 9]))
    assert sample.units == 2
    assert sample.blocks.tolist() == [0, 1]
    assert sample.owner is not None and sample.owner.tolist() == [0, 0, 1, 1]


def test_few_blocks_fall_back_to_requests_and_say_so() -> None:
    rng = np.random.default_rng(4)
    blocks = np.repeat([0, 1], 50)
    estimate = quantile_estimates(one_per_request(rng.lognormal(0, 0.4, 100), blocks), QUANTILES)
    assert estimate["p95"].high is not None
    assert "too few blocks" in estimate["p95"].method


@given(
    arrays(np.float64, st.integers(6, 120), elements=st.floats(0, 1e3)),
    st.integers(1, 6),
)
def test_intervals_enclose_the_point_and_quantiles_rise(values: Floats, blocks: int) -> None:
    sample = one_per_request(values, np.arange(len(values)) * blocks // len(values))
    estimates = quantile_estimates(sample, QUANTILES)
    known = [e for e in estimates.values() if e.value is not None]
    for e in known:
        assert e.low is not None and e.value is not None and e.high is not None
        assert values.min() <= e.low <= e.value <= e.high <= values.max()
    points = [e.value for e in known if e.value is not None]
    assert points == sorted(points)


def blocks_of(
    rng: np.random.Generator, count: int, n: int, between: float, within: float
) -> Floats:
    """Lognormal values, one row a block, with a common shift for each block."""
    shift = rng.normal(0, between, (count, 1))
    return np.exp(shift + rng.normal(0, within, (count, n)))


def coverage(
    p: float, count: int, n: int, between: float, *, as_one_block: bool = False
) -> tuple[float, float]:
    """(share of intervals that hold the true quantile, share of runs that give one at all)."""
    rng = np.random.default_rng(20260101)
    truth = float(np.exp(stats.norm.ppf(p) * np.hypot(between, 0.4)))
    blocks: Ints = np.repeat(np.arange(count), n)
    if as_one_block:
        blocks = np.zeros_like(blocks)
    hits = given = 0
    for _ in range(REPETITIONS):
        values = blocks_of(rng, count, n, between, 0.4).ravel()
        e = quantile_estimates(one_per_request(values, blocks), {"p": p})["p"]
        if e.low is not None and e.high is not None:
            given += 1
            hits += e.low <= truth <= e.high
    return hits / max(given, 1), given / REPETITIONS


REPETITIONS = 400
SLACK = 0.033
"""Three standard errors of a share of 0.95 over that many repetitions."""


@pytest.mark.parametrize(("p", "n", "expected"), [(0.5, 50, 0.96), (0.95, 100, 0.96)])
def test_order_statistics_cover_independent_requests(p: float, n: int, expected: float) -> None:
    found, given = coverage(p, 1, n, 0.0)
    assert given == 1
    assert found == pytest.approx(expected, abs=SLACK)


def test_order_statistics_alone_cover_too_little_when_blocks_differ() -> None:
    # Six blocks of 50, 10 % between and 40 % within: 76 % instead of 95 %.
    found, _ = coverage(0.5, 6, 50, 0.1, as_one_block=True)
    assert found == pytest.approx(0.76, abs=0.065)


@pytest.mark.parametrize("between", [0.0, 0.1, 0.2])
def test_woodruff_covers_the_median_whatever_the_blocks_do(between: float) -> None:
    found, given = coverage(0.5, 6, 50, between)
    assert given == 1
    assert found >= 0.95 - SLACK


@pytest.mark.parametrize("between", [0.0, 0.1])
def test_woodruff_covers_p95_of_six_blocks(between: float) -> None:
    found, given = coverage(0.95, 6, 50, between)
    assert given == 1
    assert found >= 0.95 - SLACK


def test_three_blocks_of_forty_still_cover_p95_when_blocks_differ_a_little() -> None:
    found, given = coverage(0.95, 3, 40, 0.1)
    assert given == 1
    assert found >= 0.93 - SLACK
