"""Means, ratios of sums and shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.analysis.mean_ci import block_ratio, mean, ratio_of_sums, share
from bench.analysis.sample import many_per_request, one_per_request


def test_the_mean_of_one_block_is_students() -> None:
    values = np.array([4.1, 3.9, 4.4, 4.0, 4.6])
    e = mean(one_per_request(values, np.zeros(5, np.int64)))
    low, high = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    assert (e.value, e.low, e.high) == (
        pytest.approx(4.2),
        pytest.approx(low),
        pytest.approx(high),
    )
    assert e.method == "t, 5 requests of one block"


def test_the_mean_of_equal_blocks_is_students_over_block_means() -> None:
    values = np.array([1.0, 3.0, 2.0, 4.0, 5.0, 7.0])
    e = mean(one_per_request(values, np.array([0, 0, 1, 1, 2, 2])))
    means = np.array([2.0, 3.0, 6.0])
    low, high = stats.t.interval(0.95, 2, means.mean(), stats.sem(means))
    assert e.value == pytest.approx(means.mean())
    assert e.low == pytest.approx(max(low, 0))
    assert e.high == pytest.approx(high)
    assert e.method == "t, 3 blocks"


def test_a_ratio_of_sums_weighs_by_time_not_by_request() -> None:
    tokens, spent = np.array([100.0, 10.0]), np.array([1.0, 1.0])
    assert ratio_of_sums(tokens, spent, np.array([0, 0])).value == 55
    # A request of 10 s at 10 tok/s weighs ten times one of 1 s at 100 tok/s.
    assert ratio_of_sums(
        np.array([100.0, 100.0]), np.array([1.0, 10.0]), np.array([0, 0])
    ).value == pytest.approx(200 / 11)


def test_the_interval_of_a_ratio_of_sums_is_the_linearised_one() -> None:
    """Cochran's example by hand: residuals y - R x, over blocks."""
    y, x = np.array([10.0, 22.0, 28.0]), np.array([1.0, 2.0, 3.0])
    e = ratio_of_sums(y, x, np.array([0, 1, 2]))
    residuals = y - 10 * x
    se = math.sqrt(3 / 2 * float((residuals**2).sum())) / 6
    assert e.value == 10
    assert e.high == pytest.approx(10 + stats.t.ppf(0.975, 2) * se)


def test_an_interval_of_something_positive_does_not_go_below_zero() -> None:
    e = mean(one_per_request(np.array([0.1, 5.0]), np.array([0, 1])))
    assert e.low == 0.0


def test_an_interval_of_something_signed_may() -> None:
    e = mean(one_per_request(np.array([-0.1, 0.1, 0.2]), np.array([0, 1, 2])))
    assert e.low is not None and e.low < 0


def test_one_request_has_a_mean_and_no_interval() -> None:
    e = mean(one_per_request(np.array([3.0]), np.array([0])))
    assert (e.value, e.low, e.high, e.needs) == (3.0, None, None, 2)


def test_one_block_has_no_interval_of_throughput() -> None:
    e = block_ratio(np.array([500.0]), np.array([10.0]))
    assert (e.value, e.low, e.high, e.needs) == (50.0, None, None, 2)


def test_gaps_weigh_alike_and_requests_vary() -> None:
    """The mean is over gaps, its spread over requests."""
    gaps, owner = np.array([1.0, 1.0, 1.0, 3.0]), np.array([0, 0, 0, 1])
    e = mean(many_per_request(gaps, owner, np.array([0, 0])))
    assert e.value == 1.5
    assert e.method == "t, 2 requests of one block"


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 40), (40, 40), (1, 100)])
def test_a_share_of_one_block_is_clopper_pearsons(hits: int, n: int) -> None:
    e = share(np.array([hits]), np.array([n]))
    exact = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert e.value == hits / n
    assert e.low == pytest.approx(exact.low, abs=1e-9)
    assert e.high == pytest.approx(exact.high, abs=1e-9)


def test_no_failure_in_forty_still_allows_nine_percent() -> None:
    assert share(np.array([0]), np.array([40])).high == pytest.approx(0.0881, abs=1e-4)


def test_failures_that_come_in_one_block_widen_the_interval() -> None:
    spread = share(np.array([2, 2, 2]), np.array([20, 20, 20]))
    lumped = share(np.array([6, 0, 0]), np.array([20, 20, 20]))
    assert spread.value == lumped.value
    assert lumped.high is not None and spread.high is not None and lumped.high > spread.high


def test_a_share_of_nothing_is_absent() -> None:
    assert share(np.array([], np.int64), np.array([], np.int64)).value is None


@pytest.mark.parametrize(("between", "least"), [(0.0, 0.93), (0.05, 0.93)])
def test_the_mean_of_blocks_covers_the_truth(between: float, least: float) -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        values = 10 + rng.normal(0, between, (6, 1)) * 10 + rng.normal(0, 0.4, (6, 20))
        e = mean(one_per_request(values.ravel(), np.repeat(np.arange(6), 20)))
        assert e.low is not None and e.high is not None
        hits += e.low <= 10 <= e.high
    assert hits / 400 >= least - 0.02
