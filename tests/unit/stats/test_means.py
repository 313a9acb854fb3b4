"""Means, ratios of sums and shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.stats.block_spread import spread
from bench.stats.estimate import Estimate
from bench.stats.means import block_ratio, ratio_of_sums, share


def mean(values: list[float], blocks: list[int]) -> Estimate:
    return ratio_of_sums(np.array(values), np.ones(len(values)), np.array(blocks))


def of_blocks(hits: list[int], sizes: list[int]) -> Estimate:
    """A share, from counts of each block."""
    counted = np.concatenate([np.arange(n) < k for k, n in zip(hits, sizes, strict=True)])
    return share(
        counted.astype(float), np.ones(sum(sizes)), np.repeat(np.arange(len(sizes)), sizes)
    )


def test_equal_blocks_give_students_t_on_the_log_scale() -> None:
    """By the delta method: the standard error of the log is that of the mean, over the mean."""
    values = np.array([1.0, 3.0, 2.0, 4.0, 5.0, 7.0])
    e = mean(values.tolist(), [0, 0, 1, 1, 2, 2])
    means = values.reshape(3, 2).mean(axis=1)
    half = stats.t.ppf(0.975, 2) * stats.sem(means) / means.mean()
    skew = 3 * stats.skew(values) / math.sqrt(6) * stats.sem(means) / means.mean()
    assert e.value == pytest.approx(means.mean())
    assert e.low == pytest.approx(means.mean() * math.exp(-half))
    assert e.high == pytest.approx(means.mean() * math.exp(half + max(skew, 0)))
    assert e.method == "t, 3 blocks"


def test_a_mean_that_may_be_negative_has_students_own_interval() -> None:
    values = [-1.0, 3.0, 2.0, 4.0, 5.0, -7.0]
    e = mean(values, [0, 1, 2, 3, 4, 5])
    low, high = stats.t.interval(0.95, 5, np.mean(values), stats.sem(values))
    assert (e.low, e.high) == (pytest.approx(low), pytest.approx(high))


def test_degrees_of_freedom_are_blocks_less_one_where_all_weigh_alike() -> None:
    values = np.array([1.0, 2.0, 4.0, 3.0])
    found = spread((values - values.mean()) / 4, np.full(4, 0.25))
    assert found is not None
    assert found.df == pytest.approx(3)
    assert found.se == pytest.approx(stats.sem(values))


def test_one_block_that_weighs_most_leaves_few_degrees_of_freedom() -> None:
    """By simulation: the variance estimate has the mean and the spread that are claimed for it."""
    weights = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    rng = np.random.default_rng(2)
    variances, df = [], 0.0
    for _ in range(4000):
        values = rng.normal(size=6)
        found = spread(weights * (values - weights @ values), weights)
        assert found is not None
        variances.append(found.se**2)
        df = found.df
    assert np.mean(variances) == pytest.approx(float(weights @ weights), rel=0.06)
    assert df == pytest.approx(2 * np.mean(variances) ** 2 / np.var(variances), rel=0.15)
    assert df < 3


def test_a_ratio_of_sums_weighs_by_time_not_by_request() -> None:
    tokens, spent = np.array([100.0, 10.0]), np.array([1.0, 1.0])
    assert ratio_of_sums(tokens, spent, np.array([0, 0])).value == 55
    # A request of 10 s at 10 tok/s weighs ten times one of 1 s at 100 tok/s.
    assert ratio_of_sums(
        np.array([100.0, 100.0]), np.array([1.0, 10.0]), np.array([0, 0])
    ).value == pytest.approx(200 / 11)


def test_an_interval_of_something_positive_stays_positive() -> None:
    e = mean([0.1, 0.5, 0.1, 0.9, 0.2], [0, 1, 2, 3, 4])
    assert e.low is not None and e.low > 0


def test_one_request_has_a_mean_and_no_interval() -> None:
    e = mean([3.0], [0])
    assert (e.value, e.low, e.high, e.needed) == (3.0, None, None, "needs 2 requests")


def test_one_block_has_no_interval_of_throughput() -> None:
    e = block_ratio(np.array([500.0]), np.array([10.0]))
    assert (e.value, e.low, e.high, e.needed) == (50.0, None, None, "needs 2 blocks")


def test_two_blocks_that_differ_twofold_need_more_blocks() -> None:
    e = block_ratio(np.array([500.0, 1500.0]), np.array([10.0, 10.0]))
    assert (e.value, e.low, e.high, e.needs_unit) == (100.0, None, None, "blocks")


def test_gaps_weigh_alike_and_requests_vary() -> None:
    """The mean is over gaps, its spread over requests."""
    sums, counts = np.array([3.0, 3.0, 5.0]), np.array([3.0, 1.0, 2.0])
    e = ratio_of_sums(sums, counts, np.zeros(3, np.int64))
    assert e.value == 11 / 6
    assert e.method == "t, 3 requests of one block"


def test_one_long_block_is_cut_into_batches() -> None:
    """Neighbours that resemble each other count as one; requests alone would say far less."""
    slow = np.repeat(np.random.default_rng(6).normal(10, 1, 10), 12)
    e = mean(slow.tolist(), [0] * 120)
    assert e.method == "t, 10 batches of one block"
    assert e.low is not None and e.high is not None
    assert e.high - e.low > 3 * 2 * 1.98 * stats.sem(slow) * 0.9


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 40), (40, 40), (1, 100)])
def test_a_share_of_one_block_is_clopper_pearsons(hits: int, n: int) -> None:
    e = of_blocks([hits], [n])
    exact = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert e.value == hits / n
    assert e.low == pytest.approx(exact.low, abs=1e-9)
    assert e.high == pytest.approx(exact.high, abs=1e-9)


def test_few_blocks_are_worth_fewer_requests() -> None:
    """Korn & Graubard's factor: (t of the requests / t of the blocks) squared."""
    effective = 60 * (stats.t.ppf(0.975, 59) / stats.t.ppf(0.975, 5)) ** 2
    e = of_blocks([0] * 6, [10] * 6)
    assert (e.value, e.low) == (0, 0)
    assert e.high == pytest.approx(1 - 0.025 ** (1 / effective))


def test_failures_that_come_in_one_block_widen_the_interval() -> None:
    spread_out = of_blocks([2, 2, 2], [20, 20, 20])
    lumped = of_blocks([6, 0, 0], [20, 20, 20])
    assert spread_out.value == lumped.value
    assert lumped.high is not None and spread_out.high is not None
    assert lumped.high > spread_out.high


def test_a_part_of_the_text_stays_between_none_and_all() -> None:
    thinking, all_text = np.array([90.0, 80.0, 99.0, 60.0]), np.array([100.0, 100.0, 100.0, 65.0])
    e = share(thinking, all_text, np.array([0, 0, 1, 1]))
    assert e.value == 329 / 365
    assert e.low is not None and e.high is not None and 0 <= e.low < e.value < e.high <= 1
    nothing = share(np.zeros(4), all_text, np.array([0, 0, 1, 1]))
    assert (nothing.value, nothing.low) == (0, 0)


def test_a_share_of_nothing_is_absent() -> None:
    assert share(np.array([]), np.array([]), np.array([], np.int64)).value is None
