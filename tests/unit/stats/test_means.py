"""Means, ratios of sums and shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
from noisy_blocks import Noise, coverage
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
    single = math.sqrt(((values - values.mean()) ** 2).sum()) / 6
    skew = 3 * stats.skew(values) / math.sqrt(6) * max(stats.sem(means), single) / means.mean()
    assert stats.skew(values) > 0
    assert e.value == pytest.approx(means.mean())
    assert e.low == pytest.approx(means.mean() * math.exp(-half))
    assert e.high == pytest.approx(means.mean() * math.exp(half + skew))
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


@pytest.mark.parametrize(
    ("hits", "sizes"),
    [([0], [10]), ([3], [40]), ([40], [40]), ([0] * 3, [25] * 3), ([0, 1], [9, 9])],
)
def test_what_nothing_shows_to_clump_has_no_interval_but_clopper_pearsons_if_independent(
    hits: list[int], sizes: list[int]
) -> None:
    e = of_blocks(hits, sizes)
    exact = stats.binomtest(sum(hits), sum(sizes)).proportion_ci(0.95, method="exact")
    assert (e.value, e.low, e.high) == (sum(hits) / sum(sizes), None, None)
    assert e.if_independent == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert e.needed.startswith("needs 2 blocks with each outcome; ")
    assert e.needed.endswith(" % if requests are independent")


@pytest.mark.parametrize("hits", [[6, 0, 0], [20, 20, 0], [20, 14, 20]])
def test_what_came_in_one_block_only_has_not_even_that(hits: list[int]) -> None:
    """Nobody would call such requests independent."""
    e = of_blocks(hits, [20, 20, 20])
    assert (e.low, e.high, e.if_independent) == (None, None, None)
    assert e.needed == "needs 2 blocks with each outcome"


def test_few_blocks_are_worth_fewer_requests() -> None:
    """Korn & Graubard's factor: (t of the requests / t of the blocks) squared."""
    hits = [1, 2, 3, 4, 2, 0]
    effective = 0.2 * 0.8 / stats.sem(np.array(hits) / 10) ** 2
    effective *= (stats.t.ppf(0.975, 59) / stats.t.ppf(0.975, 5)) ** 2
    e = of_blocks(hits, [10] * 6)
    assert e.value == 0.2
    jeffreys = stats.beta.ppf(0.025, 0.2 * effective + 0.5, 0.8 * effective + 0.5)
    assert e.low == pytest.approx(jeffreys)


def test_blocks_that_are_alike_are_worth_no_more_than_their_requests() -> None:
    e = of_blocks([1] * 6, [10] * 6)
    jeffreys = stats.beta.ppf([0.025, 0.975], 6.5, 54.5)
    assert (e.low, e.high) == (pytest.approx(jeffreys[0]), pytest.approx(jeffreys[1]))


def test_blocks_that_differ_much_give_students_t_of_logits() -> None:
    """The delta method, and a long end further out by the skewness of what chance does not add."""
    shares = np.array([0.02, 0.04, 0.02, 0.2, 0.04, 0.04])
    e = of_blocks((shares * 50).round().astype(int).tolist(), [50] * 6)
    value, sem = shares.mean(), stats.sem(shares)
    clumps = math.sqrt(sem**2 - value * (1 - value) / 300)
    far = stats.t.ppf(0.975, 5) * sem + 3 * stats.skew(shares) / math.sqrt(6) * clumps
    logit = math.log(value / (1 - value)) + far / value / (1 - value)
    assert e.high == pytest.approx(1 / (1 + math.exp(-logit)))


def test_failures_that_come_in_few_blocks_widen_the_interval() -> None:
    spread_out = of_blocks([2, 2, 2], [20, 20, 20])
    lumped = of_blocks([5, 0, 1], [20, 20, 20])
    assert spread_out.value == lumped.value
    assert lumped.high is not None and spread_out.high is not None
    assert lumped.high > spread_out.high


def test_a_part_of_the_text_stays_between_none_and_all() -> None:
    thinking, all_text = np.array([90.0, 80.0, 99.0, 60.0]), np.array([100.0, 100.0, 100.0, 65.0])
    e = share(thinking, all_text, np.array([0, 0, 1, 1]))
    assert e.value == 329 / 365
    assert e.low is not None and e.high is not None and 0 <= e.low < e.value < e.high <= 1
    nothing = share(np.zeros(4), all_text, np.array([0, 0, 1, 1]))
    assert (nothing.value, nothing.low, nothing.ends[0]) == (0, None, 0)


def test_a_share_of_nothing_is_absent() -> None:
    assert share(np.array([]), np.array([]), np.array([], np.int64)).value is None


def test_shares_of_few_independent_failures_are_not_wider_than_needed() -> None:
    """Clopper and Pearson's hull with the long end made longer came to .99 and more."""
    found = coverage(Noise(0.0, 0.2), [50] * 6, 1000, 3, which=("share 0.05", "share 0.2"))
    for name, tally in found.items():
        assert 0.93 <= tally.coverage <= 0.985, name
